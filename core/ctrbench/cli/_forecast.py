"""`ctrbench run --dry-run`: what would run, what the store already holds, and how long the rest may take."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import click

from ctrbench import choices, loading, plan
from ctrbench.choices import Chosen
from ctrbench.cli._common import echo_table
from ctrbench.cli._reasons import Reason, echo, reasons
from ctrbench.costs import Costs, warnings
from ctrbench.errors import UserError
from ctrbench.ids import TaskKind
from ctrbench.interfaces import Dataset, Missing
from ctrbench.jobs import key
from ctrbench.plan import Plan, Task
from ctrbench.progress import duration
from ctrbench.results import TaskResult
from ctrbench.session import RunRequest
from ctrbench.store.database import NoStoreError
from ctrbench.store.store import Store
from ctrbench.suite import Suite
from ctrbench.text import counted, plain


def show(request: RunRequest, store: str, slots: int, verbose: bool) -> None:
    """Print the forecast of a run; nothing is downloaded, stored or trained."""
    suite, made = request.suite, _forecast(request, store)
    _echo_tasks({**made.loading, **made.grid.tasks}, made.why, made.costs, slots)
    _echo_cells(made.grid, suite)
    echo(made.why, verbose=verbose)
    if suite.budget != 1:
        click.echo(f"budget {suite.budget:g}: every epoch and step count is multiplied by it")
    for warning in warnings(made.grid.tasks.values(), made.costs):
        click.echo(plain(warning))
    for reason in made.left_out:
        click.echo(plain(f"left out: {reason}"))


def confirm(request: RunRequest, store: str, slots: int) -> bool:
    """Whether to go on: where the run is known to take over an hour, whoever sits at the terminal is asked."""
    made = _forecast(request, store)
    seconds, unknown = spans(made.grid.tasks, made.why, made.costs)
    wall = seconds / slots
    if wall <= LONG:
        return True
    budget = request.suite.budget * LONG / wall
    shown = f"{budget:.1g}" if budget < 0.1 else f"{int(budget * 10) / 10:g}"
    more = f", and {unknown} pools and trainings whose cost is not known" if unknown else ""
    click.echo(f"this will take about {duration(wall)} on {counted(slots, 'worker')}{more}", err=True)
    click.echo(f"`--budget {shown}` scales epochs and steps to about an hour, `--dry-run` has the details", err=True)
    return click.confirm("start?", err=True)


LONG = 3600.0
"""Seconds of a run beyond which it is asked for confirmation."""


@dataclass(frozen=True)
class _Forecast:
    """What a run would do, and what is known of its cost."""

    loading: Mapping[str, Task]  # the tasks before the grid's: of each data set one
    grid: Plan
    why: Mapping[str, Reason]
    costs: Costs
    left_out: list[str]


def spans(graph: Mapping[str, Task], why: Mapping[str, Reason], costs: Costs) -> tuple[float, int]:
    """Seconds of work that are known to lie ahead, and how many pools and trainings nobody knows the cost of."""
    told = [(task.kind, costs.of(task)) for name, task in graph.items() if why[name].runs]
    unknown = sum(cost is None and kind is not TaskKind.SCORE for kind, cost in told)
    return sum(cost.seconds for _, cost in told if cost), unknown


def _forecast(request: RunRequest, store: str) -> _Forecast:
    suite, limits = request.suite, request.limits
    with _existing(store) as results:
        chosen, left_out = choices.choose_datasets(suite, request.registry, may_download=True)
        loaded, tasks = [], {}
        for dataset in chosen:
            state = choices.availability(dataset)
            if isinstance(state, Missing):
                fetch = shlex.quote(dataset.label)
                left_out.append(
                    f"-d {dataset.label}: nothing can be forecast before it is at hand, and a dry run downloads "
                    f"nothing: `ctrbench data fetch {fetch}` does ({state.reason})"
                )
                continue
            task = plan.data_task(dataset, suite, limits)
            tasks[task.name] = task
            loaded.append((dataset, _load(dataset, task, results)))
        if not loaded:
            raise UserError("; ".join(left_out))
        grid = plan.grid(
            suite, request.registry, loaded, request.compute, limits, results.artefacts if results else None
        )
        why = reasons({**tasks, **grid.tasks}, results, request.redo)
        costs = Costs(results.spent() if results else {}, request.compute.threads)
    return _Forecast(tasks, grid, why, costs, left_out)


def _echo_tasks(graph: Mapping[str, Task], why: Mapping[str, Reason], costs: Costs, slots: int) -> None:
    """A line for each plug-in, and what all of it takes together."""
    groups: dict[tuple[TaskKind, str], list[Task]] = defaultdict(list)
    for task in graph.values():
        groups[task.kind, task.cost_key].append(task)
    rows, total, unknown, largest = [], 0.0, 0, 0.0
    for (kind, _), tasks_ in groups.items():
        to_run = [task for task in tasks_ if why[task.name].runs]
        told = [costs.of(task) for task in to_run]
        known = [cost for cost in told if cost is not None]
        seconds = sum(cost.seconds for cost in known)
        memory = max((cost.memory for cost in known), default=0.0)
        total, largest = total + seconds, max(largest, memory)
        unknown += len(told) - len(known) if kind in (TaskKind.POOL, TaskKind.TRAIN) else 0
        rows.append([
            kind, tasks_[0].label, str(len(tasks_)), str(len(to_run)),
            costs.basis(tasks_[0]) if to_run else "",
            duration(seconds / len(known)) if known else "", duration(seconds) if known else "",
            f"{memory / 1e9:.1f} GB" if known else "",
        ])  # fmt: skip
    echo_table(rows, ["task", "plug-in", "in all", "to run", "known from", "each", "together", "memory"])
    click.echo(f"\n{_together(len(graph), sum(why[name].runs for name in graph), unknown, total, largest, slots)}")


def _together(tasks: int, to_run: int, unknown: int, seconds: float, memory: float, slots: int) -> str:
    """What all tasks take, as far as anybody knows: `unknown` pools and trainings were never done."""
    counts = f"{counted(tasks, 'task')}, {to_run:,} to run"
    nobody = f"what {'the' if not seconds else unknown} pools and trainings take is not known before a first run"
    if not seconds:
        return f"{counts}: {nobody}" if unknown else counts
    known = f"{duration(seconds)} of work, about {duration(seconds / slots)} on {counted(slots, 'worker')}"
    return f"{counts}: {known}, at most {memory / 1e9:.1f} GB in one of them" + (f"; {nobody}" if unknown else "")


def _echo_cells(grid: Plan, suite: Suite) -> None:
    """How many cells there are, and which of them share work."""
    trainings = {cell.train for cell in grid.cells}
    scenarios = list(dict.fromkeys(cell.scenario for cell in grid.cells if cell.generator))
    without = list(dict.fromkeys(cell.scenario for cell in grid.cells if not cell.generator))
    generators, models = ({getattr(cell, part) for cell in grid.cells} for part in ("generator", "model"))
    pools = f"{counted(len(generators - {''}), 'generator')} × {counted(len(scenarios), 'scenario')}"
    click.echo(
        f"{counted(len(grid.cells), 'cell')}: ({pools} + {len(without)} without a pool) × "
        f"{counted(len(models), 'model')} × {counted(suite.repeats, 'repeat')}; {counted(len(trainings), 'training')}"
    )
    if scenarios:
        click.echo(
            f"a pool is made once for each generator and repeat, and serves {', '.join(scenarios)} of every model"
        )
    click.echo(f"{', '.join(without)}: trained once for all generators")
    for pool in dict.fromkeys((p.generator, p.same_as) for p in grid.pools if p.same_as):
        click.echo(plain(f"{pool[0]} equals {pool[1]} on this data and shares its pool and trainings"))


@contextmanager
def _existing(store: str) -> Iterator[Store | None]:
    try:
        opened = Store.open(store, create=False)
    except NoStoreError:
        yield None
        return
    with closing(opened):
        yield opened


def _load(dataset: Chosen[Dataset], task: Task, store: Store | None) -> TaskResult:
    """A data set's result from the store, or by loading it without keeping it."""
    job = loading.job_of(task)
    found = store.find(key(job)) if store else None
    if found is None or not found.ok:
        found = loading.load(dataset, job)
    if not found.ok:
        raise loading.mistake(found)
    return found
