"""What a leaderboard is: a table for people, and the same as records for machines."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ctrbench.results import Json, TaskResult
from ctrbench.text import rounded

Record = dict[str, Json]
"""A row for machines: a name and a value a column."""


@dataclass(frozen=True)
class Entry:
    """One place of a table."""

    text: str
    best: bool = False


@dataclass
class Board:
    """A table for people, its footnotes under it, and the same as records for machines."""

    view: str
    dataset: str
    title: str
    columns: tuple[str, ...]
    rows: list[list[Entry]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    footnotes: dict[str, int] = field(default_factory=dict)  # text → number

    def missing(self, causes: Iterable[TaskResult]) -> Entry:
        """The footnote of what has no number; a dash alone where nothing went wrong."""
        cause = next((c for c in causes if not c.ok), None)
        if cause is None:
            return Entry("—")
        return Entry(f"— [{self.footnotes.setdefault(cause.describe(), len(self.footnotes) + 1)}]")

    def mean(self, values: Sequence[float | None], causes: Iterable[TaskResult], style: str = "") -> Entry:
        """The mean of all repeats with their standard deviation, or the footnote of what is missing.

        Without a style a mean has six digits, and its deviation four: a report shows two of them.
        """
        good = [value for value in values if value is not None]
        if not values or len(good) < len(values):
            return self.missing(causes)
        mean = statistics.fmean(good)
        shown = format(mean, style) if style else rounded(mean, 6)
        if len(good) > 1:
            spread = statistics.stdev(good)
            shown += f" ±{format(spread, style) if style else rounded(spread, 4)}"
        return Entry(shown)

    def finish(self, *notes: str) -> Board:
        """The table with its footnotes and what else is to be said under it."""
        self.notes += [f"[{number}] {text}" for text, number in self.footnotes.items()]
        self.notes += notes
        return self
