"""A Bayesian network from counts: what a pool is worth that knows which few fields go together, and nothing else.

In: a training table. Out: a sampler that draws a row field by field, each from the rows of train in which the field's
parents have the values just drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl

from ctrbench_generators._classes import shares_of
from ctrbench_generators._values import Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 200
"""How often rows that equal real ones are redrawn before giving up."""
TOLD = 12
"""Fields of a network that the details list."""


@dataclass(frozen=True)
class BayesNet(Generator):
    """Trees of pairwise dependencies within each label (Chow and Liu 1968), or up to two parents per field.

    With one parent the network is the maximum-likelihood tree. With two, fields are added greedily, each with the pair
    of earlier fields that says most about it, as in PrivBayes (Zhang et al. 2017) without its noise. Counts of pairs
    are sparse, so memory grows with rows, not with values. `smoothing`, `backoff` and `reject_copies` trade fidelity
    for distance from real rows; none of them proves privacy: `mst` does. `in_turn` goes the other way: a pool as large
    as train then has each value, and each pair along the tree, about as often as train does.
    """

    name: ClassVar[str] = "bayes_net"
    parents: Annotated[int, "maximum number of a field's parents, 1 or 2", Ge(1), Le(2)] = 1
    smoothing: Annotated[
        float, "share of draws that ignore a parent: the weaker of two, then the last", Ge(0), Le(1)
    ] = 0.0
    backoff: Annotated[float, "rows with the parents' values at which half of the draws ignore a parent", Ge(0)] = 0.0
    reject_copies: Annotated[bool, "redraw rows that equal a row of train, label included"] = False
    in_turn: Annotated[bool, "rows of train with a parent's values take turns instead of being drawn at random"] = False
    bins: Annotated[int, "quantile bins of a numeric parent", Ge(2)] = 32

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Learn one network from the rows of each label."""
        values = Values.of(train, self.bins)
        places = values.encode(train)
        networks = []
        for label in (0, 1):
            rows = places[train.targets == label]
            networks.append(Network.of(rows, values.binned(rows), self.parents) if len(rows) else None)
            context.progress(label + 1, 2, {})
        real = np.sort(_keys(values, places, train.targets)) if self.reject_copies else None
        return BayesNetSampler(self, values, networks, train.targets, real, seed)


@dataclass(frozen=True, eq=False)
class Node:
    """A field and its parents, the strongest first."""

    field: int
    parents: tuple[int, ...]


class Network:
    """The rows of one label, and their order of fields."""

    def __init__(self, rows: NDArray[np.int32], bins: NDArray[np.int32], nodes: list[Node]) -> None:
        self._rows, self._bins = rows, bins  # (rows, fields) each
        self.nodes = nodes
        ends = {node.parents[:length] for node in nodes for length in range(1, len(node.parents) + 1)}
        self._groups = {parents: Groups.of(bins[:, parents]) for parents in ends}
        self._everything = Groups.of(np.zeros((len(rows), 1), np.int32))

    @classmethod
    def of(cls, rows: NDArray[np.int32], bins: NDArray[np.int32], most_parents: int) -> Network:
        """The network that says most about these rows."""
        return cls(rows, bins, learn(bins, most_parents))

    def sample(
        self, rows: int, bins_of: list[NDArray[np.int64]], spec: BayesNet, rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """`rows` new rows of positions, (rows, fields)."""
        made = np.empty((rows, self._rows.shape[1]), np.int32)
        bins = np.empty_like(made)
        for node in self.nodes:
            # A row of train for each new row: any row, unless one with its parents' values is drawn.
            source = self._everything.draw(np.zeros(rows, np.intp), rng, in_turn=spec.in_turn)
            for length in range(1, len(node.parents) + 1):
                parents = node.parents[:length]
                group, size = self._groups[parents].find(bins[:, parents])
                keep = (rng.random(rows) >= spec.smoothing) & (rng.random(rows) * (size + spec.backoff) < size)
                source[keep] = self._groups[parents].draw(group[keep], rng, in_turn=spec.in_turn)
            made[:, node.field] = self._rows[source, node.field]
            bins[:, node.field] = bins_of[node.field][made[:, node.field]]
        return made


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of train with equal values in one or two fields; memory is a few numbers per row, however many values."""

    keys: NDArray[np.int64]  # (groups,), ascending
    rows: NDArray[np.intp]  # those of the first group, then those of the second, …
    starts: NDArray[np.int64]  # (groups + 1,)
    factor: int  # what the first field's bin counts for in a key

    @classmethod
    def of(cls, bins: NDArray[np.int32]) -> Groups:
        """The groups by these columns, (rows, one or two)."""
        factor = int(bins[:, -1].max()) + 1
        keys = _joined(bins, factor)
        rows = np.argsort(keys, kind="stable")
        distinct, starts = np.unique(keys[rows], return_index=True)
        return cls(distinct, rows, np.append(starts, len(keys)), factor)

    def find(self, bins: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The group of each new row, and its size: 0 for values that never occur together in train."""
        keys = _joined(bins, self.factor)
        group = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        there = (self.keys[group] == keys) & (bins[:, -1] < self.factor)
        return group, np.where(there, self.starts[group + 1] - self.starts[group], 0)

    def draw(self, group: NDArray[np.intp], rng: np.random.Generator, *, in_turn: bool) -> NDArray[np.intp]:
        """A row of each of these groups: any, or each as often as the others, in random order."""
        if not in_turn:
            return self.rows[rng.integers(self.starts[group], self.starts[group + 1])]
        sizes = np.diff(self.starts)
        shuffled = self.rows[np.lexsort([rng.random(len(self.rows)), np.repeat(np.arange(len(sizes)), sizes)])]
        order = np.argsort(group, kind="stable")
        asked = np.bincount(group, minlength=len(sizes))
        turns = np.empty(len(group), np.int64)  # of each new row: how many of its group came before it
        turns[order] = np.arange(len(group)) - np.repeat(np.cumsum(asked) - asked, asked)
        return shuffled[self.starts[group] + turns % sizes[group]]


class BayesNetSampler(Sampler):
    """The networks of both labels."""

    def __init__(
        self,
        spec: BayesNet,
        values: Values,
        networks: list[Network | None],
        labels: NDArray[np.int8],
        real: NDArray[np.void] | None,
        seed: int,
    ) -> None:
        self._spec, self._values, self._networks, self._labels = spec, values, networks, labels
        self._real, self._seed = real, seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows at train's click rate, shuffled; ValueError where hardly any row can be made that is not a copy."""
        rng = np.random.default_rng([self._seed, seed])
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), shares_of(self._labels, rows)))
        places = np.empty((rows, len(self._values.schema.fields)), np.int32)
        self._fill(places, labels, np.arange(rows), rng)
        if self._real is not None:
            wrong = np.flatnonzero(_is_in(_keys(self._values, places, labels), self._real))
            for _ in range(ROUNDS):
                if not len(wrong):
                    break
                self._fill(places, labels, wrong, rng)
                wrong = wrong[_is_in(_keys(self._values, places[wrong], labels[wrong]), self._real)]
            if len(wrong):
                raise ValueError(
                    f"{len(wrong):,} of {rows:,} rows were real ones {ROUNDS} times in a row: the fields have too few "
                    "combinations that train lacks; take reject_copies=false or more smoothing"
                )
        return self._values.decode(places, labels)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The parents of each field, by label; the first ones where there are many."""
        names = self._values.schema.names
        facts = {}
        for label, network in enumerate(self._networks):
            nodes = network.nodes if network is not None else []
            told = [f"{names[n.field]}({','.join(names[parent] for parent in n.parents)})" for n in nodes]
            facts[f"network of label {label}"] = " ".join(told[:TOLD]) + " …" * (len(told) > TOLD)
        return facts

    def _fill(
        self, places: NDArray[np.int32], labels: NDArray[np.int8], these: NDArray[np.intp], rng: np.random.Generator
    ) -> None:
        """Draw these rows again, by their labels."""
        for label, network in enumerate(self._networks):
            mine = these[labels[these] == label]
            if network is not None and len(mine):
                places[mine] = network.sample(len(mine), self._values.bins, self._spec, rng)


def learn(bins: NDArray[np.int32], most_parents: int) -> list[Node]:
    """The fields in the order in which they are drawn, each with its parents.

    The first is the one of greatest entropy. Then, greedily, the field and the parents with the greatest mutual
    information, which for one parent is Prim's algorithm for the maximum spanning tree. Mutual information is corrected
    for the number of nonempty cells (Miller and Madow); otherwise pairs of rare values would always seem to say most.
    """
    information = _Information(bins)
    left = list(range(bins.shape[1]))
    first = max(left, key=lambda field: information.entropy((field,)))
    left.remove(first)
    nodes = [Node(first, ())]
    best: dict[int, tuple[float, tuple[int, ...]]] = dict.fromkeys(left, (-np.inf, ()))
    while left:
        placed = [node.field for node in nodes]
        newest, degree = placed[-1], min(most_parents, len(placed))
        earlier = combinations(placed[:-1], degree - 1)
        candidates = [(*others, newest) for others in earlier]
        for field in left:
            found = max((information.shared(field, parents), parents) for parents in candidates)
            if len(best[field][1]) < degree or found > best[field]:
                best[field] = found
        chosen = max(left, key=lambda field: best[field][0])
        left.remove(chosen)
        _, parents = best.pop(chosen)
        parents = tuple(sorted(parents, key=lambda parent: -information.shared(chosen, (parent,))))
        nodes.append(Node(chosen, parents))
    return nodes


class _Information:
    """Entropies of groups of columns, in nats; each is computed once."""

    def __init__(self, bins: NDArray[np.int32]) -> None:
        self._columns = [column.astype(np.int64) for column in bins.T]
        self._sizes = [int(column.max()) + 1 for column in bins.T]
        self._entropies: dict[tuple[int, ...], float] = {}

    def shared(self, field: int, parents: tuple[int, ...]) -> float:
        """The mutual information of a field and its parents."""
        return self.entropy((field,)) + self.entropy(parents) - self.entropy((*parents, field))

    def entropy(self, fields: tuple[int, ...]) -> float:
        """The entropy of the joint distribution of these fields."""
        found = self._entropies.get(key := tuple(sorted(fields)))
        if found is None:
            numbers, size = np.zeros(len(self._columns[0]), np.int64), 1
            for field in key:
                if size * self._sizes[field] > 2**62:
                    distinct, numbers = np.unique(numbers, return_inverse=True)
                    size = len(distinct)
                numbers = numbers * self._sizes[field] + self._columns[field]
                size *= self._sizes[field]
            counts = _counts(numbers, size)
            shares = counts / len(numbers)
            found = self._entropies[key] = float(
                -(shares * np.log(shares)).sum() + (len(counts) - 1) / 2 / len(numbers)
            )
        return found


def _counts(numbers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How often each occurring number occurs, without a cell for the others where they are many."""
    if size <= 4 * len(numbers):
        counts = np.bincount(numbers)
        return counts[counts > 0]
    return np.unique(numbers, return_counts=True)[1]


def _joined(bins: NDArray[np.int32], factor: int) -> NDArray[np.int64]:
    """One number for the values of one or two columns."""
    first, last = bins[:, 0].astype(np.int64), bins[:, -1]
    return first if bins.shape[1] == 1 else first * factor + last


def _keys(values: Values, places: NDArray[np.int32], labels: NDArray[np.int8]) -> NDArray[np.void]:
    """Each row with its label, missing numbers alike, as one value that can be compared as a whole, (rows,)."""
    whole = np.ascontiguousarray(np.column_stack([values.settled(places), labels.astype(np.int32)]))
    return whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1]))).ravel()


def _is_in(keys: NDArray[np.void], ascending: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which keys are among these: np.isin, but sorted once for all rounds."""
    place = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[place] == keys
    return found


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `bayes_net`."""
    register(BayesNet)
