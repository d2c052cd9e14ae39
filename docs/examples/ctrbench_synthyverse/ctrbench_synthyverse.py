"""Generators of synthyverse, which needs Python 3.12 and a pandas that ctrbench does not support.

In: a training table. Out: rows of a generator that learned the label as one more categorical column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl

if TYPE_CHECKING:
    import pandas as pd
    from ctrbench import Schema


@dataclass(frozen=True)
class Arf(Generator):
    """Adversarial random forests (Watson et al. 2023), as synthyverse has them."""

    name: ClassVar[str] = "arf"
    num_trees: Annotated[int, "trees of each forest", Ge(1)] = 20
    min_node_size: Annotated[int, "minimum number of rows in a leaf", Ge(1)] = 5
    max_iters: Annotated[int, "maximum number of forests that tell real rows from drawn ones", Ge(1)] = 10

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Grow forests until they cannot tell real rows from drawn ones."""
        from synthyverse.generators import ARFGenerator

        generator = ARFGenerator(
            num_trees=self.num_trees,
            min_node_size=self.min_node_size,
            max_iters=self.max_iters,
            verbose=False,
            random_state=seed,
        )
        rows = train.rows.assign(**{train.schema.label: train.targets.astype(np.int64)})
        categorical = [field.name for field in train.schema.fields if field.kind == "categorical"]
        generator.fit(rows, [*categorical, train.schema.label])
        return Drawn(generator, train.schema)


@dataclass(frozen=True, eq=False)
class Drawn(Sampler):
    """A fitted generator of synthyverse."""

    generator: Any
    schema: Schema

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows; a code is an int32 again."""
        made: pd.DataFrame = self.generator.generate(rows, random_state=seed)
        labels = made.pop(self.schema.label).to_numpy().astype(np.int8)
        kinds = {field.name: np.int32 if field.kind == "categorical" else np.float64 for field in self.schema.fields}
        return Table(made[list(self.schema.names)].astype(kinds), self.schema, labels)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `arf`."""
    register(Arf)
