"""MovieLens, films that people rated, as a click log: a rating of four or five stars is a click.

In: GroupLens' own files of one of three sizes, in a folder or downloaded. Out: splits of categorical fields of users,
films and time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from ctrbench import (
    Context,
    Dataset,
    Field,
    Location,
    Queries,
    Register,
    Splits,
    encode_splits,
    hookimpl,
    with_ranking,
)

from ctrbench_datasets._origin import Origin, PublicLog
from ctrbench_datasets._tables import clock, join, read_table, whole_numbers

if TYPE_CHECKING:
    import pandas as pd

Size = Literal["100k", "1m", "latest-small"]

RATIOS = (0.8, 0.1, 0.1)
AGES = (0, 18, 25, 35, 45, 50, 56)
"""The least age of each of MovieLens 1M's groups, to which the ages of 100K are assigned too."""

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The genres of MovieLens 100K in the order of their columns."""

_LICENCE = (
    "MovieLens (Harper and Konstan 2015, doi 10.1145/2827872): for research use, with acknowledgement; no commercial "
    "use and no redistribution without GroupLens' permission"
)
_HOST = "https://files.grouplens.org/datasets/movielens"
ORIGINS: dict[str, Origin] = {
    "100k": Origin(
        "movielens",
        "ml-100k",
        {
            "u.data": "6e47046882bad158b0efbb84cd5cb987",
            "u.user": "1b53539edc13caad0282c8500608a319",
            "u.item": "",  # copies with and without its accents are in circulation
        },
        ((f"{_HOST}/ml-100k.zip",),),
        _LICENCE,
        {"ml-100k.zip": "0e33842e24a9c977be4e0107933c0723"},
        "4.9 MB",
    ),
    "1m": Origin(
        "movielens",
        "ml-1m",
        {"ratings.dat": "", "users.dat": "", "movies.dat": ""},
        ((f"{_HOST}/ml-1m.zip",),),
        _LICENCE,
        {"ml-1m.zip": "c4d9eecfca2ab87c1945afe126590906"},
        "5.9 MB",
    ),
    "latest-small": Origin(  # GroupLens updates it, so that no sum stays valid
        "movielens",
        "ml-latest-small",
        {"ratings.csv": "", "movies.csv": ""},
        ((f"{_HOST}/ml-latest-small.zip",),),
        _LICENCE,
        size="1 MB",
    ),
}


@dataclass(frozen=True)
class MovieLens(PublicLog):
    """MovieLens 100K, 1M or latest-small (GroupLens): a rating of at least four stars is a click."""

    name: ClassVar[str] = "movielens"
    size: Annotated[Size, "how many ratings; latest-small tells nothing about its users"] = "100k"
    path: Annotated[str, "folder of GroupLens' files; else $CTRBENCH_DATA/ml-100k, …, else a download", Location()] = ""
    click: Annotated[float, "the least rating that counts as a click", Ge(1), Le(5)] = 4
    split: Annotated[Literal["chance", "time"], "rows by chance, or the oldest into train: most users are then new"] = (
        "chance"
    )
    ranking: Queries = 0

    @property
    def origin(self) -> Origin:
        """GroupLens' files of this size."""
        return ORIGINS[self.size]

    def load(self, *, seed: int, context: Context) -> Splits:
        """80 % of the ratings as train, 10 % as valid, 10 % as test; the seed draws them if the split is by chance."""
        folder = self.origin.bring(self.path, context.progress)
        frame = _READERS[self.size](folder)
        frame["label"] = (frame["rating"].astype(float) >= self.click).astype(np.int8)
        if self.split == "time":
            order = np.argsort(frame["timestamp"].to_numpy(), kind="stable")
        else:
            order = np.random.default_rng(seed).permutation(len(frame))
        parts = np.split(order, np.round(np.cumsum(RATIOS)[:2] * len(frame)).astype(int))
        source = f"movielens ({folder})"
        splits = encode_splits(
            *(frame.iloc[rows] for rows in parts),
            label="label",
            fields=[known for known in FIELDS if known.name in frame.columns],
            source=source,
            notes=[
                *self.origin.notes(folder),
                f"a rating of at least {self.click:g} is a click",
                _SPLIT_NOTES[self.split],
            ],
        )
        splits = with_ranking(splits, self.ranking, seed=seed, source=source)
        return replace(splits, apart="time" if self.split == "time" else "")


FIELDS = (
    *(Field(name, role="user") for name in ("user", "age", "gender", "occupation", "region")),
    *(Field(name, role="item") for name in ("film", "year", "genres")),
    Field("hour"),
    Field("weekday"),
)
"""`age` by MovieLens 1M's groups, `region` the first character of the zip code, `genres` all of a film as one value."""

_SPLIT_NOTES = {
    "chance": "split by chance, 80:10:10: a user's later ratings may stand in train and earlier ones in test",
    "time": "split by time, 80:10:10, oldest first: most users of valid and test are not in train",
}


def _read_100k(folder: Path) -> pd.DataFrame:
    users = read_table(folder / "u.user", ("user", "age", "gender", "occupation", "zip"), separator="|")
    columns = ("film", "title", "released", "video", "address", *GENRES)
    films = read_table(folder / "u.item", columns, separator="|", encoding="latin-1")
    films["year"] = films["released"].str.extract(r"(\d{4})$", expand=False)
    marks = films[list(GENRES)].to_numpy() == "1"
    films["genres"] = ["|".join(name for name, has in zip(GENRES, row, strict=True) if has) for row in marks]
    return _joined(folder / "u.data", "\t", films, folder / "u.item", users, folder / "u.user")


def _read_1m(folder: Path) -> pd.DataFrame:
    users = read_table(folder / "users.dat", ("user", "gender", "age", "occupation", "zip"), separator="::")
    films = read_table(folder / "movies.dat", ("film", "title", "genres"), separator="::", encoding="latin-1")
    films["year"] = films["title"].str.extract(r"\((\d{4})\)\s*$", expand=False)
    return _joined(folder / "ratings.dat", "::", films, folder / "movies.dat", users, folder / "users.dat")


def _read_latest(folder: Path) -> pd.DataFrame:
    films = read_table(folder / "movies.csv").rename(columns={"movieId": "film"})
    films["year"] = films["title"].str.extract(r"\((\d{4})\)\s*$", expand=False)
    return _joined(folder / "ratings.csv", ",", films, folder / "movies.csv")


_READERS = {"100k": _read_100k, "1m": _read_1m, "latest-small": _read_latest}


def _joined(
    file: Path, separator: str, films: pd.DataFrame, films_file: Path, users: pd.DataFrame | None = None,
    users_file: Path = Path(),
) -> pd.DataFrame:  # fmt: skip
    """One row per rating: what is known about its film and its user, whether it is a click, and its time."""
    if separator == ",":
        ratings = read_table(file).rename(columns={"userId": "user", "movieId": "film"})
    else:
        ratings = read_table(file, ("user", "film", "rating", "timestamp"), separator=separator)
    rows = join(ratings, films[["film", "year", "genres"]], "film", films_file)
    if users is not None:
        groups = np.searchsorted(AGES, whole_numbers(users["age"], users_file), side="right") - 1
        users = users.assign(age=[str(AGES[group] or "under 18") for group in groups], region=users["zip"].str[0])
        rows = join(rows, users.drop(columns="zip"), "user", users_file)
    rows["timestamp"] = whole_numbers(rows["timestamp"], file)
    return rows.assign(**clock(rows["timestamp"].to_numpy()))


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(MovieLens)
