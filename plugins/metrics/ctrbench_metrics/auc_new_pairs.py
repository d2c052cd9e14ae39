"""AUC on new pairs of user and item.

In: a model's probabilities on the real test rows, and real train. Out: the AUC of the test rows whose user and item
never occur together in train.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._rows import number_rows, occurrences
from ctrbench_metrics._slices import auc_on


@dataclass(frozen=True)
class AucNewPairs(PredictionMetric):
    """AUC on test rows whose pair of user and item is not in real train.

    Where users return to the same items, AUC on all rows mostly asks what was clicked before; this asks for taste. A
    pair with a user or an item that train lacks is new too. Clicks and non-clicks are selected by the same rule, so a
    log with sampled negatives keeps most of its negatives and few of its clicks: see `rows` and `positives`.
    """

    name: ClassVar[str] = "auc_new_pairs"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"
    slice_of: ClassVar[str] = "auc"

    def score(self, predictions: Predictions) -> Score:
        """AUC in [0, 1]; Skip where such rows have only one class, or no field identifies the user or the item."""
        rows, train = predictions.rows, predictions.real_train
        fields = [rows.schema.expect_identifier(role).name for role in ("user", "item")]
        pairs, seen = number_rows(rows, train, fields=fields)
        return auc_on(predictions, occurrences(pairs, seen) == 0, "a pair that train lacks")


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `auc_new_pairs`."""
    register(AucNewPairs)
