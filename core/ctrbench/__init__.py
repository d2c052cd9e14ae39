"""What the author of a plug-in imports, and nothing else."""

from ctrbench.dependencies import Dependencies, find_dependencies
from ctrbench.errors import Skip, UserError
from ctrbench.hookspecs import Register, hookimpl
from ctrbench.interfaces import (
    Budgeted,
    Context,
    Dataset,
    Forecast,
    Generator,
    Missing,
    Model,
    PredictionMetric,
    Predictions,
    Predictor,
    Published,
    Rankings,
    Ready,
    Sampler,
    Score,
    Splits,
    SyntheticMetric,
)
from ctrbench.scenarios import ClassShares, Scenario
from ctrbench.table import MISSING, PRESENT, RARE, UNSEEN, Field, Schema, Table

__all__ = [
    "MISSING",
    "PRESENT",
    "RARE",
    "UNSEEN",
    "Budgeted",
    "ClassShares",
    "Context",
    "Dataset",
    "Dependencies",
    "Field",
    "Forecast",
    "Generator",
    "Missing",
    "Model",
    "PredictionMetric",
    "Predictions",
    "Predictor",
    "Published",
    "Rankings",
    "Ready",
    "Register",
    "Sampler",
    "Scenario",
    "Schema",
    "Score",
    "Skip",
    "Splits",
    "SyntheticMetric",
    "Table",
    "UserError",
    "find_dependencies",
    "hookimpl",
]
