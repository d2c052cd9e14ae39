"""`ctrbench failures`: what failed in a run, and where."""

from __future__ import annotations

import click

from ctrbench.cli._common import load_run, store_option

_SHOWN = 3  # so many cells or pools are named for each failure

EXAMPLES = """
\b
Examples:
  ctrbench failures
  ctrbench failures --traceback
  ctrbench failures --run 20260105-090000-ab12cd
"""


@click.command(short_help="List what failed in a run, and where.", epilog=EXAMPLES)
@click.option("--traceback", is_flag=True, help="Show the whole traceback of each failure.")
@click.option("--run", "name", help="A run by its name.  [default: the latest]")
@store_option
def failures(traceback: bool, name: str | None, store: str) -> None:
    """List what failed in a run, with reason, file and line; exit status 1 if something did."""
    from ctrbench.failures import failures as failed
    from ctrbench.text import plain, plain_lines

    results = load_run(store, name)
    info = results.stored.info
    for failure in failed(results.stored):
        click.echo(plain(str(failure)))
        more = len(failure.cost) - _SHOWN
        click.echo(f"    {plain('; '.join(failure.cost[:_SHOWN]))}{f' and {more} more' if more > 0 else ''}")
        if traceback and failure.result.traceback:
            click.echo(plain_lines(failure.result.traceback.rstrip()))
    for text in info.failed_data:
        click.echo(plain(f"data set: {text}"))
    for text in info.broken:
        click.echo(plain(f"broken plug-in: {text}"))
    if results.sound:
        unfinished = "" if results.stored.finished else "; it did not finish, and the same command resumes it"
        click.echo(f"nothing failed in run {results.run}{unfinished}")
    raise SystemExit(0 if results.sound else 1)
