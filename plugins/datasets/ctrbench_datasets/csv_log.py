"""Any click log in files: CSV, Parquet, Feather or JSON lines (docs/data.md).

In: one file or several, split as requested, or a folder of splits; what its columns are and how it is written. Out:
splits of all other columns, with notes on what was found, changed or left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from ctrbench import (
    Context,
    Dataset,
    Missing,
    Proposal,
    Queries,
    Ready,
    Register,
    Splits,
    UserError,
    file_digest,
    hookimpl,
    plain,
    with_ranking,
)

from ctrbench_datasets._logs import RATIOS, PerField, Recipe, Split, make_splits
from ctrbench_datasets._look import look
from ctrbench_datasets._reading import read_log
from ctrbench_datasets._sources import Sources, find_sources
from ctrbench_datasets._text import Dialect

Columns = str | tuple[str, ...]


@dataclass(frozen=True)
class CsvLog(Dataset):
    """Any click log: csv_log[path=log.csv, label="rating >= 4", user=uid, item=(ad, brand), time=ts]."""

    path: Annotated[Columns, "a file, a pattern such as logs/*.csv.gz, several, or a folder of splits or of days"] = ""
    label: Annotated[str, 'the column of clicks, 0 and 1, or a rule: "rating >= 4", "event == click"'] = "label"
    user: Annotated[Columns, "columns that describe the user, the identifier first"] = ()
    item: Annotated[Columns, "columns that describe the item, the identifier first"] = ()
    numeric: Annotated[Columns, "columns of numbers; all others are categorical"] = ()
    drop: Annotated[Columns, "columns to leave out"] = ()
    time: Annotated[str, "split by this column, oldest rows into train; by chance if empty"] = ""
    ratios: Annotated[tuple[float, float, float], "shares of train, valid and test in one file"] = RATIOS
    ranking: Queries = 0
    valid: Annotated[str, "a separate file for valid"] = ""
    test: Annotated[str, "a separate file for test"] = ""
    columns: Annotated[Columns, "the names of all columns, where the files have no header"] = ()
    delimiter: Annotated[str, "what separates values in a text file, or tab; detected if empty"] = ""
    quote: Annotated[str, "what encloses values in a text file, or none; detected if empty"] = ""
    encoding: Annotated[str, "of a text file, such as cp1252; UTF-8 or by its byte-order mark if empty"] = ""
    decimal: Annotated[str, "the decimal mark of numbers, a point or a comma; detected if empty"] = ""
    missing: Annotated[Columns, "texts that mean a missing value, besides the empty one, such as NA"] = ()
    split: Annotated[Split, "how one log is split: by time where there is one, else by chance"] = ""
    gap: Annotated[str, "what to leave out between the splits in time, such as 12h or 1d"] = ""
    time_format: Annotated[str, "how times are written if not as ISO 8601 or a number, such as %y%m%d%H"] = ""
    derive: Annotated[Columns, "fields derived from the time: hour, weekday, weekend, days"] = ()
    sequence: Annotated[Columns, "columns with several values per row: described, and left out"] = ()
    keep: Annotated[Columns, "columns to keep although they have a single value, or no value twice"] = ()
    min_count: Annotated[PerField, "values in fewer rows of train become (rare); or (field:count, …)"] = 1
    top: Annotated[PerField, "all but this many most frequent values become (rare); or (field:number, …)"] = 0
    hash: Annotated[PerField, "values are hashed into this many buckets; or (field:buckets, …)"] = 0
    scale: Annotated[Columns, "scaling of numbers: standard or log; or (field:log, …)"] = ""
    name: Annotated[str, "what tables call the log"] = "csv_log"  # type: ignore[misc]
    bins: Annotated[Columns, "numbers become categories: quantiles:20 or criteo; or (field:quantiles:20, …)"] = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name != plain(self.name):
            raise UserError(f"csv_log: name={self.name!r} must be a text that can be printed on one line")
        try:
            self._recipe()
            self._dialect()
        except UserError as error:
            raise UserError(f"csv_log: {error}") from None

    @classmethod
    def propose(cls, path: str, given: Mapping[str, str]) -> Proposal:
        """What the log seems to be, from its names and values."""
        return look(path, given)

    def availability(self) -> Ready | Missing:
        """Ready where the files exist."""
        found = self._sources()
        return found if isinstance(found, Missing) else Ready()

    def version(self) -> str:
        """The SHA-256 sums of the files."""
        found = self._sources()
        return "" if isinstance(found, Missing) else " ".join(file_digest(path) for path in found.all)

    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits; the seed decides random splits (by row or user) and chooses `ranking`."""
        sources = self._sources()
        if isinstance(sources, Missing):
            raise UserError(f"csv_log: {sources.reason}")
        shown = self.path if isinstance(self.path, str) else ", ".join(self.path)
        source = f"csv_log ({shown})"
        files = [part for part in (sources.train, sources.valid, sources.test) if part]
        if sources.valid and not sources.test:
            raise UserError(f"{source}: valid={self.valid} needs a test of its own too: say test=")
        try:
            folders = any(len(part) > 1 for part in files)  # a test of one day has the day too, as train of many has
            logs = [read_log(part, self._dialect(), folders=folders) for part in files]
            splits = make_splits(logs, self._recipe(), seed=seed, source=source, notes=sources.notes)
            return with_ranking(splits, self.ranking, seed=seed, source=source)
        except UserError as error:  # names of columns may contain anything, such as a line break
            raise UserError(plain(str(error))) from None

    def _sources(self) -> Sources | Missing:
        if not self.path:
            return Missing("needs a file: csv_log[path=log.csv]")
        return find_sources(self.path, self.valid, self.test)

    def _dialect(self) -> Dialect:
        delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter)
        return Dialect(delimiter, self.quote, "", self.encoding, _names(self.columns), _names(self.missing))

    def _recipe(self) -> Recipe:
        return Recipe(
            label=self.label,
            user=_names(self.user),
            item=_names(self.item),
            numeric=_names(self.numeric),
            drop=_names(self.drop),
            keep=_names(self.keep),
            sequence=_names(self.sequence),
            time=self.time,
            time_format=self.time_format,
            derive=_names(self.derive),
            split=self.split,
            ratios=self.ratios,
            gap=self.gap,
            decimal=self.decimal,
            min_count=self.min_count,
            top=self.top,
            hash=self.hash,
            scale=self.scale,
            bins=self.bins,
        )


def _names(columns: Columns) -> tuple[str, ...]:
    return tuple(filter(None, (columns,))) if isinstance(columns, str) else columns


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(CsvLog)
