"""An attacker who learns from known cases what a pool reveals about a row.

In: matched rows of train and of the holdout, pools, and real rows that no generator has seen. Out: for each suspect
row, how likely the attacker thinks it is a row of train, given each of the pools.

For one half of the people the attacker is told which of their rows were in train, and judges the rows of the other
half. (Shokri et al. 2017 use shadow models for that; where there is only one pool, known rows replace them.) So nobody
has to say in advance whether rows of train are too near, missing or too frequent: that is learned, and tested on other
people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from ctrbench_metrics._attack import MembershipAttack
from ctrbench_metrics._nearest import count_near, encode, find_nearest

if TYPE_CHECKING:
    from ctrbench import Table
    from numpy.typing import NDArray

    from ctrbench_metrics._matched import Matched

HALVES = 2
RADIUS = 2
"""Rows that differ in at most this many fields are counted."""


@dataclass(frozen=True)
class LearnedAttack(MembershipAttack):
    """The attacker who learns; subclasses decide whether rows or people are judged."""

    imports: ClassVar[tuple[str, ...]] = ("scipy.special", "scipy.stats", "sklearn.ensemble", "threadpoolctl")
    both_ways: ClassVar[bool] = False  # the direction is learned
    suspects: Annotated[int, "at most this many members, and as many others, drawn by the seed", Ge(100)] = 10_000

    def scores(
        self, matched: Matched, pools: Sequence[Table], unseen: Table, rng: np.random.Generator
    ) -> list[NDArray[np.float64]]:
        """Ranks within a half, in (0, 1]; .5 where the other half has members only, or others only."""
        is_member = np.repeat([1, 0], [len(matched.members), len(matched.others)])
        halves = rng.permutation(matched.count)[np.concatenate(matched.people)] % HALVES
        labels = matched.suspects.targets[:, None]
        *of_pools, of_unseen = (_evidence(matched, table) for table in (*pools, unseen))
        return [_of_other_half(np.hstack([labels, each, of_unseen]), is_member, halves) for each in of_pools]


def _evidence(matched: Matched, table: Table) -> NDArray[np.float64]:
    """What a table reveals about each suspect, (suspects, features).

    Logarithms of how many rows are near it, and of how many share its user, its item and both; and the least distance.
    """
    tables = (matched.rest, matched.suspects, table)
    _, suspects, codes = (
        np.column_stack([codes, each.targets]) for codes, each in zip(encode(*tables), tables, strict=True)
    )
    features = [np.log1p(count_near(suspects, codes, RADIUS)), find_nearest(suspects, codes).first[:, None]]
    ids = [matched.members.schema.identifier(role) for role in ("user", "item")]
    places = [matched.fields.index(field.name) for field in ids if field is not None]
    for columns in [[place] for place in places] + ([places] if len(places) == 2 else []):
        features.append(np.log1p(count_near(suspects[:, columns], codes[:, columns], 0)))
    return np.hstack(features).astype(np.float64)


def _of_other_half(
    features: NDArray[np.float64], is_member: NDArray[np.int64], halves: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each suspect looks like a member to a classifier that has not seen its half: ranks in (0, 1]."""
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    scores = np.full(len(features), 0.5)
    for half in range(HALVES):
        inside = halves == half
        if not inside.any() or len(np.unique(is_member[~inside])) < 2:
            continue
        model = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=8,
            min_samples_leaf=max(5, min(40, int((~inside).sum()) // 8)),  # smaller leaves for a small log
            l2_regularization=1.0,
            early_stopping=False,
            random_state=0,
        )
        with threadpool_limits(1):  # several threads add in another order each time, and wait busily for each other
            model.fit(features[~inside], is_member[~inside])
            judged = model.decision_function(features[inside])
        scores[inside] = rankdata(judged) / inside.sum()
    return scores
