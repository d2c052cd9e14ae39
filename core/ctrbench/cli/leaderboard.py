"""`ctrbench leaderboard`: the tables of a run that the store holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

import click

from ctrbench.cli._common import LateChoice, colour, echo_table, load_run, store_option, width
from ctrbench.errors import UserError


def _views() -> Sequence[str]:
    from ctrbench.leaderboard import VIEWS

    return (ALL, VERDICT, *VIEWS)


def _formats() -> Sequence[str]:
    from ctrbench.formats import FORMATS

    return FORMATS


ALL, VERDICT = "all", "verdict"

EXAMPLES = """
\b
Examples:
  ctrbench leaderboard
  ctrbench leaderboard --view all
  ctrbench leaderboard --view verdict
  ctrbench leaderboard --view scenarios --metric logloss
  ctrbench leaderboard --view details --format latex > table1.tex
  ctrbench leaderboard --format csv > results.csv
  ctrbench leaderboard --runs
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--view",
    "views",
    multiple=True,
    type=LateChoice(_views),
    help="Which table; all but the details by default. `verdict` is what `run` ends with, `all` is everything.",
)
@click.option(
    "--format",
    "style",
    default="table",
    show_default=True,
    type=LateChoice(_formats),
)
@click.option("--metric", default="", help="Prediction metric of the tables.  [default: the run's first]")
@click.option("--run", "name", help="A run by its name.  [default: the latest]")
@click.option("--runs", is_flag=True, help="List the runs in the store instead.")
@store_option
def leaderboard(views: tuple[str, ...], style: str, metric: str, name: str | None, runs: bool, store: str) -> None:
    """Print the leaderboards of a run."""
    if runs:
        if views or metric or name or style != "table":
            raise UserError("leaderboard --runs lists runs alone: leave out --view, --format, --metric and --run")
        _show_runs(store)
        return
    from ctrbench.leaderboard import VIEWS

    if VERDICT in views and style not in ("table", "json"):
        raise UserError(f"--view {VERDICT} --format {style}: the verdict is text; only table and json have it")
    results = load_run(store, name, metric)
    said = style == "table"  # json has the verdict beside its tables
    if said and (VERDICT in views or ALL in views):
        click.echo(results.answer(metric, width=width(), colour=colour()))
    wanted = VIEWS if ALL in views else [view for view in views if view != VERDICT]
    if wanted or not views or not said:
        click.echo(results.leaderboards(wanted, metric, style, colour=colour()), nl=False)


def _show_runs(store: str) -> None:
    from ctrbench.progress import duration
    from ctrbench.store.store import Store

    with closing(Store.open(store, create=False)) as opened:
        known = opened.runs()
    rows = [
        [
            each.run,
            _clock(each.started),
            duration(each.finished - each.started) if each.finished else "unfinished",
            each.command,
        ]
        for each in known
    ]
    echo_table(rows, ["run", "started (UTC)", "took", "command"])


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
