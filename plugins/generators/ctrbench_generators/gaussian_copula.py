"""A Gaussian copula over all columns, the paper's quickest generator.

In: a training table. Out: a sampler of rows with train's marginals and its pairwise correlations of normal scores.
A correlation cannot say which cities a country has; groups of columns are therefore learned as one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl

from ctrbench_generators import _sdv
from ctrbench_generators._constraints import Constraints, check_groups, join


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
        """Fit a marginal to each encoded column and the correlations between their normal scores."""
        from sdv.single_table import GaussianCopulaSynthesizer

        joined = join(train, self.constraints, self.name)
        synthesizer = GaussianCopulaSynthesizer(
            _sdv.metadata(joined.table.schema), default_distribution=self.default_distribution
        )
        return joined.sampler(_sdv.fit(synthesizer, joined.table, encoding="uniform", seed=seed, context=context))


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Bring `gaussian_copula`."""
    register(GaussianCopula)
