"""The tables of which a public log is joined together: impressions, users, items.

In: files whose form their publisher has fixed. Out: data frames of text, and joins of them; or a UserError that names
the file that is not of that form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ctrbench import UserError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def read_table(
    file: Path, names: Sequence[str] = (), *, separator: str = ",", encoding: str = "utf-8", only: Sequence[str] = ()
) -> pd.DataFrame:
    """The columns of a file as text, an empty value as None; `names` for a file without header, and without quotes.

    `only` are the columns to read, all where it is empty.
    """
    import pandas as pd

    headless: dict[str, Any] = {"names": list(names), "header": None, "quoting": 3, "index_col": False} if names else {}
    try:
        frame = pd.read_csv(
            file, sep=separator, encoding=encoding, dtype=str, keep_default_na=False, na_values=[""],
            engine="python" if len(separator) > 1 else "c", usecols=list(only) or None, **headless,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error}); check the path and its rights") from None
    except (ValueError, EOFError) as error:  # pandas' complaints, and text in another encoding
        why = " ".join(str(error).split())
        raise UserError(f"{file}: not the file that is published under that name ({why}); fetch it again") from None
    if names and frame[names[-1]].isna().all():
        raise UserError(f"{file}: not the file that is published under that name (no {names[-1]}); fetch it again")
    return frame


def join(rows: pd.DataFrame, more: pd.DataFrame, on: str, file: Path) -> pd.DataFrame:
    """Rows in their order, with what `more` knows of the column `on`; UserError where it tells something twice."""
    twice = more[on].duplicated()
    if twice.any():
        raise UserError(f"{file}: {on} {more[on][twice].iloc[0]} is there twice; fetch the file again")
    return rows.merge(more, "left", on=on)


def whole_numbers(column: pd.Series[Any], file: Path) -> NDArray[np.int64]:
    """A column of text as whole numbers; UserError where it has none."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        bad = int(numbers.isna().to_numpy().argmax())
        raise UserError(f"{file}: {column.name}={column.iloc[bad]} in row {bad + 1} is no number; fetch the file again")
    return numbers.to_numpy(np.int64)


def clock(instants: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The hour and the day of the week, 0 for Monday, of seconds since 1970, as text."""
    return {"hour": (instants // 3600 % 24).astype(str), "weekday": ((instants // 86400 + 3) % 7).astype(str)}
