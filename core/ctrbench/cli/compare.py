"""`ctrbench compare`: a run beside a baseline, with an exit status that a build can stand on."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import load_run, store_option

if TYPE_CHECKING:
    from ctrbench.gate.snapshot import Snapshot

EXAMPLES = """
\b
Examples:
  ctrbench compare baseline.json --fail-on auc,identical,fit_seconds
  ctrbench compare baseline.json --fail-on auc,fit_seconds --margin auc=0.005 --margin fit_seconds=100%
  ctrbench compare baseline.json 20260105-090000-ab12cd --fail-on auc --junit report.xml
  ctrbench compare monday.json tuesday.json --fail-on logloss --markdown summary.md

Exit status: 0 nothing is worse by more than its margin, 1 something is, or is missing, 2 a mistake in the command or
its files, 3 the evidence is too thin to tell.
"""


@click.command(short_help="Compare a run with a baseline; fail if it is worse.", epilog=EXAMPLES)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("head", required=False)
@click.option(
    "--fail-on",
    "metrics",
    required=True,
    metavar="NAMES",
    help="Metrics to watch, separated by commas; also fit_seconds, sample_seconds, predict_seconds, peak_memory.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="NAME=SIZE",
    help="How much worse a metric may be: 0.005 in its unit, or 50% of the baseline's; may be repeated.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file, one test case per comparison."
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the printed summary to this file, too.")
@store_option
def compare(
    baseline: Path,
    head: str | None,
    metrics: str,
    margins: tuple[str, ...],
    junit: Path | None,
    markdown: Path | None,
    store: str,
) -> None:
    """Compare a run with a baseline, and fail if it is worse by more than a margin and by more than chance.

    HEAD is a run's name, a file of `ctrbench export`, or the latest run of the store. Each metric is compared overall,
    for each model and for each generator. The two runs may have different seeds; give every build a new one.
    """
    from ctrbench.files import whole_file
    from ctrbench.gate import compare as comparing
    from ctrbench.gate import reports, snapshot
    from ctrbench.params import BETWEEN

    names = [name.strip() for name in BETWEEN.split(metrics) if name.strip()]
    if not names:
        raise click.UsageError("--fail-on: name a metric, as in --fail-on auc,fit_seconds")
    if head == "":
        raise click.UsageError("HEAD is empty: name a run or a file, or leave it out for the latest run")
    if junit and markdown and os.path.realpath(junit) == os.path.realpath(markdown):
        raise click.UsageError("--junit and --markdown name the same file: give each its own")
    for file, opening in ((markdown, reports.MARKDOWN), (junit, reports.JUNIT)):
        if file:
            _refuse_others(file, opening)
    allowed = comparing.parse_margins(margins, names)
    made = comparing.compare(snapshot.read(baseline), _head(head, store), names, allowed)
    summary = reports.markdown(made)
    click.echo(summary, nl=False)
    for file, text in ((markdown, summary), (junit, reports.junit(made) if junit else "")):
        if file:
            with whole_file(file) as target:
                target.write(text.encode())
    sys.exit({comparing.Judgement.FINE: 0, comparing.Judgement.THIN: 3}.get(made.judgement, 1))


def _head(head: str | None, store: str) -> Snapshot:
    """The run to judge: from a file, or from the store."""
    from ctrbench.gate import snapshot

    if head and (head.endswith(".json") or os.path.isfile(head)):
        return snapshot.read(Path(head))
    return snapshot.take(load_run(store, head).stored)


def _refuse_others(file: Path, opening: re.Pattern[bytes]) -> None:
    """UserError where a file is there that is no earlier report: a report takes the place of the last build's only."""
    from ctrbench.errors import UserError
    from ctrbench.text import encodable

    with suppress(OSError):  # what cannot be read will not be written either, which is said then
        if os.path.isfile(file):
            with open(file, "rb") as there:
                if (begins := there.read(1000)) and not opening.match(begins):
                    raise UserError(f"{encodable(str(file))}: is not a report of `ctrbench compare`; name another file")
