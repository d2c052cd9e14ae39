"""CTGAN on columns that were first transformed to normal scores.

In: a training table. Out: a sampler of rows; where no field is numeric it is CTGAN's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from ctrbench import Context, Generator, Register, Sampler, Schema, Table, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators._collapse import PROBE, Told, collapsed
from ctrbench_generators._numbers import unsigned_zeros
from ctrbench_generators.ctgan import Ctgan

if TYPE_CHECKING:
    from pandas import DataFrame
    from rdt.transformers import GaussianNormalizer


@dataclass(frozen=True)
class CopulaGan(Ctgan):
    """CTGAN with numeric columns mapped to normal scores (SDV's CopulaGAN; Xu et al. 2019)."""

    name: ClassVar[str] = "copulagan"
    imports: ClassVar[tuple[str, ...]] = (*Ctgan.imports, "rdt.transformers")
    default_distribution: Annotated[
        Literal["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"], "marginal of every numeric column"
    ] = "beta"

    def fit_native(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Map numeric columns through their fitted distribution, then train our CTGAN."""
        scores = NormalScores.of(train, self.default_distribution)
        sampler = OfScores(super().fit_native(scores.of_table(train), seed=seed, context=context), scores)
        return Told(sampler, scores.collapsed(train, seed))

    def fit_sdv(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """The same with SDV."""
        from sdv.single_table import CopulaGANSynthesizer

        synthesizer = CopulaGANSynthesizer(_sdv.metadata(train.schema), **self.settings(context))
        sampler = _sdv.fit(synthesizer, train, encoding=self.encoding, seed=seed, context=context)
        return Told(sampler, NormalScores.of(train, self.default_distribution).collapsed(train, seed))

    def equivalent(self, schema: Schema) -> Generator:
        """CTGAN with the same settings where no field is numeric: then nothing is mapped."""
        if schema.numeric:
            return self
        return Ctgan(**{field.name: getattr(self, field.name) for field in fields(Ctgan)})


@dataclass(frozen=True)
class NormalScores:
    """Numeric fields as standard normal numbers: each value's quantile in its field's fitted distribution."""

    marginals: Mapping[str, GaussianNormalizer]

    @classmethod
    def of(cls, train: Table, distribution: str) -> NormalScores:
        """Fit a distribution to every numeric field."""
        from rdt.transformers import GaussianNormalizer

        marginals = {}
        for field in train.schema.numeric:
            marginals[field.name] = GaussianNormalizer(
                learn_rounding_scheme=True,
                enforce_min_max_values=True,
                distribution=distribution,
                missing_value_generation=None,
            )
            marginals[field.name].fit(train.rows[[field.name]], field.name)
        return cls(marginals)

    def of_table(self, table: Table) -> Table:
        """The table with scores in place of numbers."""
        return self._mapped(table, lambda marginal, column: marginal.transform(column))

    def back(self, table: Table) -> Table:
        """The table with numbers in place of scores, rounded as train's are and within their range."""
        return self._mapped(table, lambda marginal, column: marginal.reverse_transform(column))

    def collapsed(self, train: Table, seed: int) -> Mapping[str, float | str]:
        """Which fitted distributions collapsed, found by mapping normal numbers back."""
        import pandas as pd

        rng = np.random.default_rng(seed)
        normal = {name: pd.DataFrame({name: rng.standard_normal(PROBE)}) for name in self.marginals}
        made = {name: marginal.reverse_transform(normal[name]) for name, marginal in self.marginals.items()}
        return collapsed({name: made[name][name].to_numpy(np.float64) for name in made}, train)

    def _mapped(self, table: Table, to: Callable[[GaussianNormalizer, DataFrame], DataFrame]) -> Table:
        rows = table.rows.copy(deep=False)
        for name, marginal in self.marginals.items():
            rows[name] = unsigned_zeros(to(marginal, table.rows[[name]])[name].to_numpy(np.float64))
        return Table(rows, table.schema, table.labels)


@dataclass(frozen=True)
class OfScores(Sampler):
    """A sampler of scores that maps its rows back."""

    inner: Sampler
    scores: NormalScores

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows in train's units."""
        return self.scores.back(self.inner.sample(rows, seed=seed))

    @property
    def details(self) -> Mapping[str, float | str]:
        """The inner sampler's details."""
        return self.inner.details


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `copulagan`."""
    register(CopulaGan)
