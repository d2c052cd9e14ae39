"""What the generators' networks cost, for forecasts.

In: a schema and layers. Out: the width of a one-hot row, the weights of dense layers, and what a step of Adam costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ctrbench import Schema

ADAM = 200
"""Operations that a step of Adam counts for, per weight: it waits for memory, not for arithmetic."""

MODES = 10
"""The most modes of a numeric field, each with a one-hot column."""


def one_hot_width(schema: Schema) -> int:
    """Columns of a row as networks see it: one per value, a number and its modes, two for the label."""
    values = sum(field.vocab_size - 1 for field in schema.categorical)
    return values + len(schema.numeric) * (1 + MODES) + 2


def dense(widths: Sequence[int]) -> int:
    """Weights between layers of these widths."""
    return sum(before * after for before, after in pairwise(widths))
