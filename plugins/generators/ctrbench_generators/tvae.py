"""A variational autoencoder for tables, at the paper's settings.

In: a training table. Out: a sampler of rows decoded from normal noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from ctrbench import Budgeted, Context, Generator, Register, Sampler, Table, hookimpl

from ctrbench_generators import _sdv

Widths = tuple[Annotated[int, Ge(1)], ...]


@dataclass(frozen=True)
class Tvae(Generator):
    """Variational autoencoder on one-hot columns (Xu et al. 2019), run by SDV."""

    name: ClassVar[str] = "tvae"
    imports: ClassVar[tuple[str, ...]] = ("sdv.single_table", "torch")
    epochs: Annotated[int, "passes over train", Ge(1), Budgeted()] = 300
    batch_size: Annotated[int, "rows a step", Ge(1)] = 500
    embedding_dim: Annotated[int, "numbers of noise that make a row", Ge(1)] = 128
    compress_dims: Annotated[Widths, "widths of the encoder's layers"] = (128, 128)
    decompress_dims: Annotated[Widths, "widths of the decoder's layers"] = (128, 128)
    l2scale: Annotated[float, "weight decay", Ge(0)] = 1e-6
    loss_factor: Annotated[float, "weight of the reconstruction beside the KL divergence", Ge(0)] = 2.0
    sdv_numeric_encoding: Annotated[bool, "categories as numbers in [0, 1], as SDV 2 has it under constraints"] = False

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train encoder and decoder together; the decoder alone is kept."""
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


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `tvae`."""
    register(Tvae)
