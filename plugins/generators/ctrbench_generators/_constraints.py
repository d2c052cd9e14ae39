"""Only combinations that occur in train, such as its pairs of country and city.

In: a training table and the groups of columns to keep together. Out: a table in which each group is one categorical
field whose values are the combinations seen, and a sampler whose rows are split again. So a method learns it like any
table and cannot produce another combination; nothing is rejected, and the other columns stay as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from ctrbench import Field, Sampler, Schema, Table, UserError, did_you_mean, find_dependencies

if TYPE_CHECKING:
    from numpy.typing import NDArray

Groups = tuple[tuple[str, ...], ...]

Constraints = Annotated[
    Literal["auto"] | tuple[str, ...] | tuple[tuple[str, ...], ...] | None,
    "columns kept to train's combinations: none, (country, city), ((a, b), (c, d)), or auto: as `data describe` finds",
]


def join(train: Table, constraints: Literal["auto"] | tuple[str, ...] | Groups | None, who: str) -> Joined:
    """Train with each group joined, in the place of its first column; UserError for groups that cannot be joined.

    `who` is the plug-in's name, for errors. A column may be in one group only: two groups that share one are one group.
    """
    if constraints == "auto":
        groups = find_dependencies(train).groups
        if groups and set(groups[0]) == set(train.schema.names):
            groups = ()  # one group of all columns would leave nothing to learn
    elif constraints is None:
        groups = ()
    else:
        groups = _checked(_listed(constraints), train.schema, who)
    joints = tuple(_joint(train, group) for group in groups)
    return Joined(_table(train, joints) if joints else train, train.schema, joints)


@dataclass(frozen=True, eq=False)
class Joint:
    """A group of columns and their combinations in train: code c stands for row c - 1 of them."""

    columns: tuple[str, ...]
    combinations: NDArray[np.int32]  # (combinations, columns), ascending
    codes: NDArray[np.int32]  # (rows of train,)


@dataclass(frozen=True, eq=False)
class Joined:
    """What a method learns (`table`), and the way back."""

    table: Table
    schema: Schema
    joints: tuple[Joint, ...]

    def sampler(self, inner: Sampler) -> Sampler:
        """A sampler of train's own columns, from one of the joined table's."""
        return SplitAgain(inner, self) if self.joints else inner

    def split(self, rows: Table) -> Table:
        """Rows of the joined table as rows of train's schema; ValueError for a code that stands for nothing."""
        import pandas as pd

        made = dict(zip(rows.schema.names, (rows.rows[name].to_numpy() for name in rows.schema.names), strict=True))
        for name, joint in zip(_names(self.schema, self.joints), self.joints, strict=True):
            codes = made.pop(name)
            if len(codes) and not 1 <= codes.min() <= codes.max() <= len(joint.combinations):
                raise ValueError(f"codes of {name!r} lie outside 1 … {len(joint.combinations)}")
            made |= zip(joint.columns, joint.combinations[codes - 1].T, strict=True)
        frame = pd.DataFrame({name: made[name] for name in self.schema.names})
        return Table(frame, self.schema, rows.labels, rows.weights)


@dataclass(frozen=True, eq=False)
class SplitAgain(Sampler):
    """A sampler of joined rows that splits them again."""

    inner: Sampler
    joined: Joined

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows in train's schema; each combination of a group occurs in train."""
        return self.joined.split(self.inner.sample(rows, seed=seed))

    @property
    def details(self) -> Mapping[str, float | str]:
        """The inner sampler's, and the groups."""
        return {**self.inner.details, "constraints": ", ".join("+".join(joint.columns) for joint in self.joined.joints)}


def _listed(constraints: tuple[str, ...] | Groups) -> Groups:
    """The groups, where a single one may be given by itself."""
    alone = tuple(name for name in constraints if isinstance(name, str))
    return (alone,) if alone else tuple(group for group in constraints if not isinstance(group, str))


def check_groups(constraints: Literal["auto"] | tuple[str, ...] | Groups | None, who: str) -> None:
    """UserError, in one line, for groups that no table could have: checked before any data is read."""
    if constraints == "auto" or constraints is None:
        return
    groups = _listed(constraints)
    given = _given(groups, who)
    if not any(groups):
        raise UserError(f"{given} names no column; write constraints=none, or a group such as (country, city)")
    taken: set[str] = set()
    for group in groups:
        if len(set(group)) < 2:
            raise UserError(f"{given}: a group needs two columns or more, not {_text(group)}")
        for name in group:
            if name in taken:
                raise UserError(f"{given} names {name!r} twice; write columns that belong together as one group")
            taken.add(name)


def _checked(groups: Groups, schema: Schema, who: str) -> Groups:
    """The groups, their columns in the schema's order; UserError, in one line, for what this table cannot join."""
    check_groups(groups, who)
    kinds, given = {field.name: field.kind for field in schema.fields}, _given(groups, who)
    taken = {name for group in groups for name in group}
    for group in groups:
        for name in group:
            if name == schema.label:
                raise UserError(f"{given}: {name!r} is the label, which every field may go with; leave it out")
            if name not in kinds:
                raise UserError(f"{given}: no column {name!r}; " + did_you_mean(name, kinds, "there are"))
            if kinds[name] == "numeric":
                raise UserError(f"{given}: {name!r} is numeric, and only categorical columns combine; leave it out")
    if len(groups) == 1 and len(taken) == len(kinds):
        raise UserError(f"{given} leaves nothing to learn: with every column in it, rows can only be train's own")
    return tuple(tuple(name for name in schema.names if name in group) for group in groups)


def _given(groups: Groups, who: str) -> str:
    return f"{who}: constraints={_text(groups[0]) if len(groups) == 1 else _text(tuple(map(_text, groups)))}"


def _text(group: tuple[str, ...]) -> str:
    return f"({', '.join(group)})"


def _joint(train: Table, group: tuple[str, ...]) -> Joint:
    columns = [train.rows[name].to_numpy(np.int64) for name in group]
    place, seen = columns[0], np.arange(columns[0].max(initial=0) + 1)[:, None]  # (combinations, columns so far)
    for column in columns[1:]:
        width = int(column.max(initial=0)) + 1
        keys, place = _dense(place * width + column, len(seen) * width)  # below rows · values, far from overflow
        seen = np.column_stack([seen[keys // width], keys % width])
    return Joint(group, seen.astype(np.int32), (place + 1).astype(np.int32))


def _dense(keys: NDArray[np.int64], possible: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The keys that occur, ascending, and each row's position among them."""
    if possible > 4 * len(keys):
        return np.unique(keys, return_inverse=True)
    occurs = np.zeros(possible, bool)
    occurs[keys] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[keys]


def _table(train: Table, joints: tuple[Joint, ...]) -> Table:
    import pandas as pd

    heads = {joint.columns[0]: (name, joint) for name, joint in zip(_names(train.schema, joints), joints, strict=True)}
    inside = {name for joint in joints for name in joint.columns}
    fields, columns = [], {}
    for field in train.schema.fields:
        if field.name in heads:
            name, joint = heads[field.name]
            # Codes, not values: a value may contain any character, while joined codes are unambiguous.
            values = tuple("+".join(map(str, codes)) for codes in joint.combinations.tolist())
            fields.append(Field(name, "categorical", field.role, values))
            columns[name] = joint.codes
        elif field.name not in inside:
            fields.append(field)
            columns[field.name] = train.rows[field.name].to_numpy()
    return Table(pd.DataFrame(columns), Schema(tuple(fields), train.schema.label), train.labels, train.weights)


def _names(schema: Schema, joints: tuple[Joint, ...]) -> list[str]:
    """The joined fields' names, which no column of the table has."""
    names = ["+".join(joint.columns) for joint in joints]
    while {*names} & {*schema.names, schema.label}:
        names = [f"({name})" for name in names]
    return names
