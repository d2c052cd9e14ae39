"""A data set of which only a share of train is seen: by generators, models and metrics alike.

In: splits, a share and a seed. Out: the same splits with so many rows of train, coded by the values that these hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.errors import UserError
from ctrbench.interfaces import Splits
from ctrbench.table import Schema, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


def thinned(splits: Splits, share: float, *, seed: int, source: str) -> Splits:
    """The splits with a share of train's rows, drawn within each class; a smaller share is a part of a larger one.

    A value that the drawn rows lack leaves the vocabulary and is unseen in the other splits. What the data set itself
    learnt of all rows stays: which values are rare, and the number that stands for a missing one. UserError, with
    `source` in front, where no row of a class is left.
    """
    import pyarrow as pa

    train = splits.train
    kept = np.sort(_drawn(train, share, seed, source))
    drawn = train.take(kept)
    codes = _codes(drawn)
    fields = [
        replace(field, vocabulary=field.words.strings.filter(pa.array(codes[field.name][1:] > 0)))
        if field.name in codes
        else field
        for field in train.schema.fields
    ]
    schema = Schema(tuple(fields), train.schema.label)
    note = f"{len(kept):,} of {len(train):,} rows of train are seen, by generators, models and metrics alike"
    return replace(
        splits,
        train=_recoded(drawn, schema, codes),
        valid=_recoded(splits.valid, schema, codes),
        test=_recoded(splits.test, schema, codes),
        ranking=splits.ranking and _recoded(splits.ranking, schema, codes),
        true_probabilities={
            name: truth[kept] if name == "train" else truth for name, truth in splits.true_probabilities.items()
        },
        notes=(note, *(f"of all its rows: {said}" for said in splits.notes)),
    )


def _drawn(train: Table, share: float, seed: int, source: str) -> NDArray[np.int64]:
    chosen = []
    for label, kind in enumerate(("negatives", "positives")):
        of_class = np.flatnonzero(train.targets == label)
        wanted = round(share * len(of_class))
        if not wanted:
            lost = f"of {len(of_class)} {kind} none is left"
            raise UserError(f"{source}: train share {share:g}: {lost}; take a larger share")
        chosen.append(np.random.default_rng([seed, label]).permutation(of_class)[:wanted])
    return np.concatenate(chosen)


def _codes(train: Table) -> dict[str, NDArray[np.int32]]:
    """For each field that loses values the new code of each old one, (vocab_size,), 0 for those that are lost.

    A field that says where numbers are missing keeps both its values.
    """
    indicators = {field.missing_indicator for field in train.schema.fields}
    found = {}
    for field in train.schema.categorical:
        present = np.bincount(train.rows[field.name], minlength=field.vocab_size) > 0
        if field.name not in indicators and not present[1:].all():
            found[field.name] = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return found


def _recoded(table: Table, schema: Schema, codes: Mapping[str, NDArray[np.int32]]) -> Table:
    rows = table.rows.copy(deep=False)
    for name, new in codes.items():
        rows[name] = new[table.rows[name].to_numpy()]
    return Table(rows, schema, table.labels, table.weights)
