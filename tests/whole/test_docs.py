"""The Python of docs/python.md does what the page says, and the command line finds its work done."""

from __future__ import annotations

import re
from pathlib import Path

import ctrbench
import pytest
from click.testing import CliRunner
from ctrbench.cli import main
from places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctrbench.Results:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    [source] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(source, names)
    found = names["results"]
    assert isinstance(found, ctrbench.Results)
    return found


def test_the_page_runs_and_shows_the_table_of_scenarios(results: ctrbench.Results) -> None:
    assert results.sound
    table = results.frame("scenarios").set_index("scenario")
    assert list(table.index) == ["S1", "S3", "S5"]
    assert (table.repeats == 3).all()
    assert (table.low < table.delta).all()
    shown = results._repr_html_()
    assert f"{table.delta['S5']:.5f}" in shown
    assert "my log: " in shown
    assert "<td>S5</td>" in shown
    listed = CliRunner().invoke(main, ["leaderboard", "--view", "scenarios", "--format", "json"])
    assert listed.exit_code == 0
    assert f"{table.delta['S5']}" in listed.output


def test_the_page_names_the_columns_of_differences_and_of_metrics_of_pools(results: ctrbench.Results) -> None:
    for what in ("scenarios", "generators", "doses", "shares", "slices", "privacy"):
        columns = list(results.frame(what))
        numbers = columns[columns.index("delta" if "delta" in columns else "baseline") + ("delta" not in columns) :]
        assert all(f"`{name}`" in PAGE for name in numbers), what


def test_every_table_that_the_page_names_is_there(results: ctrbench.Results) -> None:
    named = re.findall(r'^\| (`"[^|]*`) \|', PAGE, re.MULTILINE)
    words = [word for cell in named for word in re.findall(r'"(\w+)"', cell)]
    assert len(words) == 7
    for word in words:
        assert len(results.frame(word)), word
