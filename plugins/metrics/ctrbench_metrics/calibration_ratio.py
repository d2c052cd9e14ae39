"""Predicted over actual click rate.

In: a model's probabilities on the real test rows. Out: their mean over the labels' mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

from ctrbench_metrics._probabilities import recalibrated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CalibrationRatio(PredictionMetric):
    """Mean predicted over actual click rate of the test rows: above 1 the model predicts too many clicks.

    "Calibration" in He et al. (2014): the ratio of expected to observed clicks. 1 is right on average and says nothing
    about single rows, which `ece` looks at. The details `after_prior` and `after_platt` are the ratio after
    recalibration (docs/metrics.md).
    """

    name: ClassVar[str] = "calibration_ratio"
    imports: ClassVar[tuple[str, ...]] = ("scipy.optimize",)
    better: ClassVar[Better] = "neither"
    unit: ClassVar[str] = "predicted / actual"

    def score(self, predictions: Predictions) -> Score:
        """A ratio of at least 0; Skip where no test row is a click."""
        if not predictions.rows.targets.any():
            raise Skip("predicted over actual clicks needs test rows that were clicked")
        value = _ratio(predictions.rows.targets, predictions.probabilities)
        return Score(value, 1.0, recalibrated(predictions, _ratio))


def _ratio(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> float:
    return float(probabilities.mean() / labels.mean())


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `calibration_ratio`."""
    register(CalibrationRatio)
