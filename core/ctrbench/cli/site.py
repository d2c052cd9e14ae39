"""`ctrbench site`: several runs as one static site."""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """
\b
Examples:
  ctrbench site results
  ctrbench site ctrbench.db theirs.zip --out public
  ctrbench site monday tuesday --out public --force
"""


@click.command(short_help="Write the runs of several stores as one website.", epilog=EXAMPLES)
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER|STORE|ARCHIVE...")
@click.option("--out", default="site", show_default=True, type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--force", is_flag=True, help="Write over an earlier site, and remove its pages of other runs.")
def site(places: tuple[Path, ...], out: Path, force: bool) -> None:
    """Write runs of many stores as one site: a leaderboard for each data set and over all, each run's report behind.

    Stores (*.db) and archives of `ctrbench store export` (*.zip) are read, of a folder all that lie in it. The site is
    a folder of files that any web server can publish, and that opens without one.
    """
    from ctrbench.report.site import write
    from ctrbench.text import counted, plain

    runs = write(places, out, force=force)
    click.echo(plain(f"{out / 'index.html'}: {counted(len(runs), 'run')}"))
