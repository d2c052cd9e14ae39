"""A log that is at hand as data frames, not as a data set that is installed.

In: a frame with a split of its rows, or three frames; what their columns are. Out: a data set, once a store has taken
the frames in as Parquet files, which workers read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import numpy as np

from ctrbench import arguments
from ctrbench.columns import Rows
from ctrbench.encoding import encode_splits
from ctrbench.errors import UserError
from ctrbench.files import whole_file
from ctrbench.interfaces import Context, Dataset, Location, Missing, Ready, Splits
from ctrbench.leaks import giveaways
from ctrbench.table import Field, Role
from ctrbench.text import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "valid", "test")

Column: TypeAlias = str | int
"""The name of a column; pandas numbers those that have none."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Three data frames, and what their columns are; `from_frames` makes them, `ctrbench.run` takes them."""

    frames: Mapping[str, pd.DataFrame]  # of each split
    label: str
    user: tuple[str, ...]
    item: tuple[str, ...]
    numeric: tuple[str, ...]
    keep: tuple[str, ...]
    name: str

    def __repr__(self) -> str:
        rows = ", ".join(f"{split} {len(frame):,}" for split, frame in self.frames.items())
        return f"<Frames {self.name!r}: {rows} rows>"

    def taken_in(self, folder: Path) -> Dataset:
        """The data set that reads them out of a folder, in which they are written once."""
        written = {split: _parquet(frame, f"{self.name}, {split}") for split, frame in self.frames.items()}
        digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in written.values())).hexdigest()
        home = folder / digest[:32]
        home.mkdir(parents=True, exist_ok=True)
        for split, data in written.items():
            if not (file := home / f"{split}.parquet").exists():
                with whole_file(file) as target:
                    target.write(data)
        return FrameLog(str(home), self.label, self.user, self.item, self.numeric, self.keep, self.name)


def from_frames(
    train: pd.DataFrame,
    valid: pd.DataFrame | None = None,
    test: pd.DataFrame | None = None,
    *,
    label: Column,
    user: Column | Sequence[Column] = (),
    item: Column | Sequence[Column] = (),
    numeric: Column | Sequence[Column] = (),
    keep: Column | Sequence[Column] = (),
    split: Column | tuple[float, float, float] | None = None,
    seed: int | None = None,
    name: str = "frames",
) -> Frames:
    """A log in memory, for `ctrbench.run(datasets=...)`.

    Give three frames, or one with a `split`: the name of a column that says train, valid or test, or the shares of the
    three, by default (0.8, 0.1, 0.1), which are then drawn by `seed`, by default 1. `label` names the column of clicks,
    0 and 1; `user` and `item` those that describe the user and the item, the identifier first; `numeric` those that are
    numbers: all others are categorical. A column that has one value in train, or that nobody gives a role and that has
    none twice, is left out with a note unless `keep` names it. Column names that are numbers are read as texts, so 3
    and "3" mean the same column; an index that has a name is a column of that name. `name` is what tables call the log.

    UserError if something does not fit: a missing column or one with two roles, splits with different columns.
    """
    arguments.typed("name", name, str, "a text, which tables show")
    if not name.strip():
        raise UserError("name='': give a text, which tables show")
    if (valid is None) != (test is None):
        raise UserError(f"from_frames: {'valid' if valid is None else 'test'} is missing; give three frames, or one")
    given = {"train": train} if valid is None else {"train": train, "valid": valid, "test": test}
    frames = {split_name: _with_text_names(split_name, frame) for split_name, frame in given.items()}
    columns = list(frames["train"].columns)
    for other in frames:
        if odd := set(frames[other].columns) ^ set(columns):
            where = "train" if min(odd) in columns else other
            raise UserError(f"from_frames: column {min(odd)!r} of {where} is not in each frame; give all the same")
    roles = {
        "label": (_column("label", label, columns),),
        "user": _several("user", user, columns),
        "item": _several("item", item, columns),
        "numeric": _several("numeric", numeric, columns),
    }
    if len(frames) > 1 and (split is not None or seed is not None):
        raise UserError(f"from_frames: {'seed' if split is None else 'split'} is for one frame; leave it out of three")
    if len(frames) == 1:
        frames = _split(frames["train"], (0.8, 0.1, 0.1) if split is None else split, seed)
        if isinstance(split, str | int):
            roles["split"] = (str(split),)
    for one, two in combinations(roles, 2):
        both = set(roles[one]) & set(roles[two])
        if both and (two != "numeric" or one == "label"):  # a user's number, such as an age, is in two on purpose
            raise UserError(f"from_frames: column {min(both)!r} is named for {one} and for {two}; name it for one")
    del roles["label"]
    roles.pop("split", None)
    return Frames(frames, str(label), **roles, keep=_several("keep", keep, columns), name=name)


@dataclass(frozen=True)
class FrameLog(Dataset):
    """A log that was given as data frames."""

    name: ClassVar[str] = "frames"
    folder: Annotated[str, "where its three Parquet files lie", Location()] = ""
    label: Annotated[str, "the column of clicks, 0 and 1"] = "label"
    user: Annotated[tuple[str, ...], "columns that describe the user, the identifier first"] = ()
    item: Annotated[tuple[str, ...], "columns that describe the item, the identifier first"] = ()
    numeric: Annotated[tuple[str, ...], "columns of numbers; all others are categorical"] = ()
    keep: Annotated[tuple[str, ...], "columns to keep although they have a single value, or no value twice"] = ()
    called: Annotated[str, "what tables call it"] = "frames"

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.called

    def version(self) -> str:
        """The digest of the files, after which their folder is called."""
        return Path(self.folder).name

    def availability(self) -> Ready | Missing:
        """Ready where the files are there."""
        there = self.folder and all((Path(self.folder) / f"{split}.parquet").is_file() for split in SPLITS)
        return Ready() if there else Missing("its frames are not at hand; give them again")

    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits; nothing is left to the seed."""
        import pyarrow.parquet as pq

        train, valid, test = (
            Rows(pq.read_table(Path(self.folder) / f"{split}.parquet"), partial(_where, split)) for split in SPLITS
        )
        roles: dict[str, Role] = dict.fromkeys(self.user, "user") | dict.fromkeys(self.item, "item")  # type: ignore[assignment]
        fields = [
            Field(column, "numeric" if column in self.numeric else "categorical", roles.get(column, "context"))
            for column in train.names
            if column != self.label
        ]
        unnamed = {field.name for field in fields if field.kind == "categorical" and field.name not in roles}
        splits = encode_splits(
            train,
            valid,
            test,
            label=self.label,
            fields=fields,
            source=self.called,
            keep=self.keep,
            identifiers=unnamed,
        )
        leaks = giveaways(splits.train, fix="leave it out of the frames")
        return replace(splits, notes=(*splits.notes, *leaks))


def _where(split: str, position: int) -> str:
    """A row as the user finds it, counted from 1 in `Frames.frames`."""
    return f"row {position + 1} of the {split} frame"


def _split(frame: pd.DataFrame, split: object, seed: int | None) -> dict[str, pd.DataFrame]:
    """One frame as three; UserError for a split that is none."""
    wanted = "the name of a column, or three shares above 0 that sum to 1, as in (0.8, 0.1, 0.1)"
    if isinstance(split, list | tuple):
        if len(split) != 3:
            raise UserError(f"split={arguments.shown(split)}: give {wanted}")
        shares = [arguments.number("split", share, wanted) for share in split]
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise UserError(f"split={arguments.shown(split)}: give {wanted}")
        start = 1 if seed is None else arguments.whole("seed", seed, 0, 2**32 - 1)
        order = np.random.default_rng(start).permutation(len(frame))
        ends = np.round(np.cumsum(shares) * len(frame)).astype(int)
        parts = (np.sort(order[a:b]) for a, b in zip((0, *ends[:-1]), ends, strict=True))
        return {name: frame.iloc[part] for name, part in zip(SPLITS, parts, strict=True)}
    if seed is not None:
        raise UserError("from_frames: seed is for shares; leave it out where a column says which rows are which")
    column = _column("split", arguments.typed("split", split, (str, int), wanted), list(frame.columns))
    odd = frame.loc[~frame[column].isin(SPLITS), column]
    if len(odd):
        shown = arguments.shown(arguments.native(odd.iloc[0]))
        raise UserError(f"from_frames: {column}={shown} is neither train, valid nor test")
    return {name: frame[frame[column] == name].drop(columns=column) for name in SPLITS}


def _with_text_names(name: str, frame: object) -> pd.DataFrame:
    """A frame whose columns are called by texts, as those of files are; UserError for what is no such frame."""
    import pandas as pd

    known = arguments.typed(name, frame, pd.DataFrame, "a pandas DataFrame, one row a click or view")
    if isinstance(known.columns, pd.MultiIndex):
        raise UserError(f"from_frames: {name} has columns of several levels; give each a name of its own")
    indexed = [level for level in known.index.names if level is not None]  # columns once, and in a file again
    if twice := [level for level in indexed if level in known.columns]:
        raise UserError(f"from_frames: {name} has an index and a column {twice[0]!r}; rename or drop one")
    named = known.reset_index(indexed).rename(columns=str) if indexed else known.rename(columns=str)
    if twice := [str(column) for column in named.columns[named.columns.duplicated()]]:
        raise UserError(f"from_frames: {name} has two columns {twice[0]!r}; give each a name of its own")
    return named


def _column(role: str, column: object, columns: list[str]) -> str:
    """The name of a column that is there."""
    name = str(arguments.typed(role, column, (str, Integral), "the name of a column"))
    if name not in columns:
        raise UserError(f"from_frames: {role}: no column {name!r}; {did_you_mean(name, columns, 'there are')}")
    return name


def _several(role: str, named: object, columns: list[str]) -> tuple[str, ...]:
    """The names of columns, one or several; UserError for one that is not there, or there twice."""
    wanted = "the name of a column, or several in a list"
    given = named if isinstance(named, list | tuple) else (arguments.typed(role, named, (str, Integral), wanted),)
    found = tuple(_column(role, column, columns) for column in given)
    if len(set(found)) < len(found):
        raise UserError(f"{role}={arguments.shown(given)}: give each column once")
    return found


def _parquet(frame: pd.DataFrame, what: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {}
    for name, column in frame.items():
        try:
            written = column.map(str, na_action="ignore").astype(object) if _is_kept_as_text(column) else column
            columns[str(name)] = pa.Array.from_pandas(written)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            told = f"column {name!r} cannot be kept ({' '.join(str(error).split())}); convert or drop it"
            raise UserError(f"from_frames: {what}: {told}") from None
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _is_kept_as_text(column: pd.Series[Any]) -> bool:
    """Whether values stand for themselves in text alone: intervals, and whole numbers that are larger than Arrow's."""
    import pandas as pd

    kind = column.dtype.categories.dtype if isinstance(column.dtype, pd.CategoricalDtype) else column.dtype
    if isinstance(kind, pd.IntervalDtype):
        return True
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) != "integer":
        return False
    return bool(column.dropna().abs().max() >= 2**63)
