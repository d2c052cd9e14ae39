"""A log of impressions as the harness passes it around: coded rows, their schema and labels.

Datasets make tables; generators, models and metrics receive and return them. Pandas is imported where it is used,
so that naming a `Table` in a plug-in costs nothing at start-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ctrbench.errors import Skip
from ctrbench.vocabulary import Vocabulary

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

SPELT_OUT = 1_000
"""Vocabularies of more values stand beside a schema that is written down, not in it."""


@dataclass(frozen=True)
class Field:
    """One column of a log: a categorical field with train's sorted values as vocabulary, or a numeric one.

    Where numbers are missing, `missing_indicator` names the categorical field, of PRESENT and MISSING, that says in
    which rows, and `imputed` is the number that stands there.
    """

    name: str
    kind: FieldKind = "categorical"
    role: Role = "context"
    vocabulary: Sequence[str] | None = None
    missing_indicator: str | None = None
    imputed: float | None = None

    def __post_init__(self) -> None:
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", Vocabulary.of(self.vocabulary))

    @property
    def words(self) -> Vocabulary:
        """The vocabulary of a categorical field; ValueError for a numeric one."""
        if not isinstance(self.vocabulary, Vocabulary):
            raise ValueError(f"the numeric field {self.name!r} has no vocabulary")
        return self.vocabulary

    @property
    def vocab_size(self) -> int:
        """Number of codes, the unseen code 0 included: V + 1."""
        return len(self.words) + 1


_OPTIONAL = ("missing_indicator", "imputed")
"""Attributes that are written only where a field has them: schemas without them keep their digests."""


@dataclass(frozen=True)
class Schema:
    """The fields of a table in their order, and the label's name."""

    fields: tuple[Field, ...]
    label: str = "label"
    kept: dict[Path, str] = attribute(default_factory=dict, init=False, repr=False, compare=False)
    """The digest of the artefact that holds what stands beside it, by the folder of artefacts."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, (self.fields, self.label)  # without what it has found out

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

    def field(self, name: str) -> Field:
        """The field of that name; ValueError where there is none."""
        return self.fields[self.names.index(name)]

    def with_role(self, role: Role) -> tuple[Field, ...]:
        """The fields that describe the user, the item or the context."""
        return tuple(field for field in self.fields if field.role == role)

    def identifier(self, role: Role) -> Field | None:
        """The first categorical field of a role, which is its id; None where there is none."""
        return next((field for field in self.with_role(role) if field.kind == "categorical"), None)

    def expect_identifier(self, role: Role) -> Field:
        """The same, for a method that does not work without; Skip where there is none."""
        field = self.identifier(role)
        if field is None:
            raise Skip(f"no categorical field has the role {role}")
        return field

    @property
    def columns(self) -> tuple[Field, ...]:
        """The fields that a log has a column for, in order: not those that say where a number is missing."""
        indicators = {field.missing_indicator for field in self.fields}
        return tuple(field for field in self.fields if field.name not in indicators)

    @property
    def beside(self) -> tuple[Field, ...]:
        """The fields whose vocabularies `outline` leaves out."""
        return tuple(each for each in self.categorical if each.vocabulary and len(each.vocabulary) > SPELT_OUT)

    def to_json(self) -> str:
        """The schema as JSON text; `from_json` is its inverse."""
        return "".join(self._written(whole=True))

    def outline(self) -> str:
        """The same, long vocabularies by their size and digest alone: JSON text of a length that no log decides."""
        return "".join(self._written(whole=False))

    @cached_property
    def sha256(self) -> Any:
        """A hash that has read `to_json`; who goes on with it makes a copy."""
        sha = hashlib.sha256()
        for piece in self._written(whole=True):
            sha.update(piece.encode())
        return sha

    def _written(self, *, whole: bool) -> Iterator[str]:
        yield '{"fields":['
        for place, each in enumerate(self.fields):
            yield "," if place else ""
            told = [(name, value) for name, value in vars(each).items() if name not in _OPTIONAL or value is not None]
            for at, (name, value) in enumerate(told):
                yield f"{',' if at else '{'}{_compact(name)}:"
                if not isinstance(value, Vocabulary):
                    yield _compact(value)
                elif whole or each not in self.beside:
                    yield "["
                    yield from (("," if n else "") + _compact(piece)[1:-1] for n, piece in enumerate(value.pieces()))
                    yield "]"
                else:
                    yield _compact({"size": len(value), "sha256": value.digest})
            yield "}"
        yield f'],"label":{_compact(self.label)}}}'

    @classmethod
    def from_json(cls, text: str, words: Callable[[int], Any] | None = None) -> Schema:
        """The schema that `to_json` or `outline` wrote; `words` gives the values of the nth of `beside`, from 0."""
        raw, beside, fields = json.loads(text), 0, []
        for told in raw["fields"]:
            vocabulary = told["vocabulary"]
            if isinstance(vocabulary, dict):
                read = partial(_not_at_hand if words is None else words, beside)
                vocabulary = Vocabulary(int(vocabulary["size"]), read, str(vocabulary["sha256"]))
                beside += 1
            elif vocabulary is not None:
                vocabulary = tuple(vocabulary)
            fields.append(Field(told["name"], told["kind"], told["role"], vocabulary, *map(told.get, _OPTIONAL)))
        return cls(tuple(fields), raw["label"])


def _compact(value: object) -> str:
    text: str = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text


def _not_at_hand(place: int) -> Any:
    raise LookupError("the words of this schema are not at hand")


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

    @classmethod
    def unchecked(cls, *parts: Any) -> Table:
        """A table whose rows, schema, labels and weights have been checked before: nothing reads them all again."""
        made = object.__new__(cls)
        vars(made).update(zip(("rows", "schema", "labels", "weights"), parts, strict=True))
        return made

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
            if values is None:
                continue
            form = f"{precision} ({len(self.rows)},)"
            told = f"{values.dtype} {values.shape}" if hasattr(values, "dtype") else f"a {type(values).__name__}"
            if told != form:
                raise ValueError(f"{name} are {told}, not {form}")
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
        """Share of positives where each row counts by its weight."""
        return self.click_rate if self.weights is None else float(np.average(self.targets, weights=self.weights))

    def column(self, name: str) -> NDArray[Any]:
        """The values of a field, (rows,)."""
        return self.rows[name].to_numpy()

    @property
    def parts(self) -> Sequence[tuple[Table, NDArray[np.int64] | None]]:
        """Where the rows lie: tables, with the rows that stand here, None for all of them, one after the other."""
        return ((self, None),)

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
        codes = self.column(field.name).astype(np.int64)
        alone = codes == UNSEEN
        codes[alone] = field.vocab_size + np.arange(alone.sum())
        return np.unique(codes, return_inverse=True)[1]

    def take(self, index: NDArray[Any]) -> Table:
        """The rows at the given positions (integers) or where a mask is true, in that order."""
        positions = np.flatnonzero(index) if index.dtype == bool else index
        return Table(
            self._frame(self.gathered(positions)),
            self.schema,
            None if self.labels is None else self.labels[positions],
            None if self.weights is None else self.weights[positions],
        )

    def view(self, positions: NDArray[np.int64]) -> Table:
        """The rows at the given positions, which are copied when somebody asks for `rows`, and not before."""
        labels = None if self.labels is None else self.labels[positions]
        weights = None if self.weights is None else self.weights[positions]
        return Stacked.of(((self, positions),), self.schema, labels, weights)

    def missing(self, field: Field) -> NDArray[np.bool_]:
        """In which rows a numeric field holds its imputed number because the true one is missing."""
        if field.missing_indicator is None:
            return np.zeros(len(self), np.bool_)
        vocabulary = self.schema.field(field.missing_indicator).vocabulary or ()
        where: NDArray[np.bool_] = self.column(field.missing_indicator) == vocabulary.index(MISSING) + 1
        return where

    def drawn(self, seed: int) -> Table:
        """The same rows, each imputed number replaced by one of those that are not missing, drawn at random.

        Generators learn from these, so that none takes an imputed number, which often stands there, for a real one.
        """
        drawn: dict[str, NDArray[Any]] = {}
        rng = np.random.default_rng(seed)
        for field in self.schema.numeric:
            if (missing := self.missing(field)).any() and not missing.all():
                values = self.column(field.name).copy()
                values[missing] = rng.choice(values[~missing], int(missing.sum()))
                drawn[field.name] = values
        return self._with(drawn)

    def settled(self) -> Table:
        """The same rows, the imputed number in all that say that it is missing: a sampler may have put another."""
        return self._with(
            {
                field.name: np.where(self.missing(field), field.imputed, self.column(field.name))
                for field in self.schema.numeric
                if field.missing_indicator is not None and field.imputed is not None
            }
        )

    def _with(self, changed: Mapping[str, NDArray[Any]]) -> Table:
        """The same rows with these columns in the place of their own; the others are not copied."""
        if not changed:
            return self
        columns = {name: changed[name] if name in changed else self.column(name) for name in self.schema.names}
        return replace(self, rows=self._frame(columns))

    def gathered(self, positions: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The values of each field in the rows at these positions, (positions,), copied from where they lie."""
        return {name: self.column(name)[positions] for name in self.schema.names}

    @staticmethod
    def _frame(columns: Mapping[str, NDArray[Any]]) -> DataFrame:
        import pandas as pd

        return pd.DataFrame(columns, copy=False)

    def without_labels(self) -> Table:
        """The same rows, labels and weights withheld: what `Predictor.predict` receives."""
        return replace(self, labels=None, weights=None)

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """The rows of all tables, one after the other; their schemas must be equal and all must have labels.

        Nothing is copied before somebody asks for `rows`.
        """
        if len(tables) == 1:
            return tables[0]
        if any(table.schema != tables[0].schema for table in tables):
            raise ValueError("tables of different schemas cannot be joined")
        weights = None
        if any(table.weights is not None for table in tables):
            weights = np.concatenate([np.ones(len(t), np.float32) if t.weights is None else t.weights for t in tables])
        parts = tuple(part for table in tables for part in table.parts)
        return Stacked.of(parts, tables[0].schema, np.concatenate([table.targets for table in tables]), weights)

    def digest(self) -> str:
        """SHA-256 over the schema and every value, independent of how the table is stored."""
        sha = self.schema.sha256.copy()
        self.feed(sha)
        return str(sha.hexdigest())

    def feed(self, sha: Any) -> None:
        """Give a hash every value of the rows, labels and weights."""
        for name in self.schema.names:
            sha.update(np.ascontiguousarray(self.column(name)).data)
        for extra in (self.labels, self.weights):
            sha.update(b"-" if extra is None else np.ascontiguousarray(extra).data)


class Stacked(Table):
    """Rows of several tables, which are copied into one data frame when somebody asks for `rows`, and not before."""

    _parts: tuple[tuple[Table, NDArray[np.int64] | None], ...]

    def __new__(cls, *parts: Any, **more: Any) -> Any:
        """A plain table: a changed copy, as `replace` makes one, is no longer stacked."""
        return Table(*parts, **more)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as a plain table."""
        return Table, (self.rows, self.schema, self.labels, self.weights)

    @classmethod
    def of(cls, parts: Sequence[tuple[Table, NDArray[np.int64] | None]], *more: Any) -> Table:
        """The rows of these parts, with their schema, labels and weights."""
        made = object.__new__(cls)
        vars(made).update(zip(("schema", "labels", "weights"), more, strict=True), _parts=tuple(parts))
        return made

    @cached_property
    def rows(self) -> DataFrame:
        """All rows, copied."""
        return self._frame({name: self.column(name) for name in self.schema.names})

    def column(self, name: str) -> NDArray[Any]:
        """The values of a field, (rows,), copied."""
        if "rows" in vars(self):
            return super().column(name)
        columns = ((part.column(name), rows) for part, rows in self._parts)
        return np.concatenate([column if rows is None else column[rows] for column, rows in columns])

    def gathered(self, positions: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Each part's own rows among them: whoever takes batches does not copy the whole table each time."""
        if "rows" in vars(self):
            return super().gathered(positions)
        wanted, start = np.asarray(positions).astype(np.int64, casting="same_kind"), 0
        wanted[wanted < 0] += len(self)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"positions reach from {wanted.min()} to {wanted.max()}, and there are {len(self)} rows")
        found = {
            field.name: np.empty(len(wanted), np.int32 if field.kind == "categorical" else np.float64)
            for field in self.schema.fields
        }
        for part, rows in self._parts:
            size = len(part) if rows is None else len(rows)
            inside = np.flatnonzero((wanted >= start) & (wanted < start + size))
            at = wanted[inside] - start
            for name, values in part.gathered(at if rows is None else rows[at]).items():
                found[name][inside] = values
            start += size
        return found

    @property
    def parts(self) -> Sequence[tuple[Table, NDArray[np.int64] | None]]:
        """Where the rows lie."""
        return self._parts

    def __len__(self) -> int:
        return len(self.targets)
