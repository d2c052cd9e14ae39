"""`ctrbench leaderboard`: the tables of a run that the store holds."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import colour, echo_table, load_run, store_option

if TYPE_CHECKING:
    from ctrbench.leaderboard import View
    from ctrbench.reporters import Format

EXAMPLES = """
\b
Examples:
  ctrbench leaderboard
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
    type=click.Choice(["scenarios", "generators", "privacy", "fidelity", "cost", "details"]),
    help="Which table; all but the details of metrics by default.",
)
@click.option(
    "--format",
    "style",
    default="table",
    show_default=True,
    type=click.Choice(["table", "markdown", "csv", "json", "latex"]),
)
@click.option("--metric", default="", help="Prediction metric of the tables.  [default: the run's first]")
@click.option("--run", "name", help="A run by its name.  [default: the latest]")
@click.option("--runs", is_flag=True, help="List the runs in the store instead.")
@store_option
def leaderboard(views: tuple[View, ...], style: Format, metric: str, name: str | None, runs: bool, store: str) -> None:
    """Print the leaderboards of a run."""
    from ctrbench import provenance, reporters
    from ctrbench.leaderboard import DEFAULT_VIEWS, boards, remarks

    if runs:
        _show_runs(store)
        return
    results = load_run(store, name, metric)
    made = boards(results, views or DEFAULT_VIEWS, metric)
    text = reporters.render(made, remarks(results), style, colour=colour(), provenance=provenance.of(results))
    click.echo(text, nl=False)


def _show_runs(store: str) -> None:
    from ctrbench.store.store import Store

    with closing(Store.open(store, create=False)) as opened:
        known = opened.runs()
    rows = [[run, _clock(start), _clock(end) if end else "not finished", text] for run, start, end, text in known]
    echo_table(rows, ["run", "started (UTC)", "finished (UTC)", "command"])


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
