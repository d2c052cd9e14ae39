"""What the models that are networks share: parameters, and a fit that gives a network to the training loop.

In: a subclass that says which network it is. Out: a `Model`; torch and FuxiCTR are imported in `fit`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt
from ctrbench import Budgeted, Context, Forecast, Model, Predictor, Schema, Searched, Table

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel

    from ctrbench_models.training import Training

Widths = Annotated[tuple[Annotated[int, Ge(1)], ...], "widths of the perceptron's hidden layers"]
Dropout = Annotated[float, "share of hidden units dropped in a step", Ge(0), Lt(1), Searched(0, 0.5)]
Regularizer = Annotated[float, "λ of λ/2·‖W‖² on the embeddings", Ge(0), Searched(1e-3, 1, log=True)]
EmbeddingDim = Annotated[int, "numbers in the embedding of a value", Ge(1), Searched(4, 32, log=True)]
BatchNorm = Annotated[bool, "batch norm in the perceptron"]
Precision = Annotated[
    Literal["float32", "bf16"], "precision of wide linear layers' products in training; bf16 rounds to 3 digits"
]

MAPPED_ABOVE = 2**28
"""Bytes of codes above which a table is not copied: batches are gathered from where it lies, on a CPU."""

STEP_PER_WEIGHT = 200
"""Operations that a step of Adam counts for, per weight: it waits for memory, not for arithmetic."""


@dataclass(frozen=True)
class NetworkModel(Model):
    """A network trained by Adam until valid's AUC no longer grows: FuxiCTR's rule, at BARS's settings."""

    supports_weights: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("torch._dynamo", "fuxictr.pytorch.models", "sklearn.metrics")

    learning_rate: Annotated[float, "Adam's initial rate", Gt(0), Searched(1e-4, 1e-2, log=True)] = 1e-3
    batch_size: Annotated[int, "rows per step", Ge(2), Le(2**31 - 1)] = 4096
    epochs: Annotated[int, "passes over the training table, at most", Ge(1), Budgeted()] = 100
    patience: Annotated[int, "epochs in a row without a gain on valid that end the training", Ge(1)] = 2

    @abstractmethod
    def network(self, features: FeatureMap) -> BaseModel:
        """A new network for these fields, with its initial weights and its optimizer."""

    @abstractmethod
    def a_value(self) -> int:
        """Weights per value of a field."""

    @abstractmethod
    def a_row(self, fields: int) -> int:
        """Weights that every row of this many fields is multiplied by."""

    def forecast(self, schema: Schema, rows: int) -> Forecast:
        """All epochs, though early stopping usually ends a training within 20.

        A row needs 6 operations per weight, and about as much time again for everything but matrix products.
        """
        tables = self.a_value() * sum(field.vocab_size for field in schema.categorical)
        a_row = 12 * self.a_row(len(schema.fields)) + STEP_PER_WEIGHT * tables / self.batch_size
        coded = 4 * rows * len(schema.fields)
        # of a mapped log labels and order, and valid or test, which may be small enough to be copied
        copied = 6 * coded if coded <= MAPPED_ABOVE else 32 * rows + 2 * MAPPED_ABOVE
        return Forecast(a_row * rows * self.epochs, 16 * tables + copied + 4e8)

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train with early stopping by valid's AUC; Skip where valid has only one class."""
        from ctrbench_models.training import fit_network

        return fit_network(self.network, train, valid, self._training(), seed=seed, context=context)

    def fit_after(self, pool: Table, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train on the pool and continue from its weights on train: early stopping by real valid rows in both."""
        from ctrbench_models._after import fit_after

        return fit_after(self, pool, train, valid, self._training(), seed=seed, context=context)

    def _training(self) -> Training:
        from ctrbench_models.training import Training

        return Training(self.batch_size, self.epochs, self.patience)


@dataclass(frozen=True)
class DeepModel(NetworkModel):
    """A network on embedded fields with a perceptron; the defaults are those that BARS publishes for Frappe_x1."""

    embedding_dim: EmbeddingDim = 10
    hidden_units: Widths = (400, 400, 400)
    dropout: Dropout = 0.2
    batch_norm: BatchNorm = True
    embedding_regularizer: Regularizer = 0.05
    precision: Precision = "float32"

    def a_value(self) -> int:
        """The embedding."""
        return self.embedding_dim

    def a_row(self, fields: int) -> int:
        """Weights of the perceptron on all embeddings."""
        return dense([fields * self.embedding_dim, *self.hidden_units, 1])

    def _training(self) -> Training:
        return replace(super()._training(), precision=self.precision)


def dense(widths: Sequence[int]) -> int:
    """Weights between layers of these widths."""
    return sum(before * after for before, after in pairwise(widths))
