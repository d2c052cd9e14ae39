"""Questions that the driver puts to plug-in code, which may do anything: an answer comes back, or why there is none.

In: a question, as a call. Out: its answer, or `NoAnswer`. Only Ctrl-C passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ctrbench.text import one_line, trace

T = TypeVar("T")


@dataclass(frozen=True)
class NoAnswer:
    """Why a question has no answer: the exception, and that in one line and with its traceback."""

    cause: BaseException
    error: str
    traceback: str


def ask(question: Callable[[], T]) -> T | NoAnswer:
    """The answer of plug-in code, which may raise anything, and may even call sys.exit."""
    try:
        return question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return NoAnswer(error, one_line(error), trace())
