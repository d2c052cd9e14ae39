"""The command line. Each command is a module here; what is heavy is imported when a command runs, not for `--help`."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from ctrbench.cli import (
    check,
    compare,
    data,
    export,
    leaderboard,
    list_,
    plot,
    plugins,
    report,
    run,
    show,
    store,
    try_,
)
from ctrbench.errors import UserError

COMMANDS_GROUP = "ctrbench.commands"


class _Commands(click.Group):
    """Our commands, and those that other distributions bring, which are loaded when they are invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in self._foreign() if name not in self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        if own is not None:
            return own
        entry = self._foreign().get(name)
        if entry is None:
            return None
        who = entry.dist.name if entry.dist else entry.module
        if sys.argv[1:2] != [name]:  # the list of commands names it without loading it
            return click.Command(name, help=f"From {who}.")
        try:
            loaded = entry.load()
        except Exception as error:
            raise UserError(f"{name} (from {who}) cannot be loaded: {type(error).__name__}: {error}") from None
        if not isinstance(loaded, click.Command):
            raise UserError(f"{name} (from {who}) is not a click command")
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from ctrbench.text import did_you_mean

        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"no command {name!r}; {did_you_mean(name, self.list_commands(ctx), 'there are')}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; a user's mistake is one line and exit status 2."""
        try:
            return super().main(*args, **extra)
        except UserError as error:
            from ctrbench.text import plain

            click.echo(f"ctrbench: {plain(str(error))}", err=True)
            sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C, wherever it comes, is status 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)

    @staticmethod
    def _foreign() -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=COMMANDS_GROUP)}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ctrbench", prog_name="ctrbench")
def main() -> None:
    """Find out whether synthetic data makes a click-through-rate model better, and at what price.

    \b
    ctrbench run --all                      everything installed, on the embedded data set
    ctrbench run -g smoten -m deepfm        one generator, one model, all scenarios
    ctrbench try log.csv                    a suite for your own log
    ctrbench list                           what is installed
    ctrbench leaderboard --view privacy     the last run's tables again
    ctrbench report --html report.html      all of it as one page
    """


for command in (
    run.run, try_.try_, leaderboard.leaderboard, report.report, plot.plot, export.export, compare.compare, list_.list_,
    show.show, plugins.plugins, check.check, data.data, store.store,
):  # fmt: skip
    main.add_command(command)
