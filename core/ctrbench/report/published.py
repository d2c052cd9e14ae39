"""Published figures of a data set beside a run's own.

In: what the data set's plug-in says that others found, as the run recorded it. Out: tables, and single differences.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctrbench.effects import Effects, Place
from ctrbench.interfaces import Score
from ctrbench.store import RunResults


@dataclass(frozen=True)
class Compared:
    """A published table made again."""

    title: str
    source: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def plugin_name(label: str) -> str:
    """The plug-in that a label such as "ctgan[epochs=5]" names."""
    return label.partition("[")[0]


def published_gain(effects: Effects, place: Place) -> float | None:
    """The published difference to original at a place, None where nobody published it."""
    for table in _tables(effects.results, effects.dataset):
        if table["metric"] == effects.metric:
            figures = _figures(table)
            names = plugin_name(place.generator), plugin_name(place.model)
            value = figures.get((names[0], place.scenario, names[1]))
            base = figures.get((names[0], "original", names[1]))
            if value is not None and base is not None:
                return value - base
    return None


def compared(results: RunResults, dataset: str) -> list[Compared]:
    """Every published table, with this run's numbers where it has them."""
    made = []
    for table in _tables(results, dataset):
        if table["metric"] in results.about["prediction_metrics"]:
            made.append(_predictions(results, dataset, table))
        elif table["metric"] in results.about["synthetic_metrics"]:
            made.append(_pools(results, dataset, table))
    return made


def _tables(results: RunResults, dataset: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = results.about["datasets"][dataset].get("published", ())
    return found


def _figures(table: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    return {(generator, scenario, model): value for generator, scenario, model, value in table["figures"]}


def _predictions(results: RunResults, dataset: str, table: Mapping[str, Any]) -> Compared:
    """A row a generator and scenario, for each model the published figure and this run's mean."""
    effects, figures = Effects(results, dataset, table["metric"]), _figures(table)
    models = list(dict.fromkeys(model for _, _, model in figures))
    here = {plugin_name(label): label for label in reversed(effects.models)}
    own = {plugin_name(label): label for label in reversed(effects.generators)}
    rows = []
    for generator, scenario in dict.fromkeys((g, s) for g, s, _ in figures):
        row = [generator, scenario]
        for model in models:
            pool = "" if scenario not in effects.pool_scenarios else own.get(generator, generator)
            place = Place(pool, scenario, here.get(model, model))
            value = figures.get((generator, scenario, model))
            row += ["—" if value is None else f"{value:.5f}", _mean(effects, place)]
        rows.append(row)
    columns = ["generator", "scenario", *(text for m in models for text in (f"{m}, published", f"{here.get(m, m)}, here"))]
    return Compared(table["title"], table["source"], columns, rows)


def _mean(effects: Effects, place: Place) -> str:
    scores = effects.scores(place) if effects.whole(place) else []
    good = [score for score in scores if score is not None]
    if not good:
        return "—"
    spread = f" ±{statistics.stdev(good):.5f}" if len(good) > 1 else ""
    return f"{statistics.fmean(good):.5f}{spread}"


def _pools(results: RunResults, dataset: str, table: Mapping[str, Any]) -> Compared:
    """A row a generator: the published figure, this run's mean, what real rows would give, and what stands beside it."""
    metric, figures = table["metric"], _figures(table)
    found = {generator: _scores(results, dataset, generator, metric) for generator, _, _ in figures}
    details = list(dict.fromkeys(name for scores in found.values() for score in scores for name in score.details))
    rows = []
    for (generator, _, _), value in figures.items():
        scores = found[generator]
        expected = _average([score.baseline for score in scores])
        beside = [_average([score.details.get(name) for score in scores]) for name in details]
        rows.append([generator, f"{value:,.10g}", _average([score.value for score in scores]), expected, *beside])
    columns = ("generator", "published", "here", "expected of real rows", *details)
    return Compared(table["title"], table["source"], columns, rows)


def _scores(results: RunResults, dataset: str, generator: str, metric: str) -> list[Score]:
    """The scores of all repeats of a generator's pools; none where one is missing."""
    pools = [p for p in results.pools if p.dataset == dataset and plugin_name(p.generator) == generator]
    scores = [pool.scores[metric] for pool in pools if metric in pool.scores]
    return scores if len(scores) == len(pools) else []


def _average(values: Sequence[float | None]) -> str:
    good = [value for value in values if value is not None]
    return f"{statistics.fmean(good):,.6g}" if good and len(good) == len(values) else "—"
