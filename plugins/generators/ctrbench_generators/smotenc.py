"""SMOTE for tables with numbers and categories: new numbers between two near rows, new values by a vote.

In: a training table with fields of both kinds. Out: a sampler of new rows, made by imbalanced-learn chunk by chunk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Generator, Register, Sampler, Skip, Table, hookimpl

from ctrbench_generators._chunks import MEMORY, ChunkOrder, Chunks, deal, dealing_order, fewest_chunks, split
from ctrbench_generators._classes import class_counts, shares_of
from ctrbench_generators._numbers import Rounding, refuse_huge

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Smotenc(Generator):
    """SMOTE for nominal and continuous features (Chawla et al. 2002), by imbalanced-learn.

    Only new rows are returned, as many of each class as keep train's click rate; new numbers have train's decimals.
    """

    name: ClassVar[str] = "smotenc"
    imports: ClassVar[tuple[str, ...]] = ("imblearn.over_sampling",)
    k_neighbors: Annotated[int, "neighbours of a row: it is mixed with one of them, and all vote", Ge(1)] = 5
    chunks: Annotated[Chunks, "parts of train processed one by one; auto: the fewest that fit 2 GiB"] = "auto"
    chunk_order: ChunkOrder = "file"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Assign train's rows to chunks; Skip without a field of either kind, ValueError for a class with too few rows.

        UserError for numbers whose squares are infinite. imbalanced-learn finds neighbours again whenever rows are
        asked for, so nothing else is done here.
        """
        if not train.schema.numeric:
            raise Skip("smotenc needs a numeric field beside the categorical ones, and there is none: use smoten")
        if not train.schema.categorical:
            raise Skip("smotenc needs a categorical field beside the numeric ones, and there is none")
        refuse_huge(train, self.name)
        order = dealing_order(len(train), self.chunk_order, seed)
        number = self.chunks
        if number == "auto":
            number = fewest_chunks(train.targets[order], 16 * self._largest_class(train) ** 2)
        chunks = deal(train.targets, order, number, at_least=self.k_neighbors + 1)
        return SmotencSampler(train, chunks, self.k_neighbors, seed, context)

    def _largest_class(self, train: Table) -> int:
        """Rows of one class that fit `MEMORY`: their distances, twice, and then dense one-hots of all neighbours.

        The one-hots have a column for each value in the chunk: at most train's values, or one for each row and field.
        """
        columns = sum(train.rows[field.name].nunique() for field in train.schema.categorical)
        columns_a_row = len(train.schema.categorical) * len(train) / class_counts(train.targets).max()
        numbers = MEMORY // (8 * (self.k_neighbors + 2))
        wide = max(numbers // columns, math.isqrt(int(numbers / columns_a_row)))
        return max(min(math.isqrt(MEMORY // 16), wide), self.k_neighbors + 1)


class SmotencSampler(Sampler):
    """Train in chunks that imbalanced-learn resamples."""

    def __init__(
        self, train: Table, chunks: list[NDArray[np.intp]], k_neighbors: int, seed: int, context: Context
    ) -> None:
        self._train = train
        self._roundings = {field.name: Rounding.of(train.rows[field.name].to_numpy()) for field in train.schema.numeric}
        self._chunks = chunks
        self._counts = np.array([class_counts(train.targets[chunk]) for chunk in chunks])  # (chunks, classes)
        self._k_neighbors = k_neighbors
        self._seed = seed
        self._context = context

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows, of each chunk and class in proportion to its rows; shuffled, so that any prefix is a fair mix."""
        import pandas as pd

        randomness = np.random.RandomState([self._seed, seed])
        wanted = split(shares_of(self._train.targets, rows), self._counts)
        values = self._train.rows.to_numpy(np.float64)  # (rows of train, fields)
        parts = []
        for number, (chunk, new) in enumerate(zip(self._chunks, wanted, strict=True)):
            self._context.progress(number, len(self._chunks), {})
            parts.append(self._new_rows(values[chunk], self._train.targets[chunk], new, randomness.randint(2**31)))
        self._context.progress(len(self._chunks), len(self._chunks), {})
        order = randomness.permutation(rows)
        made = np.concatenate([part for part, _ in parts])[order]  # (rows, fields)
        labels = np.concatenate([part for _, part in parts])[order]
        columns = dict(zip(self._train.schema.names, made.T, strict=True))
        columns.update({name: rounding.round(columns[name]) for name, rounding in self._roundings.items()})
        return Table(pd.DataFrame(columns).astype(self._train.rows.dtypes), self._train.schema, labels)

    def _new_rows(
        self, values: NDArray[np.float64], labels: NDArray[np.int8], wanted: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """What imbalanced-learn adds to a chunk to bring each class to its size plus the wanted rows."""
        from imblearn.over_sampling import SMOTENC

        sampler = SMOTENC(
            [place for place, field in enumerate(self._train.schema.fields) if field.kind == "categorical"],
            sampling_strategy=dict(enumerate(class_counts(labels) + wanted)),
            k_neighbors=self._k_neighbors,
            random_state=seed,
        )
        made, targets = sampler.fit_resample(values, labels)
        return made[len(values) :], targets[len(values) :]  # the real rows come first

    @property
    def details(self) -> Mapping[str, float | str]:
        """The number of chunks, and the rows of the largest class in any of them."""
        return {"chunks": len(self._counts), "largest class": int(self._counts.max())}


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `smotenc`."""
    register(Smotenc)
