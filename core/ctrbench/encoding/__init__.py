"""From raw rows to coded tables: what every data set's `load` ends with.

In: the rows of three splits as they were read or simulated, with the fields' kinds, roles and codings. Out: `Splits`,
all that is learnt taken from train, with notes on what was left out or changed; or a UserError that says all at once
which values of which columns are unusable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.columns import Rows
from ctrbench.encoding._categorical import categorical, codes_of
from ctrbench.encoding._coding import Coded, Coding
from ctrbench.encoding._numeric import binned, numeric
from ctrbench.encoding._work import Work, together
from ctrbench.errors import UserError
from ctrbench.interfaces import Splits
from ctrbench.resources import give_back_memory
from ctrbench.table import UNSEEN, Field, Schema, Table
from ctrbench.text import counted, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Coding", "encode", "encode_splits"]

FEW = 1000
"""Below so many rows of a class in train, the noise of training hides most differences between methods."""

_MANY_ROWS = 100_000
"""Of more rows a column's memory is worth giving back."""


def encode_splits(
    train: pd.DataFrame | Rows,
    valid: pd.DataFrame | Rows,
    test: pd.DataFrame | Rows,
    *,
    label: str,
    fields: Sequence[Field],
    source: str,
    notes: Sequence[str] = (),
    true_probabilities: Mapping[str, NDArray[np.float64]] | None = None,
    codings: Mapping[str, Coding] | None = None,
    keep: Collection[str] = (),
    identifiers: Collection[str] = (),
) -> Splits:
    """The splits of a log; columns that are neither `label` nor one of `fields` are left out.

    A field's vocabulary is train's values, sorted as numbers where all are numbers and as text otherwise, then `(rare)`
    and `(missing)` where train has them. A missing number is replaced by train's median, and a field beside it says in
    which rows; in bins it has one of its own. Fields that have one value in train are left out with a note, and so
    are those of `identifiers` of which no value occurs twice; not those of `keep`. `source` stands in front of errors.
    """
    splits = {"train": Rows.of(train), "valid": Rows.of(valid), "test": Rows.of(test)}
    for split, rows in splits.items():
        _check_columns(rows, [label, *(field.name for field in fields)], f"{source}, {split}")
    if not fields:
        raise UserError(f"{source}: no field is left beside the label {label!r}; a model needs at least one")
    names = {label, *(field.name for field in fields)}
    codings = codings or {}
    work = Work(splits, set(keep), set(identifiers), names)
    labels = work.labels(label)
    coded = list[Coded]()
    for field in fields:
        coded += _coded(work, field, codings.get(field.name, Coding()))
        if len(splits["train"]) > _MANY_ROWS:
            give_back_memory()  # that of one column serves the next
    work.check(source)
    if not coded:
        why = "; ".join(work.findings())
        raise UserError(f"{source}: no field is left beside the label {label!r}; a model needs at least one: {why}")
    schema = Schema(tuple(each.field for each in coded), label)
    tables = _tables(schema, coded, labels)
    _check_classes(tables, source)
    return Splits(
        tables["train"],
        tables["valid"],
        tables["test"],
        true_probabilities=dict(true_probabilities or {}),
        notes=(*notes, *work.findings(), *_warnings(tables)),
    )


def encode(frame: pd.DataFrame, schema: Schema, *, source: str) -> Table:
    """The rows and labels of a frame under a schema that train has fixed; other categorical values become 0.

    Numbers are taken as they are. UserError for a column that is not there or cannot be read, and for a missing number
    where train lacks none.
    """
    import pandas as pd

    rows = Rows.of(frame)
    _check_columns(rows, [schema.label, *(field.name for field in schema.columns)], source)
    work = Work({source: rows})
    labels = work.labels(schema.label)[source]
    columns: dict[str, NDArray[Any]] = {}
    for each in schema.columns:
        if each.vocabulary is None:
            values = work.numbers(each.name, source, rows)
            missing = np.isnan(values)
            if each.missing_indicator is not None:
                columns[each.missing_indicator] = missing.astype(np.int32) + 1
            elif missing.any():
                where = rows.row(int(missing.argmax()))
                work.refuse(each.name, source, f"field {each.name!r} is missing in {where}; mend or drop the row")
            columns[each.name] = np.where(missing, each.imputed or 0.0, values)
        elif held := work.columns(each.name):
            columns[each.name] = codes_of(held[source].texts, each.words.strings)[held[source].codes]
    work.check(source, of_splits=False)
    return Table(pd.DataFrame({name: columns[name] for name in schema.names}, copy=False), schema, labels)


def _coded(work: Work, field: Field, coding: Coding) -> list[Coded]:
    """The field, or none where it is of no use, or two where numbers are missing."""
    if field.kind == "categorical":
        columns = work.columns(field.name)
        return categorical(work, field, columns, coding) if columns else []
    numbers = {split: work.numbers(field.name, split, rows, coding.decimal) for split, rows in work.splits.items()}
    if field.name in work.problems:
        return []
    return binned(work, field, numbers, coding) if coding.bins else numeric(work, field, numbers, coding)


def _tables(schema: Schema, coded: list[Coded], labels: Mapping[str, NDArray[np.int8]]) -> dict[str, Table]:
    import pandas as pd

    return {
        split: Table(
            pd.DataFrame({each.field.name: each.values[split] for each in coded}, copy=False), schema, labels[split]
        )
        for split in labels
    }


def _check_columns(rows: Rows, wanted: Sequence[str], source: str) -> None:
    names = rows.names
    for kind, among in (("the table has", names), ("label and fields name", wanted)):
        if len(set(among)) < len(among):
            twice = sorted({name for name in among if among.count(name) > 1})
            raise UserError(f"{source}: {kind} the column {twice[0]!r} twice; rename or drop one")
    there = set(names)
    for name in wanted:
        if name not in there:
            kind = "label" if name == wanted[0] else "field"
            hint = did_you_mean(name, names, "the columns are")
            raise UserError(f"{source}: the {kind} {name!r} is not there; {hint}")
    if not len(rows):
        raise UserError(f"{source}: the table has no rows; give it some, or split the log in other ratios")


def _check_classes(tables: Mapping[str, Table], source: str) -> None:
    lacking = []
    for split, table in tables.items():
        if table.click_rate in (0, 1):
            lacking.append((split, "positives (label 1)" if table.click_rate == 0 else "negatives (label 0)"))
    if not lacking:
        return
    if len(lacking) == len(tables) and len({what for _, what in lacking}) == 1:
        raise UserError(
            f"{source}, train: there are no {lacking[0][1]}, and none in valid and test; AUC needs both classes: "
            "name another label column, or say which values are clicks"
        )
    split, what = lacking[0]
    raise UserError(f"{source}, {split}: there are no {what}; AUC needs both classes: use more rows or other ratios")


def _warnings(tables: Mapping[str, Table]) -> list[str]:
    train, test = tables["train"], tables["test"]
    positives = int(train.targets.sum())
    classes = ((positives, "positive"), (len(train) - positives, "negative"))
    fewest, kind = min(classes, key=itemgetter(0))
    notes = []
    news = []
    if fewest < FEW:
        notes.append(f"train has {counted(fewest, kind)}: below {FEW:,}, noise hides most differences between methods")
    for each in train.schema.categorical:
        unseen = float((test.rows[each.name] == UNSEEN).mean())
        if unseen > 0.5:
            news.append((each.name, f"{unseen:.0%}"))
    return [*notes, *together("unseen", news)]
