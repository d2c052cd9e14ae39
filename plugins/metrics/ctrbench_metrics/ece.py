"""Expected calibration error.

In: a model's probabilities on the real test rows. Out: how far predicted and actual click rates are apart, over bins of
rows with similar predictions, compared with what chance alone would produce.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

from ctrbench_metrics._probabilities import recalibrated

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Ece(PredictionMetric):
    """Expected calibration error over 15 bins of equal mass (Naeini et al. 2015; Nixon et al. 2019).

    The mean over rows of |predicted − actual click rate| of the row's bin. Rows with equal predictions share a bin, so
    bins have equal mass only as far as ties allow. It is never 0 on finite data: the baseline is its expectation if
    every prediction were right, and only the excess is miscalibration. Errors that cancel within a bin go unnoticed.
    The details `after_prior` and `after_platt` are the error after recalibration (docs/metrics.md).
    """

    name: ClassVar[str] = "ece"
    imports: ClassVar[tuple[str, ...]] = ("scipy.optimize", "scipy.special")
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "click rate"

    def score(self, predictions: Predictions) -> Score:
        """An error in [0, 1]; Skip where there are no test rows."""
        labels, probabilities = predictions.rows.targets, predictions.probabilities
        if not len(labels):
            raise Skip("calibration error needs test rows")
        return Score(_error(labels, probabilities), _expected(probabilities), recalibrated(predictions, _error))


def _error(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> float:
    beyond = np.bincount(_bins(probabilities), weights=labels - probabilities)
    return float(np.abs(beyond).sum() / len(labels))


def _expected(probabilities: NDArray[np.float64]) -> float:
    """The error to be expected of labels that follow the probabilities.

    The number S of a bin's clicks then deviates from its expectation by |S − E S| on average, S being a sum of
    independent Bernoulli draws with variance v. A Poisson count with that variance has the mean deviation 2 v P(⌊v⌋),
    which is exact in the limits of rare clicks, of rare non-clicks and of many rows, and within 5 % from v = 3 on.
    """
    from scipy.special import gammaln, xlogy

    variance = np.bincount(_bins(probabilities), weights=probabilities * (1 - probabilities))
    whole = np.floor(variance)
    deviation = 2 * variance * np.exp(xlogy(whole, variance) - variance - gammaln(whole + 1))
    return float(deviation.sum() / len(probabilities))


def _bins(probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each row, (rows,): by the middle rank of the rows with its probability."""
    _, place, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    bins: NDArray[np.intp] = (middles * BINS / len(probabilities)).astype(np.intp)[place]
    return bins


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `ece`."""
    register(Ece)
