"""What chance alone would do: estimates with 95 % intervals in which all rows of a user count as one draw.

In: a number for each row, and the row's user. Out: estimates that can be subtracted from each other, since each keeps
every user's part in its error. Rows of one user resemble each other; intervals that ignored this would be too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import UNSEEN, Skip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ctrbench import Table
    from numpy.typing import NDArray

SIGNIFICANCE = 0.025
"""A verdict is given where chance alone would do as much in at most this share of cases, one-sided."""

PERMUTATIONS = 99


@dataclass(frozen=True, eq=False)
class Estimate:
    """A share or a difference of shares, and each user's part in its deviation from the truth (influence), (users,)."""

    value: float
    parts: NDArray[np.float64]
    unseen: float = 0.0  # how far off the value may be though no user differs from it: few users may agree by chance

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference; both must count the same users."""
        return Estimate(self.value - other.value, self.parts - other.parts, self.unseen + other.unseen)

    @cached_property
    def margin(self) -> float:
        """Half the width of the 95 % interval, by Student's t over users."""
        return self._margin(SIGNIFICANCE)

    def side(self, level: float = SIGNIFICANCE) -> int:
        """1 or -1 where the value is above or below 0 by more than chance, at this level on either side; else 0."""
        return int(np.sign(self.value)) if abs(self.value) > self._margin(level) else 0

    def _margin(self, level: float) -> float:
        from scipy.special import stdtrit

        if len(self.parts) < 2:
            return 1.0  # a single user says nothing about others, so the share could be anything
        users = max(int(np.count_nonzero(self.parts)), 2)
        error = np.sqrt(users / (users - 1) * np.square(self.parts).sum())
        return float(stdtrit(users - 1, 1 - level) * error) + self.unseen

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.value - self.margin

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.value + self.margin

    @property
    def interval(self) -> Mapping[str, float]:
        """Both ends, under the names that a score's details use."""
        return {"low": self.low, "high": self.high}


def users_of(*tables: Table) -> list[NDArray[np.int64]]:
    """Each row's user, (rows,) per table, numbered from 0 over all tables.

    Without a user field each row is its own, and so is one whose user train lacks: they look alike and are many.
    """
    user = tables[0].schema.identifier("user")
    ends = np.cumsum([len(table) for table in tables])
    if user is None:
        return np.split(np.arange(ends[-1]), ends[:-1])
    codes = np.concatenate([table.column(user.name) for table in tables]).astype(np.int64)
    alone = codes == UNSEEN
    codes[alone] = user.vocab_size + np.arange(alone.sum())
    return np.split(np.unique(codes, return_inverse=True)[1], ends[:-1])


def mean_of(values: NDArray[np.float64], users: NDArray[np.int64], count: int) -> Estimate:
    """The mean of values, (rows,), whose users are numbered below `count`; errors by the jackknife over users.

    Where all are equal, n users may agree by chance, up to Clopper and Pearson's bound for a share, 1 - level^(1/n). A
    single user agrees with itself, however its values differ.
    """
    mean = float(values.mean())
    agree = _agreement(len(np.unique(users)), equal=np.ptp(values) == 0)
    return Estimate(mean, _parts(values - mean, users, count), agree)


def auc_of(
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    users: tuple[NDArray[np.int64], NDArray[np.int64]],
    count: int,
) -> Estimate:
    """Chance that a positive scores above a negative, ties counting half; errors by user as in Obuchowski (1997).

    Where no row differs from the others of its class, the users may agree by chance, as in `mean_of`; so does a class
    of a single user.
    """
    above, below = _placements(positives, negatives), 1 - _placements(negatives, positives)
    auc = float(above.mean())
    parts = _parts(above - auc, users[0], count) + _parts(below - auc, users[1], count)
    fewest = min(len(np.unique(side)) for side in users)
    agree = _agreement(fewest, equal=np.ptp(above) == np.ptp(below) == 0)
    return Estimate(auc, parts, agree)


def _parts(deviations: NDArray[np.float64], users: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """How far each user moves the mean from that of the others, (users,); 0 for a user who has no rows, or all.

    Deviations over all rows would be small for a user with most of them, who draws the mean to its own.
    """
    others = len(users) - np.bincount(users, minlength=count)
    parts: NDArray[np.float64] = np.bincount(users, deviations, count) / np.maximum(others, 1)
    return np.where(others > 0, parts, 0.0)


def _agreement(users: int, *, equal: bool) -> float:
    """How far off a share may be of which so many users show no difference."""
    return float(1 - SIGNIFICANCE ** (1 / users)) if equal or users == 1 else 0.0


def _placements(scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the others below each score, ties counting half, (scores,)."""
    known = np.sort(others)
    return (np.searchsorted(known, scores, "left") + np.searchsorted(known, scores, "right")) / (2 * len(known))


def chance_of_worse(
    pool: Sequence[NDArray[np.int64]],
    holdout: Sequence[NDArray[np.int64]],
    badness: Callable[[int, NDArray[np.int64]], float],
    rng: np.random.Generator,
) -> float:
    """The probability that the pool is worse than the holdout by at least as much, if both had the same distribution.

    Each holds arrays of small numbers from 0, (rows,), one array for each thing to be counted; `badness(thing, counts)`
    is summed over all things. A permutation test: rows are exchanged between the two, which have equally many.
    """
    rows = len(pool[0])
    orders = [np.arange(2 * rows)] + [rng.permutation(2 * rows) for _ in range(PERMUTATIONS)]
    worse = np.zeros(len(orders))
    for thing, numbers in enumerate(np.concatenate(each) for each in zip(pool, holdout, strict=True)):
        total = np.bincount(numbers)
        for at, order in enumerate(orders):
            counts = np.bincount(numbers[order[:rows]], minlength=len(total))
            worse[at] += badness(thing, counts) - badness(thing, total - counts)
    return float(np.mean(worse >= worse[0] - 1e-12))


def sample_of(table: Table, rows: int, rng: np.random.Generator) -> Table:
    """At most `rows` random rows of a table, in its order. Skip where it has none."""
    if not len(table):
        raise Skip("needs rows in the pool, train, valid and test")
    if len(table) <= rows:
        return table
    return table.take(np.sort(rng.choice(len(table), rows, replace=False)))
