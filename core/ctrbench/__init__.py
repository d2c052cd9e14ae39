"""Does synthetic data make a click-through-rate model better? What Python offers of `ctrbench`.

`run` and `load` give `Results`; the rest is what the author of a plug-in needs. Each name is imported when it is used,
so that `import ctrbench` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrbench.choices import model_within
    from ctrbench.columns import Column, Rows, as_text, text_numbers
    from ctrbench.dependencies import Dependencies, find_dependencies
    from ctrbench.driver import Watcher
    from ctrbench.dry_run import Preview, preview
    from ctrbench.encoding import Coding, encode, encode_splits
    from ctrbench.errors import RunFailed, Skip, UserError
    from ctrbench.frames import Frames, from_frames
    from ctrbench.hookspecs import Register, hookimpl
    from ctrbench.interfaces import (
        Aspect,
        Better,
        Budgeted,
        Context,
        Dataset,
        Forecast,
        Generator,
        Location,
        MethodRole,
        Metric,
        Missing,
        Model,
        PredictionMetric,
        Predictions,
        Predictor,
        Proposal,
        Published,
        Rankings,
        Ready,
        Sampler,
        Score,
        Searched,
        Shown,
        Splits,
        SyntheticMetric,
    )
    from ctrbench.leaks import giveaway, giveaways
    from ctrbench.params import quoted, searched
    from ctrbench.ranking import Queries, with_ranking
    from ctrbench.reading import Results, load
    from ctrbench.results import CellResult, PoolResult, TaskResult
    from ctrbench.row_files import file_digest, read_rows
    from ctrbench.running import run
    from ctrbench.scenarios import ClassShares, Scenario
    from ctrbench.suite import Suite, load_suite
    from ctrbench.table import MISSING, PRESENT, RARE, UNSEEN, Field, Role, Schema, Table
    from ctrbench.text import bare_name, counted, did_you_mean, plain

_HOMES = {
    "choices": ("model_within",),
    "columns": ("Column", "Rows", "as_text", "text_numbers"),
    "dependencies": ("Dependencies", "find_dependencies"),
    "driver": ("Watcher",),
    "encoding": ("Coding", "encode", "encode_splits"),
    "errors": ("RunFailed", "Skip", "UserError"),
    "frames": ("Frames", "from_frames"),
    "hookspecs": ("Register", "hookimpl"),
    "interfaces": (
        "Aspect", "Better", "Budgeted", "Context", "Dataset", "Forecast", "Generator", "Location",
        "MethodRole", "Metric", "Missing", "Model", "PredictionMetric", "Predictions", "Predictor", "Proposal",
        "Published", "Rankings", "Ready", "Sampler", "Score", "Searched", "Shown", "Splits",
        "SyntheticMetric",
    ),
    "leaks": ("giveaway", "giveaways"),
    "params": ("quoted", "searched"),
    "dry_run": ("Preview", "preview"),
    "ranking": ("Queries", "with_ranking"),
    "reading": ("Results", "load"),
    "results": ("CellResult", "PoolResult", "TaskResult"),
    "row_files": ("file_digest", "read_rows"),
    "scenarios": ("ClassShares", "Scenario"),
    "running": ("run",),
    "suite": ("Suite", "load_suite"),
    "table": ("MISSING", "PRESENT", "RARE", "UNSEEN", "Field", "Role", "Schema", "Table"),
    "text": ("bare_name", "counted", "did_you_mean", "plain"),
}  # fmt: skip
"""Where each name stands; a test holds it to the imports above."""

__all__ = [
    "MISSING",
    "PRESENT",
    "RARE",
    "UNSEEN",
    "Aspect",
    "Better",
    "Budgeted",
    "CellResult",
    "ClassShares",
    "Coding",
    "Column",
    "Context",
    "Dataset",
    "Dependencies",
    "Field",
    "Forecast",
    "Frames",
    "Generator",
    "Location",
    "MethodRole",
    "Metric",
    "Missing",
    "Model",
    "PoolResult",
    "PredictionMetric",
    "Predictions",
    "Predictor",
    "Preview",
    "Proposal",
    "Published",
    "Queries",
    "Rankings",
    "Ready",
    "Register",
    "Results",
    "Role",
    "Rows",
    "RunFailed",
    "Sampler",
    "Scenario",
    "Schema",
    "Score",
    "Searched",
    "Shown",
    "Skip",
    "Splits",
    "Suite",
    "SyntheticMetric",
    "Table",
    "TaskResult",
    "UserError",
    "Watcher",
    "as_text",
    "bare_name",
    "counted",
    "did_you_mean",
    "encode",
    "encode_splits",
    "file_digest",
    "find_dependencies",
    "from_frames",
    "giveaway",
    "giveaways",
    "hookimpl",
    "load",
    "load_suite",
    "model_within",
    "plain",
    "preview",
    "quoted",
    "read_rows",
    "run",
    "searched",
    "text_numbers",
    "with_ranking",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"ctrbench.{home}"), name)
            return value
    raise AttributeError(f"module 'ctrbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
