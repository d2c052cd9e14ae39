"""What several commands share: the store's option, and tables for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

STORE_HELP = "Results database: a path or a database URL. Its artefacts lie beside it."


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--store`."""
    return click.option(
        "--store",
        "store",
        default="ctrbench.db",
        envvar="CTRBENCH_STORE",
        show_default=True,
        show_envvar=True,
        help=STORE_HELP,
    )(command)


def colour() -> bool:
    """Whether standard output is a terminal that shows bold."""
    return sys.stdout.isatty()


def echo_table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """Print a plain table; its texts are made safe for a terminal."""
    from tabulate import tabulate

    from ctrbench.text import plain

    safe = [[plain(str(text)) for text in row] for row in rows]
    click.echo(tabulate(safe, headers, "simple", disable_numparse=True))
