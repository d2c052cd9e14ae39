"""Numeric fields: numbers, scaled and without gaps, or bins of them.

In: a field's numbers in each split, NaN where they are missing. Out: its values, and a field that says where they were
missing; or the codes of its bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.columns import Column, as_strings, float_texts, of_same_values
from ctrbench.encoding._categorical import categorical
from ctrbench.encoding._coding import Coded, Coding
from ctrbench.encoding._work import Work
from ctrbench.table import MISSING, PRESENT, Field
from ctrbench.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = 1000
"""Numbers of valid and test so many times train's range away from it are set to that distance."""


def numeric(work: Work, field: Field, numbers: dict[str, NDArray[np.float64]], coding: Coding) -> list[Coded]:
    """The field, none where it is of no use, or two where numbers are missing."""
    train = numbers["train"]
    present = train[~np.isnan(train)]
    missing = {split: np.isnan(values) for split, values in numbers.items()}
    if not len(present) and field.name not in work.keep:
        work.found["constant"].append((field.name, repr(MISSING)))
        return []
    coded, told = [], bool(missing["train"].any())
    _limit(work, field, numbers, present)
    scaled = _scaling(present, coding.scale)
    imputed = float(scaled(np.array([np.median(present)]))[0]) if len(present) else 0.0
    for split, absent in missing.items():
        if absent.any() and not told:
            work.notes.append(
                f"field {field.name!r}: {counted(int(absent.sum()), 'number')} of {split} missing, none of train: "
                "train's median stands for them"
            )
    values = {split: np.where(missing[split], imputed, scaled(each)) for split, each in numbers.items()}
    if len(present) and present.min() == present.max() and field.name not in work.keep:
        work.found["constant"].append((field.name, _short(present[0])))
    else:
        learned = replace(field, vocabulary=None)
        if told:
            learned = replace(learned, missing_indicator=_indicator(field.name), imputed=imputed)
        coded.append(Coded(learned, values))
    if told:
        name, share = _indicator(field.name), f"{missing['train'].mean():.1%}"
        if name in work.names:
            what = f"a field {name!r} is to say where it is missing; rename the column of that name"
            work.refuse(field.name, "train", f"field {field.name!r}: {what}")
        indicator = Field(name, "categorical", field.role, (PRESENT, MISSING))
        coded.append(Coded(indicator, {split: each.astype(np.int32) + 1 for split, each in missing.items()}))
        work.found["missing" if len(coded) > 1 else "missing alone"].append((field.name, share))
    return coded


def _limit(work: Work, field: Field, numbers: dict[str, NDArray[np.float64]], present: NDArray[np.float64]) -> None:
    """Bring numbers that are beyond all of train's to a distance with which a model can compute."""
    if not len(present):
        return
    low, high = float(present.min()), float(present.max())
    reach = FAR * (high - low)
    for split, values in numbers.items():
        far = (values < low - reach) | (values > high + reach)
        if split != "train" and reach and far.any():
            at = int(far.argmax())
            row = work.splits[split].row(at)
            work.notes.append(
                f"field {field.name!r}: {counted(int(far.sum()), 'number')} of {split} over {FAR:,} times train's "
                f"range away from it (first {_short(values[at])} in {row}), set to that distance"
            )
            numbers[split] = np.clip(values, low - reach, high + reach)


def binned(work: Work, field: Field, numbers: dict[str, NDArray[np.float64]], coding: Coding) -> list[Coded]:
    """The field with a code for each bin, or none where it is of no use."""
    train = numbers["train"]
    present = train[~np.isnan(train)]
    edges = np.array([])
    if coding.bins != "criteo" and len(present):
        edges = _edges(present, int(coding.bins.split(":")[1]))
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
    return categorical(work, replace(field, kind="categorical"), merged, replace(coding, bins=""))


def _indicator(name: str) -> str:
    return f"{name} {MISSING}"


def _scaling(present: NDArray[np.float64], scale: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    if scale == "log":
        return lambda values: np.sign(values) * np.log1p(np.abs(values))
    if scale == "standard" and len(present):
        spread = float(present.std()) if present.min() < present.max() else 0.0  # of equal numbers the mean is rounded
        mean, deviation = float(present.mean()), spread or 1.0
        return lambda values: (values - mean) / deviation
    return lambda values: values


def _edges(present: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """The least number of each bin: quantiles, where a number that is several of them has a bin of its own."""
    least, times = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[:-1], method="lower"), return_counts=True)
    distinct = np.unique(present)
    behind = np.searchsorted(distinct, least[times > 1], side="right")
    return np.union1d(least, distinct[behind[behind < len(distinct)]])


def _criteo_bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """⌊log(x)²⌋ above 2, else the whole part."""
    large = values > 2
    bins = np.trunc(values)
    bins[large] = np.floor(np.log(values[large]) ** 2)
    return bins + 0.0  # no minus zero


def _short(number: float) -> str:
    return str(float_texts(np.array([number]))[0])
