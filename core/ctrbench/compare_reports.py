"""Writes a comparison down: as Markdown for people, as JUnit XML for the service that runs the checks.

In: a `Comparison`. Out: text. Whatever a plug-in or a file says is escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from xml.etree import ElementTree

from ctrbench.compare import DOUBT, EXCLUDED, Comparison, Finding, Shift, Verdict
from ctrbench.snapshot import COSTS, Snapshot
from ctrbench.text import counted, plain
from ctrbench.text import markdown as safe

MARKDOWN = re.compile(b"## ctrbench compare: ")
JUNIT = re.compile(rb'<\?xml[^>]*>\s*<testsuites[^>]*>\s*<testsuite name="ctrbench compare"')
"""How the reports begin: what begins otherwise is somebody else's file."""

_ORDER = (Verdict.REGRESSION, Verdict.THIN, Verdict.FINE)
_HEADS = {
    Verdict.FINE: "no regression",
    Verdict.REGRESSION: "worse than the baseline",
    Verdict.THIN: "the evidence is too thin to tell",
}


def markdown(comparison: Comparison) -> str:
    """A summary: what was asked, each answer, the cells that moved most, and what to know beside them."""
    findings = sorted(comparison.findings, key=lambda finding: _ORDER.index(finding.verdict))
    parts = [
        f"## ctrbench compare: {_HEADS[comparison.verdict]}",
        f"Baseline: {_who(comparison.baseline)}  \nHEAD: {_who(comparison.head)}",
        _table(
            ("metric", "of", "baseline", "HEAD", "difference", "interval", "margin", "verdict"),
            [_row(finding) for finding in findings],
        ),
    ]
    reasons = [f"- {safe(f'{f.metric}, {f.subject}: {f.reason}')}" for f in findings if f.reason]
    if reasons:
        parts.append("\n".join(reasons))
    if comparison.shifts:
        rows = [_shift(shift) for shift in comparison.shifts]
        parts.append("Cells and pools that moved most to the bad side (each by itself is mostly noise):")
        parts.append(_table(("metric", "where", "baseline", "HEAD", "margins worse"), rows))
    notes = [
        f"{counted(len(findings), 'question')}. A regression is an interval wholly beyond the margin; fine is one that "
        f"excludes {EXCLUDED:g} margins. Its end on the good side has the level {comparison.level:.2g} (one-sided), "
        f"the other {DOUBT:g}. Differences of costs are ratios.",
        *map(safe, comparison.notes),
    ]
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def junit(comparison: Comparison) -> str:
    """A test case for each question, its class the metric: a regression has failed, thin evidence is an error."""
    count = {verdict: sum(f.verdict is verdict for f in comparison.findings) for verdict in Verdict}
    totals = {
        "tests": str(len(comparison.findings)),
        "failures": str(count[Verdict.REGRESSION]),
        "errors": str(count[Verdict.THIN]),
    }
    root = ElementTree.Element("testsuites", totals)
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(comparison.head.started))
    more = {"skipped": "0", "time": "0", "timestamp": began, "hostname": "ctrbench"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": "ctrbench compare", **totals, **more})
    for finding in comparison.findings:
        name, metric = plain(finding.subject), plain(finding.metric)
        case = ElementTree.SubElement(suite, "testcase", {"classname": metric, "name": name, "time": "0"})
        if finding.verdict is not Verdict.FINE:
            tag = "failure" if finding.verdict is Verdict.REGRESSION else "error"
            message = plain(_sentence(finding))
            ElementTree.SubElement(case, tag, {"message": message, "type": str(finding.verdict)}).text = message
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _who(snapshot: Snapshot) -> str:
    made = time.strftime("%Y-%m-%d", time.gmtime(snapshot.started))
    seeds = f"suite {snapshot.suite}, seed {snapshot.seed}, {counted(snapshot.repeats, 'repeat')}"
    budget = "" if snapshot.budget == 1 else f", budget {snapshot.budget:g}"
    git = snapshot.environments[-1].get("git") if snapshot.environments else ""
    commit = f", commit {git}" if git else ""
    return safe(f"run {snapshot.run} of {made} ({seeds}{budget}{commit})")


def _row(finding: Finding) -> list[str]:
    verdict = safe(str(finding.verdict))
    return [
        safe(finding.metric),
        safe(f"{finding.subject} ({finding.places})"),
        _number(finding.baseline),
        _number(finding.head),
        _difference(finding.metric, finding.difference),
        " … ".join(_difference(finding.metric, end) for end in finding.interval) if finding.interval else "—",
        _difference(finding.metric, finding.margin).lstrip("+"),
        verdict if finding.verdict is Verdict.FINE else f"**{verdict}**",
    ]


def _shift(shift: Shift) -> list[str]:
    where = safe(str(shift.key))
    return [safe(shift.metric), where, _number(shift.baseline), _number(shift.head), f"{shift.margins:+.2f}"]


def _sentence(finding: Finding) -> str:
    if finding.difference is None:
        return f"{finding.metric}, {finding.subject}: {finding.reason}"
    said = (
        f"{finding.metric}, {finding.subject}: {_number(finding.baseline)} → {_number(finding.head)}, "
        f"difference {_difference(finding.metric, finding.difference)}"
    )
    if finding.interval:
        low, high = (_difference(finding.metric, end) for end in finding.interval)
        said += f" ({low} … {high})"
    said += f", margin {_difference(finding.metric, finding.margin).lstrip('+')}"
    return f"{said}; {finding.reason}" if finding.reason else said


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.5g}"


def _difference(metric: str, value: float | None) -> str:
    if value is None:
        return "—"
    return f"×{value:.3g}" if metric in COSTS else f"{value:+.3g}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, "github", disable_numparse=True)
