"""Writes leaderboards: for a terminal, as Markdown, LaTeX, CSV or JSON.

In: a run, or boards and remarks. Out: text. Whatever a plug-in or a file says is escaped.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ctrbench import provenance
from ctrbench.errors import UserError
from ctrbench.leaderboard import VIEWS, Board, Entry, boards, remarks
from ctrbench.results import Json
from ctrbench.store.runs import RunResults
from ctrbench.text import did_you_mean, markdown, plain
from ctrbench.verdict import verdicts

NEEDS = {
    "scenarios": "scenarios need a model and a prediction metric",
    "generators": "generators need a model, a prediction metric and a scenario that uses a pool",
    "doses": "doses need `run --doses` with three at least",
    "shares": "shares need `run --train-shares`",
    "slices": "slices need a metric such as auc_cold_users",
    "privacy": "privacy needs a generator, and a metric of it",
    "fidelity": "fidelity needs a generator, and a metric of it or a scenario of its rows alone",
    "cost": "cost needs a data set",
    "details": "details need a generator and a metric of its rows",
}
"""What a run lacks that has nothing to show in a view."""
FORMATS = ("table", "markdown", "csv", "json", "latex")

_LATEX = (
    {"Δ": r"$\Delta$", "ε": r"$\varepsilon$", "δ": r"$\delta$", "±": r"$\pm$", "—": "---", "…": "..."}
    | {"▲": r"$\blacktriangle$", "△": r"$\vartriangle$", "▼": r"$\blacktriangledown$", "▽": r"$\triangledown$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {c: f"${c}$" for c in "<>|"}
    | {c: "\\" + c for c in "&%$#_{}"}
)


def leaderboards(
    results: RunResults, views: Iterable[str], metric: str = "", style: str = "table", *, colour: bool = False
) -> str:
    """The leaderboards of a run as text, in one of `FORMATS`; UserError for a view or format that is none.

    So it is where the run has nothing to show in any of the views.
    """
    for kind, words, known in (("view", views, VIEWS), ("format", [style], FORMATS)):
        for word in words:
            if word not in known:
                raise UserError(f"no {kind} {word!r}; {did_you_mean(word, known, 'there are')}")
    made, said = boards(results, views, metric), remarks(results)
    if not made:
        needed = "; ".join(NEEDS[view] for view in views)
        raise UserError(f"run {results.run} has nothing to show in {', '.join(views)}: {needed}")
    if style == "csv":
        return _csv(made)
    if style == "json":
        answers = [asdict(found) for found in verdicts(results, metric)]
        return _json(made, said, answers, provenance.of(results))
    return render(made, said, style, colour=colour)


def render(boards: Sequence[Board], remarks: Sequence[str], style: str, *, colour: bool = False) -> str:
    """The text of boards for people; `colour` marks the best in bold on a terminal, otherwise with an asterisk."""
    look = _LOOKS["terminal" if colour else style]
    parts = []
    for board in boards:
        title = look.title.format(look.escape(board.title))
        notes = "".join(f"\n{look.note.format(look.escape(text))}" for text in board.notes)
        parts.append(f"{title}\n\n{_tabulate(board, look)}" + (f"\n{notes}" if notes else ""))
    if remarks:
        parts.append("\n".join(look.note.format(look.escape(text)) for text in remarks))
    return "\n\n".join(parts) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in plain(text))


@dataclass(frozen=True)
class _Look:
    """How a style writes a table: what it escapes, how it marks the best, its titles and notes."""

    tabulate: str
    escape: Callable[[str], str]
    best: str
    other: str = "{}"
    title: str = "{}"
    note: str = "  {}"


_LOOKS = {
    "table": _Look("simple", plain, "{}*", "{} "),
    "terminal": _Look("simple", plain, "\x1b[1m{}*\x1b[0m", "{} "),
    "markdown": _Look("github", markdown, "**{}**", title="### {}", note="- {}"),
    "latex": _Look("latex_raw", _latex, r"\textbf{{{}}}", title="% {}", note="% {}"),
}


def _tabulate(board: Board, look: _Look) -> str:
    from tabulate import tabulate

    def show(entry: Entry) -> str:
        return (look.best if entry.best else look.other).format(look.escape(entry.text))

    def alignment(column: int) -> str:
        return "right" if any(re.match(r"[\d+-]", row[column].text) for row in board.rows) else "left"

    rows = [[show(entry) for entry in row] for row in board.rows]
    align = [alignment(column) for column in range(len(board.columns))] if rows else None
    headers = [look.other.format(look.escape(name)) for name in board.columns]
    return tabulate(rows, headers, look.tabulate, disable_numparse=True, preserve_whitespace=True, colalign=align)


def _csv(boards: Sequence[Board]) -> str:
    out = io.StringIO()
    views = [({"view": board.view}, record) for board in boards for record in board.records]
    records = [view | record | view for view, record in views]  # what a metric calls "view" is not the view
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([map(_csv_safe, columns), *([_csv_safe(r.get(name)) for name in columns] for r in records)])
    return out.getvalue()


def _csv_safe(value: Json) -> Json:
    """A value that no spreadsheet takes for a formula."""
    if isinstance(value, dict):
        value = json.dumps(value)
    if isinstance(value, str):
        value = plain(value)
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else value
    return value


def _json(
    boards: Sequence[Board], remarks: Sequence[str], answers: Sequence[Mapping[str, Json]], origin: Mapping[str, Json]
) -> str:
    content = [
        {"view": b.view, "dataset": b.dataset, "title": b.title, "records": b.records, "notes": b.notes} for b in boards
    ]
    whole = {"verdicts": list(answers), "boards": content, "remarks": list(remarks), "provenance": origin}
    return json.dumps(whole, indent=1) + "\n"
