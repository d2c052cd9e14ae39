"""AUC on cold users.

In: a model's probabilities on the real test rows, and real train. Out: the AUC of the test rows
of users with few rows in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._rows import number_rows, occurrences
from ctrbench_metrics._slices import auc_on

MOST_ROWS = 5


@dataclass(frozen=True)
class AucColdUsers(PredictionMetric):
    """AUC on test rows of users with at most 5 rows in real train.

    It shows how well a model serves users whom it hardly knows. The rows of all such users are ranked together, as in
    AUC. `rows` and `positives` say how many there are; with few of them the value is mostly noise.
    """

    name: ClassVar[str] = "auc_cold_users"
    imports: ClassVar[tuple[str, ...]] = ("sklearn.metrics",)
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"
    slice_of: ClassVar[str] = "auc"

    def score(self, predictions: Predictions) -> Score:
        """AUC in [0, 1]; Skip where such rows have only one class, or no field identifies the user."""
        rows, train = predictions.rows, predictions.real_train
        users, seen = number_rows(rows, train, fields=[rows.schema.expect_identifier("user").name])
        return auc_on(predictions, occurrences(users, seen) <= MOST_ROWS, f"users with at most {MOST_ROWS} train rows")


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `auc_cold_users`."""
    register(AucColdUsers)
