"""Rows of train and of the holdout that differ only in whether the generator saw them.

In: real train and a real holdout. Out: equally many rows of both, drawn so that a pool which knows only the
distribution of train's rows cannot favour either, and the people behind them.

Train contains each of its values at least once, and the holdout has values that train lacks, which alone would tell the
two apart. So one part of train, the `rest`, decides for both sides: only rows are kept all of whose values occur there.
Where the holdout's users are new (a split by user), nothing about the user can be compared: those fields are left out
and only say which rows belong to one person; and train's part is drawn person by person, so that the rest of train
contains the people of neither side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import UNSEEN, Schema, Skip, Table

from ctrbench_metrics._chance import sample_of, users_of
from ctrbench_metrics._rows import number_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEW = 0.5
"""A field that is unseen in more than this share of the holdout's rows cannot be compared."""


@dataclass(frozen=True, eq=False)
class Matched:
    """Members (rows of train), others (rows of the holdout) and the rest of train, in the fields to be compared."""

    members: Table
    others: Table
    rest: Table
    _people: tuple[NDArray[np.int64], NDArray[np.int64]] | None

    @classmethod
    def drawn(cls, train: Table, holdout: Table, rows: int, rng: np.random.Generator) -> Matched:
        """At most `rows` of each and at most half of train; Skip where nothing is left to compare."""
        size = min(len(train) // 2, len(holdout), rows)
        new_users, fields = _comparable(holdout)
        if new_users:
            (members, rest), (others, _) = (_split_by_person(table, size, rng) for table in (train, holdout))
        else:
            order = rng.permutation(len(train))
            members, rest = (train.take(np.sort(part)) for part in (order[:size], order[size:]))
            others = sample_of(holdout, size, rng)
        possible = [_values_occur(table, rest, fields) for table in (members, others)]
        if not (fields and all(each.any() for each in possible)):
            raise Skip("train and valid have no rows whose values occur in the rest of train, so none can be compared")
        members, others = members.take(possible[0]), others.take(possible[1])
        first, second = (_persons if new_users else users_of)(members, others)
        known = not new_users or len(np.unique(second)) > 1
        members, others, rest = (only(table, fields) for table in (members, others, rest))
        return cls(members, others, rest, (first, second) if known else None)

    @property
    def people(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The people behind members and others, (rows,) each, numbered together.

        Skip where the holdout's users are new and nothing but their ids tells them apart.
        """
        if self._people is None:
            raise Skip("valid's users are unseen in train, and nothing but their id tells them apart")
        return self._people

    @property
    def suspects(self) -> Table:
        """Members, then others."""
        return Table.concat([self.members, self.others])

    @property
    def count(self) -> int:
        """The number of people."""
        return int(max(each.max() for each in self.people)) + 1

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that are compared."""
        return self.members.schema.names


def only(table: Table, fields: Sequence[str]) -> Table:
    """The table with these fields only."""
    schema = Schema(tuple(field for field in table.schema.fields if field.name in fields), table.schema.label)
    return Table(table.rows[list(schema.names)], schema, table.labels)


def _comparable(holdout: Table) -> tuple[bool, list[str]]:
    """Whether the holdout's users are new, and the fields whose values train and holdout share."""
    new = {field.name: float((holdout.rows[field.name] == UNSEEN).mean()) for field in holdout.schema.categorical}
    user = holdout.schema.identifier("user")
    new_users = user is not None and new[user.name] > NEW
    return new_users, [
        field.name
        for field in holdout.schema.fields
        if new.get(field.name, 0.0) <= NEW and not (new_users and field.role == "user")
    ]


def _values_occur(table: Table, rest: Table, fields: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows have only values that occur in the rest of train, (rows,)."""
    good = np.ones(len(table), bool)
    for field in table.schema.categorical:
        if field.name in fields:
            occurs = np.bincount(rest.rows[field.name], minlength=field.vocab_size) > 0
            good &= occurs[table.rows[field.name].to_numpy()]
    return good


def _split_by_person(table: Table, size: int, rng: np.random.Generator) -> tuple[Table, Table]:
    """At most `size` rows, all those of each chosen person (at least one person), and the remaining rows."""
    (persons,) = _persons(table)
    ranks = rng.permutation(int(persons.max(initial=0)) + 1)[persons]
    whole = int(np.searchsorted(np.cumsum(np.bincount(ranks)), size, "right"))
    chosen = ranks < max(whole, 1)
    return table.take(np.flatnonzero(chosen)), table.take(np.flatnonzero(~chosen))


def _persons(*tables: Table) -> list[NDArray[np.int64]]:
    """People, identified by all fields that describe the user, since the holdout's ids are unseen."""
    numbers = number_rows(*tables, fields=[field.name for field in tables[0].schema.with_role("user")])
    ends = np.cumsum([len(table) for table in tables])
    return np.split(np.unique(np.concatenate(numbers), return_inverse=True)[1], ends[:-1])
