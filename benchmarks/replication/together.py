"""Several runs, read as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import intervals
from ctrbench.effects import Arm, Effects
from ctrbench.intervals import Effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

Place = tuple[Effects, Arm]
"""An arm of a run."""


class Together:
    """Several runs of one suite seed, read as one: a repeat has the same model seeds and test rows in each.

    So a mean over their generators is taken within each repeat that all of them have, as within a run.
    """

    def __init__(self, runs: Sequence[Effects]) -> None:
        self.artefacts, self.metric = runs[0].results.artefacts, runs[0].metric
        cells = [(of, cell) for of in runs for arm in of.cells for cell in of.cells[arm] if self.metric in cell.scores]
        self.cells = {(of, cell.training): cell for of, cell in cells}  # another device trains another model

    def contrast(self, places: Sequence[Place], less: Sequence[Place] = ()) -> Effect:
        """The mean of some differences, each to its own run's `original`, less the mean of others."""
        repeats = min(of.results.info.repeats for of, _ in (*places, *less))
        number = {key: i for i, key in enumerate(self.cells)}
        weights = np.zeros((repeats, len(number)))
        for sign, group in ((1, places), (-1, less)):
            for of, arm in group:
                for way, each in ((sign, arm), (-sign, Arm("", "original", arm.model))):
                    for cell in (cell for cell in of.cells[each] if cell.repeat < repeats):
                        weights[cell.repeat, number[of, cell.training]] += way / len(group)
        values = np.array([cell.scores[self.metric].value for cell in self.cells.values()])
        return intervals.effect(weights @ values, weights @ self._shared @ weights.T)

    @cached_property
    def _shared(self) -> NDArray[np.float64]:
        """What any two trainings owe to the test rows that they share, (trainings, trainings)."""
        assert self.artefacts is not None
        return self.artefacts.products([cell.contributions[self.metric] for cell in self.cells.values()])
