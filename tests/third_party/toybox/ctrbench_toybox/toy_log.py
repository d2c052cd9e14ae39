"""A small log made on the spot.

In: a seed. Out: train, valid and test tables of two categorical fields and a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Dataset, Field, Register, Schema, Splits, Table, hookimpl

USERS, ITEMS = 20, 10
SCHEMA = Schema(
    (
        Field("user", role="user", vocabulary=tuple(f"user {i:02}" for i in range(USERS))),
        Field("item", role="item", vocabulary=tuple(f"item {i}" for i in range(ITEMS))),
        Field("hour", kind="numeric"),
    ),
    label="clicked",
)


@dataclass(frozen=True)
class ToyLog(Dataset):
    """Clicks of twenty users on ten items, made on the spot."""

    name: ClassVar[str] = "toy_log"
    train_rows: Annotated[int, "rows of train", Ge(100)] = 1000
    test_rows: Annotated[int, "rows of valid and of test", Ge(100)] = 500

    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits; another seed gives another log."""
        rng = np.random.default_rng(seed)
        taste = rng.normal(size=(USERS, ITEMS))
        train, valid, test = (_rows(count, taste, rng) for count in (self.train_rows, self.test_rows, self.test_rows))
        return Splits(train, valid, test)


def _rows(count: int, taste: np.ndarray, rng: np.random.Generator) -> Table:
    import pandas as pd

    user, item = rng.integers(0, USERS, count), rng.integers(0, ITEMS, count)
    hour = rng.uniform(0, 24, count)
    logit = 1.5 * taste[user, item] + np.cos((hour - 20) / 24 * 2 * np.pi) - 1
    labels = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    # Codes begin at 1: 0 is for values that train does not know.
    codes = {"user": (user + 1).astype(np.int32), "item": (item + 1).astype(np.int32)}
    return Table(pd.DataFrame({**codes, "hour": hour}), SCHEMA, labels)


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register `toy_log`."""
    register(ToyLog)
