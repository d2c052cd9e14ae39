"""Shells complete commands, options and names of plug-ins: asked as bash, zsh and fish ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from ctrbench.cli import main

VARIABLE = "_CTRBENCH_COMPLETE"


def asked(shell: str, words: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is offered for the last word of a line, as the script of `shell` hands it on."""
    line = words.split(" ")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", line[-1] if shell == "fish" else str(len(line) - 1))
    complete = get_completion_class(shell)
    assert complete is not None
    return complete(main, {}, "ctrbench", VARIABLE).complete()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ctrbench lea", ["leaderboard"]),
        ("ctrbench run --model", ["--model", "--model-seeds"]),
        ("ctrbench run -g ct", ["ctgan"]),
        ("ctrbench run -g CT", ["ctgan"]),
        ("ctrbench run -m mask", ["masknet"]),
        ("ctrbench run -s S5", ["S5"]),
        ("ctrbench run -k pr_", ["pr_auc"]),
        ("ctrbench run -d simu", ["simulated"]),
        ("ctrbench run --executor in", ["inline"]),
        ("ctrbench run --suite pa", ["paper"]),
        ("ctrbench leaderboard --view priv", ["privacy"]),
        ("ctrbench show qui", ["quick"]),
        ("ctrbench check smoten smotenc gauss", ["gaussian_copula"]),
        ("ctrbench data describe frap", ["frappe"]),
    ],
)
def test_commands_options_and_plug_ins_are_completed(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asked("bash", line, monkeypatch)
    assert [each.partition(",")[2] for each in said.splitlines()] == offered


def test_zsh_and_fish_show_what_each_plug_in_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("zsh", "fish"):
        said = asked(shell, "ctrbench run -g smoten", monkeypatch)
        assert "smotenc" in said
        assert "(Chawla et al. 2002)" in said


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_one_that_the_shell_reads(shell: str, tmp_path: Path) -> None:
    environment = {**os.environ, VARIABLE: f"{shell}_source"}
    ctrbench = Path(sys.executable).with_name("ctrbench")
    script = subprocess.run([ctrbench], env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    assert VARIABLE in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its script is not read")
    (tmp_path / "script").write_text(script)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
