"""The small logs on which plug-ins are checked, made on the spot and the same everywhere.

In: nothing. Out: a log of categorical fields, and one with numeric fields beside them; users and items matter for the
clicks, test holds unseen values, new pairs and rare users, and the label is not called "label".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.interfaces import Splits
from ctrbench.table import Field, Schema, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

CATEGORICAL = (
    Field("who", role="user", vocabulary=tuple(f"u{i:02}" for i in range(12))),
    Field("what", role="item", vocabulary=tuple(f"i{i}" for i in range(8))),
    Field("where", role="context", vocabulary=("desk", "phone", "tablet")),
)
NUMERIC = (Field("price", "numeric", "item"), Field("age", "numeric", "user"))
TRAIN_ROWS, OTHER_ROWS = 240, 80


@dataclass(frozen=True)
class Log:
    """A small log; `remark` tells checks on it apart."""

    remark: str
    splits: Splits


def small_logs() -> list[Log]:
    """The log without numeric fields, and the one with them."""
    return [Log("", _splits(numeric=False)), Log("numeric fields", _splits(numeric=True))]


def noise_like(table: Table, *, seed: int) -> Table:
    """As many rows as the table that have little in common with it: few of the values, the labels by a coin."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    columns: dict[str, NDArray[Any]] = {}
    for field in table.schema.fields:
        if field.kind == "categorical":
            columns[field.name] = rng.integers(1, 1 + field.vocab_size // 2, len(table)).astype(np.int32)
        else:
            columns[field.name] = rng.normal(1000, 1, len(table))
    return Table(pd.DataFrame(columns), table.schema, rng.integers(0, 2, len(table)).astype(np.int8))


def _splits(*, numeric: bool) -> Splits:
    schema = Schema(CATEGORICAL + (NUMERIC if numeric else ()), label="clicked")
    rng = np.random.default_rng(20240618)
    train, _ = _rows(TRAIN_ROWS, schema, rng, unseen=False)
    valid, _ = _rows(OTHER_ROWS, schema, rng, unseen=True)
    test, truth = _rows(OTHER_ROWS, schema, rng, unseen=True)
    return Splits(train, valid, test, true_probabilities={"test": truth})


def _rows(count: int, schema: Schema, rng: np.random.Generator, *, unseen: bool) -> tuple[Table, NDArray[np.float64]]:
    import pandas as pd

    codes = {}
    for field in CATEGORICAL:
        weights = 1 / np.arange(1, field.vocab_size)
        drawn = rng.choice(np.arange(1, field.vocab_size), count, p=weights / weights.sum())
        drawn[: field.vocab_size - 1] = np.arange(1, field.vocab_size)  # every value occurs
        if unseen:
            drawn[-3:] = 0
        codes[field.name] = drawn.astype(np.int32)
    numbers = {"price": rng.lognormal(1, 0.5, count), "age": rng.integers(18, 80, count).astype(np.float64)}
    logit = np.sin(codes["who"] * 2.0) + 1.5 * np.cos(codes["what"] * 3.0) + 0.5 * (codes["where"] == 2) - 0.5
    truth = 1 / (1 + np.exp(-logit))
    labels = (rng.random(count) < truth).astype(np.int8)
    if unseen:
        labels[-1] = 0  # the others of whom nothing is known have clicked: both classes are needed there, too
    columns = {name: codes[name] if name in codes else numbers[name] for name in schema.names}
    return Table(pd.DataFrame(columns), schema, labels), truth
