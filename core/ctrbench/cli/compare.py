"""`ctrbench compare`: a run beside a baseline, with an exit status that a build can stand on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import store_option

if TYPE_CHECKING:
    from ctrbench.snapshot import Snapshot

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


@click.command(epilog=EXAMPLES)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("head", required=False)
@click.option(
    "--fail-on",
    "metrics",
    required=True,
    metavar="NAMES",
    help="Metrics to watch, with commas between; also fit_seconds, sample_seconds, predict_seconds, peak_memory.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="NAME=SIZE",
    help="How much worse a metric may be: 0.005 in its unit, or 50% of the baseline's; may be repeated.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file, a test case a question.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write what is printed to this file too.")
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
    """Compare a run with a baseline, and fail where it is worse beyond a margin and beyond chance.

    HEAD is a run's name, a file of `ctrbench export`, or the latest run of the store. Each metric is asked about as a
    whole, for each model and for each generator. The seeds of both runs may differ, as should the seed of each build.
    """
    from ctrbench import compare as comparing
    from ctrbench import compare_reports, snapshot

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--fail-on: name a metric, as in --fail-on auc,fit_seconds")
    allowed = comparing.parse_margins(margins, names)
    made = comparing.compare(snapshot.read(baseline), _head(head, store), names, allowed)
    summary = compare_reports.markdown(made)
    click.echo(summary, nl=False)
    for file, text in ((markdown, summary), (junit, compare_reports.junit(made) if junit else "")):
        if file:
            _write(file, text, (baseline, Path(head or "")))
    sys.exit({comparing.Verdict.FINE: 0, comparing.Verdict.REGRESSION: 1, comparing.Verdict.THIN: 3}[made.verdict])


def _head(head: str | None, store: str) -> Snapshot:
    """The run to judge: from a file, or from the store."""
    from ctrbench import snapshot
    from ctrbench.store import Store

    if head and (head.endswith(".json") or os.path.isfile(head)):
        return snapshot.read(Path(head))
    with closing(Store.open(store, create=False)) as opened:
        return snapshot.take(opened.load_run(head))


def _write(file: Path, text: str, read: Sequence[Path]) -> None:
    """Write a report, in place of the last build's, but never of what was compared."""
    from ctrbench.errors import UserError
    from ctrbench.files import whole_file
    from ctrbench.text import encodable

    if any(os.path.exists(other) and os.path.exists(file) and os.path.samefile(file, other) for other in read):
        raise UserError(f"{encodable(str(file))}: is one of the files compared; name another for the report")
    with whole_file(file) as target:
        target.write(text.encode())
