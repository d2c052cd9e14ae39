"""Why a task is done although the store holds a result of its place in a grid.

In: what a store knows of earlier tasks, and a task with its job. Out: what changed since, in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ctrbench.jobs import Job, ingredients
from ctrbench.plan import Task
from ctrbench.results import Json
from ctrbench.store.store import Store

_CHANGES = {
    "revision": "ctrbench itself computes it differently now",
    "source": "the source of {plugin} changed",
    "parameters": "the parameters of {plugin} changed ({parameters})",
    "version": "what it reads has another version",
    "data": "the data are different",
    "pool": "its pool is different",
    "predictions": "its training gave different predictions",
    "valid_predictions": "its training gave different predictions of valid",
    "rankings": "its training gave different rankings",
    "train_click_rate": "the click rate of train is different",
    "scenario": "the scenario changed",
    "shares": "the scenarios need different pools",
    "seed": "the seed is different",
    "model_seed": "the seed is different",
    "draw_seed": "the seed is different",
    "threads": "the number of threads is different",
    "device": "the device is different",
    "ranking": "the queries for rankings are different",
}

_FOLLOWS = ("data", "pool", "predictions", "valid_predictions", "rankings", "train_click_rate", "shares")
"""Changes that have their cause in another task, whose own words tell it."""


@dataclass(frozen=True)
class Change:
    """What makes a task run anew, the run since which that is so, and whether it has its cause in another task."""

    words: str
    since: str = ""
    follows: bool = False

    def __str__(self) -> str:
        return f"{self.words} since {self.since}" if self.since else self.words


class Earlier:
    """What a store knows of earlier tasks in the same places of a grid."""

    def __init__(self, store: Store | None) -> None:
        earlier = store.earlier() if store else []
        self._keys = {each.key for each in earlier}
        self._latest = {each.bookkeeping.position: each for each in earlier if each.bookkeeping.position}

    def knows(self, task: Task) -> bool:
        """Whether there ever was a result for this position."""
        return task.id.position in self._latest

    def change(self, task: Task, job: Job, key: str) -> Change | None:
        """What makes a task run that has no result by that key which could be used; None where it never had one."""
        if key in self._keys:
            return Change("an artefact is lost or damaged")
        if not self.knows(task):
            return None
        latest = self._latest[task.id.position]
        before = latest.bookkeeping.made_from
        now = json.loads(json.dumps(ingredients(job)))
        changed = [name for name in _CHANGES if name in before and before[name] != now.get(name)]
        words = {
            "plugin": task.plugin,
            "parameters": _differences(before.get("parameters"), now["parameters"]),
        }
        told = dict.fromkeys(_CHANGES[name].format(**words) for name in changed[:2])
        follows = bool(changed) and all(name in _FOLLOWS for name in changed)
        return Change(" and ".join(told) or "something changed", latest.run, follows)


def _differences(before: Json, now: Mapping[str, Json]) -> str:
    before = before if isinstance(before, Mapping) else {}
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {before.get(name)} → {now.get(name)}" for name in names[:3])
