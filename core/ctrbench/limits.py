"""What one task may use: seconds as a whole and in each stage, bytes of memory.

In: what a command line or a suite says. Out: `Limits`; UserError for what is no limit.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctrbench.arguments import shown
from ctrbench.errors import UserError
from ctrbench.results import Stage
from ctrbench.text import did_you_mean

STAGES = tuple(stage for stage in Stage if stage not in (Stage.PLAN, Stage.HAND_OVER))
"""The stages that a worker enters, and that can be limited."""

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True)
class Limits:
    """The most that a task may use; None, and a stage that is not named, have no limit."""

    seconds: float | None = None
    stages: Mapping[Stage, float] = field(default_factory=dict, hash=False)  # seconds
    memory: int | None = None  # bytes that a worker and all it started have for themselves

    def over(self, others: Limits) -> Limits:
        """These, and the others where these say nothing."""
        return Limits(self.seconds or others.seconds, {**others.stages, **self.stages}, self.memory or others.memory)


NO_LIMITS = Limits()


def parse_timeouts(texts: Iterable[str]) -> Limits:
    """The limits that the words of a command line are: "600" for a task, "fit=60" for a stage."""
    whole, stages = None, {}
    for text in texts:
        stage, equals, number = text.rpartition("=")
        try:
            seconds = float(number)
        except ValueError:
            raise UserError(f"--timeout {text}: give seconds, as in 600, or a stage's, as in fit=600") from None
        if equals:
            stages[_stage(stage, f"--timeout {text}")] = _seconds(seconds, f"--timeout {text}")
        else:
            whole = _seconds(seconds, f"--timeout {text}")
    return Limits(whole, stages)


def limits_of(timeout: Any, memory: Any, source: str) -> Limits:
    """The limits that a suite states: `timeout = 600` or `timeout = {task = 600, fit = 60}`, `memory = "8GB"`."""
    numbers = timeout if isinstance(timeout, dict) else {} if timeout is None else {"task": timeout}
    for name, number in numbers.items():
        if not isinstance(name, str):
            raise UserError(f"{source}: timeout has {name!r} where the name of a stage belongs, as in fit: 600")
        if isinstance(number, bool) or not isinstance(number, int | float):
            where = "timeout" if name == "task" else f"timeout.{name}"
            raise UserError(f"{source}: {where}={number!r} must be seconds, or seconds by stage, as in fit: 600")
    whole, stages = None, {}
    for name, number in numbers.items():
        if name == "task":
            whole = _seconds(number, f"{source}: timeout={shown(number)}")
        else:
            where = f"{source}: timeout.{name}={shown(number)}"
            stages[_stage(name, where)] = _seconds(number, where)
    if memory is not None and not isinstance(memory, str):
        raise UserError(f'{source}: memory={shown(memory)} must be a text with a unit, as in "8GB"')
    return Limits(whole, stages, None if memory is None else parse_memory(memory, f"{source}: memory={memory}"))


def parse_memory(text: str, source: str) -> int:
    """Bytes, from a text such as "8GB" or "500 MiB"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B)", text.strip(), re.IGNORECASE)
    size = float(found[1]) * _UNITS[found[2].upper()] if found else 0
    if not 1 <= size < math.inf:
        raise UserError(f"{source}: give a size above 0 with its unit, as in 500MB, 8GB or 8GiB")
    return int(size)


def _stage(name: str, source: str) -> Stage:
    if name not in STAGES:
        raise UserError(f"{source}: no stage {name!r}; {did_you_mean(name, map(str, STAGES), 'there are')}")
    return Stage(name)


def _seconds(seconds: float, source: str) -> float:
    if not 0 < seconds <= sys.float_info.max:  # whole numbers may be larger than any float
        raise UserError(f"{source}: must be above 0 seconds, and finite")
    return float(seconds)
