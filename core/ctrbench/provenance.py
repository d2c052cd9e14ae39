"""Where the results of a run come from: who made each, when, on what machine, from which seeds and data.

In: a `RunResults`. Out: plain values for `leaderboard --format json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrbench.results import CellResult, PoolResult, TaskResult
from ctrbench.store.store import RunResults


def of(results: RunResults) -> dict[str, Any]:
    """The run, the environments of all runs that worked for it, and every cell and pool with what was done for it."""
    return {
        "run": results.run,
        "command": results.command,
        "started": results.started,
        "finished": results.finished,
        "about": dict(results.about),
        "environments": [dict(environment) for environment in results.environments],  # a result names one by its run
        "pools": [_pool(pool) for pool in results.pools],
        "cells": [_cell(cell) for cell in results.cells],
    }


def _pool(pool: PoolResult) -> dict[str, Any]:
    names = {"dataset": pool.dataset, "generator": pool.generator, "repeat": pool.repeat}
    return {**names, "same_as": pool.same_as, "task": _task(pool.result)}


def _cell(cell: CellResult) -> dict[str, Any]:
    names = {name: getattr(cell, name) for name in ("dataset", "generator", "scenario", "model", "repeat")}
    return {**names, "training": cell.training, "task": _task(cell.result)}


def _task(result: TaskResult) -> Mapping[str, Any]:
    return {
        "plugin": result.plugin,
        "status": str(result.status),
        "stage": result.stage,
        "reason": result.reason,
        "run": result.run,
        "started": result.started or None,
        "host": result.host,
        "inputs": dict(result.inputs),
        "outputs": dict(result.outputs),
        "seconds": dict(result.seconds),
        "peak_memory": result.peak_memory,
        "peak_gpu_memory": result.peak_gpu_memory,
    }
