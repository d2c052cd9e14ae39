"""The pool beside real rows that its generator has seen, and beside as many that it has not.

In: the pool, real train and a real holdout. Out: their rows as codes, and whose the real rows are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ctrbench_metrics._chance import Estimate, mean_of, sample_of, users_of
from ctrbench_metrics._nearest import encode

if TYPE_CHECKING:
    from ctrbench import Table
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Sides:
    """Codes of the three, (rows, fields), and the users of the real ones, (rows,), numbered together."""

    pool: NDArray[np.int32]
    seen: NDArray[np.int32]
    unseen: NDArray[np.int32]
    seen_users: NDArray[np.int64]
    unseen_users: NDArray[np.int64]

    @classmethod
    def drawn(cls, synthetic: Table, train: Table, holdout: Table, rows: int, seed: int) -> Sides:
        """At most so many rows of each, train cut to the holdout's size; Skip where a table is empty."""
        rng = np.random.default_rng(seed)
        size = min(len(train), len(holdout), rows)
        pool, seen, unseen = (
            sample_of(table, wanted, rng) for table, wanted in ((synthetic, rows), (train, size), (holdout, size))
        )
        seen_codes, unseen_codes, pool_codes = encode(seen, unseen, pool)
        return cls(pool_codes, seen_codes, unseen_codes, *users_of(seen, unseen))

    def mean_of(self, values: NDArray[np.float64], users: NDArray[np.int64]) -> Estimate:
        """The mean of values, each of which a user of the real rows brought, with its uncertainty."""
        return mean_of(values, users, max(self.seen_users.max(), self.unseen_users.max()) + 1)
