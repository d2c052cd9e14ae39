"""What a report shows of a data set: pictures, each with the numbers behind it as a table and in words.

In: a run's results. Out: `Picture`s, of bounded size whatever the run's. One for which there is nothing is left out.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ctrbench import verdict
from ctrbench.axes import Curve, Point, dose_curves, share_curves
from ctrbench.effects import Arm, Effects, TestedEffect
from ctrbench.interfaces import MethodRole
from ctrbench.report import canvas, drawing, marginals
from ctrbench.report.canvas import ImageFormat, Room
from ctrbench.report.drawing import Estimate
from ctrbench.report.published import error_notes, published_gain
from ctrbench.results import TaskResult
from ctrbench.text import counted, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_INTERVALS, MOST_PANELS, MOST_SERIES, MOST_LINES = 400, 12, 16, 6
"""A picture shows no more, and says so; its table has all, but for the marginals of generators left out."""
_MOST_PLANES = 3
"""So many privacy metrics have a panel of the frontier."""
_NOT_DRAWN = -1
"""The series of what the table alone has."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Picture:
    """A figure to be drawn, with its title, what it shows in words, and its numbers."""

    name: str
    dataset: str
    title: str
    says: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    draw: Callable[[Room], Figure]
    notes: Sequence[str] = field(default_factory=list)

    def render(self, kind: ImageFormat, room: Room = canvas.PAGE) -> bytes:
        """The picture as the bytes of an SVG or PNG file."""
        return canvas.render(self.draw, kind, room)


def pictures(effects: Effects, names: Iterable[str]) -> list[Picture]:
    """The pictures of those names for one data set, as far as its results allow."""
    made = [_MAKERS[name](effects) for name in names]
    return [picture for picture in made if picture is not None]


def estimate(effects: Effects, arm: Arm) -> Estimate | None:
    """The difference of an arm, without an interval where there is none; None where a score is missing."""
    tested = effects.tested.get(arm)
    if tested is None:
        return None
    return Estimate(tested.effect.mean, tested.effect.interval, tested.certain, published_gain(effects, arm))


def overall(effects: Effects, scenario: str) -> Estimate | None:
    """The difference of a scenario over candidates and models, without an interval where there is none."""
    tested = effects.judged_scenario(scenario)
    return Estimate(tested.effect.mean, tested.effect.interval, tested.certain) if tested else None


def _answer(effects: Effects) -> Picture | None:
    """What each generator does where it does best, candidates above controls."""
    if not effects.metric or effects.better == "neither":
        return None
    notes = ["filled: beyond chance, however many places were tried"]
    judged = [each for each in verdict.verdict(effects).generators if each.best]
    drawn = _first(judged, 2 * MOST_SERIES, "generators", notes)
    panels, numbers = [], []
    for role in MethodRole:
        rows: list[tuple[str, Sequence[Estimate | None]]] = []
        for each in judged:
            if each.best and each.role is role:
                best = each.best
                point = Estimate(best.mean, best.interval, bool(best.sign(effects.better)))
                numbers.append([each.generator, best.scenario, *_interval(point), each.says])
                if each in drawn:
                    rows.append((f"{best.scenario} {each.generator}", [point]))
        if rows:
            panels.append(drawing.Forest(f"{role}s", "", rows))
    if not panels:
        return None
    return Picture(
        "answer", effects.dataset, f"Δ{effects.metric} of each generator where it does best",
        f"Mean difference to original, with intervals that hold for all places at once: "
        f"{'; '.join(f'{row[0]} in {row[1]} {row[2]}, {row[3]}' for row in numbers)}.",
        ("generator", "in", f"Δ{effects.metric}", "interval", "verdict"), numbers,
        partial(drawing.forest, panels, [""], _difference(effects)), notes,
    )  # fmt: skip


def _scenarios(effects: Effects) -> Picture | None:
    """The confirmatory family, and the scenarios without a pool beside it."""
    rows, numbers = defaultdict(list), []
    for name in [*effects.pool_scenarios, *effects.control_scenarios]:
        point = overall(effects, name)
        rows[_axis(effects, name)].append((name, [point]))
        judged = effects.tested_scenarios.get(name)
        basis = judged.effect.basis if judged and judged.effect.interval else "—"
        numbers.append([name, *_interval(point), *_adjusted(judged), basis])
    panels = [drawing.Forest(title, title, found) for title, found in rows.items()]
    if not any(point for panel in panels for _, [point] in panel.rows):
        return None
    says = "; ".join(f"{row[0]} {row[1]}, {row[2]}" for row in numbers)
    who = "candidates" if effects.candidates else "controls"
    return Picture(
        "scenarios", effects.dataset, f"Δ{effects.metric} of each scenario, over {who} and models",
        f"Mean difference to original with 95 % intervals: {says}.",
        ("scenario", f"Δ{effects.metric}", "95 % interval", "p, Holm", "p, BH", "error from"), numbers,
        partial(drawing.forest, panels, [""], _difference(effects)),
        ["filled: stands after Holm's correction over the scenarios"],
    )  # fmt: skip


def _cells(effects: Effects) -> Picture | None:
    """Every cell with its interval: a panel a scenario, a row a generator, a series a model."""
    notes = ["filled: stands after Holm's correction over all cells", *error_notes(effects)]
    models = _first(effects.models, MOST_SERIES, "models", notes)
    panels, numbers = [], []
    for scenario in [*effects.pool_scenarios, *effects.control_scenarios]:
        rows = []
        for generator in effects.applicable if scenario in effects.pool_scenarios else [""]:
            arms = [Arm(generator, scenario, model) for model in effects.models]
            found = [estimate(effects, arm) for arm in arms]
            rows.append((generator or "no pool", found[: len(models)]))
            for arm, point in zip(arms, found, strict=True):
                numbers.append([scenario, generator, arm.model, *_interval(point), *_adjusted(effects.tested.get(arm))])
        if rows:
            panels.append(drawing.Forest(scenario, _axis(effects, scenario), rows))
    if not any(point for panel in panels for _, found in panel.rows for point in found):
        return None
    while sum(len(panel.rows) for panel in panels) * len(models) > MOST_INTERVALS and len(panels) > 1:
        notes.append(f"not drawn, for want of room: {panels.pop().title}")
    published = (p.published for panel in panels for _, found in panel.rows for p in found if p)
    notes += ["×: the published difference"] if any(value is not None for value in published) else []
    return Picture(
        "cells", effects.dataset, f"Δ{effects.metric} of every cell",
        f"{counted(len(numbers), 'difference')} to original with 95 % intervals, by scenario, generator and model.",
        ("scenario", "generator", "model", f"Δ{effects.metric}", "95 % interval", "p, Holm", "p, BH"), numbers,
        partial(drawing.forest, panels, models, _difference(effects)), notes,
    )  # fmt: skip


def _heatmap(effects: Effects) -> Picture | None:
    """Mean differences: a panel a model, generators down, scenarios across."""
    notes = ["colours end where differences are ten times the middle one; the numbers go on"]
    models = _first(effects.compared, MOST_PANELS, "models", notes)
    generators = _first(effects.applicable, 2 * MOST_SERIES, "generators", notes)
    every = []
    for model in effects.compared:
        arms = [[Arm(g, s, model) for s in effects.pool_scenarios] for g in effects.applicable]
        points = [[estimate(effects, arm) for arm in row] for row in arms]
        values = [[point.mean if point else None for point in row] for row in points]
        every.append(drawing.Heat(model, effects.applicable, effects.pool_scenarios, values))
    numbers = [
        [panel.title, name, *("—" if value is None else f"{value:+z.5f}" for value in row)]
        for panel in every
        for name, row in zip(panel.rows, panel.values, strict=True)
    ]
    shown = len(generators)
    panels = [replace(each, rows=generators, values=each.values[:shown]) for each in every[: len(models)]]
    if not any(value is not None for panel in panels for row in panel.values for value in row):
        return None
    return Picture(
        "heatmap", effects.dataset, f"Δ{effects.metric}, generator by scenario, for each model",
        f"A grid of mean differences to original for each of {', '.join(models)}; the table holds its numbers.",
        ("model", "generator", *effects.pool_scenarios), numbers,
        partial(drawing.heatmap, panels, effects.better, _difference(effects)), notes,
    )  # fmt: skip


def _doses(effects: Effects) -> Picture | None:
    """How much: differences by dose, a panel a class of added rows."""
    told = ("doses", "How much: Δ{} by dose of synthetic rows", "adds", "dose, as a share of the real rows")
    return _along(effects, dose_curves(effects), *told)


def _shares(effects: Effects) -> Picture | None:
    """How little: differences by share of train, a panel a scenario."""
    told = ("shares", "How little: Δ{} by share of train that is seen", "scenario", "share of train")
    return _along(effects, share_curves(effects), *told)


def _along(effects: Effects, curves: Sequence[Curve], name: str, title: str, what: str, x_label: str) -> Picture | None:
    """Curves over one axis of the question: a panel each of what they are of, a series a generator."""
    filled = "" if effects.better == "neither" else "; filled: stands for all points of its curve at once"
    notes = [f"vertical: 95 % intervals, each by itself{filled}"]
    kinds = _first(list(dict.fromkeys(curve.what for curve in curves)), MOST_PANELS, "panels", notes)
    generators = _first(list(dict.fromkeys(curve.generator for curve in curves)), MOST_SERIES, "generators", notes)
    by_place = {(curve.what, curve.generator): _line(curve) for curve in curves}
    panels = [drawing.Response(kind, [by_place.get((kind, g), []) for g in generators]) for kind in kinds]
    if not any(line for panel in panels for line in panel.lines):
        return None
    numbers = [
        [curve.generator, curve.what, f"{point.x:g}", *_interval(_point(curve, point)), _ends(curve.bounds(point))]
        for curve in curves
        for point in curve.points
    ]
    return Picture(
        name, effects.dataset, title.format(effects.metric),
        f"{counted(len(curves), 'curve')} of mean differences to original over models with 95 % intervals.",
        ("generator", what, x_label, f"Δ{effects.metric}", "95 % interval", "for all points at once"), numbers,
        partial(drawing.responses, panels, generators, x_label, f"Δ{effects.metric}{_arrow(effects, '↓', '↑')}"), notes,
    )  # fmt: skip


def _line(curve: Curve) -> list[tuple[float, Estimate]]:
    found = [(point.x, _point(curve, point)) for point in curve.points]
    return [(x, estimate) for x, estimate in found if estimate is not None and x > 0]


def _point(curve: Curve, point: Point) -> Estimate | None:
    return Estimate(point.effect.mean, point.effect.interval, bool(curve.sign(point))) if point.effect else None


def _frontier(effects: Effects) -> Picture | None:
    """What a generator is worth, against what it gives away, against what it costs."""
    notes = [
        f"Δ{effects.metric} is the mean over {', '.join(effects.kept_scenarios)} and "
        f"{counted(len(effects.compared), 'model')}; areas grow with the seconds of fit and sampling"
    ]
    if effects.better != "neither":
        notes.append("the dashed line joins the generators that no other excels in both")
    generators = effects.applicable
    drawn = _first(generators, MOST_SERIES, "generators", notes)
    pools = {g: [pool for pool in effects.pools.get(g, ()) if pool.ok] for g in generators}
    seconds = [statistics.fmean(pool.seconds for pool in pools[g]) if pools[g] else 0 for g in generators]
    gains = [effects.generator(g, effects.kept_scenarios) for g in generators]
    panels: list[drawing.Scatter] = []
    beside: list[str] = []
    lacking: set[str] = set()
    numbers = []
    for metric, told in effects.results.info.synthetic_metrics.items():
        if told.aspect != "privacy" or told.better == "neither":
            continue
        points: list[tuple[float, Estimate] | None] = []
        for generator, gain, cost in zip(generators, gains, seconds, strict=True):
            scores = [pool.scores[metric] for pool in pools[generator] if metric in pool.scores]
            if gain is None or not scores or len(scores) < len(pools[generator]):
                points.append(None)
                continue
            x = statistics.fmean(score.value for score in scores)
            point = Estimate(gain.mean, gain.interval)
            points.append((x, point))
            numbers.append([metric, generator, rounded(x, 6), *_interval(point), f"{cost:,.1f}"])
        baselines = [
            score.baseline
            for generator in generators
            for pool in pools[generator]
            if (score := pool.scores.get(metric)) and score.baseline is not None
        ]
        points = points[: len(drawn)]
        if not any(points):
            continue
        lacking |= {generator for generator, point in zip(drawn, points, strict=True) if point is None}
        if len(panels) == _MOST_PLANES:
            beside.append(metric)
        else:
            x_label = f"{metric} ({told.unit}; {told.better} is better)"
            reference = statistics.fmean(baselines) if baselines else None
            panels.append(drawing.Scatter(x_label, told.better, points, reference))
    if not panels:
        return None
    missing = [generator for generator in drawn if generator in lacking]
    notes += [f"without a point somewhere, as a score or its error is missing: {', '.join(missing)}"] if missing else []
    notes += [f"in the table alone: {', '.join(beside)}"] if beside else []
    notes += ["dotted: what is expected of real rows"] if any(p.reference is not None for p in panels) else []
    y_label = f"Δ{effects.metric}{_arrow(effects, '↓', '↑')}"
    return Picture(
        "frontier", effects.dataset, "Utility, privacy and cost of generators",
        "For each generator the mean difference to original against privacy metrics, sized by its cost in seconds.",
        ("privacy metric", "generator", "value", f"Δ{effects.metric}", "95 % interval", "seconds"), numbers,
        partial(drawing.scatter, panels, drawn, seconds[: len(drawn)], y_label, effects.better), notes,
    )  # fmt: skip


def _curves(effects: Effects) -> Picture | None:
    """How fits went: a panel for each model's or generator's reported number, a series a scenario."""
    notes: list[str] = []
    every = list(dict.fromkeys(arm.scenario for arm in effects.cells))
    scenarios = _first(every, MOST_SERIES, "scenarios", notes)
    made_rows = any(p.dataset == effects.dataset and p.result.curves for p in effects.results.pools)
    series = [*scenarios, *(["fit of a generator"] if made_rows else [])]
    found: dict[tuple[str, str], list[tuple[int, Sequence[tuple[float, float]]]]] = defaultdict(list)

    def take(who: str, result: TaskResult, number: int) -> None:
        for name, points in result.curves.items():
            if len(points) > 1:
                found[who, name].append((number, points))

    seen: set[str] = set()
    for arm, cells in effects.cells.items():
        number = scenarios.index(arm.scenario) if arm.scenario in scenarios else _NOT_DRAWN
        for cell in cells:
            if cell.training not in seen and cell.result.curves and not effects.waited(cell):
                seen.add(cell.training)
                take(arm.model, cell.result, number)
    for pool in effects.results.pools:
        if pool.dataset == effects.dataset and not pool.same_as:
            take(pool.generator, pool.result, len(scenarios))
    if not found:
        return None
    titles = _first(list(found), 2 * MOST_PANELS, "curves", notes)
    panels = []
    for who, name in titles:
        kept = [line for number in range(len(series)) for line in _some(found[who, name], number)]
        panels.append(drawing.Lines(who, name, kept))
        if len(kept) < len(found[who, name]):
            notes.append(f"{who}, {name}: {len(kept)} of {len(found[who, name])} fits are drawn")
    numbers = [
        [who, name, str(len(lines)), _range([p[-1][0] for _, p in lines], ",.0f"), _range([p[0][1] for _, p in lines]),
         _range([p[-1][1] for _, p in lines])]
        for (who, name), lines in found.items()
    ]  # fmt: skip
    return Picture(
        "curves", effects.dataset, "Learning curves",
        f"Numbers that {', '.join(dict.fromkeys(who for who, _ in titles))} reported while fitting, by epoch or step.",
        ("plug-in", "number", "fits", "last epoch or step", "first value", "last value"), numbers,
        partial(drawing.curves, panels, series, "epoch or step"), notes,
    )  # fmt: skip


def _marginals(effects: Effects) -> Picture | None:
    """Values' shares in real train and in pools."""
    notes: list[str] = []
    generators = _first(effects.distinct, MOST_PANELS, "generators", notes)
    made = marginals.read(effects, generators)
    if made is None:
        return None
    notes += made.notes
    panels = _first(made.panels, MOST_PANELS + 2, "columns", notes)
    return Picture(
        "marginals", effects.dataset, "Marginals: real train beside the pools",
        f"The most frequent values' shares in {counted(len(panels), 'column')}: real as bars, synthetic as marks.",
        ("column", *made.generators),
        [[name, *(f"{distance:.3f}" for distance in row)] for name, row in made.distances],
        partial(drawing.bars, panels, made.generators, "share of rows"),
        [*notes, "values by their share of real train", "the table: total variation distances, 0 for equal shares"],
    )  # fmt: skip


_MAKERS: dict[str, Callable[[Effects], Picture | None]] = {
    "answer": _answer,
    "scenarios": _scenarios,
    "cells": _cells,
    "heatmap": _heatmap,
    "doses": _doses,
    "shares": _shares,
    "frontier": _frontier,
    "curves": _curves,
    "marginals": _marginals,
}
NAMES = tuple(_MAKERS)


def _axis(effects: Effects, scenario: str) -> str:
    """Scenarios without real rows lose so much that they need an axis of their own."""
    keeps = effects.results.info.scenarios[scenario].keeps_real
    return "real rows and more" if keeps else "without real rows"


def _difference(effects: Effects) -> str:
    return f"Δ{effects.metric} against original{_arrow(effects, '←', '→')}"


def _arrow(effects: Effects, lower: str, higher: str) -> str:
    arrow = {"lower": lower, "higher": higher}.get(effects.better)
    return f" (better {arrow})" if arrow else ""


def _interval(point: Estimate | None) -> tuple[str, str]:
    return ("no score", "—") if point is None else (f"{point.mean:+z.5f}", _ends(point.interval))


def _ends(ends: tuple[float, float] | None) -> str:
    return "—" if ends is None else f"{ends[0]:+z.5f} to {ends[1]:+z.5f}"


def _adjusted(tested: TestedEffect | None) -> tuple[str, str]:
    if tested is None or tested.holm is None or tested.bh is None:
        return "—", "—"
    return f"{tested.holm:.2g}", f"{tested.bh:.2g}"


def _first(items: Sequence[_Item], most: int, what: str, notes: list[str]) -> list[_Item]:
    """The first items; a note where some are left out."""
    if len(items) > most:
        notes.append(f"the first {most} of {len(items)} {what}")
    return list(items[:most])


def _some(
    lines: Sequence[tuple[int, Sequence[tuple[float, float]]]], number: int
) -> Iterable[tuple[int, Sequence[tuple[float, float]]]]:
    """A few lines of a series, evenly spread among all of it."""
    mine = [line for line in lines if line[0] == number]
    return mine[:: -(-len(mine) // MOST_LINES)] if mine else []


def _range(values: Sequence[float], style: str = "") -> str:
    low, high = (format(end, style) if style else rounded(end, 4) for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
