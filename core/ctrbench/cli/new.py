"""`ctrbench new`: a package to begin a plug-in with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ctrbench.cli._common import LateChoice


def _kinds() -> Sequence[str]:
    from ctrbench.starter import KINDS

    return KINDS


EXAMPLES = """
\b
Examples:
  ctrbench new generator my_gan
  ctrbench new model my_network --in ~/plugins
  ctrbench new metric my_score
  ctrbench new synthetic-metric my_attack
  ctrbench new dataset my_log

KIND is generator, model, metric, synthetic-metric or dataset; a metric judges predictions, a synthetic-metric the rows
of a generator. The package installs, passes `ctrbench check` and has tests of its own; its simple method is there to be
replaced by yours.
"""


@click.command(epilog=EXAMPLES)
@click.argument("kind", type=LateChoice(_kinds), metavar="KIND")
@click.argument("name")
@click.option(
    "--in",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    show_default="here",
    metavar="FOLDER",
    help="Folder in which the package is created.",
)
def new(kind: str, name: str, parent: Path) -> None:
    """Write a package with one plug-in to start from."""
    import shlex

    from ctrbench.registry import load_registry
    from ctrbench.starter import KINDS, write_starter
    from ctrbench.text import plain

    taken = {plugin.name.casefold() for plugin in load_registry().plugins}
    [chosen] = [each for each in KINDS if each == kind]
    folder = write_starter(chosen, name, taken, parent)
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    click.echo(plain(f"{folder}: {', '.join(written)}; now"))
    click.echo(f"  pip install --editable {shlex.quote(str(folder))}")
    click.echo(f"  ctrbench check {name}")
    click.echo(f"  pytest {shlex.quote(str(folder))}")
