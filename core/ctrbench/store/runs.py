"""What the store tells of runs and of tasks that were done before.

In: rows of the database, typed. Out: a run with its cells and pools, whatever came of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ctrbench.results import (
    Bookkeeping,
    CellResult,
    Environment,
    PoolResult,
    RunInfo,
    Status,
    TaskResult,
)
from ctrbench.store.artefacts import Artefacts

NOT_RUN = TaskResult(Status.SKIPPED, reason="the run stopped before this task")
LOST = TaskResult(Status.FAILED, reason="what it needs was lost and could not be made again; the same command tries it")
"""Of a task that waited for one whose good result stays stored, though its artefacts are gone."""


@dataclass(frozen=True)
class RunResults:
    """A run as the store remembers it: what it was, and its cells and pools with whatever came of them."""

    run: str
    started: float
    finished: float | None
    command: str
    info: RunInfo
    machines: Sequence[Environment]  # with their versions, of all runs that did work for this one, its own the last
    cells: Sequence[CellResult]
    pools: Sequence[PoolResult]
    artefacts: Artefacts | None = None
    data: Mapping[str, TaskResult] = field(default_factory=dict)  # data set → how its splits were made
    asked_repeats: int = 0  # more than those of `info` where a run ended before its last repeats

    def of_whole_repeats(self) -> RunResults:
        """The first repeats, as many as lack no task; all as it is where not even the first is whole.

        Tasks are done repeat by repeat, so what was stopped late can speak of all repeats but its last ones.
        """
        places: list[CellResult | PoolResult] = [*self.cells, *self.pools]
        begun = [each.repeat for each in places if NOT_RUN in (each.result, *each.failed_scores.values())]
        repeats = min(begun, default=self.info.repeats)
        if not 0 < repeats < self.info.repeats:
            return self
        return replace(
            self,
            info=replace(self.info, repeats=repeats),
            cells=[cell for cell in self.cells if cell.repeat < repeats],
            pools=[pool for pool in self.pools if pool.repeat < repeats],
            asked_repeats=self.info.repeats,
        )


@dataclass(frozen=True)
class RunHead:
    """A run in the list of all."""

    run: str
    started: float
    finished: float | None
    command: str


@dataclass(frozen=True)
class EarlierTask:
    """A task that was done, as far as it tells why one like it would run again."""

    key: str
    run: str  # that did it
    bookkeeping: Bookkeeping
