"""AUC within users.

In: a model's probabilities on the real test rows. Out: the mean of the users' own AUCs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, PredictionMetric, Predictions, Register, Score, hookimpl

from ctrbench_metrics._users import user_lists


@dataclass(frozen=True)
class Gauc(PredictionMetric):
    """Mean AUC within users, weighted by their test rows (Zhou et al. 2018, Deep Interest Network).

    AUC rewards knowing which users click much; this asks only for the order within each user's rows. Users without a
    click or without a non-click have no AUC and are left out, as are those that train lacks: the details `users` and
    `rows` are the shares of users and rows that count. Where these are small, the value describes only active users.
    """

    name: ClassVar[str] = "gauc"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"

    def score(self, predictions: Predictions) -> Score:
        """A mean AUC in [0, 1]; Skip where no field identifies the user or no user has both labels."""
        lists = user_lists(predictions)
        impressions = lists.sums(lists.labels >= 0)
        clicks = lists.sums(lists.labels)
        ranks = lists.sums(lists.over_ties(lists.positions) * lists.labels)
        pairs = clicks * (impressions - clicks)
        areas = (pairs + clicks * (clicks + 1) / 2 - ranks) / pairs  # Mann and Whitney, ranks falling
        return Score(float((areas * impressions).sum() / impressions.sum()), details=lists.coverage)


@hookimpl
def register_metrics(register: Register[type[PredictionMetric]]) -> None:
    """Register `gauc`."""
    register(Gauc)
