"""A table as whole numbers, for methods that count, whatever kind a field is.

In: a training table. Out: for each field the position of a row's value among train's values, and its bin; and the way
back to a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ctrbench import Schema, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Values:
    """Train's values of each field, ascending, and the bin of each: itself, or a quantile bin of numbers."""

    schema: Schema
    values: list[NDArray[Any]]  # of each field, (values,)
    bins: list[NDArray[np.int64]]  # of each field, (values,), ascending from 0
    missing: dict[int, tuple[int, int]]  # where numbers are missing: field → its indicator, and what that holds then

    @classmethod
    def of(cls, train: Table, bins: int) -> Values:
        """The values that occur in train, its numbers in at most this many bins of about equally many rows.

        A number that fills two of them has one of its own.
        """
        values, places = [], []
        for field in train.schema.fields:
            column = train.rows[field.name].to_numpy()
            distinct = np.unique(column)
            if field.kind == "numeric" and len(distinct) > bins:
                quantiles = np.quantile(column, np.arange(1, bins) / bins, method="lower")
                edges, times = np.unique(quantiles, return_counts=True)
                of_value = np.searchsorted(edges, distinct, "right") + np.searchsorted(edges[times > 1], distinct)
                places.append(np.unique(of_value, return_inverse=True)[1].astype(np.int64))
            else:
                places.append(np.arange(len(distinct)))
            values.append(distinct)
        return cls(train.schema, values, places, dict(_missing(train, values)))

    @property
    def sizes(self) -> list[int]:
        """The number of bins of each field."""
        return [int(bins[-1]) + 1 for bins in self.bins]

    def encode(self, train: Table) -> NDArray[np.int32]:
        """The position of each value of train among the field's, (rows, fields)."""
        columns = (np.searchsorted(values, column) for values, column in zip(self.values, _columns(train), strict=True))
        return np.column_stack([column.astype(np.int32) for column in columns])

    def binned(self, places: NDArray[np.int32]) -> NDArray[np.int32]:
        """The bins of such positions, (rows, fields)."""
        columns = (bins[column] for bins, column in zip(self.bins, places.T, strict=True))
        return np.column_stack([column.astype(np.int32) for column in columns])

    def settled(self, places: NDArray[np.int32]) -> NDArray[np.int32]:
        """Such positions, those of missing numbers all alike: what stands there differs from draw to draw."""
        if not self.missing:
            return places
        settled = places.copy()
        for at, (indicator, position) in self.missing.items():
            settled[places[:, indicator] == position, at] = 0
        return settled

    def decode(self, places: NDArray[np.int32], labels: NDArray[np.int8]) -> Table:
        """The table of such positions."""
        import pandas as pd

        columns = (values[column] for values, column in zip(self.values, places.T, strict=True))
        frame = pd.DataFrame(dict(zip(self.schema.names, columns, strict=True)), copy=False)
        return Table(frame, self.schema, labels)


def _missing(train: Table, values: list[NDArray[Any]]) -> Iterator[tuple[int, tuple[int, int]]]:
    """The entries of `Values.missing`."""
    for at, field in enumerate(train.schema.fields):
        if field.missing_indicator is not None and (missing := train.missing(field)).any():
            indicator = train.schema.names.index(field.missing_indicator)
            code = train.column(field.missing_indicator)[missing.argmax()]
            yield at, (indicator, int(np.searchsorted(values[indicator], code)))


def _columns(table: Table) -> Iterator[NDArray[Any]]:
    return (table.rows[name].to_numpy() for name in table.schema.names)


@dataclass(frozen=True, eq=False)
class Bins:
    """Train's values by bin: within a bin, a value is drawn as often as it occurs in train."""

    places: list[NDArray[np.int32]]  # of each field, (rows,), by bin; none where each bin is one value
    starts: list[NDArray[np.int64]]  # of each field, (bins + 1,)

    @classmethod
    def of(cls, values: Values, places: NDArray[np.int32]) -> Bins:
        """Sort the rows of each binned field."""
        kept, starts = [], []
        for at, (bins, size) in enumerate(zip(values.bins, values.sizes, strict=True)):
            column = places[:, at] if size < len(bins) else places[:0, at]
            kept.append(np.sort(column))
            starts.append(np.searchsorted(bins[kept[-1]], np.arange(size + 1)))
        return cls(kept, starts)

    def draw(self, bins: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """The position of a value from each bin, (rows, fields)."""
        drawn = bins.copy()
        for at, (places, starts) in enumerate(zip(self.places, self.starts, strict=True)):
            if len(places):
                drawn[:, at] = places[rng.integers(starts[bins[:, at]], starts[bins[:, at] + 1])]
        return drawn
