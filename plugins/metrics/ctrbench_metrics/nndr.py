"""Nearest-neighbour distance ratio.

In: the pool, real train and a real holdout. Out: how much nearer pool rows are to one train row than to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._nearest import Nearest, find_nearest
from ctrbench_metrics._sides import Sides

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Nndr(SyntheticMetric):
    """Mean ratio of a pool row's distances to its first and second neighbour in train; low where it follows one row.

    After Zhao et al. (2021); rows and distances are those of `dcr_share`; two distances of 0 have the ratio 1. The
    baseline is the holdout's ratio. Details: the 95 % interval over the users of the nearest real rows, the median, and
    `to_holdout`, the pool's ratio to as many unseen rows. Flagged where it is below both by more than chance: in a log
    without repeated rows (Frappe) no holdout row equals a train row, while honest new rows equal train rows as often as
    holdout rows.

    It shows rows that follow single train rows. It does not show rows that several users share, nor anything about rows
    that are far from all others; and a ratio like the holdout's does not prove that nothing was memorised.
    """

    name: ClassVar[str] = "nndr"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "ratio"
    rows: Annotated[int, "at most this many rows of each table, drawn by the seed", Ge(100)] = 200_000

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The mean ratio in [0, 1]; Skip where nothing can be compared. `reference` is not needed."""
        sides = Sides.drawn(synthetic, train, holdout, self.rows, np.random.default_rng(seed))
        in_train, of_unseen = find_nearest(sides.pool, sides.seen), find_nearest(sides.unseen, sides.seen)
        in_holdout = find_nearest(sides.pool, sides.unseen)
        of_pool, of_holdout, to_holdout = (
            sides.mean_of(_ratios(nearest), users[nearest.record])
            for nearest, users in (
                (in_train, sides.seen_users),
                (of_unseen, sides.seen_users),
                (in_holdout, sides.unseen_users),
            )
        )
        details = {**of_pool.interval, "median": float(np.median(_ratios(in_train))), "to_holdout": to_holdout.value}
        lower = all((of_pool - other).high < 0 for other in (of_holdout, to_holdout))
        return Score(of_pool.value, of_holdout.value, {**details, "compared_rows": float(len(sides.seen))}, lower)


def _ratios(nearest: Nearest) -> NDArray[np.float64]:
    return np.where(nearest.second > 0, nearest.first / np.maximum(nearest.second, 1), 1.0)


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `nndr`."""
    register(Nndr)
