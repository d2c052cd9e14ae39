"""Membership inference for users.

In: the pool, real train, a real holdout and a third real table. Out: how well an attacker who has several rows of a
person can tell whether they were in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._learned import LearnedAttack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench_metrics._attack import People, Sides


@dataclass(frozen=True)
class MembershipUsers(LearnedAttack):
    """AUC of an attacker who judges all known rows of a user together: were they in train? .5 is harmless.

    The attacker of `membership_classifier` takes the mean over a user's rows, as in user-level inference (Kandpal et
    al. 2024). Where splits are by row, a user's rows in train are compared with the same user's in the holdout: which
    of a person's records did the generator see? Where they are by user, users of train are compared with users who are
    not in it: is a person in the log at all? Then ids and the user's other fields are left out of the attack and only
    say which rows belong to one person. Details and verdict are those of `membership_classifier`; `suspects` counts the
    people on both sides.

    It shows leaks that are weak in each row and add up. It does not show a single user whose rows are all in the pool,
    who is lost in the average (`identical` finds such copies), nor what the user's own fields in a pool reveal.
    """

    name: ClassVar[str] = "membership_users"

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """As for rows; Skip without a field that identifies the user."""
        train.schema.expect_identifier("user")
        return super().score(synthetic, train=train, holdout=holdout, reference=reference, seed=seed)

    def asked(self, scores: Sides, people: People) -> tuple[Sides, People]:
        """Each person by the mean over all rows."""
        means = _by_person(scores[0], people[0]), _by_person(scores[1], people[1])
        return means, (np.unique(people[0]), np.unique(people[1]))


def _by_person(scores: NDArray[np.float64], people: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean score of each person, in the order of their numbers, (people,)."""
    at = np.unique(people, return_inverse=True)[1]
    return np.bincount(at, scores) / np.bincount(at)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `membership_users`."""
    register(MembershipUsers)
