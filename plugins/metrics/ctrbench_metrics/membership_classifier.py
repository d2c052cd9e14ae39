"""Membership inference by an attacker who has learned from known cases.

In: the pool, real train, a real holdout and a third real table. Out: how well a classifier that knows for some people
which rows were in train finds this out for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Register, SyntheticMetric, hookimpl

from ctrbench_metrics._learned import LearnedAttack


@dataclass(frozen=True)
class MembershipClassifier(LearnedAttack):
    """AUC of an attacker who has learned from known rows how the pool reveals those of train: .5 is harmless.

    After Shokri et al. (2017), with known rows in place of shadow models, since a metric sees one pool: for one half of
    the people the attacker is told which rows were in train, learns from them (gradient-boosted trees) and judges the
    rows of the other half; then the other way round. The features of a row, whose label counts as a field: how many
    pool rows differ from it in no, one and two fields, the distance to the nearest, how often its user, its item and
    its pair occur in the pool, and the same for reference rows (test), which no generator has seen. Members, details
    and verdict are those of `membership`, but one-sided (2.5 %), since the direction is learned.

    It finds memorisation in either direction, also rows of train that are missing. The attacker knows a lot, so a flag
    is a warning to whoever publishes pools, not proof that a stranger can do it. It does not show safety: several pools
    of one generator would reveal more, and what single columns reveal (`auc_of_marginals`: a user with many rows in the
    pool had many in train) is not part of the verdict; only a proof such as that of `mst` limits it.
    """

    name: ClassVar[str] = "membership_classifier"


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `membership_classifier`."""
    register(MembershipClassifier)
