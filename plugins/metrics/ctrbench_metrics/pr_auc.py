"""Area under the precision-recall curve.

In: a model's probabilities on the real test rows. Out: their average precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl


@dataclass(frozen=True)
class PrAuc(PredictionMetric):
    """Average precision: the mean over clicks of the precision down to that click (Davis and Goadrich 2006).

    The step-wise area, not the trapezoidal one, which is too optimistic. It weighs the top of the list more than AUC
    does, and depends on the click rate, which is its baseline: values of logs with different click rates cannot be
    compared.
    """

    name: ClassVar[str] = "pr_auc"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.metrics",)
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "average precision"

    def score(self, predictions: Predictions) -> Score:
        """Average precision in (0, 1]; Skip where no test row is a click."""
        from sklearn.metrics import average_precision_score

        labels = predictions.rows.targets
        if not labels.any():
            raise Skip("average precision needs test rows that were clicked")
        details = {}
        if predictions.true_probabilities is not None:
            details["oracle"] = float(average_precision_score(labels, predictions.true_probabilities))
        value = float(average_precision_score(labels, predictions.probabilities))
        return Score(value, predictions.rows.click_rate, details)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `pr_auc`."""
    register(PrAuc)
