"""What repeated, paired comparisons tell: intervals, p-values, and how small an effect they could have found.

In: the differences of R repeats, and the covariance that they owe to the test rows which they share. Out: an `Effect`;
of scores that are not paired, an `Unpaired`.
Seeds are the readers and test rows the cases of a multi-reader multi-case design (Obuchowski and Rockette 1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Basis = Literal[
    "seeds and test rows", "seeds only", "model seeds and test rows", "model seeds only", "test rows only", "nothing"
]
"""What an interval is over, most of it first: what was drawn anew, so that its noise is known.

Seeds are of pools and models.
"""

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
POWER = 0.8
TRUSTED = 5
"""From so many repeats on intervals hold as often as they say (docs/statistics.md)."""
MOST_REPEATS = 1000
"""More than so many repeats are no advice."""
ROUNDING = 1e-12
"""Differences closer to each other are equal: what is left is how sums were rounded, for metrics of order one."""

EQUAL = 1e-18
"""Covariances of equal predictions stay below it: they are what rounding leaves."""


@dataclass(frozen=True)
class Spread:
    """Variances of one difference: of a new pool's seed, of a new model seed, and of a new test set.

    `generator` and `model` are None where nothing tells them apart, that is below two model seeds a pool.
    """

    seeds: float  # of a repeat's difference, s²
    test: float  # c
    generator: float | None = None
    model: float | None = None


@dataclass(frozen=True)
class Effect:
    """A mean difference, and what is known of its error. All are in the metric's unit."""

    mean: float
    variance: float
    df: float  # infinite for a normal interval
    repeats: int
    basis: Basis
    spread: Spread

    @property
    def testable(self) -> bool:
        """Whether all seeds were drawn anew: test rows and model seeds prove nothing about another pool."""
        return self.basis in ("seeds and test rows", "seeds only")

    @property
    def covers(self) -> str:
        """Of an effect that is not testable, what its interval covers."""
        return "test noise only" if self.basis == "test rows only" else f"{self.basis} of one pool"

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.bound(-CONFIDENCE)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.bound(CONFIDENCE)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None where nothing was seen to vary, so that nothing is known of the error."""
        return None if math.isinf(self.variance) else (self.low, self.high)

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval."""
        return self.high - self.mean

    def bound(self, level: float) -> float:
        """The end of the two-sided interval of that level; the lower one for a negative level."""
        return self.mean + math.copysign(_quantile((1 + abs(level)) / 2, self.df) * self.error, level)

    def among(self, claims: int) -> tuple[float, float] | None:
        """The interval, so wide that those of so many claims hold at once with 95 % (Bonferroni).

        None where seeds were not drawn anew, or nothing is known of the error.
        """
        if not self.testable or math.isinf(self.variance):
            return None
        level = 1 - ALPHA / max(claims, 1)
        return self.bound(-level), self.bound(level)

    @property
    def p(self) -> float:
        """Two-sided p-value of no effect; 1 where it is not testable, or nothing was seen to vary."""
        from scipy import special

        if not self.testable or not self.variance:
            return 1.0
        return float(2 * special.stdtr(self.df, -abs(self.mean) / self.error))

    @property
    def detectable(self) -> float:
        """The smallest true effect that such data would show at 5 % with a power of 80 % (noncentral t)."""
        from scipy import optimize, stats

        if not self.variance or math.isinf(self.variance):
            return self.variance
        if math.isinf(self.df):
            return float(stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)) * self.error
        edge = _quantile((1 + CONFIDENCE) / 2, self.df)

        def lacking(shift: float) -> float:  # the other tail adds nothing worth counting at such a power
            return float(stats.nct.sf(edge, self.df, shift)) - POWER

        return float(optimize.brentq(lacking, 0.0, 5.0 * edge)) * self.error


@dataclass(frozen=True)
class Unpaired:
    """How far the means of two samples lie apart, and the parts of the difference's variance."""

    mean: float
    seeds: tuple[tuple[float, int], ...]  # of either mean: its variance, and its degrees of freedom
    test: float  # what test rows add

    def bound(self, level: float) -> float:
        """The end of the two-sided interval of that level; the lower one for a negative level.

        Each part of the variance is widened by the square of its own quantile. The interval then holds at least as
        often as it says, whatever the variances are (Banerjee 1960). Degrees of freedom for their sum (Welch 1947)
        lend two repeats those of a long baseline whenever the two lie close by chance.
        """
        share = (1 + abs(level)) / 2
        parts = (*self.seeds, (self.test, math.inf))
        width = math.sqrt(sum(variance * _quantile(share, df) ** 2 for variance, df in parts))
        return self.mean + math.copysign(width, level)


def sees_at(effect: Effect, repeats: int, rows: float, claims: int) -> float:
    """The smallest effect that four of five runs of so many repeats would claim, on `rows` times as many test rows.

    A normal approximation of the power, with the t quantile of the widened interval.
    """
    from scipy import stats

    seeds, test = effect.spread.seeds / repeats, effect.spread.test / rows
    variance = seeds + test
    df = (repeats - 1) * (variance / seeds) ** 2 if seeds else math.inf
    edge = float(stats.t.ppf(1 - ALPHA / (2 * max(claims, 1)), df))
    return (edge + float(stats.norm.ppf(POWER))) * math.sqrt(variance)


def enough(effect: Effect, target: float, claims: int) -> tuple[int | None, float]:
    """How many repeats, and how many times as many test rows, would see an effect of that size; None for too many."""
    for rows in (1.0, 2.0, 4.0, 8.0, 16.0):
        low, high = effect.repeats, MOST_REPEATS
        if sees_at(effect, high, rows, claims) > target:
            continue
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if sees_at(effect, middle, rows, claims) <= target else (middle + 1, high)
        if low <= 10 * effect.repeats or rows == 16:
            return low, rows
    return None, 1.0


def effect(differences: NDArray[np.float64], covariance: NDArray[np.float64] | None = None) -> Effect:
    """The effect behind the differences of R repeats.

    `differences` is (R, K): of R pools, each with K model seeds; a repeat's difference D_r is its mean over K.
    `covariance` is (R, R): C_rr', what D_r and D_r' owe to the test rows that they share; None where that is unknown.
    With s² = var(D_r) and c the mean of C_rr' over r ≠ r', at least 0, V = s²/R + c is the variance of the mean, and
    (R − 1)·(V/(s²/R))² its degrees of freedom (Hillis 2007). One repeat leaves V = C_11: the seeds are not in it; where
    that is unknown too, or V is 0 although the predictions differ, the variance is infinite.
    """
    differences = differences.reshape(len(differences), -1)
    by_repeat = differences.mean(axis=1)
    repeats, mean = len(by_repeat), float(by_repeat.mean())
    if repeats == 1:
        if covariance is None:
            return Effect(mean, math.inf, math.inf, 1, "nothing", Spread(0.0, 0.0))
        test = max(0.0, float(covariance[0, 0]))  # of equal predictions it is what rounding leaves
        return Effect(mean, test, math.inf, 1, "test rows only", Spread(0.0, test))
    seeds = _variance(by_repeat)
    test = 0.0
    if covariance is not None:
        test = max(0.0, float(covariance.sum() - np.trace(covariance)) / (repeats * (repeats - 1)))
    variance = seeds / repeats + test
    if not variance and (covariance is None or np.trace(covariance) > EQUAL):
        return Effect(mean, math.inf, math.inf, repeats, "nothing", _spread(differences, seeds, test))
    df = (repeats - 1) * (variance / (seeds / repeats)) ** 2 if seeds else math.inf
    basis: Basis = "seeds only" if covariance is None else "seeds and test rows"
    return Effect(mean, variance, df, repeats, basis, _spread(differences, seeds, test))


def of_one_pool(differences: NDArray[np.float64], covariance: NDArray[np.float64] | None = None) -> Effect:
    """The effect of one pool behind the differences of K model seeds, (K,), which stand for repeats in `effect`.

    What another pool would do is not in it.
    """
    found = effect(differences, covariance)
    spread = Spread(0.0, found.spread.test, None, found.spread.seeds)
    basis: Basis = "nothing"
    if found.basis != "nothing":
        basis = "model seeds only" if covariance is None else "model seeds and test rows"
    return replace(found, repeats=1, basis=basis, spread=spread)


def difference(new: NDArray[np.float64], old: NDArray[np.float64]) -> float:
    """How far the means lie apart; 0 where only rounding sets them apart."""
    apart = float(new.mean() - old.mean())
    return apart if abs(apart) > ROUNDING else 0.0


def unpaired(new: NDArray[np.float64], old: NDArray[np.float64], test: float = 0.0) -> Unpaired | None:
    """The scores of repeats, (R,), beside those of R' others that share no seed with them.

    None where either has one repeat alone. `test` is the variance that the difference owes to test rows, 0 where both
    had the same.
    """
    if min(len(new), len(old)) < 2:
        return None
    of_new, of_old = ((_variance(scores) / len(scores), len(scores) - 1) for scores in (new, old))
    return Unpaired(difference(new, old), (of_new, of_old), test)


def _variance(scores: NDArray[np.float64]) -> float:
    """Over seeds; 0 where only rounding sets the scores apart."""
    return float(scores.var(ddof=1)) if np.ptp(scores) > ROUNDING else 0.0


def _spread(differences: NDArray[np.float64], seeds: float, test: float) -> Spread:
    """The variance of seeds as that of pools and of model seeds nested in them (one-way analysis of variance)."""
    model_seeds = differences.shape[1]
    if model_seeds < 2:
        return Spread(seeds, test)
    model = float(differences.var(axis=1, ddof=1).mean())
    return Spread(seeds, test, max(0.0, seeds - model / model_seeds), model)


def combined(effects: Sequence[Effect]) -> Effect:
    """The mean of independent effects, such as those on several data sets (degrees of freedom: Satterthwaite)."""
    variances = [effect.variance / len(effects) ** 2 for effect in effects]
    variance = sum(variances)
    uncertain = sum(part**2 / effect.df for part, effect in zip(variances, effects, strict=True))
    worst = max((effect.basis for effect in effects), key=get_args(Basis).index)
    spread = Spread(*(sum(getattr(e.spread, name) for e in effects) / len(effects) for name in ("seeds", "test")))
    mean = sum(effect.mean for effect in effects) / len(effects)
    df = variance**2 / uncertain if uncertain and math.isfinite(variance) else math.inf
    return Effect(mean, variance, df, min(effect.repeats for effect in effects), worst, spread)


def by_group(contributions: NDArray[np.float64], group: NDArray[np.integer] | None) -> NDArray[np.float64] | None:
    """Sums of the contributions of rows that depend on each other, (groups,); the rows' own where all are independent.

    `group` is (rows,), from 0, none empty. The sums are scaled as a variance over so many groups is (Obuchowski 1997),
    those that contribute; None where a single one does, which says nothing about others.
    """
    if group is None:
        return contributions
    sums = np.bincount(group, contributions)
    contribute = len(np.unique(group[contributions != 0])) or len(sums)
    if contribute < 2:
        return None
    scaled: NDArray[np.float64] = sums * np.sqrt(contribute / (contribute - 1))
    return scaled


def _quantile(share: float, df: float) -> float:
    from scipy import special

    return float(special.stdtrit(df, share))
