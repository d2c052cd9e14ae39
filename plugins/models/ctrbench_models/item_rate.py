"""The item's click rate: what popularity alone can do.

In: a training table. Out: for each row, the smoothed click rate of its item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from ctrbench import Context, Model, Predictor, Register, Table, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ItemRate(Model):
    """Smoothed click rate of the row's item in the training table; the overall rate for an item without rows."""

    name: ClassVar[str] = "item_rate"

    smoothing: Annotated[float, "weight of the overall click rate, in rows of the item", Gt(0)] = 10.0

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Count rows and clicks of each item; Skip without an item field."""
        item = train.schema.expect_identifier("item")
        codes = train.column(item.name)
        rows = np.bincount(codes, minlength=item.vocab_size)
        clicks = np.bincount(codes, weights=train.targets, minlength=item.vocab_size)
        overall = (clicks.sum() + 1) / (len(train) + 2)  # inside (0, 1), also in a table of one class
        return Rates(item.name, (clicks + self.smoothing * overall) / (rows + self.smoothing))


@dataclass(frozen=True)
class Rates(Predictor):
    """A field's name, and a probability for each of its codes."""

    field: str
    rates: NDArray[np.float64]  # (vocab_size,)

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """The rate of each row's code, (rows,)."""
        probabilities: NDArray[np.float64] = self.rates[rows.column(self.field)]
        return probabilities


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `item_rate`."""
    register(ItemRate)
