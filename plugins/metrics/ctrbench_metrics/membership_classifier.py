"""Membership inference by an attacker who has learned from known cases.

In: the pool, real train, a real holdout and a third real table. Out: how well a classifier that knows of some persons
which rows were in train tells the same of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Register, SyntheticMetric, hookimpl

from ctrbench_metrics._learned import LearnedAttack


@dataclass(frozen=True)
class MembershipClassifier(LearnedAttack):
    """AUC of an attacker who has learned from known rows how the pool gives away those of train: .5 is harmless.

    After Shokri et al. (2017), with known rows in place of shadow models, since a metric sees one pool: the attacker is
    told of one half of the persons which rows were in train, learns from them (gradient-boosted trees), and judges the
    rows of the other half, then the other way round. What he sees of a row, its label among its fields: how many pool
    rows differ in none, one and two fields, the distance to the nearest, how often its user, its item and its pair come
    in the pool, and all this of reference rows (test), which no generator has seen. Members, details and verdict are
    those of `membership`, but one-sided (2.5 %): which way to look is learned.

    It finds what is learned by heart in whichever direction, rows of train that are missing too. It is an attacker with
    much knowledge, so a flag is a warning to whoever publishes pools, not proof that a stranger can do it. It does not
    show safety: several pools of one generator would teach more, and what single columns tell (`auc_of_marginals`: a
    user with many rows in the pool had many in train) is no part of the verdict; only a proof as that of `mst` limits
    that.
    """

    name: ClassVar[str] = "membership_classifier"


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership_classifier`."""
    register(MembershipClassifier)
