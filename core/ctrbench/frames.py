"""A log that is at hand as data frames, not as a data set that is installed.

In: a frame with a split of its rows, or three frames; what their columns are. Out: a data set, once a store has taken
the frames in as Parquet files, which workers read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ctrbench.encoding import encode_splits
from ctrbench.errors import UserError
from ctrbench.files import whole_file
from ctrbench.interfaces import Context, Dataset, Missing, Ready, Splits
from ctrbench.table import Field, Role
from ctrbench.text import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Frames:
    """Three data frames, and what their columns are; `from_frames` makes them, `ctrbench.run` takes them."""

    frames: Mapping[str, pd.DataFrame]  # of each split
    label: str
    user: tuple[str, ...]
    item: tuple[str, ...]
    numeric: tuple[str, ...]
    name: str

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
        return FrameLog(str(home), self.label, self.user, self.item, self.numeric, self.name)


def from_frames(
    train: pd.DataFrame,
    valid: pd.DataFrame | None = None,
    test: pd.DataFrame | None = None,
    *,
    label: str,
    user: str | Sequence[str] = (),
    item: str | Sequence[str] = (),
    numeric: str | Sequence[str] = (),
    split: str | tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 1,
    name: str = "frames",
) -> Frames:
    """A log in memory, for `ctrbench.run(datasets=...)`.

    Give three frames, or one with a `split`: the name of a column that says train, valid or test, or the shares of the
    three, which are then drawn by `seed`. `label` names the column of clicks, 0 and 1; `user` and `item` those that
    describe the user and the item, the identifier first; `numeric` those that are numbers: all others are categorical.
    `name` is what tables call it. UserError where a column is missing, or some splits are given and others not.
    """
    named = {"user": _several(user), "item": _several(item), "numeric": _several(numeric)}
    if (valid is None) != (test is None):
        raise UserError(f"from_frames: {'valid' if valid is None else 'test'} is missing; give three frames, or one")
    if valid is not None and test is not None:
        frames = {"train": train, "valid": valid, "test": test}
    else:
        frames = _split(train, split, seed)
    for columns in named.values():
        for column in columns:
            if column not in train.columns:
                raise UserError(
                    f"from_frames: no column {column!r}; {did_you_mean(column, map(str, train), 'there are')}"
                )
    return Frames(frames, label, **named, name=name)


@dataclass(frozen=True)
class FrameLog(Dataset):
    """A log that was given as data frames."""

    name: ClassVar[str] = "frames"
    folder: Annotated[str, "where its three Parquet files lie"] = ""
    label: Annotated[str, "the column of clicks, 0 and 1"] = "label"
    user: Annotated[tuple[str, ...], "columns that describe the user, the identifier first"] = ()
    item: Annotated[tuple[str, ...], "columns that describe the item, the identifier first"] = ()
    numeric: Annotated[tuple[str, ...], "columns of numbers; all others are categorical"] = ()
    called: Annotated[str, "what tables call it"] = "frames"

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.called

    def availability(self) -> Ready | Missing:
        """Ready where the files are there."""
        there = self.folder and all((Path(self.folder) / f"{split}.parquet").is_file() for split in SPLITS)
        return Ready() if there else Missing("its frames are not at hand; give them again")

    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits; nothing is left to the seed."""
        import pandas as pd

        train, valid, test = (pd.read_parquet(Path(self.folder) / f"{split}.parquet") for split in SPLITS)
        roles: dict[str, Role] = dict.fromkeys(self.user, "user") | dict.fromkeys(self.item, "item")  # type: ignore[assignment]
        fields = [
            Field(column, "numeric" if column in self.numeric else "categorical", roles.get(column, "context"))
            for column in map(str, train.columns)
            if column != self.label
        ]
        return encode_splits(train, valid, test, label=self.label, fields=fields, source=self.called)


def _split(frame: pd.DataFrame, split: str | tuple[float, float, float], seed: int) -> dict[str, pd.DataFrame]:
    if isinstance(split, str):
        if split not in frame.columns:
            raise UserError(f"from_frames: no column {split!r}; {did_you_mean(split, map(str, frame), 'there are')}")
        found = {name: frame[frame[split] == name].drop(columns=split) for name in SPLITS}
        odd = frame.loc[~frame[split].isin(SPLITS), split]
        if len(odd):
            raise UserError(f"from_frames: {split}={odd.iloc[0]!r} is neither train, valid nor test")
        return found
    if len(split) != 3 or min(split) <= 0 or abs(sum(split) - 1) > 1e-9:
        raise UserError(f"from_frames: split={split!r} must be three shares above 0 that sum to 1")
    order = np.random.default_rng(seed).permutation(len(frame))
    ends = np.round(np.cumsum(split) * len(frame)).astype(int)
    starts = (0, *ends[:-1])
    parts = (np.sort(order[a:b]) for a, b in zip(starts, ends, strict=True))
    return {name: frame.iloc[part] for name, part in zip(SPLITS, parts, strict=True)}


def _parquet(frame: pd.DataFrame, what: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise UserError(f"from_frames: {what}: a column cannot be kept: {' '.join(str(error).split())}") from None
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _several(columns: str | Sequence[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)
