"""What generators do for numeric fields: train's decimals and range, and help where numbers are very small or huge.

In: numbers of a table. Out: numbers as train might hold them, a scale to learn them at, or the mistake in one line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Table, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1e150
"""The largest number whose square, summed over the rows of a log, is finite."""

SMALL_DEVIATION = 0.01
"""Below this, what scikit-learn adds to each mode's variance (1e-6) is more than a hundredth of the field's."""


@dataclass(frozen=True)
class Rounding:
    """The decimals and the range of a field's numbers in train, to which a generator's numbers are brought."""

    low: float
    high: float
    decimals: int | None  # None where some number takes more digits than a float has: then nothing is rounded

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> Rounding:
        """That of these numbers."""
        return cls(float(numbers.min()), float(numbers.max()), _decimals(numbers))

    def round(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The numbers with no more decimals than train's, within their range, zeros without a sign."""
        if self.decimals is not None:
            numbers = np.round(numbers, self.decimals)
        return unsigned_zeros(np.clip(numbers, self.low, self.high))

    @property
    def interval(self) -> tuple[float, float]:
        """The range, half a step longer at each end: as much of it is rounded to an end as to a number between."""
        half = 0.0 if self.decimals is None else 0.5 * 10.0**-self.decimals
        return self.low - half, self.high + half


def unsigned_zeros(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers with 0.0 for -0.0, which rounding makes of -0.3: it looks equal, but its bits make another row."""
    return numbers + 0.0


def magnifier(numbers: NDArray[np.float64]) -> float:
    """What to multiply numbers by before a library that adds or neglects 1e-6 or 1e-7, whatever their unit.

    1 for numbers that vary by ordinary amounts, or not at all; otherwise the power of two that makes their standard
    deviation ½ … 1, so that nothing is rounded.
    """
    deviation = float(numbers.std())
    if np.ptp(numbers) == 0 or not 0 < deviation < SMALL_DEVIATION:  # 0 where its square is
        return 1.0
    return 2.0 ** -math.frexp(deviation)[1]


def refuse_huge(train: Table, who: str) -> None:
    """UserError, naming field and number, where a generator that squares numbers would get infinities."""
    for field in train.schema.numeric:
        numbers = train.rows[field.name].to_numpy()
        largest = numbers[np.abs(numbers).argmax()] if len(numbers) else 0.0
        if abs(largest) > LARGEST:
            rows = int((numbers == largest).sum())
            raise UserError(
                f"{who}: {field.name!r} holds {largest:.17g} in {rows:,} of {len(train):,} rows, and its square is "
                "infinite; if it stands for a missing number, replace it by a usual one, or leave the field out"
            )


def _decimals(numbers: NDArray[np.float64]) -> int | None:
    """The fewest decimals that write every number exactly; None where they take more digits than a float has."""
    whole_digits = len(str(int(np.abs(numbers).max())))
    few = range(max(1, 16 - whole_digits))
    return next((decimals for decimals in few if (numbers == np.round(numbers, decimals)).all()), None)
