"""The pool, real rows that its generator has seen, and as many that it has not.

In: the pool, real train and a real holdout. Out: their rows as codes, and the users of the real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ctrbench_metrics._chance import Estimate, mean_of, sample_of
from ctrbench_metrics._matched import Matched, only
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
    def drawn(cls, synthetic: Table, train: Table, holdout: Table, rows: int, rng: np.random.Generator) -> Sides:
        """At most `rows` of each; of train and the holdout only rows that can be compared, equally many."""
        matched = Matched.drawn(train, holdout, rows, rng)
        people, size = matched.people, min(len(matched.members), len(matched.others))
        chosen = [np.sort(rng.choice(len(each), size, replace=False)) for each in people]
        pool = sample_of(only(synthetic, matched.fields), rows, rng)
        _, *codes, pool_codes = encode(matched.rest, matched.members, matched.others, pool)
        seen, unseen = (each[some] for each, some in zip(codes, chosen, strict=True))
        return cls(pool_codes, seen, unseen, *(each[some] for each, some in zip(people, chosen, strict=True)))

    def mean_of(self, values: NDArray[np.float64], users: NDArray[np.int64]) -> Estimate:
        """The mean of values, each of which belongs to a user of the real rows, with its error."""
        return mean_of(values, users, max(self.seen_users.max(), self.unseen_users.max()) + 1)
