"""One page of HTML that tells a run: it opens offline, asks nothing of any network, and is whole without its script.

In: a `RunResults`. Out: the page as text, the same for the same results. Whatever a plug-in or a file says is escaped;
the one script that may run is our own, whose digest is in the page's policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ctrbench import findings, leaderboard, verdict
from ctrbench.effects import Effects
from ctrbench.failures import failures
from ctrbench.interfaces import MethodRole
from ctrbench.report import canvas, published, tables
from ctrbench.report.pictures import NAMES, Picture, pictures
from ctrbench.results import Json, Status
from ctrbench.store.runs import RunResults
from ctrbench.text import plain, rounded, signed

if TYPE_CHECKING:
    from markupsafe import Markup

_LINK = "{http://www.w3.org/1999/xlink}href"
_THEMED = {
    canvas.INK: "var(--ink)",
    canvas.GRID: "var(--grid)",
    canvas.PAPER: "var(--paper)",
    canvas.BLUE: "var(--blue)",
}


def page(results: RunResults, metric: str = "") -> str:
    """The report of a run; `metric` names the prediction metric, by default the first of the run."""
    metric = metric or results.info.leading_metric
    boards = leaderboard.boards(results, leaderboard.VIEWS, metric)
    names = list(results.info.datasets)
    return filled(
        "report.html",
        results=results,
        info=results.info,
        started=clock(results.started),
        finished=None if results.finished is None else clock(results.finished),
        ended=_ended(results),
        parts=[_part(Effects(results, name, metric), number) for number, name in enumerate(names)],
        boards={name: [board for board in boards if board.dataset == name] for name in names},
        overall=[board for board in boards if board.dataset not in names],
        failures=[failure.to_publish for failure in failures(results)],
        remarks=leaderboard.remarks(results),
        scenarios=[(name, each.help) for name, each in results.info.scenarios.items()],
        environments=[(f"Environment of run {each.run}", _facts(asdict(each))) for each in results.machines],
        inline=_inline,
    )


def filled(template: str, **values: Any) -> str:
    """A page from one of the templates beside this module, with the style and the script that all of them share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("ctrbench.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    style, script = (files("ctrbench.report").joinpath(name).read_text(encoding="utf-8") for name in _SHARED)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shared = {"style": Markup(style), "script": Markup(script), "digest": digest}  # our own files
    return environment.get_template(template).render(**shared, grids=tables.grids, of_board=tables.of_board, **values)


_SHARED = ("page.css", "page.js")


def _part(effects: Effects, number: int) -> dict[str, Any]:
    """What the template needs of one data set."""
    judged = verdict.verdict(effects) if effects.better != "neither" and effects.metric else None
    return {
        "id": f"data-{number}",
        "effects": effects,
        "verdict": judged,
        "numbers": _numbers(judged) if judged else [],
        "said": _said(judged) if judged else [],
        "leading": [_leading(each) for each in judged.leaders] if judged else [],
        "headline": findings.headline(effects),
        "findings": findings.findings(effects),
        "published": published.compared(effects),
        "facts": _facts(asdict(effects.results.info.datasets[effects.dataset])),
        "pictures": {picture.name: picture for picture in pictures(effects, NAMES)},
    }


def _numbers(judged: verdict.Verdict) -> list[tuple[str, str, str]]:
    """The verdict in numbers: a name, a number, and what it stands on."""
    best, against = judged.best, judged.against_control
    if best is None:
        return []
    mine = next(each for each in judged.generators if each.generator == best.generator)
    shown = [(f"Δ{judged.metric} of the best", best, f"{best.generator} in {best.scenario}")]
    if against:
        shown.append(("beside the best control", against, f"{against.generator or 'no pool'} in {against.scenario}"))
    told = [(name, signed(claim.mean), f"{_range(claim)}; {where}") for name, claim, where in shown]
    flags = f"{len(mine.flagged)} of {mine.judged}" if mine.judged else "—"
    none = "none, which is no proof" if mine.judged else "none gave a verdict"
    told.append(("privacy metrics that flag it", flags, ", ".join(mine.flagged) or none))
    if mine.seconds is not None:
        told.append(("to make a pool", f"{rounded(mine.seconds, 3)} s", "fit and sampling"))
    return told


def _range(claim: verdict.Claim) -> str:
    """The ends of a claim's interval."""
    return " to ".join(map(signed, claim.interval or ())) or "no interval"


def _said(judged: verdict.Verdict) -> list[tuple[str, list[list[str]]]]:
    """A table of what is said for candidates, and one for controls."""
    return [
        (f"{role.value.capitalize()}s", [_row(each) for each in judged.generators if each.role is role])
        for role in MethodRole
    ]


def _row(one: verdict.GeneratorVerdict) -> list[str]:
    """A generator's row in the table of verdicts: what is said of it, and what a pool takes."""
    return [*row_of(one), "—" if one.seconds is None else rounded(one.seconds, 3)]


def row_of(one: verdict.GeneratorVerdict) -> list[str]:
    """What is said of a generator, where it does best, and how many privacy metrics flag it."""
    flags = f"{len(one.flagged)} of {one.judged}" if one.judged else "—"
    return [one.generator, one.says, difference(one.best), one.best.scenario if one.best else "—", flags]


def difference(claim: verdict.Claim | None) -> str:
    """A mean difference with half of its interval, where it has one."""
    if claim is None:
        return "—"
    return signed(claim.mean) + ("" if claim.high is None else f" ±{claim.high - claim.mean:.5f}")


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


def clock(seconds: float) -> str:
    """A moment as a reader has it."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC"


def _inline(picture: Picture, identity: str) -> Markup:
    """A picture as elements of the page, for wide windows and for phones."""
    from markupsafe import Markup

    drawn = (("wide", canvas.PAGE), ("narrow", canvas.PHONE))
    return Markup("\n").join(_element(picture, f"{identity}-{name}", name, room) for name, room in drawn)


def _element(picture: Picture, identity: str, name: str, room: canvas.Room) -> Markup:
    """A picture drawn for a room: named for those who do not see it, in the page's colours."""
    from markupsafe import Markup

    root = ElementTree.fromstring(picture.render("svg", room))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.tag == f"{canvas.SVG}style":
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(value for e in root.iter() for value in e.attrib.values())))
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            if key == "id":
                element.attrib[key] = f"{identity}-{value}"
            elif key == _LINK or "url(#" in value:
                element.attrib[key] = value.replace("#", f"#{identity}-", 1)
            else:
                for colour, variable in _THEMED.items():
                    value = value.replace(colour, variable)
                element.attrib[key] = value
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "class": name, "aria-label": plain(f"{picture.title}. {picture.says}")}
    return Markup(ElementTree.tostring(root, encoding="unicode"))
