"""`ctrbench run --dry-run`: prints what would run, what the store already holds, and how long the rest may take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import click

from ctrbench.cli._common import echo_table
from ctrbench.costs import warnings
from ctrbench.dry_run import Preview, Reason
from ctrbench.errors import RunFailed, UserError
from ctrbench.ids import TaskKind
from ctrbench.plan import Plan, Task
from ctrbench.progress import duration
from ctrbench.running import RunRequest
from ctrbench.suite import Suite
from ctrbench.text import counted, in_bytes, plain

LONG = 3600.0
"""Seconds of a run beyond which it is asked for confirmation."""

_ROUGH = "forecasts are rough: they count every epoch, though models stop early, and leave out evaluation and scores"
_SHOWN = 3  # so many tasks are named for each reason


def show(request: RunRequest, store: str, slots: int, verbose: bool) -> None:
    """Print the forecast of a run; nothing is downloaded, stored or trained."""
    suite, made = request.suite, Preview.of(request, store)
    _echo_tasks(made, slots)
    if made.is_rough:
        click.echo(f"{_ROUGH}; an earlier run tells better")
    _echo_cells(made.plan, suite)
    _echo_reasons(made.why, verbose=verbose)
    if suite.budget != 1:
        click.echo(f"budget {suite.budget:g}: every epoch and step count is multiplied by it")
    for warning in [*warnings(made.tasks.values(), made.costs), *filter(None, [request.loose_limits])]:
        click.echo(plain(warning))
    for reason in made.left_out:
        click.echo(plain(f"left out: {reason}"))


def confirm(request: RunRequest, store: str, slots: int) -> bool:
    """Whether to go on: where the run is known to take over an hour, whoever sits at the terminal is asked."""
    try:
        made = Preview.of(request, store)
    except (UserError, RunFailed):  # nothing is known of data that the run will download; a mistake is its to tell
        return True
    seconds, unknown = made.spans()
    wall = seconds / slots
    if wall <= LONG:
        return True
    budget = request.suite.budget * LONG / wall
    shown = f"{budget:.1g}" if budget < 0.1 else f"{int(budget * 10) / 10:g}"
    more = f", and {unknown} pools and trainings whose cost is not known" if unknown else ""
    rough = f" ({_ROUGH})" if made.is_rough else ""
    click.echo(f"this will take about {duration(wall)} on {counted(slots, 'worker')}{rough}{more}", err=True)
    click.echo(f"`--budget {shown}` scales epochs and steps to about an hour, `--dry-run` has the details", err=True)
    return click.confirm("start?", err=True)


def _echo_tasks(made: Preview, slots: int) -> None:
    """A line for each plug-in, and what all of it takes together."""
    why, costs = made.why, made.costs
    groups: dict[tuple[TaskKind, str], list[Task]] = defaultdict(list)
    for task in made.tasks.values():
        groups[task.kind, task.cost_key].append(task)
    rows, largest = [], 0.0
    for (kind, _), tasks_ in groups.items():
        to_run = [task for task in tasks_ if why[task.name].runs]
        known = [cost for cost in map(costs.of, to_run) if cost is not None]
        seconds = sum(cost.seconds for cost in known)
        memory = max((cost.memory for cost in known), default=0.0)
        largest = max(largest, memory)
        rows.append([
            kind, tasks_[0].label, str(len(tasks_)), str(len(to_run)),
            costs.basis(tasks_[0]) if to_run else "",
            duration(seconds / len(known)) if known else "", duration(seconds) if known else "",
            in_bytes(memory) if known else "",
        ])  # fmt: skip
    echo_table(rows, ["task", "plug-in", "in all", "to run", "known from", "each", "together", "memory"])
    click.echo(f"\n{_together(made, largest, slots)}")


def _together(made: Preview, memory: float, slots: int) -> str:
    """What all tasks take, as far as anybody knows: `unknown` pools and trainings were never done."""
    seconds, unknown = made.spans()
    counts = f"{counted(len(made.tasks), 'task')}, {sum(reason.runs for reason in made.why.values()):,} to run"
    nobody = f"what {'the' if not seconds else unknown} pools and trainings take is not known before a first run"
    if not seconds:
        return f"{counts}: {nobody}" if unknown else counts
    known = f"{duration(seconds)} of work, about {duration(seconds / slots)} on {counted(slots, 'worker')}"
    return f"{counts}: {known}, at most {in_bytes(memory)} in one of them" + (f"; {nobody}" if unknown else "")


def _echo_cells(grid: Plan, suite: Suite) -> None:
    """How many cells there are, and which of them share work."""
    trainings = {cell.train for cell in grid.cells}
    scenarios = list(dict.fromkeys(cell.scenario for cell in grid.cells if cell.generator))
    without = list(dict.fromkeys(cell.scenario for cell in grid.cells if not cell.generator))
    generators, models, datasets = (
        {getattr(cell, part) for cell in grid.cells} for part in ("generator", "model", "dataset")
    )
    made_by = len(generators - {""})
    factors = {
        "model": len(models),
        "repeat": suite.repeats,
        "model seed": suite.model_seeds,
        "data set": len(datasets),
    }
    product = math.prod(factors.values()) * (made_by * len(scenarios) + len(without))
    pools = f"{counted(made_by, 'generator')} × {counted(len(scenarios), 'scenario')} + {len(without)} without a pool"
    others = [counted(n, kind) for kind, n in factors.items() if n > 1 or kind in ("model", "repeat")]
    # on several data sets not every method need apply to each
    of_what = f": {' × '.join([f'({pools})', *others])}" if product == len(grid.cells) else ""
    click.echo(f"{counted(len(grid.cells), 'cell')}{of_what}; {counted(len(trainings), 'training')}")
    if scenarios:
        of_each = "generator and repeat" if len(datasets) == 1 else "generator, repeat and data set"
        click.echo(f"a pool is made once for each {of_each}, and serves {', '.join(scenarios)} of every model")
    click.echo(f"{', '.join(without)}: trained once for all generators")
    for pool in dict.fromkeys((p.generator, p.same_as) for p in grid.pools if p.same_as):
        click.echo(plain(f"{pool[0]} equals {pool[1]} on this data and shares its pool and trainings"))


def _echo_reasons(found: Mapping[str, Reason], *, verbose: bool) -> None:
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
            more = f" and {len(names) - _SHOWN:,} more (--verbose)" if len(names) > _SHOWN else ""
            click.echo(plain(f"{head}: {', '.join(names[:_SHOWN])}{more}"))
