"""Draws what a report shows, with matplotlib but without its global state, its windows or the user's own settings.

In: plain numbers and names. Out: figures, and a figure as SVG or PNG bytes, the same for the same numbers. They are
narrow, so that a phone can show them; series differ by shape as well as by colour (Okabe and Ito 2008).
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ctrbench.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png"]

INK, GRID, PAPER = "#1a1a1b", "#d9d9da", "#fffffe"
"""A page may put colours of its own in the place of these."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = "osD^vPX*"
WIDTH = 5.0  # inches
_LONGEST = 26  # letters of a name
_LOOK = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure's layout depends on no machine
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "lines.linewidth": 1.0,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ctrbench",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), PAPER),
}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, where it has one; a mark where it is certain."""

    mean: float
    low: float | None = None
    high: float | None = None
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
    """Lines of (x, y) points under a title, each with the number of its series."""

    title: str
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


def render(draw: Callable[[], Figure], kind: ImageFormat) -> bytes:
    """A figure as the bytes of a file."""
    with _look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(Glyph|onstrained|ight layout).*")  # letters that no font has
        out = io.BytesIO()
        drawn = draw()
        drawn.savefig(out, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return out.getvalue()


def forest(panels: Sequence[Forest], series: Sequence[str], x_label: str) -> Figure:
    """Estimates with intervals around the line of no effect, panel below panel; what is certain is filled."""
    slots = max(1, len(series))
    heights = [0.5 + len(panel.rows) * max(0.2, 0.08 + 0.08 * slots) for panel in panels]
    figure = _figure(sum(heights) + 0.3 + (_legend_height(series) if slots > 1 else 0))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    shared: dict[str, list[Axes]] = {}
    for axis, panel in zip(axes, panels, strict=True):
        shared.setdefault(panel.axis, []).append(axis)
        axis.set_title(_short(panel.title, 60))
        axis.axvline(0, color=INK, linewidth=0.8)
        for row, (_, estimates) in enumerate(panel.rows):
            for number, estimate in enumerate(estimates):
                place = row + 0.7 * ((number + 0.5) / slots - 0.5)
                if estimate is None:
                    beside = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center", "fontsize": 6}
                    axis.annotate("no score", (1, place), **beside)
                else:
                    _interval(axis, place, estimate, number)
        axis.set_yticks(range(len(panel.rows)), [_short(label) for label, _ in panel.rows])
        axis.set_ylim(len(panel.rows) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.locator_params(axis="x", nbins=5)
        if panel is panels[-1] or panel.axis != panels[list(panels).index(panel) + 1].axis:
            axis.set_xlabel(plain(x_label))
    for group in shared.values():
        low, high = min(a.get_xlim()[0] for a in group), max(a.get_xlim()[1] for a in group)
        for axis in group:
            axis.set_xlim(low, high)
    if slots > 1:
        _legend(figure, axes[0], series)
    return figure


def heatmap(panels: Sequence[Heat], better: str, label: str) -> Figure:
    """Grids side by side in two columns; each place shows its number, coloured by worse and better."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    across = 2 if len(panels) > 1 and max(len(panel.columns) for panel in panels) <= 6 else 1
    down = math.ceil(len(panels) / across)
    figure = _figure(down * (0.55 + 0.2 * max(len(panel.rows) for panel in panels)) + 0.6)
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    ends = ("#0072B2", "#D55E00") if better == "lower" else ("#D55E00", "#0072B2")
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
        axis.set_title(_short(panel.title, 34))
        axis.grid(visible=False)
        axis.tick_params(length=0)
        axis.set_xticks([x + 0.5 for x in range(len(panel.columns))], [_short(name, 12) for name in panel.columns])
        axis.set_yticks([y + 0.5 for y in range(len(panel.rows))], [_short(name, 20) for name in panel.rows])
        axis.set_ylim(len(panel.rows), 0)
        for y, row in enumerate(panel.values):
            for x, value in enumerate(row):
                dark = value is not None and abs(value) > 0.6 * bound
                ink = INK if value is None else "#ffffff" if dark else "#111111"
                said = "—" if value is None else _compact(value, digits)
                axis.annotate(said, (x + 0.5, y + 0.52), ha="center", va="center", fontsize=6, color=ink)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=axes.tolist(), orientation="horizontal", extend="both", aspect=40, shrink=0.8)
        bar.set_label(plain(label))
        bar.set_ticks([-bound, 0, bound], labels=[_compact(-bound, digits), "0", _compact(bound, digits)])
    return figure


def scatter(panels: Sequence[Scatter], series: Sequence[str], sizes: Sequence[float], y_label: str) -> Figure:
    """Points with intervals in y, panel below panel, their areas by `sizes`; a line joins those that none excels."""
    figure = _figure(2.6 * len(panels) + _legend_height(series))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        axis.axhline(0, color=INK, linewidth=0.8)
        if panel.reference is not None:
            axis.axvline(panel.reference, color=INK, linewidth=0.8, linestyle=":")
        found = [(n, *point) for n, point in enumerate(panel.points) if point is not None]
        for number, x, estimate in found:
            look = _series(number)
            if estimate.low is not None and estimate.high is not None:
                axis.plot([x, x], [estimate.low, estimate.high], color=look["color"])
            area = 15 + 12 * math.log1p(sizes[number])
            axis.scatter([x], [estimate.mean], area, color=look["color"], marker=look["marker"], zorder=3)
        front = _front([(x, estimate.mean) for _, x, estimate in found], panel.better)
        axis.plot(*zip(*front, strict=True), color=INK, linewidth=0.7, linestyle="--", zorder=1) if front else None
        if found and (high := max(x for _, x, _ in found)) > 20 * max(min(x for _, x, _ in found), 1e-12):
            axis.set_xscale("symlog", linthresh=min((x for _, x, _ in found if x > 0), default=high), linscale=0.5)
            axis.xaxis.set_major_formatter(lambda x, _: f"{x:,g}")
        axis.set_xlabel(plain(panel.x_label))
        axis.set_ylabel(plain(y_label))
    _legend(figure, axes[0], series)
    return figure


def curves(panels: Sequence[Lines], series: Sequence[str], x_label: str) -> Figure:
    """Thin lines in panels, two in a row; a thick one is the mean of its series as far as all of them go."""
    down = math.ceil(len(panels) / 2)
    figure = _figure(1.7 * down + _legend_height(series))
    axes = figure.subplots(down, 2, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(_short(panel.title, 38), fontsize=7)
        for number in range(len(series)):
            mine, look = [points for which, points in panel.lines if which == number], _series(number)
            for points in mine:
                axis.plot(*zip(*points, strict=True), color=look["color"], linewidth=0.5, alpha=0.3)
            mean = _mean_line(mine)
            if mean:
                each = max(1, len(mean) // 6)
                axis.plot(*zip(*mean, strict=True), linewidth=1.2, markersize=3, markevery=each, **look)
        axis.locator_params(axis="x", nbins=5, integer=True)
        axis.locator_params(axis="y", nbins=5)
        axis.set_xlabel(plain(x_label))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _legend(figure, axes[0], series)
    return figure


def responses(panels: Sequence[Response], series: Sequence[str], x_label: str, y_label: str) -> Figure:
    """Estimates with intervals over a number, panel below panel, a series' own joined; what is certain is filled."""
    figure = _figure(2.2 * len(panels) + _legend_height(series))
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    places = sorted({x for panel in panels for line in panel.lines for x, _ in line})
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(_short(panel.title, 60))
        axis.axhline(0, color=INK, linewidth=0.8)
        axis.set_xscale("log")
        for number, line in enumerate(panel.lines):
            look = _series(number)
            aside = 1.03 ** (number - (len(series) - 1) / 2)  # lest the intervals of series hide each other
            drawn = [(x * aside, estimate) for x, estimate in line]
            axis.plot([x for x, _ in drawn], [estimate.mean for _, estimate in drawn], color=look["color"])
            for x, estimate in drawn:
                if estimate.low is not None and estimate.high is not None:
                    axis.plot([x, x], [estimate.low, estimate.high], color=look["color"])
                inside = look["color"] if estimate.certain else PAPER
                axis.plot([x], [estimate.mean], markersize=3.5, markerfacecolor=inside, **look)
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.set_xticks([], minor=True)
        axis.set_ylabel(plain(y_label))
    axes[-1].set_xlabel(plain(x_label))
    _legend(figure, axes[0], series)
    return figure


def bars(panels: Sequence[Bars], series: Sequence[str], x_label: str) -> Figure:
    """Shares as grey bars, those of each series as marks upon them, panels two in a row."""
    down = math.ceil(len(panels) / 2)
    heights = [0.5 + 0.15 * max(len(panel.values) for panel in panels[2 * row : 2 * row + 2]) for row in range(down)]
    figure = _figure(sum(heights) + _legend_height(series) + 0.3)
    axes = figure.subplots(down, 2, squeeze=False, height_ratios=heights).ravel()
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        places = range(len(panel.values))
        axis.barh(places, panel.shares, height=0.8, color=GRID)
        for which, shares in enumerate(panel.series):
            look = _series(which)
            axis.plot(shares, places, linestyle="", markersize=3.2, markerfacecolor="none", **look)
        axis.set_title(_short(panel.title, 30))
        axis.set_yticks(places, [_short(value, 12) for value in panel.values], fontsize=6)
        axis.set_ylim(len(panel.values) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        axis.set_xlim(left=0)
        axis.locator_params(axis="x", nbins=4)
        if number >= len(panels) - 2:
            axis.set_xlabel(plain(x_label))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    _legend(figure, axes[0], series)
    return figure


@contextmanager
def _look() -> Iterator[None]:
    import matplotlib.style

    with matplotlib.style.context(["default", _LOOK]):
        yield


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _series(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def _legend(figure: Figure, axis: Axes, series: Sequence[str]) -> None:
    """Name the series on top of a figure, as many in a row as fit."""
    handles = [axis.plot([], [], linestyle="", markersize=4, **_series(number))[0] for number in range(len(series))]
    names = [_short(name, 38) for name in series]
    figure.legend(handles, names, loc="outside upper left", ncols=_across(names))


def _legend_height(series: Sequence[str]) -> float:
    return 0.1 + 0.17 * math.ceil(len(series) / _across([_short(name, 38) for name in series]))


def _across(names: Sequence[str]) -> int:
    return max(1, min(6, 72 // (max(map(len, names), default=0) + 5)))


def _interval(axis: Axes, y: float, estimate: Estimate, number: int) -> None:
    look = _series(number)
    if estimate.low is not None and estimate.high is not None:
        axis.plot([estimate.low, estimate.high], [y, y], color=look["color"])
    inside = look["color"] if estimate.certain else PAPER
    axis.plot([estimate.mean], [y], markersize=3.5, markerfacecolor=inside, **look)
    if estimate.published is not None:
        axis.plot([estimate.published], [y], marker="x", markersize=3.5, color=INK, linestyle="")


def _mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean at every x that all lines have."""
    tables = [dict(points) for points in lines]
    shared = set.intersection(*map(set, tables)) if tables else set()
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in sorted(shared)]


def _bound(values: Sequence[float]) -> float:
    """Where colours end: at the largest size, or ten times the middle one, lest a few dim all others."""
    sizes = sorted(abs(value) for value in values if value)
    return min(sizes[-1], 10 * sizes[len(sizes) // 2]) if sizes else 1.0


def _front(points: Sequence[tuple[float, float]], better: str) -> list[tuple[float, float]]:
    """The points that no other excels in both, by x; y is better upwards."""
    sign = -1 if better == "lower" else 1
    return sorted(
        (x, y) for x, y in points if not any(sign * a >= sign * x and b >= y and (a, b) != (x, y) for a, b in points)
    )


def _compact(value: float, digits: int) -> str:
    """A difference in few letters: +.0012, −.21, 0."""
    said = f"{value:+.{digits}f}".replace("-", "−")
    if abs(value) >= 1:
        return said
    return said.replace("0.", ".", 1) if float(f"{value:.{digits}f}") else "0"


def _short(text: str, longest: int = _LONGEST) -> str:
    text = plain(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
