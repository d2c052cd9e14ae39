"""`ctrbench run`: a suite, changed by options, is planned, done, stored and shown."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import LateChoice, Numbers, PluginName, SuiteName, colour, store_option, width

if TYPE_CHECKING:
    from ctrbench.registry import PluginKind
    from ctrbench.running import RunRequest


def _executors() -> Sequence[str]:
    from ctrbench.executors import EXECUTORS

    return EXECUTORS


MOST_FAILURES = 3
"""So many failures are named after a run."""

PLUGINS: tuple[tuple[str, PluginKind, str], ...] = (
    ("-d", "dataset", "Data set; may be repeated."),
    ("-g", "generator", "Generator; `none` for no pools at all."),
    ("-m", "model", "CTR model."),
    ("-s", "scenario", "Scenario; `original` always runs."),
    ("-k", "metric", "Metric; the first one leads the tables."),
)


def _plugins(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name plug-ins."""
    for letter, kind, help_ in reversed(PLUGINS):
        names = (letter, f"--{kind}", f"{kind}s")
        command = click.option(*names, multiple=True, type=PluginName(kind), metavar="NAME", help=help_)(command)
    return command


EXAMPLES = """
\b
Examples:
  ctrbench run --all
  ctrbench run -g smoten -g "ctgan[epochs=20]" -m deepfm -s S3 -s S4 --repeats 5
  ctrbench run -g tvae -m dnn --repeats 5 --model-seeds 3
  ctrbench run -g smoten -m dnn --doses 0.1,0.25,0.5,1,2 --repeats 5
  ctrbench run -g smoten -m dnn -s S4 --train-shares 0.01,0.05,0.2,1 --repeats 5
  ctrbench run -d "frappe[path=data/Frappe_x1]" -g none -m dnn -m deepfm
  ctrbench run -d "csv_log[path=log.csv, label=click, user=uid, item=ad]" --budget 0.1
  ctrbench run --suite my_suite.toml --dry-run
  ctrbench run --timeout 3600 --timeout fit=1800 --memory 8GB --retry-failed
  ctrbench run -g my_generator -m logistic -s S5 --debug
  ctrbench run --suite paper --executor ray --ray-address 10.0.0.1:6379

A plug-in is NAME, NAME[key=value, ...] or ALIAS=NAME[...], which tables then call ALIAS. A value is a bare word, a
text in quotes, or a tuple in parentheses, as in
"dnn[hidden_units=(64, 32)]"; quote values that hold , [ ] ( ) or quotes. `ctrbench show NAME` lists the parameters.

The same command again runs only what is missing. Exit status: 0 all ok or skipped, 1 something failed, 2 a mistake
in the command or its files, 130 interrupted.
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--all", "everything", is_flag=True, help="Every installed plug-in and scenario, on every data set at hand."
)
@_plugins
@click.option(
    "--suite",
    type=SuiteName(),
    default="quick",
    show_default=True,
    metavar="NAME|FILE",
    help="What to run unless options say otherwise.",
)
@click.option(
    "--doses",
    type=Numbers(),
    default=(),
    metavar="SHARES",
    help="How much: a scenario for each share of synthetic positives, negatives and both, as in 0.25,0.5,1.",
)
@click.option(
    "--train-shares",
    type=Numbers(),
    default=(),
    metavar="SHARES",
    help="How little: generators and models see no more of train than each of these shares, as in 0.01,0.1,1.",
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
    type=LateChoice(_executors),
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
    help="Memory that a worker and all it starts may have for themselves, as in 8GB.  [default: the suite's]",
)
@store_option
@click.option("--dry-run", is_flag=True, help="Show what would run and why, and do nothing; never downloads.")
@click.option("-v", "--verbose", is_flag=True, help="With --dry-run: name every task.")
@click.option("-y", "--yes", is_flag=True, help="Start without being asked, however long it takes.")
@click.option("--retry-failed", is_flag=True, help="Try tasks again that failed in an earlier run.")
@click.option(
    "--debug",
    is_flag=True,
    help="Work in this process, show what plug-ins print, stop at breakpoint() and where one fails; implies "
    "--retry-failed.",
)
@click.option("--fresh", is_flag=True, help="Do all work anew; new results replace stored ones of the same key.")
def run(
    everything: bool,
    datasets: tuple[str, ...],
    generators: tuple[str, ...],
    models: tuple[str, ...],
    scenarios: tuple[str, ...],
    metrics: tuple[str, ...],
    suite: str,
    doses: Sequence[float],
    train_shares: Sequence[float],
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
    yes: bool,
    retry_failed: bool,
    debug: bool,
    fresh: bool,
) -> None:
    """Run a suite and print what it answers."""
    from dataclasses import replace

    from ctrbench import resources
    from ctrbench.driver import Redo
    from ctrbench.errors import UserError
    from ctrbench.limits import parse_memory, parse_timeouts
    from ctrbench.running import compute_on, prepare
    from ctrbench.suite import SECTIONS

    if debug:
        if executor == "ray" or workers is not None or memory is not None or timeouts:
            raise UserError(
                "--debug: works in this process, without limits; leave out --executor, --workers, --timeout, --memory"
            )
        executor = "inline"
    limits = parse_timeouts(timeouts)
    if memory is not None:
        limits = replace(limits, memory=parse_memory(memory, f"--memory {memory}"))
    if executor == "inline" and (limits.memory or limits.stages):
        raise UserError("--executor inline: nobody can stop a task there; leave out --memory and --timeout STAGE=…")
    if ray_address is not None and executor != "ray":
        raise UserError(f"--ray-address {ray_address}: only with --executor ray")
    named = zip(SECTIONS, (datasets, generators, models, metrics, scenarios), strict=True)
    request = prepare(
        suite,
        {section: names for section, names in named if names},
        {"repeats": repeats, "model_seeds": model_seeds, "seed": seed, "budget": budget},
        {"doses": doses, "train_shares": train_shares},
        everything=everything,
        compute=compute_on(device, threads, executor),
        limits=limits,
        redo=Redo.ALL if fresh else Redo.FAILED if retry_failed or debug else Redo.NONE,
        executor=executor,
        workers=workers,
        ray_address=ray_address,
    )
    request = replace(request, debug=debug)
    slots = 1 if executor == "inline" else workers or max(1, resources.cores() // threads)
    if dry_run:
        from ctrbench.cli import _dry_run

        _dry_run.show(request, store, slots, verbose)
        return
    if not yes and executor != "ray" and sys.stdin.isatty() and sys.stderr.isatty():
        from ctrbench.cli import _dry_run

        if not _dry_run.confirm(request, store, slots):
            click.echo("nothing was started", err=True)
            return
    sys.exit(_do(request, store))


def _do(request: RunRequest, store: str) -> int:
    """Do the work and print what came of it; the exit status. Ctrl-C ends it with 130, all finished tasks kept."""
    from ctrbench.failures import failures
    from ctrbench.reading import Results
    from ctrbench.store.store import Store
    from ctrbench.text import command_line, plain

    with closing(Store.open(store)) as opened:
        try:
            name = request.execute(opened, command_line(["ctrbench", *sys.argv[1:]]), progress=True)
        except KeyboardInterrupt:  # which the display has said; another one must not cut the rest short
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return 130
        results = Results(opened.load_run(name))
    click.echo(results.answer(width=width(), colour=colour(), brief=True), nl=False)
    failed = failures(results.stored)
    for failure in failed[:MOST_FAILURES]:
        _remark(f"failed: {plain(str(failure))}")
    if failed:
        more = len(failed) - MOST_FAILURES
        others = f"and {more} more; " if more > 0 else ""
        raised = any(failure.result.traceback for failure in failed)
        _remark(
            f"{others}`ctrbench failures --traceback` shows where; `--retry-failed` tries them again, `--debug` in a "
            "debugger"
            if raised
            else f"{others}`ctrbench failures` shows what they cost; `--retry-failed` tries them again"
        )
    info = results.stored.info
    for text in info.failed_data:
        _remark(f"data set that could not be loaded: {plain(text)}")
    for text in info.broken[:MOST_FAILURES]:
        _remark(f"broken plug-in: {plain(text)}")
    if len(info.broken) > MOST_FAILURES:
        _remark(f"and {len(info.broken) - MOST_FAILURES} more broken ones: `ctrbench plugins`")
    return 0 if results.sound else 1


def _remark(text: str) -> None:
    """Say a line on standard error, if it can be written: the answer and the exit status do without."""
    with suppress(OSError):
        click.echo(text, err=True)
