"""The gate around its judgement: its reports, its commands, and this repository's own baseline."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import FAST, SMALL, ctrbench, refused
from ctrbench.gate import reports, snapshot
from ctrbench.gate.compare import Comparison, compare
from ctrbench.gate.snapshot import ArmScores
from ctrbench.store.store import Store
from ctrbench.suite import load_suite
from places import ROOT
from test_compare import at, snap


def nasty() -> Comparison:
    name = "a|b*<i>\x1b[2J\nc\ufffe]]>&"
    old, new = (snap(at(name, auc=[mean, mean]), at("n", auc=[0.5, 0.5])) for mean in (0.7, 0.6))
    return compare(old, new, ["auc"])


def test_junit_is_well_formed_whatever_plug_ins_are_called() -> None:
    root = ElementTree.fromstring(reports.junit(nasty()))
    assert root.tag == "testsuites"
    [suite] = root
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "2",
        "errors": "0",
    }
    assert [case.tag for case in suite] == ["testcase"] * 3 + ["system-out"]
    *cases, _ = suite
    assert {case.get("classname") for case in cases} == {"auc"}
    [failure] = next(case for case in cases if "a|b" in str(case.get("name")))
    assert failure.tag == "failure"
    assert "0.7 → 0.6" in str(failure.get("message"))
    assert "\ufffe" not in reports.junit(nasty())
    thin = snap(at("m", auc=[0.7]))
    assert "<error" in reports.junit(compare(thin, thin, ["auc"]))


def test_junit_says_which_runs_it_is_of_and_what_to_know_beside_them() -> None:
    old, new = (snap(at("m", auc=[0.7, 0.7]), run=f"r\x1b{seed}", seed=seed, suite=f"s{seed}") for seed in (1, 2))
    [suite] = ElementTree.fromstring(reports.junit(made := compare(old, new, ["auc"])))
    said = str(suite[-1].text).splitlines()
    assert [line.split(" of ")[0] for line in said[:2]] == ["Baseline: run r 1", "HEAD: run r 2"]
    assert "seed 2" in said[1]
    assert said[2].startswith("1 question. ")
    assert said[3:] == list(made.notes) == ["the baseline is of suite s1, HEAD of s2"]


def test_markdown_is_one_table_whatever_plug_ins_are_called() -> None:
    text = reports.markdown(nasty())
    assert "\x1b" not in text
    assert "<i>" not in text.replace("\\<i\\>", "")
    rows = [line for line in text.splitlines() if line.startswith("| auc")]
    assert len(rows) == 3 + 1  # the answers, and the one cell that moved
    assert "**regression**" in rows[0]
    assert "worse than the baseline" in text


def test_the_summary_says_that_short_times_count_as_longer_ones() -> None:
    quick = snap(ArmScores(dataset="log", generator="gan", values={"sample_seconds": [0.004, 0.005]}))
    text = reports.markdown(compare(quick, quick, ["sample_seconds"]))
    assert re.search(r"\| 0\.1 +\| 0\.1 ", text)
    assert "less than 0.1 s counts as 0.1 s" in text


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    assert ctrbench(*FAST, "--executor", "inline", "--repeats", "3").exit_code == 0


@pytest.mark.usefixtures("stored")
def test_a_run_that_found_the_baselines_results_in_the_store_says_nothing_new() -> None:
    ctrbench("export", "baseline.json")
    none, wide = "measured none of them", ["--margin", "auc=0.5", "--margin", "fit_seconds=1000%"]
    for repeats, new in (("3", none), ("2", none), ("4", "only the repeats beyond them are new")):
        ctrbench(*FAST, "--executor", "inline", "--repeats", repeats)
        done = ctrbench("compare", "baseline.json", "--fail-on", "auc,fit_seconds", *wide)
        assert done.exit_code == 3, done.output
        assert f"HEAD found the baseline's results in the store, and {new}" in done.stdout
    for seeds, repeats, new in (("2", "3", "model seeds"), ("2", "4", "repeats and model seeds")):
        ctrbench(*FAST, "--executor", "inline", "--repeats", repeats, "--model-seeds", seeds)
        done = ctrbench("compare", "baseline.json", "--fail-on", "auc,fit_seconds", *wide)
        assert done.exit_code == 3, done.output
        assert f"HEAD found the baseline's results in the store, and only the {new} beyond them are new" in done.stdout
        Path("seeds.json").unlink(missing_ok=True)
        ctrbench("export", "seeds.json")
    ctrbench(*FAST, "--executor", "inline", "--repeats", "3")
    done = ctrbench("compare", "seeds.json", "--fail-on", "auc,fit_seconds", *wide)
    assert done.exit_code == 3, done.output
    assert f"HEAD found the baseline's results in the store, and {none}" in done.stdout
    refused(
        ctrbench("compare", "baseline.json", "--fail-on", "auc", "--margin", "auc=1", "--margin", "auc=2"),
        "auc has a margin already",
    )
    refused(ctrbench("export", "other.json", "--run", ""), "names no run")


@pytest.mark.usefixtures("stored")
def test_a_run_that_found_its_own_results_of_earlier_runs_says_how_many() -> None:
    ctrbench("export", "baseline.json")
    notes = []
    for repeats in ("2", "3", "3"):
        ctrbench(*FAST, "--executor", "inline", "--seed", "2", "--repeats", repeats)
        done = ctrbench("compare", "baseline.json", "--fail-on", "auc", "--margin", "auc=0.5")
        assert done.exit_code == 0, done.output
        notes.append(re.findall(r"HEAD found (\d+ of its \d+) trainings and pools in the store", done.stdout))
    assert notes == [[], ["14 of its 21"], ["21 of its 21"]]


@pytest.mark.usefixtures("stored")
def test_a_run_is_exported_and_compared() -> None:
    done = ctrbench("export", "baseline.json")
    assert "6 cells, 1 pool, 3 repeats" in done.stdout
    refused(ctrbench("export", "baseline.json"), "exists already")
    again = [*FAST, "--executor", "inline", "--repeats", "3", "--seed"]
    ctrbench(*again, "2")
    same = ["compare", "baseline.json", json.loads(Path("baseline.json").read_text())["run"]]
    fine = ctrbench(*same, "--fail-on", "auc,identical", "--junit", "r.xml", "--markdown", "r.md")
    assert fine.exit_code == 3, fine.output
    assert Path("r.md").read_text() == fine.stdout
    assert "HEAD is the baseline's own run" in fine.stdout
    assert "-0 … -0" not in fine.stdout
    assert ElementTree.parse("r.xml").getroot().get("failures") == "0"
    other = ctrbench("compare", "baseline.json", "--fail-on", "auc", "--margin", "auc=0.2")
    assert other.exit_code == 0, other.output
    assert "not the baseline's rows" in other.stdout
    assert "own run" not in other.stdout
    models = ["-m", "item_rate", "-m", "pair_memory"]
    ctrbench("run", "-d", SMALL, "-g", "none", *models, "-k", "auc", "--executor", "inline", "--repeats", "3")
    refused(ctrbench("compare", "baseline.json", "--fail-on", "identical"), "has no such metric")
    assert ctrbench("compare", "baseline.json", "--fail-on", "auc").exit_code == 1
    ctrbench(*FAST, "--executor", "inline")
    assert ctrbench("compare", "baseline.json", "--fail-on", "auc").exit_code == 3
    ctrbench("export", "head.json")
    assert ctrbench("compare", "baseline.json", "head.json", "--fail-on", "auc", "--store", "none.db").exit_code == 3
    refused(ctrbench("compare", "baseline.json", "nobody", "--fail-on", "auc"), "no run 'nobody'")
    refused(ctrbench("compare", "baseline.json", "--fail-on", "acu"), "no such metric; did you mean 'auc'")
    labels = "auc, odd[pairs=10, rows=1000]"
    refused(
        ctrbench("compare", "baseline.json", "--fail-on", labels), "--fail-on odd[pairs=10, rows=1000]: the baseline"
    )
    refused(ctrbench("compare", "absent.json", "--fail-on", "auc"), "cannot be read")
    refused(ctrbench(*same, "--fail-on", "auc", "--junit", "absent/r.xml"), "there is no folder absent; make it")
    refused(ctrbench("compare", "baseline.json", "", "--fail-on", "auc"), "HEAD is empty")
    refused(ctrbench(*same, "--fail-on", "auc", "--junit", "r", "--markdown", "./r"), "the same file")
    Path("notes.md").write_text("mine")
    Path("r.xml").write_text("<testsuites><testsuite name='pytest'/></testsuites>")
    for option in ("--junit", "--markdown"):
        for file in ("notes.md", "r.xml", "baseline.json", "ctrbench.db"):
            before = Path(file).read_bytes()
            refused(ctrbench(*same, "--fail-on", "auc", option, file), "is not a report of `ctrbench compare`")
            assert Path(file).read_bytes() == before
    assert ctrbench(*same, "--fail-on", "auc", "--markdown", "r.md").exit_code == 3, "it takes its own place"


QUALITY = ROOT / "benchmarks" / "quality"


def test_the_baseline_of_this_repository_has_every_score_of_its_suite() -> None:
    baseline, suite = snapshot.read(QUALITY / "baseline.json"), load_suite(str(QUALITY / "suite.toml"))
    assert set(baseline.metrics) == set(suite.metrics)
    assert {place.model for place in baseline.places if place.model} == set(suite.models)
    assert {place.generator for place in baseline.places if place.generator} == set(suite.generators)
    assert all(place.scores("auc" if place.model else "identical") for place in baseline.places)
    assert baseline.repeats >= 3 * suite.repeats


def test_planted_faults_bear_the_names_of_sound_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(QUALITY)
    power = importlib.import_module("power")
    for name in filter(None, power.ARMS.values()):
        [found] = power.with_fault(name).named(name)
        assert found.plugin.__module__ == "planted"


DOCS = ROOT / "docs"
COMMANDS = re.findall(
    r"(?:^|run: )(ctrbench .*?)(?: \|\|.*)?$",
    (DOCS / "ci.md").read_text("utf-8") + (DOCS / "examples" / "github-actions.yml").read_text("utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_about_ci_is_understood(line: str) -> None:
    result = ctrbench(*shlex.split(line.replace("$GITHUB_RUN_NUMBER", "3"))[1:], "--help")  # its options are still read
    assert result.exit_code == 0, result.output


def test_there_are_commands_on_that_page() -> None:
    assert len(COMMANDS) == 8


def test_a_store_keeps_the_rows_under_another_seed_where_the_suite_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(
        'datasets = ["simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"]\ngenerators = ["independent"]\n'
        'models = ["item_rate"]\nmetrics = ["auc"]\nscenarios = ["S5"]\ndata_seed = 7\n'
    )
    found = []
    for seed in ("1", "2"):
        assert ctrbench("run", "--suite", "s.toml", "--executor", "inline", "--seed", seed).exit_code == 0
        store = Store.open("ctrbench.db")
        found.append(snapshot.take(store.load_run()))
        store.close()
    first, second = found
    assert first.datasets == second.datasets
    scores = [{place.key.scenario: place.values["auc"] for place in each.places if place.model} for each in found]
    assert scores[0]["original"] == scores[1]["original"]  # it draws nothing
    assert scores[0]["S5"] != scores[1]["S5"]
