"""From raw rows to coded tables: what every data set's `load` ends with.

In: the rows of three splits as they were read or simulated, with the fields' kinds, roles and codings. Out: `Splits`,
all that is learnt taken from train, with notes on what was left out or changed; or a UserError that says all at once
which values of which columns are unusable.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.columns import Column, Rows, as_shown, as_strings, float_texts, of_same_values
from ctrbench.errors import UserError
from ctrbench.interfaces import Splits
from ctrbench.params import quoted
from ctrbench.resources import give_back_memory
from ctrbench.table import MISSING, PRESENT, RARE, UNSEEN, Field, Schema, Table
from ctrbench.text import counted, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FEW_POSITIVES = 1000
"""Below so many positives in train, the noise of training hides most differences between methods."""

LARGEST = 1e37
"""Numbers of this size stand for missing ones (such as the largest float), as nobody can compute with them."""

FAR = 1000
"""Numbers of valid and test so many times train's range away from it are set to that distance."""

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

_MANY_ROWS = 100_000
"""Of more rows a column's memory is worth giving back."""

_FEW = 1_000
"""Of so many values it is looked first whether they are numbers."""

_QUANTILES = re.compile(r"quantiles:(\d+)")


@dataclass(frozen=True)
class Coding:
    """How a field's values become codes or numbers; all of it is fitted on train.

    Categorical: values in fewer than `min_count` rows, or not among the `top` most frequent, become `(rare)`; `hash`
    puts all into so many buckets first. Numeric: `scale` is "", "standard" (mean 0, deviation 1) or "log" (sign · log
    of 1 + size); `bins` makes the field categorical, "quantiles:N" (a bin is called by its least number) or "criteo"
    (⌊log²⌋ of numbers above 2, as the winners of Criteo's challenge did). `decimal` is the decimal point of texts.
    """

    min_count: int = 1
    top: int = 0
    hash: int = 0
    scale: str = ""
    bins: str = ""
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.scale not in ("", "standard", "log"):
            raise UserError(f"scale={self.scale} must be standard or log")
        found = _QUANTILES.fullmatch(self.bins)
        if self.bins not in ("", "criteo") and not (found and int(found[1]) > 1):
            raise UserError(f"bins={self.bins} must be criteo or quantiles:N, as in quantiles:20")
        if self.scale and self.bins:
            raise UserError(f"scale={self.scale} and bins={self.bins} exclude each other; leave one out")


def encode_splits(
    train: pd.DataFrame | Rows,
    valid: pd.DataFrame | Rows,
    test: pd.DataFrame | Rows,
    *,
    label: str,
    fields: Sequence[Field],
    source: str,
    notes: Sequence[str] = (),
    true_probabilities: Mapping[str, NDArray[np.float64]] | None = None,
    codings: Mapping[str, Coding] | None = None,
    keep: Collection[str] = (),
    identifiers: Collection[str] = (),
) -> Splits:
    """The splits of a log; columns that are neither `label` nor one of `fields` are left out.

    A field's vocabulary is train's values, sorted as numbers where all are numbers and as text otherwise, then `(rare)`
    and `(missing)` where train has them. A missing number is replaced by train's median, and a field beside it says in
    which rows; in bins it has one of its own. Fields that have one value in train are left out with a note, and so
    are those of `identifiers` of which no value occurs twice; not those of `keep`. `source` stands in front of errors.
    """
    splits = {"train": Rows.of(train), "valid": Rows.of(valid), "test": Rows.of(test)}
    for split, rows in splits.items():
        _check_columns(rows, [label, *(field.name for field in fields)], f"{source}, {split}")
    if not fields:
        raise UserError(f"{source}: no field is left beside the label {label!r}; a model needs at least one")
    names = {label, *(field.name for field in fields)}
    work = _Work(splits, codings or {}, set(keep), set(identifiers), names)
    labels = work.labels(label)
    coded = list[_Coded]()
    for field in fields:
        coded += work.encode(field)
        if len(splits["train"]) > _MANY_ROWS:
            give_back_memory()  # that of one column serves the next
    work.check(source)
    if not coded:
        why = "; ".join(work.findings())
        raise UserError(f"{source}: no field is left beside the label {label!r}; a model needs at least one: {why}")
    schema = Schema(tuple(each.field for each in coded), label)
    tables = _tables(schema, coded, labels)
    _check_classes(tables, source)
    return Splits(
        tables["train"],
        tables["valid"],
        tables["test"],
        true_probabilities=dict(true_probabilities or {}),
        notes=(*notes, *work.findings(), *_warnings(tables)),
    )


def encode(frame: pd.DataFrame, schema: Schema, *, source: str) -> Table:
    """The rows and labels of a frame under a schema that train has fixed; other categorical values become 0.

    Numbers are taken as they are. UserError for a column that is not there or cannot be read, and for a missing number
    where train lacks none.
    """
    import pandas as pd

    rows = Rows.of(frame)
    _check_columns(rows, [schema.label, *(field.name for field in schema.columns)], source)
    work = _Work({source: rows}, {}, set(), set(), set())
    labels = work.labels(schema.label)[source]
    columns: dict[str, NDArray[Any]] = {}
    for each in schema.columns:
        if each.vocabulary is None:
            values = work.numbers(each.name, source, rows)
            missing = np.isnan(values)
            if each.missing_indicator is not None:
                columns[each.missing_indicator] = missing.astype(np.int32) + 1
            elif missing.any():
                where = rows.row(int(missing.argmax()))
                work.refuse(each.name, source, f"field {each.name!r} is missing in {where}; mend or drop the row")
            columns[each.name] = np.where(missing, each.imputed or 0.0, values)
        elif held := work.columns(each.name):
            columns[each.name] = _positions(held[source].texts, each.words.strings)[held[source].codes]
    work.check(source, of_splits=False)
    return Table(pd.DataFrame({name: columns[name] for name in schema.names}, copy=False), schema, labels)


def together(finding: str, fields: Sequence[tuple[str, str]]) -> list[str]:
    """What was found out about some fields, of which each has a name and a detail, in one note; none for no field."""
    one, many = FINDINGS[finding]
    if len(fields) < 2:
        return [one.format(name=name, detail=detail, quoted=quoted(name)) for name, detail in fields]
    listed = ", ".join(f"{name!r} ({detail})" for name, detail in fields[:MOST_LISTED])
    more = f" and {len(fields) - MOST_LISTED:,} more" if len(fields) > MOST_LISTED else ""
    return [many.format(count=len(fields), listed=listed + more)]


@dataclass(frozen=True, eq=False)
class _Coded:
    """A field of the tables, and its values in each split."""

    field: Field
    values: Mapping[str, NDArray[Any]]


def _tables(schema: Schema, coded: list[_Coded], labels: Mapping[str, NDArray[np.int8]]) -> dict[str, Table]:
    import pandas as pd

    return {
        split: Table(
            pd.DataFrame({each.field.name: each.values[split] for each in coded}, copy=False), schema, labels[split]
        )
        for split in labels
    }


def _check_columns(rows: Rows, wanted: Sequence[str], source: str) -> None:
    names = rows.names
    for kind, among in (("the table has", names), ("label and fields name", wanted)):
        if len(set(among)) < len(among):
            twice = sorted({name for name in among if among.count(name) > 1})
            raise UserError(f"{source}: {kind} the column {twice[0]!r} twice; rename or drop one")
    there = set(names)
    for name in wanted:
        if name not in there:
            kind = "label" if name == wanted[0] else "field"
            hint = did_you_mean(name, names, "the columns are")
            raise UserError(f"{source}: the {kind} {name!r} is not there; {hint}")
    if not len(rows):
        raise UserError(f"{source}: the table has no rows; give it some, or split the log in other ratios")


class _Work:
    """Encodes one field after the other, and gathers what is wrong or worth saying."""

    def __init__(
        self,
        splits: Mapping[str, Rows],
        codings: Mapping[str, Coding],
        keep: set[str],
        identifiers: set[str],
        names: set[str],
    ) -> None:
        self.splits = splits
        self.codings = codings
        self.keep = keep
        self.identifiers = identifiers
        self.names = names
        self.notes: list[str] = []  # of single fields
        self.found: dict[str, list[tuple[str, str]]] = {finding: [] for finding in FINDINGS}
        self.problems: dict[str, tuple[str, str]] = {}  # of each column the first split in which something is wrong

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

    def encode(self, field: Field) -> list[_Coded]:
        """The field, or none where it is of no use, or two where numbers are missing."""
        coding = self.codings.get(field.name, Coding())
        if field.kind == "categorical":
            columns = self.columns(field.name)
            return self._categorical(field, columns, coding) if columns else []
        numbers = {split: self.numbers(field.name, split, rows, coding.decimal) for split, rows in self.splits.items()}
        if field.name in self.problems:
            return []
        return self._binned(field, numbers, coding) if coding.bins else self._numeric(field, numbers, coding)

    # Categorical fields

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

    def _categorical(self, field: Field, columns: Mapping[str, Column], coding: Coding) -> list[_Coded]:
        import pyarrow as pa
        import pyarrow.compute as pc

        if field.name not in self.keep and self._useless(field.name, columns["train"]):
            return []
        if coding.hash:
            columns = _hashed(columns, coding.hash)
        train = columns["train"]
        counts = train.counts
        kept = _frequent(counts, train, coding)
        own = (counts > 0) & kept
        folded = (counts > 0) & ~kept
        ordered = _in_order(_without(train.texts.filter(pa.array(own)), MISSING))
        last = []
        if folded.any():
            ordered = _without(ordered, RARE)
            last.append(RARE)
            of_rows = counts[folded].sum() / len(train.codes)
            told = f"{folded.sum():,} of {np.count_nonzero(counts):,} values, {of_rows:.1%} of train's rows"
            self.found["rare"].append((field.name, told))
        place = pc.index(train.texts, MISSING).as_py()
        if (train.codes < 0).any() or (place >= 0 and counts[place]):
            last.append(MISSING)
        if (train.codes < 0).any() and place >= 0 and counts[place]:
            self.notes.append(f"field {field.name!r}: the text {MISSING!r} is taken for missing, as the empty one is")
        vocabulary = pa.concat_arrays([ordered, as_strings(last)])
        if len(vocabulary) < 2 and field.name not in self.keep:
            self.found["constant"].append((field.name, vocabulary[0].as_py()))
            return []
        positions = _positions(train.texts, vocabulary)
        if folded.any():
            positions[:-1][folded] = len(ordered) + 1
        learned = replace(field, kind="categorical", vocabulary=vocabulary)
        return [_Coded(learned, {split: positions[column.codes] for split, column in columns.items()})]

    def _useless(self, name: str, train: Column) -> bool:
        """Whether nothing can be learnt from a field, which is then noted."""
        counts = train.counts
        there = np.flatnonzero(counts)
        if len(there) + bool((train.codes < 0).any()) < 2:
            shown = as_shown(train.texts[there[0]].as_py()) if len(there) else repr(MISSING)
            self.found["constant"].append((name, shown))
            return True
        if name in self.identifiers and len(there) > 1 and counts.max() == 1:
            self.found["identifier"].append((name, f"{len(there):,}"))
            return True
        return False

    # Numeric fields

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

    def _numeric(self, field: Field, numbers: dict[str, NDArray[np.float64]], coding: Coding) -> list[_Coded]:
        train = numbers["train"]
        present = train[~np.isnan(train)]
        missing = {split: np.isnan(values) for split, values in numbers.items()}
        if not len(present) and field.name not in self.keep:
            self.found["constant"].append((field.name, repr(MISSING)))
            return []
        coded, told = [], bool(missing["train"].any())
        self._limit(field, numbers, present)
        scaled = _scaling(present, coding.scale)
        imputed = float(scaled(np.array([np.median(present)]))[0]) if len(present) else 0.0
        for split, absent in missing.items():
            if absent.any() and not told:
                self.notes.append(
                    f"field {field.name!r}: {counted(int(absent.sum()), 'number')} of {split} missing, none of train: "
                    "train's median stands for them"
                )
        values = {split: np.where(missing[split], imputed, scaled(each)) for split, each in numbers.items()}
        if len(present) and present.min() == present.max() and field.name not in self.keep:
            self.found["constant"].append((field.name, _short(present[0])))
        else:
            learned = replace(field, vocabulary=None)
            if told:
                learned = replace(learned, missing_indicator=_indicator(field.name), imputed=imputed)
            coded.append(_Coded(learned, values))
        if told:
            name, share = _indicator(field.name), f"{missing['train'].mean():.1%}"
            if name in self.names:
                what = f"a field {name!r} is to say where it is missing; rename the column of that name"
                self.refuse(field.name, "train", f"field {field.name!r}: {what}")
            indicator = Field(name, "categorical", field.role, (PRESENT, MISSING))
            coded.append(_Coded(indicator, {split: each.astype(np.int32) + 1 for split, each in missing.items()}))
            self.found["missing" if len(coded) > 1 else "missing alone"].append((field.name, share))
        return coded

    def _limit(self, field: Field, numbers: dict[str, NDArray[np.float64]], present: NDArray[np.float64]) -> None:
        """Bring numbers that are beyond all of train's to a distance with which a model can compute."""
        if not len(present):
            return
        low, high = float(present.min()), float(present.max())
        reach = FAR * (high - low)
        for split, values in numbers.items():
            far = (values < low - reach) | (values > high + reach)
            if split != "train" and reach and far.any():
                at = int(far.argmax())
                row = self.splits[split].row(at)
                self.notes.append(
                    f"field {field.name!r}: {counted(int(far.sum()), 'number')} of {split} over {FAR:,} times "
                    "train's range "
                    f"away from it (first {_short(values[at])} in {row}), set to that distance"
                )
                numbers[split] = np.clip(values, low - reach, high + reach)

    def _binned(self, field: Field, numbers: dict[str, NDArray[np.float64]], coding: Coding) -> list[_Coded]:
        train = numbers["train"]
        present = train[~np.isnan(train)]
        edges = np.array([])
        if coding.bins != "criteo" and len(present):
            edges = np.unique(
                np.quantile(present, np.linspace(0, 1, int(coding.bins.split(":")[1]) + 1)[:-1], method="lower")
            )
        columns = {}
        for split, values in numbers.items():
            known = values[~np.isnan(values)]
            if coding.bins == "criteo":
                bins = _criteo_bins(known)
            elif len(edges):
                bins = edges[np.maximum(np.searchsorted(edges, known, side="right") - 1, 0)]
            else:
                bins = known
            codes = np.full(len(values), -1, np.int32)
            distinct, positions = np.unique(bins, return_inverse=True)
            codes[~np.isnan(values)] = positions.astype(np.int32)
            columns[split] = Column(codes, as_strings(float_texts(distinct)))
        merged = dict(zip(columns, of_same_values(list(columns.values())), strict=True))
        return self._categorical(replace(field, kind="categorical"), merged, replace(coding, bins=""))


def _indicator(name: str) -> str:
    return f"{name} {MISSING}"


def _hashed(columns: Mapping[str, Column], buckets: int) -> dict[str, Column]:
    values = next(iter(columns.values())).values
    texts = as_strings([str(zlib.crc32(value.encode()) % buckets) for value in values])
    distinct = texts.unique()
    return {
        split: Column(_positions(texts, distinct)[column.codes] - np.int32(1), distinct)
        for split, column in columns.items()
    }


def _frequent(counts: NDArray[np.int64], train: Column, coding: Coding) -> NDArray[np.bool_]:
    """Which values keep a code of their own; of equally frequent ones the first in order of text."""
    import pyarrow.compute as pc

    kept = counts >= coding.min_count
    if coding.top and np.count_nonzero(counts) > coding.top:
        by_text = pc.sort_indices(train.texts).to_numpy()
        order = by_text[np.argsort(-counts[by_text], kind="stable")]
        first = np.zeros(len(counts), np.bool_)
        first[order[: coding.top]] = True
        kept &= first
    return kept


def _meant_missing(rows: Rows, name: str, bad: NDArray[np.bool_]) -> str:
    """How to say that words among numbers, such as NA, mean that there is none; empty where there are no words."""
    try:
        column = rows.column(name)
    except (TypeError, ValueError):  # lists, or texts beside numbers
        return ""
    held = column.values[np.unique(column.codes[bad])]
    words = [quoted(text) for text in held if text and not any(map(str.isdigit, text))]
    if len(words) < 2:
        return "".join(f", or say missing={word} where it means that there is none" for word in words)
    return f", or say missing=({', '.join(words[:10])}) where these mean that there is none"


def _without(texts: Any, text: str) -> Any:
    import pyarrow.compute as pc

    return texts.filter(pc.not_equal(texts, text))


def _in_order(texts: Any) -> Any:
    """Sorted as numbers where all are numbers, as text otherwise."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = texts.take(pc.sort_indices(texts))  # by bytes of UTF-8, which is by characters
    if pc.all(pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$"), min_count=0).as_py():
        return texts.take(pa.array(np.argsort(texts.cast(pa.int64()).to_numpy(), kind="stable")))
    for most in (_FEW, len(texts)):  # most often few tell
        numbers = pd.to_numeric(texts[:most].to_numpy(zero_copy_only=False), errors="coerce")
        if not np.isfinite(numbers.astype(np.float64)).all():
            return texts
    return texts.take(pa.array(np.argsort(numbers, kind="stable")))


def _positions(texts: Any, vocabulary: Any) -> NDArray[np.int32]:
    """The code of each text, (texts + 1,): UNSEEN for what the vocabulary lacks, and last that of a missing value."""
    import pyarrow.compute as pc

    missing = pc.index(vocabulary, MISSING).as_py()  # not found is -1, and UNSEEN is 0
    found: NDArray[np.int32] = pc.index_in(texts, value_set=vocabulary).fill_null(-1).to_numpy()
    return np.append(found, np.int32(missing)) + np.int32(1)


def _scaling(present: NDArray[np.float64], scale: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    if scale == "log":
        return lambda values: np.sign(values) * np.log1p(np.abs(values))
    if scale == "standard" and len(present):
        mean, deviation = float(present.mean()), float(present.std()) or 1.0
        return lambda values: (values - mean) / deviation
    return lambda values: values


def _criteo_bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """⌊log(x)²⌋ above 2, else the whole part."""
    large = values > 2
    bins = np.trunc(values)
    bins[large] = np.floor(np.log(values[large]) ** 2)
    return bins + 0.0  # no minus zero


def _short(number: float) -> str:
    return str(float_texts(np.array([number]))[0])


def _check_classes(tables: Mapping[str, Table], source: str) -> None:
    lacking = []
    for split, table in tables.items():
        if table.click_rate in (0, 1):
            lacking.append((split, "positives (label 1)" if table.click_rate == 0 else "negatives (label 0)"))
    if not lacking:
        return
    if len(lacking) == len(tables) and len({what for _, what in lacking}) == 1:
        raise UserError(
            f"{source}, train: there are no {lacking[0][1]}, and none in valid and test; AUC needs both classes: "
            "name another label column, or say which values are clicks"
        )
    split, what = lacking[0]
    raise UserError(f"{source}, {split}: there are no {what}; AUC needs both classes: use more rows or other ratios")


def _warnings(tables: Mapping[str, Table]) -> list[str]:
    train, test = tables["train"], tables["test"]
    positives = int(train.targets.sum())
    notes = []
    news = []
    if positives < FEW_POSITIVES:
        notes.append(
            f"train has {positives} positives: below {FEW_POSITIVES:,}, noise hides most differences between methods"
        )
    for each in train.schema.categorical:
        unseen = float((test.rows[each.name] == UNSEEN).mean())
        if unseen > 0.5:
            news.append((each.name, f"{unseen:.0%}"))
    return [*notes, *together("unseen", news)]
