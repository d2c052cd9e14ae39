"""Other people's distributions, really installed and really run: sound ones work, broken ones harm nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import THIRD_PARTY, install

TOYS = ("toy_log", "toy_swap", "toy_rates", "toy_brier")
SMALL = "simulated[train_rows=2000, valid_rows=2000, test_rows=2000]"
TIMEOUT = 12

UNUSABLE = {  # broken distribution → what `ctrbench plugins` must say of it
    "import-error": "a_library_that_nobody_has",
    "hook-misspelled": "register_generatorz",
    "name-taken": "'random_oversampling' is taken by random_oversampling (ctrbench ",
    "rival-one": "'rival' is taken by rival (ctrbench-broken-rival-two ",
    "rival-two": "'rival' is taken by rival (ctrbench-broken-rival-one ",
}
MISBEHAVING = {  # plug-in → its status, and what its footnote must say
    "fit_raises": ("failed", "ArithmeticError: the toy is broken"),
    "wrong_schema": ("failed", "schema"),
    "fit_loops": ("timed out", f"{TIMEOUT}"),
    "nan_predictions": ("failed", "not finite"),
    "fit_exits": ("failed", "SystemExit"),
}
GENERATORS = ("random_oversampling", "toy_swap", "fit_raises", "wrong_schema", "fit_loops")
MODELS = ("item_rate", "toy_rates", "nan_predictions", "fit_exits")

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "0.1"
[project.entry-points.ctrbench]
{entry} = "{module}"
[tool.hatch.build.targets.wheel]
only-include = ["{module}.py"]
"""


def broken_project(source: Path, folder: Path) -> Path:
    """A distribution of its own around one broken module."""
    name, module = f"ctrbench-broken-{source.stem.replace('_', '-')}", f"ctrbench_broken_{source.stem}"
    project = folder / name
    project.mkdir()
    shutil.copy(source, project / f"{module}.py")
    (project / "pyproject.toml").write_text(PYPROJECT.format(name=name, entry=source.stem, module=module))
    return project


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """A folder that holds the broken distributions."""
    folder = tmp_path_factory.mktemp("broken")
    install(folder / "site", *(broken_project(source, folder) for source in sorted(THIRD_PARTY.glob("broken/*.py"))))
    return folder / "site"


@pytest.fixture(scope="module")
def ctrbench(tmp_path_factory):
    """The real command line, in a process of its own, with folders of plug-ins beside the product."""
    here = tmp_path_factory.mktemp("here")

    def call(*arguments: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "COLUMNS": "200"}
        environment.pop("CTRBENCH_STORE", None)
        environment.pop("CTRBENCH_DATA", None)
        command = [sys.executable, "-c", "from ctrbench.cli import main; main()", *arguments]
        return subprocess.run(command, env=environment, cwd=here, capture_output=True, text=True, timeout=240)

    return call


@pytest.fixture(scope="module")
def finished(ctrbench, toybox, broken):
    """A run with every sound and every misbehaving plug-in."""
    options = ["--repeats", "1", "--store", "all.db", "--workers", "2", "--timeout", str(TIMEOUT), "-d", SMALL]
    options += [part for name in GENERATORS for part in ("-g", name)]
    options += [part for name in MODELS for part in ("-m", name)]
    options += ["-s", "original", "-s", "S5", "-k", "all"]
    return ctrbench("run", *options, path=(toybox, broken))


@pytest.fixture(scope="module")
def boards(ctrbench, finished, toybox, broken):
    shown = ctrbench("leaderboard", "--store", "all.db", "--format", "json", path=(toybox, broken))
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def scenarios(boards) -> dict:
    """The scenario table of the only data set, before that of the scenarios' means."""
    return next(board for board in boards["boards"] if board["view"] == "scenarios")


def test_the_toybox_is_what_an_author_would_publish():
    project = tomllib.loads((THIRD_PARTY / "toybox" / "pyproject.toml").read_text())
    assert set(project["project"]["entry-points"]["ctrbench"]) == set(TOYS)
    for toy in TOYS:
        source = (THIRD_PARTY / "toybox" / "ctrbench_toybox" / f"{toy}.py").read_text()
        assert len(source.splitlines()) <= 70, f"{toy} is more than a page"


def test_toys_stand_in_the_list_beside_the_built_in_plug_ins(ctrbench, toybox):
    listed = ctrbench("list", path=(toybox,))
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[1]: line for line in listed.stdout.splitlines() if len(line.split()) > 2}
    for toy in TOYS:
        assert "ctrbench-toybox 1.2.3" in rows[toy]
    assert "ctrbench-toybox" not in rows["smoten"]
    assert "broken" not in listed.stdout


def test_plugins_names_the_toybox(ctrbench, toybox):
    shown = ctrbench("plugins", path=(toybox,))
    assert shown.returncode == 0, shown.stderr
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("ctrbench-toybox 1.2.3")]
    assert all(toy in line for toy in TOYS)


@pytest.mark.parametrize("toy", TOYS)
def test_every_toy_conforms(ctrbench, toybox, toy):
    checked = ctrbench("check", toy, path=(toybox,))
    assert checked.returncode == 0, checked.stdout
    assert "ctrbench-toybox 1.2.3" in checked.stdout
    assert "failed" not in checked.stdout


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("fit_raises", "ArithmeticError: the toy is broken"),
        ("wrong_schema", "another schema than"),
        ("nan_predictions", "not finite"),
        ("fit_exits", "SystemExit: 0"),
    ],
)
def test_check_finds_what_is_wrong_with_a_broken_plug_in(ctrbench, broken, name, complaint):
    checked = ctrbench("check", name, path=(broken,))
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert complaint in checked.stdout


def test_a_plug_in_that_cannot_be_used_is_listed_with_its_distribution(ctrbench, toybox, broken):
    shown = ctrbench("plugins", path=(toybox, broken))
    assert shown.returncode == 1
    lines = [line for line in shown.stdout.splitlines() if line.startswith("broken:")]
    assert len(lines) == len(UNUSABLE)
    for name, complaint in UNUSABLE.items():
        (line,) = [line for line in lines if f"ctrbench-broken-{name}:" in line]
        assert complaint in line
    assert "ctrbench-toybox 1.2.3" in shown.stdout


def test_plugins_shows_tracebacks_when_asked(ctrbench, broken):
    shown = ctrbench("plugins", "--traceback", path=(broken,))
    assert "Traceback (most recent call last)" in shown.stdout
    assert "import a_library_that_nobody_has" in shown.stdout


def test_a_built_in_keeps_its_name_and_rivals_get_none(ctrbench, broken):
    listed = ctrbench("list", path=(broken,)).stdout
    rows = [line.split() for line in listed.splitlines() if len(line.split()) > 2]
    (kept,) = [row for row in rows if row[1] == "random_oversampling"]
    assert kept[-2] == "ctrbench"
    assert not [row for row in rows if row[1] == "rival"]


def test_naming_a_broken_plug_in_is_one_line_that_says_why(ctrbench, broken):
    asked = ctrbench("run", "-g", "none", "-m", "rival", "--store", "none.db", path=(broken,))
    assert asked.returncode == 2
    assert "rival" in asked.stderr
    assert "broken" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_run_of_toys_alone_succeeds(ctrbench, toybox):
    done = ctrbench(
        *(
            "run",
            "--repeats",
            "1",
            "--store",
            "toys.db",
            "-d",
            "toy_log",
            "-g",
            "toy_swap[share=0.5]",
            "-m",
            "toy_rates",
        ),
        *("-s", "original", "-s", "S1", "-s", "S5", "-k", "toy_brier", "-k", "identical"),
        path=(toybox,),
    )
    assert done.returncode == 0, done.stderr
    assert "toy_swap[share=0.5]" in done.stdout
    assert "toy_brier" in done.stdout + ctrbench("leaderboard", "--store", "toys.db", path=(toybox,)).stdout
    shown = ctrbench("leaderboard", "--store", "toys.db", "--view", "scenarios", path=(toybox,))
    assert "toy_rates" in shown.stdout


def test_a_store_shows_its_leaderboard_after_the_toys_are_gone(ctrbench, finished):
    shown = ctrbench("leaderboard", "--store", "all.db")
    assert shown.returncode == 0, shown.stderr
    assert "toy_swap" in shown.stdout


def test_a_run_with_failures_ends_with_status_1(finished):
    print(finished.stdout, finished.stderr)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stdout


@pytest.mark.parametrize("name", MISBEHAVING)
def test_a_misbehaving_plug_in_is_one_footnoted_failure_that_names_its_distribution(finished, boards, name):
    status, reason = MISBEHAVING[name]
    who = f"{name} (ctrbench-broken-{name.replace('_', '-')} 0.1)"
    assert [line for line in finished.stderr.splitlines() if line.startswith(f"failed: {who}: {status}")]
    (note,) = [note for note in scenarios(boards)["notes"] if who in note]
    assert status in note
    assert reason in note


def test_everything_else_runs_beside_the_broken_plug_ins(boards):
    done = {(r["generator"], r["scenario"], r["model"]) for r in scenarios(boards)["records"] if r["value"]}
    cells = [("random_oversampling", "S5"), ("toy_swap", "S5"), ("", "original")]
    assert done == {(*cell, model) for cell in cells for model in ("item_rate", "toy_rates")}


def test_a_failure_is_never_a_number(boards):
    for record in scenarios(boards)["records"]:
        if {record["generator"], record["model"]} & set(MISBEHAVING):
            assert record["value"] is None
            assert record["status"] in ("failed", "timed out")


def test_the_run_says_which_plug_ins_were_left_out_as_broken(boards):
    said = [line for line in boards["remarks"] if line.startswith("broken plug-in:")]
    assert len(said) == len(UNUSABLE)
    for name in UNUSABLE:
        assert any(f"ctrbench-broken-{name}:" in line for line in said)
