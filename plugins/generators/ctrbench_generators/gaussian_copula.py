"""A Gaussian copula over all columns, the paper's fastest generator.

In: a training table. Out: a sampler of rows with train's marginals and its pairwise correlations of normal scores. A
correlation cannot say which cities a country has; so groups of columns are learned as one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators._collapse import PROBE, Told, collapsed
from ctrbench_generators._constraints import Constraints, check_groups, join
from ctrbench_generators._numbers import refuse_huge


@dataclass(frozen=True)
class GaussianCopula(Generator):
    """Gaussian copula over uniformly encoded columns (Patki et al. 2016), run by SDV."""

    name: ClassVar[str] = "gaussian_copula"
    imports: ClassVar[tuple[str, ...]] = ("sdv.single_table", "torch")
    default_distribution: Annotated[
        Literal["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"], "marginal of every column"
    ] = "beta"
    constraints: Constraints = "auto"

    def __post_init__(self) -> None:
        check_groups(self.constraints, self.name)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Fit a marginal to each encoded column and the correlations between their normal scores.

        Columns whose fit collapsed are named in the details: SDV returns them as constants without a warning.
        """
        from sdv.single_table import GaussianCopulaSynthesizer

        refuse_huge(train, self.name)
        joined = join(train, self.constraints, self.name)
        synthesizer = GaussianCopulaSynthesizer(
            _sdv.metadata(joined.table.schema), default_distribution=self.default_distribution
        )
        sampler = joined.sampler(_sdv.fit(synthesizer, joined.table, encoding="uniform", seed=seed, context=context))
        probe = sampler.sample(PROBE, seed=seed)
        columns = {name: probe.rows[name].to_numpy() for name in probe.schema.names}
        return Told(sampler, collapsed({**columns, probe.schema.label: probe.targets}, train))


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `gaussian_copula`."""
    register(GaussianCopula)
