"""The checks in a process of their own, so that a plug-in that hangs or dies fails a check and stops nothing else.

In: registered plug-ins, one after the other. Out: the results of their checks, as far as they came.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Self

from ctrbench import _state
from ctrbench.conformance import CheckResult, check_plugin
from ctrbench.conformance._recorder import Recorder
from ctrbench.executors._processes import Child, Guard
from ctrbench.executors._worker import settle_in
from ctrbench.text import how_it_ended, one_line

if TYPE_CHECKING:
    from ctrbench.registry import Registered

_LOST = "; the checks after it were not done"


class Checker:
    """A process that does checks, each within a time limit in seconds; another one after it had to be killed."""

    def __init__(self, timeout: float) -> None:
        self._timeout = min(timeout, 1e6)  # what the system can wait
        self._guard = Guard()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._guard.close()

    def check(self, registered: Registered) -> list[CheckResult]:
        """Put a plug-in through all checks that fit its kind."""
        results: list[CheckResult] = []
        current = "another process can make it"
        if self._child and not self._child.alive:
            self._stop()
        child = self._child = self._child or Child(self._guard, _serve, os.getpid())
        try:
            child.line.send(registered)
            while child.line.poll(self._timeout):
                match child.line.recv():
                    case ("begun", name):
                        current = name
                    case ("ended", result):
                        results.append(result)
                    case ("done", changed):
                        if changed:  # the next plug-in is not to answer for it
                            self._stop()
                            left = f"it leaves {', '.join(changed)} other than it was"
                            results.append(CheckResult("process left as it was", "failed", left))
                        return results
            complaint = f"took longer than {self._timeout:g} s and was stopped"
        except (EOFError, OSError):
            child.wait(5)
            complaint = ""
        except Exception as error:  # it cannot be told to another process
            return [CheckResult(current, "failed", one_line(error))]
        hung = complaint and child.alive
        how = how_it_ended(self._stop())
        return [*results, CheckResult(current, "failed", (complaint if hung else f"the process died ({how})") + _LOST)]

    def _stop(self) -> int | None:
        child, self._child = self._child, None
        return child.kill() if child else None


def _serve(line: Connection, driver: int) -> None:
    """Do checks until the line is closed; what plug-ins print goes to standard error."""
    settle_in(driver)
    os.dup2(2, 1)
    process = os.getpid()

    def tell(*words: object) -> None:
        if os.getpid() != process:  # a copy that a plug-in has forked
            os._exit(0)
        line.send(words)

    with suppress(EOFError):
        while True:
            registered = line.recv()
            for module in getattr(registered.thing, "imports", ()):
                with suppress(Exception):  # that it is there is a check of its own
                    importlib.import_module(module)
            watch = _state.Watch()  # now: what libraries change as they are loaded is not the plug-in's doing
            check_plugin(registered, Recorder(tell=tell, alone=True))
            tell("done", watch.changes())
