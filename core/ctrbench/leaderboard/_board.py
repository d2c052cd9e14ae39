"""What a leaderboard is: a table for people, and the same as records for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

View = Literal["scenarios", "generators", "privacy", "fidelity", "cost", "details"]
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True)
class Entry:
    """One place of a table."""

    text: str
    best: bool = False


@dataclass
class Board:
    """A table for people, and the same as records for machines."""

    view: View
    dataset: str
    title: str
    columns: tuple[str, ...]
    rows: list[list[Entry]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
