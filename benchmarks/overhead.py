"""What the harness itself costs: the default suite in one process, its wall time beside what its tasks say they took.

In: the suite as it stands, or with everything that is installed. Out: both times and their difference as a share.
Imports are done beforehand, as a worker's start does them.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --all --profile
"""

from __future__ import annotations

import cProfile
import pstats
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import click
from ctrbench import choices
from ctrbench.driver import Driver, How, Silent
from ctrbench.executors import WorkerSettings
from ctrbench.executors.inline import InlineExecutor
from ctrbench.jobs import Compute
from ctrbench.plan import Task
from ctrbench.registry import load_registry
from ctrbench.results import TaskResult
from ctrbench.store.store import Store
from ctrbench.suite import load_suite


@dataclass
class Clock(Silent):
    """Adds up what tasks say that they took."""

    seconds: float = 0.0
    tasks: int = 0

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """Add a task that was done."""
        if how == "done":
            self.seconds += sum(result.seconds.values())
            self.tasks += 1


@click.command()
@click.option("--all", "everything", is_flag=True, help="every plug-in, as `ctrbench run --all` has it")
@click.option("--repeats", default=1, show_default=True)
@click.option("--profile", is_flag=True, help="show where the harness spends its time")
def main(everything: bool, repeats: int, profile: bool) -> None:
    """Run the suite `quick` on `simulated`."""
    registry = load_registry()
    every = dict.fromkeys(("generators", "models", "metrics", "scenarios"), ("all",)) if everything else {}
    suite = replace(load_suite("quick"), repeats=repeats, **every)
    with tempfile.TemporaryDirectory() as folder, cProfile.Profile() if profile else nullcontext() as profiler:
        store = Store.open(str(Path(folder, "overhead.db")))
        clock = Clock()
        executor = InlineExecutor(WorkerSettings(store.artefacts.folder, imports=choices.imports(suite, registry)))
        start = time.perf_counter()
        Driver(suite, registry, store, executor, Compute(), clock).run("overhead")
        wall = time.perf_counter() - start
    share = (wall - clock.seconds) / clock.seconds
    click.echo(f"{clock.tasks} tasks: {clock.seconds:.1f} s in tasks, {wall:.1f} s in all, overhead {share:.2%}")
    if profiler:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
