"""Catalogue coverage.

In: a model's rankings of all items for test clicks. Out: what share of the items is in any of its lists.
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

    A model that shows everybody the same hits covers little. Coverage grows with the number of queries, so compare
    models only on the same queries. Random lists cover most items and are useless: read it together with `recall_at_k`.
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
    """Register `coverage`."""
    register(Coverage)
