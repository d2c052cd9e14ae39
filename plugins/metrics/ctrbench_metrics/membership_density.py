"""Membership inference by the ratio of densities.

In: the pool, real train, a real holdout and a third real table. Out: how well an attacker who knows the distribution of
rows tells rows of train from rows that were not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from ctrbench import Register, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._attack import MembershipAttack
from ctrbench_metrics._nearest import count_near, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench_metrics._matched import Matched


DIGITS = 12
"""Equal ratios, such as 1 : 3 and 2 : 6, are equal scores: differences of logarithms are so but for the last bits."""


@dataclass(frozen=True)
class MembershipDensity(MembershipAttack):
    """AUC of an attacker who takes rows for members where the pool is denser than real rows are: .5 is harmless.

    After DOMIAS (van Breugel et al. 2023), with a kernel for categories (Aitchison and Aitken 1976) in place of a flow:
    a pool row at Hamming distance d up to `radius` weighs `decay` to the power of d, all rows further away together as
    much as one row just outside, and the same for reference rows (test), which no generator has seen. Members, details
    and verdict are those of `membership`.

    Unlike `membership` it is not fooled by rows that are common anyway, and it finds overfitting that copies nothing.
    It does not show safety: the densities are rough, and an average over rows hides the few who are found.
    """

    name: ClassVar[str] = "membership_density"
    radius: Annotated[int, "number of fields in which a row may differ and still be counted", Ge(0), Le(4)] = 2
    decay: Annotated[float, "factor on a row's weight for each field in which it differs", Ge(0.0), Le(1.0)] = 0.1

    def scores(
        self, matched: Matched, pools: Sequence[Table], unseen: Table, rng: np.random.Generator
    ) -> list[NDArray[np.float64]]:
        """The logarithm of the pool's density over that of unseen rows; uses no random numbers."""
        _, suspects, *codes = encode(matched.rest, matched.suspects, *pools, unseen)
        *of_pools, of_unseen = (self._log_density(suspects, each) for each in codes)
        return [np.round(each - of_unseen, DIGITS) for each in of_pools]

    def _log_density(self, rows: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.float64]:
        weights = self.decay ** np.arange(self.radius + 2)
        mass = count_near(rows, others, self.radius) @ weights[:-1] + max(weights[-1], np.finfo(float).tiny)
        return np.log(mass / len(others))


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `membership_density`."""
    register(MembershipDensity)
