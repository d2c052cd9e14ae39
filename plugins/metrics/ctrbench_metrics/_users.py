"""The test rows as one ranked list per user, highest prediction first.

In: predictions. Out: the lists of those users who have a click and a non-click among their test rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import UNSEEN, Skip

if TYPE_CHECKING:
    from ctrbench import Predictions
    from numpy.typing import NDArray


@dataclass(frozen=True)
class UserLists:
    """Rows of the users with both labels, user by user, and within a user by descending probability."""

    users: NDArray[np.intp]  # (rows,), from 0
    labels: NDArray[np.int8]  # (rows,)
    positions: NDArray[np.intp]  # (rows,), in the user's list, from 1
    ties: NDArray[np.intp]  # (rows,), equal where user and probability are equal
    coverage: dict[str, float]  # the share of users and of rows that are in some list

    def sums(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """The sum of a value over each user's rows, (users,)."""
        return np.asarray(np.bincount(self.users, weights=values), np.float64)

    def over_ties(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """A function of position, averaged over all orders of tied rows, (rows,)."""
        means: NDArray[np.float64] = np.bincount(self.ties, weights=values) / np.bincount(self.ties)
        return means[self.ties]


def user_lists(predictions: Predictions) -> UserLists:
    """The lists; Skip where no field identifies the user, or no user has both labels.

    Rows of users that train lacks are in no list: they share the code for unseen values and would look like one user.
    """
    rows = predictions.rows
    codes = rows.rows[rows.schema.expect_identifier("user").name].to_numpy()
    known = codes != UNSEEN
    distinct, users = np.unique(codes[known], return_inverse=True)
    labels = rows.targets[known]
    clicks = np.bincount(users, weights=labels, minlength=len(distinct))
    both = (clicks > 0) & (clicks < np.bincount(users, minlength=len(distinct)))
    if not both.any():
        raise Skip("no user has both clicks and non-clicks among the test rows")
    chosen = both[users]
    probabilities, labels = predictions.probabilities[known][chosen], labels[chosen]
    users = (np.cumsum(both) - 1)[users[chosen]]
    order = np.lexsort((-probabilities, users))
    users, labels, probabilities = users[order], labels[order], probabilities[order]
    firsts = np.flatnonzero(np.diff(users, prepend=-1))
    positions = np.arange(len(users)) - firsts[users] + 1
    ties = np.cumsum((positions == 1) | (np.diff(probabilities, prepend=np.inf) != 0)) - 1
    coverage = {"users": float(both.mean()), "rows": len(users) / len(rows)}
    return UserLists(users, labels, positions, ties, coverage)
