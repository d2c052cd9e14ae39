"""Categorical fields: words become codes.

In: a field's column in each split, all with the same values. Out: its codes, in train's vocabulary.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.columns import Column, as_shown, as_strings
from ctrbench.encoding._coding import Coded, Coding
from ctrbench.encoding._work import Work
from ctrbench.table import MISSING, RARE, Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEW = 1_000
"""Of so many values it is looked first whether they are numbers."""


def categorical(work: Work, field: Field, columns: Mapping[str, Column], coding: Coding) -> list[Coded]:
    """The field, or none where it is of no use."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if field.name not in work.keep and _useless(work, field.name, columns["train"]):
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
        work.found["rare"].append((field.name, told))
    place = pc.index(train.texts, MISSING).as_py()
    if (train.codes < 0).any() or (place >= 0 and counts[place]):
        last.append(MISSING)
    if (train.codes < 0).any() and place >= 0 and counts[place]:
        work.notes.append(f"field {field.name!r}: the text {MISSING!r} is taken for missing, as the empty one is")
    vocabulary = pa.concat_arrays([ordered, as_strings(last)])
    if len(vocabulary) < 2 and field.name not in work.keep:
        work.found["constant"].append((field.name, vocabulary[0].as_py()))
        return []
    positions = codes_of(train.texts, vocabulary)
    if folded.any():
        positions[:-1][folded] = len(ordered) + 1
    learned = replace(field, kind="categorical", vocabulary=vocabulary)
    return [Coded(learned, {split: positions[column.codes] for split, column in columns.items()})]


def _useless(work: Work, name: str, train: Column) -> bool:
    """Whether nothing can be learnt from a field, which is then noted."""
    counts = train.counts
    there = np.flatnonzero(counts)
    if len(there) + bool((train.codes < 0).any()) < 2:
        shown = as_shown(train.texts[there[0]].as_py()) if len(there) else repr(MISSING)
        work.found["constant"].append((name, shown))
        return True
    if name in work.identifiers and len(there) > 1 and counts.max() == 1:
        work.found["identifier"].append((name, f"{len(there):,}"))
        return True
    return False


def _hashed(columns: Mapping[str, Column], buckets: int) -> dict[str, Column]:
    values = next(iter(columns.values())).values
    texts = as_strings([str(zlib.crc32(value.encode()) % buckets) for value in values])
    distinct = texts.unique()
    return {
        split: Column(codes_of(texts, distinct)[column.codes] - np.int32(1), distinct)
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


def codes_of(texts: Any, vocabulary: Any) -> NDArray[np.int32]:
    """The code of each text, (texts + 1,): UNSEEN for what the vocabulary lacks, and last that of a missing value."""
    import pyarrow.compute as pc

    missing = pc.index(vocabulary, MISSING).as_py()  # not found is -1, and UNSEEN is 0
    found: NDArray[np.int32] = pc.index_in(texts, value_set=vocabulary).fill_null(-1).to_numpy()
    return np.append(found, np.int32(missing)) + np.int32(1)
