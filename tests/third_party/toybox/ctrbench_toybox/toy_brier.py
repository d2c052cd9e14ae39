"""The Brier score.

In: a model's probabilities on the real test rows. Out: their mean squared distance from the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ctrbench import PredictionMetric, Predictions, Register, Score, hookimpl


@dataclass(frozen=True)
class ToyBrier(PredictionMetric):
    """Mean squared error of the probabilities (Brier 1950)."""

    name: ClassVar[str] = "toy_brier"
    better: ClassVar[Literal["higher", "lower", "neither"]] = "lower"
    unit: ClassVar[str] = "squared probability"

    def score(self, predictions: Predictions) -> Score:
        """Between 0 and 1."""
        errors = predictions.probabilities - predictions.rows.targets
        return Score(float((errors**2).mean()))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `toy_brier`."""
    register(ToyBrier)
