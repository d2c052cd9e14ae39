"""SMOTE for tables without numbers: each new row is a vote among near rows of its class.

In: a training table of categorical fields. Out: a sampler of new rows, made chunk by chunk where memory or the paper
asks for it; our engine and imbalanced-learn's make the same draws, so equal seeds give equal rows except for ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Forecast, Generator, Register, Sampler, Schema, Skip, Table, hookimpl

from ctrbench_generators._chunks import ChunkOrder, Chunks, deal, dealing_order, fewest_chunks, split
from ctrbench_generators._classes import class_counts, shares_of
from ctrbench_generators._neighbours import click_shares, nearest, vote

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALONE = 0.25
"""Values of a field, as a share of the rows, beyond which hardly any row has another near it."""

A_PAIR, A_STEP = 34.0, 4_000.0
"""Operations that comparing two rows counts for, per field, and a step down the tree."""


@dataclass(frozen=True)
class Smoten(Generator):
    """SMOTE for nominal features (Chawla et al. 2002), with the value difference metric, as in imbalanced-learn."""

    name: ClassVar[str] = "smoten"
    imports: ClassVar[tuple[str, ...]] = ("scipy.spatial", "imblearn.over_sampling")
    k_neighbors: Annotated[int, "neighbours that vote together with a row", Ge(1)] = 2
    chunks: Annotated[
        Chunks, "parts of train processed one by one; auto: 1, or with engine=imblearn the fewest that fit 2 GiB"
    ] = "auto"
    chunk_order: ChunkOrder = "file"
    engine: Annotated[Literal["native", "imblearn"], "ours, or imbalanced-learn's in n² time and memory"] = "native"

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """The native engine's; None for imbalanced-learn's.

        n log n as on Frappe (1.4 s for 202,027 rows of 10 fields). Where a field has one value for every few rows,
        nearly all rows are equally far apart and each is compared with all: 12 s for 40,000 rows of 22 fields.
        """
        if self.engine != "native" or schema.numeric or not rows:
            return None
        alone = max((field.vocab_size for field in schema.categorical), default=0) > rows * ALONE
        a_value = A_PAIR * rows if alone else A_STEP * math.log2(rows)
        return Forecast(len(schema.fields) * rows * a_value, 24.0 * rows * len(schema.fields))

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Assign train's rows to chunks; Skip where a field is numeric, ValueError where a class has too few rows."""
        if train.schema.numeric:
            names = ", ".join(field.name for field in train.schema.numeric)
            raise Skip(f"smoten is for nominal fields; numeric: {names}")
        order = dealing_order(len(train), self.chunk_order, seed)
        number = self.chunks
        if number == "auto":
            number = 1 if self.engine == "native" else fewest_chunks(train.targets[order])
        chunks = deal(train.targets, order, number, at_least=self.k_neighbors + 1)
        engine = self._vote if self.engine == "native" else self._defer
        return SmotenSampler(train, chunks, list(engine(train, chunks, context)), seed, context)

    def _vote(self, train: Table, chunks: list[NDArray[np.intp]], context: Context) -> Iterator[Maker]:
        """The native engine: each row's nearest vote now, so that sampling only draws."""
        codes, targets = train.codes, train.targets
        done = 0
        context.progress(done, len(train), {})
        for chunk in chunks:
            shares = click_shares(codes[chunk], targets[chunk])
            votes = []
            for label in (0, 1):
                mine = np.flatnonzero(targets[chunk] == label)
                rows = codes[chunk[mine]]
                voted = np.empty_like(rows)
                for near in nearest(shares[mine], self.k_neighbors + 1, threads=context.threads):
                    voted[near.rows] = vote(rows[near.neighbours.T])  # the row itself votes too
                    done += len(near.rows)
                    context.progress(done, len(train), {})
                votes.append(voted)
            yield Voted(votes)

    def _defer(self, train: Table, chunks: list[NDArray[np.intp]], context: Context) -> Iterator[Maker]:
        """imbalanced-learn: it finds neighbours again whenever rows are asked for."""
        codes, targets = train.codes, train.targets
        for chunk in chunks:
            yield Imblearn(codes[chunk], targets[chunk], self.k_neighbors)


class Maker(Protocol):
    """Makes the new rows of one chunk."""

    def new_rows(self, wanted: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """New rows, `wanted` of each class, negatives first, and their labels."""


@dataclass(frozen=True)
class Voted:
    """A chunk whose rows' neighbours have voted."""

    votes: list[NDArray[np.int32]]  # for each class, (rows of it in the chunk, fields)

    def new_rows(self, wanted: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """Votes drawn with replacement; each class from the same seed, as imbalanced-learn does."""
        drawn = [
            votes[np.random.RandomState(seed).choice(len(votes), number)]
            for votes, number in zip(self.votes, wanted, strict=True)
        ]
        return np.concatenate(drawn), np.repeat(np.array([0, 1], np.int8), wanted)


@dataclass(frozen=True)
class Imblearn:
    """A chunk that imbalanced-learn resamples."""

    codes: NDArray[np.int32]
    labels: NDArray[np.int8]
    k_neighbors: int

    def new_rows(self, wanted: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """What imbalanced-learn adds to the chunk to bring each class to its size plus the wanted rows."""
        from imblearn.over_sampling import SMOTEN

        sizes = class_counts(self.labels) + wanted
        sampler = SMOTEN(sampling_strategy=dict(enumerate(sizes)), k_neighbors=self.k_neighbors, random_state=seed)
        codes, labels = sampler.fit_resample(self.codes, self.labels)
        return codes[len(self.codes) :], labels[len(self.codes) :]  # the real rows come first


class SmotenSampler(Sampler):
    """Train in chunks, and a maker of new rows for each."""

    def __init__(
        self, train: Table, chunks: list[NDArray[np.intp]], makers: list[Maker], seed: int, context: Context
    ) -> None:
        self._train = train
        self._counts = np.array([class_counts(train.targets[chunk]) for chunk in chunks])  # (chunks, classes)
        self._makers = makers
        self._seed = seed
        self._context = context

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows, of each chunk and class in proportion to its rows; shuffled, so that any prefix is a fair mix."""
        import pandas as pd

        randomness = np.random.RandomState([self._seed, seed])
        wanted = split(shares_of(self._train.targets, rows), self._counts)
        parts = []
        for number, (maker, new) in enumerate(zip(self._makers, wanted, strict=True)):
            self._context.progress(number, len(self._makers), {})
            parts.append(maker.new_rows(new, randomness.randint(2**31)))
        self._context.progress(len(self._makers), len(self._makers), {})
        order = randomness.permutation(rows)
        codes = np.concatenate([part for part, _ in parts])[order].astype(np.int32, copy=False)  # (rows, fields)
        labels = np.concatenate([part for _, part in parts])[order]
        return Table(pd.DataFrame(codes, columns=list(self._train.schema.names)), self._train.schema, labels)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The number of chunks, and the rows of the largest class in any of them."""
        return {"chunks": len(self._counts), "largest class": int(self._counts.max())}


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `smoten`."""
    register(Smoten)
