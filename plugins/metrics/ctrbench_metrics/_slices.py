"""AUC, also on a part of the test rows.

In: labels and probabilities, or predictions and a mask of test rows. Out: their AUC and what each row adds to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Predictions, Score, Skip

if TYPE_CHECKING:
    from numpy.typing import NDArray


def auc_on(predictions: Predictions, chosen: NDArray[np.bool_], what: str) -> Score:
    """AUC of the chosen rows, with the numbers of rows and clicks; Skip where they have only one class.

    Rows that were not chosen add nothing to it: their contributions are 0.
    """
    labels = predictions.rows.targets[chosen]
    clicks = int(labels.sum())
    if clicks in (0, len(labels)):
        raise Skip(f"{len(labels)} test rows of {what}, {clicks} of them clicks: AUC needs both classes")
    value, parts = ranked(labels == 1, predictions.probabilities[chosen])
    contributions = np.zeros(len(predictions.probabilities))
    contributions[chosen] = parts
    details = {"rows": float(len(labels)), "positives": float(clicks)}
    return Score(value, details=details, contributions=contributions)


def ranked(positive: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
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
