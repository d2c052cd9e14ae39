"""Why each task of a plan would run, or would not: for `ctrbench run --dry-run`.

In: a graph of tasks and a store. Out: a `Reason` for each task, and lines that sum them up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import click

from ctrbench.again import Earlier
from ctrbench.driver import Redo, why_again
from ctrbench.jobs import key
from ctrbench.plan import Task
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.store import Store
from ctrbench.text import counted, plain

_SHOWN = 3  # so many tasks are named for each reason


@dataclass(frozen=True)
class Reason:
    """Whether a task would run, and why; no words for a good result that is stored."""

    runs: bool
    why: str = ""


def reasons(graph: Mapping[str, Task], store: Store | None, redo: Redo) -> dict[str, Reason]:
    """Of each task, whether it would run and why; what reads the result of a task that runs may run too."""
    earlier = Earlier(store)
    done: dict[str, TaskResult] = {}
    found: dict[str, Reason] = {}
    for name, task in graph.items():
        blocker = next((done[before] for before in task.after if before in done and not done[before].ok), None)
        if blocker is not None:
            done[name], found[name] = blocker, Reason(False)
        elif any(before not in done for before in task.after):
            found[name] = Reason(True, "what it reads is made again" if earlier.knows(task) else "no result yet")
        else:
            job = task.job(done)
            if job.plugin.unsaid:
                done[name] = TaskResult(Status.FAILED, task.plugin, Stage.PLAN, job.plugin.unsaid)
                found[name] = Reason(False, done[name].describe())
                continue
            stored = store.find(key(job)) if store else None
            found[name] = (
                _reason(stored, redo, task)
                if stored
                else Reason(True, str(earlier.change(task, job) or "no result yet"))
            )
            if stored and not found[name].runs:
                done[name] = stored
    return found


def echo(found: Mapping[str, Reason], *, verbose: bool) -> None:
    """A line for each reason, with the tasks that have it: a few of them, or all."""
    groups: dict[Reason, list[str]] = defaultdict(list)
    for name, reason in found.items():
        if reason.why:
            groups[reason].append(name)
    for reason, names in sorted(groups.items(), key=lambda group: not group[0].runs):
        head = f"{'runs' if reason.runs else 'does not run'}: {reason.why}: {counted(len(names), 'task')}"
        if verbose:
            click.echo("\n  ".join(plain(text) for text in [head, *names]))
        else:
            more = f" and {len(names) - _SHOWN} more (--verbose)" if len(names) > _SHOWN else ""
            click.echo(plain(f"{head}: {', '.join(names[:_SHOWN])}{more}"))


def _reason(stored: TaskResult, redo: Redo, task: Task) -> Reason:
    why = why_again(stored, redo, task.limits)
    if why or stored.ok:
        return Reason(bool(why), why)
    return Reason(False, f"{stored.describe()}; --retry-failed tries what failed")
