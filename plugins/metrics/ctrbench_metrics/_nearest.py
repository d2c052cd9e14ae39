"""How near rows are to their nearest rows of another table: exact Hamming distances, each field counting one.

In: tables of one schema, as codes, (rows, fields). Out: for each row the distances to the nearest and the second
nearest of the other rows, or how many of them lie at each small distance.

There are two ways. Two rows are at most d apart if and only if they agree on some F - d fields: for d = 0, 1, 2, … all
such subsets are numbered, sorted and counted, and only rows without an answer go on. A pair of rows that are e apart
agrees on C(F - e, d - e) of the subsets, so the counts at lower distances say how much of the sum is new. Where the
subsets would be more work, with many fields or few rows, blocks of rows are compared pair by pair. The choice affects
only the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ctrbench import Table
    from numpy.typing import NDArray

NUMERIC_BINS = 20
"""Numbers count as equal where they fall between the same two quantiles of train: this many bins of equal mass.

A number that fills two of them has one of its own, or it would hide rarer ones on either side of it.
"""

LARGEST = 2**62
"""Row numbers stay below this; wider tables are compared pair by pair."""

ROWS, OTHERS = 16, 4096
"""A block of pairs: its arrays of bytes fit the nearest cache."""

SORT, FIND, COMPARE = 80e-9, 60e-9, 0.12e-9
"""Seconds to sort one other row and to find one row, per subset, and to compare one field of a pair (one core)."""


def encode(train: Table, *tables: Table) -> list[NDArray[np.int32]]:
    """The codes of train's rows and of each table's, (rows, fields), without labels; numbers become bins of train.

    Missing numbers have a bin of their own.
    """
    columns = []
    for field in train.schema.fields:
        values = [table.rows[field.name].to_numpy() for table in (train, *tables)]
        if field.kind == "numeric":
            missing = [table.missing(field) for table in (train, *tables)]
            known = values[0][~missing[0]]
            shares = np.linspace(0, 1, NUMERIC_BINS + 1)[1:-1]
            bounds = np.quantile(known, shares) if len(known) else known
            edges, times = np.unique(bounds, return_counts=True)
            bins = [np.searchsorted(edges, each) + np.searchsorted(edges[times > 1], each, "right") for each in values]
            values = [
                np.where(where, NUMERIC_BINS, each).astype(np.int32) for where, each in zip(missing, bins, strict=True)
            ]
        columns.append(values)
    return [np.column_stack(parts) for parts in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Nearest:
    """Each row's two nearest other rows: their distances, (rows,), fields + 1 where there is none.

    `record` is the position of one other row at the first distance, -1 where there is none.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    record: NDArray[np.int64]


def find_nearest(rows: NDArray[np.int32], others: NDArray[np.int32]) -> Nearest:
    """The nearest and the second nearest other row of each row; equal other rows count one by one."""
    fields = rows.shape[1]
    found = _nobody(len(rows), fields + 1)
    subsets = _Subsets(rows, others)
    at = np.zeros((len(rows), fields + 1), np.int64)  # others at each distance
    asked = np.arange(len(rows))
    for distance in range(fields + 1):
        if subsets.seconds(len(asked), distance) > len(asked) * len(others) * fields * COMPARE:
            found.first[asked] = found.second[asked] = fields + 1
            for some, begin, apart in _pairwise(rows, others, asked):
                _keep_nearest(found, some, begin, apart)
            break
        at[asked, distance], record = subsets.count(asked, at, distance)
        new = asked[found.record[asked] < 0]
        found.record[new] = record[found.record[asked] < 0]
        found.first[new[found.record[new] >= 0]] = distance
        settled = at[asked, : distance + 1].sum(axis=1) > 1
        found.second[asked[settled]] = distance
        asked = asked[~settled]
        if not len(asked):
            break
    return found


def count_near(rows: NDArray[np.int32], others: NDArray[np.int32], radius: int) -> NDArray[np.int64]:
    """How many other rows lie at each distance from 0 to `radius`, (rows, radius + 1)."""
    fields = rows.shape[1]
    subsets = _Subsets(rows, others)
    at = np.zeros((len(rows), radius + 1), np.int64)
    asked = np.arange(len(rows))
    distances = range(min(radius, fields) + 1)
    if sum(subsets.seconds(len(rows), each) for each in distances) > len(rows) * len(others) * fields * COMPARE:
        for some, _, apart in _pairwise(rows, others, asked):
            for distance in distances:
                at[some, distance] += np.count_nonzero(apart == distance, axis=1)
        return at
    for distance in distances:
        at[:, distance], _ = subsets.count(asked, at, distance)
    return at


def find_nearest_weighted(rows: NDArray[np.int32], others: NDArray[np.int32], weights: NDArray[np.float64]) -> Nearest:
    """The same, with a weight for each field in which two rows differ, (fields,); 65,535 where there is no row.

    Weights are rounded to multiples of 1 / 60,000 of their sum, so that equal distances are equal.
    """
    whole = np.round(weights / max(weights.sum(), np.finfo(float).tiny) * 60_000).astype(np.uint16)
    found = _nobody(len(rows), np.iinfo(np.uint16).max)
    for some, begin, apart in _pairwise(rows, others, np.arange(len(rows)), whole):
        _keep_nearest(found, some, begin, apart)
    return found


class _Subsets:
    """Rows and others as sums of one number per field: subtracting some leaves a number for the other fields."""

    def __init__(self, rows: NDArray[np.int32], others: NDArray[np.int32]) -> None:
        self._fields = rows.shape[1]
        parts, size = [], 1
        for column, other in zip(rows.T, others.T, strict=True):
            lowest = min(column.min(initial=0), other.min(initial=0))
            parts.append([(each.astype(np.int64) - lowest) * (size % LARGEST) for each in (column, other)])
            size *= int(max(column.max(initial=0), other.max(initial=0)) - lowest) + 1
        self._possible = size <= LARGEST and len(rows) > 0 and len(others) > 0
        self._rows, self._others = (np.array(each) for each in zip(*parts, strict=True))  # (fields, rows)

    def seconds(self, rows: int, distance: int) -> float:
        """Roughly how long `count` takes for this many rows; infinite where rows cannot be numbered."""
        if not self._possible:
            return float("inf")
        return comb(self._fields, distance) * (self._others.shape[1] * SORT + rows * FIND)

    def count(
        self, asked: NDArray[np.int64], at: NDArray[np.int64], distance: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many others are exactly this far away, given the counts at lower distances; and one at most this far.

        Both (asked,); the second is -1 where there is none.
        """
        parts = self._rows[:, asked]
        found, record = np.zeros(len(asked), np.int64), np.full(len(asked), -1)
        whole, known = parts.sum(axis=0), self._others.sum(axis=0)
        for dropped in map(list, combinations(range(self._fields), distance)):
            numbers = known - self._others[dropped].sum(axis=0)
            order = np.argsort(numbers)
            numbers = numbers[order]
            starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
            counts, numbers = np.diff(starts, append=len(numbers)), numbers[starts]
            wanted = whole - parts[dropped].sum(axis=0)
            places = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
            hits = np.flatnonzero(numbers[places] == wanted)
            found[hits] += counts[places[hits]]
            record[hits] = order[starts[places[hits]]]
        for nearer in range(distance):
            found -= comb(self._fields - nearer, distance - nearer) * at[asked, nearer]
        return found, record


def _pairwise(
    rows: NDArray[np.int32],
    others: NDArray[np.int32],
    asked: NDArray[np.int64],
    weights: NDArray[np.uint16] | None = None,
) -> Iterator[tuple[NDArray[np.int64], int, NDArray[np.unsignedinteger]]]:
    """Positions of some rows, the position of the first of some others, and their distances (some rows, some others).

    A field weighs 1 unless weights are given.
    """
    columns = [_narrow(*each) for each in zip(rows[asked].T, others.T, strict=True)]
    narrow = np.uint8 if len(columns) < 255 and weights is None else np.uint16
    for start in range(0, len(asked), ROWS):
        some = asked[start : start + ROWS]
        for begin in range(0, len(others), OTHERS):
            shape = (len(some), min(OTHERS, len(others) - begin))
            apart, differs = np.zeros(shape, narrow), np.empty(shape, bool)
            for at, (column, other) in enumerate(columns):
                np.not_equal(column[start : start + ROWS, None], other[None, begin : begin + OTHERS], out=differs)
                apart += differs if weights is None else differs * weights[at]
            yield some, begin, apart


def _narrow(column: NDArray[np.int32], other: NDArray[np.int32]) -> list[NDArray[np.integer]]:
    """Both columns renumbered from 0 in the narrowest type, since bytes are compared four times as fast."""
    distinct, numbers = np.unique(np.concatenate([column, other]), return_inverse=True)
    dtype = np.min_scalar_type(len(distinct))
    return np.split(numbers.astype(dtype), [len(column)])


def _nobody(rows: int, distance: int) -> Nearest:
    """The result for this many rows before any has found another."""
    return Nearest(np.full(rows, distance), np.full(rows, distance), np.full(rows, -1))


def _keep_nearest(found: Nearest, some: NDArray[np.int64], begin: int, apart: NDArray[np.unsignedinteger]) -> None:
    """Update what was found so far with the two smallest distances of each row."""
    row = np.arange(len(some))
    place = apart.argmin(axis=1)
    nearest = apart[row, place].astype(np.int64)
    apart[row, place] = np.iinfo(apart.dtype).max
    runner_up = apart.min(axis=1)
    closer = nearest < found.first[some]
    found.record[some[closer]] = begin + place[closer]
    least = np.sort(np.column_stack([found.first[some], found.second[some], nearest, runner_up]), axis=1)
    found.first[some], found.second[some] = least[:, 0], least[:, 1]
