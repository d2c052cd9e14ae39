"""Novelty of the items that a model puts first.

In: a model's rankings of all items for test clicks. Out: how unpopular the items of its lists are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._lists import Length, listed, rankings_of


@dataclass(frozen=True)
class Novelty(PredictionMetric):
    """Mean −log2 of the popularity of the first k items (Vargas and Castells 2011).

    Popularity is an item's share of the clicks in real train, one click being added to each item so that none has 0.
    Random lists are very novel and useless: read it together with `recall_at_k`. The baseline is random lists of all
    items.
    """

    name: ClassVar[str] = "novelty"
    better: ClassVar[Better] = "neither"
    unit: ClassVar[str] = "bits"

    k: Length = 10

    def score(self, predictions: Predictions) -> Score:
        """Bits, at least 0; Skip where the data set has no queries."""
        rankings = rankings_of(predictions)
        clicks = rankings.clicks + 1
        surprise = -np.log2(clicks / clicks.sum())
        return Score(float(surprise[listed(rankings, self.k)].mean()), float(surprise.mean()))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `novelty`."""
    register(Novelty)
