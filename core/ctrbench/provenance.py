"""Where the results of a run come from: who made each, when, on what machine, from which seeds and data.

In: a `RunResults`. Out: plain values for `leaderboard --format json`.
"""

from __future__ import annotations

from dataclasses import asdict

from ctrbench.results import CellResult, Json, PoolResult, TaskResult
from ctrbench.store import rows
from ctrbench.store.runs import RunResults


def of(results: RunResults) -> dict[str, Json]:
    """The run, the environments of all runs that worked for it, and every cell and pool with what was done for it."""
    return {
        "run": results.run,
        "command": results.command,
        "started": results.started,
        "finished": results.finished,
        "about": rows.run_json(results.info),
        "environments": [asdict(environment) for environment in results.machines],  # a result names one by its run
        "pools": [_pool(pool) for pool in results.pools],
        "cells": [_cell(cell) for cell in results.cells],
    }


def _pool(pool: PoolResult) -> dict[str, Json]:
    names: dict[str, Json] = {"dataset": pool.dataset, "generator": pool.generator, "repeat": pool.repeat}
    return {**names, "same_as": pool.same_as, "task": _task(pool.result)}


def _cell(cell: CellResult) -> dict[str, Json]:
    names = {
        name: getattr(cell, name) for name in ("dataset", "generator", "scenario", "model", "repeat", "model_seed")
    }
    return {**names, "training": cell.training, "task": _task(cell.result)}


def _task(result: TaskResult) -> dict[str, Json]:
    return {
        "plugin": result.plugin,
        "status": str(result.status),
        "stage": str(result.stage or ""),
        "reason": result.reason,
        "run": result.run,
        "started": result.started or None,
        "host": result.host,
        "inputs": rows.inputs_json(result.inputs),
        "outputs": dict(result.artefacts),
        "seconds": dict(result.seconds),
        "peak_memory": result.peak_memory,
        "peak_gpu_memory": result.peak_gpu_memory,
    }
