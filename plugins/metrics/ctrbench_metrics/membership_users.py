"""Membership inference for users.

In: the pool, real train, a real holdout and a third real table. Out: how well an attacker who holds several rows of a
person tells whether they were in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._attack import judge
from ctrbench_metrics._evidence import learned_attack
from ctrbench_metrics._matched import Matched

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MembershipUsers(SyntheticMetric):
    """AUC of an attacker who asks of all rows that he has of a user whether they were in train: .5 is harmless.

    The attacker of `membership_classifier` takes the mean over a user's rows, as in user-level inference (Kandpal et
    al. 2024). Where splits are by row, a user's rows in train stand against the same user's in the holdout: which of a
    person's records the generator saw. Where they are by user, users of train stand against users who are not in it:
    whether a person is in the log at all. Then ids and the user's other fields are left out of the attack, and only
    tell which rows belong to one person. Details and verdict as there; `suspects` counts the persons on both sides.

    It shows leaks that are weak in each row and add up. It does not show a single user whom the pool holds whole, who
    is lost in the average (`identical` finds such copies), nor what the user's own fields in a pool tell.
    """

    name: ClassVar[str] = "membership_users"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special", "scipy.stats", "sklearn.ensemble")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    suspects: Annotated[int, "at most so many members, and as many others, drawn by the seed", Ge(100)] = 10_000
    rows: Annotated[int, "at most so many rows of the pool, and of the reference", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where a table is empty, or nothing tells the holdout's users apart."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.suspects, rng)
        size, (first, second) = len(matched.members), matched.people
        attack, control = (
            (_by_person(scores[:size], first), _by_person(scores[size:], second))
            for scores in learned_attack(matched, synthetic, reference, self.rows, rng)
        )
        return judge(attack, control, (np.unique(first), np.unique(second)), below=False)


def _by_person(scores: NDArray[np.float64], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean score of each person, in the order of their numbers, (persons,)."""
    at = np.unique(people, return_inverse=True)[1]
    return np.bincount(at, scores) / np.bincount(at)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership_users`."""
    register(MembershipUsers)
