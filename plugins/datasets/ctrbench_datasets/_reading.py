"""Log files as data frames, and their checksums.

In: the path of a CSV or Parquet file. Out: its columns, rows counted from 1; or a UserError that says why it cannot be
read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from ctrbench import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def read_log(path: Path, *, numeric: Collection[str]) -> pd.DataFrame:
    """The rows of a file, which is Parquet by its suffix or else CSV (.tsv: separated by tabs).

    In a CSV the columns of `numeric` are numbers where they can be, all others are text, so that 007 stays 007; an
    empty value is missing, and nothing else is.
    """
    import pandas as pd

    with _readable(path):
        frame = pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_csv(path, numeric)
    frame = frame.reset_index(level=[name for name in frame.index.names if name is not None])  # pandas' own Parquet
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def checksum(path: Path, algorithm: str) -> str:
    """The file's md5, sha256, … in hexadecimal; read again only where the file has changed."""
    with _readable(path):
        found = os.stat(path)
        return _checksum(path, algorithm, found.st_size, found.st_mtime_ns)


@lru_cache
def _checksum(path: Path, algorithm: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _read_csv(path: Path, numeric: Collection[str]) -> pd.DataFrame:
    import pandas as pd

    separator = "\t" if ".tsv" in path.suffixes else ","
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
    names = header.iloc[0].tolist()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
    frame = pd.read_csv(
        path,
        sep=separator,
        dtype={name: "category" for name in names if name not in numeric},
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"{path}: its rows have more values than its header has names; mend the header")
    return frame


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pandas as pd

    try:
        yield
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty; it needs a header and rows") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path and its rights") from None
    except (ValueError, EOFError) as error:  # pandas' and pyarrow's complaints, and text that is not UTF-8
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable CSV or Parquet file ({why}); mend or convert it") from None
