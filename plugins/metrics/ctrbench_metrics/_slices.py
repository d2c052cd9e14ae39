"""AUC on a part of the test rows.

In: predictions and a mask of test rows. Out: their AUC, or the reason why there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrbench import Predictions, Score, Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def auc_on(predictions: Predictions, chosen: NDArray[np.bool_], what: str) -> Score:
    """AUC of the chosen rows, with the numbers of rows and clicks; Skip where they have only one class."""
    from sklearn.metrics import roc_auc_score

    labels = predictions.rows.targets[chosen]
    clicks = int(labels.sum())
    if clicks in (0, len(labels)):
        raise Skip(f"{len(labels)} test rows of {what}, {clicks} of them clicks: AUC needs both classes")
    value = float(roc_auc_score(labels, predictions.probabilities[chosen]))
    return Score(value, details={"rows": float(len(labels)), "positives": float(clicks)})
