"""`ctrbench report`: a run as one page of HTML."""

from __future__ import annotations

from pathlib import Path

import click

from ctrbench.cli._common import load_run, store_option

EXAMPLES = """
\b
Examples:
  ctrbench report
  ctrbench report --html logloss.html --metric logloss
  ctrbench report --html monday.html --run 20260105-090000-ab12cd --store all.db
"""


@click.command(short_help="Write a run as one page that opens offline.", epilog=EXAMPLES)
@click.option(
    "--html",
    "file",
    default="report.html",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write.",
)
@click.option("--run", "name", help="A run by its name.  [default: the latest]")
@click.option("--metric", default="", help="Prediction metric of the report.  [default: the run's first]")
@click.option("--force", is_flag=True, help="Write over FILE if it exists.")
@store_option
def report(file: Path, name: str | None, metric: str, force: bool, store: str) -> None:
    """Write a run as one page that opens offline: the answer, figures, all leaderboards, provenance.

    The page loads nothing from a network. It shows how often values occur in the data, but no rows.
    """
    from ctrbench.files import refuse_existing
    from ctrbench.text import plain

    if not force:
        refuse_existing(file, "say --force")
    load_run(store, name, metric).report(file, metric, force=True)
    click.echo(plain(f"{file}: {file.stat().st_size / 1e6:.2f} MB"))
