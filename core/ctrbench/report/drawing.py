"""The figures that a report shows, one function each.

In: plain numbers and names, and the room that there is: a page's or a phone's. Out: matplotlib's figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ctrbench.report import canvas
from ctrbench.report.canvas import GRID, INK, PAGE, PAPER, SMALL, Room
from ctrbench.text import plain, rounded, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_TITLE = 26
"""Letters of a curve's title: of who reported it, and of its name, which has half of them at most."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, where it has one; a mark where it is certain."""

    mean: float
    interval: tuple[float, float] | None = None
    certain: bool = False
    published: float | None = None


@dataclass(frozen=True)
class Forest:
    """Rows of estimates under a title, one a series; panels of equal `axis` share their range."""

    title: str
    axis: str
    rows: Sequence[tuple[str, Sequence[Estimate | None]]]


@dataclass(frozen=True)
class Heat:
    """A grid of differences with a title: (rows, columns), None where there is none."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Scatter:
    """A point a series, None where it has none, and the way in which x is better."""

    x_label: str
    better: str
    points: Sequence[tuple[float, Estimate] | None]
    reference: float | None = None


@dataclass(frozen=True)
class Lines:
    """Lines of (x, y) points: who reported them, under which name, and of each line the number of its series."""

    who: str
    name: str
    lines: Sequence[tuple[int, Sequence[tuple[float, float]]]]


@dataclass(frozen=True)
class Response:
    """Estimates over a number above 0 under a title, a line of (x, estimate) a series."""

    title: str
    lines: Sequence[Sequence[tuple[float, Estimate]]]


@dataclass(frozen=True)
class Bars:
    """Shares of some values, and beside each the same of every series."""

    title: str
    values: Sequence[str]
    shares: Sequence[float]
    series: Sequence[Sequence[float]] = field(default_factory=list)


def forest(panels: Sequence[Forest], series: Sequence[str], x_label: str, room: Room) -> Figure:
    """Estimates with intervals around the line of no effect, panel below panel; what is certain is filled."""
    slots = max(1, len(series))
    heights = [0.5 + len(panel.rows) * max(0.2, 0.08 + 0.08 * slots) for panel in panels]
    figure = canvas.new_figure(room, sum(heights) + 0.4 + (canvas.legend_height(series, room) if slots > 1 else 0))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    shared: dict[str, list[Axes]] = {}
    for axis, panel in zip(axes, panels, strict=True):
        shared.setdefault(panel.axis, []).append(axis)
        axis.set_title(canvas.short(panel.title, room.title))
        axis.axvline(0, color=INK, linewidth=0.8)
        for row, (name, estimates) in enumerate(panel.rows):
            for number, found in enumerate(estimates):
                if found is not None:
                    place = row + 0.7 * ((number + 0.5) / slots - 0.5)
                    _interval(axis, place, found, number, " · ".join(filter(None, (name, series[number]))))
            lacking = sum(found is None for found in estimates)
            if lacking:
                said = "no score" if lacking == len(estimates) else f"{lacking} without score"
                beside = {
                    "xycoords": ("axes fraction", "data"),
                    "ha": "right",
                    "va": "center",
                    "fontsize": SMALL,
                }
                axis.annotate(said, (1, row), **beside)
        axis.set_yticks(range(len(panel.rows)), canvas.told_apart([label for label, _ in panel.rows], room.name))
        axis.set_ylim(len(panel.rows) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.locator_params(axis="x", nbins=room.ticks)
        if panel is panels[-1] or panel.axis != panels[list(panels).index(panel) + 1].axis:
            axis.set_xlabel(canvas.folded(x_label, room))
    for group in shared.values():
        low, high = min(a.get_xlim()[0] for a in group), max(a.get_xlim()[1] for a in group)
        for axis in group:
            axis.set_xlim(low, high)
    if slots > 1:
        canvas.legend(figure, axes[0], dict(enumerate(series)), room)
    return figure


def heatmap(panels: Sequence[Heat], better: str, label: str, room: Room) -> Figure:
    """Grids in rows; each place shows its number, coloured by worse and better."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    panels = [part for panel in panels for part in _parts(panel, room.columns)]
    across = min(room.across, len(panels))
    down = math.ceil(len(panels) / across)
    upright = max(len(name) for panel in panels for name in panel.columns) > 5
    rows = max(len(panel.rows) for panel in panels)
    figure = canvas.new_figure(room, down * (0.55 + 0.2 * rows + 0.6 * upright) + 0.7)
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    ends = ("#0072b3", "#D55E00") if better == "lower" else ("#D55E00", "#0072b3")
    colours = LinearSegmentedColormap.from_list("worse to better", [ends[0], "#ffffff", ends[1]], N=9)
    bound = _bound([value for panel in panels for row in panel.values for value in row if value is not None])
    norm = BoundaryNorm([bound * (2 * step / 9 - 1) for step in range(10)], 9)
    digits = min(6, max(0, -math.floor(math.log10(bound / 10))))
    mesh = None
    for axis, panel in zip(axes, panels, strict=False):
        numbers = [
            [math.nan if value is None else max(-bound, min(bound, value)) for value in row] for row in panel.values
        ]
        mesh = axis.pcolormesh(numbers, cmap=colours, norm=norm, edgecolors=PAPER, linewidth=1)
        axis.set_title(canvas.short(panel.title, 22))
        axis.grid(visible=False)
        axis.tick_params(length=0)
        names = canvas.told_apart(panel.columns, 12)
        axis.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=90 if upright else 0)
        axis.set_yticks([y + 0.5 for y in range(len(panel.rows))], canvas.told_apart(panel.rows, room.name))
        axis.set_xlim(0, room.columns if len(panels) > 1 else len(names))
        axis.set_ylim(len(panel.rows), 0)
        for y, row in enumerate(panel.values):
            for x, value in enumerate(row):
                dark = value is not None and abs(value) > 0.6 * bound
                ink = INK if value is None else "#ffffff" if dark else "#111111"
                said = "—" if value is None else _compact(value, digits)
                tells = canvas.tells(f"{panel.rows[y]} in {panel.columns[x]}, {panel.title}: {_number(value)}")
                middle = (x + 0.5, y + 0.52)
                axis.annotate(said, middle, ha="center", va="center", fontsize=SMALL, color=ink, gid=tells)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if mesh is not None:
        thick = 0.1 / figure.get_size_inches()[1]  # of the height, which may be that of many panels
        bar = figure.colorbar(
            mesh,
            ax=axes.tolist(),
            orientation="horizontal",
            extend="both",
            fraction=thick,
            pad=thick,
            shrink=0.8,
            aspect=40,
        )
        bar.set_label(canvas.folded(label, room))
        bar.set_ticks([-bound, 0, bound], labels=[_compact(-bound, digits), "0", _compact(bound, digits)])
    return figure


def _parts(panel: Heat, most: int) -> list[Heat]:
    """A grid, in parts of at most so many columns."""
    return [
        Heat(
            panel.title, panel.rows, panel.columns[start : start + most],
            [row[start : start + most] for row in panel.values],
        )
        for start in range(0, len(panel.columns), most)
    ]  # fmt: skip


def scatter(
    panels: Sequence[Scatter], series: Sequence[str], sizes: Sequence[float], y_label: str, better: str, room: Room
) -> Figure:
    """Points with intervals in y, panel below panel, their areas by `sizes`.

    A line joins those that none excels, if one side of y is better.
    """
    seconds = [f" ({size:,.1f} s)" for size in sizes]
    drawn = [n for n in range(len(series)) if any(panel.points[n] is not None for panel in panels)]
    legend = {n: canvas.told_apart(series, canvas.LEGEND - len(seconds[n]))[n] + seconds[n] for n in drawn}
    beside = canvas.told_apart(series, room.name)
    figure = canvas.new_figure(room, 2.8 * len(panels) + canvas.legend_height(list(legend.values()), room))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    named = []
    for axis, panel in zip(axes, panels, strict=True):
        axis.axhline(0, color=INK, linewidth=0.8)
        if panel.reference is not None:
            axis.axvline(panel.reference, color=INK, linewidth=0.8, linestyle=":")
        found = [(n, *point) for n, point in enumerate(panel.points) if point is not None]
        for number, x, estimate in found:
            look = canvas.look_of(number)
            if estimate.interval:
                axis.plot([x, x], estimate.interval, color=look["color"])
            area = 15 + 12 * math.log1p(sizes[number])
            tells = canvas.tells(f"{series[number]}{seconds[number]}: {_told(estimate)} at {rounded(x, 4)}")
            axis.scatter([x], [estimate.mean], area, color=look["color"], marker=look["marker"], zorder=3, gid=tells)
        front = _front([(x, estimate.mean) for _, x, estimate in found], (panel.better, better))
        axis.plot(*zip(*front, strict=True), color=INK, linewidth=0.7, linestyle="--", zorder=1) if front else None
        positive = [x for _, x, _ in found if x > 0]
        if positive and max(positive) > 20 * min(positive):
            axis.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:,g}" if x or room is PAGE else "")
        else:
            axis.locator_params(axis="x", nbins=room.ticks)
        axis.set_xlabel(canvas.folded(panel.x_label, room))
        axis.set_ylabel(plain(y_label))
        bars = [[(x, end) for end in estimate.interval] for _, x, estimate in found if estimate.interval]
        points = {(x, estimate.mean): beside[n] for n, x, estimate in found}
        named.append((axis, points, front, [*bars, *map(list, pairwise(front))]))
    canvas.legend(figure, axes[0], legend, room)
    _name_points(figure, named)
    return figure


def curves(panels: Sequence[Lines], series: Sequence[str], x_label: str, room: Room) -> Figure:
    """Thin lines in panels; a thick one is the mean of its series as far as all of them go."""
    down = math.ceil(len(panels) / room.across)
    figure = canvas.new_figure(room, 1.7 * down + canvas.legend_height(series, room))
    axes = figure.subplots(down, room.across, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        name = canvas.short(panel.name, _TITLE // 2)
        axis.set_title(f"{canvas.short(panel.who, _TITLE - len(name))}: {name}")
        for number in range(len(series)):
            mine, look = [points for which, points in panel.lines if which == number], canvas.look_of(number)
            for points in mine:
                axis.plot(*zip(*points, strict=True), color=look["color"], linewidth=0.5, alpha=0.3)
            mean = _mean_line(mine)
            if mean:
                each = max(1, len(mean) // 6)
                first, last = (rounded(value, 4) for _, value in (mean[0], mean[-1]))
                tells = canvas.tells(f"{panel.who}: {panel.name} · {series[number]}: {first} at first, {last} at last")
                axis.plot(*zip(*mean, strict=True), linewidth=1.2, markersize=3, markevery=each, gid=tells, **look)
        axis.locator_params(axis="x", nbins=4, integer=True)
        axis.locator_params(axis="y", nbins=5)
        axis.set_xlabel(plain(x_label))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    canvas.legend(figure, axes[0], dict(enumerate(series)), room)
    return figure


def responses(panels: Sequence[Response], series: Sequence[str], x_label: str, y_label: str, room: Room) -> Figure:
    """Estimates with intervals over a number, panel below panel, a series' own joined; what is certain is filled."""
    figure = canvas.new_figure(room, 2.2 * len(panels) + canvas.legend_height(series, room))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    places = sorted({x for panel in panels for line in panel.lines for x, _ in line})
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(canvas.short(panel.title, room.title))
        axis.axhline(0, color=INK, linewidth=0.8)
        axis.set_xscale("log")
        for number, line in enumerate(panel.lines):
            look = canvas.look_of(number)
            aside = 1.03 ** (number - (len(series) - 1) / 2)  # lest the intervals of series hide each other
            drawn = [(x * aside, estimate) for x, estimate in line]
            axis.plot([x for x, _ in drawn], [estimate.mean for _, estimate in drawn], color=look["color"])
            for (share, _), (x, estimate) in zip(line, drawn, strict=True):
                tells = canvas.tells(f"{panel.title} · {series[number]} at {share:g}: {_told(estimate)}")
                if estimate.interval:
                    axis.plot([x, x], estimate.interval, color=look["color"])
                inside = look["color"] if estimate.certain else PAPER
                axis.plot([x], [estimate.mean], markersize=3.5, markerfacecolor=inside, gid=tells, **look)
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.set_xticks([], minor=True)
        axis.set_ylabel(plain(y_label))
    axes[-1].set_xlabel(canvas.folded(x_label, room))
    canvas.legend(figure, axes[0], dict(enumerate(series)), room)
    return figure


def bars(panels: Sequence[Bars], series: Sequence[str], x_label: str, room: Room) -> Figure:
    """Shares as grey bars, those of each series as marks upon them."""
    across = room.across
    down = math.ceil(len(panels) / across)
    rows = [panels[across * row : across * (row + 1)] for row in range(down)]
    heights = [0.5 + 0.16 * max(len(panel.values) for panel in row) for row in rows]
    figure = canvas.new_figure(room, sum(heights) + canvas.legend_height(series, room) + 0.3)
    axes = figure.subplots(down, across, squeeze=False, height_ratios=heights).ravel()
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        places = range(len(panel.values))
        axis.barh(places, panel.shares, height=0.8, color=GRID)
        for which, shares in enumerate(panel.series):
            look = canvas.look_of(which)
            for share, place, value in zip(shares, places, panel.values, strict=False):
                tells = canvas.tells(
                    f"{panel.title} {value} · {series[which]}: {share:.4f}, real {panel.shares[place]:.4f}"
                )
                axis.plot([share], [place], linestyle="", markersize=3.2, markerfacecolor="none", gid=tells, **look)
        axis.set_title(canvas.short(panel.title, 28))
        axis.set_yticks(places, [canvas.short(value, 12) for value in panel.values], fontsize=SMALL)
        axis.set_ylim(len(panel.values) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=3)
        if number >= len(panels) - across:
            axis.set_xlabel(plain(x_label))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    canvas.legend(figure, axes[0], dict(enumerate(series)), room)
    return figure


def _interval(axis: Axes, y: float, estimate: Estimate, number: int, who: str) -> None:
    look = canvas.look_of(number)
    if estimate.interval:
        axis.plot(estimate.interval, [y, y], color=look["color"])
    inside = look["color"] if estimate.certain else PAPER
    tells = canvas.tells(f"{who}: {_told(estimate)}")
    axis.plot([estimate.mean], [y], linestyle="", markersize=3.5, markerfacecolor=inside, gid=tells, **look)
    if estimate.published is not None:
        tells = canvas.tells(f"{who}, published: {_number(estimate.published)}")
        axis.plot([estimate.published], [y], marker="x", markersize=3.5, color=INK, linestyle="", gid=tells)


def _told(estimate: Estimate) -> str:
    """A number with its interval, in words."""
    ends = f" ({' to '.join(map(_number, estimate.interval))})" if estimate.interval else ""
    return f"{_number(estimate.mean)}{ends}"


def _number(value: float | None) -> str:
    return "no score" if value is None else signed(value)


_SIDES: tuple[tuple[int, int, str, str], ...] = (
    (6, 5, "left", "bottom"), (6, -5, "left", "top"), (-6, 5, "right", "bottom"), (-6, -5, "right", "top"),
    (6, 16, "left", "bottom"), (6, -16, "left", "top"), (-6, 16, "right", "bottom"), (-6, -16, "right", "top"),
)  # fmt: skip


_Points = list[tuple[float, float]]
_Names = dict[tuple[float, float], str]


def _name_points(figure: Figure, named: Sequence[tuple[Axes, _Names, _Points, Sequence[_Points]]]) -> None:
    """Name the points of the frontier beside them, on the first side where no name, point or line is in the way.

    One that has no such side is named by the legend alone.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis, points, front, lines in named:
        taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in (axis.transData.transform(p) for p in points)]
        for (x0, y0), (x1, y1) in (axis.transData.transform(line) for line in lines):
            steps = [step / 30 for step in range(31)]
            taken += [Bbox.from_bounds(x0 + t * (x1 - x0) - 1, y0 + t * (y1 - y0) - 1, 2, 2) for t in steps]
        for point in front:
            for dx, dy, ha, va in _SIDES:
                beside: dict[str, Any] = {"ha": ha, "va": va, "fontsize": SMALL, "textcoords": "offset points"}
                text = axis.annotate(points[point], point, (dx, dy), **beside)
                box = text.get_window_extent()
                inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 and axis.bbox.y0 <= box.y0 <= axis.bbox.y1
                if inside and not any(box.overlaps(other) for other in taken):
                    taken.append(box)
                    break
                text.remove()


def _mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean at every x that all lines have."""
    tables = [dict(points) for points in lines]
    shared = set.intersection(*map(set, tables)) if tables else set()
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in sorted(shared)]


def _bound(values: Sequence[float]) -> float:
    """Where colours end: at the largest size, or ten times the middle one, lest a few dim all others."""
    sizes = sorted(abs(value) for value in values if value)
    return min(sizes[-1], 10 * sizes[len(sizes) // 2]) if sizes else 1.0


def _front(points: Sequence[tuple[float, float]], better: tuple[str, str]) -> list[tuple[float, float]]:
    """The points that no other excels in both, by x; none where neither side of one is better."""
    if "neither" in better:
        return []
    p, q = (-1 if side == "lower" else 1 for side in better)
    return sorted(
        (x, y) for x, y in points if not any(p * a >= p * x and q * b >= q * y and (a, b) != (x, y) for a, b in points)
    )


def _compact(value: float, digits: int) -> str:
    """A difference in few letters: +.0012, −.21, 0."""
    said = f"{value:+z.{digits}f}".replace("-", "−")
    if abs(value) >= 1:
        return said
    return said.replace("0.", ".", 1) if float(f"{value:.{digits}f}") else "0"
