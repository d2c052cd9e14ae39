"""`ctrbench plot`: the figures of a report as files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import load_run, store_option

if TYPE_CHECKING:
    from ctrbench.report.canvas import ImageFormat

EXAMPLES = """
\b
Figures: answer, scenarios, cells, heatmap, doses, shares, frontier, curves, marginals.

\b
Examples:
  ctrbench plot --out figures
  ctrbench plot scenarios heatmap --out figures --format png
  ctrbench plot scenarios --out figure1.svg
  ctrbench plot cells --out cells.png --metric logloss
"""


_KINDS: dict[str, ImageFormat] = {".svg": "svg", ".png": "png"}


@click.command(short_help="Write the figures of a run.", epilog=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="A folder, or one .png or .svg.",
)
@click.option(
    "--format", "kind", type=click.Choice(["svg", "png"]), help="Format of files in a folder.  [default: svg]"
)
@click.option("--run", "run_name", help="A run by its name.  [default: the latest]")
@click.option("--metric", default="", help="Prediction metric of the figures.  [default: the run's first]")
@click.option("--force", is_flag=True, help="Write over files that exist.")
@store_option
def plot(
    names: tuple[str, ...],
    out: Path,
    kind: ImageFormat | None,
    run_name: str | None,
    metric: str,
    force: bool,
    store: str,
) -> None:
    """Write the figures of a run, all or those named, one per data set."""
    from ctrbench.effects import Effects
    from ctrbench.errors import UserError
    from ctrbench.files import refuse_existing, whole_file
    from ctrbench.report.pictures import NAMES, pictures
    from ctrbench.text import counted, did_you_mean, fault, plain

    for name in names:
        if name not in NAMES:
            raise UserError(f"no figure {name!r}; {did_you_mean(name, NAMES, 'there are')}")
    single = None if os.path.isdir(out) else _KINDS.get(out.suffix.lower())
    if not single and re.fullmatch(r"\.[A-Za-z]{2,4}", out.suffix) and not os.path.isdir(out):
        raise UserError(f"--out {out}: figures are .svg or .png; name such a file, or a folder")
    if single and kind not in (None, single):
        raise UserError(f"--out {out} is no {kind}; leave --format out, or name a folder")
    results = load_run(store, run_name, metric).stored
    metric = results.info.prediction_metric(metric) or results.info.leading_metric
    found = [
        picture
        for dataset in results.info.datasets
        for picture in pictures(Effects(results, dataset, metric), dict.fromkeys(names or NAMES))
    ]
    if not found:
        raise UserError(f"run {results.run} has nothing to show in {', '.join(names or NAMES)}")
    if single and len(found) > 1:
        raise UserError(f"--out {out} is one file, but there are {len(found)} figures; name one figure, or a folder")
    kind = single or kind or "svg"
    front = _fronts(list(results.info.datasets))
    files = {out if single else out / f"{front[each.dataset]}{each.name}.{kind}": each for each in found}
    if not force:
        for file in files:
            refuse_existing(file, "say --force")
    if not single:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {out}: cannot be made: {fault(error)}") from None
    for file, picture in files.items():
        content = picture.render(kind)
        with whole_file(file) as target:
            target.write(content)
        click.echo(plain(f"{file}: {picture.title}"))
    click.echo(counted(len(files), "figure"))


def _fronts(datasets: Sequence[str]) -> dict[str, str]:
    """What stands before the names of a data set's files; nothing where there is but one."""
    if len(datasets) == 1:
        return {datasets[0]: ""}
    safe = (re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] for name in datasets)
    return {name: f"{number}-{text}-" for number, (name, text) in enumerate(zip(datasets, safe, strict=True), 1)}
