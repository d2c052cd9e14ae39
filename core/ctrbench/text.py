"""Texts made safe to show: on one line, and without what could move a cursor."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def plain(text: str) -> str:
    """A text on one line, without control characters: nothing in it can move the cursor or end a row."""
    return _CONTROL.sub(" ", text).strip()


def one_line(error: BaseException) -> str:
    """An exception as one line: its class and its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
