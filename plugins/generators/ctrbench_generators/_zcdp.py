"""Differential privacy by zero-concentrated accounting: what noise a budget buys, and what has been spent.

In: ε and δ. Out: a budget ρ, and the two mechanisms that spend it; together they never spend more.

ρ-zCDP (Bun and Steinke 2016) adds up over mechanisms that see the same rows, and counts once where they see disjoint
rows. A Gaussian of standard deviation σ on counts that a row changes by 1 costs 1 / 2σ²; the exponential mechanism with
ε costs ε²/8 (Cesar and Rogers 2021). ρ-zCDP implies (ε, δ)-DP by Canonne, Kamath and Steinke (2020), corollary 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def delta_of(rho: float, epsilon: float) -> float:
    """The least δ for which the bound makes ρ-zCDP (ε, δ)-DP.

    That is the minimum over α > 1 of e^((α-1)(αρ-ε)) / α · (1-1/α)^(α-1); any other α gives a larger δ that also holds.
    """
    from scipy.optimize import minimize_scalar

    def logarithm(log_excess: float) -> float:
        excess = math.exp(log_excess)  # α - 1
        alpha = 1 + excess
        return excess * (alpha * rho - epsilon) + excess * math.log(excess / alpha) - math.log(alpha)

    found = minimize_scalar(logarithm, bounds=(-25.0, 40.0), method="bounded", options={"xatol": 1e-12})
    return min(1.0, math.exp(min(found.fun, 0.0)))


@cache
def rho_for(epsilon: float, delta: float) -> float:
    """The largest ρ for which ρ-zCDP is (ε, δ)-DP, found from below to a relative 1e-12."""
    low, high = 0.0, epsilon + 1.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(middle, epsilon) <= delta else (low, middle)
    return low


@dataclass
class Budget:
    """The ρ that may be spent on the same rows, and a ledger of what was: (mechanism, its ρ, its noise)."""

    rho: float
    spent: list[tuple[str, float, float]] = field(default_factory=list)

    def sigma(self, rho: float) -> float:
        """Pay for counts of which one row changes a single cell by 1; the standard deviation of their noise."""
        sigma = math.sqrt(1 / (2 * rho))
        self._pay("gaussian", rho, sigma)
        return sigma

    def choose(self, scores: NDArray[np.float64], rho: float, rng: np.random.Generator) -> int:
        """The exponential mechanism on scores that one row changes by at most 1: larger ones are likelier."""
        epsilon = math.sqrt(8 * rho)
        self._pay("exponential", rho, epsilon)
        return int((epsilon / 2 * scores + rng.gumbel(size=len(scores))).argmax())

    def _pay(self, mechanism: str, rho: float, noise: float) -> None:
        if sum(paid for _, paid, _ in self.spent) + rho > self.rho * (1 + 1e-9):
            raise ValueError(f"a {mechanism} mechanism for ρ={rho:.3g} would overspend the budget of ρ={self.rho:.3g}")
        self.spent.append((mechanism, rho, noise))


def noise(size: int, sigma: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Gaussian noise, rounded before it meets a whole count: the sum is exact, so its last bits reveal nothing."""
    return np.rint(rng.normal(0, sigma, size)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a table of counts that stand out from the noise; all others count as 0."""

    places: NDArray[np.int64]  # (cells,), ascending
    counts: NDArray[np.int64]  # (cells,), each above the threshold


def noisy_cells(
    places: NDArray[np.int64], counts: NDArray[np.int64], size: int, sigma: float, least: int, rng: np.random.Generator
) -> Cells:
    """The cells of a noisy table that hold at least `least` (1 or more), without building the table.

    `places` and `counts` are the cells of `size` that are not 0. Where noise lifts zeros above the threshold, their
    number (binomial), their places (uniform among the zeros) and their values (the normal tail) are drawn: the
    distribution is that of noise on every cell, and memory grows only with the cells kept.
    """
    from scipy.stats import norm

    seen = counts + noise(len(counts), sigma, rng)
    tail = float(norm.sf((least - 0.5) / sigma))
    lifted = _zeros(int(rng.binomial(size - len(places), tail)), places, size, rng)
    values = np.rint(sigma * norm.isf(tail * (1 - rng.random(len(lifted))))).astype(np.int64)
    kept = seen >= least
    where, what = np.append(places[kept], lifted), np.append(seen[kept], np.maximum(values, least))
    order = np.argsort(where)
    return Cells(where[order], what[order])


def _zeros(number: int, taken: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`number` different places below `size` that are not taken (ascending), all equally likely."""
    free = size - len(taken)
    if free <= 4 * (number + len(taken)):
        return np.setdiff1d(np.arange(size), taken)[rng.permutation(free)[:number]]
    found = np.empty(0, np.int64)
    while len(found) < number:
        drawn = np.append(found, rng.integers(size, size=2 * (number - len(found)) + 8))
        _, first = np.unique(drawn, return_index=True)
        found = drawn[np.sort(first)]  # in the order drawn, so that the first ones are a fair choice
        if len(taken):
            found = found[taken[np.minimum(np.searchsorted(taken, found), len(taken) - 1)] != found]
    return found[:number]
