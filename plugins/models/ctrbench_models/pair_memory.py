"""Remembers which user clicked which item, and nothing else.

In: a training table. Out: one probability for the pairs that are positive in it, another for all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Context, Model, Predictor, Register, Table, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ctrbench import Field
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PairMemory(Model):
    """Whether this user and item are a positive in the training table (on Frappe this rule alone has AUC .94).

    The two probabilities are the smoothed click rates of valid's rows with such a pair and without: in the training
    table itself every remembered pair has a click, so its own rates would be far too confident.
    """

    name: ClassVar[str] = "pair_memory"

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Collect the positive pairs; Skip without a user or an item field."""
        user, item = (train.schema.expect_identifier(role) for role in ("user", "item"))
        clicked = np.unique(_pairs(train, user, item)[train.targets == 1])
        remembered = np.isin(_pairs(valid, user, item), clicked)
        return Memory(user, item, clicked, _rate(valid.targets[remembered]), _rate(valid.targets[~remembered]))


@dataclass(frozen=True)
class Memory(Predictor):
    """The remembered pairs, sorted, and the probabilities with and without one."""

    user: Field
    item: Field
    clicked: NDArray[np.int64]
    known: float
    new: float

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """One of two probabilities per row, (rows,)."""
        return np.where(np.isin(_pairs(rows, self.user, self.item), self.clicked), self.known, self.new)

    @property
    def details(self) -> Mapping[str, float | str]:
        """How many pairs are remembered."""
        return {"pairs": len(self.clicked)}


def _pairs(table: Table, user: Field, item: Field) -> NDArray[np.int64]:
    """One number for each row's user and item, (rows,)."""
    users, items = (table.column(field.name).astype(np.int64) for field in (user, item))
    pairs: NDArray[np.int64] = users * item.vocab_size + items
    return pairs


def _rate(labels: NDArray[np.int8]) -> float:
    return float((labels.sum() + 1) / (len(labels) + 2))


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `pair_memory`."""
    register(PairMemory)
