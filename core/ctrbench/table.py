"""A log of impressions as the harness passes it around: coded rows, their schema and labels.

Datasets make tables; generators, models and metrics receive and return them. Pandas is imported where it is used,
so that naming a `Table` in a plug-in costs nothing at start-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame

FieldKind = Literal["categorical", "numeric"]
Role = Literal["user", "item", "context"]

UNSEEN = 0
"""The code of a categorical value that does not occur in train (and FuxiCTR's padding index)."""

MISSING = "(missing)"
"""The vocabulary entry of a missing source value."""

RARE = "(rare)"
"""The vocabulary entry of all values too rare for one of their own."""

PRESENT = "(present)"
"""The other value, beside MISSING, of a field that says where a number is missing."""


@dataclass(frozen=True)
class Field:
    """One column of a log: a categorical field with train's sorted values as vocabulary, or a numeric one.

    Where numbers are missing, `missing_indicator` names the categorical field, of PRESENT and MISSING, that says in
    which rows, and `imputed` is the number that stands there.
    """

    name: str
    kind: FieldKind = "categorical"
    role: Role = "context"
    vocabulary: tuple[str, ...] | None = None
    missing_indicator: str | None = None
    imputed: float | None = None

    @property
    def vocab_size(self) -> int:
        """Number of codes, the unseen code 0 included: V + 1."""
        if self.vocabulary is None:
            raise ValueError(f"the numeric field {self.name!r} has no vocabulary")
        return len(self.vocabulary) + 1


_OPTIONAL = ("missing_indicator", "imputed")
"""Attributes that are written only where a field has them: schemas without them keep their digests."""


@dataclass(frozen=True)
class Schema:
    """The fields of a table in their order, and the label's name."""

    fields: tuple[Field, ...]
    label: str = "label"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields' names, in order."""
        return tuple(field.name for field in self.fields)

    @property
    def categorical(self) -> tuple[Field, ...]:
        """The categorical fields, in order."""
        return tuple(field for field in self.fields if field.kind == "categorical")

    @property
    def numeric(self) -> tuple[Field, ...]:
        """The numeric fields, in order."""
        return tuple(field for field in self.fields if field.kind == "numeric")

    def with_role(self, role: Role) -> tuple[Field, ...]:
        """The fields that describe the user, the item or the context."""
        return tuple(field for field in self.fields if field.role == role)

    def identifier(self, role: Role) -> Field | None:
        """The first categorical field of a role, which is its id; None where there is none."""
        return next((field for field in self.with_role(role) if field.kind == "categorical"), None)

    def to_json(self) -> str:
        """The schema as JSON text; `from_json` is its inverse."""
        fields = [
            {name: value for name, value in vars(field).items() if name not in _OPTIONAL or value is not None}
            for field in self.fields
        ]
        return json.dumps({"fields": fields, "label": self.label}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema that `to_json` wrote."""
        raw = json.loads(text)
        fields = (
            Field(
                f["name"],
                f["kind"],
                f["role"],
                None if f["vocabulary"] is None else tuple(f["vocabulary"]),
                *(f.get(name) for name in _OPTIONAL),
            )
            for f in raw["fields"]
        )
        return cls(tuple(fields), raw["label"])


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a log: a data frame with one column a field, in the schema's order.

    Categorical columns are int32 codes (0 = not seen in train, 1 … V = the vocabulary); numeric ones finite float64.
    `labels` is int8 (n,) of 0 and 1, or None where they are withheld; `weights` is float32 (n,), or None for all 1.
    Raises ValueError where rows, labels or weights do not fit the schema.
    """

    rows: DataFrame
    schema: Schema
    labels: NDArray[np.int8] | None = None
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """ValueError where rows, labels or weights do not fit the schema, as they may after a change of the frame."""
        if tuple(self.rows.columns) != self.schema.names:
            raise ValueError(f"columns {list(self.rows.columns)} are not the schema's {list(self.schema.names)}")
        for field, dtype in zip(self.schema.fields, self.rows.dtypes, strict=True):
            wanted = np.dtype("int32" if field.kind == "categorical" else "float64")
            if dtype != wanted:
                raise ValueError(f"the {field.kind} field {field.name!r} is {dtype}, not {wanted}")
            if field.kind == "numeric" and not (good := np.isfinite(self.rows[field.name].to_numpy())).all():
                raise ValueError(f"the numeric field {field.name!r} holds {(~good).sum()} numbers that are not finite")
        for name, values, precision in (("labels", self.labels, "int8"), ("weights", self.weights, "float32")):
            if values is not None and (values.dtype != np.dtype(precision) or values.shape != (len(self.rows),)):
                raise ValueError(f"{name} are {values.dtype} {values.shape}, not {precision} ({len(self.rows)},)")
        if self.labels is not None and not np.isin(self.labels, (0, 1)).all():
            raise ValueError("labels hold values other than 0 and 1")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> NDArray[np.int8]:
        """The labels of a table that must have them; ValueError where they were withheld."""
        if self.labels is None:
            raise ValueError("this table's labels were withheld")
        return self.labels

    @property
    def click_rate(self) -> float:
        """Share of positives among the labels."""
        return float(self.targets.mean()) if len(self) else float("nan")

    @property
    def seen_click_rate(self) -> float:
        """The same of rows that count by their weights."""
        return self.click_rate if self.weights is None else float(np.average(self.targets, weights=self.weights))

    @property
    def codes(self) -> NDArray[np.int32]:
        """The categorical fields as one array, (rows, categorical fields)."""
        names = [field.name for field in self.schema.categorical]
        return self.rows[names].to_numpy(dtype=np.int32)

    @property
    def users(self) -> NDArray[np.int64] | None:
        """Which user each row is of, (rows,), numbered from 0; None where no categorical field has the role user.

        The first of these is the user's id. A row whose id train lacks is a user by itself: under the code of unseen
        values several users look like one.
        """
        field = self.schema.identifier("user")
        if field is None:
            return None
        codes = self.rows[field.name].to_numpy().astype(np.int64)
        alone = codes == UNSEEN
        codes[alone] = field.vocab_size + np.arange(alone.sum())
        return np.unique(codes, return_inverse=True)[1]

    def take(self, index: NDArray[Any]) -> Table:
        """The rows at the given positions (integers) or where a mask is true, in that order."""
        positions = np.flatnonzero(index) if index.dtype == bool else index
        return Table(
            self.rows.take(positions).reset_index(drop=True),
            self.schema,
            None if self.labels is None else self.labels[positions],
            None if self.weights is None else self.weights[positions],
        )

    def missing(self, field: Field) -> NDArray[np.bool_]:
        """In which rows a numeric field holds its imputed number because the true one is missing."""
        if field.missing_indicator is None:
            return np.zeros(len(self), np.bool_)
        vocabulary = self.schema.fields[self.schema.names.index(field.missing_indicator)].vocabulary or ()
        where: NDArray[np.bool_] = self.rows[field.missing_indicator].to_numpy() == vocabulary.index(MISSING) + 1
        return where

    def drawn(self, seed: int) -> Table:
        """The same rows, each imputed number replaced by one of those that are not missing, drawn at random.

        Generators learn from these, so that none takes an imputed number, which often stands there, for a real one.
        """
        rows, rng = self.rows, np.random.default_rng(seed)
        for field in self.schema.numeric:
            if (missing := self.missing(field)).any() and not missing.all():
                values = rows[field.name].to_numpy().copy()
                values[missing] = rng.choice(values[~missing], int(missing.sum()))
                rows = rows.assign(**{field.name: values})
        return self if rows is self.rows else replace(self, rows=rows)

    def settled(self) -> Table:
        """The same rows, the imputed number in all that say that it is missing: a sampler may have put another."""
        rows = self.rows
        for field in self.schema.numeric:
            if field.missing_indicator is not None and field.imputed is not None:
                values = rows[field.name].to_numpy()
                rows = rows.assign(**{field.name: np.where(self.missing(field), field.imputed, values)})
        return self if rows is self.rows else replace(self, rows=rows)

    def without_labels(self) -> Table:
        """The same rows, labels and weights withheld: what `Predictor.predict` receives."""
        return replace(self, labels=None, weights=None)

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """The rows of all tables, one after the other; their schemas must be equal and all must have labels."""
        import pandas as pd

        if len(tables) == 1:
            return tables[0]
        if any(table.schema != tables[0].schema for table in tables):
            raise ValueError("tables of different schemas cannot be joined")
        weights = None
        if any(table.weights is not None for table in tables):
            weights = np.concatenate([np.ones(len(t), np.float32) if t.weights is None else t.weights for t in tables])
        rows = pd.concat([table.rows for table in tables], ignore_index=True)
        return Table(rows, tables[0].schema, np.concatenate([table.targets for table in tables]), weights)

    def digest(self) -> str:
        """SHA-256 over the schema and every value, independent of how the table is stored."""
        sha = hashlib.sha256(self.schema.to_json().encode())
        for name in self.schema.names:
            sha.update(np.ascontiguousarray(self.rows[name].to_numpy()).tobytes())
        for extra in (self.labels, self.weights):
            sha.update(b"-" if extra is None else np.ascontiguousarray(extra).tobytes())
        return sha.hexdigest()
