"""Methods with a fault, under the names of sound ones: what `ctrbench compare` must detect.

In: the built-in methods. Out: one object for each fault, which registers it as a third party's module would.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ctrbench import Context, Predictor, Register, Sampler, Table, hookimpl
from ctrbench_generators.independent import Independent
from ctrbench_models.dnn import Dnn
from ctrbench_models.logistic import Logistic

LEAKED = 0.05


@dataclass(frozen=True)
class OffByOne(Logistic):
    """Logistic regression that looks up each item's neighbour when it predicts."""

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Fit as the sound one does."""
        return _NextItem(super().fit(train, valid, seed=seed, context=context))


@dataclass(frozen=True)
class _NextItem(Predictor):
    sound: Predictor

    def predict(self, rows: Table) -> np.ndarray[Any, Any]:
        """The sound one's probabilities for rows whose item is one code higher."""
        (item,) = (field for field in rows.schema.fields if field.name == "item")
        codes = rows.rows["item"].to_numpy()
        moved = np.where(codes == item.vocab_size - 1, 1, codes + 1).astype(np.int32)
        return self.sound.predict(Table(rows.rows.assign(item=moved), rows.schema, rows.labels))


@dataclass(frozen=True)
class StopsEarly(Dnn):
    """Multilayer perceptron whose training ends after the first epoch."""

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Fit as the sound one does, for an epoch."""
        return replace(Dnn(**vars(self)), epochs=1).fit(train, valid, seed=seed, context=context)


@dataclass(frozen=True)
class Leaks(Independent):
    """Product of marginals in which one row of twenty is a real one."""

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Fit as the sound one does."""
        return _WithRealRows(super().fit(train, seed=seed, context=context), train)


@dataclass(frozen=True)
class _WithRealRows(Sampler):
    sound: Sampler
    train: Table

    def sample(self, rows: int, *, seed: int) -> Table:
        """The sound one's rows, some of them replaced."""
        rng = np.random.default_rng(seed)
        real = self.train.take(rng.integers(len(self.train), size=round(LEAKED * rows)))
        return Table.concat([self.sound.sample(rows, seed=seed).take(np.arange(len(real), rows)), real])


@dataclass(frozen=True)
class _Fault:
    """Registers one class."""

    kind: str
    cls: type

    @hookimpl
    def register_models(self, register: Register[type]) -> None:
        """Register it, if it is a model."""
        if self.kind == "model":
            register(self.cls)

    @hookimpl
    def register_generators(self, register: Register[type]) -> None:
        """Register it, if it is a generator."""
        if self.kind == "generator":
            register(self.cls)


logistic = _Fault("model", OffByOne)
dnn = _Fault("model", StopsEarly)
independent = _Fault("generator", Leaks)
