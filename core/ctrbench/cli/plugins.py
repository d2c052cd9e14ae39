"""`ctrbench plugins`: the distributions that bring plug-ins, and those that are broken."""

from __future__ import annotations

from collections import defaultdict

import click

from ctrbench.cli._common import echo_table


@click.command(
    short_help="List the distributions that provide plug-ins.",
    epilog="\b\nExamples:\n  ctrbench plugins\n  ctrbench plugins --traceback",
)
@click.option("--traceback", is_flag=True, help="Show the whole traceback of each broken plug-in.")
def plugins(traceback: bool) -> None:
    """List the distributions that provide plug-ins; exit status 1 if one is broken."""
    from ctrbench.registry import load_registry
    from ctrbench.text import plain, plain_lines

    registry = load_registry()
    brought: dict[str, list[str]] = defaultdict(list)
    for plugin in registry.plugins:
        brought[f"{plugin.distribution} {plugin.version}"].append(f"{plugin.kind} {plugin.name}")
    echo_table([[who, ", ".join(names)] for who, names in brought.items()], ["distribution", "brings"])
    for broken in registry.broken:
        click.echo(
            f"\nbroken: {plain(broken.source)} ({plain(f'{broken.distribution} {broken.version}')}): "
            f"{plain(broken.error)}"
        )
        if traceback and broken.traceback:
            click.echo(plain_lines(broken.traceback.rstrip()))
    raise SystemExit(1 if registry.broken else 0)
