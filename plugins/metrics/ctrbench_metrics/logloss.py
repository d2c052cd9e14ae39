"""Logarithmic loss.

In: a model's probabilities on the real test rows. Out: the mean negative log-likelihood of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import PredictionMetric, Predictions, Register, Score, Skip, hookimpl
from ctrbench.interfaces import Better

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Logloss(PredictionMetric):
    """Mean negative log-likelihood of the test labels, in nats (binary cross-entropy).

    Probabilities are clipped to [2.2e-16, 1 - 2.2e-16], as scikit-learn does, so that one certain mistake costs 36 nats
    and not infinity; the detail `clipped` counts the rows this touched. The detail `oracle` is the loss of the true
    probabilities, where a simulation knows them.
    """

    name: ClassVar[str] = "logloss"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.metrics",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "nats"

    def score(self, predictions: Predictions) -> Score:
        """Loss of at least 0; Skip where there are no test rows."""
        labels, probabilities = predictions.rows.targets, predictions.probabilities
        if not len(labels):
            raise Skip("logloss needs test rows")
        outside = (probabilities < EPSILON) | (probabilities > 1 - EPSILON)
        details = {"clipped": float(outside.sum())}
        if predictions.true_probabilities is not None:
            details["oracle"] = _loss(labels, predictions.true_probabilities)
        value = _loss(labels, probabilities)
        clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
        losses = -np.log(np.where(labels == 1, clipped, 1 - clipped))
        scale = np.sqrt(len(labels) * max(len(labels) - 1, 1))
        return Score(value, details=details, contributions=(losses - value) / scale)


def _loss(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(labels, np.clip(probabilities, EPSILON, 1 - EPSILON), labels=[0, 1]))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Bring `logloss`."""
    register(Logloss)
