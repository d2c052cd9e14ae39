"""What an attacker wins who scores real rows and takes the highest, or the lowest, for members of train.

In: such scores for members and for rows that were not in train, and the same attack's scores where real rows stand in
place of the pool. Out: the attack's AUC with its interval, and whether it tells the two apart because of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Score

from ctrbench_metrics._chance import Estimate, auc_of, sample_of, users_of
from ctrbench_metrics._nearest import encode

if TYPE_CHECKING:
    from ctrbench import Table
    from numpy.typing import NDArray

FALSE_POSITIVES = 0.01
ALIKE = 0.02
"""An AUC so near to .5 without a pool still counts members and non-members as alike."""


@dataclass(frozen=True)
class Suspects:
    """As many members (rows of train) as non-members (rows of the holdout), which the attacker is to tell apart."""

    members: Table
    others: Table

    @classmethod
    def drawn(cls, train: Table, holdout: Table, rows: int, rng: np.random.Generator) -> Suspects:
        """Equally many of both, at most `rows`; Skip where there are none."""
        size = min(len(train), len(holdout), rows)
        return cls(sample_of(train, size, rng), sample_of(holdout, size, rng))

    def beside(
        self, synthetic: Table, reference: Table, rows: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Codes of the suspects, members first, of the pool's rows, and of as many of the reference; at most `rows`."""
        pool = sample_of(synthetic, rows, rng)
        unseen = sample_of(reference, len(pool), rng)
        members, others, pool_codes, unseen_codes = encode(self.members, self.others, pool, unseen)
        return np.concatenate([members, others]), pool_codes, unseen_codes

    def verdict(self, scores: NDArray[np.float64], control: NDArray[np.float64]) -> Score:
        """The attack's AUC; both arrays hold a number for each member and then for each other row. See `judge`."""
        size = len(self.members)
        users = users_of(self.members, self.others)
        return judge((scores[:size], scores[size:]), (control[:size], control[size:]), (users[0], users[1]), below=True)


def judge(
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    control: tuple[NDArray[np.float64], NDArray[np.float64]],
    people: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    below: bool,
) -> Score:
    """The attack's AUC, from numbers for members and for others, their control, and whose the suspects are.

    Flagged where the AUC is above .5, and above that of the control, by more than chance; with `below` also where it is
    as surely below both, since an attacker may take the lowest as well. No verdict where the control itself tells
    members from others: then they differ without any pool, and the attack proves nothing.
    """
    count = max(int(each.max()) for each in people) + 1
    attack, without_pool = (auc_of(*each, people, count) for each in (scores, control))
    details = {
        **attack.interval,
        "true_positives_at_1_percent": _caught(*scores),
        "auc_without_pool": without_pool.value,
        "suspects": float(len(scores[0]) + len(scores[1])),
    }
    alike = without_pool.low < 0.5 + ALIKE and without_pool.high > 0.5 - ALIKE
    side = (attack - Estimate(0.5, np.zeros(count))).side()
    told = side in ((1, -1) if below else (1,)) and (attack - without_pool).side() == side
    return Score(attack.value, 0.5, details, told if alike else None)


def _caught(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Share of members above the threshold that 1 % of the others pass; among ties, members in proportion."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    passed, caught = (
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(each), thresholds, "left") / len(each)])
        for each in (others, members)
    )
    return float(np.interp(FALSE_POSITIVES, passed, caught))
