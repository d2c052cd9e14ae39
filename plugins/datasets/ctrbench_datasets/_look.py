"""What an unknown log seems to be: which column is the click, the user, the item, the time, and which are numbers.

In: the path of a log, and what its owner has already said. Out: a `Proposal` of `csv_log`'s parameters, each with its
reason; or a UserError where no column can be a click. All of it is guessed from names and values, and may be wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ctrbench import (
    Column,
    Missing,
    Proposal,
    UserError,
    bare_name,
    counted,
    did_you_mean,
    giveaway,
    plain,
    quoted,
    text_numbers,
)
from numpy.typing import NDArray

from ctrbench_datasets._characters import WrongEncodingError
from ctrbench_datasets._decimals import has_decimal_commas
from ctrbench_datasets._files import kind_of
from ctrbench_datasets._labels import LabelRule, check_label, meant
from ctrbench_datasets._reading import Log, read_log
from ctrbench_datasets._sources import SPLIT_NAMES, Sources, expanded, find_sources
from ctrbench_datasets._text import WORDS, Dialect, read_text
from ctrbench_datasets._times import Instants, formats_of, instants

CLICKS = ("click", "clicked", "isclick", "isclicked", "clk", "clicks", "clickflag")
LABELS = ("label", "y", "target", "labels", "response", "ctr", "class")
OUTCOMES = (
    "conversion", "converted", "isconversion", "cvr", "purchase", "purchased", "ispurchase", "buy", "bought", "order",
    "cart", "like", "islike", "liked", "follow", "isfollow", "share", "isshare", "comment", "iscomment", "forward",
    "isforward", "hate", "ishate", "longview", "playtime", "playtimems", "dwell", "dwelltime", "watchtime", "revenue",
    "payout", "propensity", "propensityscore", "payingprice",
)  # fmt: skip
"""What is known only after an impression, or is the logging policy's: no feature of it."""

RATINGS = ("rating", "ratings", "stars", "score", "overall", "label")
EVENTS = ("event", "eventtype", "action", "actiontype", "behavior", "behaviour", "behaviortype", "type", "btag")
USERS = (
    "user",
    "userid",
    "uid",
    "user_id",
    "visitor",
    "visitorid",
    "msno",
    "reviewerid",
    "member",
    "memberid",
    "viewer",
)
SESSIONS = ("session", "sessionid", "cookie", "cookieid", "deviceid")
ITEMS = (
    "item", "itemid", "iid", "movie", "movieid", "film", "filmid", "ad", "adid", "adgroupid", "creative", "creativeid",
    "product", "productid", "sku", "asin", "song", "songid", "news", "newsid", "video", "videoid", "article",
    "articleid", "goods", "goodsid", "app", "appid", "banner", "bannerid", "campaign", "campaignid",
    "doc", "docid", "photo", "photoid",
)  # fmt: skip
"""Likelier ones first."""

TIMES = (
    "time", "timestamp", "ts", "datetime", "date", "eventtime", "timems", "eventdate", "hour", "day", "unixreviewtime",
)  # fmt: skip

TURNS, MOST_TURNS = ("hour", "day"), 31
"""Of so few numbers, such a column may begin anew each day or month."""

FEW_TIMES = 10
"""A split by time needs at least this many different times."""

ENOUGH = 50
"""At least this many rows of recurring users (or items), of at least a tenth as many, decide which columns are
theirs."""

BINS = "quantiles:20"

FALLBACK = "cp1252"
"""The encoding of text that is not UTF-8: the commonest of the others, of Windows in western Europe and America."""


@dataclass
class _Look:
    """What has been decided so far, and why."""

    log: Log
    columns: dict[str, Column]
    unread: dict[str, str]  # what is wrong with each of the others
    given: Mapping[str, str]
    parameters: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def decide(self, parameter: str, value: Any, reason: str) -> None:
        self.parameters[parameter] = value
        self.reasons[parameter] = reason

    @property
    def label(self) -> str:
        """The column that the label is about."""
        return LabelRule.of(self.parameters.get("label", ""), self.log.names).column

    @property
    def free(self) -> list[str]:
        """The columns that nothing has been decided about, nor will be: their owner has said what they are."""
        taken = set(self.dropped) | {self.given[role] for role in ("user", "item", "time") if role in self.given}
        for name in ("user", "item", "sequence", "numeric"):
            taken |= set(self.parameters.get(name, ()))
        taken |= {self.parameters.get("time", ""), self.label}
        return [name for name in self.log.names if name not in taken]


def look(path: str, given: Mapping[str, str]) -> Proposal:
    """How `csv_log` should read a log; `given` are the parameters that the user has chosen."""
    sources = find_sources(path)
    if isinstance(sources, Missing):
        raise UserError(sources.reason)
    named_alone = len(sources.all) == 1
    sources, told, passed_over = _with_siblings(sources)
    encoding, why = given.get("encoding", ""), "as you say"
    try:
        log, made_up, form = _read(sources.train, encoding)
    except WrongEncodingError:
        if encoding:
            raise
        encoding, why = FALLBACK, "it is not UTF-8: look at the letters with accents, and say another if they are wrong"
        log, made_up, form = _read(sources.train, encoding)
    if not len(log):
        raise UserError(f"{path}: the table has no rows; give it some")
    found = _Look(log, *_columns(log), given)
    for role in ("user", "item", "time"):
        if role in given and given[role] not in log.names:
            hint = did_you_mean(given[role], log.names, "the columns are")
            raise UserError(f"--{role} {given[role]} is not a column; {hint}")
        if role in ("user", "item") and given.get(role) in found.unread:
            raise UserError(f"--{role} {given[role]} {found.unread[given[role]]}; name another column")
    in_parts = any(len(files) > 1 for files in (sources.valid, sources.test))  # which only their folder can name
    named = os.path.abspath(expanded(path)) if in_parts else _paths(sources.train, path)
    found.decide("path", named, f"{counted(len(log), 'row')}, {len(log.names)} columns{form}")
    found.decide("name", plain(bare_name(path)) or "log", "what tables call it")
    if encoding:
        found.decide("encoding", encoding, why)
    if made_up:
        found.decide("columns", list(log.names), "the first row looks like data: these names are made up")
    _find_label(found)
    apart: list[str] = []
    if named_alone:
        sources, apart = _with_usable_siblings(sources, found)
    for split, files in (("valid", sources.valid), ("test", sources.test)):
        if files and not in_parts:
            found.decide(split, os.path.abspath(files[0]), told)
    _leave_out_outcomes(found)
    _find_time(found, splits_given=bool(sources.test))
    _find_sequences(found)
    _find_owner(found, "user", USERS + SESSIONS)
    _find_owner(found, "item", ITEMS)
    _find_numbers(found)
    _fold_rare(found)
    if found.dropped:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.dropped.items())
        found.decide("drop", list(found.dropped), reasons)
    nobody = [f"no column looks like the {role}: --{role} COLUMN names it" for role in ("user", "item")
              if role not in found.parameters]  # fmt: skip
    notes = [*passed_over, *apart, *nobody, *found.notes, *_possible_pairs(found), *_giveaways(found)]
    return Proposal(found.parameters, found.reasons, found.others, notes, _fallbacks(found))


# Files


def _with_siblings(sources: Sources) -> tuple[Sources, str, list[str]]:
    """One file called like a split, with files next to it that are called like the others and have its columns.

    The reason for the splits, and notes of what is called like one and passed over.
    """
    if len(sources.all) > 1:
        return sources, "as the folder has it", []
    file = sources.train[0]
    words = re.split(r"([A-Za-z]+)", file.name)
    places = [place for place, word in enumerate(words) if word.lower() in SPLIT_NAMES]
    if len(places) != 1:
        return sources, "", []
    begin, end = "".join(words[: places[0]]), "".join(words[places[0] + 1 :])
    found: dict[str, Path] = {}
    notes: list[str] = []
    listed: list[Path] = []
    with suppress(OSError):  # a folder may be open to those who know its files' names
        listed = sorted(file.parent.iterdir())
    for beside in [file, *listed]:
        word = beside.name.removeprefix(begin).removesuffix(end)
        split = SPLIT_NAMES.get(word.lower(), "") if begin + word + end == beside.name else ""
        apart = beside.is_file() and not any(beside.samefile(other) for other in found.values())
        if not (split and split not in found and apart):
            continue
        if _names(beside) == _names(file):
            found[split] = beside
        else:
            notes.append(
                f"{beside.name} is not taken for {split}: its columns or encoding are not those of {file.name}"
            )
    if not {"train", "test"} <= set(found):
        return sources, "", notes
    splits = {split: (beside,) for split, beside in found.items()}
    told = f"stands beside {found['train'].name}; leave it out to split that alone"
    return Sources(**splits), told, notes


def _with_usable_siblings(sources: Sources, found: _Look) -> tuple[Sources, list[str]]:
    """The sources without what stands beside train and has no labels to be judged by, and why not."""
    rule = LabelRule.of(found.parameters["label"], found.log.names).reading([found.log])
    dialect = Dialect(encoding=found.parameters.get("encoding", ""), columns=found.parameters.get("columns", ()))
    notes = []
    for split, files in (("valid", sources.valid), ("test", sources.test)):
        try:
            for file in files:
                log = read_log(file, dialect)
                check_label(rule, log, file.name)
                if len(Column.of(rule.labels(log, file.name).columns[rule.column]).values) < 2:
                    raise UserError(f"{file.name}: label {rule.column!r} has one class only")
        except UserError as error:
            notes.append(
                f"{split} is taken from {sources.train[0].name}, since what stands beside it cannot be: {error}"
            )
            sources = replace(sources, **({"valid": ()} if split == "valid" else {"valid": (), "test": ()}))
    return sources, notes


def _names(file: Path) -> tuple[str, ...] | None:
    try:
        return read_log(file).names
    except UserError:
        return None


def _paths(files: Sequence[Path], path: str) -> str | list[str]:
    """The files as a suite names them, wherever it is run."""
    if len(files) == 1:
        return os.path.abspath(files[0])
    return os.path.abspath(expanded(path))


def _read(files: Sequence[Path], encoding: str) -> tuple[Log, bool, str]:
    """The rows, whether the names of their columns had to be made up, and how the files are written, in words."""
    file, kind = files[0], kind_of(files[0])
    if kind.format != "text":
        spoken = Dialect(encoding=encoding if kind.format == "jsonl" else "")
        return read_log(files, spoken), False, f", {kind.format}"
    columns: tuple[str, ...] = ()
    try:
        text = read_text(file, kind, Dialect(encoding=encoding))
    except UserError as error:
        number = re.search(r"name its (\d+) columns", str(error))
        if number is None:
            raise
        columns = tuple(f"column_{n}" for n in range(1, int(number[1]) + 1))
        text = read_text(file, kind, Dialect(encoding=encoding, columns=columns))
    log = Log(text.table, ((file.name, text.table.num_rows, tuple(text.left_out)),), tuple(text.notes))
    if len(files) > 1:
        log = read_log(files, Dialect(encoding=encoding, columns=columns))
    delimiter = WORDS.get(text.dialect.delimiter, repr(text.dialect.delimiter))
    packed = f", packed as {kind.packing}" if kind.packing else ""
    return log, bool(columns), f", text with {delimiter} between values, {'no' if columns else 'a'} header{packed}"


def _columns(log: Log) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns with one value a row, and what is wrong with each of the others."""
    found, unread = {}, {}
    for name in log.names:
        try:
            found[name] = Column.of(log.columns[name])
        except (TypeError, ValueError) as error:
            unread[name] = str(error).partition(";")[0]
    return found, unread


# The label


def _letters(name: str) -> str:
    """A name as in the lists above: lower-case letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _find_label(found: _Look) -> None:
    if given := found.given.get("label"):
        check = LabelRule.of(given, found.log.names).reading([found.log])
        check_label(check, found.log, f"--label {given}", given_as="--label ")
        check.labels(found.log, f"--label {given}")
        found.decide("label", given, "as you say")
        return
    rules = [rule for rule in (_rule(found, name) for name in found.columns) if rule]
    rules.sort(key=lambda rule: rule.rank)
    named = min(found.log.names, key=lambda name: _rank(_letters(name)), default="")
    rank = _rank(_letters(named))
    only_values = not rules or rules[0].rank >= _UNNAMED
    if only_values and rank < (_OTHERS if rules else _UNNAMED):
        raise _no_label(found, named, str(found.parameters["path"]))
    if not rules:
        raise UserError(
            f"no column of {', '.join(found.log.names[:12])} looks like a click: none has two values or a rating, and "
            'none is called click; say which is, as in --label "rating >= 4" or --label "event == click"'
        )
    best = rules[0]
    if best.rank >= _UNNAMED:  # only values to go by: the last column, or the first
        at_the_ends = [rule for rule in rules if rule.column in (found.log.names[-1], found.log.names[0])]
        best = max(at_the_ends or rules[:1], key=lambda rule: found.log.names.index(rule.column))
    alike = [rule.text for rule in rules if rule is not best and (rule.rank < _UNNAMED or best.rank >= _UNNAMED)]
    alike += [best.opposite] if best.opposite else []
    found.decide("label", best.text, f"{best.share:.2%} of the rows: {best.why}")
    if alike:
        found.others["label"] = tuple(alike[:5])
    if rank < min(best.rank, _OUTCOMES):
        found.notes.append(str(_no_label(found, named, f"{named!r} is not taken for the label")))


def _no_label(found: _Look, name: str, where: str) -> UserError:
    """Why a column that is called like a label cannot be one as it is."""
    try:
        check_label(LabelRule(name), found.log, where, given_as="--label ")
    except UserError as error:
        return error
    column, example = found.columns.get(name), "rating >= 4"
    if column is None:
        what = f"{found.unread[name]}; say which column is the click"
    elif len(column.values) < 2:
        what = "has one value only, so it tells no clicks from other rows; say which column does"
    else:
        what = f"has {len(column.values):,} different values, not 0 and 1; say which of them are clicks"
        example = f"{name} {meant(column, text_numbers(column.values))}"
    return UserError(f'{where}: {name!r} {what}, as in --label "{example}"')


_OTHERS, _OUTCOMES, _UNNAMED = 20, 50, 60
"""Where the ranks begin of names that may mean something else than a click, such as y; of OUTCOMES; of all others."""


@dataclass(frozen=True)
class _Rule:
    column: str
    text: str
    rank: int
    why: str
    share: float
    opposite: str = ""


def _rule(found: _Look, name: str) -> _Rule | None:
    """What would be a click in this column, if anything; a lower rank is likelier."""
    column = found.columns[name]
    letters, values = _letters(name), column.values
    if (column.codes < 0).any() or len(values) < 2:
        return None
    numbers = _numbers(found, name) if letters in RATINGS else text_numbers(values)
    shares = column.counts / len(column.codes)
    rank = _rank(letters)
    if set(numbers) == {0.0, 1.0}:
        kind = "0 and 1" if rank < _UNNAMED else "0 and 1, though its name tells nothing"
        return _Rule(name, name, rank, kind, float(shares[numbers == 1].sum()))
    if (letters in EVENTS or rank < _UNNAMED) and (clicks := [value for value in values if _letters(value) in CLICKS]):
        written = sorted({value.strip() for value in clicks})
        rule = f"{name} == {written[0]}" if len(written) == 1 else f"{name} in ({', '.join(map(quoted, written))})"
        clicked = float(shares[np.isin(values, clicks)].sum())
        return _Rule(name, rule, 30, f"events, of which {', '.join(written)} is one", clicked)
    if (rank >= _UNNAMED and letters not in RATINGS) or not np.isfinite(numbers).all():
        return None
    if len(values) == 2:
        low, high = sorted(range(2), key=lambda place: numbers[place])
        why = f"it has {values[low]} and {values[high]}, of which the larger is taken for the click"
        opposite = f"{name} == {values[low]}"
        return _Rule(name, f"{name} == {values[high]}", rank, why, float(shares[high]), opposite)
    if letters in RATINGS and len(values) <= 21 and 2 < numbers.max() <= 100:
        least = np.ceil(0.8 * numbers.max())
        why = f"ratings up to {numbers.max():g}"
        return _Rule(name, f"{name} >= {least:g}", 40, why, float(shares[numbers >= least].sum()))
    return None


def _rank(letters: str) -> int:
    for first, words in ((0, CLICKS), (_OTHERS, LABELS), (_OUTCOMES, OUTCOMES)):
        if letters in words:
            return first + min(words.index(letters), 9)
    return _UNNAMED


def _leave_out_outcomes(found: _Look) -> None:
    label = found.label
    for name in found.log.names:
        letters = _letters(name)
        if name not in (label, *found.given.values()) and (letters in OUTCOMES or letters in CLICKS):
            found.dropped[name] = "looks like an outcome of the impression, or like its policy's, and no feature of it"


# Time


def _find_time(found: _Look, *, splits_given: bool) -> None:
    given = found.given.get("time")
    likely = [given] if given else [name for name in found.free if _letters(name) in TIMES]
    if not likely:
        written = [name for name in found.free if _is_written_as_time(found.columns.get(name))]
        likely = written if len(written) == 1 else []
    told = [(name, *_instants(found, name)) for name in likely]
    times = sorted(told, key=lambda each: (not _tells(each[1]), each[1] is not None))  # plain numbers tell least
    for name, when, format, complaint in times:
        if when is None:
            if given:
                raise UserError(f"--time {given}: it is no column of times ({complaint}); say another")
            if "time" not in found.parameters and _letters(name) not in TURNS and name in found.columns:
                found.notes.append(f"{name!r} is not taken for the time: {complaint}")
            continue
        distinct = len(np.unique(when.coarse + when.fine / 1e10))
        if _letters(name) in TURNS and distinct <= MOST_TURNS and not when.calendar and not given:
            continue  # of a day or a month: a feature as it is, and no order of rows
        features = ["hour", "weekday"] if when.calendar and len(np.unique(when.coarse // 3600)) > 1 else []
        features = features if features and len(np.unique(when.days)) > 1 else features[:1]
        if "time" in found.parameters or (distinct < FEW_TIMES and not given) or (splits_given and not features):
            others = "time" in found.parameters
            several = "another column is the time" if others else counted(distinct, "different time")
            found.dropped[name] = f"a time that tells too little: {several}"
            continue
        period = f" from {_date(when, np.min)} to {_date(when, np.max)}" if when.calendar else ""
        kept = ", kept as its hour and weekday" if len(features) == 2 else ", kept as its hour" if features else ""
        oldest = "" if splits_given else "; unless split says otherwise the oldest rows are train"
        found.decide("time", name, f"{counted(distinct, 'different time')}{period}{kept}{oldest}")
        if format:
            found.decide("time_format", format, "as its digits look")
        if features:
            found.decide("derive", features, "of the time")


def _is_written_as_time(column: Column | None) -> bool:
    """Dates with a time of day that differs: what is called neither time nor date is no day of birth then."""
    texts = [] if column is None else column.values[:1000].tolist()
    hours = {text[:13] for text in texts if re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text)}
    return len({hour[11:] for hour in hours}) > 1 and all(text[:13] in hours for text in texts)


def _tells(when: Instants | None) -> bool:
    return when is not None and when.calendar


def _instants(found: _Look, name: str) -> tuple[Instants | None, str, str]:
    """The times of a column, and the format that it takes to read them; or what is no time in it."""
    import pyarrow as pa

    kind = found.log.columns.schema.field(name).type
    if (pa.types.is_time(kind) or pa.types.is_duration(kind)) and found.given.get("time") != name:
        return None, "", f"its values are of the type {kind}, without a date; --time {name} puts rows in their order"
    column = found.columns.get(name)
    compact = column is not None and all(
        re.fullmatch(r"\d{2}[01]\d[0-3]\d[0-2]\d", text) for text in column.values[:1000]
    )
    written = [] if column is None else column.values[:1000].tolist()
    read: list[tuple[Instants, str, str]] = []
    complaint = ""
    for format in chain(["%y%m%d%H"] if compact else [], [""], formats_of(written)):
        try:
            when = instants(found.log.columns[name], format, name, found.log.where)
        except UserError as error:
            complaint = str(error).removeprefix(f"{name}: ")
            continue
        if when.calendar:
            return when, format, ""
        read.append((when, format, ""))
    return read[0] if read else (None, "", complaint)


def _date(when: Instants, pick: Callable[[Any], Any]) -> str:
    return str(np.datetime64(int(pick(when.coarse)), "s")).replace("T", " ")


# Users and items


def _find_owner(found: _Look, role: str, words: Sequence[str]) -> None:
    """The identifier of the user or the item, and the columns that have one value for each of them."""
    free = [name for name in found.free if name in found.columns]
    identifier = found.given.get(role)
    if identifier is None:
        likely = sorted((words.index(_letters(name)), name) for name in free if _letters(name) in words)
        identifier = next((name for _, name in likely if len(found.columns[name].values) > 1), None)
    if identifier is None:
        return
    column = found.columns[identifier]
    owned = _owned({name: found.columns[name] for name in free if name != identifier}, column)
    distinct = f"{len(column.values):,} different ones"
    told = f"; {', '.join(owned)} the same in all rows of one" if owned else ""
    found.decide(role, [identifier, *owned], f"{distinct} in {len(column.codes):,} rows{told}")


def _owned(columns: Mapping[str, Column], owner: Column) -> list[str]:
    """The columns that have one value for each owner, as far as owners recur and values vary."""
    order = np.argsort(owner.codes, kind="stable")
    same = np.diff(owner.codes[order]) == 0
    if same.sum() < ENOUGH or len(np.unique(owner.codes[order][1:][same])) < ENOUGH // 10:
        return []
    return [
        name
        for name, column in columns.items()
        if 2 <= len(column.values) <= len(owner.values) and not np.diff(column.codes[order])[same].any()
    ]


# Sequences and numbers


def _find_sequences(found: _Look) -> None:
    import pyarrow as pa

    compound = []
    for name in (name for name in found.unread if name not in found.dropped):
        if pa.types.is_nested(found.log.columns.schema.field(name).type):
            compound.append(name)
        else:
            found.dropped[name] = found.unread[name]
    ids = {*USERS, *SESSIONS}  # such as auth0|5f7c8e
    free = [name for name in found.free if name in found.columns and _letters(name) not in ids]
    joined = [name for name in free if _is_joined(found.columns[name])]
    if compound or joined:
        found.decide("sequence", [*compound, *joined], "several values a row: described, and left out")


def _is_joined(column: Column) -> bool:
    """Lists in one text, recognised by their separator in at least a fifth of the values."""
    return (
        any(np.mean([sign in text for text in column.values]) > 0.2 for sign in "^|") if len(column.values) else False
    )


def _find_numbers(found: _Look) -> None:
    """Columns of quantities: fractions, decimal points, signs, or a floating-point type; not identifiers."""
    open_ = {*found.parameters.get("user", [])[1:], *found.parameters.get("item", [])[1:], *found.free}
    candidates = [name for name in found.log.names if name in found.columns and name in open_]
    numeric = [name for name in candidates if _is_quantity(found, name)]
    if numeric:
        found.decide("numeric", numeric, "fractions, decimal points or signs; all other columns are categories")
        found.decide(
            "bins", BINS, 'in bins of equal size, with one for what is missing; scale = "standard" keeps numbers'
        )


def _possible_pairs(found: _Look) -> list[str]:
    """A note on numbers whose commas might part two values, as in a list that happens to hold pairs alone."""
    names = [name for name in found.parameters.get("numeric", ()) if has_decimal_commas([found.log], name)]
    if not names:
        return []
    [shown, *_] = [text for text in found.columns[names[0]].values if "," in text]
    columns = ", ".join(map(repr, names))
    return [
        f"{columns}: a comma is taken for a decimal point, as in {shown!r}; where it parts two values, name the column "
        "under sequence and not under numeric"
    ]


def _giveaways(found: _Look) -> list[str]:
    """Notes of numbers that tell clicks by themselves, as bins of equal size may no longer show."""
    rule = LabelRule.of(found.parameters["label"], found.log.names).reading([found.log])
    labels = Column.of(rule.labels(found.log, "").columns[rule.column])
    numbers = text_numbers(labels.values)
    clicks = (numbers == numbers.max())[labels.codes]
    notes: list[str] = []
    for name in found.parameters.get("numeric", ()):
        codes = found.columns[name].codes
        notes += giveaway(name, clicks[codes >= 0], _numbers(found, name)[codes[codes >= 0]])
    return notes


def _numbers(found: _Look, name: str) -> NDArray[np.float64]:
    """The values of a column as numbers, with a decimal comma where it has such; infinite where one is none."""
    return text_numbers(found.columns[name].values, "," if has_decimal_commas([found.log], name) else ".")


def _is_quantity(found: _Look, name: str) -> bool:
    values, numbers = found.columns[name].values, _numbers(found, name)
    if not len(numbers) or not np.isfinite(numbers).all():
        return False
    size, whole = np.median(np.abs(numbers)), not (numbers % 1 != 0).any()
    if size >= 2**53:  # as hashes have: a number would lose their last digits
        return False
    if whole and size >= 2**29 and np.mean(numbers < 0) > 0.25:  # hashes of 32 bits, of which one is the sign
        return False
    written = any(re.search(r"[.,]|^\s*-", text) for text in values)
    return not whole or (written and len(values) > 10)


def _fold_rare(found: _Look) -> None:
    rows = len(found.log)
    least = 10 if rows >= 1_000_000 else 2 if rows >= 100_000 else 0
    if least:
        found.decide("min_count", least, "values in fewer rows of train become (rare)")


def _fallbacks(found: _Look) -> list[dict[str, Any]]:
    """Other ways to split, in case one leaves a split without clicks."""
    if "test" in found.parameters:
        return []
    shares = [[0.6, 0.2, 0.2], [0.4, 0.3, 0.3]]
    ways: list[dict[str, Any]] = [{"split": "chance"}] if "time" in found.parameters else []
    return [*ways, *({"split": "chance", "ratios": each} for each in shares)]
