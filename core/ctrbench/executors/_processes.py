"""Processes of ours that run other people's code: each with a line to it, none of which outlives us.

In: a function to call in a new process. Out: a `Child` to talk with, to measure and to kill, whatever it started.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from ctrbench import _guard, resources
from ctrbench.errors import UserError
from ctrbench.executors import environment
from ctrbench.resources import interrupts_held
from ctrbench.text import one_line

_STARTING = threading.Lock()
MORE = "allow more open files or processes (ulimit -n, ulimit -u)"
"""What helps where a process cannot be started."""

SAFE_PATH = ("PYTHONSAFEPATH", "ctrbench")
"""What keeps a new Python from importing what lies in the working directory; a worker takes it back at once."""


class Guard:
    """A process that kills our children, and all that they started, when we die; UserError where there can be none."""

    def __init__(self) -> None:
        try:
            _start_quiet_tracker()
            self._process = subprocess.Popen(
                [sys.executable, "-I", os.fspath(Path(_guard.__file__))], stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise UserError(f"no process can be started beside this one: {one_line(error)}; {MORE}") from None

    def tell(self, *words: object) -> None:
        """Write a note; it may be gone, or its input closed: the end is near then."""
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin:
                self._process.stdin.write(f"{' '.join(map(str, words))}\n".encode())
                self._process.stdin.flush()

    def close(self) -> None:
        """Let it go."""
        self.tell("end")
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()


class Child:
    """A process that does `target(line, *args)`, and whatever descends from it."""

    def __init__(self, guard: Guard, target: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._guard = guard
        self._mark = uuid.uuid4().hex
        self._seen: set[tuple[int, int]] = set()  # what it started, as far as we saw: number and start
        self.line, theirs = context.Pipe()
        # Not a daemon: a plug-in may use multiprocessing itself.
        self.process = context.Process(target=target, args=(theirs, *args), daemon=False)
        self._guard.tell("start", self._mark, 0)  # before there is anything that could be left over
        try:
            os.getcwd()
        except OSError:  # it was removed, and a new process would not start there
            os.chdir(os.sep)
        with _STARTING, environment(**_marks(self._mark)), _main_script_hidden(), interrupts_held():
            self.process.start()
        theirs.close()
        self._guard.tell("start", self._mark, self.number)

    @property
    def number(self) -> int:
        """Its process number, on Linux that of its keeper; its group has the same."""
        return self.process.pid or 0

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self.process.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for its end; `Process.join` would wait for ever for one that has closed what it was given."""
        give_up = time.monotonic() + seconds
        while self.alive and time.monotonic() < give_up:
            time.sleep(0.01)

    def look(self) -> None:
        """Remember what descends from it by now: once it is dead, nobody could tell."""
        self._seen = {(number, start) for number, start in self._seen if _guard.start_of(number) == start}
        for number in _below(self.number):
            process = (number, _guard.start_of(number))
            if process not in self._seen:
                self._seen.add(process)
                self._guard.tell("seen", self._mark, *process)

    def memory(self, enough: float) -> int:
        """Bytes that it and what was seen below it have for themselves; over `enough`, shared pages count once."""
        family = [self.number, *(number for number, _ in self._seen)]
        total = sum(map(resources.own_memory, family))
        return total if total <= enough or len(family) == 1 else sum(map(resources.proportional_memory, family))

    def kill(self) -> int | None:
        """Kill it and all it started; its exit status, which is that of its own death where it was dead already."""
        kill([self])
        return self.process.exitcode


def kill(children: Sequence[Child]) -> None:
    """Kill children and all they started."""
    for child in children:
        child.look()
    marks = {child._mark: child.number for child in children}
    _guard.kill(marks, [process for child in children for process in child._seen])
    for child in children:
        child.wait(10)
        child.line.close()
        child._guard.tell("gone", child._mark)


@contextlib.contextmanager
def _main_script_hidden() -> Iterator[None]:
    """A child that is started meanwhile does not import the main script, which may be anybody's and do anything."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


def _below(number: int) -> set[int]:
    if sys.platform == "linux":
        return _guard.below(number)
    with contextlib.suppress(psutil.Error):
        return {process.pid for process in psutil.Process(number).children(recursive=True)}
    return set()


def _marks(mark: str) -> dict[str, str]:
    """The environment of a child: its mark, behind those of the driver's own driver, and how its Python starts."""
    outer = os.environ.get(_guard.MARK)
    safe = {} if os.environ.get(SAFE_PATH[0]) else dict([SAFE_PATH])
    seed = os.environ.get("PYTHONHASHSEED", "0")  # else sets of texts had another order in each process
    return {_guard.MARK: f"{outer}/{mark}" if outer else mark, "PYTHONHASHSEED": seed, **safe}


def _start_quiet_tracker() -> None:
    """Start Python's tracker of semaphores so that it cleans up after killed workers without a warning."""
    quiet = {"PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker"}
    with environment(**quiet, **dict([SAFE_PATH])):
        multiprocessing.resource_tracker.ensure_running()
