"""Rows that another tool made, so that any method can be judged without being a plug-in.

In: a training table and a file of rows in its format. Out: a sampler that gives the file's rows, in another order for
each seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from ctrbench import (
    Context,
    Generator,
    Location,
    Register,
    Sampler,
    Skip,
    Table,
    UserError,
    file_digest,
    hookimpl,
    read_rows,
)


@dataclass(frozen=True)
class FromFile(Generator):
    """Rows of a file that another tool made: from_file[path=rows.csv].

    The tool may have seen only train, as `ctrbench data export NAME --split train rows.csv` writes it: if it was shown
    valid or test, everything measured on its rows is worthless, and nothing here can detect that. The file holds the
    same columns under the same names, as CSV or Parquet; its click rate is not checked or changed.
    """

    name: ClassVar[str] = "from_file"
    path: Annotated[str, "a file of rows in the log's own format, .csv, .csv.gz, .tsv or .parquet", Location()] = ""
    unknown: Annotated[Literal["refuse", "drop"], "what to do with rows that have a value which train lacks"] = "refuse"

    def version(self) -> str:
        """The SHA-256 of the file, wherever it lies."""
        return file_digest(Path(self.path).expanduser()) if self.path else ""

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Read the file; UserError for rows that do not fit train's schema, Skip where no file is named."""
        if not self.path:
            raise Skip("it needs a file: from_file[path=rows.csv]")
        rows, misfits = read_rows(Path(self.path).expanduser(), train.schema)
        dropped = int(misfits.rows.sum())
        if dropped and self.unknown == "refuse":
            raise UserError(f"{self.path}: {misfits}; mend them, or leave such rows out with unknown=drop")
        if not len(rows):
            raise UserError(f"{self.path}: no row is left; {misfits}")
        return FileSampler(rows, dropped, seed)


class FileSampler(Sampler):
    """The rows of the file that can be used."""

    def __init__(self, rows: Table, dropped: int, seed: int) -> None:
        self._rows = rows
        self._dropped = dropped
        self._seed = seed
        self._given = np.zeros(len(rows), np.int64)  # how often each row

    def sample(self, rows: int, *, seed: int) -> Table:
        """Each row of the file as often as any other, give or take one; all of them where that many are asked for."""
        rng = np.random.default_rng([self._seed, seed])
        rounds = -(-rows // len(self._rows))
        order = np.concatenate([rng.permutation(len(self._rows)) for _ in range(rounds)])
        self._given += np.bincount(order[:rows], minlength=len(self._rows))
        return self._rows.take(order[:rows])

    @property
    def details(self) -> Mapping[str, float | str]:
        """What the file holds, and how many of the rows asked for were repeats."""
        again = int(np.maximum(self._given - 1, 0).sum())
        return {"rows in the file": len(self._rows), "rows left out": self._dropped, "rows given again": again}


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `from_file`."""
    register(FromFile)
