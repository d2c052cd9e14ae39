"""Diversity between lists.

In: a model's rankings of all items for test clicks. Out: how little the lists of two queries have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, Skip, hookimpl

from ctrbench_metrics._lists import Length, listed, rankings_of


@dataclass(frozen=True)
class Diversity(PredictionMetric):
    """Mean share of the first k items that two queries do not have in common (Zhou et al. 2010, inter-list).

    0: every query gets the same list; 1: no two lists share an item. Exact over all pairs of queries, including two
    contexts of one user. Random lists are very diverse and useless: read it together with `recall_at_k`. The baseline
    is random lists of all items.
    """

    name: ClassVar[str] = "diversity"
    better: ClassVar[Better] = "neither"
    unit: ClassVar[str] = "share of a list"

    k: Length = 10

    def score(self, predictions: Predictions) -> Score:
        """A share in [0, 1]; Skip where the data set has fewer than two queries."""
        rankings = rankings_of(predictions)
        queries, items = len(rankings.ranks), len(rankings.clicks)
        if queries < 2:
            raise Skip("diversity between lists needs two queries")
        length = min(self.k, items)
        lists = np.bincount(listed(rankings, length))  # that contain each item
        shared = (lists * (lists - 1)).sum() / (queries * (queries - 1))  # items that two lists share, on average
        return Score(float(1 - shared / length), 1 - length / items)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `diversity`."""
    register(Diversity)
