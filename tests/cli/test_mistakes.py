"""Mistakes that people make at the command line: each is answered in one line that says what to do; nothing is lost."""

from __future__ import annotations

import sys
import textwrap
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from commands import ctrbench, refused
from ctrbench import Suite, UserError
from ctrbench.limits import limits_of
from ctrbench.params import parse, quoted
from ctrbench.registry import load_registry
from ctrbench.results import Environment
from ctrbench.store.store import Store
from ctrbench.suite import load_suite, parse_suite, suite_text
from ctrbench.text import closest


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CTRBENCH_STORE", "CTRBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)


MISTAKES = {
    ("run", "-g", "smoten,ctgan"): "'smoten,ctgan' is several names; give each by itself: -g smoten -g ctgan",
    ("run", "-g", "tvae[epochs=5], smoten"): "give each by itself: -g 'tvae[epochs=5]' -g smoten",
    ("run", "-s", "S1,S2"): "give each by itself: -s S1 -s S2",
    ("run", "-k", "roc_auc"): "metrics: no metric 'roc_auc'; did you mean 'auc'?",
    ("run", "-k", "Log-Loss"): "did you mean 'logloss'?",
    ("run", "-d", "path=log.csv label=click"): "no name before them: write 'NAME[path=log.csv, label=click]'",
    ("run", "-d", "csv_log[path=log.csv label=click]"): "expected , before label=",
    ("run", "-d", "csv_log[path=a.csv, ratios=(0.8, 0.2)]"): "ratios=(0.8, 0.2) has 2 values, not 3: shares of train,",
    ("run", "-g", "none", "-s", "S1"): "scenarios S1: with generators none there are no rows for them",
    ("run", "-d", "none"): "datasets: none leaves nothing to run on; name one",
    ("run", "-g", f"ctgan[generator_dim={'(' * 5000}"): "character 21: its value is nested too deeply",
    ("run", "-m", "dnnn"): "models: no model 'dnnn'; did you mean 'dnn'?",
    ("run", "-d", "csv_log[path=absent.csv]"): "path=absent.csv is not there",
    (
        "run",
        "-g",
        "none",
        "--doses",
        "0.5",
    ): "scenarios positives-0.5, negatives-0.5, both-0.5: with generators none there",
    ("run", "--doses", "0.5,a lot"): "--doses 0.5,a lot: give numbers with commas between them, as in",
    ("run", "--doses", "11"): "doses=11.0 must be numbers above 0 and at most 10",
    ("run", "--train-shares", "0.5,5"): "train_shares=5.0 must be numbers above 0 and at most 1",
    ("run", "-d", "frappe", "--dry-run"): "`ctrbench data fetch frappe` does",
    ("run", "--store", "absent/results.db"): "there is no folder",
    ("run", "--store", "absent/results.db", "--dry-run"): "there is no folder",
    ("leaderboard", "--store", "absent/results.db"): "there is no folder",
    ("check", "not_installed"): "no plug-in 'not_installed'; is it installed? `ctrbench list` names what is",
    ("show", "not_installed"): "is it installed? `ctrbench list` names what is",
    ("run", "-g", "smotten"): "generators: no generator 'smotten'; did you mean 'smoten'?",
    ("run", "-m", "dnn[epochs=0]"): "dnn (ctrbench 0.1.0): epochs=0 should be greater than or equal to 1",
    ("run", "-m", "finalnet[hidden_units=(3,)]"): "hidden_units[0]=3 should be a multiple of 2",
    ("run", "-m", "dnn[epochs"): "expected key=value",
    ("run", "-s", "S9"): "scenarios: no scenario 'S9'",
    ("run", "-k", "acu"): "did you mean 'auc'?",
    ("run", "-d", "csv_log"): "data set csv_log: needs a file",
    ("run", "-d", "frappe[path=absent]"): "path=absent has no readable train.csv",
    ("run", "--repeats", "0"): "repeats=0 must lie between 1 and 10000",
    ("run", "--budget", "-1"): "budget=-1.0 must lie above 0",
    ("run", "--timeout", "0"): "--timeout 0: must be above 0 seconds",
    ("run", "--timeout", "nan"): "--timeout nan: must be above 0 seconds, and finite",
    ("run", "--timeout", "fit=soon"): "--timeout fit=soon: give seconds, as in 600, or a stage's, as in fit=600",
    ("run", "--timeout", "fitt=60"): "--timeout fitt=60: no stage 'fitt'; did you mean 'fit'?",
    ("run", "--memory", "8"): "--memory 8: give a size above 0 with its unit, as in 500MB, 8GB or 8GiB",
    ("run", "--memory", "0GB"): "--memory 0GB: give a size above 0",
    ("run", "--memory", "8GB", "--executor", "inline"): "nobody can stop a task there",
    ("run", "--workers", "2", "--executor", "inline"): "workers 2: the executor inline does one task at a time",
    ("check", "smoten", "--timeout", "0"): "--timeout 0: must be above 0 seconds",
    ("run", "--store", ""): "cannot be used as a store",
    ("run", "--store", "."): "cannot be used as a store",
    ("run", "--store", "foo://x"): "cannot be used as a store",
    ("run", "--store", "x" * 300): "cannot be used as a store",
    ("leaderboard", "--store", "/"): "cannot be used as a store",
    ("run", "--device", "tpu"): "device tpu: choose auto, cpu, cuda or cuda:N",
    ("run", "--suite", "quik"): "did you mean 'quick'?",
    ("run", "--suite", "absent.toml"): "absent.toml: cannot be read",
    ("run", "--workers", "0"): "--workers",
    ("run", "—repeats", "3"): "— was pasted from a page: options begin with --",
    ("store", "verify"): "No such command 'verify'; there are check, export, gc, import",
    ("data", "describe", "simulated", "--seed", "-1"): "-1 is not in the range",
    ("try", "log.csv", "--minutes", "nan"): "--minutes nan: give a number of minutes",
    ("rum",): "did you mean 'run'?",
    ("leaderboard",): "there is no store yet; `ctrbench run` makes one",
    ("show", "dn"): "did you mean 'dnn'?",
    ("check", "smotten"): "did you mean 'smoten'?",
    ("check",): "name the plug-ins to check",
    ("data", "describe", "frappe"): "not on this machine",
    ("data", "describe", "simulatd"): "did you mean 'simulated'?",
}


@pytest.mark.parametrize("words", MISTAKES, ids=lambda words: " ".join(words)[:60])
def test_a_mistake_is_answered_in_one_line_with_what_to_write(words: tuple[str, ...]) -> None:
    refused(ctrbench(*words), MISTAKES[words], lines=1)
    assert not list(Path().iterdir()), "not even an empty store is left"


BAD_SUITES = {
    "not TOML": "datasets = [",
    "unknown key 'dataset'; did you mean 'datasets'?": "dataset = ['simulated']",
    "unknown key 'model'; did you mean 'models'?": "[on.simulated.model.dnn]\nepochs = 3",
    "on: no dataset 'simulatd'; did you mean 'simulated'?": "[on.simulatd.models.dnn]\nepochs = 3",
    "on.simulated.models: no model 'itemrate'; did you mean 'item_rate'?": "[on.simulated.models.itemrate]\nx = 3",
    "dnn (ctrbench 0.1.0): no parameter 'epoch'; did you mean 'epochs'?": "[on.simulated.models.dnn]\nepoch = 3",
}

LOGS = {
    "label": ("clicked,u,i\n1,a,b\n0,b,a\n" * 20, "label"),
    "0/1": ("label,u,i\n" + "2,a,b\n0,b,a\n" * 20, "2 in row 1 is neither 0 nor 1"),
    "headers": ("label,u,i\n2,a,b\n0,b,a\n" * 20, "row 3 repeats the header"),
    "one class": ("label,u,i\n" + "1,a,b\n1,b,a\n" * 20, "class"),
    "one value": ("label,u\n" + "1,a\n0,a\n" * 20, "u"),
    "empty": ("", "log.csv"),
    "ragged": ("label,u,i\n1,a\n0,a,b,c,d\n", "log.csv"),
    "binary": ("\x00\x01\x02" * 99, "log.csv"),
}


@pytest.mark.parametrize("file", ["log.csv", "./log.csv"])
def test_a_file_in_the_place_of_a_data_set_is_sent_to_try(file: str) -> None:
    Path("log.csv").write_text("click,user\n")
    refused(ctrbench("run", "-d", file), "`ctrbench try FILE` writes a suite for a log of your own")


def test_what_can_be_downloaded_is_told_once_below_the_list() -> None:
    listed = ctrbench("data", "list")
    assert listed.exit_code == 0
    assert listed.stdout.count("downloaded") == 1
    assert listed.stdout.count("CTRBENCH_DATA") == 0
    assert "not on this machine (2.9 GB)" in listed.stdout
    refused(ctrbench("data", "describe", "criteo"), "criteo[path=FOLDER]")


def test_an_archive_that_is_none_leaves_no_store() -> None:
    Path("folder").mkdir()
    Path("text.zip").write_text("no archive")
    for file, said in (
        ("folder", "is a folder"),
        ("absent.zip", "no such file"),
        ("text.zip", "damaged or no archive"),
    ):
        refused(ctrbench("store", "import", file, "--store", "new.db"), said)
    assert not Path("new.db").exists()


def test_what_is_of_another_type_than_a_suite_takes_is_said() -> None:
    Path("mine.toml").write_text(suite_text("quick"))
    assert load_suite(Path("mine.toml")).name == "mine"
    with pytest.raises(UserError, match="name_or_file=3: give the name of a suite"):
        load_suite(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="timeout has 1 where the name of a stage belongs"):
        limits_of({1: 2}, None, "run")


@pytest.mark.parametrize("said", BAD_SUITES)
def test_a_mistake_in_a_suite_is_one_line_and_exit_status_2(said: str) -> None:
    Path("bad.toml").write_text(BAD_SUITES[said])
    refused(ctrbench("run", "--suite", "bad.toml"), said)


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_that_cannot_be_used_is_one_line_and_exit_status_2(kind: str) -> None:
    text, said = LOGS[kind]
    Path("log.csv").write_text(text)
    dataset = "csv_log[path=log.csv, user=u, item=i]"
    refused(ctrbench("run", "-d", dataset, "-g", "none", "-m", "item_rate", "--executor", "inline"), said)


def test_brackets_that_a_shell_has_taken_apart_are_to_be_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "-d", "csv_log[path=log.csv,", "label=click]"]
    monkeypatch.setattr(sys, "argv", ["ctrbench", *words])
    result = ctrbench(*words)
    assert result.exit_code == 2
    assert 'quote a plug-in with parameters: "NAME[key=value, key=value]"' in result.stderr


def test_a_long_option_with_one_dash_is_told_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "-repeats", "3"]
    monkeypatch.setattr("sys.argv", ["ctrbench", *words])
    assert "did you mean --repeats?" in ctrbench(*words).stderr


@pytest.mark.parametrize("value", ["rating >= 4", "event == click", "my log.csv", "a b=c", "x y = z", "a=b"])
def test_a_value_comes_back_as_it_was_quoted(value: str) -> None:
    assert parse(f"csv_log[label={quoted(value)}]").values == {"label": value}


@pytest.mark.parametrize(
    ("word", "meant"),
    [("roc_auc", "auc"), ("log_loss", "logloss"), ("AUC", "auc"), ("smotten", "smoten"), ("test_pr_auc", "pr_auc")],
)
def test_a_word_finds_the_name_that_it_was_meant_for(word: str, meant: str) -> None:
    assert closest(word, ["pr_auc", "auc", "logloss", "smoten"]) == meant


def test_a_word_that_is_like_none_finds_none() -> None:
    assert closest("my_thing", ["pr_auc", "auc", "logloss", "smoten"]) == ""


def test_names_are_found_whatever_their_case() -> None:
    shown = ctrbench("show", "CTGAN")
    assert shown.exit_code == 0
    assert "generator ctgan (ctrbench" in shown.stdout
    words = (
        "-d",
        "Simulated[train_rows=1000]",
        "-g",
        "SMOTEN",
        "-m",
        "DNN",
        "-k",
        "AUC",
        "-s",
        "s3",
        "--suite",
        "QUICK",
    )
    planned = ctrbench("run", *words, "--executor", "INLINE", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "smoten" in planned.stdout
    assert "S3" in planned.stdout
    assert "SMOTEN" not in planned.stdout, "tables have one name for it"


def test_a_plug_in_that_was_only_written_is_told_how_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ctrbench("new", "generator", "my_gan").exit_code == 0
    for command in ("check", "show"):
        asked = ctrbench(command, "my_gan")
        assert asked.exit_code == 2
        assert "`pip install --editable ctrbench-my-gan`" in asked.output


def test_settings_of_a_suite_hold_whatever_the_case_of_names() -> None:
    suite = parse_suite("[on.Simulated.models.DNN]\nepochs = 3", "mine", "mine.toml")
    assert suite.settings("simulated").of("model", "dnn") == {"epochs": 3}


def test_show_prints_a_suite_as_a_file_that_can_be_run() -> None:
    shown = ctrbench("show", "quick")
    assert shown.stdout == suite_text("quick")
    Path("mine.toml").write_text(shown.stdout)
    suite = parse_suite(shown.stdout, "quick", "mine.toml")
    assert isinstance(suite, Suite)
    assert suite.generators
    assert ctrbench("run", "--suite", "mine.toml", "-g", "smoten", "-m", "dnn", "--dry-run").exit_code == 0


BROKEN = """
    from dataclasses import dataclass
    from typing import ClassVar
    from ctrbench import Dataset, hookimpl

    @dataclass(frozen=True)
    class Shop(Dataset):
        {docstring}
        name: ClassVar[str] = "shop_log"
        def load(self, *, seed, context): {load}

    @hookimpl
    def register_datasets(register): register(Shop)
"""


def shop(folder: Path, docstring: str, load: str) -> EntryPoint:
    source = textwrap.dedent(BROKEN).format(docstring=docstring, load=load)
    module = f"shop_{folder.name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(source)
    return EntryPoint("shop", module, "ctrbench")


def test_a_plug_in_that_is_there_and_broken_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry([shop(tmp_path, "x = 1", "...")])
    with pytest.raises(UserError) as refusal:
        registry.get("dataset", "shop_log", "-d")
    said = str(refusal.value)
    assert said.startswith("-d: the dataset 'shop_log' is broken (")
    assert "Shop needs a docstring" in said
    assert "`ctrbench plugins --traceback` shows where" in said


def test_where_a_module_cannot_be_imported_the_broken_plug_ins_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    registry = load_registry([EntryPoint("shop", "no_such_module", "ctrbench")])
    with pytest.raises(
        UserError, match=r"no dataset 'shop_log'; .* one of the broken plug-ins \(no_such_module:shop\)"
    ):
        registry.get("dataset", "shop_log", "-d")


def test_a_data_set_that_raises_is_one_line_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    entry = shop(tmp_path, "'''A shop.'''", "return {}['clicks']")
    registry = load_registry([entry])
    monkeypatch.setattr("ctrbench.registry.load_registry", lambda: registry)
    result = ctrbench("data", "describe", "shop_log")
    refused(result, f"failed in load: KeyError: 'clicks' ({tmp_path / entry.module}.py:10)", status=1, lines=1)
    assert "return {}['clicks']" in ctrbench("data", "describe", "shop_log", "--traceback").stderr


def test_a_run_that_stopped_before_its_grid_was_known_says_so_and_how_it_goes_on() -> None:
    with closing(Store.open("begun.db")) as store:
        name = store.begin_run("ctrbench run -d big_log", "quick", Environment())
    for words in (["leaderboard"], ["report", "--html", "r.html"], ["leaderboard", "--run", name]):
        result = ctrbench(*words, "--store", "begun.db")
        assert result.exit_code == 2
        assert result.stderr.strip() == (
            f"ctrbench: store begun.db: run {name} stopped before its data sets were loaded, so it has no cells yet; "
            "`ctrbench run -d big_log` resumes it"
        )


def test_a_mistake_that_shows_as_a_log_is_loaded_is_one_line_too() -> None:
    Path("log.csv").write_text("click,user\n" + "0,a\n1,b\n" * 50, encoding="utf-8")
    result = ctrbench("run", "-d", "csv_log[path=log.csv, label=clik]", "--executor", "inline")
    refused(result, "did you mean 'click'?", lines=1)
