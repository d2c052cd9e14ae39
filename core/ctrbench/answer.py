"""Writes what a run answers, as `ctrbench run` ends: the verdict, its board of generators, the leading places.

In: a run. Out: text for a terminal, within its width.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

from ctrbench.interfaces import MethodRole
from ctrbench.results import MetricInfo
from ctrbench.store.runs import RunResults
from ctrbench.text import folds, listed, plain
from ctrbench.verdict import Claim, GeneratorVerdict, Leader, Outcome, Verdict, verdicts

LEAST_WIDTH = 9
"""No column of text is folded to fewer letters."""

MOST_ROWS = 14
"""So many generators have room in the short form of an answer, which is 40 lines of 80 letters at most."""

MOST_CONTROLS = 5
"""So many of them may be controls where candidates need the room."""


def answer(results: RunResults, metric: str = "", *, width: int = 80, colour: bool = False, brief: bool = False) -> str:
    """What a run answers, for a terminal of that width: for each data set the verdict and one board.

    In brief, a board is of the first generators, and there is none where there are several data sets.
    """
    info = results.info
    budget = f", budget {info.budget:g}: not the full settings" if info.budget != 1 else ""
    head = f"run {results.run}: suite {info.suite}, seed {info.seed}, {info.repeated}{budget}"
    if results.finished is None:
        head += "; it did not finish: the same command resumes it"
    found = verdicts(results, metric)
    parts = [text for each in found for text in _answer(each, width, colour, brief)[: 1 if brief and found[1:] else 3]]
    if not found:
        parts = [_wrapped(_no_verdict(info.prediction_metrics, metric or info.leading_metric), width)]
    more = "more: ctrbench leaderboard --view all, ctrbench report"
    return "\n\n".join([*parts, _wrapped(head, width) + "\n" + _wrapped(more, width)]) + "\n"


def _no_verdict(metrics: Mapping[str, MetricInfo], metric: str) -> str:
    """Why a run has none in a metric, and in which it has one."""
    sided = [name for name, told in metrics.items() if told.better != "neither"]
    if not sided:
        return "no verdict: this run has no metric for which higher or lower is better"
    return f"no verdict in {metric}, of which neither more nor less is better; this run has {listed(sided)}"


def _answer(verdict: Verdict, width: int, colour: bool, brief: bool) -> list[str]:
    """The lines of a verdict, its board of generators, and its leading places."""
    lines = "\n".join(_wrapped(plain(line), width) for line in verdict.lines)
    if not verdict.generators:
        return [lines]
    short = _shortened([each.generator for each in verdict.generators])
    controls = [each for each in verdict.generators if each.role is MethodRole.CONTROL]
    candidates = [each for each in verdict.generators if each.role is MethodRole.CANDIDATE]
    if brief:
        candidates = candidates[: max(MOST_ROWS - len(controls), MOST_ROWS - MOST_CONTROLS)]
        controls = controls[: MOST_ROWS - len(candidates)]
    rows = [_row(each, short) for each in candidates]
    rows += [["controls:", "", "", "", "", ""]] if controls and rows else []
    rows += [_row(each, short) for each in controls]
    columns = ["generator", "verdict", f"best Δ{verdict.metric}", "in", "flags", "s"]
    known = any(each.best and each.best.low is not None for each in verdict.generators)
    legend = "± 95 %, for all that was tried; " if known else ""
    legend += "flags: privacy metrics that flag it; s: to make a pool"
    if any(name != label for label, name in short.items()):
        legend += "; labels are shortened"
    if left := len(verdict.generators) - len(candidates) - len(controls):
        legend += f"; {left} more behind them: ctrbench leaderboard --view verdict"
    legend += "".join(f"; {twin} equals {other} here" for twin, other in verdict.equal.items())
    board = f"{_fitted(rows, columns, width)}\n{_wrapped(legend, width)}"
    leaders = _but_third_best(verdict) if brief else verdict.leaders
    leading = [
        [
            plain(
                f"{short.get(each.generator, each.generator)} in {each.scenario}" if each.generator else each.scenario
            ),
            *("—" if score is None else f"{score:.4f}" for score in each.scores),
        ]
        for each in leaders
    ]
    places = _fitted(leading, ["leading", *verdict.leader_metrics], width)
    first, _, rest = lines.partition("\n")
    return [f"\x1b[1m{first}\x1b[0m\n{rest}" if colour else lines, board, places]


def _but_third_best(verdict: Verdict) -> list[Leader]:
    """Original, the two best places, and the best control."""
    control = verdict.against_control and (verdict.against_control.generator, verdict.against_control.scenario)
    rest = [each for each in verdict.leaders[3:] if (each.generator, each.scenario) == control]
    return [*verdict.leaders[:3], *rest]


def _row(said: GeneratorVerdict, short: Mapping[str, str]) -> list[str]:
    """A generator in the board of a verdict."""
    told = said.outcome in (Outcome.HELPS, Outcome.HURTS, Outcome.NO_EFFECT)
    outcome = re.split(r"; |, (?=hurts|seems)", said.says)[0] if told else str(said.outcome)
    outcome = outcome.replace("larger than", ">")
    if said.collapsed:
        beside = outcome.partition(" in ")[0] if said.outcome in (Outcome.HELPS, Outcome.HURTS) else ""
        outcome = ", ".join(filter(None, [beside, "collapsed"]))
    best = said.best
    flags = f"{len(said.flagged)} of {said.judged}" + " !" * bool(said.flagged) if said.judged else "—"
    seconds = "—" if said.seconds is None else _seconds(said.seconds)
    return [
        plain(short[said.generator]), plain(outcome), _difference(best) if best else "—", best.scenario if best else "",
        flags, seconds,
    ]  # fmt: skip


def _seconds(seconds: float) -> str:
    return "< 0.1" if seconds < 0.05 else f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}"


def _difference(claim: Claim) -> str:
    half = "" if claim.high is None else f" ±{claim.high - claim.mean:.4f}"
    return f"{claim.mean:+z.4f}{half}"


def _shortened(labels: Sequence[str]) -> dict[str, str]:
    """Each label without its parameters, where no other begins with the same name."""
    names = [label.partition("[")[0] for label in labels]
    return {label: name if names.count(name) == 1 else label for label, name in zip(labels, names, strict=True)}


def _fitted(rows: Sequence[Sequence[str]], columns: Sequence[str], width: int) -> str:
    """A table within a width: the two first columns are folded as far as need be, and no number ever is."""
    from tabulate import tabulate

    align = ["left" if (place < 2 and len(columns) > 4) or not place else "right" for place in range(len(columns))]
    folded = folds(rows, columns, width, least=LEAST_WIDTH, first=2)
    return tabulate(rows, columns, "simple", disable_numparse=True, colalign=align, maxcolwidths=folded)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(plain(text), width, subsequent_indent="  ", break_on_hyphens=False)
