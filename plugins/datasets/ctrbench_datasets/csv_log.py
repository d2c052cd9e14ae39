"""Any click log in a CSV or Parquet file.

In: one file, split by ratio or by time, or a folder of three files; which column is the label, which are numbers, users
or items. Out: splits of all other columns.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from ctrbench import MISSING, Context, Dataset, Field, Missing, Ready, Register, Splits, Table, UserError, hookimpl
from ctrbench.encoding import encode_splits
from ctrbench.ranking import Queries, with_ranking
from ctrbench.text import did_you_mean

from ctrbench_datasets._reading import checksum, read_log

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

SPLITS = ("train", "valid", "test")
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")
RATIOS = (0.8, 0.1, 0.1)

Columns = str | tuple[str, ...]


@dataclass(frozen=True)
class CsvLog(Dataset):
    """Any CSV or Parquet log: csv_log[path=log.csv, user=uid, item=(ad, brand), time=ts]."""

    name: ClassVar[str] = "csv_log"
    path: Annotated[str, "a CSV or Parquet file, or a folder of train, valid and test files"] = ""
    label: Annotated[str, "the column of clicks, 0 or 1"] = "label"
    user: Annotated[Columns, "columns that describe the user, the identifier first"] = ()
    item: Annotated[Columns, "columns that describe the item, the identifier first"] = ()
    numeric: Annotated[Columns, "columns of numbers; all others are categorical"] = ()
    drop: Annotated[Columns, "columns to leave out"] = ()
    time: Annotated[str, "split by this column, oldest rows into train; by chance where it is empty"] = ""
    ratios: Annotated[tuple[float, float, float], "shares of train, valid and test in one file"] = RATIOS
    ranking: Queries = 0

    def __post_init__(self) -> None:
        if min(self.ratios) <= 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise UserError(f"csv_log: ratios={self.ratios} must be three positive shares that add up to 1")

    def availability(self) -> Ready | Missing:
        """Ready where the file, or the three files of a folder, can be read."""
        found = self._files()
        return found if isinstance(found, Missing) else Ready()

    def version(self) -> str:
        """The SHA-256 sums of the files."""
        found = self._files()
        return "" if isinstance(found, Missing) else " ".join(checksum(path, "sha256") for path in found)

    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits; the seed shuffles the rows where they are split by ratio alone, and chooses `ranking`."""
        files = self._files()
        if isinstance(files, Missing):
            raise UserError(f"csv_log: {files.reason}")
        source = f"csv_log ({self.path})"
        frames = [read_log(path, numeric=(self.label, self.time, *_names(self.numeric))) for path in files]
        fields = self._fields([str(name) for name in frames[0].columns], source)
        if len(frames) == 1:
            frames = self._split(frames[0], seed, source)
        elif self.time or self.ratios != RATIOS:
            raise UserError(f"{source}: a folder is split already; leave out time and ratios, or name one file")
        splits = encode_splits(*frames, label=self.label, fields=fields, source=source)
        splits = with_ranking(splits, self.ranking, seed=seed, source=source)
        return replace(splits, notes=(*splits.notes, *_remarks(splits.train)))

    def _files(self) -> list[Path] | Missing:
        if not self.path:
            return Missing("needs a file: csv_log[path=log.csv]")
        path = Path(self.path).expanduser()
        if os.path.isfile(path):
            return [path]
        if not os.path.isdir(path):
            return Missing(f"path={self.path} is not there or may not be read; name a file or folder that is")
        names = {split: [split + suffix for suffix in SUFFIXES] for split in SPLITS}
        here = {split: [path / name for name in names[split] if os.path.isfile(path / name)] for split in SPLITS}
        for split, files in here.items():
            if len(files) != 1:
                found = f"both {files[0].name} and {files[1].name}" if files else f"no readable {split}.csv or .parquet"
                return Missing(f"the folder path={self.path} has {found}; it needs one file a split")
        return [files[0] for files in here.values()]

    def _fields(self, columns: list[str], source: str) -> list[Field]:
        """All columns but label, time and the dropped ones, in the file's order."""
        roles: dict[str, str] = {}
        for parameter in ("label", "time", "drop", "user", "item", "numeric"):
            for name in _names(getattr(self, parameter)):
                if name not in columns:
                    hint = did_you_mean(name, columns, "the columns are")
                    raise UserError(f"{source}: {parameter}={name} is not a column; {hint}")
                other = roles.setdefault(name, parameter)
                if other != parameter and not (parameter == "numeric" and other in ("user", "item")):
                    raise UserError(f"{source}: {parameter}={name} is named by {other} too; leave one out")
        numeric = _names(self.numeric)
        return [
            Field(
                name,
                "numeric" if name in numeric else "categorical",
                "user" if roles.get(name) == "user" else "item" if roles.get(name) == "item" else "context",
            )
            for name in columns
            if roles.get(name) not in ("label", "time", "drop")
        ]

    def _split(self, frame: pd.DataFrame, seed: int, source: str) -> list[pd.DataFrame]:
        if self.time:
            order = np.argsort(_instants(frame[self.time], f"{source}: time {self.time!r}"), kind="stable")
        else:
            order = np.random.default_rng(seed).permutation(len(frame))
        cuts = np.round(np.cumsum(self.ratios)[:2] * len(frame)).astype(int)
        return [frame.iloc[rows] for rows in np.split(order, cuts)]


def _names(columns: Columns) -> tuple[str, ...]:
    return tuple(filter(None, (columns,))) if isinstance(columns, str) else columns


def _instants(column: pd.Series[Any], where: str) -> NDArray[Any]:
    """Numbers as they are and texts as ISO 8601 dates: other ways to write a date can be read in two ways."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column):
        column = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
    bad = column.isna().to_numpy()
    if bad.any():
        raise UserError(
            f"{where}: row {column.index[int(bad.argmax())]} has no number or ISO 8601 date; mend or drop the row"
        )
    return column.to_numpy()


def _remarks(train: Table) -> list[str]:
    """Categorical fields that look as if they were something else."""
    import pandas as pd

    remarks = []
    for field in train.schema.categorical:
        values = [value for value in field.vocabulary or () if value != MISSING]
        numbers = pd.to_numeric(np.array(values, dtype=object), errors="coerce")
        count = f"field {field.name!r} is categorical with {len(values)} values"
        if np.all(np.isfinite(numbers)) and np.any(numbers % 1):
            remarks.append(f"{count}, numbers with fractions: numeric={field.name} would make it a number")
        elif len(values) > len(train) / 2:
            remarks.append(f"{count} in {len(train)} rows of train, hardly any twice: drop={field.name} leaves it out")
    return remarks


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(CsvLog)
