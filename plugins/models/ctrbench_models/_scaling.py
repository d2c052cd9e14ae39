"""How numeric fields enter a model: standardised by the training table, and always finite.

In: the training table. Out: for the rows of any table, numbers that have mean 0 and variance 1 in training, (numeric
fields, rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

FARTHEST = 1e4
"""Standard deviations at which numbers are clipped. No row of a training table of up to 10⁸ rows is that far out; what
is clipped is, say, a sentinel of 1e39 that occurs only in test: as float32 it would be infinite."""
LARGE, SHRINK = 2.0**400, 2.0**-600
"""A field with a number above LARGE is first multiplied by SHRINK, a power of 2, or its squares would overflow."""


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of the numeric fields in the training table, (numeric fields,) each."""

    names: tuple[str, ...]
    unit: NDArray[np.float64]  # 1, or SHRINK where the training table has very large numbers
    mean: NDArray[np.float64]  # in that unit, like the deviation
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, train: Table) -> Scaling:
        """The scaling by these rows; a constant field is only shifted."""
        names = tuple(field.name for field in train.schema.numeric)
        found = np.array([_measures(train.column(name)) for name in names]).reshape(len(names), 3)
        return cls(names, *found.T)

    def apply(self, rows: Table) -> NDArray[np.float64]:
        """Standardised numbers, (numeric fields, rows), none of them further than `FARTHEST` from 0."""
        numbers = np.stack([rows.column(name) for name in self.names]) if self.names else np.zeros((0, len(rows)))
        return self.scores(numbers)

    def scores(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for numbers as they are in tables, (numeric fields, rows)."""
        with np.errstate(over="ignore"):  # a quotient beyond float64 is infinite, and clipped
            scores = (numbers * self.unit[:, None] - self.mean[:, None]) / self.deviation[:, None]
        return np.clip(scores, -FARTHEST, FARTHEST)


def _measures(column: NDArray[np.float64]) -> tuple[float, float, float]:
    """Unit, mean and standard deviation of one field."""
    unit = SHRINK if np.abs(column).max(initial=0) > LARGE else 1.0
    numbers = np.ascontiguousarray(column) * unit
    deviation = float(numbers.std()) if numbers.min() < numbers.max() else 0.0  # whose mean may be rounded
    return unit, float(numbers.mean()), deviation or 1.0
