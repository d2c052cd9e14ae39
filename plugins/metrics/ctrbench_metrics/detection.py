"""Detection: the classifier two-sample test.

In: the pool, real train and a real holdout. Out: how well a classifier tells pool rows from real rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import UNSEEN, Aspect, Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import Estimate, auc_of, sample_of, users_of
from ctrbench_metrics._columns import combine, encode_labelled, some_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

FOLDS = 5
STRENGTH = 0.01
"""Inverse of the penalty: pairs share their evidence, so that a combination seen twice decides nothing alone."""


@dataclass(frozen=True)
class Detection(SyntheticMetric):
    """AUC of a classifier that tells pool rows from unseen real rows, label included: .5 is indistinguishable.

    Classifier two-sample test (Lopez-Paz and Oquab 2017): logistic regression on every pair of columns as one category
    (numbers in 20 bins; a value that only one row of train has is treated as one that train lacks), five folds; equal
    rows share a fold, so that repeats alone do not count against a pool. The real rows are the holdout's; the baseline
    is the same test of train against the holdout. Details: the 95 % interval over users. Flagged where the AUC is above
    .5, and above the baseline, by more than chance.

    It shows that pool and real rows differ in how two columns go together. It does not show whether the difference
    matters to a model. It misses what takes three columns to see, and pools that repeat a few rows, which `marginals`
    and `category_coverage` do see.
    """

    name: ClassVar[str] = "detection"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.linear_model", "scipy.sparse")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    aspect: ClassVar[Aspect] = "fidelity"
    rows: Annotated[int, "at most this many rows of each table, drawn by the seed", Ge(100)] = 4_000
    pairs: Annotated[int, "at most this many pairs of columns, drawn by the seed", Ge(1)] = 100

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where a table has fewer rows than folds. `reference` is not needed."""
        rng = np.random.default_rng(seed)
        size = min(len(synthetic), len(train), len(holdout), self.rows)
        if size < FOLDS:
            raise Skip(f"needs {FOLDS} rows in the pool, train and valid")
        tables = [sample_of(table, size, rng) for table in (train, synthetic, holdout)]
        seen, pool, unseen = encode_labelled(*tables)
        for place, known in _alone(train):
            for codes in (seen, pool):
                codes[known[codes[:, place]], place] = UNSEEN
        pairs = some_pairs(seen.shape[1], self.pairs, rng)
        users = users_of(*tables)
        count = max(each.max() for each in users) + 1
        order = rng.permutation(2 * size)  # of rows into folds, the same for both tests

        def told_apart(rows: NDArray[np.int32], their_users: NDArray[np.int64]) -> Estimate:
            scores = _out_of_fold([rows, unseen], pairs, order)
            return auc_of(scores[:size], scores[size:], (their_users, users[2]), count)

        of_train, of_pool = (told_apart(*each) for each in zip((seen, pool), users[:2], strict=True))
        details = {**of_pool.interval, "rows": float(size)}
        return Score(of_pool.value, of_train.value, details, of_pool.low > 0.5 and (of_pool - of_train).low > 0)


def _alone(train: Table) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """For each categorical field its position, and which codes only one row of train has, (codes,).

    If that row were in the holdout, its value would be one that train lacks, as the values of many holdout rows are
    where a field has many: without this, the code for such values would tell the holdout from real train.
    """
    for place, field in enumerate(train.schema.fields):
        if field.kind == "categorical":
            yield place, np.bincount(train.column(field.name), minlength=field.vocab_size) == 1


def _out_of_fold(
    codes: Sequence[NDArray[np.int32]], pairs: Sequence[tuple[int, int]], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much each row looks like one of the first table, (rows of both,), to a classifier that has not seen it."""
    from sklearn.linear_model import LogisticRegression

    features = _pairs_as_columns(codes, pairs)
    origin = np.repeat([1, 0], [len(each) for each in codes])
    same = np.unique(np.concatenate(codes), axis=0, return_inverse=True)[1].ravel()
    folds = order[same] % FOLDS
    scores = np.zeros(len(origin))  # 0, undecided, for rows that no fold can judge
    for fold in range(FOLDS):
        inside = folds == fold
        if not inside.any() or len(np.unique(origin[~inside])) < 2:  # few distinct rows: an empty fold, or one table
            continue
        model = LogisticRegression(C=STRENGTH, solver="liblinear", tol=1e-3, random_state=0).fit(
            features[~inside], origin[~inside]
        )
        scores[inside] = model.decision_function(features[inside])
    return scores


def _pairs_as_columns(codes: Sequence[NDArray[np.int32]], pairs: Sequence[tuple[int, int]]) -> Any:
    """A sparse 1 for each row and pair of columns, in the column of its combination; (rows of both, combinations)."""
    from scipy.sparse import csr_array

    numbers = np.column_stack([np.concatenate(combine(codes, pair)) for pair in pairs])
    sizes = numbers.max(axis=0) + 1
    numbers += np.cumsum(sizes) - sizes
    starts = np.arange(0, numbers.size + 1, len(pairs), dtype=np.int32)  # scikit-learn accepts no wider ones
    return csr_array((np.ones(numbers.size), numbers.ravel().astype(np.int32), starts), (len(numbers), sizes.sum()))


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `detection`."""
    register(Detection)
