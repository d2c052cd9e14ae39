"""Fields that tell clicks from other rows all by themselves, as what is known only after a click does.

In: train, or labels and what one field says of each. Out: notes, each with its fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.params import quoted
from ctrbench.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

GIVES_AWAY = 0.95
"""A field with a higher AUC of its own was hardly known before the click."""

ENOUGH_ROWS = 100_000
"""So many rows tell such a field."""


def giveaways(train: Table, *, fix: str = "drop={} leaves it out") -> list[str]:
    """Notes on the fields of the context that give the label away, each with the `fix` for a field of that name.

    A value counts by its click rate in every other row of train, judged on the rows between these; a number by itself.
    """
    rows = np.arange(0, len(train), max(1, len(train) // ENOUGH_ROWS))
    known, rest = rows[::2], rows[1::2]
    found: list[str] = []
    for field in train.schema.fields:
        if field.role != "context":
            continue
        values = train.rows[field.name].to_numpy()
        scores = values[rest]
        if field.kind == "categorical":
            clicks = np.bincount(values[known], train.targets[known], field.vocab_size)
            shown = np.bincount(values[known], minlength=len(clicks))
            scores = ((clicks + train.click_rate) / (shown + 1))[scores]
        found += giveaway(field.name, train.targets[rest], scores, fix=fix)
    return found


def giveaway(name: str, labels: NDArray[Any], scores: NDArray[Any], *, fix: str = "drop={} leaves it out") -> list[str]:
    """A note where a field's scores, (rows,), have an AUC above .95 either way; otherwise nothing."""
    import pandas as pd

    every = slice(None, None, max(1, len(labels) // ENOUGH_ROWS))
    clicks = labels[every] == 1
    ones, zeros = clicks.sum(), (~clicks).sum()
    if not ones or not zeros:
        return []
    auc = (pd.Series(scores[every]).rank()[clicks].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    if not max(auc, 1 - auc) > GIVES_AWAY:
        return []
    return [
        f"field {name!r} alone tells clicks from other rows (AUC {max(auc, 1 - auc):.2f}): if it is not known before a "
        f"click, {fix.format(quoted(name))}"
    ]
