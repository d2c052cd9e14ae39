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
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from os import _exit  # whatever somebody puts in its place
from typing import NoReturn, TypeVar

from ctrbench import _guard, _state
from ctrbench.errors import UserError
from ctrbench.resources import interrupts_held
from ctrbench.text import how_it_ended, is_a, message, one_line, trace

T = TypeVar("T")

PATIENCE = "CTRBENCH_PLUGIN_SECONDS"
"""The environment variable that says how long a question to somebody else's code may take."""

_PATIENCE = 60.0
_PARTING, _STUBBORN = 1.0, 40.0  # seconds that a keeper has to end after its copy, and after it was told to


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
        return partial(NoAnswer, raised=self._raised), self.args

    @classmethod
    def of(cls, error: BaseException) -> NoAnswer:
        """The exception that is being handled."""
        if type(error) is cls:
            return error
        mistake = (message(error) or None) if is_a(error, UserError) else None  # silent ones tell no user anything
        return cls(one_line(error), trace(error), mistake)


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
    """Between this process and its copy stands a keeper, which ends whatever the copy has started."""
    ours, theirs = Pipe(duplex=False)
    _state.flush()  # or the copy might write it too
    driver = os.getpid()
    with interrupts_held():
        keeper = os.fork()
        if not keeper:
            _keep(question, ours, theirs, driver)
    try:
        theirs.close()
        return _heard(ours, keeper, seconds)
    finally:
        ours.close()
        _end(keeper)


def _keep(question: Callable[[], object], ours: Connection, theirs: Connection, driver: int) -> NoReturn:
    """Be the keeper: the leader of a group, which ends as its copy does."""
    try:
        os.setsid()  # without the terminal
        faulthandler.disable()  # how it ends is told in a line
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_guard.PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # else the copy could end before it is waited for
        keeper, copy = os.getpid(), os.fork()
        if not copy:
            _answer(question, theirs, keeper)
        for line in (ours, theirs):
            line.close()
        _guard.keep(driver, copy)
    finally:
        _exit(1)


def _answer(question: Callable[[], object], line: Connection, keeper: int) -> NoReturn:
    """Be the copy: a process that reads nothing, prints nowhere, and ends with its keeper."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        ctypes.CDLL(None).prctl(_guard.PR_SET_PDEATHSIG, signal.SIGKILL)
        ctypes.CDLL(None).prctl(_guard.PR_SET_CHILD_SUBREAPER, 1)
        if os.getppid() != keeper:
            _exit(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in range(3):
            os.dup2(nothing, file)
        try:
            line.send(question())
        except BaseException as error:
            line.send(NoAnswer.of(error))
    finally:
        _exit(0)


def _heard(line: Connection, keeper: int, seconds: float) -> T | NoAnswer:
    late = threading.Event()

    def stop() -> None:
        late.set()
        os.kill(keeper, signal.SIGTERM)

    clock = threading.Timer(min(seconds, threading.TIMEOUT_MAX), stop)
    clock.daemon = True
    clock.start()
    try:
        told: T | NoAnswer = line.recv()
        return told
    except (EOFError, OSError):
        clock.cancel()
        ended = how_it_ended(_end(keeper))
        if late.is_set():
            return NoAnswer(f"took longer than {seconds:g} s and was stopped ({PATIENCE} gives it more)", raised=False)
        return NoAnswer(f"ended the process ({ended})", raised=False)
    except Exception as error:  # it cannot be told to another process
        return NoAnswer.of(error)
    finally:
        clock.cancel()
        clock.join()


def _end(keeper: int) -> int | None:
    """Have a copy ended, with all that it started; its exit status, unless it was asked for before."""
    with suppress(ChildProcessError, ProcessLookupError):
        for number, seconds in ((None, _PARTING), (signal.SIGTERM, _STUBBORN), (signal.SIGKILL, math.inf)):
            give_up, said = time.monotonic() + seconds, number is None
            while time.monotonic() < give_up:
                if os.waitid(os.P_PID, keeper, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
                if number and not said:  # the keeper's number is nobody else's as long as nobody has waited for it
                    (os.killpg if number is signal.SIGKILL else os.kill)(keeper, number)
                    said = True
                time.sleep(0.001)
    return None
