"""Click rates of single values, added up.

In: a training table. Out: a model that adds the log-odds of a row's values, as naive Bayes does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from ctrbench import Context, Model, Predictor, Register, Skip, Table, hookimpl


@dataclass(frozen=True)
class ToyRates(Model):
    """Adds up what each value of a row says about its click rate (naive Bayes)."""

    name: ClassVar[str] = "toy_rates"
    prior: Annotated[float, "rows of average click rate added to each value", Gt(0)] = 10.0

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> ToyRatesPredictor:
        """Count the clicks of each value; numeric fields are left out."""
        if not train.schema.categorical:
            raise Skip("toy_rates needs categorical fields")
        base = train.click_rate
        weights = []
        for field, codes in zip(train.schema.categorical, train.codes.T, strict=True):
            rows = np.bincount(codes, minlength=field.vocab_size)
            clicks = np.bincount(codes, weights=train.targets, minlength=field.vocab_size)
            weights.append(_logit((clicks + self.prior * base) / (rows + self.prior)) - _logit(base))
        return ToyRatesPredictor(float(_logit(base)), weights)


@dataclass(frozen=True)
class ToyRatesPredictor(Predictor):
    """Log-odds of the average row, and what each code of each field adds to them."""

    base: float
    weights: list[np.ndarray]  # a field each: (vocab_size,)

    def predict(self, rows: Table) -> np.ndarray:
        """Probabilities, (rows,)."""
        added = sum(weights[codes] for weights, codes in zip(self.weights, rows.codes.T, strict=True))
        return 1 / (1 + np.exp(-(self.base + added)))


def _logit(p: np.ndarray | float) -> np.ndarray:
    return np.log(p) - np.log1p(-np.asarray(p))


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `toy_rates`."""
    register(ToyRates)
