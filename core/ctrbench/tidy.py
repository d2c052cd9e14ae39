"""A run as tidy data frames: one row a thing, one column a number.

In: a `RunResults`, and the prediction metric that differences are in. Out: a frame; a number that is missing is
NaN, a count or verdict NA. The columns are the same whatever the run holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ctrbench.axes import Curve, Point, dose_curves, share_curves
from ctrbench.axes import slices as slices_of
from ctrbench.effects import Effects, TestedEffect, numbers
from ctrbench.interfaces import Aspect
from ctrbench.intervals import Effect
from ctrbench.results import CellResult, Json, PoolResult, TaskResult, whole_mean
from ctrbench.store.runs import RunResults

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Json]

_TEXT, _COUNT, _VERDICT, _NUMBER = "object", "Int64", "boolean", "float"  # the types that pandas has for them


def _texts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _TEXT)


def _numbers(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _NUMBER)


_EFFECT = {**_numbers("delta", "low", "high", "p", "holm", "bh", "detectable"), "repeats": _COUNT}
_POINT = {**_EFFECT, **_numbers("low_of_all", "high_of_all")}


def scenarios(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set and scenario: its mean difference to original over candidates and models, and its tests."""
    rows: list[Row] = []
    for effects in _parts(results, metric):
        for name in [*effects.pool_scenarios, *effects.control_scenarios]:
            role = "control" if name not in effects.family_scenarios else "candidate"
            row: Row = {"dataset": effects.dataset, "scenario": name, "role": role, "metric": metric}
            row |= {"uses_pool": name in effects.pool_scenarios}
            rows.append({**row, **_effect(effects.judged_scenario(name))})
    return _frame(rows, {**_texts("dataset", "scenario", "role", "metric"), "uses_pool": "bool", **_EFFECT})


def generators(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set and generator: its mean difference to original over models, in scenarios that keep real rows."""
    rows: list[Row] = []
    for effects in _parts(results, metric):
        for name, tested in effects.judged_generators.items():
            row: Row = {"dataset": effects.dataset, "generator": name, "role": str(results.info.role(name))}
            rows.append({**row, "metric": metric, **_effect(tested)})
    return _frame(rows, {**_texts("dataset", "generator", "role", "metric"), **_EFFECT})


def doses(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set, generator, class of added rows and dose: its mean difference to original over models.

    `low_of_all` and `high_of_all` are the interval that holds for all doses of the curve at once, `chosen` the mean
    difference of the doses that are the best in all repeats but the one they are told on.
    """
    rows: list[Row] = []
    for effects in _parts(results, metric):
        for curve in dose_curves(effects):
            for point in curve.points:
                row: Row = {"dataset": effects.dataset, "generator": curve.generator, "adds": curve.what}
                row |= {"dose": point.x, "scenario": point.name, "metric": metric, **_point(curve, point)}
                rows.append({**row, "best": point is curve.best, "chosen": curve.chosen.mean if curve.chosen else None})
    names = _texts("dataset", "generator", "adds")
    more = {**_POINT, "best": "bool", **_numbers("chosen")}
    return _frame(rows, {**names, **_numbers("dose"), **_texts("scenario", "metric"), **more})


def shares(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a generator, scenario and share of train: its mean difference to original on that share, over models.

    `low_of_all` and `high_of_all` are the interval that holds for all shares at once.
    """
    rows: list[Row] = []
    for effects in _parts(results, metric):
        for curve in share_curves(effects):
            for point in curve.points:
                row: Row = {"dataset": point.name, "generator": curve.generator, "scenario": curve.what}
                rows.append({**row, "train_share": point.x, "metric": metric, **_point(curve, point)})
    names = _texts("dataset", "generator", "scenario")
    return _frame(rows, {**names, **_numbers("train_share"), **_texts("metric"), **_POINT})


def slices(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set, generator, scenario and slice of the test rows: its mean difference to original over models.

    Tests are of the family of the board: all generators and scenarios, on all test rows and on each slice.
    """
    rows: list[Row] = []
    for effects in _parts(results, metric):
        for _, *found in slices_of(effects):  # without the effect on all test rows, which other frames have
            for each in found:
                row: Row = {"dataset": effects.dataset, "generator": each.generator, "scenario": each.scenario}
                rows.append({**row, "slice": each.effects.metric, **_effect(each.tested)})
    return _frame(rows, {**_texts("dataset", "generator", "scenario", "slice"), **_EFFECT})


def privacy(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set, generator and metric of privacy: means over repeats, and how many pools it flags."""
    return _synthetic(results, "privacy")


def fidelity(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set, generator and metric of fidelity: means over repeats, and how many pools it flags."""
    return _synthetic(results, "fidelity")


def cost(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a data set and plug-in: finished tasks, and means over them: seconds a stage, bytes of memory."""
    groups: dict[tuple[str, str, str], dict[str, TaskResult]] = defaultdict(dict)
    for number, pool in enumerate(results.pools):
        groups[pool.dataset, "generator", pool.generator][str(number)] = pool.result
    for cell in results.cells:
        groups[cell.dataset, "model", cell.model][cell.training] = cell.result
    rows: list[Row] = []
    for (dataset, kind, name), tasks in groups.items():
        done = [result for result in tasks.values() if result.ok]
        row: Row = {"dataset": dataset, "kind": kind, "plugin": name, "tasks": len(done)}
        for stage in ("fit", "sample", "predict"):
            row[f"{stage}_seconds"] = whole_mean(result.seconds.get(stage) for result in done)
        row["peak_memory"] = whole_mean(float(result.peak_memory) for result in done)
        rows.append(row)
    return _frame(
        rows,
        {
            **_texts("dataset", "kind", "plugin"),
            "tasks": "int64",
            **_numbers("fit_seconds", "sample_seconds", "predict_seconds", "peak_memory"),
        },
    )


def cells(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a cell, a column a prediction metric; seconds of the fit, and why what is missing is missing.

    `status` is that of its training: where it is ok, `reason` names the metrics that gave no score.
    A cell without a whole training has no seconds: where it waited for a pool in vain, its result is that of the pool.
    """
    rows: list[Row] = []
    for cell in results.cells:
        row: Row = {
            "dataset": cell.dataset,
            "generator": cell.generator,
            "scenario": cell.scenario,
            "model": cell.model,
            "repeat": cell.repeat,
            "model_seed": cell.model_seed,
            "status": str(cell.result.status),
            "reason": _reason(cell),
            "fit_seconds": cell.result.seconds.get("fit") if cell.ok else None,
        }
        for name in results.info.prediction_metrics:
            row[name] = cell.scores[name].value if name in cell.scores else None
        rows.append(row)
    return _frame(
        rows,
        {
            **_texts("dataset", "generator", "scenario", "model"),
            **dict.fromkeys(("repeat", "model_seed"), "int64"),
            **_texts("status", "reason"),
            **_numbers("fit_seconds", *results.info.prediction_metrics),
        },
    )


def pools(results: RunResults, metric: str) -> pd.DataFrame:
    """A row a pool: the ε and δ that it promises, its click rate, and each metric's value, baseline and verdict.

    `status` is the pool's own: where it is ok, `reason` names the metrics that gave no score.
    """
    rows: list[Row] = []
    for pool in results.pools:
        epsilon, delta = pool.promise or (None, None)
        row: Row = {
            "dataset": pool.dataset,
            "generator": pool.generator,
            "repeat": pool.repeat,
            "status": str(pool.result.status),
            "reason": _reason(pool),
            "dp_epsilon": epsilon,
            "dp_delta": delta,
            "click_rate": pool.click_rate,
            "fit_seconds": pool.result.seconds.get("fit"),
            "sample_seconds": pool.result.seconds.get("sample"),
        }
        for name in results.info.synthetic_metrics:
            score = pool.scores.get(name)
            row[name] = score.value if score else None
            row[f"{name}_baseline"] = score.baseline if score else None
            row[f"{name}_flagged"] = score.flagged if score else None
        rows.append(row)
    columns = {
        **_texts("dataset", "generator"),
        "repeat": "int64",
        **_texts("status", "reason"),
        **_numbers("dp_epsilon", "dp_delta", "click_rate", "fit_seconds", "sample_seconds"),
    }
    for name in results.info.synthetic_metrics:
        columns |= {**_numbers(name, f"{name}_baseline"), f"{name}_flagged": _VERDICT}
    return _frame(rows, columns)


FRAMES: Mapping[str, Callable[[RunResults, str], pd.DataFrame]] = {
    "scenarios": scenarios,
    "generators": generators,
    "doses": doses,
    "shares": shares,
    "slices": slices,
    "privacy": privacy,
    "fidelity": fidelity,
    "cost": cost,
    "cells": cells,
    "pools": pools,
}


def _parts(results: RunResults, metric: str) -> list[Effects]:
    return [Effects(results, dataset, metric) for dataset in results.info.datasets] if metric else []


def _effect(found: Effect | TestedEffect | None) -> Row:
    """An effect as columns."""
    effect = found.effect if isinstance(found, TestedEffect) else found
    return {**numbers(found), "repeats": effect.repeats if effect else None}


def _reason(of: CellResult | PoolResult) -> str:
    """Why it is missing, or else which of its scores are and why."""
    lacking = of.failed_scores.items() if of.ok else ()
    return of.result.reason or "; ".join(f"{metric}: {failed.reason}" for metric, failed in lacking)


def _point(curve: Curve, point: Point) -> Row:
    """A point of a curve as columns."""
    low, high = curve.bounds(point) or (None, None)
    return {**_effect(point.effect), "low_of_all": low, "high_of_all": high}


def _synthetic(results: RunResults, aspect: Aspect) -> pd.DataFrame:
    groups: dict[tuple[str, str], list[PoolResult]] = defaultdict(list)
    for pool in results.pools:
        groups[pool.dataset, pool.generator].append(pool)
    rows: list[Row] = []
    for (dataset, generator), found in groups.items():
        for name, told in results.info.synthetic_metrics.items():
            if told.aspect == aspect:
                scores = [pool.scores.get(name) for pool in found]
                row: Row = {"dataset": dataset, "generator": generator, "metric": name, "pools": len(found)}
                row["value"] = whole_mean(score.value if score else None for score in scores)
                row["baseline"] = whole_mean(score.baseline if score else None for score in scores)
                row["flagged"] = sum(score is not None and score.flagged is True for score in scores)
                row["without_verdict"] = sum(score is None or score.flagged is None for score in scores)
                rows.append(row)
    return _frame(
        rows,
        {
            **_texts("dataset", "generator", "metric"),
            "pools": "int64",
            **_numbers("value", "baseline"),
            **dict.fromkeys(("flagged", "without_verdict"), "int64"),
        },
    )


def _frame(rows: list[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    """A frame of these columns and types, whatever is missing and where there are no rows at all."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).astype(dict(columns))
