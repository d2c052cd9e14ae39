"""Columns as they are read: texts and numbers of pandas series and pyarrow arrays.

In: rows of a pandas frame or a pyarrow table. Out: of a column its distinct values in text and which row has which, or
its numbers; TypeError or ValueError, as a phrase, for values that are neither.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ctrbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Kind = Literal["text", "number", "decimal", "time", "truth"]

TRUTHS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMPOUND = "holds lists or other compound values; drop it or flatten it"
_COMPLEX = "holds complex numbers; drop it, or give their parts columns of their own"


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of named columns, which are pandas series or pyarrow arrays; `where` names a row for people.

    `split` gives some of the rows; all that come of one share what was read last, so that a column is read once.
    """

    columns: Any  # a pandas frame, a pyarrow table, or what else has `column_names` and gives a column by its name
    where: Callable[[int], str]
    positions: NDArray[np.int64] | None = None
    _last: dict[tuple[str, str], Any] = field(default_factory=dict)  # (column, decimal point) → what it was read as

    @classmethod
    def of(cls, table: Any) -> Rows:
        """All rows of a pandas frame, which its index names, or of a pyarrow table, counted from 1."""
        if isinstance(table, Rows):
            return table
        index = getattr(table, "index", None)
        return cls(table, lambda position: f"row {position + 1 if index is None else index[position]}")

    def __len__(self) -> int:
        return len(self.columns) if self.positions is None else len(self.positions)

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return [str(name) for name in getattr(self.columns, "column_names", getattr(self.columns, "columns", ()))]

    def split(self, positions: NDArray[np.int64]) -> Rows:
        """The rows at these positions, in this order."""
        return replace(self, positions=positions if self.positions is None else self.positions[positions])

    def row(self, position: int) -> str:
        """The name of the row at this position."""
        return self.where(self._place(position))

    def raw(self, name: str) -> Any:
        """The column of all rows, as it is."""
        return self.columns[name]

    def column(self, name: str) -> Column:
        """The column as distinct texts; UserError for one that has compound values."""
        found: Column = self._read((name, ""), lambda: Column.of(self.raw(name)))
        return found if self.positions is None else replace(found, codes=found.codes[self.positions])

    def numbers(self, name: str, decimal: str = ".") -> NDArray[np.float64]:
        """The column as numbers: NaN where it is missing, infinite where it is no number or none to compute with."""
        found: NDArray[np.float64] = self._read((name, decimal), lambda: _floats(self.raw(name), decimal))
        return found if self.positions is None else found[self.positions]

    def _read(self, key: tuple[str, str], read: Callable[[], Any]) -> Any:
        if key not in self._last:
            self._last.clear()  # first: no two columns are held at once
            self._last[key] = read()
        return self._last[key]

    def value(self, name: str, position: int) -> str:
        """A value as people are shown it."""
        raw, place = self.raw(name), self._place(position)
        return as_shown(raw.iloc[place] if hasattr(raw, "iloc") else raw[place].as_py())

    def _place(self, position: int) -> int:
        """Where that row stands among all rows."""
        return position if self.positions is None else int(self.positions[position])


@dataclass(frozen=True, eq=False)
class Column:
    """A column as its distinct values in text, and for each row the position of its value, -1 where it is missing."""

    codes: NDArray[np.int32]
    texts: Any  # a pyarrow array of large strings
    kind: Kind = "text"
    """What the values were before they became texts."""

    @classmethod
    def of(cls, raw: Any) -> Column:
        """From a pandas series or a pyarrow array; TypeError or ValueError, as a phrase, for what is neither.

        The empty text is a missing value, since a text file cannot tell them apart.
        """
        return _without_empty(_from_arrow(raw) if type(raw).__module__.startswith("pyarrow") else _from_series(raw))

    @cached_property
    def values(self) -> NDArray[np.object_]:
        """The distinct values as Python's texts."""
        found: NDArray[np.object_] = self.texts.to_numpy(zero_copy_only=False)
        return found

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many rows hold each value, (values,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))


def as_text(parts: Sequence[Any], where: str) -> list[Any]:
    """Columns of one name and different types as pyarrow dictionaries of text, so that equal values meet."""
    import pyarrow as pa

    try:
        columns = of_same_values([Column.of(part) for part in parts])
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} {error}") from None
    values = columns[0].texts.cast(pa.string())
    return [
        pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array(each.codes, mask=each.codes < 0), values)])
        for each in columns
    ]


def of_same_values(columns: list[Column]) -> list[Column]:
    """The columns with the same values; numbers that one has as text and another as a number meet.

    So do floats, which a text file writes as 1.0 throughout, and whole numbers; decimals of other scales; times of
    other units; and truth values. Two texts of one column never do, but -0.0 and 0.0.
    """
    import pyarrow as pa

    if all(column.texts is columns[0].texts for column in columns) and not _are_floats(columns[0]):
        return columns
    columns = _written_alike(columns)
    found = pa.concat_arrays([column.texts for column in columns]).dictionary_encode()
    ends = np.cumsum([len(column.texts) for column in columns])[:-1]
    return [
        replace(column, codes=np.append(own, np.int32(-1))[column.codes], texts=found.dictionary)
        for column, own in zip(columns, np.split(_indices(found), ends), strict=True)
    ]


def _written_alike(columns: list[Column]) -> list[Column]:
    """The columns, a value that several may have written in all of them as in one."""
    kinds = {column.kind for column in columns if len(column.texts)}
    if kinds == {"time"}:
        return _times_alike(columns)
    if kinds == {"decimal"}:
        scales = {len(column.texts[0].as_py().partition(".")[2]) for column in columns if len(column.texts)}
        return columns if len(scales) < 2 else [_without_scale(column) for column in columns]
    if kinds & {"number", "decimal"} and len(kinds) > 1:
        return [
            _without_scale(column) if column.kind != "text" else replace(column, texts=_plain_numbers(column.values))
            for column in columns
        ]
    if kinds == {"text", "truth"}:
        return [column if column.kind == "truth" else _truths_as_python_does(column) for column in columns]
    floats = [_are_floats(column) for column in columns]
    if any(floats):
        columns = [_with_one_zero(column) if own else column for column, own in zip(columns, floats, strict=True)]
        plain = [_plain_floats(column.values) for column in columns]
        if all(len(set(texts)) == len(texts) for texts in plain):
            return [replace(column, texts=as_strings(texts)) for column, texts in zip(columns, plain, strict=True)]
    return columns


def text_numbers(texts: Iterable[str], decimal: str = ".") -> NDArray[np.float64]:
    """Texts as numbers, true, yes, false and no as 1 and 0; infinite where a text is no number."""
    found = []
    for text in texts:
        plain = text.strip()
        if decimal != ".":
            plain = "" if "." in plain else plain.replace(decimal, ".")
        if _NUMBER.fullmatch(plain) and plain.isascii():
            found.append(float(plain))
        else:
            found.append(TRUTHS.get(plain.lower(), np.inf))
    return np.array(found, np.float64)


def _numbers_of(texts: Sequence[str] | NDArray[np.object_], decimal: str) -> NDArray[np.float64]:
    """The texts of a column as numbers; words such as "no" are some only where all numbers are 0 and 1."""
    numbers = text_numbers(texts, decimal)
    words = np.array([text.strip().lower() in TRUTHS for text in texts], np.bool_)
    if words.any() and not np.isin(numbers[~words], (0, 1)).all():
        numbers[words] = np.inf
    return numbers


def float_texts(numbers: NDArray[Any]) -> NDArray[np.object_]:
    """Whole numbers without their ".0": a column of integers becomes floats as soon as one value is missing."""
    texts = numbers.astype(str).astype(object)
    whole = np.abs(numbers) < 2**53
    whole[whole] = numbers[whole] % 1 == 0
    texts[whole] = numbers[whole].astype(np.int64).astype(str)
    return texts


def as_shown(value: Any) -> str:
    """A value as people are shown it: texts in quotes, long ones cut."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:60] + "…")
    return "nan" if value is None else str(value)


def as_strings(texts: Sequence[str] | NDArray[np.object_]) -> Any:
    """Texts as a pyarrow array of large strings; ValueError, as a phrase, for what cannot be written as UTF-8."""
    import pyarrow as pa

    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        raise ValueError("holds halves of characters (surrogates), which no file can hold; mend it") from None


_FLOAT = r"^-?(\d+\.\d+(e[+-]\d+)?|\de[+-]\d+|inf)$"


def _are_floats(column: Column) -> bool:
    """Whether texts are those of floats, each written as Python does; then each is another number, or -0.0."""
    import pyarrow.compute as pc

    if column.kind != "text" or not len(column.texts):
        return False
    for some in (column.texts[:100], column.texts):
        if not pc.all(pc.match_substring_regex(some, _FLOAT)).as_py():
            return False
    return bool((column.values.astype(np.float64).astype(str) == column.values).all())


def _with_one_zero(column: Column) -> Column:
    """-0.0 and 0.0 as one value."""
    import pyarrow.compute as pc

    return _distinct(replace(column, texts=pc.replace_substring_regex(column.texts, r"^-0\.0$", "0.0")), sure=False)


def _without_scale(column: Column) -> Column:
    """Decimals as floats are written: 1.50 as 1.5, and 1.00 as 1."""
    import pyarrow.compute as pc

    if column.kind != "decimal":
        return column
    whole = pc.replace_substring_regex(column.texts, r"\.0+$", "")
    return replace(column, texts=pc.replace_substring_regex(whole, r"(\.\d*[1-9])0+$", r"\1"))


def _truths_as_python_does(column: Column) -> Column:
    """The texts true and TRUE as True; as they are where a column has two of these."""
    texts = [text.capitalize() if text.lower() in ("true", "false") else text for text in column.values]
    return replace(column, texts=_where_once(texts, column.values))


def _times_alike(columns: list[Column]) -> list[Column]:
    """Times in as many digits as the longest need; within a column all have as many."""
    import pyarrow.compute as pc

    first = [column.texts[0].as_py() if len(column.texts) else "" for column in columns]
    digits = [len(re.sub(r".*\.|[+-]\d\d:\d\d$", "", text)) if "." in text else 0 for text in first]
    clock, most = any(":" in text for text in first), max(digits)
    found = []
    for column, text, own in zip(columns, first, digits, strict=True):
        texts = column.texts
        if clock and ":" not in text:
            texts = pc.replace_substring_regex(texts, "$", " 00:00:00")
        if own < most:
            more = ("" if own else ".") + "0" * (most - own)
            texts = pc.replace_substring_regex(texts, r"([+-]\d\d:\d\d)?$", rf"{more}\1")
        found.append(replace(column, texts=texts))
    return found


def _plain_floats(texts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Texts in which those of floats, each written as Python does, are written without a fraction of 0."""
    import pyarrow.compute as pc

    found = texts.copy()
    floats = np.flatnonzero(pc.match_substring_regex(as_strings(texts), _FLOAT).to_numpy(zero_copy_only=False))
    numbers = texts[floats].astype(np.float64)
    written = numbers.astype(str) == texts[floats]
    found[floats[written]] = float_texts(numbers[written])
    return found


def _plain_numbers(texts: NDArray[np.object_]) -> Any:
    """Texts that are numbers written as numbers of another type would be: "1.0" as "1"; "007" stays.

    So do "1e1" and "10" where both are there: they are two values.
    """
    found = texts.copy()
    for place, text in enumerate(texts):
        if ("." in text or "e" in text or "E" in text) and re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text):
            found[place] = float_texts(np.array([float(text)]))[0]
    return _where_once(found, texts)


def _where_once(found: Sequence[str] | NDArray[np.object_], texts: NDArray[np.object_]) -> Any:
    """What was found for each text, but the text itself where the same was found for another."""
    often = Counter(found)
    return as_strings([own if often[text] > 1 else text for own, text in zip(texts, found, strict=True)])


def _from_series(column: pd.Series[Any]) -> Column:
    import pandas as pd
    import pyarrow as pa

    if column.dtype.kind == "M":  # days and times, written as in a text file
        return _from_arrow(pa.Array.from_pandas(column))
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        raise TypeError(_COMPOUND) from None
    values = np.asarray(distinct)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "complex":
        raise TypeError(_COMPLEX)
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        kinds = {type(value).__name__: value for value in values}
        shown = ", ".join(f"{as_shown(value)} ({name})" for name, value in sorted(kinds.items())[:3])
        raise ValueError(f"mixes types: {shown}; write all its values as text or all as numbers")
    if kind in ("floating", "mixed-integer-float"):
        texts = float_texts(values if values.dtype == np.float32 else values.astype(np.float64))
    elif kind in ("string", "empty"):
        texts = values.astype(object)
    else:
        texts = np.array([str(value) for value in values], object)
    numeric = kind in ("integer", "floating", "mixed-integer-float")
    was: Kind = "number" if numeric else "truth" if kind == "boolean" else "text"
    return _distinct(Column(codes.astype(np.int32), as_strings(texts), was), sure=kind == "string")


def _from_arrow(column: Any) -> Column:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if isinstance(chunked.type, pa.BaseExtensionType):
        if chunked.type.extension_name == "arrow.uuid":  # stored as bytes, as which older releases give them to pandas
            return _from_series(pd.Series(chunked.to_pylist(), dtype=object).map(str, na_action="ignore"))
        if chunked.type.extension_name == "pandas.period":  # stored as numbers
            return _from_series(chunked.to_pandas().map(str, na_action="ignore"))
        chunked = pa.chunked_array([chunk.storage for chunk in chunked.chunks], chunked.type.storage_type)
    if kinds.is_nested(chunked.type):
        raise TypeError(_COMPOUND)
    if kinds.is_float16(chunked.type):
        chunked = chunked.cast(pa.float32())
    chunked = _with_wide_decimals(chunked)
    sure = kinds.is_string(chunked.type) or kinds.is_large_string(chunked.type)
    if not kinds.is_dictionary(chunked.type):
        if kinds.is_floating(chunked.type):
            chunked = pc.if_else(pc.is_nan(chunked), pa.scalar(None, chunked.type), chunked)
        if kinds.is_null(chunked.type):
            return Column(np.full(len(chunked), -1, np.int32), as_strings([]))
        chunked = chunked.dictionary_encode()
    if chunked.type.index_type != pa.int32():  # 8 bits may be too few for the values of all parts
        wide = ((chunk.indices.cast(pa.int32()), chunk.dictionary) for chunk in chunked.chunks)
        parts = [pa.DictionaryArray.from_arrays(*each) for each in wide]
        chunked = pa.chunked_array(parts, pa.dictionary(pa.int32(), chunked.type.value_type))
    chunked = chunked.unify_dictionaries()
    if not chunked.num_chunks:
        return Column(np.array([], np.int32), as_strings([]))
    codes = np.concatenate([_indices(chunk) for chunk in chunked.chunks])
    values = chunked.chunk(0).dictionary
    return _distinct(Column(codes, _arrow_texts(values), _kind(values.type)), sure=sure)


def _kind(of: Any) -> Kind:
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_integer(of) or kinds.is_floating(of):
        return "number"
    if kinds.is_timestamp(of) or kinds.is_date(of) or kinds.is_time(of):
        return "time"
    return "decimal" if kinds.is_decimal(of) else "truth" if kinds.is_boolean(of) else "text"


def _with_wide_decimals(column: Any) -> Any:
    """Decimals of few bits as those of 128, for which Arrow does more."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    return column


def _without_empty(column: Column) -> Column:
    """The column with its empty text, if it has one, as a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    place = -1 if column.kind == "number" else pc.index(column.texts, pa.scalar("", column.texts.type)).as_py()
    if place < 0:
        return column
    codes = np.where(column.codes == place, -1, column.codes - (column.codes > place)).astype(np.int32)
    return replace(column, codes=codes, texts=pa.concat_arrays([column.texts[:place], column.texts[place + 1 :]]))


def _indices(chunk: Any) -> NDArray[np.int32]:
    found: NDArray[np.int32] = chunk.indices.fill_null(-1).to_numpy().astype(np.int32, copy=False)
    return found


def _arrow_texts(values: Any) -> Any:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_floating(kind):
        plain = values.cast(pa.float32()) if pa.types.is_float16(kind) else values
        return as_strings(float_texts(plain.to_numpy(zero_copy_only=False)))
    if pa.types.is_boolean(kind):
        return as_strings([str(value) for value in values.to_pylist()])
    if pa.types.is_duration(kind):
        values = values.cast(pa.int64())
    try:
        texts = values.cast(pa.string()).cast(pa.large_string())
        return _times_in_short(texts, kind) if pa.types.is_timestamp(kind) or pa.types.is_time(kind) else texts
    except pa.ArrowInvalid as error:
        what = "bytes that are no UTF-8 text" if "binary" in str(kind) else f"what is no {kind} ({error})"
        raise ValueError(f"holds {what}; drop it or write it as text") from None
    except pa.ArrowNotImplementedError:
        raise TypeError(f"is of the type {kind}, which is no text; drop it or convert it") from None


def _times_in_short(texts: Any, kind: Any) -> Any:
    """Times in as few digits as all need, and dates without times of 0 if all are so: as pandas writes them to text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def without(end: str, texts: Any) -> Any:
        alike = pc.all(pc.match_substring_regex(texts, end)).as_py()
        return pc.replace_substring_regex(texts, end, r"\1\2") if alike else texts

    for fraction in (r"(\.\d{6})000", r"(\.\d{3})0+", r"()\.0+"):
        texts = without(fraction + r"(Z|[+-]\d+|)$", texts)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return without(r"() 00:00:00()$", texts)
    return pc.replace_substring_regex(pc.replace_substring(texts, "Z", "+00:00"), r"([+-]\d\d)(\d\d)$", r"\1:\2")


def _distinct(column: Column, *, sure: bool) -> Column:
    """The column with each text once: several numbers may be written alike, and a dictionary may hold a value twice.

    Nobody looks where that is sure.
    """
    import pyarrow.compute as pc

    if not column.texts.null_count and (sure or pc.count_distinct(column.texts).as_py() == len(column.texts)):
        return column
    found = column.texts.dictionary_encode()
    return replace(column, codes=np.append(_indices(found), np.int32(-1))[column.codes], texts=found.dictionary)


def _floats(column: Any, decimal: str) -> NDArray[np.float64]:
    """The column as numbers: NaN where a value is missing, infinite where it is no number."""
    if type(column).__module__.startswith("pyarrow"):
        return _arrow_floats(column, decimal)
    import pandas as pd

    if column.dtype.kind in "mM":  # durations, dates
        return np.where(column.isna(), np.nan, np.inf)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        texts = list({value for value in column if isinstance(value, str)})
        read = dict(zip(texts, _numbers_of(texts, decimal).tolist(), strict=True))  # pandas may miss the nearest
        read[""] = np.nan  # as in a text file
        column = column.map(lambda value: read[value] if isinstance(value, str) else value).astype(object)
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.dtype.kind == "c":
        raise TypeError(_COMPLEX)
    found = numbers.to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(found) & ~column.isna().to_numpy(), np.inf, found)


def _arrow_floats(column: Any, decimal: str) -> NDArray[np.float64]:
    import pyarrow as pa

    kinds = pa.types
    kind = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    if kinds.is_nested(kind):
        raise TypeError(_COMPOUND)
    if kinds.is_decimal(kind) or kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind):
        plain = _with_wide_decimals(column.cast(kind) if kinds.is_dictionary(column.type) else column)
        plain = plain.cast(pa.int8()) if kinds.is_boolean(kind) else plain
        plain = plain.cast(pa.string()) if kinds.is_decimal(kind) else plain  # else not always the nearest double
        numbers: NDArray[np.float64] = plain.cast(pa.float64(), safe=False).to_numpy().astype(np.float64, copy=False)
        return numbers
    if kinds.is_null(kind):
        return np.full(len(column), np.nan)
    if kinds.is_temporal(kind):
        return np.where(column.is_null().to_numpy(), np.nan, np.inf)
    found = Column.of(column)
    return np.append(_numbers_of(found.values, decimal), np.nan)[found.codes]
