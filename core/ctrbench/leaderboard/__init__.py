"""Turns the results of a run into leaderboards: scenarios, generators, doses, shares, slices, privacy, and so on.

In: a `RunResults`. Out: `Board`s, tables of text beside the bare numbers; a reporter prints them. A mean never passes
over a missing value: a cell that failed shows as a footnote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from ctrbench.axes import smaller_shares
from ctrbench.effects import Effects
from ctrbench.leaderboard._axes import doses, shares, slices
from ctrbench.leaderboard._board import Board, Entry, Record
from ctrbench.leaderboard._cost import cost
from ctrbench.leaderboard._gains import generators, scenarios
from ctrbench.leaderboard._over_all import over_all
from ctrbench.leaderboard._part import Part
from ctrbench.leaderboard._pools import details, fidelity, privacy
from ctrbench.store.runs import RunResults

__all__ = ["DEFAULT_VIEWS", "VIEWS", "Board", "Entry", "Record", "boards", "remarks"]

_MAKERS: dict[str, Callable[[Part], list[Board]]] = {
    "scenarios": scenarios,
    "generators": generators,
    "doses": doses,
    "shares": shares,
    "slices": slices,
    "privacy": privacy,
    "fidelity": fidelity,
    "cost": cost,
    "details": details,
}
VIEWS = tuple(_MAKERS)
"""What can be shown of a run, in the order in which all of it is."""

DEFAULT_VIEWS = tuple(view for view in VIEWS if view != "details")
"""The details of the metrics of synthetic rows fill screens: they are shown where somebody asks for them."""


def boards(results: RunResults, views: Iterable[str] = DEFAULT_VIEWS, metric: str = "") -> list[Board]:
    """The leaderboards of a run; `metric` names the prediction metric, by default the first of the run."""
    metric = metric or results.info.leading_metric
    parts = [Part(Effects(results, dataset, metric)) for dataset in results.info.datasets]
    made: list[Board] = []
    for view in views:
        for part in parts:
            made += _MAKERS[view](part)
        if view == "generators":
            smaller = smaller_shares(results.info.datasets)
            made += over_all([part for part in parts if part.dataset not in smaller], smaller)
    for board in made:
        board.records = [record | {"budget": results.info.budget} for record in board.records]
    return made


def remarks(results: RunResults) -> list[str]:
    """What holds for all tables of a run: how it was made, and what is missing from it."""
    info = results.info
    versions = _merged(environment.libraries for environment in results.machines)
    lines = [
        f"run {results.run}: suite {info.suite}, seed {info.seed}, {info.repeated}, "
        f"ctrbench {versions.get('ctrbench', '-')}, torch {versions.get('torch', '-')}"
    ]
    if info.budget != 1:
        lines.append(f"budget {info.budget:g}: every epoch and step count was multiplied by it; not the full settings")
    if 0 < info.repeats < results.asked_repeats:
        lines.append(
            f"the run did not finish: of its {results.asked_repeats} repeats the first {info.repeats} are complete "
            "and shown; the same command resumes it"
        )
    elif results.finished is None:
        lines.append("the run did not finish: what is missing has not been run yet; the same command resumes it")
    mixed = [name for name, found in versions.items() if "," in found]
    if mixed:
        lines.append(
            "results of different versions stand side by side: " + "; ".join(f"{n} {versions[n]}" for n in mixed)
        )
    for name, data in info.datasets.items():
        rows = ", ".join(f"{split} {count:,}" for split, count in data.rows.items())
        lines.append(f"data {name}: fingerprint {data.fingerprint[:12]}, rows {rows}")
        lines += [f"data {name}: {note}" for note in data.notes]
    lines += [f"left out: {reason}" for reason in info.left_out]
    lines += [f"data set that could not be loaded: {error}" for error in info.failed_data]
    lines += [f"broken plug-in: {error}" for error in info.broken]
    return lines


def _merged(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """For each library all its versions, in the order of their appearance."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for each in versions:
        for name, version in each.items():
            found[name][version] = None
    return {name: ", ".join(all_) for name, all_ in found.items()}
