"""The results of one data set, with what all of its tables share: effects, marks, and how these are explained.

In: the effects of a data set. Out: the places of tables, and the notes that explain them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ctrbench.effects import Effects, TestedEffect
from ctrbench.intervals import TRUSTED, Effect
from ctrbench.leaderboard._board import Board
from ctrbench.results import PoolResult
from ctrbench.store.runs import RunResults

BETTER, LIKELY_BETTER, WORSE, LIKELY_WORSE = "▲", "△", "▼", "▽"

NO_NOISE = 1e-9
"""Standard errors below it are what rounding leaves of equal predictions."""


@dataclass(frozen=True)
class Part:
    """The results of one data set, as the views need them."""

    effects: Effects

    @property
    def results(self) -> RunResults:
        """Those of the run."""
        return self.effects.results

    @property
    def dataset(self) -> str:
        """The data set's label."""
        return self.effects.dataset

    @property
    def metric(self) -> str:
        """The prediction metric that differences are in; "" in a run without any."""
        return self.effects.metric

    @property
    def pools(self) -> dict[str, list[PoolResult]]:
        """The pools of each generator, one a repeat."""
        return self.effects.pools

    def board(self, view: str, title: str, columns: Sequence[str]) -> Board:
        """An empty table."""
        return Board(view, self.dataset, f"{self.dataset}: {title}", tuple(columns))

    def mark(self, tested: TestedEffect | None, *, certain_only: bool = False) -> str:
        """What the tests of an effect say, in one letter."""
        if tested is None or self.effects.better == "neither":
            return ""
        improves = self.gain(tested.effect.mean) > 0
        if tested.certain:
            return BETTER if improves else WORSE
        if tested.likely and not certain_only:
            return LIKELY_BETTER if improves else LIKELY_WORSE
        return ""

    def gain(self, difference: float) -> float:
        """A difference as it counts: above 0 where it is for the better, 0 where no side is better."""
        return {"higher": difference, "lower": -difference}.get(self.effects.better, 0.0)

    def shared_pools(self) -> list[str]:
        """Which generators read one pool."""
        shared = dict.fromkeys((name, p.same_as) for name, pools in self.pools.items() for p in pools if p.same_as)
        return [f"{name} equals {other} on this data and shares its pool" for name, other in shared]


def interval(effect: Effect) -> str:
    """A difference with half of its 95 % interval, where it has one."""
    half = "" if math.isinf(effect.variance) else f" ±{effect.half_width:.5f}"
    return f"{effect.mean:+z.5f}{half}"


def about_intervals(effects: Sequence[Effect], marks: bool, over: str = "the cells of this table") -> list[str]:
    """What has to be known to read a table's intervals; nothing of one that has no effect.

    `over` says what the tests behind its marks are over.
    """
    if not effects:
        return []
    known = [effect for effect in effects if effect.interval is not None]
    if not known:
        return ["no interval, as there is one repeat or no variation was seen: nothing is marked"]
    effects = [effect for effect in known if effect.error > NO_NOISE]
    bases = list(dict.fromkeys(effect.basis for effect in effects))
    if not bases:
        return ["±0: each predicts what original does, so there is no difference to tell"]
    said = []
    if not any(effect.testable for effect in effects):
        others = "seeds" if bases == ["test rows only"] else "other pools"
        said.append(f"± covers {effects[0].covers}: one repeat says nothing about {others}, so nothing is marked")
    else:
        said.append(f"± is half of a 95 % interval of the difference to original, over {' or '.join(bases)}")
        if marks:
            said.append(
                f"{BETTER} better and {WORSE} worse by Holm at .05 over {over}, "
                f"{LIKELY_BETTER} {LIKELY_WORSE} by Benjamini and Hochberg only"
            )
        said += about_repeats(effects)
    least = [effect.detectable for effect in effects]
    span = " to ".join(dict.fromkeys(f"{end:.5f}" for end in (min(least), max(least))))
    said.append(f"smallest true difference that such a run would show with a power of 80 %: {span}")
    return said


def about_repeats(effects: Sequence[Effect]) -> list[str]:
    """What has to be known where repeats are few."""
    if not any(effect.testable and effect.repeats < TRUSTED for effect in effects):
        return []
    return [f"with fewer than {TRUSTED} repeats a 95 % interval covers the truth less often, down to 88 % with two"]
