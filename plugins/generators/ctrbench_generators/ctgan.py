"""A conditional GAN for tables, at the paper's settings.

In: a training table. Out: a sampler of rows from a generator network trained against a critic, by our engine or by SDV.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from ctrbench import Budgeted, Context, Forecast, Generator, Register, Sampler, Schema, Table, UserError, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators._constraints import Constraints, check_groups, join
from ctrbench_generators._costs import ADAM, one_hot_width
from ctrbench_generators._numbers import refuse_huge
from ctrbench_generators._precision import Precision, check_precision

Widths = tuple[Annotated[int, Ge(1)], ...]


@dataclass(frozen=True)
class Ctgan(Generator):
    """Conditional GAN on one-hot columns (Xu et al. 2019), by our engine or SDV's."""

    name: ClassVar[str] = "ctgan"
    imports: ClassVar[tuple[str, ...]] = ("torch._dynamo", "sklearn.mixture", "sdv.single_table")
    epochs: Annotated[int, "passes over train", Ge(1), Budgeted()] = 300
    batch_size: Annotated[int, "rows per step: even, and a multiple of pac", Ge(2)] = 500
    embedding_dim: Annotated[int, "numbers in the noise vector of a row", Ge(1)] = 128
    generator_dim: Annotated[Widths, "widths of the generator's layers"] = (256, 256)
    discriminator_dim: Annotated[Widths, "widths of the critic's layers"] = (256, 256)
    generator_lr: Annotated[float, "the generator's learning rate", Gt(0)] = 2e-4
    generator_decay: Annotated[float, "the generator's weight decay", Ge(0)] = 1e-6
    discriminator_lr: Annotated[float, "the critic's learning rate", Gt(0)] = 2e-4
    discriminator_decay: Annotated[float, "the critic's weight decay", Ge(0)] = 1e-6
    discriminator_steps: Annotated[int, "steps of the critic per step of the generator", Ge(1)] = 1
    log_frequency: Annotated[bool, "condition on values by the logarithm of their frequency"] = True
    pac: Annotated[int, "rows that the critic judges together", Ge(1)] = 10
    constraints: Constraints = "auto"
    precision: Precision = "float32"
    engine: Annotated[Literal["native", "sdv"], "ours, or SDV's, ten times slower on wide tables"] = "native"
    sdv_numeric_encoding: Annotated[
        bool, "engine=sdv: categories as numbers in [0, 1], as SDV 2 does under constraints"
    ] = False

    def __post_init__(self) -> None:
        if self.batch_size % 2 or self.batch_size % self.pac:
            raise UserError(f"{self.name}: batch_size={self.batch_size} must be even and a multiple of pac={self.pac}")
        check_groups(self.constraints, self.name)
        if self.sdv_numeric_encoding and self.engine != "sdv":
            raise UserError(f"{self.name}: sdv_numeric_encoding=true is SDV's own behaviour; add engine=sdv")
        check_precision(self.precision, self.engine, self.name)

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """The native engine's: made rows pass the wide layers of both networks four times per step; None for SDV's."""
        if self.engine != "native":
            return None
        width, made = one_hot_width(schema), self.embedding_dim + sum(self.generator_dim)
        first = next(iter(self.discriminator_dim), 1)  # the critic's verdict is its first layer where it has no other
        critic = 2 * self.pac * width * first  # of rows, and of their conditions
        weights = (made + width) * width + sum(self.generator_dim) * width + critic
        a_row = 8 * width * (made + first) + 2 * width * 40  # plus noise and softmax
        steps = self.epochs * max(rows // self.batch_size, 1)
        operations = steps * (a_row * self.batch_size + ADAM * weights) + 2 * rows * width * made
        rounded = 4 * critic if self.precision == "bf16" else 0
        return Forecast(operations, 20.0 * weights + rounded + 24 * self.batch_size * width)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train both networks; conditions are drawn from the categorical columns, the label among them."""
        refuse_huge(train, self.name)
        joined = join(train, self.constraints, self.name)
        engine = self.fit_native if self.engine == "native" else self.fit_sdv
        return joined.sampler(engine(joined.table, seed=seed, context=context))

    def fit_native(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Our engine on a table without constraints."""
        from ctrbench_generators import _ctgan

        return _ctgan.fit(self, train, seed=seed, context=context)

    def fit_sdv(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """SDV on a table without constraints."""
        from sdv.single_table import CTGANSynthesizer

        synthesizer = CTGANSynthesizer(_sdv.metadata(train.schema), **self.settings(context))
        return _sdv.fit(synthesizer, train, encoding=self.encoding, seed=seed, context=context)

    def settings(self, context: Context) -> dict[str, Any]:
        """The parameters under SDV's names."""
        ours = {"constraints", "precision", "engine", "sdv_numeric_encoding"}
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ours}
        return settings | {"enable_gpu": context.device.startswith("cuda")}

    @property
    def encoding(self) -> _sdv.Encoding:
        """How categorical columns reach SDV's networks."""
        return "uniform" if self.sdv_numeric_encoding else "one-hot"


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `ctgan`."""
    register(Ctgan)
