"""Checks of metrics: the same answer each time, and the right one where it is known.

In: a metric and a small log. Out: results in the report.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ctrbench import contract
from ctrbench.conformance._recorder import Recorder
from ctrbench.conformance._small_logs import Log, noise_like
from ctrbench.contract import expect
from ctrbench.errors import Skip
from ctrbench.interfaces import PredictionMetric, Predictions, Rankings, Score, SyntheticMetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench.table import Table

DRAWS, WITHIN = 60, 2.0
"""Contributions must tell the spread of the metric over so many bootstrap samples of rows within this factor."""


def check_prediction_metric(report: Recorder, plugin: PredictionMetric, log: Log) -> None:
    """Score guesses, then predictions that are the labels."""
    test, train, valid = log.splits.test, log.splits.train, log.splits.valid
    rng = np.random.default_rng(7)
    guesses = np.round(rng.random(len(test)), 1) * 0.98 + 0.01  # with ties
    guesses_of_valid = np.round(rng.random(len(valid)), 1) * 0.98 + 0.01
    perfect = np.where(test.targets == 1, 0.999, 0.001)
    as_they_are = np.arange(len(test))

    def score(probabilities: NDArray[np.float64], order: NDArray[np.int64] = as_they_are) -> Score:
        seen = Predictions(
            test.take(order),
            probabilities[order],
            train,
            train.click_rate,
            log.splits.true_probabilities["test"][order],
            valid,
            guesses_of_valid,
            _rankings(perfect=probabilities is perfect),
        )
        with report.watch(seen.rows, seen.real_train, valid):
            return contract.check_score(plugin.score(seen), len(seen.rows))

    first = report.check("scores", lambda: score(guesses))
    if first is None:
        return

    def check_direction() -> None:
        if plugin.better == "neither":
            raise Skip("it says that neither direction is better")
        good = score(perfect).value
        right = good >= first.value if plugin.better == "higher" else good <= first.value
        expect(right, f"{plugin.better} is better, yet the labels score {good:.4g} and guesses {first.value:.4g}")

    def check_order() -> None:
        moved = score(guesses, rng.permutation(len(test))).value
        close = math.isclose(moved, first.value, rel_tol=1e-9, abs_tol=1e-9)
        expect(close, f"rows in another order score {moved:.4g}, not {first.value:.4g}")

    def check_contributions() -> None:
        parts = first.contributions
        if parts is None:
            raise Skip("it gives none: its intervals are over seeds alone")
        total = f"contributions sum to {parts.sum():.3g}, not to 0: leave the mean out of them"
        expect(abs(parts.sum()) <= 1e-6 * max(np.abs(parts).sum(), 1e-9), total)
        drawn = [score(guesses, rng.integers(len(test), size=len(test))).value for _ in range(DRAWS)]
        spread, told = float(np.std(drawn)), float(np.sqrt((parts**2).sum()))
        what = f"contributions tell a standard error of {told:.3g}, rows drawn anew one of {spread:.3g}"
        expect(told <= WITHIN * spread + 1e-12 and spread <= WITHIN * told + 1e-12, what)

    report.check("the same again", lambda: expect(score(guesses) == first, "the same predictions score differently"))
    report.check("contributions tell how sure it is", check_contributions)
    report.check("known answer: the labels against guesses", check_direction)
    report.check("whatever the order of rows", check_order)
    report.check_untouched()


def _rankings(*, perfect: bool) -> Rankings:
    """Random orders of 8 items for 40 queries, or the same with the clicked item in front."""
    rng = np.random.default_rng(11)
    own, clicks = rng.integers(8, size=40), rng.integers(20, size=8)
    top = rng.permuted(np.tile(np.arange(8, dtype=np.int32), (40, 1)), axis=1)
    if perfect:
        places = np.argsort(top != own[:, None], axis=1, kind="stable")
        top = np.take_along_axis(top, places, axis=1)
    ranks = 1.0 + (top == own[:, None]).argmax(axis=1)
    return Rankings(ranks, np.full(40, 8, np.int32), top, clicks)


def check_synthetic_metric(report: Recorder, plugin: SyntheticMetric, log: Log) -> None:
    """Score real train as a pool, then noise."""
    train, holdout, reference = log.splits.train, log.splits.valid, log.splits.test
    noise = noise_like(train, seed=3)

    def score(pool: Table) -> Score:
        with report.watch(pool, train, holdout, reference):
            return contract.check_score(plugin.score(pool, train=train, holdout=holdout, reference=reference, seed=1))

    first = report.check("scores", lambda: score(train))
    if first is None:
        return

    def check_difference() -> None:
        expect(score(noise).value != first.value, f"real rows and noise both score {first.value:.4g}")

    report.check("the same under a seed", lambda: expect(score(train) == first, "the same pool scores differently"))
    report.check("known answer: real rows against noise", check_difference)
    report.check_untouched()
