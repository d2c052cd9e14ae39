"""Distance to the closest record, as a share.

In: the pool, real train and a real holdout. Out: how often a pool row is nearer to train than to rows that its
generator has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Register, Score, SyntheticMetric, Table, hookimpl
from ctrbench.interfaces import Better

from ctrbench_metrics._chance import mean_of, sample_of, users_of
from ctrbench_metrics._nearest import encode, find_nearest


@dataclass(frozen=True)
class DcrShare(SyntheticMetric):
    """Share of pool rows nearer to train than to as many unseen real rows, ties half: .5 is harmless.

    Platzer and Reutterer (2021): train is cut to the holdout's size, distances are Hamming over the fields (numbers in
    20 bins of train), the label is left out. Details: the 95 % interval over the users of the nearest real rows, the
    median distances. Flagged where the interval lies above .5.

    It shows memorised rows, whatever the log's own repeats. It does not show that a person is safe: a single copied
    row moves nothing, and a share of .5 says nothing about attributes or about users with many rows.
    """

    name: ClassVar[str] = "dcr_share"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    rows: Annotated[int, "at most so many rows of each table, drawn by the seed", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip where a table is empty. `reference` is not needed."""
        rng = np.random.default_rng(seed)
        size = min(len(train), len(holdout), self.rows)
        pool, seen, unseen = (
            sample_of(table, rows, rng) for table, rows in ((synthetic, self.rows), (train, size), (holdout, size))
        )
        seen_codes, unseen_codes, pool_codes = encode(seen, unseen, pool)
        in_train, in_holdout = (find_nearest(pool_codes, codes) for codes in (seen_codes, unseen_codes))
        to_train, to_holdout = in_train.first, in_holdout.first
        seen_users, unseen_users = users_of(seen, unseen)
        count = max(seen_users.max(), unseen_users.max()) + 1
        users = np.where(to_train <= to_holdout, seen_users[in_train.record], unseen_users[in_holdout.record])
        share = mean_of((to_train < to_holdout) + (to_train == to_holdout) / 2, users, count)
        details = {
            **share.interval,
            "median_distance_train": float(np.median(to_train)),
            "median_distance_holdout": float(np.median(to_holdout)),
            "compared_rows": float(size),
        }
        return Score(share.value, 0.5, details, share.low > 0.5)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `dcr_share`."""
    register(DcrShare)
