"""Category coverage.

In: the pool, real train and a real holdout. Out: what share of train's values occur in the pool at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Aspect, Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE, chance_of_worse, sample_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CategoryCoverage(SyntheticMetric):
    """Share of train's categories, over all fields, that occur in the pool.

    The baseline is the share that a real holdout of as many rows covers. Details: the worst field's share, and
    `chance`, the probability by a permutation test that real rows would cover as few. Flagged where that is at most 2.5
    %.

    It shows users and items that a generator forgot (mode collapse). It does not show whether values occur as often as
    in train, or with the right other values; noise covers everything.
    """

    name: ClassVar[str] = "category_coverage"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "share"
    aspect: ClassVar[Aspect] = "fidelity"
    rows: Annotated[int, "at most this many rows of the pool and of the holdout, drawn by the seed", Ge(100)] = 50_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip without categorical fields or rows. `reference` is not needed."""
        fields = train.schema.categorical
        if not fields:
            raise Skip("the data has no categorical field")
        rng = np.random.default_rng(seed)
        size = min(len(synthetic), len(holdout), self.rows)
        pool, unseen = (sample_of(table, size, rng).codes.T.astype(np.int64) for table in (synthetic, holdout))
        known = [
            np.bincount(column, minlength=field.vocab_size) > 0
            for field, column in zip(fields, train.codes.T, strict=True)
        ]

        def missed(field: int, counts: NDArray[np.int64]) -> float:
            return float(known[field].sum() - np.count_nonzero(counts[known[field][: len(counts)].nonzero()]))

        def covered(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.array(
                [len(np.intersect1d(column, each.nonzero())) for column, each in zip(rows, known, strict=True)]
            )

        of_pool, of_holdout = covered(pool), covered(unseen)
        sizes = np.array([each.sum() for each in known])
        chance = chance_of_worse(list(pool), list(unseen), missed, rng)
        details = {"worst_field": float((of_pool / sizes).min()), "chance": chance, "compared_rows": float(size)}
        return Score(
            float(of_pool.sum() / sizes.sum()), float(of_holdout.sum() / sizes.sum()), details, chance <= SIGNIFICANCE
        )


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `category_coverage`."""
    register(CategoryCoverage)
