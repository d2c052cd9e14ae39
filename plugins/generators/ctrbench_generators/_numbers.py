"""What generators do for numeric fields: no negative zeros, and an error for numbers beyond their arithmetic.

In: numbers of a table. Out: the same numbers with plain zeros, or the mistake in one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Table, UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1e150
"""The largest number whose square, summed over the rows of a log, is finite."""


def unsigned_zeros(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers with 0.0 for -0.0, which rounding makes of -0.3: it looks equal, but its bits make another row."""
    return numbers + 0.0


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
