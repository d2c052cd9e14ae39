"""Every field by itself: what a pool is worth that knows nothing about two fields together.

In: a training table. Out: a sampler of rows whose fields are drawn one by one from train's columns, within a row's own
class or from all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Table, hookimpl

from ctrbench_generators._classes import shares_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Independent(Generator):
    """Product of train's marginals: each field drawn by itself, given the label (naive Bayes) or nothing.

    A control. Given the label, each field keeps what it says about clicks and all interactions are lost; given nothing,
    the rows say nothing about clicks at all. Numeric fields are drawn from train's own numbers.
    """

    name: ClassVar[str] = "independent"
    role: ClassVar[MethodRole] = MethodRole.CONTROL
    given: Annotated[Literal["label", "nothing"], "draw a field from the rows of the label, or from all rows"] = "label"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Nothing is learned: a column is its own marginal."""
        return IndependentSampler(train, self.given == "label", seed)


class IndependentSampler(Sampler):
    """Train, from whose columns values are drawn."""

    def __init__(self, train: Table, by_class: bool, seed: int) -> None:
        self._train = train
        self._by_class = by_class
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """Labels at train's click rate, shuffled; then for each field a value per row, with replacement."""
        import pandas as pd

        rng = np.random.default_rng([self._seed, seed])
        targets = self._train.targets
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), shares_of(targets, rows)))
        groups = [(np.arange(len(targets)), np.arange(rows))]  # rows of train, and the new rows that draw from them
        if self._by_class:
            groups = [(np.flatnonzero(targets == label), np.flatnonzero(labels == label)) for label in (0, 1)]
        columns: dict[str, NDArray[Any]] = {}
        for name in self._train.schema.names:
            values = self._train.rows[name].to_numpy()
            columns[name] = np.empty(rows, values.dtype)
            for real, new in groups:
                if len(new):
                    columns[name][new] = values[real[rng.integers(len(real), size=len(new))]]
        return Table(pd.DataFrame(columns, copy=False), self._train.schema, labels)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `independent`."""
    register(Independent)
