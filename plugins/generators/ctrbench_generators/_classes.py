"""How many new rows of each class keep a table's click rate.

In: labels. Out: counts, (2,), negatives first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def class_counts(labels: NDArray[np.int8]) -> NDArray[np.int64]:
    """Negatives and positives."""
    return np.bincount(labels, minlength=2)


def shares_of(labels: NDArray[np.int8], rows: int) -> NDArray[np.int64]:
    """This many rows, split between the classes as the labels are."""
    positives = round(rows * float(labels.mean()))
    return np.array([rows - positives, positives])
