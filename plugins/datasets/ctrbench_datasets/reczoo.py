"""Public logs in RecZoo's format, one data set for each entry of the table next to this module.

In: reczoo.toml, and a log's files in a folder or downloaded. Out: data sets, and their splits of all columns that fit a
table; valid is taken from train where none is published.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Dataset, Location, Published, Queries, Register, Splits, hookimpl, with_ranking

from ctrbench_datasets._logs import Recipe, make_splits
from ctrbench_datasets._origin import Origin, PublicLog
from ctrbench_datasets._published import published_tables
from ctrbench_datasets._reading import Log, read_log
from ctrbench_datasets._text import Dialect

SOURCE = "BARS (Zhu et al. 2022, arXiv 2205.09626), reczoo/BARS"
SEQUENCES = "; with the users' histories, which are left out here, and chosen on test, as there is no valid split"


@dataclass(frozen=True)
class PublishedSplit:
    """One of a log's published splits: where it comes from, what its columns are, and the results others got on it."""

    origin: Origin
    note: str
    recipe: Recipe
    columns: tuple[str, ...]
    apart: str
    published: tuple[Published, ...]


@dataclass(frozen=True)
class Reczoo(PublicLog):
    """A log of reczoo.toml; its subclasses are made below."""

    splits: ClassVar[Mapping[str, PublishedSplit]]

    path: Annotated[
        str, "folder of its CSV files; else a folder of its ID in $CTRBENCH_DATA, else a download", Location()
    ] = ""
    rows: Annotated[int, "this many rows of train by chance, of the others in proportion; 0: all", Ge(0)] = 0
    min_count: Annotated[int, "values in fewer rows of train become (rare); 0: as in the benchmark", Ge(0)] = 0
    ranking: Queries = 0

    @property
    def origin(self) -> Origin:
        """The files of the split."""
        return self._chosen.origin

    def version(self) -> str:
        """The md5 sums of the files (before a download, the published ones), and the table's entry on the columns."""
        told = repr((self._chosen.recipe, self._chosen.columns, self._chosen.apart))
        return f"{super().version()} {hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def load(self, *, seed: int, context: Context) -> Splits:
        """The published splits; the seed draws `rows` and `ranking`, and valid where it is taken from train."""
        chosen = self._chosen
        folder = chosen.origin.bring(self.path, context.progress)
        recipe = chosen.recipe
        if self.min_count:
            recipe = dataclasses.replace(recipe, min_count=self.min_count)
        only = chosen.columns or None
        logs = [read_log(folder / name, Dialect(","), only=only) for name in chosen.origin.files]
        notes = [*chosen.origin.notes(folder), chosen.note]
        if self.rows and self.rows < len(logs[0]):
            share = self.rows / len(logs[0])
            logs = [_sampled(log, share, [seed, place]) for place, log in enumerate(logs)]
            notes.append(f"rows={self.rows}: {share:.2%} of the rows of each file, drawn by chance")
        source = f"{self.name} ({folder})"
        splits = make_splits(logs, recipe, seed=seed, source=source, notes=notes)
        splits = with_ranking(splits, self.ranking, seed=seed, source=source)
        return dataclasses.replace(splits, apart=chosen.apart)

    def published(self) -> Sequence[Published]:
        """BARS's figures on real rows, grouped by what they are."""
        return self._chosen.published

    @property
    def _chosen(self) -> PublishedSplit:
        return self.splits[getattr(self, "split", next(iter(self.splits)))]


def _sampled(log: Log, share: float, seed: list[int]) -> Log:
    """A share of the rows, in their order."""
    count = max(1, round(share * len(log)))
    rows = np.sort(np.random.default_rng(seed).choice(len(log), count, replace=False))
    return Log.of(log.table.take(rows), f"{count:,} rows of {log.files[0][0]}", log.notes)


def _made(name: str, told: Mapping[str, Any]) -> type[Reczoo]:
    """The data set of an entry; with the parameter `split` where several are published."""
    splits = {key: _split(name, told["licence"], each) for key, each in told["split"].items()}
    parameters: list[Any] = []
    if len(splits) > 1:
        choice = Annotated[Literal[tuple(splits)], "which of the published splits"]  # type: ignore[valid-type]
        parameters = [("split", choice, next(iter(splits)))]
    namespace = {"__doc__": f"{told['help']}.", "__module__": __name__, "name": name, "splits": splits}
    called = "".join(part.capitalize() for part in name.split("_"))
    return dataclasses.make_dataclass(called, parameters, bases=(Reczoo,), namespace=namespace, frozen=True)


def _split(name: str, licence: str, told: Mapping[str, Any]) -> PublishedSplit:
    url = f"https://huggingface.co/datasets/reczoo/{told['id']}/resolve/main/{told['id']}.zip"
    origin = Origin(name, told["id"], told["md5"], ((url,),), licence, size=told.get("size", ""))
    recipe: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in told["recipe"].items()
    }
    tables = {
        "means": ("five runs", "mean of five runs with other seeds ± their deviation (from their mean, divided by 5)"),
        "single": ("single runs", "the one run that is published, its settings chosen by a search"),
    }
    return PublishedSplit(
        origin,
        told["note"],
        Recipe(**recipe),
        tuple(told.get("columns", ())),
        told.get("apart", ""),
        tuple(
            published_tables(
                {
                    "title": f"BARS, {told['id']}: test AUC, {kind}",
                    "source": SOURCE,
                    "metric": "auc",
                    "statistic": statistic + (SEQUENCES if len(told["md5"]) < 3 else ""),
                    "models": told[key],
                }
                for key, (kind, statistic) in tables.items()
                if key in told
            )
        ),
    )


def _entries() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("reczoo.toml").read_text(encoding="utf-8"))


DATASETS = tuple(_made(name, told) for name, told in _entries().items())
globals().update({made.__name__: made for made in DATASETS})  # another process finds them by their names


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register a data set for each entry of the table."""
    for made in DATASETS:
        register(made)
