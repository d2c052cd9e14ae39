"""The command line. Each command is a module here; what is heavy is imported when a command runs, not for `--help`."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ctrbench.cli import (
    check,
    compare,
    data,
    export,
    failures,
    leaderboard,
    list_,
    new,
    plot,
    plugins,
    report,
    run,
    show,
    site,
    store,
    try_,
)
from ctrbench.errors import RunFailed, UserError
from ctrbench.text import LINE, bounded, did_you_mean, encodable, plain, shown_address

if TYPE_CHECKING:
    from ctrbench.installed import Brought

COMMANDS_GROUP = "ctrbench.commands"
_ADDRESS_SPACE = 3 * 10**9  # bytes that numpy, pandas and the database's libraries reserve, most of it never used


class _Commands(click.Group):
    """Our commands, and those that other distributions bring, which are loaded when they are invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in self._foreign() if name not in self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = super().get_command(ctx, name)
        if own is not None:
            return own
        brought = self._foreign().get(name)
        if brought is None:
            return None
        who = brought.distribution
        if sys.argv[1:2] != [name]:  # the list of commands names it without loading it
            return click.Command(name, help=f"From {who}.")
        from ctrbench.asking import NoAnswer, ask

        loaded = ask(brought.entry.load)
        if isinstance(loaded, NoAnswer):
            raise UserError(f"{name} (from {who}) cannot be loaded: {loaded.error}")
        if not isinstance(loaded, click.Command):
            raise UserError(f"{name} (from {who}) is not a click command")
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.UsageError(f"no command {name!r}; {did_you_mean(name, self.list_commands(ctx), 'there are')}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; a user's mistake is one line and exit status 2."""
        try:
            _settle_streams()
            return super().main(*args, **extra)
        except UserError as error:
            _end(2, str(error))
        except RunFailed as error:
            _end(1, str(error))
        except OSError as error:
            if _is_of_standard_output(error):
                _end(2, f"standard output cannot be written: {error}; what is in the store is kept")
            raise

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line; what is wrong with it is said without passwords."""
        try:
            return super().make_context(*args, **extra)
        except click.ClickException as error:
            raise _mistake(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Ctrl-C, wherever it comes, is status 130; a second one does not cut its handling short."""
        try:
            _check_surroundings()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            click.echo("interrupted", err=True)
            ctx.exit(130)
        except click.ClickException as error:
            raise _mistake(error) from None

    @staticmethod
    def _foreign() -> dict[str, Brought]:
        """The commands of other distributions, by names that a terminal can show."""
        from ctrbench import installed

        return {one.shown: one for one in installed.brought(COMMANDS_GROUP)[0]}


def _end(status: int, text: str) -> NoReturn:
    """Say one line, in which no word of the command line is shown that may hold a password."""
    with suppress(OSError):  # nobody can be told; the status still says it
        click.echo(f"ctrbench: {bounded(plain(_without_addresses(text)), 2 * LINE)}", err=True)
    sys.exit(status)


def _mistake(error: click.ClickException) -> Exception:
    """What is wrong with a command line, in one line; of a group alone click shows the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    said = error.format_message().removesuffix(".")
    if "unexpected extra argument" in said and any(word.count("[") > word.count("]") for word in sys.argv[1:]):
        said += '; quote a plug-in with parameters: "NAME[key=value, key=value]"'
    context = getattr(error, "ctx", None)
    if pasted := re.search(r"(?<![^\s('])[‐‑‒–—―−]+\w", said):
        said += f"; {pasted[0][0]} was pasted from a page: options begin with --"
    elif isinstance(error, click.NoSuchOption) and re.fullmatch(r"-\w", error.option_name):
        said += "".join(
            f"; did you mean -{word}?" for word in sys.argv[1:] if re.match(rf"{error.option_name}\w+", word)
        )
    elif "No such command" in said and context and isinstance(context.command, click.Group):
        said = f"{said.partition('.')[0]}; there are {', '.join(context.command.list_commands(context))}"
    return UserError(said + (f"; see `{context.command_path} --help`" if context else ""))


def _without_addresses(text: str) -> str:
    """A text without the passwords of what the user gave, as it was given and as it is written in messages."""
    for word in (*sys.argv[1:], os.environ.get("CTRBENCH_STORE", "")):
        for given in (word, word.partition("=")[2], *re.split(r"[\[\],]\s*(?:\w+=)?", word)):  # NAME[key=value, …]
            shown = shown_address(given)
            if given and shown != given:
                for written in (given, encodable(given), plain(given), repr(given)[1:-1], os.fspath(Path(given))):
                    text = text.replace(written, shown)
    return text


def _settle_streams() -> None:
    """Make standard streams safe: the number of one that is closed would be the next file's, such as the store's."""
    if sys.stdout is None:
        raise UserError("standard output is closed: send it to a file, or to /dev/null")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # letters that a terminal's encoding lacks


def _check_surroundings() -> None:
    """UserError where no command could do its work, rather than a library that hangs or a traceback."""
    try:
        Path.cwd()
    except OSError:
        raise UserError("the working directory does not exist any more: cd to another one") from None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE:
        raise UserError(
            f"ulimit -v {limit // 1024} leaves {limit / 1e9:.1f} GB of address space, too little for the libraries, "
            f"some of which would hang: allow {_ADDRESS_SPACE / 1e9:g} GB; `ctrbench run --memory` limits what a task "
            "may use"
        )


def _is_of_standard_output(error: OSError) -> bool:
    """Whether an error comes from printing: everything is printed by click."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == click.echo.__code__.co_filename


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
    ctrbench report                         all of it as one page
    """


for command in (
    run.run, try_.try_, leaderboard.leaderboard, failures.failures, report.report, plot.plot, site.site, export.export,
    compare.compare, list_.list_, show.show, new.new, plugins.plugins, check.check, data.data, store.store,
):  # fmt: skip
    main.add_command(command)
