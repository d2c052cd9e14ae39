"""Real rows with some values exchanged.

In: real train. Out: rows of train drawn again, in which some fields hold another row's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval
from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl


@dataclass(frozen=True)
class ToySwap(Generator):
    """Draws real rows and exchanges some of their values with those of other rows."""

    name: ClassVar[str] = "toy_swap"
    share: Annotated[float, "share of values to exchange", Interval(ge=0, le=1)] = 0.2

    def fit(self, train: Table, *, seed: int, context: Context) -> ToySwapSampler:
        """There is nothing to learn: train itself is the model."""
        return ToySwapSampler(train, self.share)


class ToySwapSampler(Sampler):
    """Holds real train."""

    def __init__(self, train: Table, share: float) -> None:
        self.train, self.share = train, share

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows; the labels stay with the rows they came with."""
        rng = np.random.default_rng(seed)
        pool = self.train.take(rng.integers(0, len(self.train), rows))  # a copy: train stays as it is
        for name in pool.schema.names:
            swapped = np.flatnonzero(rng.random(rows) < self.share)
            donors = rng.integers(0, len(self.train), len(swapped))
            pool.rows.loc[swapped, name] = self.train.rows[name].to_numpy()[donors]
        return pool


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `toy_swap`."""
    register(ToySwap)
