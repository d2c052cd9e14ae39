"""Whether a pool's counts are further from train's than a real holdout's counts are.

In: numbers for each column or pair of columns. Out: the chance that real rows would be as far away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ctrbench_metrics._chance import chance_of_worse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

WORST = 5


def chance_of_distance(
    train: Sequence[NDArray[np.int64]],
    pool: Sequence[NDArray[np.int64]],
    holdout: Sequence[NDArray[np.int64]],
    rng: np.random.Generator,
) -> float:
    """The chance that real rows would exceed the holdout's total variation distances from train, summed, by as much."""

    things = list(zip(train, pool, holdout, strict=True))
    sizes = [max(int(each.max()) for each in thing) + 1 for thing in things]
    shares = [np.bincount(numbers, minlength=size) / len(numbers) for numbers, size in zip(train, sizes, strict=True)]

    def distance(thing: int, counts: NDArray[np.int64]) -> float:
        wanted = shares[thing]
        apart = np.abs(counts / len(pool[thing]) - wanted[: len(counts)]).sum() + wanted[len(counts) :].sum()
        return float(apart / 2)

    return chance_of_worse(pool, holdout, distance, rng)


def worst_of(pool: Mapping[str, float], holdout: Mapping[str, float]) -> Mapping[str, float]:
    """The few similarities of the pool that are furthest below the holdout's, under the names that details use."""
    worst = sorted(pool, key=lambda name: pool[name] - holdout[name])[:WORST]
    return {f"likeness of {name}": pool[name] for name in worst}
