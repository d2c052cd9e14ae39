"""What a pool says of each suspect row, and an attacker who has learned on known cases what that means.

In: matched rows of train and of the holdout, the pool, and real rows that no generator has seen. Out: for each suspect
how likely the attacker thinks it a row of train, from the pool, and from the real rows alone.

The attacker is told for some persons which of their rows were in train and which not, and judges those of the others
(Shokri et al. 2017 learn on shadow models; where one pool is all there is, known rows take their place). So it need not
be said beforehand whether rows of train are too near, missing, or too far: it is learned, and tested on other persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Skip

from ctrbench_metrics._chance import identifier, sample_of
from ctrbench_metrics._matched import only
from ctrbench_metrics._nearest import count_near, encode, find_nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctrbench import Table
    from ctrbench_metrics._matched import Matched
    from numpy.typing import NDArray

FOLDS = 2
RADIUS = 2


def learned_attack(
    matched: Matched, synthetic: Table, reference: Table, rows: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of members and then of others, (suspects,): with the pool, and from reference rows alone.

    Ranks within a fold, in (0, 1]. At most `rows` of the pool are used, and as many of the reference. Skip where the
    suspects cannot be told apart by person or are fewer than two a fold.
    """
    if matched.people is None:
        raise Skip("valid's users are unseen in train and nothing but their id tells them apart")
    people = np.concatenate(matched.people)
    pool = sample_of(only(synthetic, matched.fields), rows, rng)
    unseen = sample_of(only(reference, matched.fields), len(pool), rng)
    is_member = np.repeat([1, 0], [len(matched.members), len(matched.others)])
    folds = rng.permutation(matched.count)[people] % FOLDS
    labels = np.concatenate([matched.members.targets, matched.others.targets])[:, None]
    of_pool, of_unseen = (_evidence(matched, table) for table in (pool, unseen))
    with_pool, without = (
        _out_of_fold(np.hstack([labels, *features]), is_member, folds)
        for features in ((of_pool, of_unseen), (of_unseen,))
    )
    return with_pool, without


def _evidence(matched: Matched, table: Table) -> NDArray[np.float64]:
    """What a table says of each suspect, (suspects, features): near rows, and its user, item and pair; logarithms."""
    _, members, others, codes = (
        np.column_stack([each, part.targets])
        for each, part in zip(
            encode(matched.rest, matched.members, matched.others, table),
            (matched.rest, matched.members, matched.others, table),
            strict=True,
        )
    )
    suspects = np.concatenate([members, others]).astype(np.int32)
    codes = codes.astype(np.int32)
    features = [np.log1p(count_near(suspects, codes, RADIUS)), find_nearest(suspects, codes).first[:, None]]
    ids = [identifier(matched.members.schema, role) for role in ("user", "item")]
    places = [matched.fields.index(field.name) for field in ids if field is not None]
    for columns in [[place] for place in places] + ([places] if len(places) == 2 else []):
        features.append(np.log1p(_occurrences(suspects[:, columns], codes[:, columns]))[:, None])
    return np.hstack(features).astype(np.float64)


def _occurrences(rows: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many of the others are equal to each row, (rows,)."""
    return count_near(rows, others, 0)[:, 0]


def _out_of_fold(
    features: NDArray[np.float64], is_member: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each suspect looks like a member to a classifier that has seen nobody of its fold, as ranks in (0, 1]."""
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores = np.full(len(features), 0.5)
    for fold in range(FOLDS):
        inside = folds == fold
        if not inside.any() or len(np.unique(is_member[~inside])) < 2:
            continue
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=1.0, early_stopping=False, random_state=0
        ).fit(features[~inside], is_member[~inside])
        scores[inside] = rankdata(model.decision_function(features[inside])) / inside.sum()
    return scores


def mean_by_person(
    scores: Sequence[NDArray[np.float64]], people: Sequence[NDArray[np.int64]]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
    """The mean score of each person of a side, and who they are."""
    means, persons = [], []
    for values, theirs in zip(scores, people, strict=True):
        who, at = np.unique(theirs, return_inverse=True)
        means.append(np.bincount(at, values) / np.bincount(at))
        persons.append(who)
    return means, persons
