"""What failed in a run, and what it cost.

In: a `RunResults`. Out: a `Failure` for each way in which something failed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ctrbench.results import Status, TaskResult
from ctrbench.store.runs import RunResults
from ctrbench.text import counted, where


@dataclass(frozen=True)
class Failure:
    """What failed in one way, once or often: one of its results, and the cells that it cost, or pools where no cell is.

    As a string, one line that names the plug-in, file and line, and how many cells or pools it cost.
    """

    result: TaskResult
    cost: tuple[str, ...]
    unit: str  # of what it cost: cell, or pool

    def __str__(self) -> str:
        return self._told(where(self.result.traceback))

    @property
    def to_publish(self) -> str:
        """The same line without the folders that the file lies in, which say whose machine it was."""
        return self._told(where(self.result.traceback, folder=False))

    def _told(self, place: str) -> str:
        return f"{self.result.describe()}{place} ({counted(len(self.cost), self.unit)})"


def failures(results: RunResults) -> list[Failure]:
    """Each failure of a run: of cells in their order, then of pools."""
    cells: dict[str, list[tuple[TaskResult, str]]] = defaultdict(list)
    pools: dict[str, list[tuple[TaskResult, str]]] = defaultdict(list)
    for cell in results.cells:
        seed = f"model seed {cell.model_seed + 1}" if results.info.model_seeds > 1 else ""
        parts = (cell.dataset, cell.generator, cell.scenario, cell.model, f"repeat {cell.repeat + 1}", seed)
        for result in [cell.result, *(cell.failed_scores.values() if cell.ok else ())]:
            cells[result.describe()].append((result, " / ".join(filter(None, parts))))
    for pool in results.pools:
        name = f"{pool.dataset} / {pool.generator} / repeat {pool.repeat + 1}"
        for result in pool.failed_scores.values() if pool.ok else [pool.result]:
            if result.describe() not in cells:  # a pool that failed is told of by the cells that it cost
                pools[result.describe()].append((result, name))
    return [
        Failure(each[0][0], tuple(dict.fromkeys(name for _, name in each)), unit)
        for unit, found in (("cell", cells), ("pool", pools))
        for each in found.values()
        if not each[0][0].ok and each[0][0].status is not Status.SKIPPED
    ]
