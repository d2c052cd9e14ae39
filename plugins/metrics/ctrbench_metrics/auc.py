"""Area under the ROC curve.

In: a model's probabilities on the real test rows. Out: the chance that a click is ranked above a non-click.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Auc(PredictionMetric):
    """Chance that a random click is ranked above a random non-click, ties counting half (Hanley and McNeil 1982).

    Exact over all pairs; its contributions are the placements of DeLong et al. (1988). The detail `oracle` is the AUC
    of the true probabilities, where a simulation knows them.
    """

    name: ClassVar[str] = "auc"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"

    def score(self, predictions: Predictions) -> Score:
        """AUC in [0, 1]; Skip where the test rows have only one class."""
        labels = predictions.rows.targets
        if labels.all() or not labels.any():
            raise Skip("AUC needs test rows of both classes")
        details = {}
        if predictions.true_probabilities is not None:
            details["oracle"], _ = _ranked(labels == 1, predictions.true_probabilities)
        value, contributions = _ranked(labels == 1, predictions.probabilities)
        return Score(value, details=details, contributions=contributions)


def _ranked(positive: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """The AUC, and what each row adds to it, (rows,): its placement in the other class minus the AUC, scaled by class.

    A row beats the rows of the other class that have a lower probability, and half of those with the same one.
    """
    distinct, place = np.unique(probabilities, return_inverse=True)  # from the lowest
    negative = ~positive
    n1, n0 = int(positive.sum()), int(negative.sum())
    clicks, others = (np.bincount(place[rows], minlength=len(distinct)) for rows in (positive, negative))
    below = (np.cumsum(others) - others / 2)[place[positive]]  # (n1,), negatives that each positive beats
    above = (n1 - np.cumsum(clicks) + clicks / 2)[place[negative]]  # (n0,), positives that beat each negative
    auc = float(below.sum()) / (n1 * n0)
    parts = np.empty(len(place))
    parts[positive] = (below / n0 - auc) / np.sqrt(n1 * max(n1 - 1, 1))
    parts[negative] = (above / n1 - auc) / np.sqrt(n0 * max(n0 - 1, 1))
    return auc, parts


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `auc`."""
    register(Auc)
