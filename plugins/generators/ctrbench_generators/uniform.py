"""Noise in the right format: the floor that every method should stay above.

In: a training table, of which only the vocabularies, the ranges and decimals of numbers and the click rate are used.
Out: a sampler of meaningless rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Table, hookimpl

from ctrbench_generators._classes import shares_of
from ctrbench_generators._numbers import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Uniform(Generator):
    """Noise: every field uniform over its vocabulary or train's range, labels at train's click rate.

    A control. If it helps, the number of rows or the balance of classes helps, not anything that the rows say.
    """

    name: ClassVar[str] = "uniform"
    role: ClassVar[MethodRole] = MethodRole.CONTROL

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Nothing is learned but the range and the decimals of each numeric field."""
        return UniformSampler(train, seed)


class UniformSampler(Sampler):
    """Train's vocabularies, ranges, decimals and click rate."""

    def __init__(self, train: Table, seed: int) -> None:
        self._schema = train.schema
        self._targets = train.targets
        self._roundings = {field.name: Rounding.of(train.rows[field.name].to_numpy()) for field in train.schema.numeric}
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """Fields and labels drawn independently of each other; the labels in train's exact shares."""
        import pandas as pd

        rng = np.random.default_rng([self._seed, seed])
        columns: dict[str, NDArray[Any]] = {}
        for field in self._schema.fields:
            if field.kind == "categorical":
                columns[field.name] = rng.integers(1, field.vocab_size, rows, dtype=np.int32)
            else:
                rounding = self._roundings[field.name]
                low, high = rounding.interval
                drawn = 2 * rng.uniform(low / 2, high / 2, rows)  # by halves, as high - low may be infinite
                columns[field.name] = rounding.round(drawn)
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), shares_of(self._targets, rows)))
        return Table(pd.DataFrame(columns, copy=False), self._schema, labels)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `uniform`."""
    register(Uniform)
