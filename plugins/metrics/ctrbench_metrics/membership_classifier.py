"""Membership inference by an attacker who has learned from known cases.

In: the pool, real train, a real holdout and a third real table. Out: how well a classifier that knows of some persons
which rows were in train tells the same of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._attack import judge
from ctrbench_metrics._evidence import learned_attack
from ctrbench_metrics._matched import Matched


@dataclass(frozen=True)
class MembershipClassifier(SyntheticMetric):
    """AUC of an attacker who has learned from known rows how the pool gives away those of train: .5 is harmless.

    After Shokri et al. (2017), with known rows in place of shadow models, since a metric sees one pool: the attacker is
    told of one half of the persons which rows were in train, learns from them (gradient-boosted trees), and judges the
    rows of the other half, then the other way round. What he sees of a row, its label among its fields: how many pool
    rows differ in none, one and two fields, the distance to the nearest, how often its user, its item and its pair come
    in the pool, and all this of reference rows (test), which no generator has seen. Members and others are drawn from
    train and holdout so that every value of theirs occurs in the rest of train. Details: the 95 % interval over
    persons, the members found at 1 % false alarms, and `auc_without_pool`, the same attacker with reference rows alone.
    Flagged where the AUC is above .5 and above that; no verdict where members and others differ without a pool.

    It finds what is learned by heart in whichever direction, rows of train that are missing too. It is an attacker with
    much knowledge, so a flag is a warning to whoever publishes pools, not proof that a stranger can do it; and pools of
    mere marginals may be flagged on small logs, for how often a user comes is told of train, too. It does not show
    safety: several pools of one generator would teach more.
    """

    name: ClassVar[str] = "membership_classifier"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special", "scipy.stats", "sklearn.ensemble")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    suspects: Annotated[int, "at most so many members, and as many others, drawn by the seed", Ge(100)] = 10_000
    rows: Annotated[int, "at most so many rows of the pool, and of the reference", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where a table is empty, or nothing tells the holdout's users apart."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.suspects, rng)
        size = len(matched.members)
        attack, control = (
            (scores[:size], scores[size:]) for scores in learned_attack(matched, synthetic, reference, self.rows, rng)
        )
        return judge(attack, control, matched.people, below=False)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership_classifier`."""
    register(MembershipClassifier)
