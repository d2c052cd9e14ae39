"""Marginal fidelity: each column by itself.

In: the pool, real train and a real holdout. Out: how similar the shares of values are in the pool and in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Aspect, Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE, sample_of
from ctrbench_metrics._columns import encode_labelled
from ctrbench_metrics._similarity import chance_of_distance, worst_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Marginals(SyntheticMetric):
    """Similarity of each column's values to train's, mean over columns and label: 1 is equal (sdmetrics).

    For categories one minus the total variation distance (TVComplement, counted here: sdmetrics takes the square of the
    number of values), for numbers one minus the largest gap between cumulative shares (KSComplement). A column of which
    train, pool or holdout has no value is left out. Pool and holdout have equally many rows; the baseline is the
    holdout's similarity. Details: the five columns furthest below the holdout (`likeness of COLUMN`), and `chance`, the
    probability by a permutation test on the codes (numbers in 20 bins) that real rows would be as far away. Flagged
    where that is at most 2.5 %.

    It shows columns that come out wrong. It does not show how columns go together, so `independent` passes.
    """

    name: ClassVar[str] = "marginals"
    imports: ClassVar[tuple[str, ...]] = ("sdmetrics.single_column",)
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "likeness"
    aspect: ClassVar[Aspect] = "fidelity"
    rows: Annotated[int, "at most this many rows of each table, drawn by the seed", Ge(100)] = 50_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The mean similarity in [0, 1]; Skip where a table is empty. `reference` is not needed."""
        rng = np.random.default_rng(seed)
        size = min(len(synthetic), len(holdout), self.rows)
        real = sample_of(train, self.rows, rng)
        pool, unseen = (sample_of(table, size, rng) for table in (synthetic, holdout))
        likeness = [_likeness(real, each) for each in (pool, unseen)]
        both = [name for name in likeness[0] if name in likeness[1]]
        of_pool, of_holdout = ({name: each[name] for name in both} for each in likeness)
        in_train, in_pool, in_holdout = (
            [column.astype(np.int64) for column in each.T] for each in encode_labelled(real, pool, unseen)
        )
        chance = chance_of_distance(in_train, in_pool, in_holdout, rng)
        value, baseline = (float(np.mean(list(each.values()))) for each in (of_pool, of_holdout))
        details = {**worst_of(of_pool, of_holdout), "chance": chance, "compared_rows": float(size)}
        return Score(value, baseline, details, chance <= SIGNIFICANCE)


def _likeness(real: Table, other: Table) -> Mapping[str, float]:
    """The label's similarity, and that of each column of which both tables have values."""
    from sdmetrics.single_column import KSComplement

    found = {real.schema.label: _shared(real.targets, other.targets)}
    for field in real.schema.fields:
        columns = [table.rows[field.name][~table.missing(field)] for table in (real, other)]
        if field.kind == "categorical":
            found[field.name] = _shared(*(column.to_numpy() for column in columns))
        elif all(map(len, columns)):  # missing numbers count in the field that marks them
            found[field.name] = float(KSComplement.compute(*columns))
    return found


def _shared(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """The mass that two columns of codes share: one minus the total variation distance of their shares."""
    size = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(each, minlength=size) / len(each) for each in (first, second)]
    return float(np.minimum(*shares).sum())


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `marginals`."""
    register(Marginals)
