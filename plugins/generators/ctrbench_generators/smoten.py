"""SMOTE for tables without numbers: each new row is a vote among near rows of its class.

In: a training table of categorical fields. Out: a sampler of new rows, made chunk by chunk to bound memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Generator, Register, Sampler, Skip, Table, hookimpl

from ctrbench_generators._classes import class_counts, shares_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY = 2 * 2**30
"""Bytes that `chunks=auto` allows the distances of one class in one chunk."""


@dataclass(frozen=True)
class Smoten(Generator):
    """SMOTE for nominal features (Chawla et al. 2002), by imbalanced-learn."""

    name: ClassVar[str] = "smoten"
    imports: ClassVar[tuple[str, ...]] = ("imblearn.over_sampling",)
    k_neighbors: Annotated[int, "neighbours of a row that vote beside it", Ge(1)] = 2
    chunks: Annotated[
        Annotated[int, Ge(1)] | Literal["auto"], "parts of train made one by one; auto: the fewest that fit 2 GiB"
    ] = "auto"
    chunk_order: Annotated[Literal["file", "shuffled"], "how train's rows are dealt to chunks"] = "file"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Deal train's rows to chunks; Skip where a field is numeric, ValueError where a class has too few rows."""
        if train.schema.numeric:
            names = ", ".join(field.name for field in train.schema.numeric)
            raise Skip(f"smoten is for nominal fields; numeric: {names}")
        order = np.arange(len(train))
        if self.chunk_order == "shuffled":
            order = np.random.default_rng(seed).permutation(order)
        labels = train.targets[order]
        number = fewest_chunks(labels) if self.chunks == "auto" else self.chunks
        chunks = np.array_split(order, number)
        self._check(_counts(labels, number))
        return SmotenSampler(self, train, chunks, seed, context)

    def _check(self, counts: NDArray[np.int64]) -> None:
        short = np.argwhere(counts <= self.k_neighbors)
        if len(short):
            chunk, label = short[0]
            raise ValueError(
                f"k_neighbors={self.k_neighbors} needs more than {self.k_neighbors} rows of each class in each chunk; "
                f"chunk {chunk + 1} of {len(counts)} has {counts[chunk, label]} of class {label}: "
                "take fewer chunks or chunk_order=shuffled"
            )


class SmotenSampler(Sampler):
    """Train in chunks; neighbours are found anew whenever rows are asked for."""

    def __init__(self, spec: Smoten, train: Table, chunks: list[NDArray[np.intp]], seed: int, context: Context) -> None:
        self._spec = spec
        self._train = train
        self._chunks = chunks
        self._seed = seed
        self._context = context

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows, of each chunk and class in proportion to its rows; shuffled, so that any prefix is a fair mix."""
        import pandas as pd

        randomness = np.random.RandomState([self._seed, seed])
        codes, targets = self._train.codes, self._train.targets
        counts = np.array([class_counts(targets[chunk]) for chunk in self._chunks])  # (chunks, classes)
        wanted = _split(shares_of(targets, rows), counts)
        parts = []
        for number, (chunk, new) in enumerate(zip(self._chunks, wanted, strict=True)):
            self._context.progress(number, len(self._chunks), {})
            parts.append(self._new_rows(codes[chunk], targets[chunk], counts[number] + new, randomness.randint(2**31)))
        self._context.progress(len(self._chunks), len(self._chunks), {})
        order = randomness.permutation(rows)
        new_codes = np.concatenate([part for part, _ in parts])[order].astype(np.int32)  # (rows, fields)
        labels = np.concatenate([part for _, part in parts])[order]
        return Table(pd.DataFrame(new_codes, columns=list(self._train.schema.names)), self._train.schema, labels)

    def _new_rows(
        self, codes: NDArray[np.int32], labels: NDArray[np.int8], sizes: NDArray[np.int64], seed: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
        """What imbalanced-learn adds to bring both classes to these sizes."""
        from imblearn.over_sampling import SMOTEN

        sampler = SMOTEN(
            sampling_strategy=dict(enumerate(sizes)), k_neighbors=self._spec.k_neighbors, random_state=seed
        )
        all_codes, all_labels = sampler.fit_resample(codes, labels)
        return all_codes[len(codes) :], all_labels[len(codes) :]  # the real rows stand in front

    @property
    def details(self) -> Mapping[str, float | str]:
        """The number of chunks, and the rows of the largest class in any of them."""
        largest = max(class_counts(self._train.targets[chunk]).max() for chunk in self._chunks)
        return {"chunks": len(self._chunks), "largest class": int(largest)}


def fewest_chunks(labels: NDArray[np.int8], memory: int = MEMORY) -> int:
    """The fewest equal parts of the rows, in their order, of whose classes none needs more than `memory` bytes.

    imbalanced-learn needs about 16·n² bytes for a class of n rows: its distances, twice.
    """
    largest = math.isqrt(memory // 16)
    number = -(-int(class_counts(labels).max()) // largest)
    while _counts(labels, number).max() > largest:
        number += 1
    return number


def _counts(labels: NDArray[np.int8], chunks: int) -> NDArray[np.int64]:
    """Rows of each class in each chunk, (chunks, 2)."""
    return np.array([class_counts(part) for part in np.array_split(labels, chunks)])


def _split(new: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """New rows of each class dealt to chunks, (chunks, 2), in proportion to the rows they have."""
    share = np.cumsum(counts, axis=0) / counts.sum(axis=0)
    upto: NDArray[np.int64] = np.rint(share * new).astype(np.int64)
    return np.diff(upto, axis=0, prepend=0)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `smoten`."""
    register(Smoten)
