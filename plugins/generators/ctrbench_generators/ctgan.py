"""A conditional GAN for tables, at the paper's settings.

In: a training table. Out: a sampler of rows from a generator network that was trained against a critic.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt
from ctrbench import Budgeted, Context, Generator, Register, Sampler, Table, UserError, hookimpl

from ctrbench_generators import _sdv

Widths = tuple[Annotated[int, Ge(1)], ...]


@dataclass(frozen=True)
class Ctgan(Generator):
    """Conditional GAN on one-hot columns (Xu et al. 2019), run by SDV."""

    name: ClassVar[str] = "ctgan"
    imports: ClassVar[tuple[str, ...]] = ("sdv.single_table", "torch")
    epochs: Annotated[int, "passes over train", Ge(1), Budgeted()] = 300
    batch_size: Annotated[int, "rows a step: even, and a multiple of pac", Ge(2)] = 500
    embedding_dim: Annotated[int, "numbers of noise that make a row", Ge(1)] = 128
    generator_dim: Annotated[Widths, "widths of the generator's layers"] = (256, 256)
    discriminator_dim: Annotated[Widths, "widths of the critic's layers"] = (256, 256)
    generator_lr: Annotated[float, "the generator's learning rate", Gt(0)] = 2e-4
    generator_decay: Annotated[float, "the generator's weight decay", Ge(0)] = 1e-6
    discriminator_lr: Annotated[float, "the critic's learning rate", Gt(0)] = 2e-4
    discriminator_decay: Annotated[float, "the critic's weight decay", Ge(0)] = 1e-6
    discriminator_steps: Annotated[int, "steps of the critic for each of the generator", Ge(1)] = 1
    log_frequency: Annotated[bool, "condition on values by the logarithm of their frequency"] = True
    pac: Annotated[int, "rows that the critic judges together", Ge(1)] = 10
    sdv_numeric_encoding: Annotated[bool, "categories as numbers in [0, 1], as SDV 2 has it under constraints"] = False

    def __post_init__(self) -> None:
        if self.batch_size % 2 or self.batch_size % self.pac:
            raise UserError(f"{self.name}: batch_size={self.batch_size} must be even and a multiple of pac={self.pac}")

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train both networks; conditions are drawn from the categorical columns, the label among them."""
        from sdv.single_table import CTGANSynthesizer

        synthesizer = CTGANSynthesizer(_sdv.metadata(train.schema), **self.settings(context))
        return _sdv.fit(synthesizer, train, encoding=self.encoding, seed=seed, context=context)

    def settings(self, context: Context) -> dict[str, Any]:
        """The parameters, which bear SDV's names."""
        settings = asdict(self)
        del settings["sdv_numeric_encoding"]
        return settings | {"enable_gpu": context.device.startswith("cuda")}

    @property
    def encoding(self) -> _sdv.Encoding:
        """How categorical columns reach the networks."""
        return "uniform" if self.sdv_numeric_encoding else "one-hot"


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `ctgan`."""
    register(Ctgan)
