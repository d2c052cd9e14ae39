"""Pair fidelity: two columns at a time.

In: the pool, real train and a real holdout. Out: how similar the shares of combinations are in the pool and in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Aspect, Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE, sample_of
from ctrbench_metrics._columns import combine, encode_labelled, some_pairs
from ctrbench_metrics._similarity import chance_of_distance, worst_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pairs(SyntheticMetric):
    """Similarity of combinations of two columns to train's, mean over pairs, label included: 1 is equal (sdmetrics).

    One minus the total variation distance of a pair's combinations (ContingencySimilarity; numbers in 20 bins of
    train). Pool and holdout have equally many rows; the baseline is the holdout's similarity, which is far below 1
    where combinations are many. Details: the five pairs furthest below the holdout (`likeness of PAIR`), and `chance`,
    the probability by a permutation test that real rows would be as far away. Flagged where that is at most 2.5 %.

    It shows dependence between two columns that was lost or invented. It does not show how three columns go together,
    nor whether a model learns anything from the rows.
    """

    name: ClassVar[str] = "pairs"
    imports: ClassVar[tuple[str, ...]] = ("sdmetrics.column_pairs",)
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "likeness"
    aspect: ClassVar[Aspect] = "fidelity"
    rows: Annotated[int, "at most this many rows of each table, drawn by the seed", Ge(100)] = 10_000
    pairs: Annotated[int, "at most this many pairs of columns, drawn by the seed", Ge(1)] = 100

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The mean similarity in [0, 1]; Skip where a table is empty. `reference` is not needed."""
        rng = np.random.default_rng(seed)
        size = min(len(synthetic), len(holdout), self.rows)
        real = sample_of(train, self.rows, rng)
        pool, unseen = (sample_of(table, size, rng) for table in (synthetic, holdout))
        codes = encode_labelled(real, pool, unseen)
        names = (*real.schema.names, real.schema.label)
        pairs = some_pairs(len(names), self.pairs, rng)
        in_train, in_pool, in_holdout = zip(*(combine(codes, pair) for pair in pairs), strict=True)
        chance = chance_of_distance(in_train, in_pool, in_holdout, rng)
        titles = {f"{names[first]} and {names[second]}": (first, second) for first, second in pairs}
        of_pool, of_holdout = (
            {title: _likeness(codes[0], other, pair) for title, pair in titles.items()} for other in codes[1:]
        )
        value, baseline = (float(np.mean(list(each.values()))) for each in (of_pool, of_holdout))
        details = {**worst_of(of_pool, of_holdout), "chance": chance, "compared_rows": float(size)}
        return Score(value, baseline, details, chance <= SIGNIFICANCE)


def _likeness(real: NDArray[np.int32], other: NDArray[np.int32], pair: tuple[int, int]) -> float:
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity

    return float(ContingencySimilarity.compute(*(pd.DataFrame(each[:, list(pair)]) for each in (real, other))))


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `pairs`."""
    register(Pairs)
