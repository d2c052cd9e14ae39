"""What the harness itself costs: the default suite in one process, its wall time compared with its tasks' own times.

In: the suite as it is, or with everything that is installed. Out: both times and their difference as a share. Imports
are done beforehand, as they are when a worker starts.

    python benchmarks/overhead.py
    python benchmarks/overhead.py --all --profile
"""

from __future__ import annotations

import cProfile
import importlib
import pstats
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
from ctrbench import choices
from ctrbench.driver import How, Watcher
from ctrbench.plan import Task
from ctrbench.results import TaskResult
from ctrbench.running import prepare
from ctrbench.store.store import Store


@dataclass
class Clock(Watcher):
    """Adds up the times that tasks report."""

    seconds: float = 0.0
    tasks: int = 0

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """Add a finished task."""
        if how == "done":
            self.seconds += sum(result.seconds.values())
            self.tasks += 1


@click.command()
@click.option("--all", "everything", is_flag=True, help="every plug-in, as `ctrbench run --all` has it")
@click.option("--repeats", default=1, show_default=True)
@click.option("--profile", is_flag=True, help="show where the harness spends its time")
def main(everything: bool, repeats: int, profile: bool) -> None:
    """Run the suite `quick` on `simulated`."""
    request = prepare("quick", {}, {"repeats": repeats}, everything=everything, executor="inline")
    for module in choices.imports(request.suite, request.registry):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder, cProfile.Profile() if profile else nullcontext() as profiler:
        store = Store.open(str(Path(folder, "overhead.db")))
        clock = Clock()
        start = time.perf_counter()
        request.execute(store, "overhead", clock)
        wall = time.perf_counter() - start
    share = (wall - clock.seconds) / clock.seconds
    click.echo(f"{clock.tasks} tasks: {clock.seconds:.1f} s in tasks, {wall:.1f} s in all, overhead {share:.2%}")
    if profiler:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
