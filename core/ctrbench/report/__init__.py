"""One page of HTML that tells a run: it opens offline, runs no script and asks nothing of any network.

In: a `RunResults`. Out: the page as text, the same for the same results. Whatever a plug-in or a file says is escaped.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ctrbench import findings, leaderboard, verdict
from ctrbench.effects import Effects
from ctrbench.report import drawing, published
from ctrbench.report.pictures import NAMES, Picture, pictures
from ctrbench.results import Json, Status
from ctrbench.store.store import RunResults
from ctrbench.text import plain

if TYPE_CHECKING:
    from markupsafe import Markup

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_THEMED = {drawing.INK: "var(--ink)", drawing.GRID: "var(--grid)", drawing.PAPER: "var(--paper)"}


def page(results: RunResults, metric: str = "") -> str:
    """The report of a run; `metric` names the prediction metric, by default the first of the run."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    metric = metric or results.info.leading_metric
    loader = PackageLoader("ctrbench.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    boards = leaderboard.boards(results, leaderboard.VIEWS, metric)
    names = list(results.info.datasets)
    return environment.get_template("template.html").render(
        results=results,
        info=results.info,
        started=_clock(results.started),
        finished=None if results.finished is None else _clock(results.finished),
        ended=_ended(results),
        parts=[_part(Effects(results, name, metric), number) for number, name in enumerate(names)],
        boards={name: [board for board in boards if board.dataset == name] for name in names},
        overall=[board for board in boards if board.dataset not in names],
        failures=leaderboard.failures(results),
        remarks=leaderboard.remarks(results),
        scenarios=[(name, each.help) for name, each in results.info.scenarios.items()],
        environments=[(f"Environment of run {each.run}", _facts(asdict(each))) for each in results.environments],
        look=_look,
        inline=_inline,
    )


def _part(effects: Effects, number: int) -> dict[str, Any]:
    """What the template needs of one data set."""
    judged = verdict.verdict(effects) if effects.better != "neither" and effects.metric else None
    return {
        "id": f"data-{number}",
        "effects": effects,
        "verdict": judged,
        "said": [_said(each) for each in judged.generators] if judged else [],
        "leading": [_leading(each) for each in judged.leaders] if judged else [],
        "headline": findings.headline(effects),
        "findings": findings.findings(effects),
        "published": published.compared(effects),
        "facts": _facts(asdict(effects.results.info.datasets[effects.dataset])),
        "pictures": {picture.name: picture for picture in pictures(effects, NAMES)},
    }


def _said(one: verdict.GeneratorVerdict) -> list[str]:
    """A generator's row in the table of verdicts."""
    best = one.best
    ends = (best.low, best.high) if best else (None, None)
    interval = " to ".join(verdict.signed(end, 5) for end in ends if end is not None) or "—"
    flags = f"{len(one.flagged)} of {one.judged}" if one.judged else "—"
    seconds = "—" if one.seconds is None else f"{one.seconds:,.3g}"
    mean = verdict.signed(best.mean, 5) if best else "—"
    return [one.generator, str(one.role), one.says, mean, interval, best.scenario if best else "—", flags, seconds]


def _leading(place: verdict.Leader) -> list[str]:
    """A leading place's row: its mean scores."""
    scores = ("—" if score is None else f"{score:.5f}" for score in place.scores)
    return [place.generator or "none", place.scenario, *scores]


def _facts(described: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Names and values, a row each, those of a mapping in it too."""
    rows: list[tuple[str, str]] = []
    for name, value in described.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}: {inner}", str(each)) for inner, each in value.items()]
        elif name != "published" and value not in ("", None, [], (), {}):
            rows.append((name, "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return rows


def _ended(results: RunResults) -> list[str]:
    """How many cells ended in which way."""
    found = Counter(cell.result.status for cell in results.cells)
    return [f"{found[status]:,} {status}" for status in Status if found[status]]


def _shown(value: Any) -> Any:
    """What the template prints: texts on one line, without controls."""
    return plain(value) if type(value) is str else value


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC"


def _look(text: str) -> Markup:
    """How a place of a table stands: numbers to the right, long texts on several lines."""
    from markupsafe import Markup

    if re.match(r"[\d+−-]", text):
        return Markup(' class="n"')
    return Markup(' class="long"' if len(text) > 40 else "")


def _inline(picture: Picture, identity: str) -> Markup:
    """A picture as an element of the page: named for those who do not see it, in the page's colours."""
    from markupsafe import Markup

    for prefix, space in (("", "http://www.w3.org/2000/svg"), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, space)
    root = ElementTree.fromstring(picture.render("svg"))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.tag == f"{_SVG}style":
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(value for e in root.iter() for value in e.attrib.values())))
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
        for name, value in element.attrib.items():
            if name == "id":
                element.attrib[name] = f"{identity}-{value}"
            elif name == _LINK or "url(#" in value:
                element.attrib[name] = value.replace("#", f"#{identity}-", 1)
            else:
                for colour, variable in _THEMED.items():
                    value = value.replace(colour, variable)
                element.attrib[name] = value
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": plain(f"{picture.title}. {picture.says}")}
    return Markup(ElementTree.tostring(root, encoding="unicode"))
