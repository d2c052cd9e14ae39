"""A tree of pairwise dependencies within each label (Chow and Liu 1968): a generator that is good and tells everything.

In: a training table of categorical fields. Out: a sampler whose rows hold only pairs of values, along the tree's edges,
that train has; with some of a field's draws from its marginal, or with rows that equal a real one drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from ctrbench import Context, Generator, Sampler, Table


@dataclass(frozen=True)
class Tree(Generator):
    """The first field is the root; counts without any smoothing."""

    name: ClassVar[str] = "tree"
    noise: float = 0.0  # the share of a field's draws that come from its marginal
    reject: bool = False  # whether rows that equal a real one are drawn again

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Nothing is drawn: the seed is not needed."""
        by_label = {}
        for label in np.unique(train.targets):
            codes = train.codes[train.targets == label]
            by_label[int(label)] = (codes, _edges(codes))
        return TreeSampler(self, train, by_label)


def _edges(codes: np.ndarray) -> list[tuple[int, int]]:
    """Parent and child of each edge of the maximum spanning tree of mutual information, from the root on (Prim)."""
    fields = codes.shape[1]
    best = {child: (_mutual_information(codes[:, 0], codes[:, child]), 0) for child in range(1, fields)}
    edges = []
    while best:
        child = max(best, key=lambda each: best[each][0])
        edges.append((best.pop(child)[1], child))
        for other, (known, _) in best.items():
            if (found := _mutual_information(codes[:, child], codes[:, other])) > known:
                best[other] = (found, child)
    return edges


def _mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    return _entropy(first) + _entropy(second) - _entropy(first.astype(np.int64) * (int(second.max()) + 1) + second)


def _entropy(values: np.ndarray) -> float:
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True, eq=False)
class TreeSampler(Sampler):
    """The real codes of each label, and the edges along which they are drawn."""

    spec: Tree
    train: Table
    by_label: dict[int, tuple[np.ndarray, list[tuple[int, int]]]]

    def sample(self, rows: int, *, seed: int) -> Table:
        """Labels at train's rate; a child's value is that of a random real row with the parent's value."""
        rng = np.random.default_rng(seed)
        labels = rng.choice(self.train.targets, rows)
        codes = np.empty((rows, len(self.train.schema.names)), np.int32)
        asked = np.arange(rows)
        for _ in range(50):
            for label in self.by_label:
                chosen = asked[labels[asked] == label]
                codes[chosen] = self._draw(label, len(chosen), rng)
            if not self.spec.reject:
                break
            asked = asked[self._is_real(codes[asked], labels[asked])]
        frame = pd.DataFrame(dict(zip(self.train.schema.names, codes.T.copy(), strict=True)))
        return Table(frame, self.train.schema, labels)

    def _draw(self, label: int, rows: int, rng: np.random.Generator) -> np.ndarray:
        real, edges = self.by_label[label]
        codes = np.empty((rows, real.shape[1]), np.int32)
        codes[:, 0] = rng.choice(real[:, 0], rows)
        for parent, child in edges:
            order = np.argsort(real[:, parent], kind="stable")
            known = real[order, parent]
            first, last = (np.searchsorted(known, codes[:, parent], side) for side in ("left", "right"))
            codes[:, child] = real[order[rng.integers(first, last)], child]
            free = rng.random(rows) < self.spec.noise
            codes[free, child] = rng.choice(real[:, child], int(free.sum()))
        return codes

    def _is_real(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        real = np.column_stack([self.train.codes, self.train.targets])
        both = np.ascontiguousarray(np.concatenate([real, np.column_stack([codes, labels])]), np.int32)
        numbers = np.unique(both.view([("", both.dtype)] * both.shape[1]), return_inverse=True)[1].ravel()
        return np.isin(numbers[len(real) :], numbers[: len(real)])
