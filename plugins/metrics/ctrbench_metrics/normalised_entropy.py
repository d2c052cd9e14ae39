"""Normalised entropy: logarithmic loss that can be compared between data sets.

In: a model's probabilities on the real test rows. Out: their loss over the loss of the test rows' own click rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl
from numpy.typing import NDArray

from ctrbench_metrics._probabilities import losses, mean_loss, of_mean, recalibrated


@dataclass(frozen=True)
class NormalisedEntropy(PredictionMetric):
    """Logloss over the entropy of the test rows' click rate; 1 is no skill (He et al. 2014).

    The baseline 1 is the loss of the click rate itself, predicted for every row: below it the model adds something,
    above it the model is worse than that one number. It mixes ranking and calibration, as logloss does. The details
    `after_prior` and `after_platt` are the value after recalibration (docs/metrics.md), `oracle` that of the true
    probabilities where a simulation knows them.
    """

    name: ClassVar[str] = "normalised_entropy"
    imports: ClassVar[tuple[str, ...]] = ("scipy.optimize",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "entropies"

    def score(self, predictions: Predictions) -> Score:
        """A ratio of at least 0; Skip where the test rows have one class only."""
        labels = predictions.rows.targets
        if labels.all() or not labels.any():
            raise Skip("normalised entropy needs test rows of both classes")
        entropy = mean_loss(labels, np.full(len(labels), labels.mean()))

        def measure(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> float:
            return mean_loss(labels, probabilities) / entropy

        details = recalibrated(predictions, measure)
        if predictions.true_probabilities is not None:
            details["oracle"] = measure(labels, predictions.true_probabilities)
        value = measure(labels, predictions.probabilities)
        rate = labels.mean()
        slope = np.log((1 - rate) / rate)  # d entropy / d click rate, since the rate is a draw too
        parts = losses(labels, predictions.probabilities) - value * slope * labels
        return Score(value, 1.0, details, contributions=of_mean(parts / entropy))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `normalised_entropy`."""
    register(NormalisedEntropy)
