"""The conformance checks: sound plug-ins pass, and each fault is found by the check that is meant for it."""

from __future__ import annotations

import importlib
import random
import sys
import textwrap
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import pytest
from annotated_types import Ge
from ctrbench import (
    Budgeted,
    ClassShares,
    Dataset,
    Field,
    Forecast,
    Generator,
    Missing,
    Model,
    PredictionMetric,
    Predictor,
    Ready,
    Sampler,
    Scenario,
    Schema,
    Score,
    Skip,
    Splits,
    SyntheticMetric,
)
from ctrbench.conformance import check_plugin, shrunk
from ctrbench.conformance._logs import small_logs
from ctrbench.ranking import with_ranking
from ctrbench.registry import Registered, load_registry

UNTOUCHED = "random state and input untouched"
BUILT_IN = load_registry()


def failures(kind, thing):
    results = check_plugin(Registered(kind, getattr(thing, "name", "toy"), thing, "toybox", "1.0"))
    # This module imports pytest, so it says nothing about cheap imports; those have tests of their own.
    return {
        result.name.removesuffix(" (numeric fields)"): result.message
        for result in results
        if result.status == "failed" and not result.name.startswith("import cheap")
    }


@pytest.mark.parametrize("registered", BUILT_IN.plugins, ids=lambda registered: f"{registered.kind}-{registered.name}")
def test_every_built_in_plug_in_conforms(registered):
    results = check_plugin(registered)
    assert [result for result in results if result.status == "failed"] == []
    assert sum(result.status == "passed" for result in results) >= 5


def test_no_built_in_plug_in_is_broken():
    assert BUILT_IN.broken == []


# Generators -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copies(Generator):
    """Draws real rows again."""

    name: ClassVar[str] = "copies"
    rounds: Annotated[int, "does nothing", Budgeted(), Ge(1)] = 40

    def fit(self, train, *, seed, context):
        return CopySampler(train)


class CopySampler(Sampler):
    def __init__(self, train):
        self.train = train

    def sample(self, rows, *, seed):
        return self.train.take(np.random.default_rng(seed).integers(0, len(self.train), rows))


class Wrapped(CopySampler):
    """Spoils each pool by a function."""

    def __init__(self, train, spoil):
        super().__init__(train)
        self.spoil = spoil

    def sample(self, rows, *, seed):
        return self.spoil(super().sample(rows, seed=seed), seed)


@dataclass(frozen=True)
class Spoilt(Generator):
    """Copies rows and spoils them."""

    name: ClassVar[str] = "spoilt"
    spoil: ClassVar = None

    def fit(self, train, *, seed, context):
        return Wrapped(train, type(self).spoil)


def spoilt(function):
    return dataclass(frozen=True)(
        type("SpoiltToy", (Spoilt,), {"__doc__": "A toy.", "spoil": staticmethod(function), "__module__": __name__})
    )


def draw_globally(pool, seed):
    return pool.take(np.random.permutation(len(pool)))


def seed_globally(pool, seed):
    np.random.seed(seed)
    return pool.take(np.random.permutation(len(pool)))


def seed_python_globally(pool, seed):
    random.seed(seed)
    return pool


def ignore_the_seed(pool, seed):
    return small_logs()[len(pool.schema.names) > 3].splits.train.take(np.arange(len(pool)) % 50)


def forget_a_row(pool, seed):
    return pool.take(np.arange(len(pool) - 1))


def swap_two_fields(pool, seed):
    fields = (pool.schema.fields[1], pool.schema.fields[0], *pool.schema.fields[2:])
    rows = pool.rows[[field.name for field in fields]]
    return replace(pool, rows=rows, schema=Schema(fields, pool.schema.label))


def name_the_label_label(pool, seed):
    return replace(pool, schema=Schema(pool.schema.fields))


def withhold_labels(pool, seed):
    return pool.without_labels()


def invent_a_code(pool, seed):
    rows = pool.rows.copy()
    rows.iloc[0, 0] = 13
    return replace(pool, rows=rows)


def return_unseen(pool, seed):
    rows = pool.rows.copy()
    rows.iloc[0, 0] = 0
    return replace(pool, rows=rows)


def return_a_frame(pool, seed):
    return pool.rows


def exit_python(pool, seed):
    sys.exit(3)


@pytest.mark.parametrize(
    ("function", "check"),
    [
        (draw_globally, "the same under a seed"),
        (draw_globally, UNTOUCHED),
        (seed_globally, UNTOUCHED),
        (seed_python_globally, UNTOUCHED),
        (ignore_the_seed, "another seed, other rows"),
        (forget_a_row, "as many rows as asked for"),
        (swap_two_fields, "schema kept"),
        (name_the_label_label, "schema kept"),
        (withhold_labels, "schema kept"),
        (invent_a_code, "values in range"),
        (return_unseen, "values in range"),
        (return_a_frame, "samples"),
        (exit_python, "samples"),
    ],
)
def test_a_faulty_sampler_is_found(function, check):
    assert check in failures("generator", spoilt(function))


def test_a_sound_generator_passes_and_the_callers_random_state_stays():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    assert failures("generator", Copies) == {}
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@dataclass(frozen=True)
class Remembers(Generator):
    """Keeps what it learned in itself."""

    name: ClassVar[str] = "remembers"

    def fit(self, train, *, seed, context):
        object.__setattr__(self, "train", train)
        return CopySampler(train)


@dataclass(frozen=True)
class Meddles(Generator):
    """Flips a label of train."""

    name: ClassVar[str] = "meddles"

    def fit(self, train, *, seed, context):
        train.labels[0] ^= 1
        return CopySampler(train)


@dataclass(frozen=True)
class Raises(Generator):
    """Fails in fit."""

    name: ClassVar[str] = "raises"

    def fit(self, train, *, seed, context):
        raise ArithmeticError("no\nluck")


@dataclass(frozen=True)
class OnlyNumeric(Generator):
    """Wants numeric fields."""

    name: ClassVar[str] = "only_numeric"

    def fit(self, train, *, seed, context):
        if not train.schema.numeric:
            raise Skip("needs numeric fields")
        return CopySampler(train)


@dataclass(frozen=True)
class NeverApplies(Generator):
    """Skips whatever it is given."""

    name: ClassVar[str] = "never_applies"

    def fit(self, train, *, seed, context):
        raise Skip("not today")


def test_state_kept_in_the_plug_in_is_found():
    assert "keeps train" in failures("generator", Remembers)["no state in the unfitted object"]


def test_a_changed_input_is_found():
    assert "a table" in failures("generator", Meddles)[UNTOUCHED]


def test_an_exception_is_one_failed_check_and_one_line():
    assert failures("generator", Raises) == {"fits": "ArithmeticError: no luck"}


def test_a_skip_on_one_log_is_made_good_by_the_other():
    results = check_plugin(Registered("generator", "only_numeric", OnlyNumeric, "toybox", "1.0"))
    assert [result.message for result in results if result.status == "skipped"] == ["needs numeric fields"]
    assert failures("generator", OnlyNumeric) == {}


@pytest.mark.parametrize("told", [5.0, Forecast(float("nan"), 1.0), Forecast(1.0, -1.0)])
def test_an_impossible_forecast_is_found(told):
    @dataclass(frozen=True)
    class Boaster(Copies):
        """Foretells nonsense."""

        name: ClassVar[str] = "boaster"

        def forecast(self, schema, rows):
            return told

    assert "forecast is possible or none" in failures("generator", Boaster)


def test_a_plug_in_that_skips_every_check_fails():
    assert "nothing could be checked" in failures("generator", NeverApplies)["behaviour"]


# Declarations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undocumented(Copies):
    """no sentence
    and it runs on."""

    name: ClassVar[str] = "undocumented"
    odd: Annotated[int, Ge(1)] = 0


class WithoutDataclass(Copies):
    """Forgets the dataclass."""

    width: int = 3


def test_help_is_demanded_of_the_class_and_of_each_parameter():
    found = failures("generator", Undocumented)
    assert "no sentence" in found["one line of help"]
    assert "odd" in found["parameters explained"]


def test_a_default_outside_its_own_range_is_found():
    assert "odd=0" in failures("generator", Undocumented)["defaults valid"]


def test_a_missing_dataclass_is_found():
    assert "own dataclass" in failures("generator", WithoutDataclass)


def test_a_local_class_cannot_go_to_another_process():
    @dataclass(frozen=True)
    class Local(Copies):
        """Lives in a function."""

    assert "another process can make it" in failures("generator", Local)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import pandas", "imports pandas"),
        ("import numpy; numpy.random.seed(1)", "the random state"),
        ("import warnings; warnings.simplefilter('ignore')", "the warning filters"),
        ("import os; os.environ['TOY'] += '1'", "the environment"),
        (
            "import time; end = time.process_time() + 0.6; [0 for _ in iter(lambda: time.process_time() < end, False)]",
            "takes",
        ),
        ("import sys; 'not in a worker' if 'pytest' in sys.modules else sys.exit('no luck')", "no luck"),
        ("", None),
    ],
)
def test_an_import_that_costs_or_changes_something_is_found(source, complaint, tmp_path, monkeypatch):
    text = f"""
    {source}
    from dataclasses import dataclass
    from ctrbench import PredictionMetric, Score
    @dataclass(frozen=True)
    class Zero(PredictionMetric):
        "Always 0."
        name, better, unit = "zero", "neither", "points"
        def score(self, predictions):
            return Score(0.0)
    """
    module = f"toy_{zlib.crc32(source.encode())}"
    (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(warnings, "filters", list(warnings.filters))
    monkeypatch.setenv("TOY", "0")
    state = np.random.get_state()
    cls = importlib.import_module(module).Zero
    np.random.set_state(state)
    results = {r.name: r for r in check_plugin(Registered("metric", "zero", cls, "toybox", "1.0"))}
    result = results["import cheap and without effects"]
    assert (result.status, complaint is None) in {("passed", True), ("failed", False)}
    assert complaint is None or complaint in result.message


def test_budgeted_parameters_and_rows_are_cut():
    assert shrunk(Copies()).rounds == 1
    (simulated,) = [r for r in BUILT_IN.of_kind("dataset") if r.name == "simulated"]
    small = shrunk(simulated.thing())
    assert all(getattr(small, f"{part}_rows") <= 2000 for part in ("train", "valid", "test"))


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
        (unsorted, "loads"),
        (lambda s: replace(s, train=s.test), "values in range"),
        (lambda s: replace(s, test=s.test.without_labels()), "loads"),
        (lambda s: replace(s, test=s.test.take(np.zeros(0, int))), "loads"),
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
