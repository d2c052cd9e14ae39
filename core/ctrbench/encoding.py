"""From raw data frames to coded tables: what every data set's `load` ends with.

In: three frames as they were read or simulated, with the fields' kinds and roles. Out: `Splits`, their vocabularies
taken from train; or a UserError that says which value of which column is unusable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench.errors import UserError
from ctrbench.interfaces import Splits
from ctrbench.table import MISSING, UNSEEN, Field, Schema, Table
from ctrbench.text import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FEW_POSITIVES = 1000
"""Below so many positives in train, the noise of training hides most differences between methods."""


def encode_splits(
    train: pd.DataFrame,
    valid: pd.DataFrame,
    test: pd.DataFrame,
    *,
    label: str,
    fields: Sequence[Field],
    source: str,
    notes: Sequence[str] = (),
    true_probabilities: Mapping[str, NDArray[np.float64]] | None = None,
) -> Splits:
    """The splits of a log; columns that are neither `label` nor one of `fields` are left out.

    A field's vocabulary is train's values, sorted as numbers where all are numbers and as text otherwise, with
    `(missing)` last. `source` stands in front of every error; rows are named by the frames' index.
    """
    frames = {"train": train, "valid": valid, "test": test}
    for split, frame in frames.items():
        _check_columns(frame, [label, *(field.name for field in fields)], f"{source}, {split}")
    if not fields:
        raise UserError(f"{source}: no field is left beside the label {label!r}; a model needs at least one")
    learned = (_learn(field, train[field.name], f"{source}, train") for field in fields)
    schema = Schema(tuple(learned), label)
    tables = {split: encode(frame, schema, source=f"{source}, {split}") for split, frame in frames.items()}
    _check_values(tables, source)
    return Splits(
        **tables,
        true_probabilities=dict(true_probabilities or {}),
        notes=(*notes, *_warnings(tables)),
    )


def encode(frame: pd.DataFrame, schema: Schema, *, source: str) -> Table:
    """The rows and labels of a frame under a schema that train has fixed; other categorical values become 0."""
    import pandas as pd

    columns = {
        field.name: _numbers(frame[field.name], f"{source}: field {field.name!r}")
        if field.vocabulary is None
        else _codes(frame[field.name], field.vocabulary, f"{source}: field {field.name!r}")
        for field in schema.fields
    }
    labels = _labels(frame[schema.label], f"{source}: label {schema.label!r}")
    return Table(pd.DataFrame(columns, copy=False), schema, labels)


def _check_columns(frame: pd.DataFrame, wanted: Sequence[str], source: str) -> None:
    names = [str(name) for name in frame.columns]
    for kind, among in (("the table has", names), ("label and fields name", wanted)):
        twice = sorted({name for name in among if among.count(name) > 1})
        if twice:
            raise UserError(f"{source}: {kind} the column {twice[0]!r} twice; rename or drop one")
    for name in wanted:
        if name not in names:
            kind = "label" if name == wanted[0] else "field"
            hint = did_you_mean(name, names, "the columns are")
            raise UserError(f"{source}: the {kind} {name!r} is not there; {hint}")
    if frame.empty:
        raise UserError(f"{source}: the table has no rows; give it some")


def _learn(field: Field, column: pd.Series[Any], source: str) -> Field:
    """The field with its vocabulary: the values of train, sorted."""
    import pandas as pd

    if field.kind == "numeric":
        return replace(field, vocabulary=None)
    codes, texts = _categories(column, f"{source}: field {field.name!r}")
    values = np.sort(pd.unique(texts[texts != MISSING]))
    numbers = pd.to_numeric(values, errors="coerce")
    if np.isfinite(numbers.astype(np.float64)).all():
        values = values[np.argsort(numbers, kind="stable")]
    missing = bool((codes < 0).any() or (texts == MISSING).any())
    return replace(field, vocabulary=(*values.tolist(), *([MISSING] if missing else [])))


def _codes(column: pd.Series[Any], vocabulary: Sequence[str], where: str) -> NDArray[np.int32]:
    import pandas as pd

    codes, texts = _categories(column, where)
    # A missing value's position, -1, reads the last entry; what the vocabulary lacks is found at -1, so + 1 is UNSEEN.
    positions = pd.Index(list(vocabulary)).get_indexer(pd.Index([*texts.tolist(), MISSING]))
    return (positions + 1).astype(np.int32)[codes]


def _categories(column: pd.Series[Any], where: str) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """The distinct values of a column as text, and for each row the position of its value, -1 where it is missing."""
    import pandas as pd

    try:
        codes, distinct = pd.factorize(column)
    except TypeError:
        raise UserError(f"{where} holds lists or other compound values; drop it or flatten it") from None
    values = np.asarray(distinct)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        kinds = {type(value).__name__: value for value in values}
        shown = ", ".join(f"{_shown(value)} ({name})" for name, value in sorted(kinds.items())[:3])
        raise UserError(f"{where} mixes types: {shown}; write all its values as text or all as numbers")
    if kind in ("floating", "mixed-integer-float"):
        return codes, _float_texts(values.astype(np.float64))
    return codes, values.astype(str).astype(object)


def _float_texts(numbers: NDArray[np.float64]) -> NDArray[np.object_]:
    """Whole numbers without their ".0": a column of integers becomes floats as soon as one value is missing."""
    texts = numbers.astype(str).astype(object)
    whole = np.abs(numbers) < 2**53
    whole[whole] = numbers[whole] % 1 == 0
    texts[whole] = numbers[whole].astype(np.int64).astype(str)
    return texts


def _numbers(column: pd.Series[Any], where: str) -> NDArray[np.float64]:
    values = _floats(column)
    bad = ~np.isfinite(values)
    if bad.any():
        raise UserError(f"{where}: {_first(column, bad)} is not a finite number; mend it or make the field categorical")
    return values


def _labels(column: pd.Series[Any], where: str) -> NDArray[np.int8]:
    values = _floats(column)
    bad = (values != 0) & (values != 1)
    if bad.any():
        raise UserError(f"{where}: {_first(column, bad)} is neither 0 nor 1; mend it or name another label column")
    return values.astype(np.int8)


def _floats(column: pd.Series[Any]) -> NDArray[np.float64]:
    """The column as numbers, NaN where it has none."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype.kind in "mMc":  # durations, dates, complex numbers
        return np.full(len(column), np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def _first(column: pd.Series[Any], bad: NDArray[np.bool_]) -> str:
    position = int(bad.argmax())
    return f"{_shown(column.iloc[position])} in row {column.index[position]}"


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _check_values(tables: Mapping[str, Table], source: str) -> None:
    train = tables["train"]
    for field in train.schema.fields:
        column = train.rows[field.name]
        if column.min() == column.max():
            only = field.vocabulary[0] if field.vocabulary else column.iloc[0]
            raise UserError(f"{source}, train: field {field.name!r} has one value only, {_shown(only)}; drop the field")
    for split, table in tables.items():
        if table.click_rate in (0, 1):
            lacking = "positives (label 1)" if table.click_rate == 0 else "negatives (label 0)"
            raise UserError(f"{source}, {split}: there are no {lacking}; AUC needs both classes: use more rows")


def _warnings(tables: Mapping[str, Table]) -> list[str]:
    train, test = tables["train"], tables["test"]
    positives = int(train.targets.sum())
    notes = []
    if positives < FEW_POSITIVES:
        notes.append(
            f"train has {positives} positives: below {FEW_POSITIVES:,}, noise hides most differences between methods"
        )
    for field in train.schema.categorical:
        unseen = float((test.rows[field.name] == UNSEEN).mean())
        if unseen > 0.5:
            notes.append(f"field {field.name!r}: {unseen:.0%} of the test rows hold a value that train lacks")
    return notes
