"""Invented combinations.

In: the pool, real train and a real holdout. Out: how often two values occur together in a pool row that never do in
train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Aspect, Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import mean_of, sample_of, users_of
from ctrbench_metrics._columns import combine, some_pairs
from ctrbench_metrics._matched import NEW
from ctrbench_metrics._nearest import encode

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class InventedPairs(SyntheticMetric):
    """Share of a pool row's pairs of values that never occur together in train, mean over rows.

    Over all pairs of fields, without the label, numbers in 20 bins; a pair with a value that train lacks is not
    counted. The baseline is the share of holdout rows of which train has all values, as it has those of a pool; a field
    of which it lacks most of the holdout's rows decides nothing here. Details: the 95 % interval over users, and
    `rows_with_any` of the pool and `holdout_rows_with_any`, the shares of rows with at least one such pair, which are
    near 1 for real rows too where users and items are many. Flagged where the share is above the holdout's by more than
    chance.

    It shows impossible rows: a city in the wrong country. It does not show whether possible ones occur as often as they
    should, and new combinations of user and item are no fault: a log is a sample of them.
    """

    name: ClassVar[str] = "invented_pairs"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    aspect: ClassVar[Aspect] = "fidelity"
    rows: Annotated[int, "at most this many rows of the pool and of the holdout, drawn by the seed", Ge(100)] = 50_000
    pairs: Annotated[int, "at most this many pairs of fields, drawn by the seed", Ge(1)] = 100

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip with a single field, or without rows to compare. `reference` is not needed."""
        if len(train.schema.fields) < 2:
            raise Skip("the data has a single field")
        rng = np.random.default_rng(seed)
        pool, unseen = (sample_of(table, self.rows, rng) for table in (synthetic, holdout))
        codes = encode(train, pool, unseen)
        known = [np.column_stack([np.isin(*both) for both in zip(each.T, codes[0].T, strict=True)]) for each in codes]
        users = users_of(pool, unseen)
        kept = _comparable(known[-1])
        if not kept.any():
            raise Skip("train lacks a value of each row of valid")
        codes[-1], known[-1], users[-1] = codes[-1][kept], known[-1][kept], users[-1][kept]  # the holdout's
        invented, counted = ([np.zeros(len(each)) for each in codes[1:]] for _ in range(2))
        for pair in some_pairs(codes[0].shape[1], self.pairs, rng):
            seen, *others = combine(codes, pair)
            in_train = np.zeros(max(each.max() for each in (seen, *others)) + 1, bool)
            in_train[seen] = True
            for at, numbers in enumerate(others):
                both_known = known[at + 1][:, list(pair)].all(axis=1)
                counted[at] += both_known
                invented[at] += both_known & ~in_train[numbers]
        count = max(each.max() for each in users) + 1
        of_pool, of_holdout = (
            mean_of(new / np.maximum(all_, 1), each, count)
            for new, all_, each in zip(invented, counted, users, strict=True)
        )
        any_of_pool, any_of_holdout = (float((new > 0).mean()) for new in invented)
        details = {**of_pool.interval, "rows_with_any": any_of_pool, "holdout_rows_with_any": any_of_holdout}
        return Score(of_pool.value, of_holdout.value, details, (of_pool - of_holdout).low > 0)


def _comparable(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows have known values, (rows, fields), in all fields of which most are known, (rows,)."""
    return np.asarray(known[:, known.mean(axis=0) >= 1 - NEW].all(axis=1), np.bool_)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `invented_pairs`."""
    register(InventedPairs)
