"""Logarithmic loss.

In: a model's probabilities on the real test rows. Out: the mean negative log-likelihood of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

from ctrbench_metrics._probabilities import EPSILON, losses, mean_loss, of_mean, recalibrated


@dataclass(frozen=True)
class Logloss(PredictionMetric):
    """Mean negative log-likelihood of the test labels, in nats (binary cross-entropy).

    Probabilities are clipped to [2.2e-16, 1 - 2.2e-16], as scikit-learn does, so that one certain mistake costs 36 nats
    and not infinity; the detail `clipped` counts the rows affected. The detail `oracle` is the loss of the true
    probabilities, where a simulation knows them; `after_prior` and `after_platt` are the loss after recalibration
    (docs/metrics.md), which repairs what a training table with another click rate than real train's costs.
    """

    name: ClassVar[str] = "logloss"
    imports: ClassVar[tuple[str, ...]] = ("scipy.optimize",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "nats"

    def score(self, predictions: Predictions) -> Score:
        """Loss of at least 0; Skip where there are no test rows."""
        labels, probabilities = predictions.rows.targets, predictions.probabilities
        if not len(labels):
            raise Skip("logloss needs test rows")
        outside = (probabilities < EPSILON) | (probabilities > 1 - EPSILON)
        details = {"clipped": float(outside.sum()), **recalibrated(predictions, mean_loss)}
        if predictions.true_probabilities is not None:
            details["oracle"] = mean_loss(labels, predictions.true_probabilities)
        parts = losses(labels, probabilities)
        return Score(float(parts.mean()), details=details, contributions=of_mean(parts))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `logloss`."""
    register(Logloss)
