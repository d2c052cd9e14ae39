"""Train in parts that are processed one by one, where memory or the paper asks for it.

In: labels in the order in which rows are assigned, and a number of chunks. Out: the rows of each chunk, and how many
new rows each has to supply.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from ctrbench_generators._classes import class_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY = 2 * 2**30
"""Bytes that `chunks=auto` allows imbalanced-learn for the distances of one class in one chunk."""

Chunks = Annotated[int, Ge(1)] | Literal["auto"]
ChunkOrder = Annotated[Literal["file", "shuffled"], "how train's rows are assigned to chunks"]


def dealing_order(rows: int, chunk_order: str, seed: int) -> NDArray[np.intp]:
    """The rows' positions in the order of assignment: as in the file, or shuffled."""
    order = np.arange(rows)
    return np.random.default_rng(seed).permutation(order) if chunk_order == "shuffled" else order


def deal(labels: NDArray[np.int8], order: NDArray[np.intp], number: int, *, at_least: int) -> list[NDArray[np.intp]]:
    """The rows of each of `number` chunks; ValueError where one has fewer than `at_least` rows of a class."""
    counts = _counts(labels[order], number)
    short = np.argwhere(counts < at_least)
    if len(short):
        chunk, label = short[0]
        raise ValueError(
            f"k_neighbors={at_least - 1} needs more than {at_least - 1} rows of each class in each chunk; "
            f"chunk {chunk + 1} of {len(counts)} has {counts[chunk, label]} of class {label}"
            f"{_advice(int(class_counts(labels)[label]), number, at_least, (np.diff(order) == 1).all())}"
        )
    return np.array_split(order, number)


def _advice(rows: int, number: int, at_least: int, as_in_file: bool) -> str:
    """What helps a class of this many rows that is too small for a chunk."""
    if number > 1 and rows >= at_least:
        return ": take fewer chunks" + (" or chunk_order=shuffled" if as_in_file else "")
    if rows > 1:
        return f", and train has {rows} in all: take k_neighbors={rows - 1}" + (" and chunks=1" if number > 1 else "")
    return f", and train has {rows} in all: no other row can be a neighbour"


def fewest_chunks(labels: NDArray[np.int8], memory: int = MEMORY) -> int:
    """The fewest equal parts of the rows, in their order, in which no class needs more than `memory` bytes.

    imbalanced-learn needs about 16·n² bytes for a class of n rows: its distances, twice.
    """
    largest = math.isqrt(memory // 16)
    number = -(-int(class_counts(labels).max()) // largest)
    while _counts(labels, number).max() > largest:
        number += 1
    return number


def split(new: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """New rows of each class assigned to chunks, (chunks, 2), in proportion to the rows they have."""
    share = np.cumsum(counts, axis=0) / counts.sum(axis=0)
    upto: NDArray[np.int64] = np.rint(share * new).astype(np.int64)
    return np.diff(upto, axis=0, prepend=0)


def _counts(labels: NDArray[np.int8], chunks: int) -> NDArray[np.int64]:
    """Rows of each class in each chunk, (chunks, 2)."""
    return np.array([class_counts(part) for part in np.array_split(labels, chunks)])
