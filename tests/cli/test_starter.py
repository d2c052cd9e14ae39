"""What `ctrbench new` writes is a package that works: installed, checked, tested by its own tests, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import install
from ctrbench.cli import main
from ctrbench.starter import KINDS, Starter

NAMES: dict[str, str] = {kind: f"my_{kind.replace('-', '_')}" for kind in KINDS}
SMALL = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"
RUN = {  # what stands beside the plug-in of each kind in a small run
    "generator": ["-d", SMALL, "-g", "my_generator", "-m", "item_rate", "-k", "auc"],
    "model": ["-d", SMALL, "-g", "none", "-m", "my_model", "-k", "auc"],
    "metric": ["-d", SMALL, "-g", "none", "-m", "item_rate", "-k", "my_metric"],
    "synthetic-metric": [
        *("-d", SMALL, "-g", "random_oversampling", "-m", "item_rate", "-s", "S5"),
        *("-k", "auc", "-k", "my_synthetic_metric"),
    ],
    "dataset": ["-d", "my_dataset", "-g", "none", "-m", "item_rate", "-k", "auc"],
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of each kind, all installed into its `site`."""
    folder = tmp_path_factory.mktemp("packages")
    for kind, name in NAMES.items():
        written = CliRunner().invoke(main, ["new", kind, name, "--in", str(folder)])
        assert written.exit_code == 0, written.output
    install(folder / "site", *sorted(folder.iterdir()))
    return folder


@pytest.fixture
def call(packages: Path, tmp_path: Path):
    """Calls a module of Python in a process that sees the packages."""

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(packages / "site"), "COLUMNS": "200"}
        environment.pop("CTRBENCH_STORE", None)
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=280)

    return call


@pytest.mark.slow
def test_all_keep_their_contract(call) -> None:
    checked = call("ctrbench", "check", *NAMES.values())
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count(" 0.1.0)") == len(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_can_be_run(kind: str, call) -> None:
    done = call("ctrbench", "run", *RUN[kind], "--repeats", "1", "--executor", "inline", "--store", f"{kind}.db")
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    shown = call("ctrbench", "leaderboard", "--view", "all", "--store", f"{kind}.db")
    assert NAMES[kind] in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_their_own_tests_pass(kind: str, call, packages: Path) -> None:
    tests = packages / Starter(kind, NAMES[kind]).distribution / "tests"
    done = call("pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[23] passed", done.stdout, re.MULTILINE)


def test_one_is_found_and_has_parameters_and_help(call) -> None:
    shown = call("ctrbench", "show", "my_generator")
    assert shown.returncode == 0, shown.stderr
    assert "generator my_generator (ctrbench-my-generator 0.1.0)" in shown.stdout
    assert "share of values drawn without regard to the label" in shown.stdout


def test_installing_one_for_editing_takes_nothing_but_hatchling(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hatchling.build import build_editable

    project = packages / Starter("model", NAMES["model"]).distribution
    monkeypatch.chdir(project)
    monkeypatch.setitem(sys.modules, "editables", None)  # which hatchling takes otherwise, and few have installed
    with zipfile.ZipFile(tmp_path / build_editable(str(tmp_path))) as wheel:
        [path] = [name for name in wheel.namelist() if name.endswith(".pth")]
        assert wheel.read(path).decode() == str(project)


def test_what_is_written_is_in_our_own_style(packages: Path) -> None:
    written = [str(packages / Starter(kind, name).distribution) for kind, name in NAMES.items()]
    settings = ["--isolated", "--line-length=120", "--select=E,F,W,I,B,UP"]
    for command in (["check", *settings], ["format", "--isolated", "--line-length=120", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *written], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["generator", "MyGan"],
            "must be lower-case letters, digits and _, beginning with a letter and not ending with _, as in my_gan",
        ),
        (["generator", "my-gan"], "as in my_gan"),
        (["model", "class"], "'class' is a word of Python"),
        (["model", "true"], "'true' is a word of Python"),
        (["generator", "all"], "'all' stands for every plug-in"),
        (["generator", "none"], "'none' stands for no plug-in"),
        (["generator", "gan_"], "not ending with _, as in gan"),
        (
            ["metric", "score"],
            "'score' makes a class Score, as one is called that the package imports or Python has; choose another",
        ),
        (["generator", "class_var"], "makes a class ClassVar"),
        (["dataset", "value_error"], "makes a class ValueError"),
        (["model", "dnn"], "the name 'dnn' is taken by an installed plug-in"),
        (["metric", "metrics"], "makes a package ctrbench_metrics, and one of that name is installed; choose another"),
        (["modell", "mine"], "modell"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, ["new", *words])
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ctrbench-mine").mkdir()
    refused = CliRunner().invoke(main, ["new", "model", "mine"])
    assert refused.exit_code == 2
    said = "ctrbench-mine: exists already; choose another name, or another folder by --in, or remove it"
    assert said in refused.stderr
    assert not list((tmp_path / "ctrbench-mine").iterdir())
