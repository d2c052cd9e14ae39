"""How numeric fields enter a model: standardised by the training table, and finite whatever they hold.

In: the training table. Out: for the rows of any table, numbers that have mean 0 and variance 1 in training,
(numeric fields, rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

FARTHEST = 1e4
"""Standard deviations beyond which all numbers count alike. No row of a training table is so far out, up to 10⁸ rows;
what is drawn in is a sentinel of 1e39, say, that only test holds: as float32 it would be infinite."""
LARGE, SHRINK = 2.0**400, 2.0**-600
"""A field with a number above LARGE is first multiplied by SHRINK, a power of 2, or its squares would overflow."""


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of the numeric fields in the training table, (numeric fields,) each."""

    names: tuple[str, ...]
    unit: NDArray[np.float64]  # 1, or SHRINK where the training table holds very large numbers
    mean: NDArray[np.float64]  # in that unit, like the deviation
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, train: Table) -> Scaling:
        """The scaling by these rows; a constant field is only shifted."""
        names = tuple(field.name for field in train.schema.numeric)
        numbers = _columns(train, names)
        unit = np.where(np.abs(numbers).max(axis=1, initial=0) > LARGE, SHRINK, 1.0)
        numbers = numbers * unit[:, None]
        deviation = numbers.std(axis=1)
        return cls(names, unit, numbers.mean(axis=1), np.where(deviation > 0, deviation, 1.0))

    def apply(self, rows: Table) -> NDArray[np.float64]:
        """Standardised numbers, (numeric fields, rows), none of them farther than `FARTHEST` from 0."""
        with np.errstate(over="ignore"):  # a quotient beyond float64 is infinite, and drawn in
            numbers = _columns(rows, self.names) * self.unit[:, None]
            scores = (numbers - self.mean[:, None]) / self.deviation[:, None]
        return np.clip(scores, -FARTHEST, FARTHEST)


def _columns(table: Table, names: tuple[str, ...]) -> NDArray[np.float64]:
    return table.rows[list(names)].to_numpy(dtype=np.float64).T.reshape(len(names), len(table))
