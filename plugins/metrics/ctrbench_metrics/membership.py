"""Membership inference by distance.

In: the pool, real train and a real holdout. Out: how well the distance to the nearest pool row tells rows of train from
rows that were not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ctrbench import Register, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._attack import MembershipAttack
from ctrbench_metrics._nearest import encode, find_nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench_metrics._matched import Matched


@dataclass(frozen=True)
class Membership(MembershipAttack):
    """AUC of an attacker who takes real rows near a pool row for members of train: .5 is harmless.

    Minimum distance, after Chen et al. (GAN-Leaks, 2020); Hamming as in `dcr_share`. Members are rows of train, the
    others as many rows of the holdout; all values of both occur in the rest of train. Details: the 95 % interval over
    users, the share of members found at 1 % false alarms, and the AUC with two pools that contain no member:
    `auc_of_fresh_rows` (the rest of train) and `auc_of_marginals` (this pool, its columns shuffled within each label).
    Flagged where the AUC differs from .5, and from both of these in the same direction, by more than chance (two-sided,
    5 %): a pool that avoids rows of train (below .5) reveals them too. No verdict where fresh rows tell members from
    others (an AUC outside .48 to .52 by more than chance): train and holdout then differ in distribution.

    It shows a real danger: anyone with the pool can do this. It does not show safety: stronger attackers exist, an
    average over rows hides the few who are found, and what single columns reveal is left to the baseline. Where splits
    are by row, users are on both sides, so it is about rows, not about whether a person is in the log; where the
    holdout's users are new, their fields are left out and only say which rows belong together.
    """

    name: ClassVar[str] = "membership"

    def scores(
        self, matched: Matched, pools: Sequence[Table], unseen: Table, rng: np.random.Generator
    ) -> list[NDArray[np.float64]]:
        """Minus the distance to the nearest pool row; uses neither unseen rows nor random numbers."""
        _, suspects, *codes = encode(matched.rest, matched.suspects, *pools)
        return [-find_nearest(suspects, each).first.astype(np.float64) for each in codes]


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `membership`."""
    register(Membership)
