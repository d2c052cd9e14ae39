"""Membership inference for users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Register, Score, SyntheticMetric, Table, hookimpl
from ctrbench.interfaces import Better

from ctrbench_metrics._attack import judge
from ctrbench_metrics._evidence import learned_attack, mean_by_person
from ctrbench_metrics._matched import Matched


@dataclass(frozen=True)
class MembershipUsers(SyntheticMetric):
    """AUC of an attacker who asks of a user's rows together whether they were in train: .5 is harmless."""

    name: ClassVar[str] = "membership_users"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special", "scipy.stats", "sklearn.ensemble")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    suspects: Annotated[int, "at most so many members, and as many others, drawn by the seed", Ge(100)] = 25_000
    rows: Annotated[int, "at most so many rows of the pool, and of the reference", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.suspects, rng)
        both = learned_attack(matched, synthetic, reference, self.rows, rng)
        size = len(matched.members)
        (scores, people), (control, _) = (mean_by_person((each[:size], each[size:]), matched.people) for each in both)
        return judge(tuple(scores), tuple(control), tuple(people), below=False)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership_users`."""
    register(MembershipUsers)
