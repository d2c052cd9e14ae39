"""Questions that the driver puts to plug-in code, which may do anything: an answer comes back, or why there is none.

In: a question, as a call. Out: its answer, or `NoAnswer`. Only Ctrl-C passes.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn, TypeVar

from ctrbench.errors import UserError
from ctrbench.resources import interrupts_held
from ctrbench.text import how_it_ended, message, one_line, trace

T = TypeVar("T")

PATIENCE = "CTRBENCH_PLUGIN_SECONDS"
"""The environment variable that says how long a question to somebody else's code may take."""

_PATIENCE = 60.0
_PARTING = 1.0  # seconds that a process has to end after it closed its line
_PR_SET_PDEATHSIG = 1


class NoAnswer(Exception):
    """Why a question has no answer: in one line, with a traceback, and the user's mistake where it was one."""

    def __init__(self, error: str, traceback: str = "", mistake: str | None = None, *, raised: bool = True) -> None:
        super().__init__(error, traceback, mistake)
        self.error = error
        self.traceback = traceback
        self.mistake = None if mistake is None else UserError(mistake)
        self.says = f"raised {error}" if raised else error  # as what a method did
        self._raised = raised

    def __reduce__(self) -> tuple[Callable[..., NoAnswer], tuple[object, ...]]:
        return _again, (*self.args, self._raised)

    @classmethod
    def of(cls, error: BaseException) -> NoAnswer:
        """The exception that is being handled."""
        if isinstance(error, NoAnswer):
            return error
        return cls(one_line(error), trace(), message(error) if isinstance(error, UserError) else None)


def ask(question: Callable[[], T], *, apart: bool = False, seconds: float | None = None) -> T | NoAnswer:
    """The answer of plug-in code, which may raise anything, and may even call sys.exit.

    `apart`, on Linux, is for code that is not ours: it is asked in a copy of this process, which it may end, or block
    for so many seconds (`patience()` where nobody says), without harm to this one. The question sees to it that the
    answer is plain: of Python's types, or of ours.
    """
    if apart and sys.platform == "linux":
        return _ask_copy(question, patience() if seconds is None else seconds)
    try:
        return question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return NoAnswer.of(error)


def patience() -> float:
    """Seconds that a question to somebody else's code may take; UserError where the variable holds no such number."""
    said = os.environ.get(PATIENCE, "")
    with suppress(ValueError):
        if 0 < (seconds := float(said or _PATIENCE)) <= 1e6:
            return seconds
    raise UserError(f"{PATIENCE}={said}: it must be a number of seconds above 0, and at most a million")


# A copy of this process


def _ask_copy(question: Callable[[], T], seconds: float) -> T | NoAnswer:
    ours, theirs = Pipe(duplex=False)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or replaced by something else
            stream.flush()  # or the copy might write it too
    driver = os.getpid()
    with interrupts_held():
        copy = os.fork()
        if not copy:
            _answer(question, theirs, driver)
    try:
        theirs.close()
        return _heard(ours, copy, seconds)
    finally:
        ours.close()
        _end(copy)


def _answer(question: Callable[[], object], line: Connection, driver: int) -> NoReturn:
    """Be the copy: a process that leads a group, reads nothing, prints to standard error, and ends with its driver."""
    try:
        os.setpgrp()
        faulthandler.disable()  # how it ends is told in a line
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != driver:
            os._exit(1)
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
        try:
            line.send(question())
        except BaseException as error:
            line.send(NoAnswer.of(error))
        with suppress(Exception):
            sys.stdout.flush()
    finally:
        os._exit(0)


def _heard(line: Connection, copy: int, seconds: float) -> T | NoAnswer:
    if not line.poll(None if math.isinf(seconds) else seconds):
        return NoAnswer(f"took longer than {seconds:g} s and was stopped ({PATIENCE} gives it more)", raised=False)
    try:
        told: T | NoAnswer = line.recv()
        return told
    except (EOFError, OSError):
        return NoAnswer(f"ended the process ({how_it_ended(_end(copy))})", raised=False)
    except Exception as error:  # it cannot be told to another process
        return NoAnswer.of(error)


def _end(copy: int) -> int | None:
    """Kill a copy and its group once it has had a moment to end; its exit status, unless it was asked for before."""
    give_up = time.monotonic() + _PARTING
    with suppress(ChildProcessError, ProcessLookupError):
        while os.waitid(os.P_PID, copy, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < give_up:
            time.sleep(0.001)
        os.killpg(copy, signal.SIGKILL)  # its number is nobody else's as long as nobody has waited for it
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    return None


def _again(error: str, traceback: str, mistake: str | None, raised: bool) -> NoAnswer:
    return NoAnswer(error, traceback, mistake, raised=raised)
