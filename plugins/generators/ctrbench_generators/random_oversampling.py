"""Real rows again: the simplest way to more data, and the bar that a learned generator has to clear.

In: a training table. Out: a sampler that draws its rows with replacement, class by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Table, hookimpl

from ctrbench_generators._classes import class_counts, shares_of


@dataclass(frozen=True)
class RandomOversampling(Generator):
    """Real rows drawn with replacement, at train's click rate (imbalanced-learn, Lemaître et al. 2017)."""

    name: ClassVar[str] = "random_oversampling"
    role: ClassVar[MethodRole] = MethodRole.CONTROL
    imports: ClassVar[tuple[str, ...]] = ("imblearn.over_sampling",)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Nothing is learned."""
        return OversamplingSampler(train, seed)


class OversamplingSampler(Sampler):
    """Train, to be drawn from."""

    def __init__(self, train: Table, seed: int) -> None:
        self._train = train
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """Rows of train; the first of them are as mixed as the last."""
        from imblearn.over_sampling import RandomOverSampler

        new = shares_of(self._train.targets, rows)
        counts = class_counts(self._train.targets)
        randomness = np.random.RandomState([self._seed, seed])
        sampler = RandomOverSampler(sampling_strategy=dict(enumerate(counts + new)), random_state=randomness)
        sampler.fit_resample(np.arange(len(self._train))[:, None], self._train.targets)
        drawn = sampler.sample_indices_[len(self._train) :]  # all rows of train come first
        return self._train.take(randomness.permutation(drawn))


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `random_oversampling`."""
    register(RandomOversampling)
