"""The command line as a user meets it: real commands in real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from commands import CTRBENCH, FAST, SMALL, ctrbench, refused, tables
from ctrbench.cli._common import colour
from ctrbench.registry import load_registry
from ctrbench.suite import load_suite


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    monkeypatch.delenv("CTRBENCH_DATA", raising=False)


def imported_by(*words: str) -> set[str]:
    """The top-level modules that a command imports."""
    code = (
        "import sys; from ctrbench.cli import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        "sys.stdout = sys.__stdout__; print('MODULES', *{name.split('.')[0] for name in sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(said.split("MODULES ")[1].split())


def test_help_loads_no_plug_in_no_pandas_and_no_database() -> None:
    heavy = {"pandas", "sqlalchemy", "torch", "sdv", "fuxictr", "sklearn", "pydantic", "rich", "pyarrow"}
    plugins = {"ctrbench_datasets", "ctrbench_generators", "ctrbench_models", "ctrbench_metrics"}
    assert not imported_by("--help") & (heavy | plugins)
    assert not imported_by("run", "--help") & (heavy | plugins)


def test_list_imports_no_heavy_library() -> None:
    modules = imported_by("list")
    assert "ctrbench_generators" in modules
    assert not modules & {"torch", "sdv", "fuxictr", "pandas", "sklearn", "imblearn", "sqlalchemy", "ray"}


def test_the_help_of_all_cuts_no_summary() -> None:
    assert "..." not in ctrbench("--help").output.partition("Commands:")[2]


def test_list_counts_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "lost-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lost\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ctrbench]\nlost = absent\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "\n1 broken plug-in: see `ctrbench plugins`\n" in ctrbench("list", "suites").stdout


def test_list_tells_controls_from_candidates() -> None:
    shown = " ".join(ctrbench("list", "generators").output.split())
    assert "uniform control: Noise" in shown
    assert "smoten SMOTE" in shown


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "try",
        "leaderboard",
        "failures",
        "report",
        "plot",
        "site",
        "export",
        "compare",
        "list",
        "show",
        "new",
        "plugins",
        "check",
        "data",
        "store",
    ],
)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = ctrbench(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert command in ctrbench("--help").output


def test_a_run_ends_with_its_verdict_and_the_tables_are_a_command_away() -> None:
    first = ctrbench(*FAST)
    assert first.exit_code == 0, first.output
    assert "nothing is claimed of one repeat" in first.stdout
    assert "ctrbench leaderboard --view all" in first.stdout
    shown = ctrbench("leaderboard", "--view", "all").stdout
    assert shown.startswith(first.stdout)
    titles = ("Δauc by scenario", "simulated: privacy", "mean Δauc against original", "time and memory", "identical")
    for title in titles:
        assert title in shown
    assert ctrbench("failures").stdout.startswith("nothing failed")
    second = ctrbench(*FAST)
    assert "0 tasks done" in second.stderr
    assert tables(first.stdout) == tables(second.stdout)


@pytest.mark.parametrize("columns", ["80", "64"])
def test_what_a_run_ends_with_fits_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said = ctrbench(*FAST).stdout.splitlines()
    assert len(said) <= 40
    assert max(map(len, said)) <= int(columns)


def test_letters_that_take_two_cells_leave_columns_where_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ctrbench.cli._common import echo_table
    from ctrbench.text import cells

    monkeypatch.setenv("COLUMNS", "80")
    echo_table([["推荐" * 30, "7"], ["é" * 90, "8"]], ["生成器", "件"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cells, lines)) <= 80
    numbers = [line for line in lines if line.rstrip()[-1:] in ("7", "8")]
    assert {cells(line.rstrip()[:-1]) for line in numbers} == {cells(lines[0].rstrip()[:-1])}


def test_the_same_seed_gives_the_same_tables_and_another_seed_other_ones() -> None:
    first = ctrbench(*FAST, "--store", "a.db")
    same = ctrbench(*FAST, "--store", "b.db", "--executor", "inline")
    other = ctrbench(*FAST, "--store", "c.db", "--seed", "2")
    assert tables(first.stdout) == tables(same.stdout)
    assert tables(first.stdout) != tables(other.stdout)


def test_a_dry_run_does_nothing_and_knows_the_store() -> None:
    before = ctrbench(*FAST, "--dry-run")
    assert before.exit_code == 0, before.output
    assert "21 tasks, 21 to run" in before.stdout
    assert not list(Path.cwd().iterdir())
    ctrbench(*FAST)
    assert "21 tasks, 0 to run" in ctrbench(*FAST, "--dry-run").stdout
    assert "27 tasks, 6 to run" in ctrbench(*FAST, "-s", "S2", "--dry-run").stdout


def test_a_dry_run_never_downloads() -> None:
    result = ctrbench("run", "-d", "frappe", "-g", "none", "-m", "item_rate", "--dry-run")
    refused(result, "`ctrbench data fetch frappe` does")
    assert not result.stdout, "no table of nothing"


def test_generator_none_runs_original_alone() -> None:
    result = ctrbench("run", "-d", SMALL, "-g", "none", "-m", "item_rate")
    assert result.exit_code == 0
    assert "original" in result.stdout
    assert "S1" not in result.stdout


@pytest.mark.parametrize("style", ["table", "markdown", "csv", "json", "latex"])
def test_the_leaderboard_prints_in_every_format(style: str) -> None:
    ctrbench(*FAST)
    value = re.search(r"original +(0\.\d{5})", ctrbench("leaderboard", "--view", "scenarios").stdout)
    assert value
    result = ctrbench("leaderboard", "--view", "scenarios", "--format", style)
    assert result.exit_code == 0
    assert value[1] in result.stdout or style in ("csv", "json")
    if style == "json":
        records = json.loads(result.stdout)["boards"][0]["records"]
        assert any(f"{record['value']:.5f}" == value[1] for record in records)


@pytest.mark.parametrize("style", ["markdown", "csv", "latex"])
def test_a_verdict_is_not_asked_for_as_tables(style: str) -> None:
    said = ctrbench("leaderboard", "--view", "verdict", "--format", style)
    refused(said, f"--view verdict --format {style}: the verdict is text; only table and json have it")


def test_a_dry_runs_product_is_its_number_of_cells() -> None:
    asked = ["-d", SMALL, "-g", "independent", "-m", "item_rate", "-s", "S1", "--repeats", "2", "--dry-run"]
    assert (
        "4 cells: (1 generator × 1 scenario + 1 without a pool) × 1 model × 2 repeats; "
        in ctrbench("run", *asked).stdout
    )
    more = ctrbench("run", *asked, "--train-shares", "0.5,1", "--model-seeds", "3").stdout
    product = "(1 generator × 1 scenario + 1 without a pool) × 1 model × 2 repeats × 3 model seeds × 2 data sets"
    assert f"24 cells: {product}; " in more
    assert "a pool is made once for each generator, repeat and data set" in more


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_nobody_gets_bold_letters_who_asked_for_none(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colour()
    monkeypatch.setenv(name, value)
    assert not colour()


@pytest.mark.parametrize("name", ["S1", "S5", "original", "original_again", "class_weight", "undersample"])
def test_a_scenario_is_shown_as_a_suite_has_one(name: str) -> None:
    block = ctrbench("show", name).stdout.partition("[[scenario]]")
    Path("own.toml").write_text("".join(block[1:]).replace(f'name = "{name}"', 'name = "own"'), encoding="utf-8")
    [own] = load_suite("own.toml").own_scenarios
    assert replace(own, name=name) == load_registry().get("scenario", name).thing


def test_runs_are_listed_and_an_older_one_can_be_shown() -> None:
    ctrbench(*FAST)
    ctrbench(*FAST, "--seed", "2")
    headers, _, *listed = ctrbench("leaderboard", "--runs").stdout.splitlines()
    assert headers.split() == ["run", "started", "(UTC)", "took", "command"]
    listed = [line for line in listed if line[0] != " "]  # long commands are folded
    assert len(listed) == 2
    assert all(re.search(r":\d\d  \d+ s  ", line) for line in listed)
    assert "seed 1," in ctrbench("leaderboard", "--run", listed[1].split()[0]).stdout
    assert "seed 2," in ctrbench("leaderboard").stdout


@pytest.mark.parametrize("more", [("--format", "json"), ("--view", "cost"), ("--metric", "auc"), ("--run", "r")])
def test_a_list_of_runs_is_nothing_but_that(more: tuple[str, str]) -> None:
    refused(ctrbench("leaderboard", "--runs", *more), "leaderboard --runs lists runs alone: leave out --view")


def test_show_and_describe_tell_what_is_inside() -> None:
    assert "k_neighbors" in ctrbench("show", "smoten").stdout
    assert "negatives = 0.25" in ctrbench("show", "S3").stdout
    described = ctrbench("data", "describe", SMALL).stdout
    assert "2,000" in described
    assert "unseen in test" in described
    assert "ready" in ctrbench("data", "list").stdout


SUITE = """
description = "mine"
datasets = ["simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"]
generators = ["random_oversampling"]
models = ["item_rate"]
scenarios = ["original", "S6"]
[[scenario]]
name = "S6"
synthetic = { positives = 1, negatives = 0.5 }
help = "mine"
"""


def test_a_suite_file_may_bring_its_own_scenario() -> None:
    Path("mine.toml").write_text(SUITE)
    result = ctrbench("run", "--suite", "mine.toml")
    assert result.exit_code == 0, result.output
    assert re.search(r"random_oversampling +S6 +[+-]0\.\d+", ctrbench("leaderboard").stdout)


def test_an_alias_is_what_tables_show_and_two_of_a_name_are_a_mistake() -> None:
    result = ctrbench("run", "-d", SMALL, "-g", "more=random_oversampling", "-m", "item=item_rate", "-s", "S1")
    assert result.exit_code == 0, result.output
    assert re.search(r"^more +", result.stdout, re.MULTILINE)
    twice = ctrbench("run", "-d", SMALL, "-g", "none", "-m", "a=item_rate", "-m", "a=pair_memory", "--dry-run")
    assert twice.exit_code == 2
    assert "two models are called 'a'" in twice.stderr


def test_a_store_of_something_else_is_left_alone() -> None:
    with sqlite3.connect("mine.db") as database:
        database.execute("create table customers (name text)")
    before = Path("mine.db").read_bytes()
    refused(ctrbench(*FAST, "--store", "mine.db"), "is a database of something else (it has customers)")
    assert Path("mine.db").read_bytes() == before


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*CTRBENCH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tasks_in(store: str) -> int:
    """How many results a store holds by now."""
    if not Path(store).exists():
        return 0
    with closing(sqlite3.connect(store)) as database, suppress(sqlite3.OperationalError):  # before its tables are there
        return int(database.execute("select count(*) from tasks").fetchone()[0])
    return 0


SLOWER = ["run", "-d", SMALL, "-g", "random_oversampling", "-m", "item_rate", "-m", "logistic", "--repeats", "5"]


@pytest.mark.parametrize("signal_", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_an_interrupted_run_keeps_what_is_finished_and_ends_with_the_same_numbers(signal_: signal.Signals) -> None:
    undisturbed = ctrbench(*SLOWER, "--store", "whole.db")
    assert undisturbed.exit_code == 0, undisturbed.output
    run = start(*SLOWER)
    assert run.stderr
    while tasks_in("ctrbench.db") < 20:
        assert run.poll() is None
        time.sleep(0.05)
    family = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal_)
    rest = run.stderr.read()
    assert run.wait(timeout=60) == (130 if signal_ == signal.SIGINT else -signal.SIGKILL)
    if signal_ == signal.SIGINT:
        assert "the same command resumes from here" in rest
        assert "Traceback" not in rest
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert gone
    resumed = ctrbench(*SLOWER)
    assert resumed.exit_code == 0
    found = re.search(r"(\d+) tasks? done, (\d+) found in the store", resumed.stderr)
    assert found
    assert int(found[2]) >= 20
    assert int(found[1]) >= 1
    assert tables(resumed.stdout) == tables(undisturbed.stdout)


def test_ctrl_c_while_workers_start_is_one_line_too() -> None:
    command = [*CTRBENCH, *FAST]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    driver = psutil.Process(run.pid)
    while len(driver.children()) < 3:  # the guard, the tracker, the first worker
        assert run.poll() is None
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the driver and all that share its group
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.count("\n") == 1, said


def test_two_runs_at_once_on_one_store_both_finish_with_the_same_numbers() -> None:
    runs = [start(*FAST, "--repeats", "5") for _ in range(2)]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert tables(said[0][0]) == tables(said[1][0])


def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    store = tmp_path / "readonly"
    store.mkdir()
    assert ctrbench(*FAST, "--store", str(store / "r.db")).exit_code == 0
    limited = f"ulimit -f 200; exec {sys.executable} -m ctrbench " + " ".join(
        f"'{word}'" for word in [*FAST, "--store", str(store / "r.db"), "--repeats", "300"]
    )
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, env={**os.environ})
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    again = ctrbench(*FAST, "--store", str(store / "r.db"))
    assert "0 tasks done" in again.stderr


def test_commands_of_other_distributions_appear_and_are_loaded_when_invoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "greetings-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ctrbench.commands]\ngreet = greetings:greet\nlost = greetings:lost\n")
    (site / "greetings.py").write_text(
        "import click\n@click.command()\n@click.argument('who')\ndef greet(who):\n    print('hello', who)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def said(*words: str) -> str:
        done = subprocess.run([*CTRBENCH, *words], capture_output=True, text=True, env=environment)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    assert "greet" in said("--help")
    assert said("greet", "you") == "hello you\n"
    assert "cannot be loaded" in said("lost")


def test_hours_of_work_are_asked_about_and_a_budget_is_named() -> None:
    from ctrbench.cli import _dry_run
    from ctrbench.running import prepare

    named = {"datasets": [SMALL], "generators": ["tabddpm"], "models": ["dnn"], "scenarios": ["S1"], "metrics": ["auc"]}
    with CliRunner().isolation(input="n\n") as (_, said, *_rest):
        assert not _dry_run.confirm(prepare("paper", named, {"repeats": 50}), "none.db", 1)
    assert re.search(rb"this will take about \d+(\.\d)? [hd] on 1 worker \(forecasts are rough", said.getvalue())
    assert re.search(rb"--budget 0\.\d+", said.getvalue())


def test_what_is_done_in_this_process_is_forecast_for_one_worker() -> None:
    words = ["run", "-d", SMALL, "-g", "tabddpm", "-m", "dnn", "-s", "S1", "-k", "auc", "--dry-run"]
    assert ", about " in (said := ctrbench(*words, "--executor", "inline").stdout)
    assert " on 1 worker, " in said
    assert " on 3 workers, " in ctrbench(*words, "--workers", "3").stdout


def test_minutes_of_work_are_not_asked_about() -> None:
    from ctrbench.cli import _dry_run
    from ctrbench.running import prepare

    named = {"datasets": [SMALL], "generators": ["none"], "models": ["item_rate"], "metrics": ["auc"]}
    assert _dry_run.confirm(prepare("quick", named, {}), "none.db", 1)
