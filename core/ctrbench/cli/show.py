"""`ctrbench show`: one plug-in, scenario or suite, with its parameters."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import PluginName, echo_table

if TYPE_CHECKING:
    from ctrbench.scenarios import Scenario


@click.command(
    short_help="Show what a plug-in does, or what a suite runs.",
    epilog="\b\nExamples:\n  ctrbench show ctgan\n  ctrbench show S3\n  ctrbench show quick > my_suite.toml",
)
@click.argument("name", type=PluginName(suites=True))
def show(name: str) -> None:
    """Show what a plug-in does and which parameters it has; of a suite, its file."""
    from ctrbench import params
    from ctrbench.registry import load_registry
    from ctrbench.scenarios import Scenario
    from ctrbench.suite import packaged_suites, suite_text
    from ctrbench.text import PAGE, bounded, plain, plain_lines

    registry, suite = load_registry(), name.casefold()
    if suite in packaged_suites():
        click.echo(suite_text(suite), nl=False)
        return
    for plugin in registry.named(name, "show"):
        click.echo(f"{plugin.kind} {plugin}\n")
        if isinstance(plugin.thing, Scenario):
            click.echo(f"{plain(plugin.thing.help)}; in a suite, under a name of its own:\n")
            click.echo(_recipe(plugin.thing))
            continue
        click.echo(plain_lines(f"{bounded(inspect.getdoc(plugin.thing) or '', PAGE)}\n"))
        rows = [
            [
                p.name,
                p.type,
                params.written(p.default),
                p.limits,
                p.help + (" (scaled by --budget)" if p.budgeted else ""),
            ]
            for p in params.parameters(plugin.plugin)
        ]
        if rows:
            echo_table(rows, ["parameter", "type", "default", "range", "what it is"])


def _recipe(scenario: Scenario) -> str:
    """A scenario as a suite's file has one, without what holds anyway."""
    from ctrbench.text import toml

    standard = asdict(type(scenario)(""))
    kept = {name: value for name, value in asdict(scenario).items() if value != standard[name]}
    return "\n".join(["[[scenario]]", *(f"{name} = {toml(value)}" for name, value in kept.items())])
