"""Generators of synthyverse, which needs Python 3.12 and a pandas that ctrbench does not support.

In: a training table. Out: rows of a generator that learned the label as one more categorical column.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from ctrbench import Budgeted, Context, Generator, Register, Sampler, Table, hookimpl

if TYPE_CHECKING:
    import pandas as pd
    from ctrbench import Schema


@dataclass(frozen=True)
class Synthyverse(Generator):
    """A generator of synthyverse, at the settings of its paper where a parameter does not say otherwise."""

    @abstractmethod
    def generator(self, seed: int) -> Any:
        """A new generator of the library."""

    def columns(self, train: Table, seed: int) -> pd.DataFrame:
        """What it learns: the fields and the label."""
        return train.rows.assign(**{train.schema.label: train.targets.astype(np.int64)})

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Fit it."""
        categorical = [field.name for field in train.schema.categorical]
        generator = self.generator(seed)
        generator.fit(self.columns(train, seed), [*categorical, train.schema.label])
        return Drawn(generator, train.schema)


@dataclass(frozen=True)
class Arf(Synthyverse):
    """Adversarial random forests (Watson et al. 2023), grown until they cannot tell real rows from drawn ones."""

    name: ClassVar[str] = "arf"
    num_trees: Annotated[int, "trees of each forest", Ge(1)] = 20
    min_node_size: Annotated[int, "minimum number of rows in a leaf", Ge(1)] = 5
    max_iters: Annotated[int, "maximum number of forests that tell real rows from drawn ones", Ge(1)] = 10

    def generator(self, seed: int) -> Any:
        """Arfpy's, mended by synthyverse."""
        from synthyverse.generators import ARFGenerator

        return ARFGenerator(
            num_trees=self.num_trees,
            min_node_size=self.min_node_size,
            max_iters=self.max_iters,
            verbose=False,
            random_state=seed,
        )


@dataclass(frozen=True)
class TabDiff(Synthyverse):
    """Diffusion of numbers and masked categories at learned rates, by a transformer (Shi et al. 2025)."""

    name: ClassVar[str] = "tabdiff"
    epochs: Annotated[int, "passes over train", Ge(1), Budgeted()] = 8000
    batch_size: Annotated[int, "rows per step", Ge(1)] = 4096

    def generator(self, seed: int) -> Any:
        """The authors' code, as synthyverse has it."""
        from synthyverse.generators import TabDiffGenerator

        return TabDiffGenerator(epochs=self.epochs, batch_size=self.batch_size, random_state=seed)


@dataclass(frozen=True)
class Cdtd(Synthyverse):
    """Continuous diffusion of numbers and of categories' embeddings (Mueller et al. 2025).

    Synthyverse's refuses a log without numbers. Such a log is given a column of noise, which its pools leave out again.
    """

    name: ClassVar[str] = "cdtd"
    training_steps: Annotated[int, "steps of training", Ge(1), Budgeted()] = 30_000
    batch_size: Annotated[int, "rows per step", Ge(1)] = 4096
    precision: Annotated[Literal["float32", "bf16"], "precision of matrix products"] = "float32"

    def generator(self, seed: int) -> Any:
        """The authors' code, as synthyverse has it."""
        from synthyverse.generators import CDTDGenerator

        return CDTDGenerator(
            training_steps=self.training_steps,
            num_steps_warmup=self.training_steps // 30,  # 1,000 of 30,000
            batch_size=self.batch_size,
            random_state=seed,
        )

    def columns(self, train: Table, seed: int) -> pd.DataFrame:
        """The fields, the label, and noise where no field is numeric."""
        columns = super().columns(train, seed)
        if not train.schema.numeric:
            unused = "_" * (1 + max(map(len, columns)))  # a name that no column has
            columns[unused] = np.random.default_rng(seed).standard_normal(len(train))
        return columns

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Fit it."""
        import torch

        # the library's loop has all its steps in here: a cache would keep the weights of the first
        device = "cuda" if torch.cuda.is_available() else "cpu"  # as the library chooses
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False):
            drawn = super().fit(train, seed=seed, context=context)
        return drawn if self.precision == "float32" else Rounded(drawn)


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


@dataclass(frozen=True, eq=False)
class Rounded(Sampler):
    """Draws by products of numbers rounded to bf16, summed and kept in float32: rounded logits would be ties."""

    exact: Sampler

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows."""
        import torch

        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return self.exact.sample(rows, seed=seed)
        finally:
            torch.set_float32_matmul_precision(before)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `arf`, `tabdiff` and `cdtd`."""
    for generator in (Arf, TabDiff, Cdtd):
        register(generator)
