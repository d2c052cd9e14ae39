"""Area under the ROC curve.

In: a model's probabilities on the real test rows. Out: the chance that a click is ranked above a non-click.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

from ctrbench_metrics._slices import ranked


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
            details["oracle"], _ = ranked(labels == 1, predictions.true_probabilities)
        value, contributions = ranked(labels == 1, predictions.probabilities)
        return Score(value, details=details, contributions=contributions)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `auc`."""
    register(Auc)
