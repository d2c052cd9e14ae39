"""What the user reads: texts made safe to show, errors in one line, suggestions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
"""Controls, and the marks that end a line or turn the direction of writing."""


MOST_NAMES = 40
"""So many names are listed where none is like a misspelt word."""


def plain(text: str) -> str:
    """A text on one line, without control characters: nothing in it can move the cursor, end a row or turn it round."""
    return _CONTROL.sub(" ", encodable(text)).strip()


def plain_lines(text: str) -> str:
    """A text of several lines, such as a traceback, without other control characters."""
    return "\n".join(_CONTROL.sub(" ", line).rstrip() for line in encodable(text).split("\n"))


def encodable(text: str) -> str:
    """A text that can be stored and printed: what is no UTF-8, such as an odd file name, is written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\|*_`~<>\[\]#$&])", r"\\\1", plain(text))


def without_password(text: str) -> str:
    """A text in which the password of every URL is left out."""
    return re.sub(r"(://[^\s:/@]*):[^\s/@]+@", r"\1:***@", text)


def one_line(error: BaseException) -> str:
    """An exception as one line: its class and its message."""
    message = encodable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A suggestion for a misspelt word, or the list of what there is."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{otherwise} {', '.join(names[:MOST_NAMES])}{more}" if names else f"{otherwise} none"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 cell", "2 cells"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
