"""`ctrbench list`: what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import echo_table

if TYPE_CHECKING:
    from ctrbench.registry import Registered

KINDS = ("datasets", "generators", "models", "metrics", "scenarios", "suites")


@click.command(
    "list",
    short_help="List plug-ins, scenarios and suites.",
    epilog="\b\nExamples:\n  ctrbench list\n  ctrbench list generators models",
)
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
def list_(kinds: tuple[str, ...]) -> None:
    """List data sets, generators, models, metrics, scenarios and suites."""
    from importlib.metadata import version

    from ctrbench.registry import KINDS as REGISTERED
    from ctrbench.registry import load_registry
    from ctrbench.suite import load_suite, packaged_suites
    from ctrbench.text import counted, plain

    registry = load_registry()
    rows = [
        [kind, plugin.name, f"{_control(plugin)}{plugin.help}", f"{plugin.distribution} {plugin.version}"]
        for kind in REGISTERED
        if not kinds or f"{kind}s" in kinds
        for plugin in registry.of_kind(kind)
    ]
    if not kinds or "suites" in kinds:
        rows += [
            ["suite", name, load_suite(name).description, f"ctrbench {version('ctrbench')}"]
            for name in packaged_suites()
        ]
    heads = ["kind", "name", "what it is", "from"]
    origins = {row[-1] for row in rows}
    shown = len(heads) - (len(origins) == 1)  # what all have in common is said once
    echo_table([row[:shown] for row in rows], heads[:shown])
    if len(origins) == 1:
        click.echo(f"\nall from {plain(*origins)}")
    if registry.broken:
        click.echo(f"\n{counted(len(registry.broken), 'broken plug-in')}: see `ctrbench plugins`")


def _control(plugin: Registered) -> str:
    from ctrbench.interfaces import MethodRole

    return "control: " if getattr(plugin.thing, "role", None) is MethodRole.CONTROL else ""
