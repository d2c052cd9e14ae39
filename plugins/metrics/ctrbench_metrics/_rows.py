"""Which rows of several tables are equal, exactly and in n log n.

In: tables of one schema. Out: one integer per row; two rows have the same integer if and only if they agree in every
field asked for. No hashes are involved, so nothing can collide, and memory is a few integers per row at any width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctrbench import Table
    from numpy.typing import NDArray

LARGEST = 2**62
"""Row numbers stay below this, so that a label still fits into the same int64."""


@dataclass(frozen=True)
class Matches:
    """How many rows were found in a reference: counted with multiplicity, and as distinct rows."""

    rows: int
    distinct: int


def number_rows(*tables: Table, fields: Sequence[str] | None = None) -> list[NDArray[np.int64]]:
    """One number per row, (rows,) per table, equal where all fields (or the named ones) are equal.

    Categorical fields are compared by code, numeric ones as float64 (-0.0 is 0.0). The numbers mean nothing beyond one
    call.
    """
    names = tables[0].schema.names if fields is None else tuple(fields)
    numbers = np.zeros(sum(len(table) for table in tables), np.int64)
    size = 1  # every number is below it
    for name in names:
        values, distinct = _small_integers(np.concatenate([t.rows[name].to_numpy() for t in tables]))
        if size * distinct > LARGEST:  # mixed radix would overflow: renumber the distinct ones
            numbers, size = _ranks(numbers)
        if size * distinct > LARGEST:
            values, distinct = _ranks(values)
        numbers *= distinct
        numbers += values
        size *= distinct
    ends = np.cumsum([len(table) for table in tables])
    return np.split(numbers, ends[:-1])


def occurrences(rows: NDArray[np.int64], reference: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each row occurs in the reference, (rows,)."""
    known, counts = np.unique(reference, return_counts=True)
    if not len(known):
        return np.zeros(len(rows), np.int64)
    places = np.minimum(np.searchsorted(known, rows), len(known) - 1)
    return np.where(known[places] == rows, counts[places], 0)


def with_labels(numbers: NDArray[np.int64], table: Table) -> NDArray[np.int64]:
    """Numbers that are equal only where the rows' labels are equal too."""
    return numbers * 2 + table.targets


def count_matches(rows: NDArray[np.int64], reference: NDArray[np.int64]) -> Matches:
    """How many of the rows occur in the reference."""
    known = np.sort(reference)
    distinct, counts = np.unique(rows, return_counts=True)
    if not len(known):
        return Matches(0, 0)
    # Both are sorted, so the search walks through memory once instead of jumping about.
    places = np.minimum(np.searchsorted(known, distinct), len(known) - 1)
    found = known[places] == distinct
    return Matches(int(counts[found].sum()), int(found.sum()))


def _small_integers(values: NDArray[np.generic]) -> tuple[NDArray[np.int64], int]:
    """Integers from 0 that are equal where the values are, and a bound above them."""
    if values.dtype.kind == "f":
        zero = np.zeros((), values.dtype)
        return _ranks(np.where(values == zero, zero, values).view(np.int64))  # -0.0 has other bits than 0.0
    if not len(values):
        return values.astype(np.int64), 1
    lowest, highest = int(values.min()), int(values.max())
    return values.astype(np.int64) - lowest, highest - lowest + 1


def _ranks(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    distinct, ranks = np.unique(values, return_inverse=True)
    return ranks.astype(np.int64, copy=False), max(len(distinct), 1)
