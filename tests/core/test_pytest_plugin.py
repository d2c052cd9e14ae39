"""The fixtures for authors of plug-ins: in pytest runs of their own, and in this one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import THIRD_PARTY, install
from ctrbench.errors import UserError
from ctrbench.pytest_plugin import Check, Run
from places import ROOT

SMALL = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"


def pytest_run(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Pytest as a third party starts it."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_the_tests_that_the_toybox_brings_pass(toybox: Path, tmp_path: Path) -> None:
    tests = THIRD_PARTY / "toybox" / "tests" / "test_toybox.py"
    (tmp_path / tests.name).write_text(tests.read_text())
    done = pytest_run(tmp_path, path=toybox)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_a_broken_plug_in_fails_its_author_s_test_with_what_is_wrong(tmp_path: Path) -> None:
    project = tmp_path / "broken"
    project.mkdir()
    (project / "nan.py").write_text((THIRD_PARTY / "broken" / "nan_predictions.py").read_text())
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n[project]\nname = "nan"\n'
        'version = "0.1"\n[project.entry-points.ctrbench]\nnan = "nan"\n'
        '[tool.hatch.build.targets.wheel]\nonly-include = ["nan.py"]\n'
    )
    install(tmp_path / "site", project)
    (tmp_path / "test_nan.py").write_text(
        "def test_it(ctrbench_check):\n    ctrbench_check('nan_predictions')\n"
        "def test_name(ctrbench_check):\n    ctrbench_check('nan_prediction')\n"
    )
    done = pytest_run(tmp_path, path=tmp_path / "site")
    assert done.returncode == 1
    assert "model nan_predictions (nan 0.1) breaks its contract:" in done.stdout
    assert "not finite" in done.stdout
    assert "no plug-in 'nan_prediction'; did you mean 'nan_predictions'?" in done.stdout


def test_a_run_has_results_boards_and_failures(ctrbench_run: Run) -> None:
    selection = {"datasets": [SMALL], "generators": ["independent"], "models": ["item_rate"], "scenarios": ["S5"]}
    done = ctrbench_run(**selection, metrics=["auc", "identical"], repeats=2, seed=7)  # type: ignore[arg-type]
    assert not done.failures
    assert done.stored.info.seed == 7
    assert [(cell.scenario, cell.repeat) for cell in done.stored.cells] == [
        ("original", 0), ("S5", 0), ("original", 1), ("S5", 1)
    ]  # fmt: skip
    records = json.loads(done.leaderboards(style="json"))["boards"]
    assert {board["view"] for board in records} >= {"scenarios", "privacy", "cost"}
    assert list(done.frame("cells")["auc"]) == [cell.scores["auc"].value for cell in done.stored.cells]
    one = ctrbench_run(datasets=SMALL, generators="none", models="item_rate", metrics="auc")
    assert not one.stored.pools
    assert {cell.model for cell in one.stored.cells} == {"item_rate"}


def test_mistakes_are_the_harness_s_own_lines(ctrbench_run: Run, ctrbench_check: Check) -> None:
    with pytest.raises(UserError, match="no model 'item_rat'; did you mean 'item_rate'"):
        ctrbench_run(models=["item_rat"])
    with pytest.raises(UserError, match="run: repeats=0 must lie between"):
        ctrbench_run(repeats=0)
    for wrong in ({"repeats": 1.5}, {"seed": "x"}, {"repeats": True}):
        with pytest.raises(UserError, match=r"run: \w+=\S+ must be a whole number"):
            ctrbench_run(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="generators: 3 is neither a name nor a plug-in"):
        ctrbench_run(generators=[3])  # type: ignore[list-item]
    with pytest.raises(UserError, match="executor 'inlin': did you mean 'inline'"):
        ctrbench_run(executor="inlin")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="ctrbench_check: no plug-in 'smotten'"):
        ctrbench_check("smotten")


def test_the_plug_in_loads_nothing_heavy_and_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "HEAVY = {'torch', 'pandas', 'sklearn', 'sdv', 'sqlalchemy', 'pydantic', 'pyarrow', 'scipy', 'fuxictr'}\n"
        "def test_light():\n"
        "    assert 'ctrbench.pytest_plugin' in sys.modules\n"
        "    assert not HEAVY & set(sys.modules)\n"
    )
    assert pytest_run(tmp_path).returncode == 0
    without = pytest_run(tmp_path, "-p", "no:ctrbench")
    assert without.returncode == 1
    assert "'ctrbench.pytest_plugin' in sys.modules" in without.stdout


@pytest.mark.slow
def test_the_tests_that_the_page_about_ci_shows_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    [source] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert "my_generator" in source
    assert "my_model" in source
    (tmp_path / "test_page.py").write_text(
        source.replace("my_generator", "independent").replace("my_model", "item_rate")
    )
    done = pytest_run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
