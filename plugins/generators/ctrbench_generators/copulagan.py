"""CTGAN on columns that were first made normal.

In: a training table. Out: a sampler of rows; where no field is numeric it is CTGAN's own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal

from ctrbench import Context, Generator, Register, Sampler, Schema, Table, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators.ctgan import Ctgan


@dataclass(frozen=True)
class CopulaGan(Ctgan):
    """CTGAN with numeric columns mapped to normal scores (SDV's CopulaGAN; Xu et al. 2019)."""

    name: ClassVar[str] = "copulagan"
    default_distribution: Annotated[
        Literal["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"], "marginal of every numeric column"
    ] = "beta"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Map numeric columns through their fitted distribution, then train as CTGAN does."""
        from sdv.single_table import CopulaGANSynthesizer

        synthesizer = CopulaGANSynthesizer(_sdv.metadata(train.schema), **self.settings(context))
        return _sdv.fit(synthesizer, train, encoding=self.encoding, seed=seed, context=context)

    def equivalent(self, schema: Schema) -> Generator:
        """CTGAN with the same settings where no field is numeric: nothing is then mapped."""
        if schema.numeric:
            return self
        return Ctgan(**{field.name: getattr(self, field.name) for field in fields(Ctgan)})


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `copulagan`."""
    register(CopulaGan)
