"""The conformance checks: sound generators and declarations pass, and each fault is found by the check meant for it."""

from __future__ import annotations

import importlib
import pickle
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
    Forecast,
    Generator,
    Sampler,
    Schema,
    Skip,
)
from ctrbench.conformance import check_plugin, shrunk
from ctrbench.conformance._small_logs import small_logs
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


TAKES_LONG = ["tabddpm"]


@pytest.mark.parametrize(
    "registered",
    [
        pytest.param(each, id=f"{each.kind}-{each.name}", marks=[pytest.mark.slow] if each.name in TAKES_LONG else [])
        for each in BUILT_IN.plugins
    ],
)
def test_every_built_in_plug_in_conforms(registered):
    results = check_plugin(registered)
    assert [result for result in results if result.status == "failed"] == []
    assert sum(result.status == "passed" for result in results) >= 5
    assert not [result for result in results if result.name.startswith("scores") and result.status == "skipped"]


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


def test_rows_without_labels_are_one_fault_and_not_said_to_be_the_same_whatever_was_learned():
    found = failures("generator", spoilt(withhold_labels))
    assert "schema kept" in found
    assert "learns what it is given" not in found


def test_a_sound_generator_passes_and_the_callers_random_state_stays():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    assert failures("generator", Copies) == {}
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@dataclass(frozen=True, slots=True)
class Slotted(Generator):
    """Copies rows; its parameters stand in slots, and one has the name of what a sampler does."""

    name: ClassVar[str] = "slotted"
    rounds: Annotated[int, "does nothing", Budgeted(), Ge(1)] = 40
    sample: Annotated[float, "does nothing either"] = 0.5

    def fit(self, train, *, seed, context):
        return CopySampler(train)


def test_a_generator_with_slots_and_a_parameter_called_sample_passes():
    assert failures("generator", Slotted) == {}


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


@dataclass(frozen=True)
class Resumes(Generator):
    """Goes on from what it kept below the checkpoints, if there is anything."""

    name: ClassVar[str] = "resumes"

    def fit(self, train, *, seed, context):
        kept = context.checkpoints / "fit.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(train))
        return CopySampler(pickle.loads(kept.read_bytes()))


def test_a_fit_finds_no_checkpoint_of_another():
    assert failures("generator", Resumes) == {}


def test_a_changed_input_is_found():
    assert "a table" in failures("generator", Meddles)[UNTOUCHED]


def test_an_exception_is_one_failed_check_and_one_line_that_says_where():
    line = Raises.fit.__code__.co_firstlineno + 1
    assert failures("generator", Raises) == {"fits": f"ArithmeticError: no luck (test_conformance.py:{line})"}


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
