"""Normalised discounted cumulative gain of the logged rows.

In: a model's probabilities on the real test rows. Out: how near the top of each user's own test rows the clicks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._users import user_lists


@dataclass(frozen=True)
class NdcgLogged(PredictionMetric):
    """NDCG over each user's logged test rows, the mean over users with both labels (Järvelin and Kekäläinen 2002).

    The candidates are the rows that happen to be in the log, not the catalogue: the value says nothing about a
    recommender that chooses among all items (see `recall_at_k`). Tied rows share their discounts (McSherry and Najork
    2008). The baseline is the expectation of a random order, which is high where lists are short. The details `users`
    and `rows` are the shares of users and rows that count.
    """

    name: ClassVar[str] = "ndcg_logged"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "NDCG"

    def score(self, predictions: Predictions) -> Score:
        """A mean in (0, 1]; Skip where no field identifies the user or no user has both labels."""
        lists = user_lists(predictions)
        discounts = 1 / np.log2(1 + lists.positions)
        clicks = lists.sums(lists.labels)
        best = lists.sums(discounts * (lists.positions <= clicks[lists.users]))
        gains = lists.sums(lists.over_ties(discounts) * lists.labels) / best
        by_chance = clicks * lists.sums(discounts) / lists.sums(lists.labels >= 0) / best
        return Score(float(gains.mean()), float(by_chance.mean()), lists.coverage)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `ndcg_logged`."""
    register(NdcgLogged)
