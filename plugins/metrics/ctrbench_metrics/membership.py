"""Membership inference by the least distance.

In: the pool, real train and a real holdout. Out: how well the distance to the nearest pool row tells rows of train from
rows that were not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._attack import Suspects
from ctrbench_metrics._nearest import find_nearest


@dataclass(frozen=True)
class Membership(SyntheticMetric):
    """AUC of an attacker who takes real rows near a pool row for members of train: .5 is harmless.

    Minimum distance, after Chen et al. (GAN-Leaks, 2020); Hamming as in `dcr_share`. Members are rows of train, the
    others rows of the holdout, as many. Details: the 95 % interval over users, the members found at 1 % false
    alarms, and `auc_without_pool`, the same attack with reference rows as the pool. Flagged where the AUC is off
    .5, and off that to the same side, by more than chance (two-sided, 5 %): a pool that avoids rows of train (below
    .5) tells of them too. No verdict where members and others differ without a pool (that is outside .48 to .52 by
    more than chance).

    It shows a danger that is real: anyone with the pool can do this. It does not show safety: stronger attackers
    exist, and an average over rows hides the few who are found. Users stand on both sides where splits are by row, so
    it is about rows, not about whether a person is in the log.
    """

    name: ClassVar[str] = "membership"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    suspects: Annotated[int, "at most so many members, and as many others, drawn by the seed", Ge(100)] = 50_000
    rows: Annotated[int, "at most so many rows of the pool, and of the reference", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where a table is empty."""
        rng = np.random.default_rng(seed)
        suspects = Suspects.drawn(train, holdout, self.suspects, rng)
        asked, pool, unseen = suspects.beside(synthetic, reference, self.rows, rng)
        near_pool, near_reference = (-find_nearest(asked, codes).first.astype(float) for codes in (pool, unseen))
        return suspects.verdict(near_pool, near_reference)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Bring `membership`."""
    register(Membership)
