"""Labels that contradict what train knows about a user and an item.

In: the pool, real train and a real holdout. Out: how often a synthetic label disagrees with train's clicks on that
pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Aspect, Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import Estimate, mean_of, users_of
from ctrbench_metrics._rows import number_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PairConflict(SyntheticMetric):
    """How often a label contradicts train's clicks on that user and item, mean of both classes; .5 is ignorance.

    The mean of two details: `negatives`, the share of synthetic negatives whose user clicked that item in train, and
    `positives`, the share of synthetic positives whose user did not. The baseline is the mean of the holdout's rates,
    `holdout_negatives` and `holdout_positives`. `low` and `high` are the 95 % interval over users. Flagged where the
    value is above the baseline by more than chance.

    It shows pools that forget who clicks what; on Frappe that is most of what a model learns. It does not show whether
    new positives are good guesses, and copies of train score better than any honest row.
    """

    name: ClassVar[str] = "pair_conflict"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    aspect: ClassVar[Aspect] = "fidelity"

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The rate in [0, 1]; Skip without a user or item field, or where a class is missing. `seed` is not needed."""
        names = [train.schema.expect_identifier(role).name for role in ("user", "item")]
        for what, table in (("the pool", synthetic), ("the holdout", holdout)):
            if not 0 < table.click_rate < 1:
                raise Skip(f"{what} lacks a class")
        pairs = number_rows(train, synthetic, holdout, fields=names)
        clicked = np.unique(pairs[0][train.targets == 1])
        users = users_of(synthetic, holdout)
        count = max(each.max() for each in users) + 1
        rates = [
            _rates(np.isin(pair, clicked) != table.targets, table.targets, each, count)
            for pair, table, each in zip(pairs[1:], (synthetic, holdout), users, strict=True)
        ]
        of_pool, of_holdout = (
            Estimate(
                (negatives.value + positives.value) / 2,
                (negatives.parts + positives.parts) / 2,
                (negatives.unseen + positives.unseen) / 2,
            )
            for negatives, positives in rates
        )
        details = {
            **of_pool.interval,
            **dict(zip(("negatives", "positives"), (each.value for each in rates[0]), strict=True)),
            **dict(zip(("holdout_negatives", "holdout_positives"), (each.value for each in rates[1]), strict=True)),
        }
        return Score(of_pool.value, of_holdout.value, details, (of_pool - of_holdout).low > 0)


def _rates(wrong: NDArray[np.bool_], labels: NDArray[np.int8], users: NDArray[np.int64], count: int) -> list[Estimate]:
    """The share of wrong labels among negatives, and among positives."""
    return [mean_of(wrong[labels == label] * 1.0, users[labels == label], count) for label in (0, 1)]


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `pair_conflict`."""
    register(PairConflict)
