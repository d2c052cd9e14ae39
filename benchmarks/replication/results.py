"""The tables and pictures of docs/results, made from the archives of results beside them.

In: `*.zip.xz` in a folder, packed archives of `ctrbench store export --without-rows`, and pages with marks. Out: the
pages with their tables updated, and the pictures; identical bytes each time.

    make results
    python benchmarks/replication/results.py --folder docs/results
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import telling
from ctrbench import UserError, load
from ctrbench.reading import Results
from ctrbench.store import transfer
from ctrbench.store.store import Store
from replication import SIMULATED, Replication
from today import Today

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"


@contextmanager
def opened(folder: Path) -> Iterator[list[Results]]:
    """All runs of the archives that have cells; they can be read within the block."""
    with TemporaryDirectory() as place:
        where = str(Path(place) / "results.db")
        with closing(Store.open(where)) as store:
            for packed in sorted(folder.glob("*.zip.xz")):
                archive = Path(place) / packed.stem
                archive.write_bytes(lzma.decompress(packed.read_bytes()))
                transfer.import_(store, archive)
                archive.unlink()
            runs = sorted(each.run for each in store.runs())
        found = []
        for run in runs:
            with suppress(UserError):  # a run that only supplied results to another
                found.append(load(where, run))
        yield found


def renewed(page: str, tables: dict[str, str]) -> str:
    """The page with each table between its marks."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        block = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(block.findall(page)) != 1:
            raise click.ClickException(f"the page needs {begin} and {end}, once, to write between")
        page = block.sub(lambda _, text=f"{begin}\n\n{table}\n\n{end}": text, page)  # type: ignore[misc]
    return page


PAGES: dict[str, tuple[str, type[Replication] | type[Today]]] = {
    "README.md": ("scenarios.svg", Replication),
    "frontier.md": ("frontier.svg", Today),
}
"""Each page with its picture, and what makes both."""


@click.command(help=__doc__)
@click.option("--folder", type=click.Path(path_type=Path, exists=True), default=FOLDER, help="page and archives")
@click.option("--to", type=click.Path(path_type=Path), help="where to write instead, for a comparison")
def main(folder: Path, to: Path | None) -> None:
    """Update the pages and the reports."""
    to = to or folder
    to.mkdir(parents=True, exist_ok=True)
    with opened(folder) as runs:
        for page, (picture, maker) in PAGES.items():
            made = maker(runs)
            text = renewed((folder / page).read_text(encoding="utf-8"), made.tables())
            (to / page).write_text(text, encoding="utf-8")
            (to / picture).write_bytes(made.picture())
        for name in ("frappe", "logs", SIMULATED[-1]):
            telling.by_suite(runs)[name].report(to / f"{name}.html", force=True)


if __name__ == "__main__":
    main()
