"""README does what it says: its commands are understood, its plug-in passes the conformance checks."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner
from ctrbench.cli import main
from ctrbench.conformance import check_plugin
from ctrbench.registry import load_registry
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("ctrbench ")]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    if words[0] == "run" and "--dry-run" not in words:
        words.append("--dry-run")
    result = CliRunner().invoke(main, words)
    if words[0] == "leaderboard":
        assert "there is no store yet" in result.stderr
    else:
        assert result.exit_code == 0, result.output


def test_the_plug_in_of_the_readme_passes_every_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    [source] = [block for block in blocks if "register_generators" in block]
    (tmp_path / "readme_jitter.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    sys.modules.pop("readme_jitter", None)
    registry = load_registry([EntryPoint("jitter", "readme_jitter", "ctrbench")])
    assert not registry.broken
    results = check_plugin(registry.get("generator", "jitter"))
    assert [f"{r.name}: {r.message}" for r in results if r.status == "failed"] == []


def test_both_first_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert BLOCKS[0].split() == ["make", "run", "make", "test"]
    assert "\nrun: " in makefile
    assert "\ntest: " in makefile
