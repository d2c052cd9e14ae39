"""Frappe_x1, the log of the paper: which of 4,082 apps 957 users opened, and in what context.

In: a folder of train.csv, valid.csv and test.csv, or nothing, and then the files are downloaded. Out: splits of ten
categorical fields.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, ClassVar

from ctrbench import Context, Dataset, Field, Missing, Published, Ready, Register, Splits, UserError, hookimpl
from ctrbench.encoding import Rows, encode_splits
from ctrbench.ranking import Queries, with_ranking

from ctrbench_datasets._fetch import Host, fetch
from ctrbench_datasets._files import checksum
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
HOSTS: tuple[Host, ...] = (
    ("https://zenodo.org/records/6324454/files/Frappe_x1.zip",),
    tuple(f"{_HUGGING_FACE}/{name}" for name in MD5),
    (f"{_HUGGING_FACE}/Frappe_x1.zip",),
)
LICENCE = (
    "for research use, with acknowledgement of Baltrunas et al., arXiv:1505.03014; no commercial use, no redistribution"
)


@dataclass(frozen=True)
class Frappe(Dataset):
    """Frappe_x1, mobile app usage in context (Baltrunas et al. 2015; splits of the BARS benchmark)."""

    name: ClassVar[str] = "frappe"
    path: Annotated[str, "folder of train, valid and test.csv; else $CTRBENCH_DATA/Frappe_x1, else a download"] = ""
    ranking: Queries = 0

    def availability(self) -> Ready | Missing:
        """Ready where the three files are; a folder that was named is never filled by a download."""
        folder = self._folder()
        absent = _absent(folder)
        if not absent:
            return Ready()
        if self.path:
            return Missing(f"path={self.path} has no readable {absent[0]}; name the folder of {', '.join(MD5)}")
        return Missing(
            "not on this machine: named with -d it is downloaded; or give frappe[path=FOLDER] or set CTRBENCH_DATA",
            download=True,
        )

    def version(self) -> str:
        """The md5 sums of the three files; before a download, the published ones that it will insist on."""
        folder = self._folder()
        found = MD5.values() if _absent(folder) else [checksum(folder / name, "md5") for name in MD5]
        return " ".join(found)

    def load(self, *, seed: int, context: Context) -> Splits:
        """The published splits, the same for every seed, which chooses `ranking`; another train.csv is noted."""
        available, folder = self.availability(), self._folder()
        if isinstance(available, Missing):
            if not available.download:
                raise UserError(f"frappe: {available.reason}")
            fetch(folder, MD5, HOSTS, context.progress)
        source = f"frappe ({folder})"
        splits = encode_splits(
            *(Rows.of(read_log(folder / name).table) for name in MD5),
            label="label",
            fields=FIELDS,
            source=source,
            notes=[LICENCE, *_differences(folder)],
        )
        return with_ranking(splits, self.ranking, seed=seed, source=source)

    def published(self) -> list[Published]:
        """The paper's two tables."""
        told = tomllib.loads(files(__package__).joinpath("frappe_published.toml").read_text(encoding="utf-8"))
        return [
            Published(
                table["title"],
                told["source"],
                table["metric"],
                {
                    (generator, row.get("scenario", ""), row.get("model", "")): value
                    for row in table["figures"]
                    for generator, value in zip(table["generators"], row["values"], strict=True)
                },
            )
            for table in told["tables"]
        ]

    def _folder(self) -> Path:
        """Where the files are, or where a download would put them."""
        if self.path:
            return Path(self.path).expanduser()
        parent = os.environ.get("CTRBENCH_DATA")
        if parent and not _absent(Path(parent, "Frappe_x1")):
            return Path(parent, "Frappe_x1")
        import pooch

        return Path(pooch.os_cache("ctrbench"), "Frappe_x1")


def _absent(folder: Path) -> list[str]:
    return [name for name in MD5 if not os.path.isfile(folder / name)]


def _differences(folder: Path) -> list[str]:
    sums = {name: checksum(folder / name, "md5") for name in MD5}
    return [
        f"{name} has the md5 sum {found}, the published one {MD5[name]}"
        for name, found in sums.items()
        if found != MD5[name]
    ]


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(Frappe)
