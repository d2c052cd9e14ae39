"""How checks are done and recorded.

In: a check as a function that returns or raises. Out: a list of results; beside them, what the plug-in's calls did to
the global random state and to the tables it was given.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from ctrbench.contract import ContractError, expect
from ctrbench.errors import Skip, UserError
from ctrbench.text import message, one_line, trace, where

if TYPE_CHECKING:
    from ctrbench.table import Table

T = TypeVar("T")
CheckStatus = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """How one check ended, and why where it did not pass."""

    name: str
    status: CheckStatus
    message: str = ""


@dataclass
class Recorder:
    """Results as they come, and what the plug-in touched that is not its own."""

    results: list[CheckResult] = field(default_factory=list)
    remark: str = ""  # tells the checks on one log from those on another
    about_behaviour: bool = False  # whether the checks are by now about what the plug-in does
    checked: bool = False  # whether any of those passed or failed
    alone: bool = False  # whether nobody but the plug-in interrupts this process
    tell: Callable[..., None] = lambda *words: None  # hears ("begun", name) and ("ended", result)
    _calls: int = 0
    _touched: set[str] = field(default_factory=set)

    def add(self, name: str, status: CheckStatus, message: str = "") -> None:
        """Record a result."""
        self.checked |= self.about_behaviour and status != "skipped"
        self.results.append(CheckResult(self._named(name), status, message))
        self.tell("ended", self.results[-1])

    def done(self, name: str, act: Callable[[], T]) -> T | None:
        """Do what is no check; only a failure is recorded."""
        try:
            return act()
        except Exception as error:
            self.add(name, "failed", one_line(error))
            return None

    def check(self, name: str, act: Callable[[], T]) -> T | None:
        """Do it and record how it ended; its value, or None where it did not pass."""
        self.tell("begun", self._named(name))
        try:
            value = act()
        except KeyboardInterrupt as interrupt:
            if not self.alone:
                raise
            self.add(name, "failed", one_line(interrupt))
        except Skip as skip:
            self.add(name, "skipped", message(skip))
        except (ContractError, UserError) as complaint:
            self.add(name, "failed", message(complaint))
        except BaseException as error:  # a plug-in may even call sys.exit
            self.add(name, "failed", f"{one_line(error)}{where(trace(error), folder=False, own=True)}")
        else:
            self.add(name, "passed")
            return value
        return None

    def _named(self, name: str) -> str:
        return f"{name} ({self.remark})" if self.remark else name

    @contextmanager
    def watch(self, *tables: Table) -> Iterator[None]:
        """Note what a call does to its tables and to the global random state, which differs from call to call.

        A call that imports modules for the first time is not blamed for the random state: libraries draw when they are
        imported. Its next call will tell.
        """
        self._calls += 1
        _stir(self._calls)
        modules, digests, state = len(sys.modules), [table.digest() for table in tables], _random_state()
        yield
        after = _random_state()
        if modules == len(sys.modules):
            self._touched |= {f"the random state of {name}" for name in state if after[name] != state[name]}
        if digests != [table.digest() for table in tables]:
            self._touched.add("a table that was given to it")

    def check_untouched(self) -> None:
        """Record what `watch` has seen since the last report."""
        touched, self._touched = self._touched, set()
        complaint = "it changes " + " and ".join(sorted(touched))
        self.check("random state and input untouched", lambda: expect(not touched, complaint))


@contextmanager
def restored_random_state() -> Iterator[None]:
    """Leave the global generators as they were found."""
    python, numbers, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    tensors = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        if torch:
            torch.set_rng_state(tensors)


def _stir(seed: int) -> None:
    """Put the global generators where a plug-in cannot expect them."""
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def _random_state() -> dict[str, object]:
    name, keys, *rest = np.random.get_state()
    state: dict[str, object] = {"python": random.getstate(), "numpy": (name, np.asarray(keys).tobytes(), *rest)}
    if torch := sys.modules.get("torch"):
        state["torch"] = torch.get_rng_state().numpy().tobytes()
    return state
