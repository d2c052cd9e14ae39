"""What pools and trainings cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ctrbench.leaderboard._board import Board, Entry
from ctrbench.leaderboard._part import Part
from ctrbench.results import TaskResult
from ctrbench.text import bounded

_FACT = 48
"""Letters of a fact in words; the records hold all of it."""


def cost(part: Part) -> list[Board]:
    """Seconds a stage and the peak of their own memory, means over tasks."""
    columns = ["kind", "plug-in", "tasks", "fit s", "sample / predict s", "peak memory MB", "facts"]
    board = part.board("cost", "time and memory of a task", columns)
    trained: dict[str, dict[str, TaskResult]] = defaultdict(dict)
    for cell in (cell for cells in part.effects.cells.values() for cell in cells):
        waited = part.effects.waited(cell)  # what the pool cost is its generator's
        trained[cell.model][cell.training] = replace(cell.result, seconds={}, peak_memory=0) if waited else cell.result
    groups = [("generator", name, [p.result for p in pools]) for name, pools in part.pools.items()]
    groups += [("model", name, list(trained[name].values())) for name in part.effects.models]
    for kind, name, results in groups:
        causes = [result for result in results if not result.ok]
        second = "sample" if kind == "generator" else "predict"
        done = [result for result in results if result.ok]
        row = [Entry(kind), Entry(name), Entry(str(len(done)))]
        for stage in ("fit", second):
            row.append(board.mean([r.seconds.get(stage) for r in done], causes, ".2f"))
        row.append(board.mean([r.peak_memory / 1e6 for r in done], causes, ",.0f"))
        board.rows.append([*row, Entry(_facts(done))])
        board.records += [
            {"dataset": part.dataset, "kind": kind, "plugin": name, "seconds": dict(r.seconds),
             "peak_memory": r.peak_memory, "facts": dict(r.facts), "status": str(r.status)}
            for r in results
        ]  # fmt: skip
    memory = "peak memory is the worker process's, including the libraries of the whole run"
    return [board.finish(*part.shared_pools(), memory)]


def _facts(results: Sequence[TaskResult]) -> str:
    """The facts that all tasks agree on."""
    facts = [result.facts for result in results]
    if not facts:
        return ""
    agreed = {name: value for name, value in facts[0].items() if all(other.get(name) == value for other in facts)}
    return ", ".join(f"{name} {_short(value)}" for name, value in agreed.items())


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else bounded(str(value), _FACT)
