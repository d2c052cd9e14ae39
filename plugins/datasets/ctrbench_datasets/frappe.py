"""Frappe_x1, the paper's log: which of 4,082 apps 957 users opened, and in what context.

In: a folder of train.csv, valid.csv and test.csv, or nothing, in which case the files are downloaded. Out: splits of
ten categorical fields.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, ClassVar

from ctrbench import (
    Context,
    Dataset,
    Field,
    Location,
    Published,
    Queries,
    Register,
    Rows,
    Splits,
    encode_splits,
    hookimpl,
    with_ranking,
)

from ctrbench_datasets._origin import Origin, PublicLog
from ctrbench_datasets._published import published_tables
from ctrbench_datasets._reading import read_log

FIELDS = (
    Field("user", role="user"),
    Field("item", role="item"),
    *map(Field, ("daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")),
)
MD5 = {
    "train.csv": "ba7306e6c4fc19dd2cd84f2f0596d158",
    "valid.csv": "88d51bf2173505436d3a8f78f2a59da8",
    "test.csv": "3470f6d32713dc5f7715f198ca7c612a",
}
_HUGGING_FACE = "https://huggingface.co/datasets/reczoo/Frappe_x1/resolve/main"
ORIGIN = Origin(
    "frappe",
    "Frappe_x1",
    MD5,
    (
        ("https://zenodo.org/records/6324454/files/Frappe_x1.zip",),
        tuple(f"{_HUGGING_FACE}/{name}" for name in MD5),
        (f"{_HUGGING_FACE}/Frappe_x1.zip",),
    ),
    licence="for research use, with acknowledgement of Baltrunas et al., arXiv:1505.03014; no commercial use, "
    "no redistribution",
)


@dataclass(frozen=True)
class Frappe(PublicLog):
    """Frappe_x1, mobile app usage in context (Baltrunas et al. 2015; splits of the BARS benchmark)."""

    name: ClassVar[str] = "frappe"
    path: Annotated[
        str, "folder of train, valid and test.csv; else $CTRBENCH_DATA/Frappe_x1, else a download", Location()
    ] = ""
    ranking: Queries = 0

    @property
    def origin(self) -> Origin:
        """The three files of BARS."""
        return ORIGIN

    def load(self, *, seed: int, context: Context) -> Splits:
        """The published splits, the same for every seed, which only chooses `ranking`; another train.csv is noted."""
        folder = ORIGIN.bring(self.path, context.progress)
        source = f"frappe ({folder})"
        splits = encode_splits(
            *(Rows.of(read_log(folder / name).columns) for name in ORIGIN.files),
            label="label",
            fields=FIELDS,
            source=source,
            notes=ORIGIN.notes(folder),
        )
        return with_ranking(splits, self.ranking, seed=seed, source=source)

    def published(self) -> list[Published]:
        """The paper's two tables; then the BARS benchmark's figures on real rows, grouped by what they are."""
        text = files(__package__).joinpath("frappe_published.toml").read_text(encoding="utf-8")
        return published_tables(tomllib.loads(text)["tables"])


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(Frappe)
