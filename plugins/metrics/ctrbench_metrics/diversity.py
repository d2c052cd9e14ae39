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
    contexts of one user. Where lists are shorter than k, two can share as many items as the shorter one has. Random
    lists are very diverse and useless: read it together with `recall_at_k`. The baseline is random lists of all items.
    """

    name: ClassVar[str] = "diversity"
    better: ClassVar[Better] = "neither"
    unit: ClassVar[str] = "share of a list"

    k: Length = 10

    def score(self, predictions: Predictions) -> Score:
        """A share in [0, 1]; Skip where the data set has fewer than two queries that have a list."""
        rankings = rankings_of(predictions)
        lengths = np.sort((rankings.top[:, : self.k] >= 0).sum(axis=1))  # of the lists
        most = (lengths * np.arange(len(lengths))[::-1]).sum()  # that pairs of lists could share, as their shorter ones
        if not most:
            raise Skip("diversity between lists needs two queries")
        lists = np.bincount(listed(rankings, self.k))  # that contain each item
        shared = (lists * (lists - 1)).sum() / 2
        by_chance = (lengths.sum() ** 2 - (lengths**2).sum()) / 2 / len(rankings.clicks)
        return Score(float(1 - shared / most), float(1 - by_chance / most))


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `diversity`."""
    register(Diversity)
