"""Area under the ROC curve.

In: a model's probabilities on the real test rows. Out: the chance that a click is ranked above a non-click.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import PredictionMetric, Predictions, Register, Score, Skip, hookimpl
from ctrbench.interfaces import Better

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Auc(PredictionMetric):
    """Chance that a random click is ranked above a random non-click, ties counting half (Hanley and McNeil 1982).

    Exact over all pairs; its contributions are the placements of DeLong et al. 1988. The detail `oracle` is the AUC of
    the true probabilities, where a simulation knows them.
    """

    name: ClassVar[str] = "auc"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.metrics", "scipy.stats")
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"

    def score(self, predictions: Predictions) -> Score:
        """AUC in [0, 1]; Skip where the test rows have one class only."""
        from sklearn.metrics import roc_auc_score

        labels = predictions.rows.targets
        if labels.all() or not labels.any():
            raise Skip("AUC needs test rows of both classes")
        probabilities, details = predictions.probabilities, {}
        if predictions.true_probabilities is not None:
            details["oracle"] = float(roc_auc_score(labels, predictions.true_probabilities))
        value = float(roc_auc_score(labels, probabilities))
        return Score(value, details=details, contributions=_contributions(labels == 1, probabilities, value))


def _contributions(positive: NDArray[np.bool_], probabilities: NDArray[np.float64], auc: float) -> NDArray[np.float64]:
    """What each row adds to the AUC, (rows,): its placement among the other class less the AUC, each class scaled."""
    from scipy.stats import rankdata

    ranks = rankdata(probabilities)
    parts = np.empty(len(ranks))
    for mine, sign in ((positive, 1), (~positive, -1)):
        size = int(mine.sum())
        below = (ranks[mine] - rankdata(probabilities[mine])) / (len(ranks) - size)  # of the other class, ties half
        placements = below if sign > 0 else 1 - below
        parts[mine] = (placements - auc) / np.sqrt(size * max(size - 1, 1))
    return parts


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Bring `auc`."""
    register(Auc)
