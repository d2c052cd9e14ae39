"""The gate: what is called a regression, what is fine, what cannot be told; and the file and reports around it."""

from __future__ import annotations

import importlib
import json
import math
import re
import shlex
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from ctrbench import compare_reports, snapshot
from ctrbench.artefacts import Artefacts
from ctrbench.compare import Comparison, Finding, Margin, Verdict, compare, parse_margins
from ctrbench.errors import UserError
from ctrbench.snapshot import Dataset, Metric, Place, Snapshot
from ctrbench.statistics import Effect, Spread, unpaired
from ctrbench.store import Store
from ctrbench.suite import load_suite
from scipy import stats
from test_cli import FAST, SMALL, ctrbench, refused
from test_leaderboard import cell, pool, results

FINE, THIN, REGRESSION = Verdict
SHARED = {"log": Dataset(fingerprint="a" * 64, rows={"train": 1000, "valid": 100, "test": 100})}
OTHER = {"log": SHARED["log"].model_copy(update={"fingerprint": "b" * 64})}
METRICS = {
    "auc": Metric(better="higher", unit="AUC", of="cells"),
    "logloss": Metric(better="lower", unit="nats", of="cells"),
    "bias": Metric(better="neither", unit="", of="cells"),
    "identical": Metric(better="lower", unit="rows", of="pools"),
}


def snap(*places: Place, **changes: Any) -> Snapshot:
    made: dict[str, Any] = {
        "format": 1, "run": "r1", "command": "ctrbench run", "started": 0.0, "finished": 1.0, "suite": "s", "seed": 1,
        "repeats": len(next(iter(places[0].values.values()))) if places else 1, "model_seeds": 1, "budget": 1.0,
        "environments": [], "datasets": SHARED, "metrics": METRICS, "places": list(places),
    }  # fmt: skip
    return Snapshot(**{**made, **changes})


def at(model: str, generator: str = "", scenario: str = "original", **values: Any) -> Place:
    return Place(dataset="log", generator=generator, scenario=scenario, model=model, values=values)


def noisy(rng: np.random.Generator, mean: float, sd: float = 0.002, repeats: int = 6) -> list[float]:
    return list(rng.normal(mean, sd, repeats))


def only(made: Comparison) -> Finding:
    [finding] = made.findings
    return finding


def said(made: Comparison, subject: str, metric: str = "auc") -> Verdict:
    return next(f.verdict for f in made.findings if (f.metric, f.subject) == (metric, subject))


def test_unpaired_is_welchs_t_and_knows_test_rows() -> None:
    rng = np.random.default_rng(1)
    new, old = rng.normal(0, 1, 5), rng.normal(0.5, 3, 9)
    effect = unpaired(new, old)
    theirs = stats.ttest_ind(new, old, equal_var=False)
    assert effect is not None
    assert effect.p == pytest.approx(theirs.pvalue)
    assert effect.df == pytest.approx(theirs.df)
    assert effect.low == pytest.approx(theirs.confidence_interval().low)
    wider = unpaired(new, old, 0.5)
    assert wider is not None
    assert wider.variance == pytest.approx(effect.variance + 0.5)
    assert wider.df > effect.df
    assert unpaired(new[:1], old) is None


def test_rounding_is_no_difference_and_no_noise() -> None:
    old, new = np.array([0.7, 0.7 + 1e-16, 0.7]), np.array([0.7, 0.7 - 1e-16])
    assert unpaired(new, old) == Effect(0.0, 0.0, np.inf, 2, "seeds and test rows", Spread(0.0, 0.0))
    before, after = (snap(at("m", auc=list(scores))) for scores in (old, new))
    made = compare(before, after, ["auc"], {"auc": Margin()})
    assert made.verdict is Verdict.FINE
    assert not made.shifts


def test_unchanged_trees_are_fine_under_new_seeds_each_time() -> None:
    rng = np.random.default_rng(2)

    def tree(repeats: int) -> Snapshot:
        values = {f"m{i}": {"auc": noisy(rng, 0.7 + i / 100, repeats=repeats)} for i in range(6)}
        return snap(*(at(model, **each) for model, each in values.items()))

    baseline = tree(20)
    assert {compare(baseline, tree(5), ["auc"]).verdict for _ in range(200)} == {FINE}


def test_a_fault_in_one_model_of_six_is_found_though_the_mean_hides_it() -> None:
    rng = np.random.default_rng(3)

    def tree(fault: float) -> Snapshot:
        return snap(*(at(f"m{i}", auc=noisy(rng, 0.7 - (i == 2) * fault)) for i in range(6)))

    made = compare(tree(0), tree(0.04), ["auc"])
    assert said(made, "all") is FINE
    assert [f.subject for f in made.findings if f.verdict is REGRESSION] == ["log: model m2 on real rows"]
    assert made.verdict is REGRESSION
    assert compare(tree(0.04), tree(0), ["auc"]).verdict is FINE  # better is no regression


def test_a_model_is_also_asked_about_without_the_noise_of_pools() -> None:
    rng = np.random.default_rng(6)

    def tree(fault: float) -> Snapshot:
        return snap(at("m", auc=[0.7 - fault] * 6), at("m", "gan", "S5", auc=noisy(rng, 0.6 - fault, 0.02)))

    made = compare(tree(0), tree(0.03), ["auc"])
    assert said(made, "log: model m on real rows") is REGRESSION
    assert said(made, "log: generator gan") is not REGRESSION
    assert [f.subject for f in made.findings] == ["log: model m", "log: model m on real rows", "log: generator gan"]


def test_a_leak_in_one_generator_of_three_is_found_though_the_mean_hides_it() -> None:
    def tree(leaked: float) -> Snapshot:
        counts = {"copies": [1000.0, 1000.0], "sound": [1.0 + leaked, 3.0 + leaked], "other": [40.0, 44.0]}
        return snap(*(Place(dataset="log", generator=g, values={"identical": v}) for g, v in counts.items()))

    assert compare(tree(0), tree(0), ["identical"]).verdict is FINE
    made = compare(tree(0), tree(5000), ["identical"], {"identical": Margin(least=100)})
    assert said(made, "log: generator sound", "identical") is REGRESSION
    assert said(made, "log: generator other", "identical") is FINE
    assert compare(tree(0), tree(-1), ["identical"]).verdict is FINE


@pytest.mark.parametrize(
    ("sd", "repeats", "worse", "verdict"),
    [
        (0.0, 3, 0.0, FINE),  # what has no noise is certain
        (0.0, 3, 0.0199, REGRESSION),
        (0.002, 6, 0.005, FINE),
        (0.002, 6, 0.06, REGRESSION),
        (0.03, 6, 0.0, THIN),  # the noise would hide any fault
        (0.01, 3, 0.03, THIN),  # it looks worse, but it might be chance
    ],
)
def test_verdicts_follow_from_the_interval_and_the_margin(
    sd: float, repeats: int, worse: float, verdict: Verdict
) -> None:
    spread = sd * stats.norm.ppf((np.arange(repeats) + 0.5) / repeats)
    old, new = (snap(at("m", auc=list(mean + spread))) for mean in (0.7, 0.7 - worse))
    found = only(compare(old, new, ["auc"]))
    assert found.verdict is verdict
    assert found.difference == pytest.approx(-worse)
    assert bool(found.reason) == (verdict is THIN)


def test_one_repeat_is_too_thin() -> None:
    same = snap(at("m", auc=[0.7]))
    assert only(compare(same, same, ["auc"])).verdict is THIN
    assert "one repeat" in only(compare(same, same, ["auc"])).reason


def test_a_regression_beyond_twice_the_margin_passes_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(600):
        old, new = (snap(at("m", auc=noisy(rng, mean, 0.005, 4))) for mean in (0.7, 0.68))
        passed += compare(old, new, ["auc"]).verdict is FINE
    assert passed <= 600 * 0.05 + 3 * math.sqrt(600 * 0.05)


def test_what_is_lost_is_a_regression_and_what_is_new_is_left_out() -> None:
    old = snap(at("a", auc=[0.7, 0.7]), at("b", auc=[0.6, 0.6]), at("c", auc=[0.5, None]))
    broken = at("b", auc=[0.6, None]).model_copy(update={"lacking": {"auc": "b (x 1.0): crashed in fit"}})
    made = compare(
        old, snap(at("a", auc=[0.7, 0.7]), broken, at("c", auc=[0.1, 0.1]), at("d", auc=[0.1, 0.1])), ["auc"]
    )
    assert said(made, "log: model a on real rows") is FINE
    assert said(made, "log: model b on real rows") is REGRESSION
    assert said(made, "all") is REGRESSION
    assert any("crashed in fit" in f.reason for f in made.findings)
    assert any("left out" in note and "c" in note and "1 more" in note for note in made.notes)
    assert all("c" not in f.subject.split() for f in made.findings)
    gone = compare(old, snap(at("a", auc=[0.7, 0.7])), ["auc"])
    assert said(gone, "log: model b on real rows") is REGRESSION
    assert any("not run" in note for note in gone.notes)


def test_other_rows_add_the_noise_of_test_rows_and_the_same_rows_do_not() -> None:
    def tree(datasets: dict[str, Dataset], variance: float | None) -> Snapshot:
        known = {} if variance is None else {"auc": variance}
        places = [at(m, auc=[0.7, 0.701, 0.702]).model_copy(update={"test_variance": known}) for m in "ab"]
        return snap(*places, datasets=datasets)

    same = compare(tree(SHARED, 1e-4), tree(SHARED, 1e-4), ["auc"])
    other = compare(tree(SHARED, 1e-4), tree(OTHER, 1e-4), ["auc"])
    assert same.verdict is FINE
    assert not same.notes
    assert other.verdict is THIN  # √2 · .01 of standard error beside a margin of .01
    assert any("not the baseline's rows" in note for note in other.notes)
    narrow, wide = same.findings[0].interval, other.findings[0].interval
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] - 0.01  # 1.64 · √2 · .01
    assert compare(tree(SHARED, 1e-4), tree(OTHER, None), ["auc"]).verdict is THIN


def test_costs_compare_as_ratios_and_short_ones_not_at_all() -> None:
    def tree(factor: float) -> Snapshot:
        slow, quick = ([s * f for f in (1.0, 1.02, 0.98, 1.01)] for s in (4.0 * factor, 0.004 * factor))
        return snap(at("slow", fit_seconds=slow), at("quick", fit_seconds=quick))

    made = compare(tree(1), tree(3), ["fit_seconds"])
    assert said(made, "log: model slow", "fit_seconds") is REGRESSION
    assert said(made, "log: model quick", "fit_seconds") is FINE
    slow = next(f for f in made.findings if "slow" in f.subject)
    assert slow.difference == pytest.approx(3)
    assert slow.margin == pytest.approx(1.5)
    wide = parse_margins(["fit_seconds=300%"], ["fit_seconds"])
    assert compare(tree(1), tree(3), ["fit_seconds"], wide).verdict is FINE


def test_costs_of_trainings_are_the_models_and_those_of_pools_the_generators() -> None:
    training = at("dnn", "gan", "S5", auc=[0.7, 0.7], fit_seconds=[2.0, 2.0])
    made = Place(dataset="log", generator="gan", values={"fit_seconds": [9.0, 9.0], "sample_seconds": [1.0, 1.0]})
    same = snap(training, made)
    found = {(f.metric, f.subject): f.baseline for f in compare(same, same, ["fit_seconds", "sample_seconds"]).findings}
    assert found[("fit_seconds", "log: model dnn")] == pytest.approx(2)
    assert found[("fit_seconds", "log: generator gan")] == pytest.approx(9)
    assert found[("fit_seconds", "all")] == pytest.approx(math.sqrt(18))
    assert found[("sample_seconds", "log: generator gan")] == pytest.approx(1)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("auc", "a number as in auc=0.005"),
        ("auc=much", "a number"),
        ("auc=-1", "a number"),
        ("auc=nan", "a number"),
        ("ac=1", "did you mean 'auc'"),
        ("fit_seconds=2", "as in fit_seconds=50%"),
    ],
)
def test_a_margin_that_is_none_is_refused(word: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse_margins([word], ["auc", "fit_seconds"])


def test_margins_replace_the_defaults() -> None:
    old, new = snap(at("m", auc=[0.7, 0.7])), snap(at("m", auc=[0.66, 0.66]))
    assert only(compare(old, new, ["auc"])).margin == pytest.approx(0.01)
    for word, verdict in (("auc=0.05", FINE), ("auc=0.03", REGRESSION), ("auc=10%", FINE), ("auc=5%", REGRESSION)):
        assert only(compare(old, new, ["auc"], parse_margins([word], ["auc"]))).verdict is verdict


@pytest.mark.parametrize(
    ("metric", "changes", "complaint"),
    [
        ("acu", {}, "the baseline has no such metric; did you mean 'auc'"),
        ("bias", {}, "neither higher nor lower is better"),
        ("auc", {"budget": 0.5}, "compare equal budgets"),
        ("auc", {"metrics": {}}, "run r1 has no such metric"),
    ],
)
def test_what_cannot_be_compared_is_refused(metric: str, changes: dict[str, Any], complaint: str) -> None:
    place = at("m", auc=[0.7, 0.7], bias=[0.0, 0.0])
    with pytest.raises(UserError, match=complaint):
        compare(snap(place), snap(place, **changes), [metric])


# The file


def test_a_snapshot_survives_its_file_which_is_never_overwritten(tmp_path: Path) -> None:
    taken = snap(at("m", auc=[0.7, None]), at("n", auc=[0.1, 1 / 3]))
    file = tmp_path / "baseline.json"
    snapshot.write(taken, file)
    assert snapshot.read(file) == taken
    assert sum('"model"' in line for line in file.read_text().splitlines()) == 2  # a place a line
    with pytest.raises(UserError, match="exists already"):
        snapshot.write(taken, file)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[:-20], "did not make it"),
        (lambda text: text.replace("0.7", "NaN"), "finite"),
        (lambda text: text.replace("0.7", '"0.7"'), "valid number"),
        (lambda text: text.replace("0.7", "1e80"), "less than or equal to"),
        (lambda text: text.replace("[0.7, 0.7]", "[0.7]"), "not every value"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "a newer ctrbench"),
        (lambda text: text.replace('"suite"', '"sweet"'), "suite"),
        (lambda text: text.replace('"log": {', '"dog": {'), "no data set 'log'"),
        (lambda text: "[" * 10**6, "did not make it"),
        (lambda text: "\x00\xff", "did not make it"),
        (lambda text: "{}", "format"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused_in_a_line(tmp_path: Path, damage: Any, complaint: str) -> None:
    file = tmp_path / "baseline.json"
    snapshot.write(snap(at("m", auc=[0.7, 0.7])), file)
    file.write_text(damage(file.read_text()), "latin-1")
    with pytest.raises(UserError, match=complaint) as refusal:
        snapshot.read(file)
    assert "\n" not in str(refusal.value)


def test_a_snapshot_holds_every_repeat_and_why_one_is_missing() -> None:
    run = results(
        [cell("", "original", "dnn", 0.8), cell("", "original", "dnn", None, 1), cell("gan", "S5", "dnn", 0.7)],
        [pool("gan", 40.0), pool("gan", None)],
    )
    run = with_changes(run, about={**run.about, "repeats": 2}, cells=[*run.cells, cell("gan", "S5", "dnn", 0.6, 1)])
    places = {place.scenario: place for place in snapshot.take(run).places}
    original, synthetic, made = places["original"], places["S5"], places[""]
    assert original.values["auc"] == [0.8, None]
    assert "ValueError" in original.lacking["auc"]
    huge = results([cell("", "original", "dnn", 1e80)], [])
    assert snapshot.take(huge).places[0].lacking["auc"] == "no number that can be used"
    assert synthetic.scores("auc") == [0.7, 0.6]
    assert synthetic.values["fit_seconds"] == [2.0, 2.0]
    assert made.values["identical"] == [40.0, None]
    assert made.values["sample_seconds"] == [1.0, None]
    with pytest.raises(UserError, match="did not come to its end"):
        snapshot.take(with_changes(run, finished=None))


def test_the_test_variance_is_what_repeats_share(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 0.01, 50)
    digests = [artefacts.put_array(shared + rng.normal(0, 0.002, 50)) for _ in range(3)]
    cells = [
        with_changes(cell("", "original", "dnn", 0.8, repeat), contributions={"auc": digest})
        for repeat, digest in enumerate(digests)
    ]
    run = with_changes(results(cells, [], repeats=3), artefacts=artefacts)
    parts = np.stack([artefacts.get_array(digest) for digest in digests])
    products = parts @ parts.T
    [place] = snapshot.take(run).places
    assert place.test_variance["auc"] == pytest.approx(products[~np.eye(3, dtype=bool)].mean())
    assert "logloss" not in place.test_variance


# The reports and the commands


def nasty() -> Comparison:
    name = "a|b*<i>\x1b[2J\nc\ufffe]]>&"
    old, new = (snap(at(name, auc=[mean, mean]), at("n", auc=[0.5, 0.5])) for mean in (0.7, 0.6))
    return compare(old, new, ["auc"])


def test_junit_is_well_formed_whatever_plug_ins_are_called() -> None:
    root = ElementTree.fromstring(compare_reports.junit(nasty()))
    assert root.tag == "testsuites"
    [suite] = root
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "2",
        "errors": "0",
    }
    assert [case.tag for case in suite] == ["testcase"] * 3
    assert {case.get("classname") for case in suite} == {"auc"}
    [failure] = next(case for case in suite if "a|b" in str(case.get("name")))
    assert failure.tag == "failure"
    assert "0.7 → 0.6" in str(failure.get("message"))
    assert "\ufffe" not in compare_reports.junit(nasty())
    thin = snap(at("m", auc=[0.7]))
    assert "<error" in compare_reports.junit(compare(thin, thin, ["auc"]))


def test_markdown_is_one_table_whatever_plug_ins_are_called() -> None:
    text = compare_reports.markdown(nasty())
    assert "\x1b" not in text
    assert "<i>" not in text.replace("\\<i\\>", "")
    rows = [line for line in text.splitlines() if line.startswith("| auc")]
    assert len(rows) == 3 + 1  # the answers, and the one cell that moved
    assert "**regression**" in rows[0]
    assert "worse than the baseline" in text


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    assert ctrbench(*FAST, "--executor", "inline", "--repeats", "3").exit_code == 0


@pytest.mark.usefixtures("stored")
def test_a_run_is_exported_and_compared() -> None:
    done = ctrbench("export", "baseline.json")
    assert "6 cells, 1 pool, 3 repeats" in done.stdout
    refused(ctrbench("export", "baseline.json"), "exists already")
    again = [*FAST, "--executor", "inline", "--repeats", "3", "--seed"]
    ctrbench(*again, "2")
    same = ["compare", "baseline.json", json.loads(Path("baseline.json").read_text())["run"]]
    fine = ctrbench(*same, "--fail-on", "auc,identical", "--junit", "r.xml", "--markdown", "r.md")
    assert fine.exit_code == 0, fine.output
    assert Path("r.md").read_text() == fine.stdout
    assert ElementTree.parse("r.xml").getroot().get("failures") == "0"
    other = ctrbench("compare", "baseline.json", "--fail-on", "auc", "--margin", "auc=0.2")
    assert other.exit_code == 0, other.output
    assert "not the baseline's rows" in other.stdout
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
    refused(ctrbench("compare", "absent.json", "--fail-on", "auc"), "cannot be read")
    refused(ctrbench(*same, "--fail-on", "auc", "--junit", "absent/r.xml"), "cannot be written")
    refused(ctrbench("compare", "baseline.json", "", "--fail-on", "auc"), "HEAD is empty")
    refused(ctrbench(*same, "--fail-on", "auc", "--junit", "r", "--markdown", "./r"), "the same file")
    Path("notes.md").write_text("mine")
    Path("r.xml").write_text("<testsuites><testsuite name='pytest'/></testsuites>")
    for option in ("--junit", "--markdown"):
        for file in ("notes.md", "r.xml", "baseline.json", "ctrbench.db"):
            before = Path(file).read_bytes()
            refused(ctrbench(*same, "--fail-on", "auc", option, file), "is no report of `ctrbench compare`")
            assert Path(file).read_bytes() == before
    assert ctrbench(*same, "--fail-on", "auc", "--markdown", "r.md").exit_code == 0, "it takes its own place"


QUALITY = Path(__file__).parents[1] / "benchmarks" / "quality"


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


DOCS = Path(__file__).parents[1] / "docs"
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
