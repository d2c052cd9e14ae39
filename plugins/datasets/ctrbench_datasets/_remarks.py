"""What is worth a remark in a log: columns of several values, and fields that may be something else than they seem.

In: a log, and the train table that was made of it. Out: notes, each with its fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ctrbench import MISSING, RARE, Column, Table, giveaways, quoted, text_numbers

from ctrbench_datasets._reading import Log
from ctrbench_datasets._text import MISSING_WORDS

_PIECE = 10_000  # values that are looked at as Python's at once


def of_sequences(log: Log, names: Sequence[str]) -> list[str]:
    """What is in the columns with several values, which are left out of the tables."""
    return [f"column {name!r} holds several values a row ({_described(log, name)}): left out" for name in names]


def _described(log: Log, name: str) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = log.columns[name]
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        flat = pc.list_flatten(column)
        try:
            distinct = len(Column.of(flat).values)
        except (TypeError, ValueError):
            return f"{lengths.mean():.1f} on average, at most {lengths.max():,}"
    else:
        try:
            texts = Column.of(column)
        except (TypeError, ValueError):
            return "compound"
        sign = _joined_by(texts.texts)
        parts = [text.split(sign) if sign else [text] for text in texts.values]
        lengths = np.append([len(part) for part in parts], 0)[texts.codes]
        distinct = len({value for part in parts for value in part})
    return f"{lengths.mean():.1f} on average, at most {int(lengths.max()):,}; {distinct:,} different ones"


def _joined_by(texts: Any) -> str:
    """The character between the values of a sequence: the one that occurs in most texts."""
    counts = {sign: _holding(texts, sign) for sign in ("^", "|", ";", ",", " ", "\x02", "\x01")}
    best = max(counts, key=lambda sign: counts[sign])
    return best if counts[best] else ""


def _holding(texts: Any, sign: str) -> int:
    """How many texts hold a sign."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring(texts, sign), min_count=0).as_py())


def of_fields(train: Table, numeric: Sequence[str]) -> list[str]:
    """Fields that look as if they were something else, or known too late; those named as `numeric` are numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fractions, singles, joined, amounts, thousands, gaps = [], [], [], [], [], []
    words: dict[str, None] = {}
    for field in train.schema.categorical:
        if field.name in numeric or field.name.removesuffix(f" {MISSING}") in numeric:
            continue
        texts = field.words.strings
        texts = texts.filter(pc.invert(pc.is_in(texts, value_set=pa.array([MISSING, RARE], texts.type))))
        if len(texts) < 2:
            continue
        if _are_fractions(texts):
            fractions.append(field.name)
        elif _are_amounts(texts):
            amounts.append(field.name)
        elif _have_thousands(texts):
            thousands.append(field.name)
        elif found := _words_beside_fractions(texts):
            gaps.append(field.name)
            words |= dict.fromkeys(map(quoted, found))
        elif len(texts) > len(train) / 2:
            singles.append(field.name)
        elif field.role == "context" and _many_joined(texts):
            joined.append(field.name)
    rows = f"{len(train):,} rows of train"
    return [
        *giveaways(train),
        *_remark(
            amounts, "holds", "hold", "amounts with a currency's sign", "take it off, and numeric={} makes {} numeric"
        ),
        *_remark(
            thousands,
            "holds",
            "hold",
            "commas that may part thousands",
            "take them out, and numeric={} makes {} numeric",
        ),
        *_remark(
            gaps,
            "holds",
            "hold",
            "numbers with fractions beside words for what is missing",
            f"missing={_one_or_many(list(words))} and numeric={{}} would make {{}} numeric",
        ),
        *_remark(fractions, "holds", "hold", "numbers with fractions", "numeric={} would make {} numeric"),
        *_remark(singles, "hardly holds", "hardly hold", f"a value twice in {rows}", "drop={} leaves {} out"),
        *_remark(joined, "looks like", "look like", "several values in one", "sequence={} leaves {} out"),
    ]


def _remark(names: Sequence[str], one: str, many: str, what: str, fix: str) -> list[str]:
    if not names:
        return []
    listed = _one_or_many(list(map(quoted, names)))
    if len(names) == 1:
        return [f"field {names[0]!r} is categorical and {one} {what}: {fix.format(listed, 'it')}"]
    return [f"{len(names)} categorical fields {many} {what}: {fix.format(listed, 'them')}"]


def _one_or_many(values: Sequence[str]) -> str:
    """Values as a parameter takes them."""
    return values[0] if len(values) == 1 else f"({', '.join(values)})"


def _are_fractions(texts: Any) -> bool:
    """Whether all are numbers, and some of these not whole."""
    import pyarrow.compute as pc

    if pc.all(pc.match_substring_regex(texts, "^[+-]?[0-9]+$")).as_py():
        return False
    some = False
    for at in range(0, len(texts), _PIECE):  # most often the first piece tells
        numbers = text_numbers(texts[at : at + _PIECE].to_pylist())
        if not np.all(np.isfinite(numbers)):
            return False
        some = some or bool(np.any(numbers % 1))
    return some


def _are_amounts(texts: Any) -> bool:
    """Whether all have a sign such as $ before or behind a number."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(texts, r"^\s*[+-]?\p{Sc}\s?[0-9]|[0-9]\s?\p{Sc}\s*$")).as_py())


def _have_thousands(texts: Any) -> bool:
    """Whether all are numbers, and some of these 1,234 or 1,234.50."""
    import pyarrow.compute as pc

    parted = r"^\s*[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?\s*$"
    if not pc.any(pc.match_substring_regex(texts, parted)).as_py():
        return False
    rest = texts.filter(pc.invert(pc.match_substring_regex(texts, parted)))
    return bool(pc.all(pc.match_substring_regex(rest, r"^\s*[+-]?[0-9]{1,3}(\.[0-9]+)?\s*$"), min_count=0).as_py())


def _words_beside_fractions(texts: Any) -> list[str]:
    """The words, such as NA, where all others are numbers, and some of these not whole."""
    import pyarrow.compute as pc

    written = pc.match_substring_regex(texts, r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$")
    words: list[str] = texts.filter(pc.invert(written))[: len(MISSING_WORDS)].to_pylist()
    known = bool(words) and all(word.strip().lower() in MISSING_WORDS for word in words)
    numbers = texts.filter(written)
    return words if known and len(numbers) + len(words) == len(texts) and _are_fractions(numbers) else []


def _many_joined(texts: Any) -> bool:
    sign = _joined_by(texts)
    return sign in ("^", "|") and len(texts) > 4 and _holding(texts, sign) > len(texts) / 3
