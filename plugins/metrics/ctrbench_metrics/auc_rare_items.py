"""AUC on rare items.

In: a model's probabilities on the real test rows, and real train. Out: the AUC of the test rows
of the less popular half of the items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._rows import number_rows, occurrences
from ctrbench_metrics._slices import auc_on


@dataclass(frozen=True)
class AucRareItems(PredictionMetric):
    """AUC on test rows of the less popular half of the items.

    It shows how well a model serves the long tail, where popularity helps little. Popularity is the number of clicks in
    real train; rare are the items of at most the median popularity among train's items, and those that train lacks.
    Items tied at the median all count as rare.
    """

    name: ClassVar[str] = "auc_rare_items"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"
    slice_of: ClassVar[str] = "auc"

    def score(self, predictions: Predictions) -> Score:
        """AUC in [0, 1]; Skip where such rows have only one class, or no field identifies the item."""
        rows, train = predictions.rows, predictions.real_train
        items, seen = number_rows(rows, train, fields=[rows.schema.expect_identifier("item").name])
        clicked = seen[train.targets == 1]
        middle = np.median(occurrences(np.unique(seen), clicked))
        return auc_on(predictions, occurrences(items, clicked) <= middle, "rare items")


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `auc_rare_items`."""
    register(AucRareItems)
