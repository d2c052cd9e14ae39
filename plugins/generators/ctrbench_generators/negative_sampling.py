"""Negatives made as recommenders make them: a click's user and context with an item that this user never clicked.

In: a training table with a user and an item. Out: a sampler of such negatives, and of real positives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Skip, Table, hookimpl

from ctrbench_generators._classes import shares_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class NegativeSampling(Generator):
    """Positives: real ones again. Negatives: a positive with an item its user never clicked (He et al. 2017).

    A control. Only the negatives are new: the positives are real positives drawn with replacement. A negative is a real
    positive, also drawn with replacement, whose item is replaced by one drawn uniformly from train's items that its
    user has no positive for in train. User and item are the first categorical fields of these roles; all fields with
    the role item are replaced together, by those of a row of train with the new item.
    """

    name: ClassVar[str] = "negative_sampling"
    role: ClassVar[MethodRole] = MethodRole.CONTROL

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Collect each user's positives; Skip without a user or item field, or where no negative can be made."""
        fields = [train.schema.expect_identifier(role) for role in ("user", "item")]
        user, codes = (train.rows[field.name].to_numpy() for field in fields)
        positives = np.flatnonzero(train.targets == 1)
        _, item, counts = np.unique(codes, return_inverse=True, return_counts=True)  # train's items, numbered from 0
        unclicked = Unclicked(user[positives], item[positives], len(counts))
        sources = positives[unclicked.number(user[positives]) > 0]
        if not len(sources):
            raise Skip("every user with a positive has clicked all items: there is no negative to sample")
        rows_of = Groups(np.argsort(item, kind="stable"), np.cumsum(counts) - counts, counts)
        return NegativeSampler(train, user, positives, sources, unclicked, rows_of, seed)


@dataclass(frozen=True)
class Groups:
    """Rows sorted into groups."""

    rows: NDArray[np.intp]  # those of group 0, then those of group 1, …
    starts: NDArray[np.int64]  # (groups,)
    sizes: NDArray[np.int64]  # (groups,)

    def draw(self, groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
        """A row from each of these groups."""
        return self.rows[self.starts[groups] + rng.integers(self.sizes[groups])]


class Unclicked:
    """The items that are not among a user's positives, counted and drawn without ever being listed.

    Let a user's positives be a₀ < a₁ < …; below aₜ are aₜ - t other items. So the other item with r others below it is
    r + the number of t with aₜ - t ≤ r, which one search in a sorted array finds, however many positives there are.
    """

    def __init__(self, users: NDArray[np.int32], items: NDArray[np.intp], number: int) -> None:
        self._items = number
        pairs = np.unique(users.astype(np.int64) * number + items)
        clicked_by, clicked = np.divmod(pairs, number)
        self._clicked = np.bincount(clicked_by)  # by user
        self._starts = np.cumsum(self._clicked) - self._clicked
        self._others_below = clicked_by * (number + 1) + clicked - (np.arange(len(pairs)) - self._starts[clicked_by])

    def number(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many items are left for each of these users, all of whom have a positive."""
        return self._items - self._clicked[users]

    def draw(self, users: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int64]:
        """One such item for each user, all equally likely."""
        others = rng.integers(self.number(users))
        found = np.searchsorted(self._others_below, users.astype(np.int64) * (self._items + 1) + others, side="right")
        return others + found - self._starts[users]


class NegativeSampler(Sampler):
    """Train's positives, and what their users did not click."""

    def __init__(
        self,
        train: Table,
        user: NDArray[np.int32],  # of each row of train
        positives: NDArray[np.intp],
        sources: NDArray[np.intp],  # the positives whose users have items left
        unclicked: Unclicked,
        rows_of: Groups,  # the rows of train with each item
        seed: int,
    ) -> None:
        self._train, self._user = train, user
        self._positives, self._sources = positives, sources
        self._unclicked, self._rows_of = unclicked, rows_of
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """Negatives and positives in train's exact shares, shuffled."""
        import pandas as pd

        rng = np.random.default_rng([self._seed, seed])
        negatives, positives = shares_of(self._train.targets, rows)
        # The row that each new row's user and context come from, and its item.
        whole = np.concatenate([rng.choice(self._sources, negatives), rng.choice(self._positives, positives)])
        item = whole.copy()
        item[:negatives] = self._rows_of.draw(self._unclicked.draw(self._user[whole[:negatives]], rng), rng)
        order = rng.permutation(rows)
        whole, item = whole[order], item[order]
        columns: dict[str, NDArray[Any]] = {
            field.name: self._train.rows[field.name].to_numpy()[item if field.role == "item" else whole]
            for field in self._train.schema.fields
        }
        labels = (order >= negatives).astype(np.int8)
        return Table(pd.DataFrame(columns, copy=False), self._train.schema, labels)

    @property
    def details(self) -> Mapping[str, float | str]:
        """Train's items, and the positives that yield no negative because their users have clicked all items."""
        left_out = len(self._positives) - len(self._sources)
        return {"items": len(self._rows_of.sizes), "positives without an item left": left_out}


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `negative_sampling`."""
    register(NegativeSampling)
