"""The interval and its parts, against numbers worked by hand, formulas written anew, and simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ctrbench import Field, Predictions, Schema, Table, intervals
from ctrbench.intervals import Effect, Spread, effect, of_one_pool
from ctrbench_metrics.auc import Auc
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from scipy import stats
from statsmodels.stats.power import TTestPower

Floats = np.ndarray
SHARED = np.array([[9e-4, 1e-4, 2e-4], [1e-4, 9e-4, 3e-4], [2e-4, 3e-4, 9e-4]])  # off the diagonal 2e-4 in the mean


def made(differences: list[float] | Floats, covariance: Floats | None = None) -> Effect:
    found = effect(np.array(differences, float), covariance)
    assert found is not None
    return found


# The interval


def test_three_repeats_worked_by_hand() -> None:
    found = made([0.01, 0.02, 0.06], SHARED)
    assert found.mean == pytest.approx(0.03)
    assert found.spread.seeds == pytest.approx(7e-4)  # (.02² + .01² + .03²) / 2
    assert found.spread.test == pytest.approx(2e-4)
    assert found.variance == pytest.approx(7e-4 / 3 + 2e-4)
    assert found.df == pytest.approx(2 * (13 / 7) ** 2)  # (V / (s²/3)) = (7/3 + 2) / (7/3)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, found.df) * math.sqrt(13e-4 / 3))
    assert (found.low + found.high) / 2 == pytest.approx(found.mean)
    assert (found.repeats, found.basis) == (3, "seeds and test rows")


def test_a_covariance_below_zero_counts_as_none_and_leaves_the_t_interval_of_the_seeds() -> None:
    values = [0.01, 0.02, 0.06]
    found, plain = made(values, -SHARED), stats.ttest_1samp(values, 0)
    low, high = plain.confidence_interval(0.95)
    assert (found.low, found.high, found.df) == pytest.approx((low, high, 2))
    assert found.p == pytest.approx(plain.pvalue)
    assert found.spread.test == 0
    seeds = made(values)
    assert (seeds.low, seeds.high, seeds.basis) == (found.low, found.high, "seeds only")


def test_without_noise_of_seeds_the_interval_is_normal() -> None:
    found = made([0.02, 0.02, 0.02], np.full((3, 3), 4e-4))
    assert math.isinf(found.df)
    assert found.half_width == pytest.approx(1.959964 * 0.02)
    assert found.p == pytest.approx(2 * stats.norm.sf(1))


def test_one_repeat_tells_of_test_rows_only_and_proves_nothing() -> None:
    found = made([0.5], np.array([[1e-4]]))
    assert (found.variance, found.basis, found.p) == (1e-4, "test rows only", 1.0)
    assert found.half_width == pytest.approx(1.959964 * 0.01)
    nothing = effect(np.array([0.5]))
    assert (nothing.mean, nothing.variance, nothing.basis, nothing.p) == (0.5, math.inf, "nothing", 1.0)


def test_model_seeds_of_one_pool_are_in_its_interval_and_prove_nothing_of_another() -> None:
    differences, covariance = np.array([0.1, 0.3, 0.2, 0.4]), np.full((4, 4), 1e-4)
    alone, repeats = of_one_pool(differences, covariance), made(differences.tolist(), covariance)
    assert (alone.low, alone.high) == (repeats.low, repeats.high)
    assert (alone.repeats, alone.p, alone.among(3), alone.basis) == (1, 1.0, None, "model seeds and test rows")
    assert alone.spread == Spread(0.0, repeats.spread.test, None, repeats.spread.seeds)
    assert of_one_pool(differences).basis == "model seeds only"
    assert of_one_pool(np.array([0.1, 0.1])).basis == "nothing"


def test_what_was_never_seen_to_vary_proves_nothing() -> None:
    found = made([0.1, 0.1, 0.1])
    assert (found.basis, found.interval, found.p, found.detectable) == ("nothing", None, 1, math.inf)


def test_what_rounding_leaves_of_no_test_noise_is_none() -> None:
    alone = made([0.0], np.array([[-1e-20]]))
    assert (alone.variance, alone.half_width) == (0, 0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6, unique=True), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_p_and_interval_tell_the_same(values: list[float], test: float) -> None:
    found = made(values, np.full((len(values), len(values)), test))
    if found.variance > 1e-12:
        for level in (0.1, 0.9, 0.95):
            assert replace(found, mean=found.bound(level) - found.mean).p == pytest.approx(1 - level)
        assert replace(found, mean=0.0).p == pytest.approx(1)


@pytest.mark.parametrize("seeds", [0.3, 1.0, 3.0])  # beside the 1 of the test set
def test_intervals_cover_the_truth_at_their_rate(seeds: float) -> None:
    """D_r = truth + test set + seed and the test set's own noise in it; the covariance is that of the shared part."""
    rng, repeats, draws = np.random.default_rng(1), 5, 4000
    shared = np.ones((repeats, repeats)) + 0.2 * np.eye(repeats)
    drawn = rng.standard_normal((draws, 1)) + np.sqrt(seeds**2 + 0.2) * rng.standard_normal((draws, repeats))
    covered = np.mean([abs(found.mean) <= found.half_width for found in (made(row, shared) for row in drawn)])
    assert 0.94 <= covered <= 0.965


# Where the variance comes from


def test_model_seeds_split_the_variance_as_a_nested_analysis_does() -> None:
    table = np.array([[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]])
    found = made(table)
    within = 2.0
    between = stats.f_oneway(*table).statistic * within  # mean square of pools
    assert found.spread == Spread(seeds=16.0, test=0.0, generator=(between - within) / 2, model=within)
    assert found.spread.generator == 15.0
    assert found.variance == pytest.approx(16 / 3)


def test_pools_that_differ_less_than_model_seeds_have_no_variance_of_their_own() -> None:
    spread = made(np.array([[0.0, 4.0], [1.0, 3.0]])).spread
    assert (spread.seeds, spread.generator, spread.model) == (0.0, 0.0, 5.0)


def test_one_model_seed_tells_nothing_apart() -> None:
    assert made([0.1, 0.3]).spread == Spread(pytest.approx(0.02), 0.0, None, None)


# What the test rows are worth


def case(rows: int, seed: int) -> tuple[Floats, Floats]:
    """Labels, and the probabilities of two models with ties, (2, rows)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 5 < 2
    chances = np.clip(0.3 + 0.2 * labels + 0.2 * rng.standard_normal((2, rows)) + 0.1 * rng.standard_normal(rows), 0, 1)
    return labels, chances.round(1)


def placements(labels: Floats, scores: Floats) -> tuple[Floats, Floats, float]:
    """DeLong's components by all pairs: of positives, of negatives, and their mean."""
    wins = [[(p > n) + 0.5 * (p == n) for n in scores[~labels]] for p in scores[labels]]
    return np.mean(wins, axis=1), np.mean(wins, axis=0), float(np.mean(wins))


def contributions(labels: Floats, scores: Floats) -> tuple[float, Floats]:
    schema = Schema((Field("item", vocabulary=("a",)),))
    table = Table(DataFrame({"item": np.ones(len(labels), np.int32)}), schema, labels.astype(np.int8))
    score = Auc().score(Predictions(table, scores, table, 0.5))
    assert score.contributions is not None
    return score.value, score.contributions


@pytest.mark.parametrize("rows", [10, 85])
def test_the_products_of_contributions_are_delongs_covariances(rows: int) -> None:
    labels, chances = case(rows, 3)
    ours = [contributions(labels, scores) for scores in chances]
    theirs = [placements(labels, scores) for scores in chances]
    for (value, parts), (_, _, auc) in zip(ours, theirs, strict=True):
        assert value == pytest.approx(auc)
        assert parts.sum() == pytest.approx(0, abs=1e-12)
    positives, negatives = (np.cov([side[i] for side in theirs]) / len(theirs[0][i]) for i in (0, 1))
    parts = np.stack([part for _, part in ours])
    assert parts @ parts.T == pytest.approx(positives + negatives)


def test_sums_by_user_are_obuchowskis_clustered_covariances() -> None:
    labels, chances = case(200, 5)
    user = np.arange(200) // 10  # each with four positives and six negatives
    m, n, size = labels.sum(), (~labels).sum(), 20
    parts = np.stack([intervals.by_group(contributions(labels, scores)[1], user) for scores in chances])
    sums = []
    for scores in chances:
        positives, negatives, auc = placements(labels, scores)
        each = [
            sum(v - auc for v in positives[user[labels] == u]) / m
            + sum(w - auc for w in negatives[user[~labels] == u]) / n
            for u in range(size)
        ]
        sums.append(each)
    theirs = size / (size - 1) * np.array(sums) @ np.array(sums).T  # S10, S01 and both S11, multiplied out
    assert parts @ parts.T == pytest.approx(theirs, rel=1 / m)
    assert np.abs(parts.sum(axis=1)).max() < 2 / m * np.abs(parts).sum()


def test_a_user_whose_rows_repeat_counts_once() -> None:
    """Every row ten times over, of one user: the variance must stay, where independent rows make it a tenth."""
    labels, chances = case(100, 7)
    once = contributions(labels, chances[0])[1]
    tenfold = contributions(np.repeat(labels, 10), np.repeat(chances[0], 10))[1]
    clustered = intervals.by_group(tenfold, np.repeat(np.arange(100), 10))
    assert (clustered**2).sum() == pytest.approx((once**2).sum(), rel=0.03)
    assert (tenfold**2).sum() == pytest.approx((once**2).sum() / 10, rel=0.03)


def test_rows_without_groups_keep_their_contributions() -> None:
    parts = np.array([0.5, -0.25, -0.25])
    assert intervals.by_group(parts, None) is parts
    alone = intervals.by_group(parts, np.arange(3))
    assert (alone**2).sum() == pytest.approx(1.5 * (parts**2).sum())  # over one group fewer


def test_users_are_told_apart_by_their_identifier_and_unseen_ones_stand_alone() -> None:
    fields = Field("user", role="user", vocabulary=("a", "b")), Field("city", role="user", vocabulary=("x", "y"))
    frame = DataFrame({"user": [1, 1, 2, 0, 0, 1], "city": [1, 1, 1, 2, 2, 2]}, dtype=np.int32)
    found = Table(frame, Schema(fields), np.zeros(6, np.int8)).users
    assert found is not None
    assert found[0] == found[1] == found[5], "a user who moves is the same user"
    assert sorted(set(found)) == [0, 1, 2, 3]
    item = Schema((Field("item", role="item", vocabulary=("a", "b")),))
    assert Table(DataFrame({"item": np.ones(2, np.int32)}), item, np.zeros(2, np.int8)).users is None


# How small an effect could have been found


@pytest.mark.parametrize("repeats", [3, 5, 20])
def test_the_detectable_effect_of_seeds_alone_is_that_of_the_t_test(repeats: int) -> None:
    found = made(np.linspace(-1, 1, repeats))
    size = TTestPower().solve_power(nobs=repeats, alpha=0.05, power=0.8)
    assert found.detectable == pytest.approx(size * math.sqrt(found.spread.seeds), rel=1e-3)


def test_the_detectable_effect_without_noise_of_seeds_is_normal() -> None:
    assert made([0.1, 0.1], np.full((2, 2), 1.0)).detectable == pytest.approx(1.959964 + 0.841621)


def test_an_effect_of_the_detectable_size_is_found_four_times_in_five() -> None:
    found = Effect(0.0, 4.0, 4.0, 5, "seeds and test rows", Spread(20.0, 0.0))
    rng = np.random.default_rng(2)
    error = found.error * np.sqrt(rng.chisquare(found.df, 100_000) / found.df)
    means = found.detectable + found.error * rng.standard_normal(len(error))
    assert np.mean(np.abs(means) > stats.t.ppf(0.975, found.df) * error) == pytest.approx(0.8, abs=0.005)


def test_equal_differences_of_unequal_predictions_leave_the_error_unknown() -> None:
    """The covariance that test rows lend two repeats is an estimate, and may come out below 0."""
    found = made([0.07, 0.07], np.array([[1e-4, -1e-6], [-1e-6, 1e-4]]))
    assert (found.basis, found.interval) == ("nothing", None)
    assert made([0.0, 0.0], np.zeros((2, 2))).interval == (0, 0), "the same predictions twice"


def test_one_user_alone_says_nothing_about_others() -> None:
    assert intervals.by_group(np.array([0.5, -0.25, -0.25]), np.zeros(3, np.int64)) is None
    users = np.array([0, 0, 1, 2, 3])  # of a slice that holds rows of one user, or of two
    assert intervals.by_group(np.array([0.5, -0.5, 0, 0, 0]), users) is None
    of_two = intervals.by_group(np.array([0.5, 0.1, -0.6, 0, 0]), users)
    assert of_two == pytest.approx(np.array([0.6, -0.6, 0, 0]) * np.sqrt(2))
