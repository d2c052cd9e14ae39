"""What all figures share: the room that there is, their look, legends, names cut to their room, and their bytes.

In: what draws a figure in a room. Out: the figure as SVG or PNG bytes, the same for the same numbers, made with
matplotlib but without its global state, its windows or the user's own settings. Series differ by shape as well as by
colour (Okabe and Ito 2008).
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, TypedDict
from xml.etree import ElementTree

from ctrbench.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ImageFormat = Literal["svg", "png"]

INK, GRID, PAPER, BLUE = "#1a1a1b", "#d9d9da", "#fffffe", "#0072b2"
"""A page may put colours of its own in the place of these."""
COLOURS = (BLUE, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = "osD^vPX*"
SMALL = 7.5
"""The size of the smallest letters, in points of `Room.width`; nothing that a page shows of them is below 11 pixels."""
SVG = "{http://www.w3.org/2000/svg}"
_PLACES, _DECIMALS = {"d", "x", "y", "transform"}, re.compile(r"\d+\.\d{2,}")
_TELLS = "tells: "  # how the identity of a mark begins that tells its numbers


@dataclass(frozen=True)
class Room:
    """How much room a figure has."""

    width: float  # inches
    across: int  # panels in a row, where they are small
    ticks: int  # numbers along an axis
    name: int  # letters of a name beside a panel
    title: int  # letters of a panel's title
    columns: int  # of a grid of numbers; more are broken into parts, so that numbers keep their letters


PAGE = Room(6.4, 2, 5, 26, 46, 5)
PHONE = Room(3.2, 1, 3, 17, 22, 4)

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


def render(draw: Callable[[Room], Figure], kind: ImageFormat, room: Room = PAGE) -> bytes:
    """A figure as the bytes of a file; the marks of an SVG tell their numbers as titles."""
    with _look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(Glyph|onstrained|ight layout).*")  # letters that no font has
        out = io.BytesIO()
        drawn = draw(room)
        drawn.savefig(out, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return _telling(out.getvalue()) if kind == "svg" else out.getvalue()


def _telling(svg: bytes) -> bytes:
    """The same in fewer letters, and with what the identities of its marks tell as their titles."""
    for prefix, space in (("", "http://www.w3.org/2000/svg"), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        if len(element):
            element.text = None  # indentation
        element.tail = None
        for name in _PLACES & element.attrib.keys():
            shorter = _DECIMALS.sub(lambda number: f"{float(number[0]):.1f}", element.attrib[name])
            element.attrib[name] = " ".join(shorter.split())
        if element.attrib.get("id", "").startswith(_TELLS):
            title = ElementTree.Element(f"{SVG}title")
            title.text = element.attrib.pop("id").removeprefix(_TELLS)
            element.insert(0, title)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


@contextmanager
def _look() -> Iterator[None]:
    import matplotlib.style

    with matplotlib.style.context(["default", _LOOK]):
        yield


def new_figure(room: Room, height: float) -> Figure:
    """An empty figure, so many inches high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(room.width, height), layout="constrained")


class Look(TypedDict):
    """What matplotlib takes to draw a series unlike the others."""

    color: str
    marker: str


def look_of(number: int) -> Look:
    """The look of a series by its number."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def legend(figure: Figure, axis: Axes, series: Mapping[int, str], room: Room) -> None:
    """Name series, given by their numbers, on top of a figure, as many in a row as fit."""
    handles = [axis.plot([], [], linestyle="", markersize=4, **look_of(number))[0] for number in series]
    names = told_apart([*series.values()], LEGEND)
    figure.legend(handles, names, loc="outside upper left", ncols=_across(names, room))


LEGEND = 36
"""Letters of a name in a legend."""


def legend_height(series: Sequence[str], room: Room) -> float:
    """Inches that a legend of these names takes."""
    return 0.1 + 0.17 * math.ceil(len(series) / _across(told_apart(series, LEGEND), room))


def _across(names: Sequence[str], room: Room) -> int:
    return max(1, min(6, int(14 * room.width) // (max(map(len, names), default=0) + 5)))


def tells(text: str) -> str:
    """The identity of a mark that tells this."""
    return _TELLS + plain(text)


def folded(text: str, room: Room) -> str:
    """A label below an axis, on as many lines as it takes."""
    return textwrap.fill(plain(text), 2 * room.name)


def told_apart(texts: Sequence[str], longest: int) -> list[str]:
    """Each shortened; of those that would read the same, the beginning and what they differ in."""
    whole = [plain(text) for text in texts]
    alike: dict[str, set[str]] = defaultdict(set)
    for text in whole:
        alike[short(text, longest)].add(text)
    shown = {text: first for first, mine in alike.items() for text in mine}
    for mine in alike.values():
        if len(mine) > 1 and longest > 6:
            same = next(n for n, letters in enumerate(zip_longest(*mine)) if len(set(letters)) > 1)
            ends = told_apart([text[same:] for text in mine], longest * 2 // 3)
            shown |= {t: f"{t[: longest - 1 - len(end)]}…{end}" for t, end in zip(mine, ends, strict=True)}
    return [shown[text] for text in whole]


def short(text: str, longest: int) -> str:
    """The beginning of a text of more than so many letters."""
    text = plain(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
