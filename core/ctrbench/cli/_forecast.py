"""`ctrbench run --dry-run`: what would run, what the store already holds, and how long the rest may take."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import click

from ctrbench import plan, tasks
from ctrbench.artefacts import Artefacts
from ctrbench.cli._common import echo_table
from ctrbench.errors import UserError
from ctrbench.interfaces import Missing
from ctrbench.jobs import Compute, key
from ctrbench.plan import Task
from ctrbench.registry import Registry
from ctrbench.results import TaskResult
from ctrbench.run import Again, needed_again
from ctrbench.store import Store
from ctrbench.suite import Suite


def show(suite: Suite, registry: Registry, compute: Compute, store: str, timeout: float | None, again: Again) -> None:
    """Print the forecast of a run; nothing is downloaded, stored or trained."""
    results = _existing(store)
    chosen, left_out = plan.choose_datasets(suite, registry, download=True)
    loaded = {}
    for dataset in chosen:
        state = dataset.plugin.availability()
        if isinstance(state, Missing):
            left_out.append(
                f"{dataset.label}: not at hand, so its part is not forecast; `run` downloads it: {state.reason}"
            )
            continue
        task = plan.data_task(dataset, suite, timeout)
        loaded[task.id] = (dataset, _load(task, results))
    grid = plan.grid(suite, registry, loaded, compute, timeout)
    states = _states(grid.tasks, results, again)
    known = results.seconds_by_plugin() if results else {}
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, task in grid.tasks.items():
        groups[task.kind, task.plugin].append(states[name])
    rows, total = [], 0.0
    for (kind, plugin), found in groups.items():
        runs, each = found.count("run"), known.get((kind, plugin))
        total += runs * (each or 0)
        seconds = f"{each:.1f} s" if each is not None else "not known"
        rows.append([kind, plugin, str(len(found)), str(len(found) - runs), str(runs), seconds if runs else ""])
    echo_table(rows, ["task", "plug-in", "in all", "in the store", "to run", "each, from earlier runs"])
    scenarios = len({cell.scenario for cell in grid.cells})
    click.echo(f"\n{len(grid.cells)} cells, {scenarios} scenarios, {suite.repeats} repeats; {len(grid.tasks)} tasks, "
               f"{list(states.values()).count('run')} to run, {total:.0f} s of work as far as known")  # fmt: skip
    for pool in dict.fromkeys((p.generator, p.same_as) for p in grid.pools if p.same_as):
        click.echo(f"{pool[0]} equals {pool[1]} on this data and shares its pool")
    for reason in left_out:
        click.echo(f"left out: {reason}")


def _existing(store: str) -> Store | None:
    try:
        return Store.open(store, create=False)
    except UserError:
        if Path(store).exists() or "://" in store:
            raise
        return None


def _load(task: Task, results: Store | None) -> TaskResult:
    """A data set's result from the store, or by loading it without keeping it."""
    job = task.job({})
    found = results.find(key(job)) if results else None
    if found is None or not found.ok:
        with tempfile.TemporaryDirectory() as folder:
            found = tasks.perform(job, tasks.Workplace(Artefacts(Path(folder)), Path(folder)))
    if not found.ok:
        raise UserError(found.reason if found.users_mistake else found.describe())
    return found


def _states(graph: dict[str, Task], results: Store | None, again: Again) -> dict[str, str]:
    """Of each task, whether its result is stored or it would run; what follows a task that runs, runs."""
    done: dict[str, TaskResult] = {}
    states = {}
    for name, task in graph.items():
        known = all(before in done for before in task.after)
        blocked = known and any(not done[before].ok for before in task.after)
        found = None
        if blocked:
            found = next(done[before] for before in task.after if not done[before].ok)
        elif known and results:
            found = results.find(key(task.job(done)))
        if found is None or (not blocked and needed_again(found, again, task.timeout)):
            states[name] = "run"
        else:
            states[name] = "stored"
            done[name] = found
    return states
