"""What plug-in code does when the driver asks it something: nothing of it ends the run, but Ctrl-C does."""

from __future__ import annotations

import sys

import pytest
from ctrbench.asking import NoAnswer, ask


def raises(error: BaseException) -> int:
    raise error


def test_an_answer_comes_back_as_it_is() -> None:
    assert ask(lambda: None) is None
    assert ask(lambda: 7) == 7


@pytest.mark.parametrize("error", [ValueError("no\nluck"), GeneratorExit("no luck"), MemoryError("no luck")])
def test_whatever_is_raised_is_no_answer_in_one_line(error: BaseException) -> None:
    told = ask(lambda: raises(error))
    assert isinstance(told, NoAnswer)
    assert told.cause is error
    assert told.error == f"{type(error).__name__}: no luck"
    assert "in raises" in told.traceback


def test_leaving_is_no_answer_either() -> None:
    told = ask(lambda: sys.exit(3))
    assert isinstance(told, NoAnswer)
    assert told.error == "SystemExit: 3"


def test_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(lambda: raises(KeyboardInterrupt()))
