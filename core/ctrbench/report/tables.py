"""Tables as a page shows them: in parts that fit a sheet, three significant digits first, all of them on demand.

In: a caption, columns, and rows of texts. Out: `Grid`s, whose first columns name the rows in each part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ctrbench.leaderboard import Board, Entry

WIDTH = 84
"""Letters that fit beside each other on a sheet, and in a window of 768 pixels."""

LONG = 28
"""A text of more letters is set on several lines."""

_DIGITS = 3
_FOLDED = 20  # letters of a column of long texts, at least
_BETWEEN = 2  # letters between columns
_NUMERIC = re.compile(r"[\d+−-]")
_NUMBER = re.compile(r"(?<![\w.])[+−-]?\d[\d,]*\.\d+(?![\w.])")


@dataclass(frozen=True)
class Cell:
    """A place: its text, and the same in fewer digits."""

    full: str
    short: str
    look: str  # n for numbers, long for texts on several lines
    best: bool


@dataclass(frozen=True)
class Head:
    """The name of a group of columns, or none, and those of its columns."""

    group: str
    columns: Sequence[tuple[str, bool]]  # each, and whether it holds numbers


@dataclass(frozen=True)
class Row:
    """A row; that of a control is greyed."""

    cells: Sequence[Cell]
    control: bool


@dataclass(frozen=True)
class Grid:
    """A table, or a part of one."""

    heads: Sequence[Head]
    rows: Sequence[Row]

    @property
    def grouped(self) -> bool:
        """Whether some of its columns belong together."""
        return any(head.group for head in self.heads)


def of_board(board: Board, controls: Collection[str] = ()) -> list[Grid]:
    """A leaderboard's table."""
    return grids(board.columns, board.rows, controls)


def grids(columns: Sequence[str], rows: Iterable[Sequence[Entry | str]], controls: Collection[str] = ()) -> list[Grid]:
    """A table in as few parts as fit; a row that names a control, or calls itself one, is a control's."""
    entries = [[Entry(each) if isinstance(each, str) else each for each in row] for row in rows]
    places = [_apart([row[place].text for row in entries]) for place in range(len(columns))]
    numeric = [any(_NUMERIC.match(row[place].text) for row in entries) for place in range(len(columns))]
    cells = [[_cell(*each) for each in zip(row, places, numeric, strict=True)] for row in entries]
    control = [any(entry.text in controls or entry.text == "control" for entry in row[:2]) for row in entries]
    return [
        Grid(
            _heads(columns, numeric, part),
            [Row([row[p] for p in part], c) for row, c in zip(cells, control, strict=True)],
        )
        for part in _parts(columns, cells)
    ]


def _heads(columns: Sequence[str], numeric: Sequence[bool], part: Sequence[int]) -> list[Head]:
    """The heads of some columns, those of a group together."""
    found = [(group, list(places)) for group, places in groupby(part, lambda place: _split(columns[place])[0])]
    return [Head(group, [(_split(columns[p])[1], numeric[p]) for p in places]) for group, places in found]


def _split(column: str) -> tuple[str, str]:
    """The name of a column's group, as deepfm in "deepfm, published", and its own; brackets are never taken apart."""
    for comma in reversed(list(re.finditer(", ", column))):
        own = column[comma.end() :]
        if own.count("[") == own.count("]") and own.count("(") == own.count(")"):
            return column[: comma.start()], own
    return "", column


def _cell(entry: Entry, least: int, among_numbers: bool) -> Cell:
    numeric = bool(_NUMERIC.match(entry.text))
    aligned = numeric or (among_numbers and entry.text == "—")
    look = "n" if aligned else "long" if len(entry.text) > LONG else ""
    return Cell(entry.text, shortened(entry.text, least) if numeric else entry.text, look, entry.best)


def _apart(texts: Sequence[str]) -> int:
    """Decimals that tell the numbers of a column apart: two significant digits of their range."""
    values = [_value(number[0]) for text in texts if _NUMERIC.match(text) and (number := _NUMBER.search(text))]
    span = max(values) - min(values) if values else 0.0
    return 1 - math.floor(math.log10(span)) if span else 0


def shortened(text: str, least: int = 0) -> str:
    """Its numbers in three significant digits, or so many decimals; one beside its error like two digits of that."""
    value, sign, error = text.partition(" ±")
    found = _NUMBER.match(error)
    if not sign or not found:
        return _NUMBER.sub(lambda number: _rounded(number[0], max(least, _places(number[0], _DIGITS))), text)
    places = _places(found[0], 2)
    shown = _NUMBER.sub(lambda number: _rounded(number[0], places), error, count=1)
    return f"{_NUMBER.sub(lambda number: _rounded(number[0], places), value, count=1)} ±{shown}"


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def _places(number: str, digits: int) -> int:
    """Decimals that show so many significant digits, but no more than there are."""
    size, given = abs(_value(number)), len(number.partition(".")[2])
    return min(given, max(0, digits - 1 - math.floor(math.log10(size)))) if size else given


def _rounded(number: str, places: int) -> str:
    if places >= len(number.partition(".")[2]):
        return number
    style = f"{'+' if number[0] in '+−-' else ''}{',' if ',' in number else ''}.{places}f"
    shown = format(round(_value(number), places) + 0.0, style)  # + 0.0: no zero is negative
    return shown.replace("-", "−") if "−" in number else shown


def _parts(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[list[int]]:
    """The places of each part's columns: those that name the rows, then as many as fit, groups together."""
    widths = [_width(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    keys = list(range(_named_by(rows) if sum(widths[:2]) <= WIDTH / 2 else 1))[: len(columns) - 1]
    room = WIDTH - sum(widths[place] for place in keys)
    rest = range(len(keys), len(columns))
    blocks = [list(places) for name, places in groupby(rest, lambda p: _split(columns[p])[0] or p)]
    parts: list[list[int]] = [[]]
    for block in blocks:
        for piece in [block] if sum(widths[p] for p in block) <= room else [[place] for place in block]:
            if parts[-1] and sum(widths[p] for p in parts[-1] + piece) > room:
                parts.append([])
            parts[-1] += piece
    return [keys + part for part in parts]


def _named_by(rows: Sequence[Sequence[Cell]]) -> int:
    """How many columns name the rows: the first, and the second if it holds no numbers and is short, or after ranks."""
    first, second = ({row[place].look for row in rows if place < len(row)} for place in (0, 1))
    return 2 if "n" not in second and ("long" not in second or "n" in first) else 1


def _width(name: str, cells: Sequence[Cell]) -> int:
    words = [len(word) for word in _split(name)[1].split()]
    texts = [_FOLDED if cell.look == "long" else len(cell.full) for cell in cells]
    return max([*words, *texts, 1]) + _BETWEEN
