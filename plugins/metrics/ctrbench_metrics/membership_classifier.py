"""Membership inference by an attacker who has learned from known cases.

In: the pool, real train, a real holdout and a third real table. Out: how well a classifier that knows of some persons
which rows were in train tells the same of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Register, Score, SyntheticMetric, Table, hookimpl
from ctrbench.interfaces import Better

from ctrbench_metrics._attack import judge
from ctrbench_metrics._evidence import learned_attack
from ctrbench_metrics._matched import Matched


@dataclass(frozen=True)
class MembershipClassifier(SyntheticMetric):
    """AUC of an attacker who has learned from known rows how the pool gives away those of train: .5 is harmless.

    A supervised membership attack (Shokri et al. 2017).
    """

    name: ClassVar[str] = "membership_classifier"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special", "scipy.stats", "sklearn.ensemble")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    suspects: Annotated[int, "at most so many members, and as many others, drawn by the seed", Ge(100)] = 25_000
    rows: Annotated[int, "at most so many rows of the pool, and of the reference", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where a table is empty, or nothing tells the holdout's users apart."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.suspects, rng)
        both = learned_attack(matched, synthetic, reference, self.rows, rng)
        size = len(matched.members)
        scores, control = ((each[:size], each[size:]) for each in both)
        return judge(scores, control, matched.people, below=False)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership_classifier`."""
    register(MembershipClassifier)
