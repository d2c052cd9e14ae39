"""How often each value stands in real train and in the pools.

In: the effects of a data set, whose run has artefacts. Out: for each column the shares of its values, and how far those
of each pool are from the real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ctrbench import contract
from ctrbench.effects import Effects
from ctrbench.report.drawing import Bars
from ctrbench.store.artefacts import LostArtefactError
from ctrbench.table import MISSING, PRESENT, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 8
"""Values of a column that have a bar of their own; numbers are divided among as many bins of equal real shares."""


@dataclass(frozen=True)
class Marginals:
    """A panel a column, the label first, and total variation distances, (columns, generators)."""

    generators: Sequence[str]
    panels: Sequence[Bars]
    distances: Sequence[tuple[str, Sequence[float]]]
    notes: Sequence[str]


def read(effects: Effects, generators: Sequence[str]) -> Marginals | None:
    """The marginals of real train and of each generator's first pool; None where train is not at hand."""
    artefacts, data = effects.results.artefacts, effects.results.data.get(effects.dataset)
    if artefacts is None or data is None or "train" not in data.artefacts:
        return None
    try:
        train = artefacts.get_table(data.artefacts["train"])
    except LostArtefactError:
        return None
    if not _fits(train, train):
        return None
    pools: dict[str, Table] = {}
    notes = []
    for generator in generators:
        made = next((pool.result for pool in effects.pools.get(generator, ()) if pool.ok), None)
        if made is None:
            continue
        try:
            pool = artefacts.get_table(made.artefacts["pool"])
        except LostArtefactError:
            notes.append(f"the rows of {generator} are lost; the same run makes them anew")
            continue
        if _fits(pool, train):
            pools[generator] = pool.take(np.arange(len(train)))
        else:
            notes.append(f"the rows of {generator} are none of this log's")
    if not pools:
        return None
    panels, distances = [], []
    for title, names, columns in _columns(train, list(pools.values())):
        real, *others = (np.bincount(codes, minlength=len(names)) / len(codes) for codes in columns)
        distances.append((title, [float(np.abs(real - other).sum() / 2) for other in others]))
        panels.append(_panel(title, names, real, others))
    return Marginals(list(pools), panels, distances, notes)


def _fits(table: Table, train: Table) -> bool:
    """Whether its rows are of train's schema and can be counted: what a stranger's store names may be any table."""
    try:
        contract.check_fields(table.schema)
        contract.check_table(table, "it", lowest=1)
        contract.check_schema(table, train, "it")
        for field in table.schema.categorical:
            field.words[-1]  # words that lie beside may be lost
    except (contract.ContractError, LostArtefactError, ValueError, TypeError, LookupError):
        return False
    return len(table) >= len(train)


def _columns(train: Table, pools: Sequence[Table]) -> list[tuple[str, Sequence[str], list[NDArray[np.int64]]]]:
    """For each column its title, its values' names, and their numbers in train and the pools."""
    tables = [train, *pools]
    found: list[tuple[str, Sequence[str], list[NDArray[np.int64]]]] = [
        (train.schema.label, ("0", "1"), [table.targets.astype(np.int64) for table in tables])
    ]
    for field in train.schema.fields:
        values = [table.rows[field.name].to_numpy() for table in tables]
        if field.vocabulary is not None:
            found.append((field.name, field.vocabulary, [each.astype(np.int64) - 1 for each in values]))
            continue
        missing = [table.missing(field) for table in tables]
        present = values[0][~missing[0]]
        names, codes = _ranges(present, values)
        if field.missing_indicator is not None:
            codes = [np.where(where, len(names), each) for where, each in zip(missing, codes, strict=True)]
            names.append(MISSING)
        found.append((field.name, names, codes))
    return found


def _ranges(
    present: NDArray[np.float64], columns: Sequence[NDArray[np.float64]]
) -> tuple[list[str], list[NDArray[np.int64]]]:
    """Names of ranges of numbers of about equal mass in train, and the range of each number of some columns.

    A number that fills two of them has one of its own, or it would hide rarer ones on either side of it.
    """
    if not len(present):
        return [PRESENT], [np.zeros(len(each), np.int64) for each in columns]
    edges, times = np.unique(np.quantile(present, np.linspace(0, 1, SHOWN + 1)[1:-1]), return_counts=True)
    names, heavy = [], edges[times > 1]
    for edge in edges:
        names += [f"< {edge:.3g}", f"{edge:.3g}"] if edge in heavy else [f"≤ {edge:.3g}"]
    names.append(f"> {edges[-1]:.3g}")
    places = [np.searchsorted(edges, each) + np.searchsorted(heavy, each, "right") for each in columns]
    used = np.unique(np.concatenate(places))
    return [names[place] for place in used], [np.searchsorted(used, each).astype(np.int64) for each in places]


def _panel(title: str, names: Sequence[str], real: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> Bars:
    """The values that are most frequent in real train; a few stay in their order."""
    if len(names) <= SHOWN:
        return Bars(title, names, real.tolist(), [other.tolist() for other in others])
    top = np.argsort(-real, kind="stable")[:SHOWN]
    shown = f"{title}, {SHOWN} of {len(names):,}"
    return Bars(shown, [names[i] for i in top], real[top].tolist(), [other[top].tolist() for other in others])
