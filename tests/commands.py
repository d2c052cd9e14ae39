"""The command line as tests call it, and small runs that are soon done."""

from __future__ import annotations

import re
import sys

from click.testing import CliRunner, Result
from ctrbench.cli import main

SMALL = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"
FAST = [
    "run", "--repeats", "1", "-d", SMALL, "-g", "random_oversampling", "-m", "item_rate", "-m", "pair_memory",
    "-s", "S1", "-s", "S5", "-k", "auc", "-k", "logloss", "-k", "identical",
]  # fmt: skip
CTRBENCH = [sys.executable, "-m", "ctrbench"]


def ctrbench(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def tables(output: str) -> str:
    """What must be equal bit for bit: all but names of runs, times and memory, and the widths that follow from them."""
    told = re.sub(r"(?ms)^generator +verdict.*?\n\n", _without_seconds, output)
    told = " ".join(told.split("simulated: time and memory")[0].split())
    told = re.sub(r"costs \S+ \w+, a training on original \S+ \w+\.", "costs", told)
    return re.sub(r"run \d{8}-\d{6}-\w+", "run", told)


def _without_seconds(board: re.Match[str]) -> str:
    """A verdict's board of generators without its last column, the seconds of a pool."""
    lines = board[0].splitlines()
    seconds = lines[1].rindex(" ")  # the rule under the head has a dash for each letter of a column
    return "\n".join(line[:seconds] for line in lines)


def refused(result: Result, said: str, status: int = 2, *, lines: int = 4) -> None:
    """It is answered in one line; what a run that has begun said before stands above it."""
    assert result.exit_code == status, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) <= lines
