"""`ctrbench export`: a run's scores and costs as one JSON file, for `ctrbench compare`."""

from __future__ import annotations

from pathlib import Path

import click

from ctrbench.cli._common import load_run, store_option

EXAMPLES = """
\b
Examples:
  ctrbench export baseline.json
  ctrbench export monday.json --run 20260105-090000-ab12cd --store old.db
"""


@click.command(short_help="Write a run as a small JSON file, a baseline for compare.", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", "name", help="A run by its name.  [default: the latest]")
@store_option
def export(file: Path, name: str | None, store: str) -> None:
    """Write what a run found to a new JSON file: a baseline for `ctrbench compare`.

    It holds every score and cost of every repeat, the variance due to test rows, fingerprints, seeds and versions.
    `ctrbench store export` writes everything instead, the artefacts too.
    """
    from ctrbench.files import refuse_existing
    from ctrbench.gate import snapshot
    from ctrbench.text import counted

    refuse_existing(file)
    taken = snapshot.take(load_run(store, name).stored)
    snapshot.write(taken, file)
    cells = sum(bool(place.model) for place in taken.places)
    contents = counted(cells, "cell"), counted(len(taken.places) - cells, "pool"), counted(taken.repeats, "repeat")
    click.echo(f"{file}: run {taken.run}, {', '.join(contents)}")
