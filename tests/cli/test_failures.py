"""A failure is found again: by `ctrbench failures` with file and line, by `run --debug` in a debugger."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import install
from ctrbench.cli import main
from ctrbench.text import where

SOURCE = '''
"""A generator that fails in a function of its own."""

import time
from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Generator, hookimpl


@dataclass(frozen=True)
class Clumsy(Generator):
    """Falls over."""

    name: ClassVar[str] = "clumsy"
    stop: bool = False
    seconds: float = 0.0

    def fit(self, train, *, seed, context):
        print("looking at", len(train), "rows")
        if self.stop:
            breakpoint()
        time.sleep(self.seconds)
        return stumble(train)


def stumble(train):
    step = 7
    raise LookupError("over a stone")


@hookimpl
def register_generators(register):
    register(Clumsy)
'''
LINE = SOURCE.splitlines().index('    raise LookupError("over a stone")') + 1
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "clumsy"
version = "0.1"
[project.entry-points.ctrbench]
clumsy = "clumsy"
[tool.hatch.build.targets.wheel]
only-include = ["clumsy.py"]
"""
RUN = (
    *("run", "-d", "simulated[train_rows=1000, valid_rows=500, test_rows=500]", "-m", "item_rate", "-k", "auc"),
    *("-s", "S1", "-s", "S5", "--repeats", "1"),
)


@pytest.fixture(scope="module")
def clumsy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution installed in it."""
    folder = tmp_path_factory.mktemp("clumsy")
    (folder / "clumsy.py").write_text(SOURCE)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    install(folder / "site", folder)
    return folder / "site"


@pytest.fixture(autouse=True)
def _with_it(clumsy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(clumsy))
    monkeypatch.syspath_prepend(clumsy)


def ctrbench(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_failures_tell_reason_file_line_and_what_they_cost(clumsy: Path) -> None:
    ran = ctrbench(*RUN, "-g", "clumsy", "--executor", "inline")
    assert ran.exit_code == 1, ran.output
    place = f"{clumsy / 'clumsy.py'}:{LINE}"
    assert place in ran.stderr, "the line of a failed cell has it too"
    shown = ctrbench("failures")
    assert shown.exit_code == 1
    first, second = shown.stdout.splitlines()
    assert first == f"clumsy (clumsy 0.1): failed in fit: LookupError: over a stone ({place}) (2 cells)"
    assert second == (
        "    simulated / clumsy / S1 / item_rate / repeat 1; simulated / clumsy / S5 / item_rate / repeat 1"
    )
    assert "Traceback" not in shown.stdout
    assert "    return stumble(train)" in ctrbench("failures", "--traceback").stdout


def test_what_left_no_traceback_is_not_said_to_have_one() -> None:
    limited = ("--workers", "1", "--timeout", "fit=1")
    ran = ctrbench(*RUN, "-g", "clumsy[seconds=100]", *limited)
    assert ran.exit_code == 1, ran.output
    assert "`ctrbench failures` shows what they cost; `--retry-failed` tries them again\n" in ran.stderr
    assert "--traceback" not in ran.stderr
    both = ctrbench(*RUN, "-g", "clumsy[seconds=100]", "-g", "clumsy", *limited)
    assert "`ctrbench failures --traceback` shows where; `--retry-failed` tries them again, `--debug`" in both.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_failure_that_cannot_be_written_is_a_failure_all_the_same() -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "ctrbench", *RUN, "-g", "clumsy", "--executor", "inline"]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=full, text=True)
    assert done.returncode == 1
    assert "scores are missing" in done.stdout


def test_a_run_without_failures_says_so() -> None:
    assert ctrbench(*RUN, "-g", "random_oversampling", "--executor", "inline").exit_code == 0
    shown = ctrbench("failures")
    assert shown.exit_code == 0
    assert re.fullmatch(r"nothing failed in run \S+\n", shown.stdout)


def test_debug_shows_output_and_traceback_and_tries_a_failure_again() -> None:
    for _ in range(2):  # the stored failure does not keep the second from being looked at
        ran = ctrbench(*RUN, "-g", "clumsy", "--debug")
        assert ran.exit_code == 1, ran.output
        assert "looking at 1000 rows" in ran.stdout
        assert 'raise LookupError("over a stone")' in ran.stderr


@pytest.mark.parametrize("more", [("--timeout", "5"), ("--memory", "8GB"), ("--workers", "2"), ("--executor", "ray")])
def test_debug_refuses_what_it_cannot_keep(more: tuple[str, ...]) -> None:
    refused = ctrbench(*RUN, "--debug", *more)
    assert refused.exit_code == 2
    assert "--debug: works in this process" in refused.stderr


def on_a_terminal(commands: list[str], *words: str) -> str:
    """What a terminal shows of a run in which somebody types commands at the debugger's prompt."""
    terminal, inside = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-m", "ctrbench", *words]
    run = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environment, start_new_session=True)
    os.close(inside)
    said, waiting, end = "", list(commands), time.monotonic() + 120
    while time.monotonic() < end:
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the terminal is closed: it has ended
            break
        if said.rstrip().endswith("(Pdb)") and waiting:
            os.write(terminal, f"{waiting.pop(0)}\n".encode())
    os.close(terminal)
    assert run.wait(timeout=60) is not None
    return f"{said}\nexit status {run.returncode}"


def test_a_failure_on_a_terminal_opens_the_debugger_where_it_was_raised() -> None:
    said = on_a_terminal(["p step * 6", "q"], *RUN, "-g", "clumsy", "--debug")
    assert "-> raise LookupError" in said
    assert "42" in said
    assert said.endswith("exit status 130"), "quitting the debugger ends the run"


def test_a_breakpoint_of_a_plug_in_stops_there_and_the_run_goes_on() -> None:
    said = on_a_terminal(["p len(train) + 1", "c", "c"], *RUN, "-g", "clumsy[stop=true]", "--debug")
    assert "1001" in said
    assert "failed in fit: LookupError: over a stone" in said
    assert said.endswith("exit status 1")


def test_where_names_the_last_line_that_is_the_authors_own() -> None:
    trace = """
        Traceback (most recent call last):
          File "/x/core/ctrbench/perform.py", line 7, in _do
          File "/home/me/my_package/gan.py", line 12, in fit
          File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode
        ValueError: no
    """
    assert where(textwrap.dedent(trace)) == " (/home/me/my_package/gan.py:12)"
    assert where("") == ""
