"""`ctrbench show`: one plug-in, scenario or suite, with its parameters."""

from __future__ import annotations

import inspect

import click

from ctrbench.cli._common import echo_table


@click.command(epilog="\b\nExamples:\n  ctrbench show ctgan\n  ctrbench show S3\n  ctrbench show quick")
@click.argument("name")
def show(name: str) -> None:
    """Show what a plug-in does and which parameters it has."""
    from ctrbench import params
    from ctrbench.errors import UserError
    from ctrbench.registry import load_registry
    from ctrbench.scenarios import Scenario
    from ctrbench.suite import load_suite, packaged_suites
    from ctrbench.text import did_you_mean, plain, plain_lines

    registry = load_registry()
    found = [plugin for plugin in registry.plugins if plugin.name == name]
    for plugin in found:
        click.echo(f"{plugin.kind} {plugin}\n")
        if isinstance(plugin.thing, Scenario):
            scenario = plugin.thing
            click.echo(plain(scenario.help))
            echo_table([[name, str(value)] for name, value in vars(scenario).items()], ["", ""])
            continue
        click.echo(plain_lines(f"{inspect.getdoc(plugin.thing)}\n"))
        rows = [
            [p.name, p.type, _default(p.default), p.limits, p.help + (" (scaled by --budget)" if p.budgeted else "")]
            for p in params.parameters(plugin.plugin)
        ]
        if rows:
            echo_table(rows, ["parameter", "type", "default", "range", "what it is"])
    if not found and name in packaged_suites():
        suite = load_suite(name)
        click.echo(f"suite {suite.name}\n\n{suite.description}\n")
        echo_table(
            [[key, _default(value)] for key, value in vars(suite).items() if key not in ("name", "description", "on")],
            ["", ""],
        )
    elif not found:
        names = [plugin.name for plugin in registry.plugins] + packaged_suites()
        raise UserError(f"show: nothing is called {name!r}; {did_you_mean(name, names, 'there are')}")


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(str, value))})"
    return str(value) if value != "" else '""'
