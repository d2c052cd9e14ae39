"""The columns of all splits as they are read for coding, and what is found out while they are coded.

In: the rows of each split. Out: labels, words and numbers of a column, with a problem instead where it cannot be used;
at the end one UserError for all problems, or notes of what was left out or changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.columns import Column, Rows, of_same_values
from ctrbench.errors import UserError
from ctrbench.params import quoted
from ctrbench.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1e37
"""Numbers of this size stand for missing ones (such as the largest float), as nobody can compute with them."""

FINDINGS = {
    "constant": (
        "field {name!r} has one value only, {detail}, in train: left out",
        "{count} fields have one value only in train and are left out: {listed}",
    ),
    "identifier": (
        "field {name!r}: none of its {detail} values occurs twice in train: left out (keep={quoted} keeps it)",
        "{count} fields have no value twice in train and are left out (keep= keeps one): {listed}",
    ),
    "rare": (
        "field {name!r}: {detail}, became (rare)",
        "in {count} fields values became (rare): {listed}",
    ),
    "missing": (
        "field {name!r}: {detail} of train missing: train's median stands for these, and a field '{name} (missing)' "
        "says where",
        "{count} fields have missing numbers: train's median stands for them, and a field '… (missing)' says where; of "
        "train: {listed}",
    ),
    "missing alone": (
        "a field '{name} (missing)' says where {name!r} is missing: {detail} of train",
        "{count} such fields have missing numbers, and a field '… (missing)' says where; of train: {listed}",
    ),
    "unseen": (
        "field {name!r}: {detail} of the test rows hold a value that train lacks",
        "{count} fields: most test rows hold a value that train lacks: {listed}",
    ),
}
"""What may be found out about one field, and about many."""

MOST_LISTED = 30
"""So many fields are named in a note; of more the number is told."""


@dataclass(eq=False)
class Work:
    """The splits of a log while their columns are coded, and what is wrong with these or worth saying."""

    splits: Mapping[str, Rows]
    keep: Collection[str] = ()
    identifiers: Collection[str] = ()
    names: Collection[str] = ()  # of the label and all fields
    notes: list[str] = field(default_factory=list)  # of single fields
    found: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {finding: [] for finding in FINDINGS})
    problems: dict[str, tuple[str, str]] = field(default_factory=dict)  # of each column its first split with one

    def refuse(self, name: str, split: str, what: str) -> None:
        """Remember what is wrong with a column."""
        self.problems.setdefault(name, (split, what))

    def check(self, source: str, *, of_splits: bool = True) -> None:
        """UserError where anything was wrong, with all of it in one line."""
        told = [f", {split}: {what}" if of_splits else f": {what}" for split, what in self.problems.values()]
        if len(told) == 1:
            raise UserError(source + told[0])
        if told:
            shown = [f"({n}) {what.removeprefix(', ').removeprefix(': ')}" for n, what in enumerate(told[:8], 1)]
            more = f"; and {len(told) - 8} more" if len(told) > 8 else ""
            raise UserError(f"{source}: {len(told)} columns cannot be used: {'; '.join(shown)}{more}")

    def findings(self) -> list[str]:
        """All notes, those that many fields share in one."""
        return [*self.notes, *(note for finding, fields in self.found.items() for note in together(finding, fields))]

    def labels(self, name: str) -> dict[str, NDArray[np.int8]]:
        """The labels of each split."""
        found = {}
        for split, rows in self.splits.items():
            try:
                values = rows.numbers(name)
            except (TypeError, ValueError) as error:
                self.refuse(name, split, f"label {name!r} {error}")
                values = np.zeros(len(rows))
            bad = (values != 0) & (values != 1)
            if bad.any():
                at = int(bad.argmax())
                others = int(np.isnan(values).sum()) - 1
                more = (
                    f" and {counted(others, 'more row')}; mend or drop them" if others > 0 else "; mend or drop the row"
                )
                what = (
                    f"label {name!r} is missing in {rows.row(at)}{more}"
                    if np.isnan(values[at])
                    else f"label {name!r}: {rows.value(name, at)} in {rows.row(at)} is neither 0 nor 1; mend it, or "
                    "name a label column of 0 and 1"
                )
                self.refuse(name, split, what)
                values = np.where(bad, 0, values)
            found[split] = values.astype(np.int8)
        return found

    def columns(self, name: str) -> dict[str, Column]:
        """The column of each split, all of them with the same values; empty where it cannot be used."""
        found = {}
        for split, rows in self.splits.items():
            try:
                found[split] = rows.column(name)
            except (TypeError, ValueError) as error:
                self.refuse(name, split, f"field {name!r} {error}")
        if len(found) < len(self.splits):
            return {}
        return dict(zip(found, of_same_values(list(found.values())), strict=True))

    def numbers(self, name: str, split: str, rows: Rows, decimal: str = ".") -> NDArray[np.float64]:
        """A split's numbers, NaN where they are missing."""
        try:
            values = rows.numbers(name, decimal)
        except (TypeError, ValueError) as error:
            self.refuse(name, split, f"field {name!r} {error}")
            return np.zeros(len(rows))
        bad = np.isinf(values)
        if bad.any():
            at = int(bad.argmax())
            text = rows.value(name, at)
            fix = _meant_missing(rows, name, bad) if text.startswith(("'", '"')) else ""
            if decimal == "." and re.fullmatch(r"'[+-]?\d*,\d+'", text):
                fix = ', or say decimal="," where its comma is a decimal point'
            self.refuse(
                name,
                split,
                f"field {name!r}: {text} in {rows.row(at)} is not a finite number; mend it or make the field "
                f"categorical{fix}",
            )
        huge = np.abs(values) >= LARGEST
        if huge.any() and not bad.any():
            at = int(huge.argmax())
            self.notes.append(
                f"field {name!r}: {counted(int(huge.sum()), 'number')} of {split} as large as {rows.value(name, at)} "
                f"(first in {rows.row(at)}), taken for missing"
            )
            values = np.where(huge, np.nan, values)
        return values


def together(finding: str, fields: Sequence[tuple[str, str]]) -> list[str]:
    """What was found out about some fields, of which each has a name and a detail, in one note; none for no field."""
    one, many = FINDINGS[finding]
    if len(fields) < 2:
        return [one.format(name=name, detail=detail, quoted=quoted(name)) for name, detail in fields]
    listed = ", ".join(f"{name!r} ({detail})" for name, detail in fields[:MOST_LISTED])
    more = f" and {len(fields) - MOST_LISTED:,} more" if len(fields) > MOST_LISTED else ""
    return [many.format(count=len(fields), listed=listed + more)]


def _meant_missing(rows: Rows, name: str, bad: NDArray[np.bool_]) -> str:
    """How to say that words among numbers, such as NA, mean that there is none; empty where there are no words."""
    try:
        column = rows.column(name)
    except (TypeError, ValueError):  # lists, or texts beside numbers
        return ""
    held = column.values[np.unique(column.codes[bad])]
    words = [quoted(text) for text in held if 0 < len(text) <= 60 and not any(map(str.isdigit, text))]
    if len(words) < 2:
        return "".join(f", or say missing={word} where it means that there is none" for word in words)
    return f", or say missing=({', '.join(words[:10])}) where these mean that there is none"
