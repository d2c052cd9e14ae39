"""Tests of several claims at once, and of methods over several data sets.

In: p-values, or a table of scores. Out: p-values that count all claims of a family; Friedman's and Nemenyi's tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.intervals import ALPHA

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = 5
"""A rank test over data sets takes at least so many of them."""


@dataclass(frozen=True)
class RankTest:
    """Friedman's test of methods over blocks, and the largest groups that Nemenyi's test does not tell apart."""

    p: float
    groups: tuple[tuple[int, ...], ...]  # numbers of methods, by rank


def ranks_of(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks within each column of (methods, blocks), the highest value first, ties shared."""
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(-table, axis=0) if table.size else table
    return ranks


def friedman(table: NDArray[np.float64]) -> RankTest:
    """Ranks of (methods, blocks), higher values being better; at least three methods (Demšar 2006)."""
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy import stats

    ranks = ranks_of(table).mean(axis=1)
    order = [int(i) for i in np.argsort(ranks, kind="stable")]
    alike = posthoc_nemenyi_friedman(table.T).to_numpy() >= ALPHA
    groups: list[tuple[int, ...]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and alike[order[first], order[last + 1]]:
            last += 1
        group = tuple(order[first : last + 1])
        if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
            groups.append(group)
    p = 1.0 if np.ptp(table, axis=0).max() == 0 else float(stats.friedmanchisquare(*table).pvalue)
    return RankTest(p, tuple(groups))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the chance of any false claim in the family stays at the level."""
    return _adjusted(p, "holm")


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values: the expected share of false claims stays at the level."""
    return _adjusted(p, "fdr_bh")


def _adjusted(p: Sequence[float], method: str) -> list[float]:
    from statsmodels.stats.multitest import multipletests

    return [float(value) for value in multipletests(p, method=method)[1]] if len(p) else []
