"""Which rows are clicks.

In: a log and what the user calls a click: a column of 0 and 1, or a rule such as "rating >= 4". Out: the column and a
label for each row; or a UserError that says which values there are.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ctrbench import Column, UserError, did_you_mean, quoted, text_numbers
from numpy.typing import NDArray

from ctrbench_datasets._characters import cut
from ctrbench_datasets._decimals import has_decimal_commas
from ctrbench_datasets._reading import Log

_SIGN = re.compile(r">=|<=|==|!=|=>|=<|<>|=|>|<|≥|≤|≠|\bin\b")
_MEANT = {"=>": ">=", "≥": ">=", "=<": "<=", "≤": "<=", "<>": "!=", "≠": "!="}
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_LISTED = re.compile(r"""(?:^|,)\s*("[^"]*"|'[^']*'|[“„][^“”]*[“”]|[^,]*)\s*(?=,|$)""")
"""A value of a list, in quotes where it holds a comma."""

_YES = ("y", "yes", "t", "true", "click", "clicked", "positive", "pos")
"""Words that mean a click."""

_BOM = "\ufeff"


@dataclass(frozen=True)
class LabelRule:
    """A column, and which of its values are clicks.

    Without an operator 1, true and yes are clicks, and 0, false and no are not.
    """

    column: str
    sign: str = ""
    value: str = ""
    decimal: str = "."  # the decimal mark of the column, where it is text

    @classmethod
    def of(cls, text: str, names: tuple[str, ...]) -> LabelRule:
        """From "click", "rating >= 4" or "event in (click, buy)"; a column with exactly that name takes precedence.

        Blanks around a column's name, as a header has them that is written with blanks behind its commas, need not be
        said in a rule.
        """
        if text in names:
            return cls(text)
        trimmed = {name.strip(): name for name in reversed(names)} | {name: name for name in names}
        rules = [
            cls(trimmed.get(column, column), _MEANT.get(sign[0], sign[0]), text[sign.end() :].strip())
            for sign in _SIGN.finditer(text)
            for column in [text[: sign.start()].strip()]
        ]
        there = [rule for rule in rules if rule.column in names and rule.value]
        return (there or [rule for rule in rules if rule.column and rule.value] or [cls(text)])[0]

    def reading(self, logs: Sequence[Log], decimal: str = "") -> LabelRule:
        """The rule with the decimal mark of its column, as fields have one: what is given, else what the logs show."""
        there = self.sign and all(self.column in log.names for log in logs)
        return replace(self, decimal=decimal or ("," if there and has_decimal_commas(logs, self.column) else "."))

    def labels(self, log: Log, source: str) -> Log:
        """The log, its label column converted to 0 and 1 where there is a rule, otherwise unchanged."""
        if not self.sign:
            return log
        where = f"{source}: label {self.column!r}"
        try:
            column = Column.of(log.columns[self.column])
        except (TypeError, ValueError) as error:
            raise UserError(f"{where} {error}") from None
        clicks, notes = self._clicks(column, where)
        found = log.with_column(self.column, clicks[column.codes].astype(np.int8))
        return replace(found, notes=(*found.notes, *notes))

    def _clicks(self, column: Column, where: str) -> tuple[NDArray[np.bool_], list[str]]:
        """Which of the distinct values are clicks, and what is worth noting."""
        numbers = text_numbers(column.values, self.decimal if column.kind == "text" else ".")
        if self.sign in _COMPARE:
            [limit] = self._numbers([self.value])
            bad = np.isinf(numbers)
            if np.isinf(limit) or bad.any():
                odd = cut(self.value if np.isinf(limit) else column.values[bad][0])
                what = "number with a decimal comma" if self.decimal == "," else "number"
                fix = (
                    ', or say decimal="," where its comma is a decimal point' if what == "number" and "," in odd else ""
                )
                raise UserError(f"{where} {self.sign} {self.value}: {odd!r} is no {what}; compare with == or in{fix}")
            found: NDArray[np.bool_] = _COMPARE[self.sign](numbers, limit)
            return found, []
        listed = _LISTED.findall(self.value.strip("()[]{}")) if self.sign == "in" else [self.value]
        wanted = [text.strip().strip("'\"“”„‘’‚") for text in listed]
        equal: NDArray[np.bool_] = np.isin(column.values, wanted)
        exact, absent = np.isin(wanted, column.values[equal]), []
        values = self._numbers(wanted)
        trimmed = np.array([text.strip() for text in column.values], object)
        for text, value in zip(np.array(wanted)[~exact], values[~exact], strict=True):  # 4 may be written as 4.0
            same = (np.isfinite(numbers) & (numbers == value)) | (trimmed == text)
            equal |= same
            absent += [] if same.any() else [str(text)]
        if not equal.any():
            raise UserError(
                f"{where}: no row is {self.value!r}; {did_you_mean(wanted[0], map(cut, column.values[:12]), 'it has')}"
            )
        notes = [f"label {self.column!r}: no row is {text!r}" for text in absent]
        spelt = {text.casefold() for text in wanted if text}
        other = np.array([text.casefold() in spelt for text in trimmed], np.bool_)
        alike = column.values[((np.isfinite(numbers) & np.isin(numbers, values)) | other) & ~equal]
        if len(alike):
            shown = ", ".join(map(repr, map(cut, alike[:5]))) + (", …" if len(alike) > 5 else "")
            notes.append(f"label {self.column!r}: {shown} are not written as in {self.value}: other values")
        return ~equal if self.sign == "!=" else equal, notes

    def _numbers(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Texts of the rule as numbers: with the column's decimal mark, or with a point as everywhere else."""
        own = text_numbers(texts, self.decimal)
        return np.where(np.isinf(own), text_numbers(texts), own)


def check_label(rule: LabelRule, log: Log, source: str, *, judged: bool = False, given_as: str = "label=") -> None:
    """UserError where the column does not exist, with likely candidates, or where it needs a rule.

    A split that is judged needs train's rule, and none is proposed for it.
    """
    import pyarrow as pa

    if rule.column not in log.names:
        likely = [name for name in log.names if _of_two(log, name)]
        hint = did_you_mean(rule.column, log.names, "the columns are")
        if likely and "did you mean" not in hint:
            hint += f"; 0 and 1 stand in {', '.join(likely[:5])}"
        if len(log.names) == 1 or any(sign in name for sign in ";|\t" for name in log.names):
            hint += "; if these are several names, say delimiter="
        raise UserError(f"{source}: label={rule.column} is not a column; {hint}")
    if pa.types.is_nested(log.columns.schema.field(rule.column).type):
        raise UserError(
            f"{source}: label {rule.column!r} holds lists or other compound values; name a column with one value a row"
        )
    try:
        column = Column.of(log.columns[rule.column])
    except (TypeError, ValueError):
        return  # encoding says so
    if (gone := column.codes < 0).any():
        row = log.where(int(np.argmax(gone)))
        many = f"{gone.sum():,} of {len(gone):,} rows, first in " if gone.sum() > 1 else ""
        fix = "mend or drop the row" + ("s" if many else "")
        if len(column.values) == 1 and text_numbers(column.values)[0] != 0:
            fix = f"where that means no click, write 0 there, since {column.values[0]} is its only value"
        raise UserError(f"{source}: label {rule.column!r} is missing in {many}{row}; {fix}")
    numbers = text_numbers(column.values)
    others = [value for value, number in zip(column.values, numbers, strict=True) if number not in (0, 1)]
    named = np.isin(column.values, (rule.column, _BOM + rule.column))
    if named.any():
        at = int(np.argmax(named[column.codes]))
        if _is_header(log, at) or (not rule.sign and len(others) == named.sum()):
            raise UserError(
                f"{source}: {log.where(at)} repeats the header; delete such rows, or name the files one by one"
            )
    if rule.sign:
        return
    if others and len(column.values) <= 100:
        at = int(np.argmax(np.isin(column.codes, np.flatnonzero(~np.isin(numbers, (0, 1))))))
        value = cut(column.values[column.codes[at]])
        ordered = sorted(column.values.tolist(), key=lambda text: (text_numbers([text])[0], text))
        shown = ", ".join(map(cut, ordered[:12]))
        example = quoted(f"{rule.column} {meant(column, numbers)}")
        example = example if example.startswith('"') else f'"{example}"'
        text = value if np.isfinite(numbers[column.codes[at]]) else repr(value)
        told = f"{source}: label {rule.column!r}: {text} in {log.where(at)} is neither 0 nor 1 (it has {shown})"
        if judged:
            raise UserError(f"{told}, as all are in train; mend it")
        raise UserError(
            f"{told}; mend it or name another label column, or say which values are clicks, as in {given_as}{example}"
        )


def _is_header(log: Log, at: int) -> bool:
    """Whether a row holds the names of its columns, as where files were joined with their headers."""
    values = ((name, log.columns[name][at].as_py()) for name in log.names)
    return all(value is None or str(value).removeprefix(_BOM) == name for name, value in values)


def meant(column: Column, numbers: NDArray[np.float64]) -> str:
    """A rule for the values that are probably clicks: large numbers, words that say so, or the rarest value."""
    if np.isfinite(numbers).all():
        if len(numbers) <= 2:
            return f"== {column.values[int(np.argmax(numbers))]}"
        return f">= {_middle(numbers)}"
    said = [
        text for text, number in zip(column.values, numbers, strict=True) if number == 1 or text.strip().lower() in _YES
    ]
    if len(said) > 1:
        return f"in ({', '.join(said)})"
    rarest = int(np.argmin(np.where(numbers == 0, np.inf, column.counts)))
    return f"== {said[0] if said else cut(column.values[rarest])}"


def _middle(numbers: NDArray[np.float64]) -> str:
    """The least of the upper half; of counts, which begin with 0, the least above it."""
    ordered = np.sort(numbers)
    middle = ordered[1 if ordered[0] == 0 else (len(numbers) + 1) // 2]
    return str(int(middle)) if middle == int(middle) else str(middle)


def _of_two(log: Log, name: str) -> bool:
    try:
        values = Column.of(log.columns[name]).values
    except (TypeError, ValueError):
        return False
    return len(values) == 2 and set(text_numbers(values)) == {0.0, 1.0}
