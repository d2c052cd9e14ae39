"""README does what it says: its commands are understood, and do it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from ctrbench.cli import main
from places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("ctrbench ")]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", [line for line in COMMANDS if "my_gan" not in line and "log." not in line])
def test_every_command_of_the_readme_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    if words[0] == "run" and "--dry-run" not in words:
        words.append("--dry-run")
    result = CliRunner().invoke(main, words)
    if words[0] in ("leaderboard", "report", "failures"):
        assert "there is no store yet" in result.stderr
    else:
        assert result.exit_code == 0, result.output


def test_what_the_readme_does_with_a_log_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"u{i % 37},a{i % 11},{int(i % 11 < 3 or i % 37 == 5)}\n" for i in range(3000))
    (tmp_path / "log.csv").write_text(f"user,ad,click\n{rows}")
    tried, planned = [shlex.split(line)[1:] for line in COMMANDS if "log." in line]
    written = CliRunner().invoke(main, tried)
    assert written.exit_code == 0, written.output
    assert CliRunner().invoke(main, [*planned, "--dry-run"]).exit_code == 0


def test_what_the_readme_makes_for_an_author_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line)[1:] for line in COMMANDS if "my_gan" in line]
    assert [words[0] for words in lines] == ["new", "check", "run"]
    assert CliRunner().invoke(main, lines[0]).exit_code == 0
    assert (tmp_path / "ctrbench-my-gan" / "pyproject.toml").exists()  # which the next line installs


def test_each_of_three_readers_has_ten_lines_or_so() -> None:
    parts = dict(re.findall(r"^## (You .*?)\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL))
    assert len(parts) == 3
    for text in parts.values():
        assert 8 <= len([line for line in text.splitlines() if line.strip()]) <= 22


def test_both_first_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert BLOCKS[0].split() == ["make", "run", "make", "test"]
    assert "\nrun: " in makefile
    assert "\ntest: " in makefile
