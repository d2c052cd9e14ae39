"""What the metrics of probabilities share: the logarithmic loss, and two ways to recalibrate predictions.

In: predictions and labels. Out: a loss; a measure of the test rows' probabilities after each correction that applies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ctrbench import Predictions
    from numpy.typing import NDArray

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm, as scikit-learn does."""


def mean_loss(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(losses(labels, probabilities).mean())


def losses(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Negative log-likelihood of each label, (rows,), in nats."""
    of_label = np.where(labels == 1, probabilities, 1 - probabilities)
    found: NDArray[np.float64] = -np.log(np.clip(of_label, EPSILON, 1 - EPSILON))
    return found


def of_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row contributes to a mean over rows, (rows,), as `Score.contributions` wants it."""
    parts: NDArray[np.float64] = (values - values.mean()) / np.sqrt(len(values) * max(len(values) - 1, 1))
    return parts


def recalibrated(
    predictions: Predictions, measure: Callable[[NDArray[np.int8], NDArray[np.float64]], float]
) -> dict[str, float]:
    """A measure of (labels, probabilities) on recalibrated test rows, as details of a score.

    `after_prior`: the training table's click rate replaced by real train's, logit p + logit π_real − logit π_table
    (Elkan 2001, theorem 2). `after_platt`: logistic regression of valid's labels on the logits of valid's predictions
    (Platt 1999, with his smoothed targets). A correction that is undefined is left out: where a rate is 0 or 1, or
    where valid is missing or has only one class.
    """
    labels, probabilities = predictions.rows.targets, predictions.probabilities
    found = {}
    rates = predictions.real_train.click_rate, predictions.train_click_rate
    if all(0 < rate < 1 for rate in rates):
        real, table = (np.log(rate / (1 - rate)) for rate in rates)
        found["after_prior"] = measure(labels, _expit(_logit(probabilities) + real - table))
    valid, of_valid = predictions.valid, predictions.valid_probabilities
    if valid is not None and of_valid is not None and 0 < valid.click_rate < 1:
        slope, intercept = _platt(_logit(of_valid), valid.targets)
        found["after_platt"] = measure(labels, _expit(slope * _logit(probabilities) + intercept))
    return found


def _platt(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Slope and intercept of the logistic regression of smoothed labels on logits, (2,).

    The smoothed targets keep the slope finite where the logits separate the classes.
    """
    from scipy.optimize import minimize

    positives = int(labels.sum())
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = line[0] * logits + line[1]
        beyond = _expit(moved) - targets
        return float((np.logaddexp(0, moved) - targets * moved).mean()), np.array(
            [(beyond * logits).mean(), beyond.mean()]
        )

    line: NDArray[np.float64] = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return line


def _logit(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probabilities, EPSILON, 1 - EPSILON)
    logits: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return logits


def _expit(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    probabilities: NDArray[np.float64] = expit(logits)
    return probabilities
