"""Distance to the closest record, as a share.

In: the pool, real train and a real holdout. Out: how often a pool row is nearer to train than to rows that its
generator has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._nearest import find_nearest
from ctrbench_metrics._sides import Sides


@dataclass(frozen=True)
class DcrShare(SyntheticMetric):
    """Share of pool rows nearer to train than to as many unseen real rows, ties counting half: .5 is harmless.

    Platzer and Reutterer (2021): equally many rows of train and of the holdout, all of whose values occur in the rest
    of train; Hamming distances over the fields (numbers in 20 bins of train), without the label and, where the
    holdout's users are new, without the users' fields. Details: the 95 % interval over the users of the nearest real
    rows, and the median distances. Flagged where the interval lies above .5.

    It shows memorised rows, even in a log that repeats rows itself. It does not show that a person is safe: a single
    copied row changes nothing, and a share of .5 says nothing about attributes or about users with many rows.
    """

    name: ClassVar[str] = "dcr_share"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    rows: Annotated[int, "at most this many rows of each table, drawn by the seed", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip where nothing can be compared. `reference` is not needed."""
        sides = Sides.drawn(synthetic, train, holdout, self.rows, np.random.default_rng(seed))
        in_train, in_holdout = (find_nearest(sides.pool, codes) for codes in (sides.seen, sides.unseen))
        to_train, to_holdout = in_train.first, in_holdout.first
        nearest = sides.seen_users[in_train.record], sides.unseen_users[in_holdout.record]
        users = np.where(to_train <= to_holdout, *nearest)
        share = sides.mean_of((to_train < to_holdout) + (to_train == to_holdout) / 2, users)
        details = {
            **share.interval,
            "median_distance_train": float(np.median(to_train)),
            "median_distance_holdout": float(np.median(to_holdout)),
            "compared_rows": float(len(sides.seen)),
        }
        return Score(share.value, 0.5, details, share.low > 0.5)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `dcr_share`."""
    register(DcrShare)
