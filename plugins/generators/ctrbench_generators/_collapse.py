"""Whether fitted marginals collapsed: SciPy's fit of a beta distribution may end at a constant, without an error.

In: new rows and train. Out: the names of fields that hardly vary in the new rows although they do in train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Sampler, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBE = 2_000
"""New rows that are drawn for the test."""
BINS = 20
"""Quantile bins of train in which numbers are counted."""
LOST = 0.6
"""A field whose heterogeneity is below this share of train's has collapsed."""
LEAST = 0.01
"""Below this heterogeneity of train a collapse cannot be told from chance."""


@dataclass(frozen=True)
class Told(Sampler):
    """A sampler, and more facts about its fit."""

    inner: Sampler
    facts: Mapping[str, float | str]

    def sample(self, rows: int, *, seed: int) -> Table:
        """The inner sampler's rows."""
        return self.inner.sample(rows, seed=seed)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The inner sampler's, and these facts."""
        return {**self.inner.details, **self.facts}


def collapsed(made: Mapping[str, NDArray[np.generic]], train: Table) -> Mapping[str, float | str]:
    """The fact "collapsed fields", or nothing; `made` has columns of new rows: fields of train and perhaps its label.

    A column's heterogeneity is the probability that two rows differ in it (Gini and Simpson); numbers differ where they
    fall into different twentieths of train, whose bounds are places of their own.
    """
    found = []
    for name, column in made.items():
        real = train.targets if name == train.schema.label else train.rows[name].to_numpy()
        numeric = any(name == field.name for field in train.schema.numeric)
        edges = np.unique(np.quantile(real, np.linspace(0, 1, BINS + 1)[1:-1], method="lower")) if numeric else None
        new, old = (_places(values, edges) for values in (column, real))
        size = int(max(new.max(initial=0), old.max(initial=0))) + 1
        shares, before = (np.bincount(places, minlength=size) / len(places) for places in (new, old))
        varied = 1 - (before**2).sum()
        if varied >= LEAST and 1 - (shares**2).sum() < LOST * varied:
            found.append(name)
    return {"collapsed fields": ", ".join(found)} if found else {}


def _places(values: NDArray[np.generic], edges: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """Whole numbers from 0: codes as they are, numbers by the edges below them; an edge is a place of its own."""
    if edges is None:
        return values.astype(np.int64)
    return np.searchsorted(edges, values) + np.searchsorted(edges, values, side="right")
