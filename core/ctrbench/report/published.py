"""Published figures of a data set beside a run's own.

In: what the data set's plug-in says that others found, as the run recorded it. Out: tables, and single differences.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctrbench.effects import Arm, Effects
from ctrbench.interfaces import Score
from ctrbench.results import whole_mean

_Figures = Mapping[tuple[str, str, str], float]
"""(generator, scenario, model) → value."""
_Grid = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The columns and rows of a table."""


@dataclass(frozen=True)
class Compared:
    """A published table made again."""

    title: str
    source: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def plugin_name(label: str) -> str:
    """The plug-in that a label such as "ctgan[epochs=5]" names."""
    return label.partition("[")[0]


def published_gain(effects: Effects, arm: Arm) -> float | None:
    """The published difference to original of an arm, None where nobody published it."""
    for table in effects.results.info.datasets[effects.dataset].published:
        if table.metric == effects.metric:
            figures = table.figures
            names = plugin_name(arm.generator), plugin_name(arm.model)
            value = figures.get((names[0], arm.scenario, names[1]))
            base = figures.get((names[0], "original", names[1]))
            if value is not None and base is not None:
                return value - base
    return None


def compared(effects: Effects) -> list[Compared]:
    """Every published table, as far as this run has its generators and models, with this run's numbers."""
    results, dataset = effects.results, effects.dataset
    own = {"": "", **_by_name(effects.pools)}
    made = []
    for table in results.info.datasets[dataset].published:
        metric, figures = table.metric, table.figures
        kept = {names: value for names, value in figures.items() if names[0] in own}
        if metric in results.info.prediction_metrics:
            here = _by_name(effects.models)
            kept = {names: value for names, value in kept.items() if names[2] in here}
            of = effects if metric == effects.metric else Effects(results, dataset, metric)
            grid, notes = _predictions(of, own, kept, table.deviations), error_notes(of)
        elif metric in results.info.synthetic_metrics:
            grid, notes = _pools(effects, metric, own, kept), []
        else:
            continue
        if not kept:
            continue
        notes += [f"published: {table.statistic}"] if table.statistic else []
        absent = sorted({name for name, _, _ in figures} - set(own))
        notes += [f"published too, but not in this run: {', '.join(absent)}"] if absent else []
        made.append(Compared(table.title, table.source, *grid, notes))
    return made


def error_notes(effects: Effects) -> list[str]:
    """What the cells' intervals hold."""
    bases = sorted({tested.effect.basis for tested in effects.tested.values() if tested.effect.interval})
    return [f"95 % intervals hold the error from {', '.join(bases)}"] if bases else []


def _by_name(labels: Iterable[str]) -> dict[str, str]:
    """The first label of each plug-in."""
    found: dict[str, str] = {}
    for label in labels:
        found.setdefault(plugin_name(label), label)
    return found


def _predictions(effects: Effects, own: Mapping[str, str], figures: _Figures, deviations: _Figures) -> _Grid:
    """A row a generator and scenario, for each model the published figure, this run's mean, and both differences."""
    here = _by_name(effects.models)
    models = [model for model in dict.fromkeys(model for _, _, model in figures) if model in here]
    told: tuple[str, ...] = ("{0}, published", "{1}, here", "{0}, Δ published", "{1}, Δ here ± 95 %")
    told = told if any(scenario != "original" for _, scenario, _ in figures) else told[:2]
    rows = []
    for generator, scenario in sorted({(g, s): None for g, s, _ in figures}, key=lambda pair: list(own).index(pair[0])):
        row = [own[generator], scenario]
        for model in models:
            arm = Arm(own[generator] if scenario in effects.pool_scenarios else "", scenario, here[model])
            value, base = (figures.get((generator, name, model)) for name in (scenario, "original"))
            spread = f" ±{deviations[names]:.5f}" if (names := (generator, scenario, model)) in deviations else ""
            row += ["—" if value is None else f"{value:.5f}{spread}", _mean(effects, arm)]
            if len(told) == 2:
                continue
            row.append("—" if value is None or base is None or scenario == "original" else f"{value - base:+z.5f}")
            tested = effects.tested.get(arm)
            half = f" ±{tested.effect.half_width:.5f}" if tested and tested.effect.interval else ""
            row.append(f"{tested.effect.mean:+z.5f}{half}" if tested else "—")
        rows.append(row)
    return ["generator", "scenario", *(text.format(m, here[m]) for m in models for text in told)], rows


def _mean(effects: Effects, arm: Arm) -> str:
    scores = effects.scores(arm) if effects.whole(arm) else []
    good = [score for score in scores if score is not None]
    if not good:
        return "—"
    spread = f" ±{statistics.stdev(good):.5f}" if len(good) > 1 else ""
    return f"{statistics.fmean(good):.5f}{spread}"


def _pools(effects: Effects, metric: str, own: Mapping[str, str], figures: _Figures) -> _Grid:
    """A row a generator: the published figure, this run's mean, what real rows would give, and the details."""
    found = {generator: _scores(effects, own[generator], metric) for generator, _, _ in figures}
    details = list(dict.fromkeys(name for scores in found.values() for score in scores for name in score.details))
    rows = []
    for (generator, _, _), value in figures.items():
        scores = found[generator]
        expected = _average([score.baseline for score in scores])
        beside = [_average([score.details.get(name) for score in scores]) for name in details]
        mean = _average([score.value for score in scores])
        rows.append([own[generator], f"{value:,.10g}", mean, expected, *beside])
    return ["generator", "published", "here", "expected of real rows", *details], rows


def _scores(effects: Effects, generator: str, metric: str) -> list[Score]:
    """The scores of all repeats of a generator's pools; none where one is missing."""
    pools = effects.pools.get(generator, ())
    scores = [pool.scores[metric] for pool in pools if metric in pool.scores]
    return scores if len(scores) == len(pools) else []


def _average(values: Sequence[float | None]) -> str:
    mean = whole_mean(values)
    return "—" if mean is None else f"{mean:,.6g}"
