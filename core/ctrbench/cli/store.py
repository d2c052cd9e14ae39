"""`ctrbench store`: verifies a store, prunes it, and carries results from one to another."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import click

from ctrbench.cli._common import echo_table, store_option

EXAMPLES = """
\b
Examples:
  ctrbench store check
  ctrbench store gc --dry-run
  ctrbench store export results.zip
  ctrbench store export monday.zip --run 20260105-090000-ab12cd
  ctrbench store import results.zip --store all.db
  ctrbench store check --store postgresql+psycopg://me@host/results
"""


@click.group(short_help="Maintain the results: verify, clean up, move, export.", epilog=EXAMPLES)
def store() -> None:
    """Maintain the results: verify them, remove leftovers, move them between machines."""


@store.command(epilog="\b\nExamples:\n  ctrbench store check\n  ctrbench store check --store old.db")
@store_option
def check(store: str) -> None:
    """Verify the schema, every artefact's hash and every reference; exit status 1 if something is wrong.

    A corrupt artefact is set aside (its file is renamed to .corrupt), so that the next run that needs it makes it
    again; nothing else is changed.
    """
    from ctrbench.store import upkeep
    from ctrbench.store.database import SCHEMA_VERSION
    from ctrbench.store.store import Store
    from ctrbench.text import counted, plain

    with closing(Store.open(store, create=False)) as opened:
        found = upkeep.check(opened)
    for text in found.wrong:
        click.echo(plain(text))
    looked_at = ", ".join(
        (counted(found.runs, "run"), counted(found.results, "result"), counted(found.artefacts, "artefact"))
    )
    verdict = f"{len(found.wrong)} wrong" if found.wrong else "all sound"
    click.echo(f"schema version {SCHEMA_VERSION}, {looked_at}: {verdict}")
    sys.exit(1 if found.wrong else 0)


@store.command(epilog="\b\nExamples:\n  ctrbench store gc --dry-run\n  ctrbench store gc --older-than 168")
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@click.option(
    "--older-than",
    type=click.FloatRange(1),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Keep what is younger: a run in progress may have written it.",
)
@store_option
def gc(dry_run: bool, older_than: float, store: str) -> None:
    """Remove what no result refers to: artefacts, logs, checkpoints, data frames, half-written files, empty runs.

    All readable results stay; rows that no ctrbench wrote, which `store check` lists, are removed. If a newer one may
    have written them, nothing is removed. The checkpoint of a fit that was interrupted, timed out or failed stays for
    30 days, so that the same `ctrbench run` can resume from it.
    """
    from ctrbench.errors import UserError
    from ctrbench.store import upkeep
    from ctrbench.store.store import Store
    from ctrbench.text import one_line, plain

    if math.isnan(older_than):
        raise UserError("--older-than nan: give a number of hours")
    numbers: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    refused = 0
    with closing(Store.open(store, create=False)) as opened:
        for leftover in upkeep.leftovers(opened, older_than * 3600):
            if dry_run:
                click.echo(plain(f"{leftover.kind} {leftover.name}"))
            else:
                try:
                    if not upkeep.remove(opened, leftover, older_than * 3600):
                        continue
                except OSError as error:
                    click.echo(plain(f"{leftover.name} cannot be removed: {one_line(error)}"), err=True)
                    refused += 1
                    continue
            numbers[leftover.kind][0] += 1
            numbers[leftover.kind][1] += leftover.size
    done = "would be removed" if dry_run else "removed"
    if numbers:
        echo_table(
            [[kind, str(n), f"{size / 1e6:,.1f}"] for kind, (n, size) in numbers.items()], [done, "number", "MB"]
        )
    else:
        click.echo(f"nothing {'to remove' if dry_run else 'removed'}")
    sys.exit(1 if refused else 0)


EXPORT_EXAMPLES = """
\b
Examples:
  ctrbench store export results.zip
  ctrbench store export one.zip --run NAME
  ctrbench store export to_publish.zip --without-rows
"""


@store.command(epilog=EXPORT_EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--run", "names", multiple=True, metavar="NAME", help="Only this run, with everything it uses; may be repeated."
)
@click.option(
    "--without-rows", is_flag=True, help="Leave out tables, pools and predictions, for logs that may not be shared."
)
@store_option
def export(file: Path, names: tuple[str, ...], without_rows: bool, store: str) -> None:
    """Write the store to a new archive: JSON lines and Parquet, no code.

    An archive without rows still has all leaderboards and reports, with the intervals of the leading metric; a run that
    needs the tables makes them again.
    """
    from ctrbench.store import transfer
    from ctrbench.store.store import Store
    from ctrbench.text import counted

    with closing(Store.open(store, create=False)) as opened:
        done = transfer.export(opened, file, names, rows_too=not without_rows)
    contents = ", ".join(
        (counted(done.runs, "run"), counted(done.results, "result"), counted(done.artefacts, "artefact"))
    )
    click.echo(f"{file}: {contents}")
    if done.lacking:
        click.echo(
            f"{counted(len(done.lacking), 'artefact')} missing or corrupt: a run that needs them makes them again",
            err=True,
        )


@store.command("import", epilog="\b\nExamples:\n  ctrbench store import results.zip --store all.db")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
def import_(file: Path, store: str) -> None:
    """Merge an archive into the store, which is created if necessary.

    Results in the store are kept, except that a good one replaces a failure. An interrupted import has changed no
    result; run it again to finish it. The archive may come from anybody: no code in it can run.
    """
    from ctrbench.store import transfer
    from ctrbench.store.store import Store
    from ctrbench.text import counted

    transfer.expect_archive(file)  # before there is a store for it
    with closing(Store.open(store)) as opened:
        done = transfer.import_(opened, file)
    results = done.results
    click.echo(
        f"{counted(results['new'], 'new result')}, {results['better']} in place of a failure, "
        f"{results['known']} known before; {counted(done.runs, 'new run')}, {counted(done.artefacts, 'new artefact')}"
    )
