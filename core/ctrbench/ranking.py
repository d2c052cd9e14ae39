"""Top-k: where, among all items, a model puts the one that was clicked, and what it puts first.

In: splits, and later a fitted model's predictions. Out: a choice of test clicks as queries; for each of these the rank
of its item and the first items. A query keeps its user and context; every item of train takes the place of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from ctrbench.errors import UserError
from ctrbench.interfaces import Rankings, Splits
from ctrbench.table import Schema, Table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Queries = Annotated[int, "test clicks for which all items are ranked, for the top-k metrics; 0 for none", Ge(0)]
"""The type of a data set's parameter `ranking`."""

TOP = 100
"""So many items are kept of each query's list."""

BLOCK_ROWS = 1 << 16
"""So many rows are predicted at once: memory does not grow with queries, and by a few numbers with each item."""

STREAM = 0x72616E6B
"""Keeps the choice of queries apart from what else a data set draws under its seed."""


def with_ranking(splits: Splits, queries: int, *, seed: int, source: str) -> Splits:
    """The splits with that many test clicks as queries, or all if there are fewer; 0 leaves the splits as they are.

    `source` stands in front of the UserError for a log in which no field describes the user, or none the item.
    """
    if not queries:
        return splits
    for role in ("user", "item"):
        if not splits.train.schema.with_role(role):
            raise UserError(f"{source}: ranking={queries} needs a field that is the {role}; say which, or leave it out")
    clicks = np.flatnonzero(splits.test.targets == 1)
    chosen = np.random.default_rng([seed, STREAM]).choice(clicks, min(queries, len(clicks)), replace=False)
    return replace(splits, ranking=splits.test.take(np.sort(chosen)))


def check_queries(queries: Table, schema: Schema) -> None:
    """ValueError where a table cannot be `Splits.ranking` beside a train of this schema."""
    if queries.schema != schema:
        raise ValueError("the schema of ranking is not train's")
    if not len(queries) or not queries.targets.all():
        raise ValueError("ranking must hold clicked rows and no others")
    if not schema.with_role("user") or not schema.with_role("item"):
        raise ValueError("ranking needs fields of the roles user and item")


def rank(
    predict: Callable[[Table], NDArray[np.float64]],
    train: Table,
    queries: Table,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rankings:
    """Rank all items for each query by a model's predictions, which are asked for in blocks of `BLOCK_ROWS`.

    The candidates are the items of train, a combination of values of the item's fields each, but for those that the
    query's user clicked in train; the query's own item is always among them. A tie with it counts half a rank. Lists
    put tied items in the order in which train first has them. `progress` hears how many queries are done.
    """
    catalogue = Catalogue.of(train, queries)
    size = max(1, BLOCK_ROWS // len(catalogue.clicks))
    parts = []
    for start in range(0, len(queries), size):
        chosen = np.arange(start, min(start + size, len(queries)))
        scores = catalogue.scores(predict, queries, chosen)
        scores[~catalogue.candidates(chosen)] = -np.inf
        parts.append(_ranked(scores, catalogue.own[chosen]))
        progress(int(chosen[-1]) + 1, len(queries))
    ranks, candidates, top = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rankings(ranks, candidates, top, catalogue.clicks)


@dataclass(frozen=True)
class Catalogue:
    """All items: those of train in the order of their first row, then those that only queries have."""

    items: pd.DataFrame  # (items, fields of the item)
    clicks: NDArray[np.int64]  # (items,), in train
    own: NDArray[np.int64]  # (queries,), the number of the query's own item
    liked: list[NDArray[np.int64]]  # for each query the items that its user clicked in train
    of_train: int  # so many items are train's

    @classmethod
    def of(cls, train: Table, queries: Table) -> Catalogue:
        """The items of train and queries."""
        clicked = train.targets == 1
        items, numbers = _numbered(train, queries, [field.name for field in train.schema.with_role("item")])
        user = train.schema.identifier("user")
        by = [user] if user else train.schema.with_role("user")
        _, users = _numbered(train, queries, [field.name for field in by])
        in_train, own = np.split(numbers, [len(train)])
        takers, askers = np.split(users, [len(train)])
        clicks = np.bincount(in_train[clicked], minlength=len(items))
        order = np.argsort(takers[clicked], kind="stable")
        takers, taken = takers[clicked][order], in_train[clicked][order]
        bounds = zip(np.searchsorted(takers, askers), np.searchsorted(takers, askers, "right"), strict=True)
        return cls(items, clicks, own, [taken[first:last] for first, last in bounds], int(in_train.max()) + 1)

    def candidates(self, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which items may stand in the lists of the chosen queries, (chosen, items)."""
        allowed = np.ones((len(chosen), len(self.clicks)), np.bool_)
        allowed[:, self.of_train :] = False
        for row, query in enumerate(chosen):
            allowed[row, self.liked[query]] = False
            allowed[row, self.own[query]] = True
        return allowed

    def scores(
        self, predict: Callable[[Table], NDArray[np.float64]], queries: Table, chosen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The predictions for each chosen query with each item in the place of its own, (chosen, items)."""
        import pandas as pd

        scores = np.empty(len(chosen) * len(self.clicks))
        contexts = {name: queries.rows[name].to_numpy() for name in queries.schema.names}
        items = {name: self.items[name].to_numpy() for name in self.items}
        for start in range(0, len(scores), BLOCK_ROWS):
            block = slice(start, min(start + BLOCK_ROWS, len(scores)))
            query, item = np.divmod(np.arange(block.start, block.stop), len(self.clicks))
            columns = {
                name: items[name][item] if name in items else values[chosen[query]] for name, values in contexts.items()
            }
            scores[block] = predict(Table(pd.DataFrame(columns, copy=False), queries.schema))
        return scores.reshape(len(chosen), -1)


def _numbered(train: Table, queries: Table, fields: list[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The distinct combinations of fields in the order of their first rows, and the number of each row's."""
    import pandas as pd

    rows = pd.concat([train.rows[fields], queries.rows[fields]], ignore_index=True)
    numbers: NDArray[np.int64] = np.asarray(rows.groupby(fields, sort=False).ngroup(), np.int64)
    return rows.drop_duplicates(ignore_index=True), numbers


def _ranked(
    scores: NDArray[np.float64], own: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """Of scores that are -inf for no candidates: the own items' ranks, numbers of candidates, and the first items."""
    allowed = np.isfinite(scores)
    of_own = np.take_along_axis(scores, own[:, None], axis=1)
    ranks = 0.5 + (scores > of_own).sum(axis=1) + (scores == of_own).sum(axis=1) / 2  # it ties with itself too
    top = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    listed = np.take_along_axis(allowed, top, axis=1)
    return ranks, allowed.sum(axis=1, dtype=np.int32), np.where(listed, top, -1).astype(np.int32)
