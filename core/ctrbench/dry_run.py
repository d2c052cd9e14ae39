"""What a run would do, and why, before anything is done.

In: a request and a store. Out: a `Preview`: the plan, a `Reason` for each task, what tasks cost, and what is left out.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from inspect import BoundArguments
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ctrbench import arguments, choices, loading, params, plan, running
from ctrbench.again import Earlier
from ctrbench.costs import FORECAST, Costs
from ctrbench.driver import Redo, why_again
from ctrbench.errors import RunFailed, UserError
from ctrbench.ids import TaskKind
from ctrbench.interfaces import Missing
from ctrbench.plan import Plan, Task
from ctrbench.reading import place_of
from ctrbench.results import TaskResult
from ctrbench.running import RunRequest, run
from ctrbench.store.database import NoStoreError
from ctrbench.store.store import Store
from ctrbench.text import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reason:
    """Whether a task would run, and why; no words for a good result that is stored."""

    runs: bool
    why: str = ""


@dataclass(frozen=True, repr=False)
class Preview:
    """What a run would do, and what is known of its cost."""

    tasks: Mapping[str, Task]
    """All of them, those that load data sets before the grid's."""
    plan: Plan
    why: Mapping[str, Reason]
    costs: Costs
    left_out: list[str]

    @classmethod
    def of(cls, request: RunRequest, store: str) -> Preview:
        """Of a request and the place of a store, which need not be there; nothing is downloaded, stored or trained.

        UserError where no data set is at hand, or one that was named holds a mistake, RunFailed where none loads.
        """
        suite, limits = request.suite, request.limits
        with _existing(store) as stored:
            chosen, left_out = choices.choose_datasets(suite, request.registry, may_download=True)
            found, tasks = [], {}
            for dataset in chosen:
                state = choices.availability(dataset)
                if isinstance(state, Missing):
                    spec = shlex.quote(params.label(dataset.plugin, params.changed(dataset.plugin)))
                    said = (
                        f"-d {spec}: nothing can be forecast before it is at hand, and a dry run downloads nothing: "
                        f"`ctrbench data fetch {spec}` does ({state.reason})"
                    )
                    left_out += [] if said in left_out else [said]  # each share of it is a data set
                    continue
                task = plan.data_task(dataset, suite, limits)
                tasks[task.name] = task
                found.append((dataset, loading.result_of(dataset, task, stored)))
            loaded, failed = loading.usable(found, suite)
            left_out += [result.describe() for result in failed]
            if not loaded:
                mistaken = all(result.users_mistake for result in failed)
                raise (UserError if mistaken else RunFailed)("; ".join(left_out))
            grid = plan.grid(
                suite, request.registry, loaded, request.compute, limits, stored.artefacts if stored else None
            )
            tasks |= grid.tasks
            why = _reasons(tasks, stored, request.redo)
            costs = Costs(stored.spent() if stored else {}, request.compute.threads)
        return cls(tasks, grid, why, costs, left_out)

    def __repr__(self) -> str:
        return f"<Preview: {counted(len(self.tasks), 'task')}, {sum(why.runs for why in self.why.values()):,} to run>"

    def frame(self) -> pd.DataFrame:
        """A row a task: its name, kind and plug-in, whether it runs and why, and what it takes.

        Seconds of its own and bytes of memory are NaN where nobody knows them, or it does not run.
        """
        import pandas as pd

        columns = {
            "task": "string", "kind": "string", "plugin": "string", "runs": "bool", "why": "string",
            "seconds": "float64", "memory": "float64",
        }  # fmt: skip
        rows = []
        for name, task in self.tasks.items():
            reason = self.why[name]
            cost = self.costs.of(task) if reason.runs else None
            known = (cost.seconds, cost.memory) if cost else (math.nan, math.nan)
            rows.append((name, str(task.kind), task.label, reason.runs, reason.why, *known))
        return pd.DataFrame(rows, columns=list(columns)).astype(columns)

    def spans(self) -> tuple[float, int]:
        """Seconds of work that are known to lie ahead, and how many pools and trainings nobody knows the cost of."""
        told = [(task.kind, self.costs.of(task)) for name, task in self.tasks.items() if self.why[name].runs]
        unknown = sum(cost is None and kind in (TaskKind.POOL, TaskKind.TRAIN) for kind, cost in told)
        return sum(cost.seconds for _, cost in told if cost), unknown

    @property
    def is_rough(self) -> bool:
        """Whether a training is forecast, for want of an earlier run: without its early stopping and evaluation."""
        ahead = (task for name, task in self.tasks.items() if self.why[name].runs and task.kind is TaskKind.TRAIN)
        return any(self.costs.basis(task) == FORECAST for task in ahead)


@arguments.same_as(run)
def preview(call: BoundArguments) -> Preview:
    """What `ctrbench.run` would do with the same arguments, and what is known of its cost, as `run --dry-run` shows it.

    Nothing is downloaded, stored or trained; `progress` and the executor's own arguments change nothing. UserError and
    RunFailed as for `run`.
    """
    request, logs = running.asked(call)
    with TemporaryDirectory() as folder:
        return Preview.of(request.with_frames(logs, Path(folder)), place_of(call.arguments["store"]))


def _reasons(graph: Mapping[str, Task], store: Store | None, redo: Redo) -> dict[str, Reason]:
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
            asked = task.keyed(done)
            if isinstance(asked, TaskResult):
                done[name], found[name] = asked, Reason(False, asked.describe())
                continue
            job, cache_key = asked
            stored = store.find(cache_key) if store else None
            if stored:
                found[name] = _reason(stored, redo, task)
            else:
                found[name] = Reason(True, str(earlier.change(task, job, cache_key) or "no result yet"))
            if stored and not found[name].runs:
                done[name] = stored
    return found


def _reason(stored: TaskResult, redo: Redo, task: Task) -> Reason:
    why = why_again(stored, redo, task.limits)
    if why or stored.ok:
        return Reason(bool(why), why)
    return Reason(False, f"{stored.describe()}; --retry-failed tries what failed")


@contextmanager
def _existing(store: str) -> Iterator[Store | None]:
    try:
        opened = Store.open(store, create=False)
    except NoStoreError:
        yield None
        return
    with closing(opened):
        yield opened
