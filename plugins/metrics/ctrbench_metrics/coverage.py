"""Catalogue coverage.

In: a model's rankings of all items for test clicks. Out: how many of the items stand in any of its lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._lists import Length, listed, rankings_of


@dataclass(frozen=True)
class Coverage(PredictionMetric):
    """Share of all items that are among the first k for any query (Ge et al. 2010, catalogue coverage).

    A model that puts the same hits before everybody covers little. It grows with the number of queries: compare it
    between models on the same queries only. Random lists cover most, and are useless: read it beside `recall_at_k`.
    The baseline is random lists of all items.
    """

    name: ClassVar[str] = "coverage"
    better: ClassVar[Better] = "neither"
    unit: ClassVar[str] = "share of items"

    k: Length = 10

    def score(self, predictions: Predictions) -> Score:
        """A share in [0, 1]; Skip where the data set has no queries."""
        rankings = rankings_of(predictions)
        items, queries = len(rankings.clicks), len(rankings.ranks)
        by_chance = 1 - (1 - min(self.k / items, 1)) ** queries
        return Score(len(np.unique(listed(rankings, self.k))) / items, by_chance)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Bring `coverage`."""
    register(Coverage)
