"""Prints leaderboards: for a terminal, as Markdown, LaTeX, CSV or JSON.

In: boards and remarks. Out: text. Whatever a plug-in or a file says is escaped.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

from ctrbench.leaderboard import Board, Entry

Format = Literal["table", "markdown", "csv", "json", "latex"]
FORMATS: tuple[Format, ...] = get_args(Format)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    c: "\\" + c for c in "&%$#_{}"
}


def render(boards: Sequence[Board], remarks: Sequence[str], style: Format, *, colour: bool = False) -> str:
    """The text of all boards; `colour` marks the best in bold on a terminal, otherwise with an asterisk."""
    if style == "csv":
        return _csv(boards)
    if style == "json":
        return _json(boards, remarks)
    if style == "markdown":
        return _join(boards, remarks, _markdown, "### {}", "- {}")
    if style == "latex":
        return _join(boards, remarks, _latex, "% {}", "% {}")
    return _join(boards, remarks, lambda board: _terminal(board, colour), "{}", "  {}")


def plain(text: str) -> str:
    """A text on one line, without control characters: nothing in it can move the cursor or end a row."""
    return _CONTROL.sub(" ", text)


def _join(boards: Sequence[Board], remarks: Sequence[str], table: Callable[[Board], str], title: str, note: str) -> str:
    parts = []
    for board in boards:
        notes = [note.format(plain(text)) for text in board.notes]
        parts.append("\n".join([title.format(plain(board.title)), "", table(board), *([""] if notes else []), *notes]))
    if remarks:
        parts.append("\n".join(note.format(plain(text)) for text in remarks))
    return "\n\n".join(parts) + "\n"


def _terminal(board: Board, colour: bool) -> str:
    def show(entry: Entry) -> str:
        text = plain(entry.text)
        if not entry.best:
            return text
        return f"\x1b[1m{text}\x1b[0m" if colour else f"{text}*"

    return _tabulate(board, show, plain, "simple")


def _markdown(board: Board) -> str:
    def escape(text: str) -> str:
        return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", plain(text))

    return _tabulate(board, lambda e: f"**{escape(e.text)}**" if e.best else escape(e.text), escape, "github")


def _latex(board: Board) -> str:
    def escape(text: str) -> str:
        return "".join(_LATEX.get(letter, letter) for letter in plain(text))

    return _tabulate(
        board, lambda e: rf"\textbf{{{escape(e.text)}}}" if e.best else escape(e.text), escape, "latex_raw"
    )


def _tabulate(board: Board, show: Callable[[Entry], str], heading: Callable[[str], str], style: str) -> str:
    from tabulate import tabulate

    rows = [[show(entry) for entry in row] for row in board.rows]
    align = [
        "left" if all(not re.match(r"[\d+-]", row[i].text) for row in board.rows) else "right"
        for i in range(len(board.columns))
    ]
    return tabulate(
        rows, [heading(name) for name in board.columns], style, disable_numparse=True, colalign=align if rows else None
    )


def _csv(boards: Sequence[Board]) -> str:
    out = io.StringIO()
    records = [{"view": board.view, **record} for board in boards for record in board.records]
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_safe(value) for name, value in record.items()} for record in records)
    return out.getvalue()


def _csv_safe(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula."""
    if isinstance(value, dict):
        value = json.dumps(value)
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _json(boards: Sequence[Board], remarks: Sequence[str]) -> str:
    content = [
        {"view": b.view, "dataset": b.dataset, "title": b.title, "records": b.records, "notes": b.notes} for b in boards
    ]
    return json.dumps({"boards": content, "remarks": list(remarks)}, indent=1, ensure_ascii=False) + "\n"
