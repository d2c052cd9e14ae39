"""Suites: what a TOML text says, what is left at its default, and what is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from ctrbench import UserError
from ctrbench.limits import Limits
from ctrbench.results import Stage
from ctrbench.scenarios import ClassShares, Scenario
from ctrbench.suite import ALL, Suite, checked, load_suite, packaged_suites, parse_suite

WHOLE = """
name = "mine"
description = "what it is for"
datasets = ["simulated", "csv_log[path=log.csv]"]
generators = ["ctgan[epochs=5]", "all"]
models = "all"
metrics = []
scenarios = ["S1", "S6"]
repeats = 3
model_seeds = 2
seed = 4
data_seed = 5
budget = 1
doses = [1, 0.5, 1.0]
train_shares = [0.1, 1]

[[scenario]]
name = "S6"
real = { positives = 1, negatives = 0.5 }
synthetic = { positives = 1 }
class_weight = "balanced"
help = "mine"

[[scenario]]
name = "S7"
real = "balanced"
synthetic = "pool"
synthetic_weight = 0.5
plausible = 0.75

[on.simulated]
timeout = { task = 600, fit = 60 }
memory = "2GB"

[on.simulated.generators]
ctgan = { epochs = 7 }
"""


def parsed(text: str) -> Suite:
    return parse_suite(text, "name", "suite.toml")


def test_every_part_of_a_suite_is_taken_as_it_is_written() -> None:
    suite = parsed(WHOLE)
    assert (suite.name, suite.description) == ("mine", "what it is for")
    assert suite.datasets == ("simulated", "csv_log[path=log.csv]")
    assert (suite.generators, suite.models, suite.metrics) == (("ctgan[epochs=5]", ALL), (ALL,), ())
    assert (suite.repeats, suite.model_seeds, suite.seed, suite.data_seed, suite.budget) == (3, 2, 4, 5, 1.0)
    assert (suite.doses, suite.train_shares) == ((1.0, 0.5), (0.1, 1.0))
    assert suite.own_scenarios == (
        Scenario("S6", ClassShares(1, 0.5), ClassShares(1), class_weight="balanced", help="mine"),
        Scenario("S7", "balanced", "pool", synthetic_weight=0.5, plausible=0.75),
    )
    settings = suite.settings("simulated")
    assert settings.limits == Limits(600, {Stage.FIT: 60}, 2 * 10**9)
    assert settings.of("generator", "ctgan") == {"epochs": 7}
    assert settings.of("generator", "tvae") == settings.of("model", "ctgan") == {}
    assert suite.settings("frappe").limits == Limits()


def test_what_a_suite_leaves_out_is_as_in_python() -> None:
    assert parsed("seed = 1") == Suite("name", seed=1)
    assert parsed('generators = ["None"]').generators == parsed("generators = []").generators == ()
    assert parsed("doses = [0.5]").scenarios == (), "doses take the place of the scenarios that none names"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = ['dnn', 5]", r"models must be \"all\" or a list of names, not \['dnn', 5\]"),
        ("models = 'dnn'", 'models must be "all" or a list of names'),
        ("modles = ['dnn']", "unknown key 'modles'; did you mean 'models'"),
        ("own_scenarios = []", "unknown key 'own_scenarios'"),
        ("repeats = 0", "repeats=0 must lie between 1 and 10000"),
        ("repeats = 'two'", "repeats='two' must be a whole number"),
        ("budget = 0", "budget=0.0 must lie above 0"),
        ("seed = -1", "seed=-1 must lie between 0 and 4294967295"),
        ("data_seed = 4294967296", "data_seed=4294967296 must lie between"),
        ("seed = true", "seed=True must be a whole number"),
        ("model_seeds = 1001", "model_seeds=1001 must lie between 1 and 1000"),
        ("budget = inf", "budget=inf must lie above 0 and be at most 100"),
        ("budget = nan", "budget=nan must lie above 0"),
        ("name = 1", "name=1 must be a text"),
        ("description = 1", "description=1 must be a text"),
        ("on = 3", "on=3 must be a table"),
        ("on = { simulated = 3 }", "on.simulated: 3 is not a table"),
        ("[on.simulated.models]\ndnn = 3", "models.dnn=3 is not a table of parameters"),
        ("[on.simulated.metrics]\ndcr_share = { rows = 100 }", "metrics are the same on every data set"),
        ("[[scenario]]\nname = 'odd'\nsynthetic = { positives = true }", "positives=True must lie between 0 and"),
        ("[on.simulated]\nmemory = 8", "memory=8 must be a text with a unit"),
        ("[on.simulated]\nmemory = 'much'", "memory=much: give a size above 0"),
        ("[on.simulated]\ntimeout = -1", "timeout=-1: must be above 0"),
        ("[on.simulated]\ntimeout = nan", "timeout=nan: must be above 0"),
        ("[on.simulated]\ntimeout = 'long'", "timeout='long' must be seconds"),
        ("[on.simulated]\ntimeout = { task = 60, fit = 0 }", "timeout.fit=0: must be above 0"),
        ("[on.simulated]\ntimeout = { fitt = 3 }", "no stage 'fitt'; did you mean 'fit'"),
        ("[[scenario]]\nsynthetic = 'pool'", "each scenario needs a name"),
        ("[[scenario]]\nname = 'S6'\nsynthetic = { positives = -1 }", "must lie between 0 and 10"),
        ("[[scenario]]\nname = 'S6'\nsynthetic = { positive = 1 }", "is not shares such as"),
        ("[[scenario]]\nname = 'all'", "a scenario cannot be called 'all'"),
        ("[[scenario]]\nname = 'a b'", "needs a name of letters, digits"),
        ("[[scenario]]\nname = 'S6'\nrael = 'balanced'", "scenario 'S6': unknown key 'rael'; did you mean 'real'"),
        ("[[scenario]]\nname = 'S6'\nreal = 'pool'", "'pool' is not shares such as"),
        ("[[scenario]]\nname = 'S6'\nreal = { positives = 2 }", "must not ask for more than there is"),
        ("[[scenario]]\nname = 'S6'\nclass_weight = 'heavy'", "class_weight='heavy' must be"),
        ("[[scenario]]\nname = 'S6'\nsynthetic = 'pool'\nplausible = 2", "plausible=2 must be a number between 0.1"),
        ("doses = []", r"doses=\[\] names no share"),
        ("datasets = []", r"datasets=\[\] leaves nothing to run on"),
        ("# nothing\n", "it is empty, and would run everything"),
        ("name = “x”", "“ was pasted from a page"),
        ("doses = 0.5", "doses=0.5 must be a list"),
        ("doses = [0]", "doses=0 must be numbers above 0 and at most 10"),
        ("doses = [true]", "doses=True must be numbers above 0"),
        ("train_shares = ['1']", "train_shares='1' must be numbers above 0 and at most 1"),
        ("train_shares = [nan]", "train_shares=nan must be numbers above 0"),
        ("train_shares = []", r"train_shares=\[\] leaves no data set"),
        ("datasets = [\n", "not TOML"),
        ("seed = " + "9" * 5_000, "not TOML: Exceeds the limit"),
        ("seed = 0x" + "f" * 5_000, "not TOML: Exceeds the limit"),
        ("[on.simulated.models.dnn]\nembedding_dim = 0x" + "f" * 5_000, "not TOML: Exceeds the limit"),
        ('[environments.x]\npython = "a\\u0000b"', "environments.x: it needs python = "),
        ("budget = " + "9" * 400, "budget=9.* must be a number"),
        ("doses = " + "[" * 5_000, "not TOML"),
    ],
)
def test_what_is_not_understood_is_one_line_that_names_the_suite(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parsed(text)
    assert str(caught.value).startswith("suite.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [{"repeats": 1.5}, {"repeats": None}, {"seed": "1"}, {"budget": True}, {"model_seeds": 0}]
)
def test_numbers_that_python_gives_are_checked_as_those_of_a_file(values: dict) -> None:
    [name] = values
    with pytest.raises(UserError, match=rf"run\(\): {name}="):
        checked(Suite("s", **values), "run()")


@pytest.mark.parametrize("name", packaged_suites())
def test_every_packaged_suite_is_found_by_its_name_and_says_what_it_is_for(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description


def test_a_suite_file_is_named_after_itself_and_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nightly.toml"
    path.write_text("repeats = 2")
    assert (load_suite(str(path)).name, load_suite(str(path)).repeats) == ("nightly", 2)
    path.write_bytes(b"name = '\xff'")
    wrong = {
        str(path): "cannot be read",
        "quik": "did you mean 'quick'",
        str(tmp_path): "cannot be",
        "q" * 300: "no file",
    }
    for bad, said in wrong.items():
        with pytest.raises(UserError, match=said):
            load_suite(bad)
