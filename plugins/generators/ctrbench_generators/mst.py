"""A private pool with a proof: trees of pairwise dependencies within each label, all learned from noisy counts.

In: a training table of categorical fields. Out: a sampler that has seen nothing but those counts, so that its rows are
(ε, δ)-differentially private, whatever is done with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le, Lt
from ctrbench import Context, Generator, Register, Sampler, Schema, Shown, Skip, Table, hookimpl

from ctrbench_generators._zcdp import Budget, noise, noisy_cells, rho_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUES, CHOICE, PAIRS = 0.7, 0.05, 0.25
"""Shares of ρ for the fields' counts, for the choice of pairs and for the pairs' counts, set on Frappe's valid rows."""
CERTAIN = 32.0
"""A count that exceeds this many standard deviations of the noise is taken as it is seen."""
CLASSES = 8
"""Classes of about equally many rows into which a field's values are grouped by frequency, where pairs of the values
themselves would drown in noise."""

Pair = tuple[int, int, int | None]
"""Two fields, and the one of them known only by classes, if any."""


@dataclass(frozen=True)
class Mst(Generator):
    """MST (McKenna, Miklau and Sheldon 2021) within each label: noisy counts, a private tree, (ε, δ)-DP rows.

    Most of the budget measures single fields, those with many values most precisely; a small part chooses the pairs of
    a tree; the rest measures these pairs, by classes of values where the values themselves would drown in noise.
    Neighbouring tables differ by one row more or less, so a user with k rows is protected only by kε, and r pools cost
    rε. Assumed public: the schema with its vocabularies, and how many rows are asked for. Noise that follows from the
    run's seed can be subtracted by whoever knows that: publish a pool of `noise=secret`. `bayes_net` is the same
    without noise.
    """

    name: ClassVar[str] = "mst"
    imports: ClassVar[tuple[str, ...]] = ("scipy.stats", "scipy.optimize")
    epsilon: Annotated[float, "ε: e^ε bounds how much likelier a row makes any pool", Ge(1e-4), Le(1e6), Shown()] = 1.0
    delta: Annotated[float, "δ: the probability with which ε may fail; well below 1 / rows", Ge(1e-100), Lt(1)] = 1e-9
    noise: Annotated[
        Literal["seeded", "secret"], "seeded: can be made again; secret: the system's, for a pool to publish"
    ] = "seeded"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Count, with noise; Skip where a field is numeric. The labels' rows are disjoint, so each has the whole ρ."""
        if train.schema.numeric:
            names = ", ".join(field.name for field in train.schema.numeric)
            raise Skip(f"mst counts values, and the range of numbers is nowhere public; numeric: {names}")
        rho, rng = rho_for(self.epsilon, self.delta), self._random(seed)
        trees, budgets, codes = [], [], train.codes - 1  # values from 0
        sizes = [field.vocab_size - 1 for field in train.schema.fields]
        for label in (0, 1):
            budgets.append(Budget(rho))
            trees.append(learn(codes[train.targets == label], sizes, budgets[-1], rng))
            context.progress(label + 1, 2, {})
        return MstSampler(self, train.schema, trees, budgets, seed)

    def _random(self, seed: int) -> np.random.Generator:
        """The noise's generator; of one seed, each ε and δ has noise of its own, or two pools would tell it."""
        if self.noise == "secret":
            return np.random.default_rng()
        return np.random.default_rng([seed, *np.array([self.epsilon, self.delta]).view(np.uint32)])


@dataclass(frozen=True, eq=False)
class Marginal:
    """A field's noisy distribution."""

    shares: NDArray[np.float64]  # (values,), of sum 1

    @classmethod
    def of(cls, noisy: NDArray[np.int64], sigma: float) -> Marginal:
        """The expected counts, given that they were observed with such noise."""
        likely = expected_counts(noisy, sigma)
        total = likely.sum()
        return cls(likely / total if total > 0 else np.full(len(noisy), 1 / len(noisy)))


def expected_counts(noisy: NDArray[np.int64], sigma: float) -> NDArray[np.float64]:
    """The posterior mean of each value's count given its noisy one, (values,), with one prior for all values.

    The prior, how counts are distributed among the values, is itself estimated: the distribution under which the noisy
    counts are likeliest (Kiefer and Wolfowitz 1956), by EM on a grid, as in the general maximum likelihood empirical
    Bayes of Jiang and Zhang (2009). So values that occur about equally often are shrunk together, and rare ones keep
    what is left.
    """
    counts = np.maximum(noisy, 0).astype(np.float64)
    uncertain = noisy < CERTAIN * sigma
    seen, place, often = np.unique(noisy[uncertain], return_inverse=True, return_counts=True)
    if not len(seen):
        return counts
    grid = np.arange(0, CERTAIN + 4, 0.25) * sigma
    log_likelihood = -0.5 * ((seen[:, None] - grid) / sigma) ** 2
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    prior = np.full(len(grid), 1 / len(grid))
    for _ in range(200):
        joint = likelihood * prior
        joint /= joint.sum(axis=1, keepdims=True)
        prior = often @ joint / often.sum()
    counts[uncertain] = (joint @ grid)[place]
    return counts


class Edge:
    """How a field depends on its parent: cells that stand out from the noise, and a rest without the parent."""

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

        Of the rows that its marginal gives a parent's value, its cells take as many as they hold; the rest is drawn
        from what the field's own marginal has beyond all cells, so that both marginals are kept as far as noise allows.
        """
        begin, end = (np.searchsorted(self._of, parents, side=side) for side in ("left", "right"))
        known = self._upto[end] - self._upto[begin]
        left = np.maximum(rows * own.shares - np.bincount(self._values, self._counts, len(own.shares)), 0)
        upto = np.cumsum(left if left.sum() > 0 else own.shares)
        made = np.searchsorted(upto, rng.random(len(parents)) * upto[-1], side="right")
        made = np.minimum(made, len(upto) - 1)
        from_cells = rng.random(len(parents)) * np.maximum(rows * of_parent.shares[parents], known) < known
        made[from_cells] = self._values[_drawn(self._upto, begin[from_cells], end[from_cells], rng)]
        return made


class ClassEdge:
    """How a field depends on its parent where one of the two is known only by classes of values."""

    def __init__(self, field: int, parent: int, classes: tuple[Classes, Classes], counts: NDArray[np.float64]) -> None:
        """`classes` are the parent's and the field's, `counts` are (the parent's classes, the field's)."""
        self.field, self.parent, self.counts = field, parent, counts
        self._of_parent, self._of_field = (each.of_value for each in classes)
        self._upto = np.append(0.0, np.cumsum(counts))

    def sample(
        self, parents: NDArray[np.int64], of_parent: Marginal, own: Marginal, rows: float, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """A value for each of the parent's values: first its class, then one of the class by the field's marginal."""
        columns = self.counts.shape[1]
        begin = self._of_parent[parents] * columns
        drawn = _drawn(self._upto, begin, begin + columns, rng) - begin
        by_class = np.argsort(self._of_field, kind="stable")
        starts = np.searchsorted(self._of_field[by_class], np.arange(columns + 1))
        upto = np.append(0.0, np.cumsum(own.shares[by_class]))
        made: NDArray[np.int64] = by_class[_drawn(upto, starts[drawn], starts[drawn + 1], rng)]
        return made


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of a field's values, from 0."""

    of_value: NDArray[np.int64]  # (values,)
    shares: NDArray[np.float64]  # (classes,), of the rows

    @classmethod
    def of(cls, marginal: Marginal, most: int) -> Classes:
        """At most this many, of about equally many rows each, from the most frequent values to the rarest."""
        shares = marginal.shares
        classes = np.arange(len(shares))
        if most < len(shares):
            order = np.argsort(-shares, kind="stable")
            before = np.cumsum(shares[order]) - shares[order]
            classes[order] = np.minimum(before * most, most - 1).astype(np.int64)
            classes = np.unique(classes, return_inverse=True)[1].astype(np.int64)
        return cls(classes, np.bincount(classes, shares).astype(np.float64))


def _drawn(
    upto: NDArray[np.float64], begin: NDArray[np.int64], end: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """A place in each of these ranges (not empty), by weights whose cumulative sums are `upto`."""
    goal = upto[begin] + rng.random(len(begin)) * (upto[end] - upto[begin])
    return np.clip(np.searchsorted(upto, goal, side="right") - 1, begin, end - 1)


@dataclass(frozen=True, eq=False)
class Tree:
    """The noisy counts of one label, ready for sampling."""

    rows: float
    marginals: list[Marginal]  # by field
    edges: list[Edge | ClassEdge]  # a parent is the first field, or the child of an earlier edge

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
        """New rows at the noisy click rate, shuffled: made from the counts alone, they cost no more budget."""
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
        """ε, δ, where the noise is from, ρ, and how much noise they bought."""
        spent = self._budgets[0].spent
        values = [noise for _, _, noise in spent[: len(self._schema.fields)]]
        noises = {"least sigma of values": min(values), "sigma of pairs": spent[-1][2]}
        told = {"epsilon": self._spec.epsilon, "delta": self._spec.delta, "noise": self._spec.noise}
        return {**told, "rho": self._budgets[0].rho, **noises}


def learn(values: NDArray[np.int32], sizes: list[int], budget: Budget, rng: np.random.Generator) -> Tree:
    """The tree of one label's rows, (rows, fields), which are seen only through the budget's mechanisms."""
    fields = len(sizes)
    for_values = budget.rho * (VALUES if fields > 1 else 1)
    shares = np.array(sizes, np.float64) ** (2 / 3)  # minimises the sum of all values' errors, size · σ of each field
    sigmas, noisy = [], []
    for field, size in enumerate(sizes):
        sigmas.append(budget.sigma(for_values * shares[field] / shares.sum()))
        noisy.append(np.bincount(values[:, field], minlength=size) + noise(size, sigmas[-1], rng))
    rows = _rows(noisy, sigmas)
    marginals = [Marginal.of(counts, sigma) for counts, sigma in zip(noisy, sigmas, strict=True)]
    pairs = _choose(values, marginals, rows, budget, rng) if fields > 1 else []
    edges: list[Edge | ClassEdge] = []
    for parent, field, coarse in _from_first(pairs):
        sigma = budget.sigma(PAIRS * budget.rho / len(pairs))
        if coarse is None:
            size = sizes[parent] * sizes[field]
            places, counts = _pair_counts(values, parent, field, sizes)
            cells = noisy_cells(places, counts, size, sigma, _least(size, sigma), rng)
            edges.append(Edge(field, parent, np.column_stack(np.divmod(cells.places, sizes[field])), cells.counts))
        else:
            both = _classes(marginals, parent, coarse), _classes(marginals, field, coarse)
            counts = _class_counts(values, parent, field, both)
            seen = counts + noise(counts.size, sigma, rng).reshape(counts.shape)
            expected = rows * np.outer(both[0].shares, both[1].shares)
            edges.append(ClassEdge(field, parent, both, shrunk(seen, expected, sigma)))
    return Tree(rows, marginals, edges)


def shrunk(seen: NDArray[np.int64], expected: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Likely counts given noisy ones and those of independence: the less the noise leaves, the nearer to the latter.

    The mean of a count e·(1 + δ), δ of mean 0 and a variance estimated from the whole table by its moments; at least 0.
    """
    off = seen - expected
    variance = max(float((off**2 - sigma**2).sum() / (expected**2).sum()), 0.0) * expected**2
    likely: NDArray[np.float64] = np.maximum(expected + variance / (variance + sigma**2) * off, 0)
    return likely


def _rows(noisy: list[NDArray[np.int64]], sigmas: list[float]) -> float:
    """The number of rows: each field's counts add up to it, more precisely the fewer they are; at least 1."""
    weights = np.array([1 / (len(counts) * sigma**2) for counts, sigma in zip(noisy, sigmas, strict=True)])
    return max(float(np.average([counts.sum() for counts in noisy], weights=weights)), 1.0)


def _least(cells: int, sigma: float) -> int:
    """The least noisy count that stands out among this many cells: noise alone lifts hardly any that far.

    The universal threshold of Donoho and Johnstone (1994), σ·√(2 ln cells).
    """
    return max(1, math.ceil(sigma * math.sqrt(2 * math.log(max(cells, 2)))))


def _choose(
    values: NDArray[np.int32],
    marginals: list[Marginal],
    rows: float,
    budget: Budget,
    rng: np.random.Generator,
) -> list[Pair]:
    """The pairs of a spanning tree, by Kruskal's algorithm with the exponential mechanism in place of the maximum.

    A pair's score is how many rows its cells have beyond what the marginals predict and noise will hide: what measuring
    it can reveal. A row changes one cell by 1, and so the score by at most 1. (MST's own score ignores the noise, and
    would choose pairs with thousands of values of which nothing remains.) A pair may also be measured with one field in
    classes, which say less about it, but of which noise hides less.
    """
    sizes = [len(marginal.shares) for marginal in marginals]
    sigma = math.sqrt((len(sizes) - 1) / (2 * PAIRS * budget.rho))  # of the pairs' counts
    scores: dict[Pair, float] = {}
    for a, b in combinations(range(len(sizes)), 2):
        places, counts = _pair_counts(values, a, b, sizes)
        first, second = np.divmod(places, sizes[b])
        expected = rows * marginals[a].shares[first] * marginals[b].shares[second]
        scores[a, b, None] = float(np.maximum(counts - expected - _least(sizes[a] * sizes[b], sigma), 0).sum())
        for coarse in (field for field in (a, b) if sizes[field] > CLASSES):
            both = _classes(marginals, a, coarse), _classes(marginals, b, coarse)
            off = _class_counts(values, a, b, both) - rows * np.outer(both[0].shares, both[1].shares)
            scores[a, b, coarse] = float(np.maximum(off - sigma, 0).sum())
    part = list(range(len(sizes)))  # of each field, the tree that it is in
    chosen: list[Pair] = []
    rho = CHOICE * budget.rho / (len(sizes) - 1)
    for _ in range(len(sizes) - 1):
        open_pairs = [pair for pair in scores if part[pair[0]] != part[pair[1]]]
        pair = open_pairs[budget.choose(np.array([scores[pair] for pair in open_pairs]), rho, rng)]
        chosen.append(pair)
        part = [part[pair[0]] if each == part[pair[1]] else each for each in part]
    return chosen


def _classes(marginals: list[Marginal], field: int, coarse: int) -> Classes:
    """A field's values as they are, or in classes if it is the coarse one."""
    marginal = marginals[field]
    return Classes.of(marginal, CLASSES if field == coarse else len(marginal.shares))


def _class_counts(values: NDArray[np.int32], a: int, b: int, classes: tuple[Classes, Classes]) -> NDArray[np.int64]:
    """The number of rows of each pair of classes, (a's classes, b's)."""
    sizes = [len(each.shares) for each in classes]
    places = classes[0].of_value[values[:, a]] * sizes[1] + classes[1].of_value[values[:, b]]
    return np.bincount(places, minlength=sizes[0] * sizes[1]).reshape(sizes)


def _pair_counts(
    values: NDArray[np.int32], a: int, b: int, sizes: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nonempty cells, a's value · b's size + b's value, ascending, and their numbers of rows."""
    return np.unique(values[:, a].astype(np.int64) * sizes[b] + values[:, b], return_counts=True)


def _from_first(pairs: list[Pair]) -> list[Pair]:
    """A tree's pairs as (parent, child, the one in classes), from field 0 outwards."""
    ways: list[Pair] = []
    reached = [0]
    for parent in reached:  # grows while it is iterated
        for a, b, coarse in pairs:
            other = b if parent == a else a
            if parent in (a, b) and other not in reached:
                ways.append((parent, other, coarse))
                reached.append(other)
    return ways


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `mst`."""
    register(Mst)
