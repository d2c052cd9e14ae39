"""A table as the networks of CTGAN and TVAE see it, with the position of each 1 in place of dense one-hots.

In: a table. Out: its layout as runs of network columns, and rows converted to that layout and back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from ctrbench import Field, Schema, Table

from ctrbench_generators._numbers import Rounding, magnifier

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.mixture import BayesianGaussianMixture
    from torch import Tensor

Kind = Literal["value", "mode", "scalar"]

MAX_MODES = 10
LEAST_WEIGHT = 0.005
"""The modes that a numeric field may have, and the weight above which one is kept (Xu et al. 2019)."""

REACH = 4
"""Standard deviations of a mode that the scalars -1 … 1 span."""

MODE_ROWS = 250_000
"""Rows, drawn at random, from which the modes of a larger table are learned."""

CHUNK = 100_000
"""Rows whose distances to every mode are held at once."""


@dataclass(frozen=True)
class Span:
    """A run of network columns: a discrete column's one-hot, or a number's scalar, or the one-hot of its mode."""

    column: str  # the field's name, or the schema's label
    start: int
    width: int
    kind: Kind


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows in the networks' layout."""

    hot: Tensor  # int64 (rows, one-hot spans), each the position of the 1 within its span
    scalars: Tensor  # float32 (rows, scalar spans), within -0.99 … 0.99 where they come from a table

    def to(self, device: str) -> Encoded:
        """The same rows on that device."""
        return Encoded(self.hot.to(device), self.scalars.to(device))


@dataclass(frozen=True, eq=False)
class Columns:
    """The layout: the schema's fields in order, a number's scalar before its mode, then the label.

    A value span has one column for each code that occurs in the learned table, ascending.
    """

    spans: tuple[Span, ...]
    schema: Schema
    values: dict[str, NDArray[np.int32]]  # of each discrete column, the codes its columns stand for
    modes: dict[str, Modes]
    seed: int

    @classmethod
    def of(cls, table: Table, seed: int) -> Columns:
        """Learn which codes occur and the modes of numbers."""
        values, modes, spans, start = {}, {}, list[Span](), 0
        for name, field in _columns(table.schema):
            if field is not None and field.kind == "numeric":
                modes[name] = Modes.of(table.rows[name].to_numpy(), seed)
                parts: list[tuple[Kind, int]] = [("scalar", 1), ("mode", len(modes[name]))]
            else:
                values[name] = np.unique(_codes(table, field))
                parts = [("value", len(values[name]))]
            for kind, width in parts:
                spans.append(Span(name, start, width, kind))
                start += width
        return cls(tuple(spans), table.schema, values, modes, seed)

    @cached_property
    def one_hot(self) -> tuple[Span, ...]:
        """The spans of which exactly one column is 1."""
        return tuple(span for span in self.spans if span.kind != "scalar")

    @cached_property
    def scalar(self) -> tuple[Span, ...]:
        """The spans that are one number."""
        return tuple(span for span in self.spans if span.kind == "scalar")

    @property
    def width(self) -> int:
        """The number of network columns."""
        return self.spans[-1].start + self.spans[-1].width

    def encode(self, table: Table) -> Encoded:
        """The rows in this layout; each number's mode is drawn by its probability, the same at every call.

        ValueError for a code that the learned table lacks.
        """
        hot = np.empty((len(table), len(self.one_hot)), np.int64)
        scalars = np.empty((len(table), len(self.scalar)), np.float32)
        hot_columns, scalar_columns = iter(hot.T), iter(scalars.T)
        for position, (name, field) in enumerate(_columns(self.schema)):
            if name in self.modes:
                rng = np.random.default_rng([self.seed, position])
                numbers = table.rows[name].to_numpy()
                next(scalar_columns)[:], next(hot_columns)[:] = self.modes[name].encode(numbers, rng)
            else:
                next(hot_columns)[:] = _positions(_codes(table, field), self.values[name], name)
        return Encoded(torch.from_numpy(hot), torch.from_numpy(scalars))

    def decode(self, encoded: Encoded) -> Table:
        """The table of such rows, the inverse of `encode`; scalars outside -1 … 1 count as the nearer end."""
        hot = iter(encoded.hot.cpu().numpy().T)
        scalars = iter(encoded.scalars.cpu().numpy().T)
        columns = {
            name: self.modes[name].decode(next(scalars), next(hot))
            if name in self.modes
            else self.values[name][next(hot)]
            for name, _ in _columns(self.schema)
        }
        labels = columns.pop(self.schema.label).astype(np.int8)
        return Table(pd.DataFrame(columns, copy=False), self.schema, labels)


@dataclass(frozen=True, eq=False)
class Modes:
    """A numeric field as a mixture of normal distributions, and how its values are encoded."""

    mixture: BayesianGaussianMixture  # of the numbers times `scale`
    scale: float  # a power of two
    rounding: Rounding

    @classmethod
    def of(cls, numbers: NDArray[np.float64], seed: int) -> Modes:
        """The mixture that CTGAN fits, to all rows or to a sample."""
        from sklearn.mixture import BayesianGaussianMixture

        rows = numbers
        if len(numbers) > MODE_ROWS:
            rows = np.random.default_rng(seed).choice(numbers, MODE_ROWS, replace=False)
        scale = magnifier(rows)
        mixture = BayesianGaussianMixture(
            n_components=min(len(rows), MAX_MODES),
            weight_concentration_prior_type="dirichlet_process",
            weight_concentration_prior=0.001,
            random_state=seed % 2**32,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it may not converge, and a field may have few values
            mixture.fit(scale * rows[:, None])
        return cls(mixture, scale, Rounding.of(numbers))

    def __len__(self) -> int:
        return int(self.kept.sum())

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Which of the mixture's components have a network column, (components,)."""
        kept: NDArray[np.bool_] = self.mixture.weights_ > LEAST_WEIGHT
        return kept

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """The means of the modes kept, (modes,)."""
        means: NDArray[np.float64] = self.mixture.means_[self.kept, 0] / self.scale
        return means

    @cached_property
    def reaches(self) -> NDArray[np.float64]:
        """The distance from the mean that a scalar of 1 stands for, (modes,)."""
        reaches: NDArray[np.float64] = REACH * np.sqrt(self.mixture.covariances_[self.kept, 0, 0]) / self.scale
        return reaches

    def encode(
        self, numbers: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """For each number its scalar within -0.99 … 0.99 and its mode, which is drawn."""
        modes = np.empty(len(numbers), np.int64)
        for start in range(0, len(numbers), CHUNK):
            chunk = numbers[start : start + CHUNK]
            probabilities = self.mixture.predict_proba(self.scale * chunk[:, None])[:, self.kept]
            upto = np.cumsum(probabilities + 1e-6, axis=1)  # (rows, modes)
            drawn = rng.random(len(chunk)) * upto[:, -1]
            modes[start : start + CHUNK] = (drawn[:, None] >= upto[:, :-1]).sum(axis=1)
        return np.clip((numbers - self.means[modes]) / self.reaches[modes], -0.99, 0.99), modes

    def decode(self, scalars: NDArray[np.float32], modes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The numbers, with no more decimals than the learned ones and within their range."""
        numbers = np.clip(scalars.astype(np.float64), -1, 1) * self.reaches[modes] + self.means[modes]
        return self.rounding.round(numbers)


def _columns(schema: Schema) -> Iterator[tuple[str, Field | None]]:
    """Names and fields in the layout's order; the label, which is not a field, comes last."""
    yield from ((field.name, field) for field in schema.fields)
    yield schema.label, None


def _codes(table: Table, field: Field | None) -> NDArray[np.int32]:
    return table.targets.astype(np.int32) if field is None else table.rows[field.name].to_numpy(np.int32)


def _positions(codes: NDArray[np.int32], values: NDArray[np.int32], name: str) -> NDArray[np.int64]:
    """The position of each code among the ascending values."""
    positions = np.searchsorted(values, codes)
    bad = values[np.minimum(positions, len(values) - 1)] != codes
    if bad.any():
        raise ValueError(f"the learned table has no code {codes[bad][0]} in {name!r}")
    return positions
