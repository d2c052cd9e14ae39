"""The only module that knows SDV: how a table is described to it, and how it is seeded, fitted and sampled.

In: an unfitted SDV synthesizer and a training table. Out: a `Sampler` whose rows are codes of train's vocabulary.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ctrbench import Context, Field, Sampler, Schema, Table, UserError

from ctrbench_generators._numbers import unsigned_zeros
from ctrbench_generators._random_state import seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame, Series
    from sdv.metadata import Metadata
    from sdv.single_table.base import BaseSingleTableSynthesizer

Encoding = Literal["one-hot", "uniform"]
"""How a categorical column reaches the model: as it is (CTGAN and TVAE then make one-hot columns of it), or by RDT's
UniformEncoder, which gives each value an interval of [0, 1] as long as the value is frequent, and draws from it.

SDV 2 changes it unasked: `add_constraints` rebuilds its data processor, and then CTGAN, TVAE and CopulaGAN take every
categorical column as a number. Here constraints are joined columns (`_constraints.py`), of which SDV is told nothing,
and every column's encoding is said outright."""

ROWS = "rows"
BATCH = 20_000
"""Rows sampled at once: CTGAN holds a dense one-hot row for each."""

MODES = 11
"""The most columns that CTGAN and TVAE make of a numeric field."""


def metadata(schema: Schema) -> Metadata:
    """SDV's description of a table. Nothing is left to its detection, which takes `city` for personal data."""
    from sdv.metadata import Metadata

    kinds = {"categorical": "categorical", "numeric": "numerical"}
    columns = {field.name: {"sdtype": kinds[field.kind]} for field in schema.fields}
    columns[schema.label] = {"sdtype": "categorical"}
    return Metadata.load_from_dict({"tables": {ROWS: {"columns": columns}}})


def fit(
    synthesizer: BaseSingleTableSynthesizer,
    train: Table,
    *,
    encoding: Encoding,
    seed: int,
    context: Context,
) -> SdvSampler:
    """Fit a synthesizer that was made with `metadata(train.schema)`; the label is a column like the others.

    UserError where the one-hot columns would not fit into memory.
    """
    if encoding == "one-hot":
        _refuse_too_wide(synthesizer, train)
    frame = _frame(train)
    context.progress(0, 1, {})
    with _undisturbed(seed):
        synthesizer.auto_assign_transformers({ROWS: frame})
        _set_encoding(synthesizer, train.schema, encoding)
        synthesizer.fit_processed_data({ROWS: _encode(synthesizer, frame, seed)})
    losses = _last_losses(synthesizer)
    context.progress(1, 1, losses)
    return SdvSampler(synthesizer, train.schema, losses)


class SdvSampler(Sampler):
    """A fitted SDV synthesizer; equal seeds give equal rows, whatever was sampled before."""

    def __init__(self, synthesizer: BaseSingleTableSynthesizer, schema: Schema, losses: Mapping[str, float]) -> None:
        self._synthesizer = synthesizer
        self._schema = schema
        self._losses = losses

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows. ValueError where SDV made too few, or values that train lacks."""
        with _undisturbed(seed):
            # Without this SDV starts every pool from the same fixed seed.
            self._synthesizer._set_random_state(seed)
            # What `sample` calls; only this way no constraint or batch shows a progress bar.
            frame = self._synthesizer._sample_with_progress_bar(rows, batch_size=BATCH, show_progress_bar=False)
        if len(frame) != rows:
            raise ValueError(f"SDV made {len(frame)} of {rows} rows")
        return _table(frame, self._schema)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The losses of the last epoch, where the method has any."""
        return dict(self._losses)


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Seeded, in this process only (otherwise ctgan encodes columns on all cores), and without SDV's warnings."""
    from joblib import parallel_config

    with seeded(seed), parallel_config(backend="sequential"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refuse_too_wide(synthesizer: BaseSingleTableSynthesizer, train: Table) -> None:
    """UserError before a fit that would run out of memory: ctgan builds its dense one-hot table in three copies."""
    import psutil

    sizes = {field.name: int(train.rows[field.name].nunique()) for field in train.schema.categorical}
    width = sum(sizes.values()) + MODES * len(train.schema.numeric) + 2  # and the label
    needed = 3 * 8 * len(train) * width
    if hasattr(synthesizer, "discriminator_dim"):
        needed += 16 * width**2  # the generator's last layer reads conditions: weights, gradients, Adam's two moments
    free = int(psutil.virtual_memory().available)
    if needed > free:
        widest = max(sizes, key=lambda name: sizes[name], default="")
        raise UserError(
            f"SDV would run out of memory: {len(train):,} rows of {width:,} one-hot columns ({widest!r} alone has "
            f"{sizes.get(widest, 0):,} values) need about {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free; "
            "take engine=native"
        )


def _frame(table: Table) -> DataFrame:
    """The table as plain integers: SDV refuses pandas categories, or fails on a vocabulary value that has no row."""
    frame = table.rows.astype({field.name: "int64" for field in table.schema.categorical})
    frame[table.schema.label] = table.targets.astype(np.int64)
    return frame


def _set_encoding(synthesizer: BaseSingleTableSynthesizer, schema: Schema, encoding: Encoding) -> None:
    """Set it for every column that is not numeric, since SDV's own choice changes once it has constraints."""
    from rdt.transformers import UniformEncoder

    numeric = {field.name for field in schema.numeric}
    columns = [column for column in synthesizer.get_transformers() if column not in numeric]
    synthesizer.update_transformers({column: UniformEncoder() if encoding == "uniform" else None for column in columns})


def _encode(synthesizer: BaseSingleTableSynthesizer, frame: DataFrame, seed: int) -> DataFrame:
    """The rows as the model sees them: SDV's `preprocess`, but its noise follows our seed.

    RDT's encoders draw from a generator seeded by the column's first values, which no public call replaces.
    """
    processor = synthesizer._data_processor
    rows = synthesizer._preprocess_helper(frame)
    processor.fit(rows)
    for position, encoder in enumerate(synthesizer.get_transformers().values()):
        if encoder is not None:
            encoder.set_random_state(np.random.RandomState([seed, position]), "transform")
    encoded: DataFrame = processor.transform(rows)
    return encoded


def _last_losses(synthesizer: Any) -> dict[str, float]:
    if not hasattr(synthesizer, "get_loss_values"):
        return {}
    losses = synthesizer.get_loss_values().drop(columns="Batch", errors="ignore")
    last = losses[losses["Epoch"] == losses["Epoch"].max()].drop(columns="Epoch").mean()
    return {str(name).lower(): float(value) for name, value in last.items()}


def _table(frame: DataFrame, schema: Schema) -> Table:
    import pandas as pd

    columns = {field.name: _values(frame[field.name], field) for field in schema.fields}
    labels = _whole(frame[schema.label], 0, 1).astype(np.int8)
    return Table(pd.DataFrame(columns), schema, labels)


def _values(column: Series[Any], field: Field) -> NDArray[Any]:
    if field.kind == "numeric":
        return unsigned_zeros(column.to_numpy(np.float64))
    return _whole(column, 1, field.vocab_size - 1).astype(np.int32)


def _whole(column: Series[Any], low: int, high: int) -> NDArray[np.float64]:
    numbers = column.to_numpy(np.float64)
    bad = ~((numbers >= low) & (numbers <= high) & (numbers % 1 == 0))
    if bad.any():
        raise ValueError(f"SDV invented the value {numbers[bad][0]:.15g} of {column.name!r}, outside {low} … {high}")
    return numbers
