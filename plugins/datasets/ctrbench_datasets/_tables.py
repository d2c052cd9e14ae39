"""The tables from which a public log is joined: impressions, users, items.

In: files in a format fixed by their publisher. Out: data frames of text, and joins of them; or a UserError that names
the file that does not have this format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ctrbench import UserError

from ctrbench_datasets._reading import read_log
from ctrbench_datasets._text import Dialect

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def read_table(
    file: Path, names: Sequence[str] = (), *, separator: str = ",", encoding: str = "utf-8", only: Sequence[str] = ()
) -> pd.DataFrame:
    """The columns of a file as text, an empty value as None; `names` for a file without header and without quotes.

    `only` are the columns to read, all if empty.
    """
    dialect = Dialect(separator, "none" if names else "", "", encoding, tuple(names))
    log = read_log(file, dialect, only=only or None)
    if odd := log.files[0][2]:
        raise UserError(f"{file}: row {odd[0]} is not of the form that is published under that name; fetch it again")
    if lacking := [name for name in only if name not in log.names]:
        raise UserError(f"{file}: not the file that is published under that name (no {lacking[0]}); fetch it again")
    frame: pd.DataFrame = log.table.to_pandas().astype(object)
    return frame


def join(rows: pd.DataFrame, more: pd.DataFrame, on: str, file: Path) -> pd.DataFrame:
    """Rows in their order, with what `more` has for the column `on`; UserError where a value occurs twice there."""
    twice = more[on].duplicated()
    if twice.any():
        raise UserError(f"{file}: {on} {more[on][twice].iloc[0]} is there twice; fetch the file again")
    return rows.merge(more, "left", on=on)


def whole_numbers(column: pd.Series[Any], file: Path) -> NDArray[np.int64]:
    """A column of text as whole numbers; UserError where it has anything else."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        bad = int(numbers.isna().to_numpy().argmax())
        raise UserError(f"{file}: {column.name}={column.iloc[bad]} in row {bad + 1} is no number; fetch the file again")
    return numbers.to_numpy(np.int64)


def clock(instants: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The hour and the day of the week, 0 for Monday, of seconds since 1970, as text."""
    return {"hour": (instants // 3600 % 24).astype(str), "weekday": ((instants // 86400 + 3) % 7).astype(str)}
