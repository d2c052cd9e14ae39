"""Identifiability, after Yoon et al.

In: the pool, real train and a real holdout. Out: how often a pool row is nearer to a real row than real rows are to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import mean_of, sample_of, users_of
from ctrbench_metrics._matched import Matched, only
from ctrbench_metrics._nearest import encode, find_nearest_weighted

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Identifiability(SyntheticMetric):
    """Share of train rows that have a pool row nearer than any of as many other train rows.

    Yoon, Drumright and van der Schaar (2020): a field weighs one over its entropy in train, so that a difference in the
    user counts for less than one in the weekday; rows and distances are otherwise those of `dcr_share`. The pool, the
    rows of train and those of the holdout are cut to one size; the baseline is the same share with the holdout in place
    of the pool. Details: the 95 % interval over the users of the nearest pool rows (over rows, where users are left
    out). Flagged where the share is above the baseline by more than chance.

    It shows rows that the pool singles out. It does not show whether anybody would recognise them, and a pool can stay
    below the baseline by resembling nothing.
    """

    name: ClassVar[str] = "identifiability"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    targets: Annotated[int, "at most this many train rows to look for, drawn by the seed", Ge(100)] = 4_000
    rows: Annotated[int, "at most this many rows of each table to search", Ge(100)] = 50_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip where fewer than two rows can be compared. `reference` is not needed."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.rows, rng)
        tables = matched.members, only(synthetic, matched.fields), matched.others
        size = min(map(len, tables))
        if size < 2:
            raise Skip("needs two rows in the pool, and two of train and valid that can be compared")
        seen, pool, unseen = (sample_of(table, size, rng) for table in tables)
        wanted = sample_of(seen, self.targets, rng)
        codes, wanted_codes, *looked_in = encode(seen, wanted, pool, unseen)
        weights = _weights(codes)
        to_train = find_nearest_weighted(wanted_codes, codes, weights).second  # the first is the row itself
        users = users_of(pool, unseen)
        count = max(each.max() for each in users) + 1
        nearest = [find_nearest_weighted(wanted_codes, each, weights) for each in looked_in]
        of_pool, of_holdout = (
            mean_of((each.first < to_train).astype(np.float64), theirs[each.record], count)
            for each, theirs in zip(nearest, users, strict=True)
        )
        details = {**of_pool.interval, "targets": float(len(wanted)), "compared_rows": float(size)}
        return Score(of_pool.value, of_holdout.value, details, (of_pool - of_holdout).low > 0)


def _weights(codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """One over each field's entropy, (fields,); 0 for a field with one value, on which all rows agree."""
    entropies = []
    for column in codes.T:
        shares = np.unique(column, return_counts=True)[1] / len(column)
        entropies.append(-(shares * np.log(shares)).sum())
    return np.array([1 / each if each > 0 else 0.0 for each in entropies])


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `identifiability`."""
    register(Identifiability)
