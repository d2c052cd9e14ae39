"""Real rows with the clicks of others: perfect fidelity of rows, none of labels.

In: a training table. Out: a sampler that returns its rows under shuffled labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Table, hookimpl

from ctrbench_generators._classes import shares_of


@dataclass(frozen=True)
class LabelShuffle(Generator):
    """Real rows with their labels permuted: perfectly realistic rows that say nothing about clicks.

    A control: what it gains beside real data comes from more rows of the real distribution, and what it costs is the
    price of wrong labels.
    """

    name: ClassVar[str] = "label_shuffle"
    role: ClassVar[MethodRole] = MethodRole.CONTROL

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Nothing is learned."""
        return LabelShuffleSampler(train, seed)


class LabelShuffleSampler(Sampler):
    """Train, to be drawn from."""

    def __init__(self, train: Table, seed: int) -> None:
        self._train = train
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """All of train's rows in a new order, repeated until there are enough; labels in train's exact shares.

        So each row occurs once in every |train| rows of a draw, and a shorter one has none twice.
        """
        rng = np.random.default_rng([self._seed, seed])
        rounds = -(-rows // len(self._train))
        dealt = np.concatenate([rng.permutation(len(self._train)) for _ in range(rounds)])[:rows]
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), shares_of(self._train.targets, rows)))
        return Table(self._train.rows.take(dealt).reset_index(drop=True), self._train.schema, labels)


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `label_shuffle`."""
    register(LabelShuffle)
