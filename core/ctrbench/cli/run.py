"""`ctrbench run`: a suite, changed by options, is planned, done, stored and shown."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from ctrbench.cli._common import colour, store_option

if TYPE_CHECKING:
    from ctrbench.limits import Limits
    from ctrbench.registry import Registry
    from ctrbench.suite import Suite

EXAMPLES = """
\b
Examples:
  ctrbench run --all
  ctrbench run -g smoten -g "ctgan[epochs=20]" -m deepfm -s S3 -s S4 --repeats 5
  ctrbench run -g tvae -m dnn --repeats 5 --model-seeds 3
  ctrbench run -d "frappe[path=data/Frappe_x1]" -g none -m dnn -m deepfm
  ctrbench run -d "csv_log[path=log.csv, label=click, user=uid, item=ad]" --budget 0.1
  ctrbench run --suite my_suite.toml --dry-run
  ctrbench run --timeout 3600 --timeout fit=1800 --memory 8GB --retry-failed
  ctrbench run --suite paper --executor ray --ray-address 10.0.0.1:6379

A plug-in is NAME or NAME[key=value, ...]. A value is a bare word, a text in quotes, or a tuple in parentheses, as in
"dnn[hidden_units=(64, 32)]"; quote values that hold , [ ] ( ) or quotes. `ctrbench show NAME` lists the parameters.

The same command again runs only what is missing. Exit status: 0 all ok or skipped, 1 something failed, 2 a mistake
in the command or its files, 130 interrupted.
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--all", "everything", is_flag=True, help="Every installed plug-in and scenario, on every data set at hand."
)
@click.option("-d", "--dataset", "datasets", multiple=True, metavar="NAME", help="Data set; may be repeated.")
@click.option(
    "-g", "--generator", "generators", multiple=True, metavar="NAME", help="Generator; `none` for no pools at all."
)
@click.option("-m", "--model", "models", multiple=True, metavar="NAME", help="CTR model.")
@click.option("-s", "--scenario", "scenarios", multiple=True, metavar="NAME", help="Scenario; `original` always runs.")
@click.option(
    "-k", "--metric", "metrics", multiple=True, metavar="NAME", help="Metric; the first one leads the tables."
)
@click.option(
    "--suite", default="quick", show_default=True, metavar="NAME|FILE", help="What to run unless options say otherwise."
)
@click.option("--repeats", type=int, help="Seeds of generator and model for each cell.  [default: the suite's]")
@click.option(
    "--model-seeds",
    type=int,
    help="Model seeds for each pool, which tell the noise of generators from that of models.  [default: the suite's]",
)
@click.option("--seed", type=int, help="The suite's seed, from which all others follow.  [default: the suite's]")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="Tasks done at once.  [default: cores / threads, on a cluster those of all nodes]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads of each worker; part of a result's identity.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--executor",
    type=click.Choice(["local", "inline", "ray"]),
    default="local",
    show_default=True,
    help="Worker processes here, this process, or a Ray cluster; without --ray-address one is started here.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT|auto",
    help="With --executor ray: the cluster's head; auto for the cluster that this machine is a node of.",
)
@click.option(
    "--budget", type=float, help="Factor on all epochs and steps; stamped on every table.  [default: the suite's]"
)
@click.option(
    "--timeout",
    "timeouts",
    multiple=True,
    metavar="[STAGE=]SECONDS",
    help="Seconds that one task, or one stage of it, may take; may be repeated.  [default: the suite's]",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="Resident memory that a worker may use together with all it starts, as in 8GB.  [default: the suite's]",
)
@store_option
@click.option("--dry-run", is_flag=True, help="Show what would run and why, and do nothing; never downloads.")
@click.option("-v", "--verbose", is_flag=True, help="With --dry-run: name every task.")
@click.option("--retry-failed", is_flag=True, help="Try tasks again that failed in an earlier run.")
@click.option("--fresh", is_flag=True, help="Do all work anew; new results replace stored ones of the same key.")
def run(
    everything: bool,
    datasets: tuple[str, ...],
    generators: tuple[str, ...],
    models: tuple[str, ...],
    scenarios: tuple[str, ...],
    metrics: tuple[str, ...],
    suite: str,
    repeats: int | None,
    model_seeds: int | None,
    seed: int | None,
    workers: int | None,
    threads: int,
    device: str,
    executor: str,
    ray_address: str | None,
    budget: float | None,
    timeouts: tuple[str, ...],
    memory: str | None,
    store: str,
    dry_run: bool,
    verbose: bool,
    retry_failed: bool,
    fresh: bool,
) -> None:
    """Run a suite and print its leaderboards."""
    from dataclasses import replace

    from ctrbench import choices, resources
    from ctrbench.errors import UserError
    from ctrbench.jobs import Compute
    from ctrbench.limits import parse_memory, parse_timeouts
    from ctrbench.registry import load_registry
    from ctrbench.run import Again
    from ctrbench.suite import SECTIONS

    limits = parse_timeouts(timeouts)
    if memory is not None:
        limits = replace(limits, memory=parse_memory(memory, f"--memory {memory}"))
    if executor == "inline" and (limits.memory or limits.stages):
        raise UserError("--executor inline: nobody can stop a task there; leave out --memory and --timeout STAGE=…")
    if ray_address is not None and executor != "ray":
        raise UserError(f"--ray-address {ray_address}: only with --executor ray")
    if executor == "ray" and device.startswith("cuda:"):
        raise UserError(f"--device {device}: on a Ray cluster each task is given its GPU; use --device cuda")
    named = (datasets, generators, models, metrics, scenarios)
    numbers = {"repeats": repeats, "model_seeds": model_seeds, "seed": seed, "budget": budget}
    wanted = _selected(suite, everything, dict(zip(SECTIONS, named, strict=True)), numbers)
    if executor == "inline" and any(on.limits.memory or on.limits.stages for on in wanted.on.values()):
        click.echo("--executor inline: the suite's limits of memory and of stages do not hold there", err=True)
    registry = load_registry()
    choices.check_settings(wanted, registry)
    elsewhere = executor == "ray" and device == "cuda"  # the nodes have it, not necessarily this machine
    compute = Compute(device if elsewhere else resources.resolve_device(device), threads)
    if dry_run:
        from ctrbench.cli import _forecast

        slots = workers or max(1, resources.cores() // threads)
        _forecast.show(wanted, registry, compute, store, limits, Again(retry_failed, fresh), slots, verbose)
        return
    place = (executor, workers, ray_address)
    name = _do(wanted, registry, compute, store, limits, Again(retry_failed, fresh), place)
    sys.exit(_report(store, name))


def _selected(suite: str, everything: bool, selection: dict[str, tuple[str, ...]], numbers: dict[str, Any]) -> Suite:
    """The suite with what the options change."""
    from dataclasses import replace

    from ctrbench.suite import ALL, SECTIONS, checked, load_suite

    found = load_suite(suite)
    changes: dict[str, Any] = {section: (*getattr(found, section), ALL) for section in SECTIONS if everything}
    for section, names in selection.items():
        if names:
            changes[section] = () if names == ("none",) else names
    changes |= {key: value for key, value in numbers.items() if value is not None}
    return checked(replace(found, **changes), "options")


def _do(
    suite: Suite,
    registry: Registry,
    compute: Any,
    store: str,
    limits: Limits,
    again: Any,
    place: tuple[str, int | None, str | None],
) -> str:
    """Do the work at a place: an executor, its workers, its address; the run's name.

    Ctrl-C ends it with status 130, all finished tasks kept.
    """
    from ctrbench import choices
    from ctrbench.cli._progress import make_watcher
    from ctrbench.costs import Costs
    from ctrbench.executors import Site, make_executor
    from ctrbench.run import Driver
    from ctrbench.store import Store
    from ctrbench.text import command_line

    executor, number, address = place
    with closing(Store.open(store)) as results:
        site = Site(results.artefacts.folder, compute.threads, suite.budget, choices.imports(suite, registry))
        with closing(make_executor(executor, number, site, address)) as workers:
            watcher = make_watcher(workers.slots, Costs(results.spent(), compute.threads))
            try:
                with watcher:
                    driver = Driver(suite, registry, results, workers, compute, watcher, limits, again)
                    return driver.run(command_line(["ctrbench", *sys.argv[1:]]))
            except KeyboardInterrupt:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not cut the cleaning short
                click.echo(
                    f"interrupted: {watcher.summary()}; all of it is kept, and the same command goes on from here",
                    err=True,
                )
                sys.exit(130)


def _report(store: str, run: str) -> int:
    """Print the leaderboards of a run; its exit status."""
    from ctrbench import leaderboard, reporters
    from ctrbench.store import Store
    from ctrbench.text import plain

    with closing(Store.open(store, create=False)) as opened:
        results = opened.load_run(run)
    boards = leaderboard.boards(results)
    click.echo(reporters.render(boards, leaderboard.remarks(results), "table", colour=colour()))
    failed = leaderboard.failures(results)
    for text in failed:
        click.echo(f"failed: {plain(text)}", err=True)
    if failed:
        click.echo("`--retry-failed` tries them again", err=True)
    return 1 if failed or results.about["broken"] or results.about["failed_data"] else 0
