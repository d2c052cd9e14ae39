"""Which fields of a log belong together, such as country and city: few of their combinations ever occur.

In: a training table. Out: for every pair of categorical fields how much of it never occurs though chance would have
it, how well half of the rows know the combinations of the other half, and the groups that follow from the two.

Functional dependency is the wrong test for logs (one city code of Frappe spans 63 countries). A pair is taken where
combinations are missing in bulk *and* those that occur are known: a rare combination of user and item is missing only
because the log is short. Where it is very short true pairs fail too: Frappe's country and city need some 10,000 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench.table import Schema, Table

LEAST_MISSING = 0.25
"""A pair is taken from this share of missing mass on."""

MOST_NEW = 0.01
"""A pair is taken up to this share of rows whose combination the other half of the rows lacks."""

MOST_ROWS = 250_000
"""Of more rows so many are looked at, drawn by a fixed seed, so that time no longer grows."""


@dataclass(frozen=True)
class Pair:
    """Two categorical fields. `taken` says whether their combinations should be kept together.

    `missing` is the sum of p(a)·p(b) over the combinations that do not occur: the share of unheard-of combinations that
    two independent fields would make. `new` is the share of a half's rows whose combination does not occur in the other
    half, of the half where it is larger. `possible` is how many combinations the fields' values have.
    """

    first: str
    second: str
    combinations: int
    possible: int
    missing: float
    new: float
    identifying: bool
    """Whether one of them is the user or the item itself: those a method shall combine anew with all else."""

    @property
    def passes(self) -> bool:
        """Whether both figures are within their limits."""
        return self.missing >= LEAST_MISSING and self.new <= MOST_NEW

    @property
    def taken(self) -> bool:
        """Whether the pair is part of a group."""
        return self.passes and not self.identifying


@dataclass(frozen=True)
class Dependencies:
    """Every pair of a table's categorical fields, and the groups of fields that taken pairs connect.

    Groups and the fields in them stand in the schema's order.
    """

    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]


def find_dependencies(train: Table) -> Dependencies:
    """Analyse every pair of categorical fields, each in n log n; the same rows give the same figures.

    The two halves are drawn by a fixed seed, not by even and odd rows, as files may alternate clicks and others.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(train))[:MOST_ROWS]) if len(train) > MOST_ROWS else slice(None)
    half = rng.integers(0, 2, min(len(train), MOST_ROWS))
    identifiers = _identifiers(train.schema)
    columns = [
        _Column.of(train.column(field.name)[rows], half, field.name, field.name in identifiers)
        for field in train.schema.categorical
    ]
    halves = len(half) - int(half.sum()), int(half.sum())
    pairs = tuple(_pair(first, second, halves) for first, second in combinations(columns, 2))
    return Dependencies(pairs, _connected(train.schema, pairs))


def _identifiers(schema: Schema) -> set[str]:
    """The user and the item: of the fields that describe one, that with the most values. The first of equals."""
    described = [[field for field in schema.with_role(role) if field.vocabulary] for role in ("user", "item")]
    return {max(fields, key=lambda field: field.vocab_size).name for fields in described if fields}


@dataclass(frozen=True, eq=False)
class _Column:
    name: str
    identifying: bool
    codes: NDArray[np.int64]  # (rows,)
    halved: NDArray[np.int64]  # (rows,): 2 · code + half
    shares: NDArray[np.float64]  # of each code
    values: int
    """Codes that occur."""

    @classmethod
    def of(cls, values: NDArray[np.int32], half: NDArray[np.int64], name: str, identifying: bool) -> _Column:
        codes = values.astype(np.int64)
        times = np.bincount(codes)
        shares = times / max(len(codes), 1)
        return cls(name, identifying, codes, codes << 1 | half, shares, int(np.count_nonzero(times)))


def _pair(first: _Column, second: _Column, halves: tuple[int, int]) -> Pair:
    bits = (len(second.shares) - 1).bit_length()
    keys, one, other = _count(first.codes << bits + 1 | second.halved, len(first.shares) << bits)
    by_chance = float((first.shares[keys >> bits] * second.shares[keys & (1 << bits) - 1]).sum())
    alone = one[other == 0].sum() / max(halves[0], 1), other[one == 0].sum() / max(halves[1], 1)
    return Pair(
        first.name,
        second.name,
        combinations=len(keys),
        possible=first.values * second.values,
        missing=max(1 - by_chance, 0.0) if len(keys) else 0.0,
        new=float(max(alone)),
        identifying=first.identifying or second.identifying,
    )


def _count(halved: NDArray[np.int64], possible: int) -> tuple[NDArray[np.int64], ...]:
    """The keys that occur, ascending, and how often each is in either half; of 2 · key + half."""
    if possible <= 2 * len(halved):
        one, other = np.bincount(halved, minlength=2 * possible).reshape(-1, 2).T
        (keys,) = (one | other).nonzero()
        return keys, one[keys], other[keys]
    halved.sort()
    keys = halved >> 1
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    upto = np.append(0, np.cumsum(halved & 1))  # rows of the second half before each row
    ends = np.append(starts[1:], len(halved))
    other = upto[ends] - upto[starts]
    return keys[starts], ends - starts - other, other


def _connected(schema: Schema, pairs: tuple[Pair, ...]) -> tuple[tuple[str, ...], ...]:
    """Fields that taken pairs connect, directly or through others."""
    group = {name: {name} for name in schema.names}
    for pair in pairs:
        if pair.taken:
            group[pair.first] |= group[pair.second]
            group |= dict.fromkeys(group[pair.first], group[pair.first])
    found = dict.fromkeys(tuple(name for name in schema.names if name in group[of]) for of in schema.names)
    return tuple(names for names in found if len(names) > 1)
