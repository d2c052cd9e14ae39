"""Writes a comparison down: as Markdown for people, as JUnit XML for the service that runs the checks.

In: a `Comparison`. Out: text. Whatever a plug-in or a file says is escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from xml.etree import ElementTree

from ctrbench.gate.compare import DOUBT, EXCLUDED, SHORTEST, Answer, Comparison, Judgement, Shift
from ctrbench.gate.snapshot import COSTS, Snapshot
from ctrbench.text import counted, plain
from ctrbench.text import markdown as safe

MARKDOWN = re.compile(b"## ctrbench compare: ")
JUNIT = re.compile(rb'<\?xml[^>]*>\s*<testsuites[^>]*>\s*<testsuite name="ctrbench compare"')
"""How the reports begin: what begins otherwise is somebody else's file."""

_ORDER = (Judgement.REGRESSION, Judgement.LOST, Judgement.THIN, Judgement.FINE)
_FAILED = (Judgement.REGRESSION, Judgement.LOST)
_HEADS = {
    Judgement.FINE: "no regression",
    Judgement.REGRESSION: "worse than the baseline",
    Judgement.LOST: "the baseline had what is missing or failed now",
    Judgement.THIN: "the evidence is too thin to tell",
}


def markdown(comparison: Comparison) -> str:
    """A summary: what was asked, each answer, the cells that moved most, and what to know beside them."""
    answers = sorted(comparison.answers, key=lambda answer: _ORDER.index(answer.judgement))
    parts = [
        f"## ctrbench compare: {_HEADS[comparison.judgement]}",
        "  \n".join(map(safe, _runs(comparison))),
        _table(
            ("metric", "of", "baseline", "HEAD", "difference", "interval", "margin", "verdict"),
            [_row(answer) for answer in answers],
        ),
    ]
    reasons = [f"- {safe(f'{f.metric}, {f.subject}: {f.reason}')}" for f in answers if f.reason]
    if reasons:
        parts.append("\n".join(reasons))
    if comparison.shifts:
        rows = [_shift(shift) for shift in comparison.shifts]
        parts.append("Cells and pools that got worse most (each by itself is mostly noise):")
        parts.append(_table(("metric", "where", "baseline", "HEAD", "margins worse"), rows))
    parts.append("\n".join(f"- {note}" for note in [_rule(comparison), *map(safe, comparison.notes)]))
    return "\n\n".join(parts) + "\n"


def junit(comparison: Comparison) -> str:
    """A test case for each question, its class the metric: what is worse or lost failed, thin evidence is an error.

    Which runs these are and what to know beside the answers is the suite's output.
    """
    count = {judgement: sum(f.judgement is judgement for f in comparison.answers) for judgement in Judgement}
    totals = {
        "tests": str(len(comparison.answers)),
        "failures": str(sum(count[judgement] for judgement in _FAILED)),
        "errors": str(count[Judgement.THIN]),
    }
    root = ElementTree.Element("testsuites", totals)
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(comparison.head.started))
    more = {"skipped": "0", "time": "0", "timestamp": began, "hostname": "ctrbench"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": "ctrbench compare", **totals, **more})
    for answer in comparison.answers:
        name, metric = plain(answer.subject), plain(answer.metric)
        case = ElementTree.SubElement(suite, "testcase", {"classname": metric, "name": name, "time": "0"})
        if answer.judgement is not Judgement.FINE:
            tag = "failure" if answer.judgement in _FAILED else "error"
            message = plain(_sentence(answer))
            ElementTree.SubElement(case, tag, {"message": message, "type": str(answer.judgement)}).text = message
    said = [*_runs(comparison), _rule(comparison), *comparison.notes]
    ElementTree.SubElement(suite, "system-out").text = "\n".join(map(plain, said))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _runs(comparison: Comparison) -> tuple[str, str]:
    return f"Baseline: {_who(comparison.baseline)}", f"HEAD: {_who(comparison.head)}"


def _rule(comparison: Comparison) -> str:
    """How the questions were judged."""
    return (
        f"{counted(len(comparison.answers), 'question')}. A regression is an interval wholly beyond the margin; fine "
        f"is one that excludes {EXCLUDED:g} margins. Its end on the good side has the level {comparison.level:.2g} "
        f"(one-sided), the other {DOUBT:g}. Differences of costs are ratios; less than {SHORTEST:g} s counts as "
        f"{SHORTEST:g} s."
    )


def _who(snapshot: Snapshot) -> str:
    made = time.strftime("%Y-%m-%d", time.gmtime(snapshot.started))
    seeds = f"suite {snapshot.suite}, seed {snapshot.seed}, {counted(snapshot.repeats, 'repeat')}"
    budget = "" if snapshot.budget == 1 else f", budget {snapshot.budget:g}"
    git = snapshot.environments[-1].git if snapshot.environments else ""
    commit = f", commit {git}" if git else ""
    return f"run {snapshot.run} of {made} ({seeds}{budget}{commit})"


def _row(answer: Answer) -> list[str]:
    judgement = safe(str(answer.judgement))
    return [
        safe(answer.metric),
        safe(f"{answer.subject} ({answer.places})"),
        _number(answer.baseline),
        _number(answer.head),
        _difference(answer.metric, answer.difference),
        " … ".join(_difference(answer.metric, end) for end in answer.interval) if answer.interval else "—",
        _difference(answer.metric, answer.margin).lstrip("+"),
        judgement if answer.judgement is Judgement.FINE else f"**{judgement}**",
    ]


def _shift(shift: Shift) -> list[str]:
    where = safe(str(shift.key))
    return [safe(shift.metric), where, _number(shift.baseline), _number(shift.head), f"{shift.margins:+.2f}"]


def _sentence(answer: Answer) -> str:
    if answer.difference is None:
        return f"{answer.metric}, {answer.subject}: {answer.reason}"
    said = (
        f"{answer.metric}, {answer.subject}: {_number(answer.baseline)} → {_number(answer.head)}, "
        f"difference {_difference(answer.metric, answer.difference)}"
    )
    if answer.interval:
        low, high = (_difference(answer.metric, end) for end in answer.interval)
        said += f" ({low} … {high})"
    said += f", margin {_difference(answer.metric, answer.margin).lstrip('+')}"
    return f"{said}; {answer.reason}" if answer.reason else said


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.5g}"


def _difference(metric: str, value: float | None) -> str:
    if value is None:
        return "—"
    return f"×{value:.3g}" if metric in COSTS else f"{value + 0.0:+.3g}"  # + 0.0: no zero is negative


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, "github", disable_numparse=True)
