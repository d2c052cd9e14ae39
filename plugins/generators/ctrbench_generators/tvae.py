"""A variational autoencoder for tables, at the paper's settings.

In: a training table. Out: a sampler of rows decoded from normal noise; our engine does what ctgan's does, step by step,
in a fraction of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from ctrbench import Budgeted, Context, Forecast, Generator, Register, Sampler, Schema, Table, UserError, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators._constraints import Constraints, check_groups, join
from ctrbench_generators._costs import ADAM, one_hot_width
from ctrbench_generators._numbers import refuse_huge
from ctrbench_generators._precision import Precision, check_precision

if TYPE_CHECKING:
    from torch import Tensor

    from ctrbench_generators._columns import Columns
    from ctrbench_generators._tvae import Decoder

Widths = tuple[Annotated[int, Ge(1)], ...]


@dataclass(frozen=True)
class Tvae(Generator):
    """Variational autoencoder on one-hot columns (Xu et al. 2019), by our engine or SDV's."""

    name: ClassVar[str] = "tvae"
    imports: ClassVar[tuple[str, ...]] = ("sdv.single_table", "sklearn.mixture", "torch._dynamo")
    epochs: Annotated[int, "passes over train", Ge(1), Budgeted()] = 300
    batch_size: Annotated[int, "rows per step", Ge(1)] = 500
    embedding_dim: Annotated[int, "numbers in the noise vector of a row", Ge(1)] = 128
    compress_dims: Annotated[Widths, "widths of the encoder's layers"] = (128, 128)
    decompress_dims: Annotated[Widths, "widths of the decoder's layers"] = (128, 128)
    l2scale: Annotated[float, "weight decay", Ge(0)] = 1e-6
    loss_factor: Annotated[float, "weight of the reconstruction beside the KL divergence", Ge(0)] = 2.0
    tanh_before_argmax: Annotated[
        bool, "choose values as ctgan does: the first in train whose tanh rounds to 1; false: the most probable"
    ] = True
    constraints: Constraints = "auto"
    precision: Precision = "float32"
    engine: Annotated[Literal["native", "sdv"], "ours, or SDV's with ctgan's networks"] = "native"
    sdv_numeric_encoding: Annotated[
        bool, "categories as numbers in [0, 1], as SDV 2 does under constraints; needs engine=sdv"
    ] = False

    def __post_init__(self) -> None:
        check_groups(self.constraints, self.name)
        if self.sdv_numeric_encoding and self.engine != "sdv":
            raise UserError(f"{self.name}: sdv_numeric_encoding=true is SDV's own behaviour; add engine=sdv")
        if not self.tanh_before_argmax and self.engine != "native":
            raise UserError(f"{self.name}: tanh_before_argmax=false is ours alone; leave out engine={self.engine}")
        check_precision(self.precision, self.engine, self.name)

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """The native engine's: decoded rows pass the wide layer three times per step; None for SDV's."""
        if self.engine != "native":
            return None
        width = one_hot_width(schema)
        weights = width * (self.compress_dims[0] + self.decompress_dims[-1])
        steps = self.epochs * -(-rows // self.batch_size)
        a_row = 6 * width * self.decompress_dims[-1] + 2 * width * 100  # plus the cross-entropy
        operations = steps * (a_row * self.batch_size + ADAM * weights) + 2 * rows * width * self.decompress_dims[-1]
        return Forecast(operations, 20.0 * weights + 24 * self.batch_size * width)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train encoder and decoder together; only the decoder is kept."""
        refuse_huge(train, self.name)
        joined = join(train, self.constraints, self.name)
        engine = self._native if self.engine == "native" else self._sdv
        return joined.sampler(engine(joined.table, seed, context))

    def _native(self, train: Table, seed: int, context: Context) -> Sampler:
        from ctrbench_generators import _fitting, _tvae
        from ctrbench_generators._columns import Columns
        from ctrbench_generators._random_state import seeded

        column_seed, weight_seed, draw_seed = map(int, np.random.SeedSequence(seed).generate_state(3))
        columns = Columns.of(train, column_seed)
        with seeded(weight_seed):
            encoder = _tvae.Encoder(columns, self.compress_dims, self.embedding_dim).to(context.device)
            decoder = _tvae.Decoder(columns, self.decompress_dims, self.embedding_dim).to(context.device)
        data = columns.encode(train)
        trainer = _tvae.Trainer(
            encoder,
            decoder,
            columns,
            data.to(context.device),
            _tvae.Shuffled(len(train), self.batch_size, draw_seed, context.device),
            l2scale=self.l2scale,
            loss_factor=self.loss_factor,
            precision=self.precision,
        )
        steps = self.epochs * -(-len(train) // self.batch_size)
        losses = _fitting.run(trainer, steps, context)
        parameters = sum(weight.numel() for network in (encoder, decoder) for weight in network.parameters())
        facts = {**losses, "parameters": parameters, "steps": steps}
        ties = _tvae.seen(columns, data) if self.tanh_before_argmax else None
        return TvaeSampler(columns, decoder, ties, self.embedding_dim, facts)

    def _sdv(self, train: Table, seed: int, context: Context) -> Sampler:
        from sdv.single_table import TVAESynthesizer

        synthesizer = TVAESynthesizer(
            _sdv.metadata(train.schema),
            epochs=self.epochs,
            batch_size=self.batch_size,
            embedding_dim=self.embedding_dim,
            compress_dims=self.compress_dims,
            decompress_dims=self.decompress_dims,
            l2scale=self.l2scale,
            loss_factor=self.loss_factor,
            enable_gpu=context.device.startswith("cuda"),
        )
        encoding: _sdv.Encoding = "uniform" if self.sdv_numeric_encoding else "one-hot"
        return _sdv.fit(synthesizer, train, encoding=encoding, seed=seed, context=context)


@dataclass(frozen=True, eq=False)
class TvaeSampler(Sampler):
    """A trained decoder."""

    columns: Columns
    decoder: Decoder
    ties: tuple[Tensor, ...] | None
    latent: int
    facts: Mapping[str, float | str]

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows, each from its own normal noise."""
        from ctrbench_generators import _tvae

        return self.columns.decode(_tvae.sample(self.decoder, self.columns, self.ties, self.latent, rows, seed))

    @property
    def details(self) -> Mapping[str, float | str]:
        """The last losses per row; the parameters and the steps."""
        return self.facts


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `tvae`."""
    register(Tvae)
