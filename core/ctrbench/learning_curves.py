"""The learning curve of a task: what its plug-in reported while it ran, thinned.

In: calls of `Context.progress`. Out: a few points a series, as JSON can hold them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

POINTS = 100
"""A curve has at most so many points and its last where the plug-in tells how many steps there will be, else twice as
many."""


@dataclass
class Curves:
    """The first report of each hundredth of a task; reports without values, such as a sampler's, do not count.

    Which reports are kept depends on their steps alone, never on the clock. A fit that went on from a checkpoint has
    the part of the curve that it did itself.
    """

    _kept: dict[int, tuple[int, Mapping[str, float]]] = field(default_factory=dict)

    def add(self, step: int, total: int | None, values: Mapping[str, float]) -> None:
        """Take a report."""
        if values:
            self._kept.setdefault(step * POINTS // total if total else step, (step, values))
        if len(self._kept) > 2 * POINTS:
            self._kept = dict(list(self._kept.items())[1::2])

    def series(self) -> dict[str, list[tuple[int, float]]]:
        """For each name its points, (step, value to six digits), in the order of steps."""
        found: dict[str, list[tuple[int, float]]] = {}
        for step, values in sorted(self._kept.values(), key=lambda report: report[0]):
            for name, value in values.items():
                if math.isfinite(value):
                    found.setdefault(name, []).append((step, float(f"{value:.6g}")))
        return found
