"""What several commands share: the store's option, choices that are read late, tables for a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ctrbench.errors import UserError

if TYPE_CHECKING:
    from ctrbench.reading import Results
    from ctrbench.registry import PluginKind

STORE_HELP = "Results database: a path or a database URL. Its artefacts are kept beside it."


class LateChoice(click.Choice[str]):
    """A choice among words that stand in a module which is too heavy to be imported for `--help` of all commands."""

    def __init__(self, read: Callable[[], Sequence[str]]) -> None:
        self._read = read
        self.case_sensitive = False

    @property
    def choices(self) -> Sequence[str]:  # type: ignore[override]
        """The words."""
        return self._read()


class PluginName(click.types.StringParamType):
    """A plug-in's name, perhaps with parameters: any text, completed by what is installed."""

    name = "name"

    def __init__(self, *kinds: PluginKind, suites: bool = False) -> None:
        self._kinds = kinds
        self._suites = suites

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The plug-ins, with their help, whose names begin so."""
        from ctrbench.registry import load_registry
        from ctrbench.suite import packaged_suites

        plugins = [one for one in load_registry().plugins if not self._kinds or one.kind in self._kinds]
        known = {plugin.name: plugin.help for plugin in plugins} | dict.fromkeys(
            packaged_suites() if self._suites else (), "suite"
        )
        start = incomplete.casefold()
        return [CompletionItem(name, help=text) for name, text in known.items() if name.casefold().startswith(start)]


class SuiteName(click.Path):
    """A packaged suite's name, or a file."""

    name = "suite"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The suites whose names begin so; files where there is none."""
        from ctrbench.suite import packaged_suites

        names = [CompletionItem(name) for name in packaged_suites() if name.startswith(incomplete)]
        return names or super().shell_complete(ctx, param, incomplete)


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them; they are checked where the suite is."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers; none of the default."""
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(float(each) for each in value.split(","))
        except ValueError:
            name = param.opts[0] if param else "numbers"
            raise UserError(f"{name} {value}: give numbers with commas between them, as in 0.25,0.5,1") from None


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--store`."""
    return click.option(
        "--store",
        "store",
        type=click.Path(),
        metavar="PATH|URL",
        default="ctrbench.db",
        envvar="CTRBENCH_STORE",
        show_default=True,
        show_envvar=True,
        help=STORE_HELP,
    )(command)


def load_run(store: str, name: str | None, metric: str = "") -> Results:
    """A run of a store, the latest where none is named; UserError where it, or the metric, is not there."""
    from ctrbench.reading import load
    from ctrbench.text import did_you_mean

    results = load(store, name)
    info = results.stored.info
    if metric and info.prediction_metric(metric) is None:
        raise UserError(f"--metric {metric}: {did_you_mean(metric, info.prediction_metrics, 'this run has')}")
    return results


def colour() -> bool:
    """Whether standard output is a terminal that shows bold, and nobody asked for plain text (no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def width() -> int:
    """Letters of a line: those of the terminal, or COLUMNS, but no more than can be read well."""
    return min(max(shutil.get_terminal_size().columns, 64), 110)


def echo_table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """Print a plain table; its texts are made safe for a terminal, and its widest columns folded to fit it."""
    from tabulate import tabulate

    from ctrbench.text import folds, plain

    safe = [[plain(str(text)) for text in row] for row in rows]
    folded = folds(safe, headers, width(), least=LEAST_FOLDED)
    click.echo(tabulate(safe, headers, "simple", disable_numparse=True, maxcolwidths=folded))


LEAST_FOLDED = 24
"""No column is folded to fewer letters."""
