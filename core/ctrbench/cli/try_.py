"""`ctrbench try`: a stranger's log becomes a suite that can be run."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ctrbench.suggest import Suggestion

EXAMPLES = """
\b
Examples:
  ctrbench try log.csv
  ctrbench try log.csv.gz --label "rating >= 4" --minutes 120
  ctrbench try logs/ --user uid --item ad --time ts -o my_suite.toml

It guesses from names and values what the columns are, and comments say why: read the suite, change it, run it.
"""


@click.command("try", short_help="Look at a log and write a suite for it.", epilog=EXAMPLES)
@click.argument("log", type=click.Path())
@click.option("--label", help='The column of clicks, or a rule such as "rating >= 4" or "event == click".')
@click.option("--user", help="The column that identifies the user.")
@click.option("--item", help="The column that identifies the item.")
@click.option("--time", help="The column of times.")
@click.option("--encoding", help="Of a text file.  [default: UTF-8, else cp1252]")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    help="How long the run may take.",
)
@click.option("-o", "--output", metavar="FILE", help="The suite to write.  [default: the log's name with .toml]")
def try_(
    log: str,
    label: str | None,
    user: str | None,
    item: str | None,
    time: str | None,
    encoding: str | None,
    minutes: float,
    output: str | None,
) -> None:
    """Look at a log and write a suite for it, with methods and repeats that fit the time."""
    from ctrbench.errors import UserError
    from ctrbench.files import refuse_existing, whole_file
    from ctrbench.registry import load_registry
    from ctrbench.suggest import suggest
    from ctrbench.text import bare_name, counted, encodable, plain

    if not math.isfinite(minutes):
        raise UserError(f"--minutes {minutes}: give a number of minutes")
    target = Path(output or f"{bare_name(log) or 'log'}.toml")
    if target.suffix != ".toml":
        raise UserError(f"--output {output}: a suite's name must end in .toml")
    refuse_existing(target, "remove that one")
    said = {"label": label, "user": user, "item": item, "time": time, "encoding": encoding}
    given = {key: value for key, value in said.items() if value}
    registry = load_registry()
    suggestion = suggest(log, given, minutes, registry, target.stem)
    if sys.stdin.isatty() and sys.stderr.isatty() and (answers := _ask(suggestion)):
        suggestion = suggest(log, given | answers, minutes, registry, target.stem)
    with whole_file(target) as file:
        file.write(encodable(suggestion.text).encode())
    for parameter, value in suggestion.proposal.parameters.items():
        click.echo(plain(f"{parameter} = {_short(value)}: {suggestion.proposal.reasons.get(parameter, '')}"))
    for parameter, others in suggestion.proposal.others.items():
        taken = suggestion.proposal.parameters[parameter]
        choose = " or ".join(f'--{parameter} "{other}"' for other in others)
        click.echo(plain(f"{parameter} is taken to be {taken}; {choose} takes another"))
    for note in suggestion.notes:
        click.echo(plain(f"note: {note}"))
    takes = counted(max(1, round(suggestion.seconds / 60)), "minute")
    click.echo(plain(f"{target}: {suggestion.repeats} repeats, about {takes}; now"))
    click.echo(plain(f"  ctrbench run --suite {shlex.quote(str(target))}"))


def _ask(suggestion: Suggestion) -> dict[str, str]:
    """Somebody at a terminal chooses where something else would do."""
    answers = {}
    for parameter, others in suggestion.proposal.others.items():
        taken = str(suggestion.proposal.parameters[parameter])
        answer = click.prompt(f"{parameter}: {', or '.join([taken, *others])}", default=taken, err=True)
        if answer != taken:
            answers[parameter] = answer
    return answers


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 100 else f"{text[:99]}…"
