"""The metrics of predictions beside AUC and logloss: against hand-made answers, brute force and scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ctrbench import Field, Predictions, Schema, Skip, Table
from ctrbench_metrics._probabilities import mean_loss
from ctrbench_metrics._rows import occurrences
from ctrbench_metrics.auc import Auc
from ctrbench_metrics.auc_cold_users import AucColdUsers
from ctrbench_metrics.auc_new_pairs import AucNewPairs
from ctrbench_metrics.auc_rare_items import AucRareItems
from ctrbench_metrics.calibration_ratio import CalibrationRatio
from ctrbench_metrics.ece import Ece
from ctrbench_metrics.gauc import Gauc
from ctrbench_metrics.logloss import Logloss
from ctrbench_metrics.ndcg_logged import NdcgLogged
from ctrbench_metrics.normalised_entropy import NormalisedEntropy
from ctrbench_metrics.pr_auc import PrAuc
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, ndcg_score, roc_auc_score

SCHEMA = Schema(
    (
        Field("user", role="user", vocabulary=tuple("abc")),
        Field("age", "numeric", "user"),
        Field("item", role="item", vocabulary=tuple("uvw")),
        Field("brand", role="item", vocabulary=tuple("xy")),
        Field("hour", vocabulary=tuple("012")),
    )
)
BARE = Schema(SCHEMA.fields[-1:])
WITHOUT_ROLES = [Gauc(), NdcgLogged(), AucNewPairs(), AucColdUsers(), AucRareItems()]


def log(rows: list[tuple[int, ...]], schema: Schema = SCHEMA) -> Table:
    """A table of rows that end with their label."""
    frame = pd.DataFrame([row[:-1] for row in rows], columns=list(schema.names))
    dtypes = {f.name: "int32" if f.kind == "categorical" else "float64" for f in schema.fields}
    return Table(frame.astype(dtypes), schema, np.array([row[-1] for row in rows], np.int8))


def bare(labels: list[int]) -> Table:
    return log([(1, label) for label in labels], BARE)


def predictions(labels: list[int], probabilities: list[float], train: Table | None = None, rate=0.5) -> Predictions:
    rows = bare(labels)
    return Predictions(rows, np.array(probabilities), rows if train is None else train, rate)


def simulated(seed: int, rows: int = 4000) -> tuple[list[int], np.ndarray]:
    """Labels that follow their probabilities."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.4, 2, rows)
    return (rng.random(rows) < probabilities).astype(int).tolist(), probabilities


labelled = st.lists(st.tuples(st.integers(0, 1), st.floats(0.001, 0.999)), min_size=2, max_size=40)
row_in_train = st.tuples(*map(st.integers, [1, 0, 1, 1, 1, 0], [3, 1, 3, 2, 3, 1]))
row_in_test = st.tuples(*map(st.integers, [0, 0, 0, 0, 0, 0], [3, 1, 3, 2, 3, 1]))
scores = st.sampled_from([0.1, 0.2, 0.2 + 2**-54, 0.5, 0.9])
logs = st.tuples(
    st.lists(row_in_train, min_size=1, max_size=30), st.lists(st.tuples(row_in_test, scores), min_size=2, max_size=40)
)


def drawn(data) -> tuple[Predictions, list[tuple[int, ...]], list[tuple[int, ...]], np.ndarray]:
    train, scored = data
    test, probabilities = [row for row, _ in scored], np.array([p for _, p in scored])
    return Predictions(log(test), probabilities, log(train), 0.5), train, test, probabilities


def test_average_precision_by_hand_beside_the_click_rate() -> None:
    score = PrAuc().score(predictions([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]))
    assert score.value == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert score.baseline == 0.5
    assert PrAuc().score(predictions([1, 0, 1, 0], [0.3] * 4)).value == 0.5
    with pytest.raises(Skip):
        PrAuc().score(predictions([0, 0], [0.1, 0.2]))


@given(labelled)
@settings(max_examples=50, deadline=None)
def test_losses_are_scikit_learns(data) -> None:
    labels, probabilities = [list(part) for part in zip(*data, strict=True)]
    assert mean_loss(np.array(labels), np.array(probabilities)) == pytest.approx(
        log_loss(labels, probabilities, labels=[0, 1])
    )
    assume(0 < sum(labels) < len(labels))
    seen = predictions(labels, probabilities)
    rate = sum(labels) / len(labels)
    entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
    score = NormalisedEntropy().score(seen)
    assert score.value == pytest.approx(log_loss(labels, probabilities) / entropy)
    assert score.baseline == 1
    assert PrAuc().score(seen).value == pytest.approx(average_precision_score(labels, probabilities))


def test_the_click_rate_as_prediction_has_entropy_one() -> None:
    assert NormalisedEntropy().score(predictions([1, 0, 0, 0], [0.25] * 4)).value == pytest.approx(1)
    with pytest.raises(Skip, match="both classes"):
        NormalisedEntropy().score(predictions([1, 1], [0.5, 0.5]))


def test_predicted_over_actual_and_the_prior_correction_by_hand() -> None:
    """A model of a table of one half clicks says 1/2 where real train's rate of 1/5 is right."""
    train = bare([1, 0, 0, 0, 0])
    score = CalibrationRatio().score(predictions([1, 0, 0, 0, 0], [0.5] * 5, train, rate=0.5))
    assert (score.value, score.baseline) == (pytest.approx(2.5), 1)
    assert score.details == {"after_prior": pytest.approx(1)}
    certain = CalibrationRatio().score(predictions([1, 0], [1.0, 0.0], train, rate=0.5))
    assert certain.details["after_prior"] == pytest.approx(1)
    with pytest.raises(Skip):
        CalibrationRatio().score(predictions([0, 0], [0.5, 0.5]))


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_no_prior_correction_for_a_table_of_one_class(rate: float) -> None:
    assert CalibrationRatio().score(predictions([1, 0], [0.5, 0.5], rate=rate)).details == {}


def test_platt_scaling_is_logistic_regression_on_smoothed_labels() -> None:
    labels, truth = simulated(1, 500)
    stretched = 1 / (1 + np.exp(-(2 * np.log(truth / (1 - truth)) + 1)))
    valid = bare(labels)
    seen = replace(predictions(labels, stretched), valid=valid, valid_probabilities=stretched)
    logits = np.log(stretched / (1 - stretched))[:, None]
    positives = sum(labels)
    target = np.where(valid.targets == 1, (positives + 1) / (positives + 2), 1 / (500 - positives + 2))
    regression = LogisticRegression(C=1e9, tol=1e-9, max_iter=1000).fit(
        np.concatenate([logits, logits]), [1] * 500 + [0] * 500, np.concatenate([target, 1 - target])
    )
    expected = log_loss(labels, regression.predict_proba(logits)[:, 1])
    assert Logloss().score(seen).details["after_platt"] == pytest.approx(expected, rel=1e-5)


def test_platt_scaling_mends_what_a_prior_correction_makes_worse() -> None:
    """A calibrated model whose table had another click rate: shifting it blindly spoils it."""
    (labels, truth), (of_valid, valid_truth) = simulated(1), simulated(2)
    calm = predictions(labels, truth, rate=0.6)
    calm = replace(calm, valid=bare(of_valid), valid_probabilities=valid_truth)
    for metric in (Ece(), Logloss(), NormalisedEntropy()):
        score = metric.score(calm)
        assert score.details["after_prior"] > score.value + 0.01
        assert score.details["after_platt"] == pytest.approx(score.value, abs=0.01)


def test_platt_scaling_of_classes_that_valid_separates_stays_finite() -> None:
    seen = predictions([0, 1, 0, 1], [0.0, 1.0, 0.4, 0.6])
    seen = replace(seen, valid=seen.rows, valid_probabilities=seen.probabilities)
    assert 0 < Logloss().score(seen).details["after_platt"] < 1
    alone = replace(seen, valid=bare([1, 1]), valid_probabilities=np.array([0.5, 0.5]))
    assert "after_platt" not in Logloss().score(alone).details


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=70, unique_by=lambda pair: pair[1]))
@settings(max_examples=50, deadline=None)
def test_calibration_error_by_brute_force(data) -> None:
    """Where no predictions are tied, bins hold equally many rows, to within one."""
    labels, probabilities = [list(part) for part in zip(*data, strict=True)]
    n = len(data)
    bins: list[list[tuple[int, float]]] = [[] for _ in range(15)]
    for rank, pair in enumerate(sorted(data, key=lambda pair: pair[1])):
        bins[int((rank + 0.5) * 15 / n)].append(pair)
    assert max(map(len, bins)) - min(map(len, bins)) <= 1
    error = sum(abs(sum(y - p for y, p in rows)) for rows in bins) / n
    assert Ece().score(predictions(labels, probabilities)).value == pytest.approx(error)


def test_tied_predictions_share_a_bin() -> None:
    """All rows of one probability: their labels' order cannot matter."""
    for labels in ([1] * 10 + [0] * 30, [0] * 30 + [1] * 10):
        assert Ece().score(predictions(labels, [0.25] * 40)).value == pytest.approx(0)


@pytest.mark.parametrize(("shape", "rows"), [((0.4, 2), 3000), ((1, 200), 3000), ((50, 2), 600), ((3, 3), 90)])
def test_the_expected_calibration_error_is_that_of_true_probabilities(shape, rows) -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.beta(*shape, rows)
    draws = [predictions((rng.random(rows) < probabilities).astype(int).tolist(), probabilities) for _ in range(200)]
    found = [Ece().score(draw) for draw in draws]
    assert found[0].baseline == pytest.approx(np.mean([score.value for score in found]), rel=0.05)


@pytest.mark.parametrize(("rows", "rate"), [(12, 0.5), (14, 0.7), (300, 0.01), (100, 0.1)])
def test_the_expected_error_of_one_bin_is_the_binomial_mean_deviation(rows, rate) -> None:
    clicks = np.arange(rows + 1)
    exact = (binom.pmf(clicks, rows, rate) * np.abs(clicks - rows * rate)).sum() / rows
    score = Ece().score(predictions([1] + [0] * (rows - 1), [rate] * rows))  # tied, and so in one bin
    assert score.baseline == pytest.approx(exact, rel=0.05)


def test_certain_predictions_expect_no_error() -> None:
    assert Ece().score(predictions([1, 0], [1.0, 0.0])).baseline == 0


def of_users(test, probabilities) -> tuple[list[tuple[list[int], list[float]]], float, float]:
    """Labels and probabilities of users with both labels, and which shares of users and rows they are."""
    lists: dict[int, tuple[list[int], list[float]]] = {}
    for row, p in zip(test, probabilities, strict=True):
        if row[0]:
            labels, values = lists.setdefault(row[0], ([], []))
            labels.append(row[-1])
            values.append(p)
    both = [pair for pair in lists.values() if 0 < sum(pair[0]) < len(pair[0])]
    return both, len(both) / max(len(lists), 1), sum(len(y) for y, _ in both) / len(test)


@given(logs)
@settings(max_examples=80, deadline=None)
def test_metrics_within_users_by_brute_force(data) -> None:
    """A user is known by the first of two fields here; ties count half, or share their discounts."""
    seen, _, test, probabilities = drawn(data)
    lists, users, rows = of_users(test, probabilities)
    if not lists:
        with pytest.raises(Skip, match="both"):
            Gauc().score(seen)
        return
    areas = [(len(y), roc_auc_score(y, p)) for y, p in lists]
    score = Gauc().score(seen)
    assert score.value == pytest.approx(sum(n * a for n, a in areas) / sum(n for n, _ in areas))
    assert score.details == {"users": pytest.approx(users), "rows": pytest.approx(rows)}
    # scikit-learn takes neighbouring floats for ties, so it is given their ranks
    ranked = [(y, np.unique(p, return_inverse=True)[1]) for y, p in lists]
    score = NdcgLogged().score(seen)
    assert score.value == pytest.approx(np.mean([ndcg_score([y], [p]) for y, p in ranked]))
    assert score.baseline == pytest.approx(np.mean([ndcg_score([y], [[0] * len(y)]) for y, _ in lists]))
    assert score.details == {"users": pytest.approx(users), "rows": pytest.approx(rows)}


@given(logs)
@settings(max_examples=80, deadline=None)
def test_auc_on_slices_by_brute_force(data) -> None:
    seen, train, test, probabilities = drawn(data)
    pairs = {(row[0], row[2]) for row in train}
    clicks = {item: sum(row[2] == item and row[-1] for row in train) for item in {row[2] for row in train}}
    median = sorted(clicks.values())[(len(clicks) - 1) // 2 :][: 2 - len(clicks) % 2]
    slices = {
        AucNewPairs(): [(row[0], row[2]) not in pairs for row in test],
        AucColdUsers(): [sum(other[0] == row[0] for other in train) <= 5 for row in test],
        AucRareItems(): [clicks.get(row[2], 0) <= np.mean(median) for row in test],
    }
    for metric, mask in slices.items():
        labels = seen.rows.targets[mask]
        if len(set(labels.tolist())) < 2:
            with pytest.raises(Skip, match=f"^{len(labels)} test rows"):
                metric.score(seen)
            continue
        score = metric.score(seen)
        assert score.value == pytest.approx(roc_auc_score(labels, probabilities[mask]))
        assert score.details == {"rows": sum(mask), "positives": labels.sum()}


@pytest.mark.parametrize("metric", WITHOUT_ROLES, ids=lambda metric: metric.name)
def test_without_users_or_items_there_is_no_such_metric(metric) -> None:
    with pytest.raises(Skip, match=r"no categorical field has the role (user|item)"):
        metric.score(predictions([0, 1], [0.1, 0.2]))


def test_occurrences_count_with_multiplicity() -> None:
    rows = np.array([3, 1, 9, 1])
    assert occurrences(rows, np.array([1, 3, 1])).tolist() == [1, 2, 0, 2]
    assert occurrences(rows, np.array([], np.int64)).tolist() == [0, 0, 0, 0]


def test_rows_beside_a_slice_add_nothing_to_its_error() -> None:
    rng = np.random.default_rng(7)
    labels, probabilities = rng.integers(0, 2, 200), rng.random(200)
    places = rng.integers([1, 0, 1, 1, 1], [4, 2, 9, 3, 4], (200, 5)).tolist()
    rows = [(*place, label) for place, label in zip(places, labels.tolist(), strict=True)]
    known = {(row[0], row[2]) for row in rows[::8]}
    new = np.array([(row[0], row[2]) not in known for row in rows])
    assert 20 < new.sum() < 180
    found = AucNewPairs().score(Predictions(log(rows), probabilities, log(rows[::8]), 0.5)).contributions
    alone = Auc().score(predictions(labels[new].tolist(), probabilities[new].tolist())).contributions
    assert not found[~new].any()
    assert found[new] == pytest.approx(alone)
