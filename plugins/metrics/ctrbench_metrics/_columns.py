"""Tables as whole numbers, one column or two columns at a time, the label included.

In: real train and further tables of its schema. Out: small codes, and one number for each combination of two columns.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ctrbench_metrics._nearest import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctrbench import Table
    from numpy.typing import NDArray


def encode_labelled(train: Table, *tables: Table) -> list[NDArray[np.int32]]:
    """The codes that `encode` gives, with the label as the last column, (rows, fields + 1)."""
    codes = encode(train, *tables)
    return [np.column_stack([each, table.targets]) for each, table in zip(codes, (train, *tables), strict=True)]


def some_pairs(columns: int, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """All pairs of columns, or `most` of them drawn at random where there are more."""
    pairs = list(combinations(range(columns), 2))
    if len(pairs) <= most:
        return pairs
    return [pairs[at] for at in np.sort(rng.choice(len(pairs), most, replace=False))]


def combine(codes: Sequence[NDArray[np.int32]], pair: tuple[int, int]) -> list[NDArray[np.int64]]:
    """A number for each row's two values, (rows,) per table, equal where both are equal; from 0 without gaps."""
    first, second = pair
    width = max(int(each[:, second].max(initial=0)) for each in codes) + 1
    numbers = [each[:, first].astype(np.int64) * width + each[:, second] for each in codes]
    small = np.unique(np.concatenate(numbers), return_inverse=True)[1]
    return np.split(small, np.cumsum([len(each) for each in codes])[:-1])
