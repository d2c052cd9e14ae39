"""Points in time, however they are written.

In: a column of dates, times, epochs or other numbers. Out: the order of its rows, calendar seconds (in UTC) where it
has them, and features derived from these; or a UserError that names the first row without a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from ctrbench import Column, UserError, counted
from numpy.typing import NDArray

from ctrbench_datasets._characters import cut

DAY = 86_400

FIRST_EPOCHS = 1e8
"""Seconds: of 1973."""

DATES = (  # besides ISO 8601
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d, %Y", "%a, %d %b %Y",
)  # fmt: skip
CLOCKS = (
    "", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S", ":%H:%M:%S %z",
    " %H:%M:%S GMT",
)  # fmt: skip

DIGITS = ("%d%m%Y", "%m%d%Y")  # besides those that begin with the year

FEATURES = ("hour", "weekday", "weekend", "days")
"""What can be derived: hour 0 to 23, weekday 1 (Monday) to 7, weekend 0 or 1, whole days since train's first row."""

_ISO = (
    r"^(?P<y>\d{4})-?(?P<m>\d{2})(?:-?(?P<d>\d{2})(?:[T ](?P<H>\d{2})(?::?(?P<M>\d{2})(?::?(?P<S>\d{2})"
    r"(?:[.,](?P<f>\d{1,9})\d*)?)?)?\s?(?P<z>Z|z|UTC|GMT|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)?)?)?$"
)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d|days?|w|weeks?)?")
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": DAY, "day": DAY, "days": DAY, "w": 7 * DAY, "week": 7 * DAY}
_UNITS["weeks"] = 7 * DAY


@dataclass(frozen=True, eq=False)
class Instants:
    """A time for each row: `coarse`, in seconds since 1970 if it is a calendar time, and `fine` to order equal ones."""

    coarse: NDArray[Any]
    fine: NDArray[np.int64]
    calendar: bool
    notes: tuple[str, ...] = ()

    @property
    def order(self) -> NDArray[np.int64]:
        """The rows from the oldest to the newest, those of one time in file order."""
        found: NDArray[np.int64] = np.lexsort((self.fine, self.coarse))
        return found

    @property
    def days(self) -> NDArray[np.int64]:
        """The day of each row, counted from 1970."""
        found: NDArray[np.int64] = np.floor_divide(self.coarse, DAY).astype(np.int64)
        return found

    def feature(self, name: str, first: float) -> NDArray[np.int64]:
        """One of `FEATURES`; `first` is the start of train."""
        if name == "hour":
            found = np.floor_divide(self.coarse, 3600) % 24
        elif name == "days":
            found = np.floor_divide(self.coarse - first, DAY)
        else:
            weekday = (self.days + 3) % 7 + 1  # 1970-01-01 was a Thursday
            found = weekday if name == "weekday" else weekday >= 6
        return found.astype(np.int64)


def instants(raw: Any, format: str, where: str, row: Callable[[int], str]) -> Instants:
    """The times of a pyarrow column; `format` is strptime's, for texts that are not ISO 8601."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds = pa.types
    raw = raw if isinstance(raw, pa.ChunkedArray) else pa.chunked_array([raw])
    kind = raw.type.value_type if kinds.is_dictionary(raw.type) else raw.type
    if kinds.is_dictionary(raw.type) and not (kinds.is_string(kind) or kinds.is_large_string(kind)):
        raw = raw.cast(kind)
    if kinds.is_nested(kind) or kinds.is_boolean(kind) or kinds.is_null(kind):
        raise UserError(f"{where} is of the type {kind}, which is no time; name another column")
    if raw.null_count:
        _refuse(where, row, int(np.argmax(raw.is_null().to_numpy())), "an empty value")
    if kinds.is_timestamp(kind):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        ticks = raw.cast(pa.timestamp(kind.unit)).cast(pa.int64()).to_numpy()
        return _with_odd(Instants(ticks // per_second, ticks % per_second, calendar=True), where, row)
    if kinds.is_date(kind):
        ticks = raw.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
        return _with_odd(_plain(ticks * DAY, calendar=True), where, row)
    if kinds.is_time(kind) or kinds.is_duration(kind):
        wide = pa.int64() if kinds.is_duration(kind) or kind.bit_width == 64 else pa.int32()
        what = "durations" if kinds.is_duration(kind) else "times of day"
        note = f"the values of {where.rsplit(': ', 1)[-1]} are {what} and no dates: rows are put in their order"
        return replace(_plain(raw.cast(wide).to_numpy().astype(np.int64), calendar=False), notes=(note,))
    if kinds.is_integer(kind) and not format:
        return _numbers(raw.to_numpy(), where, row)
    if kinds.is_decimal(kind) and not format and (whole := _int64(raw)) is not None:
        return _numbers(whole, where, row)
    if (kinds.is_floating(kind) or kinds.is_decimal(kind)) and not format:
        values = raw.cast(pa.float64(), safe=False).to_numpy()
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            _refuse(where, row, at, str(values[at]))
        return _numbers(values, where, row)
    try:
        column = Column.of(raw)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} {error}") from None
    if (gone := column.codes < 0).any():  # an empty text
        _refuse(where, row, int(np.argmax(gone)), "an empty value")
    if format:
        return _by_format(column, format, where, row)
    texts = pc.utf8_trim_whitespace(pa.array(column.values.tolist(), pa.string()))
    if pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py():
        if (whole := _int64(pc.replace_substring_regex(texts, r"^\+", ""))) is not None:
            return _numbers(whole[column.codes], where, row)
        values = np.array([float(text) for text in column.values])[column.codes]
        if not np.isfinite(values).all():
            at = int(np.argmin(np.isfinite(values)))
            _refuse(where, row, at, repr(cut(column.values[column.codes[at]])))
        return _numbers(values, where, row)
    return _iso(column, texts, where, row)


def duration(text: str, parameter: str) -> float:
    """The seconds of "12h", "1d", "30m"; a number alone is in the unit of the time column."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UserError(f"{parameter}={text} must be a number with s, m, h, d or w, as in 12h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _int64(values: Any) -> NDArray[np.int64] | None:
    """Texts or decimals as whole numbers; None where one of them is none, or has more digits."""
    import pyarrow as pa

    try:
        found: NDArray[np.int64] = values.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return found


def _plain(values: NDArray[Any], *, calendar: bool) -> Instants:
    return Instants(values, np.zeros(len(values), np.int64), calendar)


def _numbers(values: NDArray[Any], where: str, row: Callable[[int], str]) -> Instants:
    """Numbers in their order: digits of dates, or calendar times if as large as epochs from 1973 to 5138."""
    if (dates := _digits(values, where)) is not None:
        return dates
    sizes = np.abs(values)
    size = float(np.median(sizes)) if len(values) else 0.0
    for low, per_second in ((1e8, 1), (1e11, 10**3), (1e14, 10**6), (1e17, 10**9)):
        if low <= size < 1000 * low:
            coarse, fine = values // per_second, values % per_second
            notes: tuple[str, ...] = ()
            year = int(1970 + size / per_second / (365.2425 * DAY))
            if per_second > 10**3 and not 1995 <= year <= 2100:  # such as 100 ns since the year 1, in .NET
                unit = "microseconds" if per_second == 10**6 else "nanoseconds"
                notes = (
                    f"the values of {where.rsplit(': ', 1)[-1]} are read as {unit} since 1970, so most are of {year}; "
                    "convert them if they count otherwise",
                )
            odd = (sizes < low) | (sizes >= 1000 * low)
            if odd.any():
                at = int(odd.argmax())
                notes += (
                    f"{counted(int(odd.sum()), 'value')} of {where.rsplit(': ', 1)[-1]} in another unit than most, or "
                    f"of no known time: first {values[at]} in {row(at)}; mend or drop such rows",
                )
            if values.dtype.kind == "f":
                return Instants(coarse, (fine * (10**9 // per_second)).astype(np.int64), calendar=True, notes=notes)
            return Instants(coarse.astype(np.int64), fine.astype(np.int64), calendar=True, notes=notes)
    note = f"the numbers of {where.rsplit(': ', 1)[-1]} are no dates and no epochs: rows are put in their order"
    return replace(_plain(values, calendar=False), notes=(note,))


def _with_odd(times: Instants, where: str, row: Callable[[int], str]) -> Instants:
    """The times, with a note where some are of the first years of epochs and most are not: an empty time may be so."""
    odd = times.coarse < FIRST_EPOCHS
    if not odd.any() or np.median(times.coarse) < 10 * FIRST_EPOCHS:
        return times
    note = (
        f"{counted(int(odd.sum()), 'value')} of {where.rsplit(': ', 1)[-1]} before 1973, and most are later: first in "
        f"{row(int(odd.argmax()))}; mend or drop such rows"
    )
    return replace(times, notes=(*times.notes, note))


def _digits(values: NDArray[Any], where: str) -> Instants | None:
    """20260131, and 2026013123 or longer, as what their digits say; None where one of them would be no date."""
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    digits = len(str(int(low))) if low > 0 else 0
    if digits not in (8, 10, 12, 14) or high >= 10**digits or not 1900 <= low // 10 ** (digits - 4) <= 2099:
        return None
    whole = values.astype(np.int64)
    rest = whole * 10 ** (14 - digits)
    parts = [rest // 10**10, *(rest // 10**power % 100 for power in (8, 6, 4, 2, 0))]
    seconds, bad = _seconds(*parts)
    if bad.any() or (whole != values).any() or parts[0].max() > 2099:
        return None
    form = "YYYYMMDDHHMMSS"[:digits]
    return Instants(
        seconds,
        np.zeros(len(values), np.int64),
        calendar=True,
        notes=(f"the values of {where.rsplit(': ', 1)[-1]} are read as {form}",),
    )


def _by_format(column: Column, format: str, where: str, row: Callable[[int], str]) -> Instants:
    seconds, nanos = np.zeros((2, len(column.values)), np.int64)
    for place, text in enumerate(column.values):
        try:
            found = datetime.strptime(text, format)
        except (ValueError, TypeError, re.error):
            at = int(np.argmax(column.codes == place))
            raise UserError(
                f"{where}: {cut(text)!r} in {row(at)} is not written as time_format={format} says"
            ) from None
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        since = found - datetime(1970, 1, 1, tzinfo=UTC)
        seconds[place], nanos[place] = since.days * DAY + since.seconds, since.microseconds * 1000
    return _with_odd(Instants(seconds[column.codes], nanos[column.codes], calendar=True), where, row)


def _iso(column: Column, texts: Any, where: str, row: Callable[[int], str]) -> Instants:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.extract_regex(texts, _ISO)
    bad = found.is_null().to_numpy(zero_copy_only=False)

    def part(name: str, default: int = 0) -> NDArray[np.int64]:
        text = pc.struct_field(found, name)
        text = pc.if_else(pc.equal(pc.fill_null(text, ""), ""), str(default), pc.fill_null(text, str(default)))
        numbers: NDArray[np.int64] = text.cast(pa.int64()).to_numpy()
        return numbers

    year, month, day = part("y", 1970), part("m", 1), part("d", 1)
    hour, minute, second = part("H"), part("M"), part("S")
    zone = pc.fill_null(pc.struct_field(found, "z"), "").to_pylist()
    fraction = pc.fill_null(pc.struct_field(found, "f"), "").to_pylist()
    local, odd = _seconds(year, month, day, hour, minute, second)
    bad |= odd
    if bad.any():
        numbers = pc.match_substring_regex(texts, _NUMBER).to_numpy(zero_copy_only=False)
        bad = bad & ~numbers if (bad & ~numbers).any() else bad  # most may be numbers, and one is not
        at = int(np.argmax(bad[column.codes]))
        _refuse(where, row, at, repr(cut(column.values[column.codes[at]])))
    offsets = {text: _offset(text) for text in set(zone)}
    seconds = local - np.array([offsets[text] for text in zone])
    nanos = np.array([int(text.ljust(9, "0")) if text else 0 for text in fraction], np.int64)
    notes: tuple[str, ...] = ()
    if "" in offsets and len(offsets) > 1:
        without = zone.count("") / len(zone)
        notes = (f"{without:.0%} of the values of {where.rsplit(': ', 1)[-1]} have no offset and are taken for UTC",)
    return _with_odd(Instants(seconds[column.codes], nanos[column.codes], calendar=True, notes=notes), where, row)


def _seconds(
    year: NDArray[np.int64],
    month: NDArray[np.int64],
    day: NDArray[np.int64],
    hour: NDArray[np.int64],
    minute: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Seconds since 1970, and which of them are of no date or no time of day."""
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    length = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) - first
    bad = (month < 1) | (month > 12) | (day < 1) | (day > length) | (hour > 23) | (minute > 59) | (second > 59)
    return (first + day - 1) * DAY + hour * 3600 + minute * 60 + second, bad


def formats_of(texts: Sequence[str]) -> Iterator[str]:
    """How dates other than ISO 8601 are written; nothing where there are two ways, as for 01/02/2026."""
    digits = all(re.fullmatch(r"\d{8}", text) for text in texts)
    there = list(DIGITS) if digits else [f"{date}{clock}" for date in DATES for clock in CLOCKS]
    for text in texts:
        there = [format for format in there if _fits(text, format)]
    if len(there) == 1:
        yield there[0]


def _fits(text: str, format: str) -> bool:
    try:
        datetime.strptime(text, format)
    except ValueError:
        return False
    return True


def _offset(text: str) -> int:
    """Seconds east of Greenwich."""
    if text in ("", "Z", "z", "UTC", "GMT"):
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (1 if text[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def _refuse(where: str, row: Callable[[int], str], at: int, value: str) -> None:
    raise UserError(
        f"{where}: {value} in {row(at)} is no number and no ISO 8601 date; mend or drop the row, or say how times are "
        'written, as in time_format="%d.%m.%Y %H:%M"'
    )
