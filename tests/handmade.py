"""Runs made by hand, where the right numbers are plain: cells, pools, and what a run says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctrbench.interfaces import Score
from ctrbench.results import (
    CellResult,
    DatasetInfo,
    Environment,
    MetricInfo,
    PoolOutput,
    PoolResult,
    RunInfo,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
)
from ctrbench.store.runs import RunResults

DONE = TaskResult(Status.OK, "m", seconds={"fit": 2.0, "predict": 0.5, "sample": 1.0}, peak_memory=50_000_000)
FAILED = TaskResult(Status.FAILED, "gan (third 1.0)", Stage.FIT, "ValueError: | *no* \x1b[2J luck\n")
ENVIRONMENT = Environment(libraries={"ctrbench": "1", "torch": "2"})
INFO = RunInfo(
    "s",
    seed=1,
    budget=1.0,
    repeats=1,
    model_seeds=1,
    datasets={"log": DatasetInfo("log (x 1)", {}, "f" * 64, {"train": 1000}, {"train": 0.25}, ["a note"])},
    scenarios={name: ScenarioInfo("", name != "S5") for name in ("original", "S3", "S5")},
    prediction_metrics={"auc": MetricInfo("higher", "AUC"), "logloss": MetricInfo("lower", "nats")},
    synthetic_metrics={"identical": MetricInfo("lower", "rows", "privacy")},
)


def cell(generator: str, scenario: str, model: str, auc: float | None, repeat: int = 0) -> CellResult:
    result = FAILED if auc is None else DONE
    scores = {} if auc is None else {"auc": Score(auc), "logloss": Score(1 - auc)}
    training = f"{generator} {scenario} {model} {repeat}"
    return CellResult("log", generator, scenario, model, repeat, result, scores, training=training)


def pool(generator: str, value: float | None, same_as: str = "") -> PoolResult:
    output = PoolOutput("f" * 64, 1000, 0, 0.25)
    good = TaskResult(Status.OK, generator, output=output, seconds={"fit": 9.0, "sample": 1.0})
    scores = {} if value is None else {"identical": Score(value, 3.0, {"distinct": value / 2})}
    return PoolResult("log", generator, 0, FAILED if value is None else good, same_as, scores)


def results(cells: list[CellResult], pools: list[PoolResult], **changes: Any) -> RunResults:
    """A finished run of one data set; what it says of itself is `INFO` with those changes."""
    return RunResults("run1", 0.0, 1.0, "ctrbench run", replace(INFO, **changes), [ENVIRONMENT], cells, pools)


GRID = results(
    [
        cell("", "original", "dnn", 0.8), cell("", "original", "fm", 0.7),
        cell("vae", "S3", "dnn", 0.81), cell("vae", "S3", "fm", 0.69),
        cell("vae", "S5", "dnn", 0.6), cell("vae", "S5", "fm", 0.5),
        cell("gan", "S3", "dnn", 0.82), cell("gan", "S3", "fm", 0.72),
        cell("gan", "S5", "dnn", 0.5), cell("gan", "S5", "fm", None),
    ],
    [pool("vae", 40.0), pool("gan", 10.0, "other")],
)  # fmt: skip
