"""What checks of several kinds expect of tables, probabilities and scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.conformance._report import expect
from ctrbench.interfaces import Score

if TYPE_CHECKING:
    from ctrbench.table import Table


def expect_schema(table: Table, train: Table) -> None:
    """Train's fields in train's order, and labels."""
    expect(table.schema == train.schema, f"fields {list(table.schema.names)}, not train's or not as train has them")
    expect(table.labels is not None, "the rows have no labels")


def expect_values(table: Table, *, lowest: int, what: str) -> None:
    """Codes from `lowest` to the vocabulary's end, finite numbers."""
    for column in table.schema.fields:
        values = table.rows[column.name].to_numpy()
        if column.kind == "numeric":
            expect(np.isfinite(values).all(), f"{what} holds values of {column.name!r} that are not finite")
        else:
            inside = lowest <= values.min() and values.max() < column.vocab_size
            expect(inside, f"{what} holds codes of {column.name!r} outside {lowest} … {column.vocab_size - 1}")


def expect_probabilities(values: object, rows: int) -> None:
    """A float array (rows,) in [0, 1]."""
    if not isinstance(values, np.ndarray):
        expect(False, f"probabilities are {type(values).__name__}, not an array")
        return
    expect(values.shape == (rows,), f"probabilities have the shape {values.shape}, not ({rows},)")
    expect(values.dtype.kind == "f", f"probabilities are {values.dtype}, not float64")
    expect(np.isfinite(values).all(), f"{int((~np.isfinite(values)).sum())} probabilities are not finite")
    expect(((values >= 0) & (values <= 1)).all(), f"probabilities run from {values.min():.3g} to {values.max():.3g}")


def expect_score(score: Score) -> Score:
    """Finite, and details that are numbers."""
    expect(isinstance(score, Score), f"score returned {type(score).__name__}, not a Score")
    expect(math.isfinite(score.value), f"the score is {score.value}")
    expect(score.baseline is None or math.isfinite(score.baseline), f"the baseline is {score.baseline}")
    odd = [name for name, value in score.details.items() if not isinstance(value, int | float | np.number)]
    expect(not odd, f"details that are no numbers: {', '.join(odd)}")
    return score
