"""The conformance checks of models, metrics, data sets and scenarios, as those of generators beside."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from ctrbench import (
    ClassShares,
    Dataset,
    Field,
    Missing,
    Model,
    PredictionMetric,
    Predictor,
    Ready,
    Scenario,
    Schema,
    Score,
    Splits,
    SyntheticMetric,
)
from ctrbench.conformance import check_plugin
from ctrbench.conformance._small_logs import small_logs
from ctrbench.ranking import with_ranking
from ctrbench.registry import Registered
from test_conformance import UNTOUCHED, failures

# Models -----------------------------------------------------------------------------------------------------------


class ByFunction(Predictor):
    def __init__(self, function):
        self.function = function

    def predict(self, rows):
        return self.function(rows)


def model(function, *, weights=False):
    """A model class that predicts by a function of (rows, train, seed)."""

    def fit(self, train, valid, *, seed, context):
        return ByFunction(lambda rows: function(rows, train, seed))

    members = {"__doc__": "A toy.", "name": "toy", "fit": fit, "supports_weights": weights, "__module__": __name__}
    return dataclass(frozen=True)(type("ToyModel", (Model,), members))


def by_code(rows, train, seed):
    return rows.codes[:, 0] / 20.0


def rate(rows, train, seed):
    return np.full(len(rows), np.average(train.targets, weights=train.weights))


def noise(rows, train, seed):
    return np.random.default_rng().random(len(rows))


@pytest.mark.parametrize(
    ("function", "check"),
    [
        (lambda rows, train, seed: by_code(rows, train, seed) * np.nan, "predicts probabilities"),
        (lambda rows, train, seed: by_code(rows, train, seed) * 3, "predicts probabilities"),
        (lambda rows, train, seed: by_code(rows, train, seed)[:, None], "predicts probabilities"),
        (lambda rows, train, seed: by_code(rows, train, seed) > 0.3, "predicts probabilities"),
        (lambda rows, train, seed: rows.targets * 1.0, "predicts probabilities"),
        (noise, "the same under a seed"),
        (lambda rows, train, seed: np.random.random(len(rows)), UNTOUCHED),
        (lambda rows, train, seed: np.linspace(0, 1, len(rows)), "each row by itself"),
        (lambda rows, train, seed: by_code(rows, train, seed) / rows.codes.max(), "each row by itself"),
        (lambda rows, train, seed: 1 / 0, "predicts probabilities"),
    ],
)
def test_a_faulty_model_is_found(function, check):
    assert check in failures("model", model(function))


def test_a_model_that_goes_on_from_another_table_does_so_under_a_seed():
    for function, sound in ((by_code, True), (noise, False)):
        made = model(by_code)

        def fit_after(self, pool, train, valid, *, seed, context, function=function):
            return ByFunction(lambda rows: function(rows, train, seed))

        made.fit_after = fit_after
        assert ("goes on from another table" not in failures("model", made)) is sound


def test_a_model_must_use_the_weights_it_says_it_supports():
    assert "weights count" in failures("model", model(by_code, weights=True))
    assert "weights count" not in failures("model", model(rate, weights=True))


# Metrics ----------------------------------------------------------------------------------------------------------


def metric(base, function, better="higher"):
    members = {"__doc__": "A toy.", "name": "toy", "better": better, "unit": "points", "score": function}
    return dataclass(frozen=True)(type("ToyMetric", (base,), {**members, "__module__": __name__}))


def accuracy(self, predictions):
    return Score(float(((predictions.probabilities > 0.5) == predictions.rows.targets).mean()))


@pytest.mark.parametrize(
    ("function", "check"),
    [
        (lambda self, predictions: Score(float("nan")), "scores"),
        (lambda self, predictions: 1.0, "scores"),
        (lambda self, predictions: Score(1.0, details={"note": "a text"}), "scores"),
        (lambda self, predictions: Score(np.random.default_rng().random()), "the same again"),
        (
            lambda self, predictions: Score(-accuracy(self, predictions).value),
            "known answer: the labels against guesses",
        ),
        (lambda self, predictions: Score(predictions.probabilities @ np.arange(80)), "whatever the order of rows"),
    ],
)
def test_a_faulty_prediction_metric_is_found(function, check):
    assert check in failures("metric", metric(PredictionMetric, function))


@pytest.mark.parametrize(
    ("parts", "sound"),
    [
        (lambda hits: (hits - hits.mean()) / len(hits), True),
        (lambda hits: np.zeros(len(hits)), False),
        (lambda hits: hits, False),
        (lambda hits: hits - hits.mean(), False),
    ],
    ids=["sound", "zero", "with the mean", "not divided"],
)
def test_contributions_must_tell_how_sure_a_metric_is(parts, sound):
    def score(self, predictions):
        hits = ((predictions.probabilities > 0.5) == predictions.rows.targets).astype(float)
        return Score(float(hits.mean()), contributions=parts(hits))

    found = failures("metric", metric(PredictionMetric, score))
    assert ("contributions tell how sure it is" not in found) is sound


def test_a_sound_prediction_metric_passes_and_the_wrong_direction_does_not():
    assert not set(failures("metric", metric(PredictionMetric, accuracy))) - {"another process can make it"}
    assert "known answer: the labels against guesses" in failures("metric", metric(PredictionMetric, accuracy, "lower"))


def test_a_synthetic_metric_must_tell_real_rows_from_noise():
    def constant(self, synthetic, *, train, holdout, reference, seed):
        return Score(1.0)

    def rate_gap(self, synthetic, *, train, holdout, reference, seed):
        return Score(abs(synthetic.click_rate - train.click_rate))

    assert "known answer: real rows against noise" in failures("metric", metric(SyntheticMetric, constant))
    assert not set(failures("metric", metric(SyntheticMetric, rate_gap))) - {"another process can make it"}


# Data sets and scenarios ------------------------------------------------------------------------------------------


READY = Ready()


def dataset(load, availability=READY):
    members = {"__doc__": "A toy.", "name": "toy", "load": load, "availability": lambda self: availability}
    return dataclass(frozen=True)(type("ToyDataset", (Dataset,), {**members, "__module__": __name__}))


def splits(change=lambda splits: splits):
    return dataset(lambda self, *, seed, context: change(small_logs()[1].splits))


def one_class(splits):
    return replace(splits, test=replace(splits.test, labels=np.zeros(len(splits.test), np.int8)))


def unsorted(splits):
    def change(table):
        first, *others = table.schema.fields
        schema = Schema((replace(first, vocabulary=first.vocabulary[::-1]), *others), table.schema.label)
        return replace(table, schema=schema)

    return replace(splits, train=change(splits.train), valid=change(splits.valid), test=change(splits.test))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (one_class, "both classes in every split"),
        (unsorted, "vocabularies sorted"),
        (lambda s: replace(s, train=s.test), "values in range"),
        (lambda s: replace(s, test=s.test.without_labels()), "loads"),
        (lambda s: replace(s, test=s.test.take(np.zeros(0, int))), "values in range"),
        (lambda s: replace(s, true_probabilities={"test": np.ones(3)}), "true probabilities fit"),
        (lambda s: replace(s, true_probabilities={"tset": np.ones(80)}), "true probabilities fit"),
        (lambda s: replace(s, train=s.train.take(np.random.default_rng().permutation(240))), "the same under a seed"),
        (lambda s: replace(s, ranking=s.test), "queries can be ranked"),
        (
            lambda s: with_ranking(s, 9, seed=int(np.random.default_rng().integers(2**31)), source=""),
            "the same under a seed",
        ),
        (lambda s: s.train, "loads"),
    ],
)
def test_a_faulty_data_set_is_found(change, check):
    assert check in failures("dataset", splits(change))


def test_a_sound_data_set_passes_and_a_missing_one_is_skipped():
    assert not set(failures("dataset", splits())) - {"another process can make it"}
    missing = dataset(None, Missing("no file"))
    results = check_plugin(Registered("dataset", "toy", missing, "toybox", "1.0"))
    assert [r.message for r in results if r.status == "skipped"] == ["not available here: no file"]


def test_vocabularies_may_be_sorted_as_numbers():
    def numbers(splits):
        field = Field("n", vocabulary=("1", "2", "10", "(missing)"))

        def change(table):
            return replace(
                table, rows=table.rows[["where"]].set_axis(["n"], axis=1), schema=Schema((field,), "clicked")
            )

        return Splits(change(splits.train), change(splits.valid), change(splits.test))

    assert "loads" not in failures("dataset", splits(numbers))


def test_scenarios_are_checked_too():
    assert failures("scenario", Scenario("half", synthetic=ClassShares(0.5, 0.5), help="half of each")) == {}
    assert "one line of help" in failures("scenario", Scenario("mute", synthetic=ClassShares(0.5, 0.5)))
    assert "one class" in failures("scenario", Scenario("one", real=ClassShares(1, 0), help="clicks"))["shares kept"]
