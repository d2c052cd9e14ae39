"""`ctrbench check`: puts plug-ins through the conformance checks."""

from __future__ import annotations

import click

from ctrbench.cli._common import PluginName, echo_table


@click.command(
    short_help="Check that plug-ins keep their contract.",
    epilog="\b\nExamples:\n  ctrbench check smoten\n  ctrbench check my_generator my_model --timeout 60\n"
    "  ctrbench check --all",
)
@click.argument("names", nargs=-1, type=PluginName())
@click.option("--all", "everything", is_flag=True, help="Check every installed plug-in.")
@click.option(
    "--timeout",
    type=float,
    default=300,
    show_default=True,
    help="Seconds that one check may take.",
)
def check(names: tuple[str, ...], everything: bool, timeout: float) -> None:
    """Check that plug-ins keep their contract; exit status 1 if one does not.

    The checks run in a process of their own: a plug-in that hangs or dies fails the check it was in.
    """
    from ctrbench.conformance.apart import Checker
    from ctrbench.errors import UserError
    from ctrbench.registry import load_registry
    from ctrbench.text import counted

    if not timeout > 0:
        raise UserError(f"check --timeout {timeout:g}: must be above 0 seconds")
    registry = load_registry()
    if not names and not everything:
        raise UserError("check: name the plug-ins to check, or give --all")
    named = [plugin for name in names for plugin in registry.named(name, "check")]
    failed = 0
    wanted = list(registry.plugins if everything else dict.fromkeys(named))
    with Checker(timeout) as checker:
        for plugin in wanted:
            results = checker.check(plugin)
            click.echo(f"{plugin.kind} {plugin}")
            echo_table([[r.status, r.name, r.message] for r in results], ["", "check", ""])
            click.echo()
            failed += any(r.status == "failed" for r in results)
    click.echo(f"{failed} of {counted(len(wanted), 'plug-in')} failed" if failed else "all passed")
    raise SystemExit(1 if failed else 0)
