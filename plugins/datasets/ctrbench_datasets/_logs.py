"""From logs as read to splits: roles, labels, time and codings, for all data sets that come from files.

In: one `Log`, or one per split, and a `Recipe` that says what its columns are. Out: `Splits` with notes on everything
that was found; or a UserError that names the column and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from ctrbench import (
    Coding,
    Column,
    Field,
    Rows,
    Splits,
    UserError,
    counted,
    did_you_mean,
    encode_splits,
    plain,
)
from numpy.typing import NDArray

from ctrbench_datasets._decimals import has_decimal_commas, possible_thousands
from ctrbench_datasets._labels import LabelRule, check_label
from ctrbench_datasets._reading import Log
from ctrbench_datasets._remarks import of_fields, of_sequences
from ctrbench_datasets._times import FEATURES, Instants, duration, instants

RATIOS = (0.8, 0.1, 0.1)

SHARE_AT_ONCE = 0.01
"""Where more rows than this share have one time, which of them are in train is worth a note."""

Split = Literal["", "chance", "time", "days", "user"]
PerField = int | str | tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """What the columns of a log are, how it is split and how its values become codes and numbers.

    `min_count`, `top` and `hash` are a number for all categorical fields, or "field:number" for some; `scale` and
    `bins` a word for all numeric fields, or "field:word" for some. Everything else is as for the parameters of
    `csv_log`.
    """

    label: str = "label"
    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    sequence: tuple[str, ...] = ()
    time: str = ""
    time_format: str = ""
    derive: tuple[str, ...] = ()
    split: Split = ""
    ratios: tuple[float, float, float] = RATIOS
    gap: str = ""
    decimal: str = ""
    min_count: PerField = 1
    top: PerField = 0
    hash: PerField = 0
    scale: str | tuple[str, ...] = ""
    bins: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        if min(self.ratios) <= 0 or not abs(sum(self.ratios) - 1) <= 1e-6:
            raise UserError(f"ratios={self.ratios} must be three positive shares that add up to 1")
        if self.decimal not in ("", ".", ","):
            raise UserError(f'decimal={self.decimal} must be a point or a comma in quotes, as in decimal=","')
        for feature in self.derive:
            if feature not in FEATURES:
                raise UserError(f"derive={feature} is no feature of a time; there are {', '.join(FEATURES)}")
        if self.derive and not self.time:
            raise UserError(f"derive={self.derive[0]} needs a time column: say time=")
        if self.time_format and not self.time:
            raise UserError(f"time_format={self.time_format} needs a time column: say time=")
        if self.kind in ("time", "days") and not self.time:
            raise UserError(f"split={self.kind} needs a time column: say time=")
        if self.kind == "user" and not self.user:
            raise UserError("split=user needs a column of users: say user=")
        if self.gap:
            duration(self.gap, "gap")
            if self.kind not in ("time", "days"):
                raise UserError(f"gap={self.gap} is for a split by time: say time=, or leave it out")
        _codings(self, self.numeric, ())

    @property
    def kind(self) -> str:
        """How one log is split."""
        return self.split or ("time" if self.time else "chance")

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The columns that each parameter names."""
        one = {"time": (self.time,) if self.time else ()}
        many = {name: getattr(self, name) for name in ("drop", "sequence", "user", "item", "numeric", "keep")}
        return one | many


def make_splits(logs: Sequence[Log], recipe: Recipe, *, seed: int, source: str, notes: Sequence[str] = ()) -> Splits:
    """The splits of one log, by the recipe; of train and test, where valid is taken from train; or of three logs.

    The seed decides what is random; `source` is put in front of errors.
    """
    rule = LabelRule.of(recipe.label, logs[0].names).reading(logs, recipe.decimal)
    called = {1: ("",), 2: (", train", ", test"), 3: (", train", ", valid", ", test")}[len(logs)]
    sources = [source + split for split in called]
    for place, log in enumerate(logs):
        notes = [*notes, *_check_there(log, logs[0], rule, (*recipe.drop, *recipe.sequence), source)]
        check_label(rule, log, sources[place], judged=place > 0)
    roles = _roles(recipe, rule, logs[0], source)
    logs = [rule.labels(log, each) for log, each in zip(logs, sources, strict=True)]
    _check_compound(logs[0], roles, source)
    if len(logs) == 3 and (
        recipe.split or recipe.ratios != RATIOS or recipe.gap or (recipe.time and not recipe.derive)
    ):
        raise UserError(f"{source}: a folder is split already; leave out time and ratios, or name one file")
    times = _times(logs, recipe, source, sources)
    told = [note for each in times for note in each.notes]
    parts, of_split = _split(logs, rule.column, times, recipe, seed, source)
    fields = [field for name in logs[0].names if (field := _field(name, roles, recipe)) is not None]
    derived, rows = _derived(logs, times, parts, recipe, fields)
    unnamed = {field.name for field in fields if field.kind == "categorical" and field.name not in roles}
    codings, by_comma = _with_decimals(_codings(recipe, recipe.numeric, [f.name for f in fields]), logs, recipe)
    if rule.decimal == "," and not recipe.decimal:
        by_comma = [f"label {rule.column!r} has decimal commas", *by_comma]
    splits = encode_splits(
        *rows,
        label=rule.column,
        fields=[*fields, *derived],
        source=source,
        notes=[*notes, *dict.fromkeys(note for log in logs for note in log.notes), *told, *of_split, *by_comma],
        codings=codings,
        keep=recipe.keep,
        identifiers=unnamed,
    )
    extra = [*of_sequences(logs[0], recipe.sequence), *of_fields(splits.train, recipe.numeric)]
    apart = recipe.kind if len(logs) < 3 and recipe.kind != "chance" else ""
    return replace(splits, notes=tuple(map(plain, (*splits.notes, *extra))), apart=apart)


def _check_there(log: Log, first: Log, rule: LabelRule, unused: Sequence[str], source: str) -> list[str]:
    """A note on columns that only this log has; UserError for one that only the first has, and that is used."""
    there = set(log.names)
    needed = set(first.names) - set(unused) | {rule.column}
    lacking = [name for name in first.names if name in needed and name not in there]
    if lacking:
        name = rule.column if rule.column in lacking else lacking[0]
        what = "label" if name == rule.column else "column"
        raise UserError(
            f"{source}: {log.files[0][0]} lacks the {what} {name!r} that {first.files[0][0]} has; splits need the "
            "same columns"
        )
    known = set(first.names)
    more = [name for name in log.names if name not in known]
    shown = ", ".join(more[:5])
    return [f"{log.files[0][0]} has columns that {first.files[0][0]} lacks, left out: {shown}"] if more else []


def _roles(recipe: Recipe, rule: LabelRule, log: Log, source: str) -> dict[str, str]:
    """For each named column the parameter that names it; UserError for one that does not exist or is named twice."""
    roles = {rule.column: "label"}
    problems = []
    for parameter, names in recipe.named.items():
        for name in names:
            if name not in log.names:
                problems.append(
                    f"{parameter}={name} is not a column; {did_you_mean(name, log.names, 'the columns are')}"
                )
                continue
            if parameter == "keep":
                continue
            other = roles.setdefault(name, parameter)
            if other != parameter and not (parameter == "numeric" and other in ("user", "item")):
                problems.append(f"{parameter}={name} is named by {other} too; leave one out")
    if problems:
        raise UserError(f"{source}: {'; '.join(problems)}")
    return roles


def _check_compound(log: Log, roles: Mapping[str, str], source: str) -> None:
    import pyarrow as pa

    found = [
        column.name
        for column in log.columns.schema
        if pa.types.is_nested(column.type) and roles.get(column.name) not in ("drop", "sequence")
    ]
    if found:
        listed = ", ".join(map(repr, found[:5]))
        fix = found[0] if len(found) == 1 else f"({', '.join(found[:5])})"
        raise UserError(
            f"{source}: the columns {listed} hold lists or other compound values; drop={fix} leaves them out, and so "
            "does "
            f"sequence={fix}, which describes them"
        )


def _field(name: str, roles: Mapping[str, str], recipe: Recipe) -> Field | None:
    role = roles.get(name)
    if role in ("label", "time", "drop", "sequence"):
        return None
    return Field(
        name,
        "numeric" if name in recipe.numeric else "categorical",
        "user" if role == "user" else "item" if role == "item" else "context",
    )


# Time and splits


def _times(logs: Sequence[Log], recipe: Recipe, source: str, sources: Sequence[str]) -> list[Instants]:
    if not recipe.time:
        return []
    where = f"{source}: time {recipe.time!r}"
    found = [
        instants(log.columns[recipe.time], recipe.time_format, f"{each}: time {recipe.time!r}", log.where)
        for log, each in zip(logs, sources, strict=True)
    ]
    if not all(each.calendar for each in found) and (recipe.derive or recipe.kind == "days"):
        asked = f"derive={recipe.derive[0]}" if recipe.derive else "split=days"
        raise UserError(f"{where} holds no dates and no epochs, so {asked} cannot be; say time_format=, as in %y%m%d%H")
    if not found[0].calendar and recipe.gap and not recipe.gap.strip().replace(".", "", 1).isdecimal():
        raise UserError(
            f"{where} holds no dates and no epochs, so gap={recipe.gap} cannot be; say it as a number alone"
        )
    return found


def _split(
    logs: Sequence[Log], label: str, times: Sequence[Instants], recipe: Recipe, seed: int, source: str
) -> tuple[list[tuple[int, NDArray[np.int64]]], list[str]]:
    """For train, valid and test the log and its rows; and what is worth noting."""
    if len(logs) == 3:
        return [(place, np.arange(len(log))) for place, log in enumerate(logs)], []
    log, kind = logs[0], recipe.kind
    shares = np.array(recipe.ratios if len(logs) == 1 else (*recipe.ratios[:2], 0.0))
    cuts = np.round(np.cumsum(shares / shares.sum())[:2] * len(log)).astype(int)
    notes = [f"valid is {shares[1] / shares.sum():.0%} of the train file, by {kind}"] if len(logs) == 2 else []
    if kind == "chance":
        order = np.random.default_rng(seed).permutation(len(log))
        labels = Rows(log.columns, log.where).numbers(label)
        if (by_class := _by_class(labels, order, cuts)) is not None:
            notes.append("chance left a split without clicks, so clicks and other rows were shared out apart")
            order = by_class
    elif kind == "user":
        order, cuts = _by_user(log, recipe, cuts, seed, source)
    else:
        order = times[0].order
        if kind == "days":
            cuts = _at_days(times[0].days[order], cuts, f"{source}: time {recipe.time!r}", ends=len(logs) == 2)
        elif (rows := _at_one_time(times[0], order, cuts)) > len(log) * SHARE_AT_ONCE:
            cut = f"split=time cuts among {rows:,} rows of one time, by their order in the file"
            notes.append(f"{cut}; split=days cuts between days" if times[0].calendar else cut)
    parts = [np.asarray(rows) for rows in np.split(order, cuts)]
    if recipe.gap:
        parts, without = _with_gap(parts, times[0], duration(recipe.gap, "gap"))
        notes.append(f"gap={recipe.gap}: {counted(without, 'row')} between the splits left out")
    if kind != "chance":
        notes.append(
            f"split by {kind}: train, valid and test differ by more than chance, "
            "so metrics of synthetic rows have no verdict"
        )
    found = [(0, rows) for rows in parts]
    return (found if len(logs) == 1 else [*found[:2], (1, np.arange(len(logs[1])))]), notes


def _by_class(labels: NDArray[np.float64], order: NDArray[np.int64], cuts: NDArray[Any]) -> NDArray[np.int64] | None:
    """The rows ordered so that each split has its share of clicks; None where each has both classes, or cannot."""
    parts = [part for part in np.split(labels[order], cuts) if len(part)]
    if not np.isin(labels, (0, 1)).all() or all(0 < part.mean() < 1 for part in parts):
        return None
    clicks, others = order[labels[order] == 1], order[labels[order] == 0]
    shares = np.round(cuts / len(labels) * len(clicks)).astype(int)
    of_clicks = np.split(clicks, shares)
    of_others = np.split(others, cuts - shares)
    if any(not len(part) for part in (*of_clicks[: len(parts)], *of_others[: len(parts)])):
        return None
    return np.concatenate([np.concatenate(pair) for pair in zip(of_clicks, of_others, strict=True)])


def _by_user(
    log: Log, recipe: Recipe, cuts: NDArray[Any], seed: int, source: str
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The rows user by user, users in random order, and cuts between two users."""
    column = Column.of(log.columns[recipe.user[0]])
    codes = np.where(column.codes < 0, len(column.values), column.codes)  # rows without a user stay together
    present = np.unique(codes)
    if len(present) < 3:
        raise UserError(f"{source}: user={recipe.user[0]} has {len(present)} values, too few for split=user")
    place = np.empty(len(column.values) + 1, np.int64)
    place[np.random.default_rng(seed).permutation(present)] = np.arange(len(present))
    order = np.argsort(place[codes], kind="stable")
    return order, _nearest(np.flatnonzero(np.diff(place[codes][order])) + 1, cuts)


def _at_one_time(times: Instants, order: NDArray[np.int64], cuts: NDArray[Any]) -> int:
    """How many rows have a time that stands on both sides of a cut."""
    inside = [cut for cut in cuts if 0 < cut < len(order)]
    one, other = order[np.array(inside, int) - 1], order[inside]
    parted = one[(times.coarse[one] == times.coarse[other]) & (times.fine[one] == times.fine[other])]
    shared = {(times.coarse[at], times.fine[at]) for at in parted}
    return sum(int(((times.coarse == coarse) & (times.fine == fine)).sum()) for coarse, fine in shared)


def _at_days(days: NDArray[np.int64], cuts: NDArray[Any], where: str, *, ends: bool) -> NDArray[Any]:
    starts = np.flatnonzero(np.diff(days)) + 1
    wanted = 1 if ends else 2
    if len(starts) < wanted:
        raise UserError(f"{where} has {len(starts) + 1} days, too few for split=days; use split=time")
    return _nearest(starts, cuts) if not ends else np.array([_nearest(starts, cuts[:1])[0], cuts[1]])


def _nearest(allowed: NDArray[Any], cuts: NDArray[Any]) -> NDArray[Any]:
    """The allowed cut nearest to each, all of them different."""
    first = int(np.argmin(np.abs(allowed - cuts[0])))
    if len(cuts) == 1:
        return allowed[[first]]
    first = min(first, len(allowed) - 2)
    rest = allowed[first + 1 :]
    return np.array([allowed[first], rest[int(np.argmin(np.abs(rest - cuts[1])))]])


def _with_gap(parts: list[NDArray[np.int64]], times: Instants, seconds: float) -> tuple[list[NDArray[np.int64]], int]:
    """The parts without the rows of valid and test that are less than the gap after the split before them."""
    kept, without = [parts[0]], 0
    for rows in parts[1:]:
        if len(rows) and len(kept[-1]):
            far = times.coarse[rows] >= times.coarse[kept[-1]].max() + seconds
            without += int((~far).sum())
            rows = rows[far]
        kept.append(rows)
    return kept, without


def _derived(
    logs: Sequence[Log],
    times: Sequence[Instants],
    parts: Sequence[tuple[int, NDArray[np.int64]]],
    recipe: Recipe,
    fields: Sequence[Field],
) -> tuple[list[Field], list[Rows]]:
    """The fields derived from the time, and the rows of each split with them."""
    taken = {field.name for field in fields}
    derived = []
    first = float(times[0].coarse[parts[0][1]].min()) if recipe.derive and len(parts[0][1]) else 0.0
    for feature in recipe.derive:
        name = feature if feature not in taken else f"{recipe.time}_{feature}"
        derived.append(Field(name, "numeric" if feature == "days" else "categorical"))
        logs = [log.with_column(name, each.feature(feature, first)) for log, each in zip(logs, times, strict=True)]
    whole = [Rows(log.columns, log.where) for log in logs]
    return derived, [whole[place].split(rows) for place, rows in parts]


# Codings


_CODED = {
    "min_count": r"\d+",
    "top": r"\d+",
    "hash": r"\d+",
    "scale": "standard|log",
    "bins": r"criteo|quantiles:\d+",
}
"""What the value of each coding looks like."""

_OF_NUMBERS = ("scale", "bins")
"""Those for numbers; the others are for categories, such as bins."""


def _codings(recipe: Recipe, numeric: Sequence[str], names: Sequence[str]) -> dict[str, Coding]:
    """The coding of each field; UserError for an unknown word, or for a field that is not among `names`."""
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for parameter, pattern in _CODED.items():
        value = getattr(recipe, parameter)
        own_of: dict[str, str] = {}
        for entry in value if isinstance(value, tuple) else (value,):
            own = re.fullmatch(rf"(.*):({pattern})", str(entry), re.DOTALL)
            if own and not re.fullmatch(pattern, str(entry)):
                if names and own[1] not in names:
                    raise UserError(f"{parameter}={entry}: {did_you_mean(own[1], names, 'the fields are')}")
                if names and parameter in _OF_NUMBERS and own[1] not in numeric:
                    raise UserError(f"{parameter}={entry} is for a number: name it in numeric= too, or leave it out")
                if (other := own_of.setdefault(own[1], entry)) != entry:
                    raise UserError(f"{parameter}={entry}: {other} is given too; leave one out")
                given.setdefault(own[1], {})[parameter] = _value(parameter, own[2])
            elif entry not in ("", 0, "0") or parameter == "min_count":
                checked = _value(parameter, entry)
                for name in names:
                    if (name in numeric) == (parameter in _OF_NUMBERS):
                        given[name].setdefault(parameter, checked)
    for name in names:
        useless = [parameter for parameter in given[name] if parameter not in _OF_NUMBERS]
        if name in numeric and "bins" not in given[name] and useless:
            told = f"{useless[0]}={name}:{given[name][useless[0]]}"
            raise UserError(f"{told} is for categories: say bins= too, which makes some of numbers, or leave it out")
    return {name: Coding(**values) for name, values in given.items() if values}


def _value(parameter: str, value: Any) -> Any:
    if parameter == "scale":
        return Coding(scale=value).scale
    if parameter == "bins":
        return Coding(bins=value).bins
    least = 2 if parameter == "hash" else 1
    if not str(value).isdecimal() or int(value) < least:
        raise UserError(f"{parameter}={value} must be a whole number of at least {least}, or field:number")
    return int(value)


def _with_decimals(
    codings: dict[str, Coding], logs: Sequence[Log], recipe: Recipe
) -> tuple[dict[str, Coding], list[str]]:
    """The codings, with the decimal comma where it is given, or where a column's numbers have commas and no points."""
    found, notes = dict(codings), []
    for name in recipe.numeric:
        if (recipe.decimal or ("," if has_decimal_commas(logs, name) else ".")) == ",":
            found[name] = replace(found.get(name, Coding()), decimal=",")
            notes += [] if recipe.decimal else [f"field {name!r} has decimal commas"]
        elif not recipe.decimal and (thousands := possible_thousands(logs, name)):
            notes.append(
                f"field {name!r}: {thousands} is read as a number below 1,000; if its point parts thousands, as all "
                "others of the field suggest, write the numbers without it"
            )
    return found, notes
