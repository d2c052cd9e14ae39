"""Recall of the clicked item in a list of the best of all items.

In: a model's rankings of all items for test clicks. Out: how many of the clicked items are in the first k places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._lists import Length, rankings_of


@dataclass(frozen=True)
class RecallAtK(PredictionMetric):
    """Share of test clicks whose item is among the first k of all items (hit rate of one relevant item).

    Candidates are the items of train that the user did not click there, and the clicked one; a tie with another item
    counts half a rank. An item that the user would have liked but never saw counts as wrong, so values are too low, and
    models that follow popularity are favoured, since popular items are in any log. The baseline is a random order.
    Details: `queries`, `candidates` on average, and `reciprocal_rank`, the mean of 1 / rank.
    """

    name: ClassVar[str] = "recall_at_k"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "share of clicks"

    k: Length = 10

    def score(self, predictions: Predictions) -> Score:
        """A share in [0, 1]; Skip where the data set has no queries."""
        rankings = rankings_of(predictions)
        details = {
            "queries": float(len(rankings.ranks)),
            "candidates": float(rankings.candidates.mean()),
            "reciprocal_rank": float((1 / rankings.ranks).mean()),
        }
        by_chance = np.minimum(self.k / rankings.candidates, 1).mean()
        return Score(float((rankings.ranks <= self.k).mean()), float(by_chance), details)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `recall_at_k`."""
    register(RecallAtK)
