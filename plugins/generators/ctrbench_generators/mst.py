"""A private pool with a proof: trees of pairwise dependencies within each label, all learned from noisy counts.

In: a training table of categorical fields. Out: a sampler that has seen nothing but those counts, so that whatever is
done with its rows is (ε, δ)-differentially private.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le, Lt
from ctrbench import Context, Generator, Register, Sampler, Schema, Skip, Table, hookimpl

from ctrbench_generators._zcdp import Budget, noise, noisy_cells, rho_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUES, CHOICE, PAIRS = 0.5, 0.1, 0.4
"""Shares of ρ for the fields' counts, for the choice of pairs and for the pairs' counts. With MST's thirds a logistic
regression has an AUC of .852, .897 and .917 on Frappe's valid rows at ε = 1, 3 and 10; so .862, .903 and .919."""
STANDS_OUT = 1.0
"""Standard deviations of noise that a value's count must exceed; the rarer values share what is left. With MST's own
3 a logistic regression on Frappe loses .035 of AUC at ε = 1 and .02 at ε = 3: a log's many rare values say much."""


@dataclass(frozen=True)
class Mst(Generator):
    """MST (McKenna, Miklau and Sheldon 2021) within each label: noisy counts, a private tree, (ε, δ)-DP rows.

    Half of the budget measures every field, a tenth chooses the pairs of a tree, the rest measures those. Neighbours
    differ by one row more or less, so a user of k rows is protected by kε only. Taken as public: the schema with its
    vocabularies, and how many rows are asked for. The seed must stay secret: with it the noise can be taken off again.
    `bayes_net` is the same without noise.
    """

    name: ClassVar[str] = "mst"
    imports: ClassVar[tuple[str, ...]] = ("scipy.stats", "scipy.optimize")
    epsilon: Annotated[float, "ε: e^ε bounds how much likelier a row makes any pool", Ge(1e-4), Le(1e6)] = 1.0
    delta: Annotated[float, "δ: the probability that ε does not bound; well below 1 / rows", Ge(1e-100), Lt(1)] = 1e-9

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Count, with noise; Skip where a field is numeric. The labels' rows are disjoint, so each has the whole ρ."""
        if train.schema.numeric:
            names = ", ".join(field.name for field in train.schema.numeric)
            raise Skip(f"mst counts values, and the range of numbers is nowhere public; numeric: {names}")
        rho, rng = rho_for(self.epsilon, self.delta), np.random.default_rng(seed)
        trees, budgets, codes = [], [], train.codes - 1  # values from 0
        sizes = [field.vocab_size - 1 for field in train.schema.fields]
        for label in (0, 1):
            budgets.append(Budget(rho))
            trees.append(learn(codes[train.targets == label], sizes, budgets[-1], rng))
            context.progress(label + 1, 2, {})
        return MstSampler(self, train.schema, trees, budgets, seed)


@dataclass(frozen=True, eq=False)
class Marginal:
    """A field's noisy distribution."""

    shares: NDArray[np.float64]  # (values,), of sum 1

    @classmethod
    def of(cls, noisy: NDArray[np.int64], sigma: float, rows: float) -> Marginal:
        """Counts that stand out as they are; what is left of the rows is shared by the other values alike."""
        kept = np.where(noisy > STANDS_OUT * sigma, noisy, 0).astype(np.float64)
        rare = kept == 0
        if rare.any():
            kept[rare] = max(rows - kept.sum(), 0.0) / rare.sum()
        total = kept.sum()
        return cls(kept / total if total > 0 else np.full(len(noisy), 1 / len(noisy)))


class Edge:
    """How a field hangs on its parent: cells that stand out of the noise, and a rest that knows no parent."""

    def __init__(self, field: int, parent: int, cells: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """`cells` are (cells, 2): the parent's value and the field's."""
        self.field, self.parent = field, parent
        order = np.argsort(cells[:, 0], kind="stable")
        self._values, self._of = cells[order, 1], cells[order, 0]
        self._counts = counts[order].astype(np.float64)
        self._upto = np.append(0.0, np.cumsum(self._counts))

    def sample(
        self, parents: NDArray[np.int64], of_parent: Marginal, own: Marginal, rows: float, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """A value for each of the parent's values.

        A parent's cells have what stands in them, of the rows that its marginal gives it; the rest is drawn from what
        the field's own marginal has beyond all cells, so that both marginals are kept as far as noise allows.
        """
        begin, end = (np.searchsorted(self._of, parents, side=side) for side in ("left", "right"))
        known = self._upto[end] - self._upto[begin]
        left = np.maximum(rows * own.shares - np.bincount(self._values, self._counts, len(own.shares)), 0)
        upto = np.cumsum(left if left.sum() > 0 else own.shares)
        made = np.searchsorted(upto, rng.random(len(parents)) * upto[-1], side="right")
        made = np.minimum(made, len(upto) - 1)
        from_cells = rng.random(len(parents)) * np.maximum(rows * of_parent.shares[parents], known) < known
        begin, end, known = begin[from_cells], end[from_cells], known[from_cells]
        place = np.searchsorted(self._upto, self._upto[begin] + rng.random(len(begin)) * known, side="right") - 1
        made[from_cells] = self._values[np.clip(place, begin, end - 1)]
        return made


@dataclass(frozen=True, eq=False)
class Tree:
    """The noisy counts of one label, ready to be drawn from."""

    rows: float
    marginals: list[Marginal]  # by field
    edges: list[Edge]  # a parent is the first field, or stands in an edge before

    def sample(self, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Values from 0, (rows, fields)."""
        made = np.empty((rows, len(self.marginals)), np.int64)
        upto = np.cumsum(self.marginals[0].shares)
        made[:, 0] = np.minimum(np.searchsorted(upto, rng.random(rows) * upto[-1], side="right"), len(upto) - 1)
        for edge in self.edges:
            marginals = self.marginals[edge.parent], self.marginals[edge.field]
            made[:, edge.field] = edge.sample(made[:, edge.parent], *marginals, self.rows, rng)
        return made


class MstSampler(Sampler):
    """The trees of both labels."""

    def __init__(self, spec: Mst, schema: Schema, trees: list[Tree], budgets: list[Budget], seed: int) -> None:
        self._spec, self._schema, self._trees, self._budgets, self._seed = spec, schema, trees, budgets, seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows at the noisy click rate, shuffled: made from the counts, they cost nothing more."""
        import pandas as pd

        rng = np.random.default_rng([self._seed, seed])
        negatives, positives = (tree.rows for tree in self._trees)
        clicks = round(rows * positives / (negatives + positives))
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), [rows - clicks, clicks]))
        codes = np.empty((rows, len(self._schema.fields)), np.int32)
        for label, tree in enumerate(self._trees):
            mine = np.flatnonzero(labels == label)
            codes[mine] = tree.sample(len(mine), rng) + 1
        return Table(pd.DataFrame(codes, columns=list(self._schema.names)), self._schema, labels)

    @property
    def details(self) -> Mapping[str, float | str]:
        """ε, δ, ρ and the noise that they bought."""
        spent = self._budgets[0].spent
        noises = {"sigma of values": spent[0][2], "sigma of pairs": spent[-1][2]}
        return {"epsilon": self._spec.epsilon, "delta": self._spec.delta, "rho": self._budgets[0].rho, **noises}


def learn(values: NDArray[np.int32], sizes: list[int], budget: Budget, rng: np.random.Generator) -> Tree:
    """The tree of one label's rows, (rows, fields), which are looked at through the budget's mechanisms only."""
    fields = len(sizes)
    for_values = budget.rho * (VALUES if fields > 1 else 1)
    sigmas, noisy = [], []
    for field, size in enumerate(sizes):
        sigmas.append(budget.sigma(for_values / fields))
        noisy.append(np.bincount(values[:, field], minlength=size) + noise(size, sigmas[-1], rng))
    rows = _rows(noisy, sigmas)
    marginals = [Marginal.of(counts, sigma, rows) for counts, sigma in zip(noisy, sigmas, strict=True)]
    pairs = _choose(values, marginals, rows, budget, rng) if fields > 1 else []
    edges = []
    for parent, field in _from_first(pairs):
        sigma = budget.sigma(PAIRS * budget.rho / len(pairs))
        size = sizes[parent] * sizes[field]
        places, counts = _pair_counts(values, parent, field, sizes)
        cells = noisy_cells(places, counts, size, sigma, _least(size, sigma), rng)
        edges.append(Edge(field, parent, np.column_stack(np.divmod(cells.places, sizes[field])), cells.counts))
    return Tree(rows, marginals, edges)


def _rows(noisy: list[NDArray[np.int64]], sigmas: list[float]) -> float:
    """The number of rows: each field's counts add up to it, the fewer of them the better; at least 1."""
    weights = np.array([1 / (len(counts) * sigma**2) for counts, sigma in zip(noisy, sigmas, strict=True)])
    return max(float(np.average([counts.sum() for counts in noisy], weights=weights)), 1.0)


def _least(cells: int, sigma: float) -> int:
    """The least noisy count that stands out among so many cells: hardly any is lifted there by noise alone.

    The universal threshold of Donoho and Johnstone (1994), σ·√(2 ln cells).
    """
    return max(1, math.ceil(sigma * math.sqrt(2 * math.log(max(cells, 2)))))


def _choose(
    values: NDArray[np.int32],
    marginals: list[Marginal],
    rows: float,
    budget: Budget,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """The pairs of a spanning tree, by Kruskal's algorithm with the exponential mechanism in place of the maximum.

    A pair's score is how many rows its cells have beyond what the marginals expect and noise will hide: what measuring
    it can tell. A row changes one cell by 1, and so the score by at most 1. (MST's own score does not see the noise,
    and would choose pairs of thousands of values of which nothing is left.)
    """
    sizes = [len(marginal.shares) for marginal in marginals]
    sigma = math.sqrt((len(sizes) - 1) / (2 * PAIRS * budget.rho))  # that the pairs' counts will have
    scores = {}
    for a, b in combinations(range(len(sizes)), 2):
        places, counts = _pair_counts(values, a, b, sizes)
        first, second = np.divmod(places, sizes[b])
        expected = rows * marginals[a].shares[first] * marginals[b].shares[second]
        scores[a, b] = float(np.maximum(counts - expected - _least(sizes[a] * sizes[b], sigma), 0).sum())
    part = list(range(len(sizes)))  # of each field, the tree that it is in
    chosen, rho = [], CHOICE * budget.rho / (len(sizes) - 1)
    for _ in range(len(sizes) - 1):
        open_pairs = [pair for pair in scores if part[pair[0]] != part[pair[1]]]
        a, b = open_pairs[budget.choose(np.array([scores[pair] for pair in open_pairs]), rho, rng)]
        chosen.append((a, b))
        part = [part[a] if each == part[b] else each for each in part]
    return chosen


def _pair_counts(
    values: NDArray[np.int32], a: int, b: int, sizes: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells that rows stand in, a's value · b's size + b's value, ascending, and how many."""
    return np.unique(values[:, a].astype(np.int64) * sizes[b] + values[:, b], return_counts=True)


def _from_first(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A tree's pairs as (parent, child), from field 0 outwards."""
    ways, reached = [], [0]
    for parent in reached:  # grows while it is walked
        for a, b in pairs:
            other = b if parent == a else a
            if parent in (a, b) and other not in reached:
                ways.append((parent, other))
                reached.append(other)
    return ways


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `mst`."""
    register(Mst)
