"""Interaction disclosure: which user met which item.

In: the pool, real train and a real holdout. Out: how many of train's pairs of user and item can be read off the pool,
compared with pairs that its generator has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Better, Register, Score, Skip, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE, Estimate, mean_of
from ctrbench_metrics._matched import Matched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FEW = 5
"""A user with at most this many rows in the rest of train has few."""

LEAST = 10
"""No comparison is made with fewer people than this on either side."""

ALIKE = 0.02
"""With real rows as the pool, a difference this close to 0 still counts as none."""


@dataclass(frozen=True)
class InteractionDisclosure(SyntheticMetric):
    """Share of train's user–item pairs that the pool reveals, compared with pairs its generator has never seen.

    The attacker takes every pair of user and item in the pool for a fact; what is inferred are the very transactions
    that Calandrino et al. (2011) read off recommendations. Distinct pairs of a part of train are compared with those of
    as many holdout rows, both without the pairs of the other side and of the rest of train: a pool that knows only the
    distribution of rows contains both equally often. The baseline is the holdout's share, corrected for the difference
    that the pool's marginals within each label make between the two sides; `excess`, with a 95 % interval over users,
    is the value minus the baseline. The same numbers are given for `clicked` and `unclicked` pairs, where the pool must
    have the label right too, and for the pairs of users with at most five other rows (`few_rows`). `precision` and
    `recall` are over all distinct pairs of the pool and of train; `…_by_marginals` is what remains of them when items
    are shuffled within each label.

    Where nothing can be compared (new users, or too few people) the value is `recall`, and the baseline
    `recall_by_marginals`, without an interval.

    Flagged where one of the four differs from its baseline by more than chance (two-sided, 5 % for all together), and
    by more than with reference rows as the pool. No verdict where those already differ by themselves, or where the
    holdout's users are new. A share below the baseline is a leak too: what should be there and is missing was in train.

    It shows that the pool reveals who met which item. A high `precision` alone does not, since any good pool repeats
    what people do habitually. It misses pairs that occur in many rows, what several pools reveal together, and leaks of
    single users, who are lost in the average.
    """

    name: ClassVar[str] = "interaction_disclosure"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share of pairs"

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip without a user or item field, or without rows."""
        names = [train.schema.expect_identifier(role).name for role in ("user", "item")]
        if not all(map(len, (synthetic, train, holdout, reference))):
            raise Skip("needs rows in the pool, train, valid and test")
        rng = np.random.default_rng(seed)
        pool, real = _Pairs(synthetic, names), _Pairs(reference, names)
        shuffled = pool.shuffled(rng)
        everything = _Pairs(train, names).of(None)
        details = {**_overlap(pool.of(None), everything, ""), **_overlap(shuffled, everything, "_by_marginals")}
        comparisons = _comparisons(Matched.drawn(train, holdout, len(train), rng), names)
        if "pairs" not in comparisons:
            return Score(details["recall"], details["recall_by_marginals"], details)
        found = {name: each.read_off(pool) for name, each in comparisons.items()}
        control = {name: each.read_off(real).excess for name, each in comparisons.items()}
        value = found["pairs"]
        details |= {**value.share.interval, **value.off()}
        for name, each in found.items():
            details |= {f"{name}_{what}": number for what, number in each.all().items() if name != "pairs"}
        level = SIGNIFICANCE / len(found)  # Bonferroni
        told = any(
            each.excess.side(level) != 0 and each.excess.side(level) == (each.excess - control[name]).side(level)
            for name, each in found.items()
        )
        alike = control["pairs"].low < ALIKE and control["pairs"].high > -ALIKE
        return Score(value.share.value, value.baseline, details, told if alike else None)


class _Pairs:
    """A table's pairs of user and item, each as one number, (rows,), and how often each user and item occurs."""

    def __init__(self, table: Table, names: list[str]) -> None:
        self._users, self._items = (table.rows[name].to_numpy() for name in names)
        self._sizes = [field.vocab_size for name in names for field in table.schema.fields if field.name == name]
        self._labels = table.targets
        self.numbers = self._users.astype(np.int64) * self._sizes[1] + self._items

    def of(self, label: int | None) -> NDArray[np.int64]:
        """The distinct pairs of a class, or of both, sorted."""
        return np.unique(self.numbers if label is None else self.numbers[self._labels == label])

    def users(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The user of each pair."""
        return pairs // self._sizes[1]

    def rows_of(self, users: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rows each user has."""
        return np.bincount(self._users, minlength=self._sizes[0])[users]

    def by_chance(self, pairs: NDArray[np.int64], label: int | None) -> NDArray[np.float64]:
        """The chance that each pair would occur here if items were shuffled among the rows of each class, (pairs,)."""
        users, items = np.divmod(pairs, self._sizes[1])
        log_absent = np.zeros(len(pairs))
        for each in (0, 1) if label is None else (label,):
            chosen = self._labels == each
            if chosen.any():
                rows = np.bincount(self._users[chosen], minlength=self._sizes[0])[users]
                share = np.bincount(self._items[chosen], minlength=self._sizes[1])[items] / chosen.sum()
                log_absent += rows * np.log1p(-np.minimum(share, 1 - 1e-12))
        return -np.expm1(log_absent)

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The distinct pairs after items were shuffled within each class."""
        items = self._items.copy()
        for label in (0, 1):
            chosen = np.flatnonzero(self._labels == label)
            items[chosen] = items[rng.permutation(chosen)]
        return np.unique(self._users.astype(np.int64) * self._sizes[1] + items)


def _overlap(pool: NDArray[np.int64], train: NDArray[np.int64], suffix: str) -> Mapping[str, float]:
    """Precision and recall of distinct pairs, under the names that details use."""
    common = len(np.intersect1d(pool, train, assume_unique=True))
    return {f"precision{suffix}": common / len(pool), f"recall{suffix}": common / len(train)}


@dataclass(frozen=True, eq=False)
class _Reading:
    """What a pool reveals in a comparison: the share of train's pairs in it, and how far that is above the baseline."""

    share: Estimate
    excess: Estimate

    @property
    def baseline(self) -> float:
        """The share that a pool which knows only the distribution would reveal; the correction may take it below 0."""
        return max(self.share.value - self.excess.value, 0.0)

    def off(self) -> Mapping[str, float]:
        """The excess and its interval, under the names that details use."""
        return {"excess": self.excess.value, "excess_low": self.excess.low, "excess_high": self.excess.high}

    def all(self) -> Mapping[str, float]:
        """The same, with the share and its baseline."""
        return {"share": self.share.value, "baseline": self.baseline, **self.off()}


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Distinct pairs of train's part and of the holdout, and the label that the pool must give them."""

    told: NDArray[np.int64]
    untold: NDArray[np.int64]
    label: int | None
    names: _Pairs

    def read_off(self, pool: _Pairs) -> _Reading:
        """How many of both occur in the pool."""
        known = pool.of(self.label)
        shares, corrected = [], []
        for pairs in (self.told, self.untold):
            hits = np.isin(pairs, known).astype(np.float64)
            users = self.names.users(pairs)
            count = int(max(self.names.users(each).max() for each in (self.told, self.untold))) + 1
            shares.append(mean_of(hits, users, count))
            corrected.append(mean_of(hits - pool.by_chance(pairs, self.label), users, count))
        return _Reading(shares[0], corrected[0] - corrected[1])


def _comparisons(matched: Matched, names: list[str]) -> Mapping[str, _Comparison]:
    """All comparisons that can be made; none where the holdout's users are new."""
    if not set(names) <= set(matched.fields):
        return {}
    members, others, rest = (_Pairs(table, names) for table in (matched.members, matched.others, matched.rest))
    found = {}
    for name, label in (("pairs", None), ("clicked", 1), ("unclicked", 0)):
        sides = [np.setdiff1d(each.of(label), rest.of(label), assume_unique=True) for each in (members, others)]
        common = np.intersect1d(sides[0], sides[1], assume_unique=True)
        told, untold = (np.setdiff1d(side, common, assume_unique=True) for side in sides)
        found[name] = _Comparison(told, untold, label, rest)
    told, untold = (
        pairs[rest.rows_of(rest.users(pairs)) <= FEW] for pairs in (found["pairs"].told, found["pairs"].untold)
    )
    found["few_rows"] = _Comparison(told, untold, None, rest)
    return {
        name: each
        for name, each in found.items()
        if all(len(np.unique(rest.users(pairs))) >= LEAST for pairs in (each.told, each.untold))
    }


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `interaction_disclosure`."""
    register(InteractionDisclosure)
