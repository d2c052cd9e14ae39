"""The Open Bandit Dataset: recommendations of a fashion shop, logged under two policies in the same week.

In: the logs of one policy to train on and of one to test on, in a folder or downloaded. Out: splits of categorical
fields of users, items and time. The uniformly random policy showed every item to everybody alike: an AUC on its log
says how well a model ranks items, while one on the log of a learning policy also rewards guessing what that policy
showed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from ctrbench import (
    Context,
    Dataset,
    Field,
    Location,
    Queries,
    Ready,
    Register,
    Splits,
    UserError,
    encode_splits,
    hookimpl,
    with_ranking,
)

from ctrbench_datasets._origin import Origin, PublicLog
from ctrbench_datasets._tables import clock, join, read_table

if TYPE_CHECKING:
    import pandas as pd

Policy = Literal["bts", "random"]

_RAW = "https://raw.githubusercontent.com/st-tech/zr-obp/master/obd"
_SUMS = {
    "bts/all.csv": "10d5566f31d22e251c4088904121bcfc",
    "bts/item_context.csv": "23edf8bcd08235f239179d607ccd6920",
    "random/all.csv": "9429b38982c5f978c876c478d049476e",
    "random/item_context.csv": "8e9183db17c147ae632334f225556f48",
}
LICENCE = "Open Bandit Dataset (Saito et al. 2021, arXiv:2008.07146; ZOZO, Inc.): CC BY 4.0, with acknowledgement"


def _origin(campaign: str) -> Origin:
    """The data set has a folder per campaign inside each policy's folder; there are also copies without it."""
    sums = {name.replace("/", f"/{campaign}"): published for name, published in _SUMS.items()}
    hosts = (tuple(f"{_RAW}/{name}" for name in sums),)
    return Origin("open_bandit", "open_bandit", sums, hosts, LICENCE, size="10 MB, the published sample")


ORIGINS = {campaign: _origin(campaign) for campaign in ("all/", "")}

USER_FIELDS = tuple(f"user_feature_{n}" for n in range(4))
ITEM_FIELDS = tuple(f"item_feature_{n}" for n in range(4))
FIELDS = (
    *(Field(name, role="user") for name in USER_FIELDS),
    Field("item_id", role="item"),
    *(Field(name, role="item") for name in ITEM_FIELDS),
    Field("affinity"),
    Field("position"),
    Field("hour"),
)
"""`affinity` is that of the user to the item shown. Users have no identifier; a day of the week occurs but once."""


@dataclass(frozen=True)
class OpenBandit(PublicLog):
    """Open Bandit Dataset (ZOZO): trained on one policy's log, tested on that of uniformly random exposure."""

    name: ClassVar[str] = "open_bandit"
    train: Annotated[Policy, "whose log to train on: bts (Thompson sampling) or random (uniformly random)"] = "bts"
    test: Annotated[Policy, "whose log to test on"] = "random"
    path: Annotated[
        str, "folder of bts/ and random/; else $CTRBENCH_DATA/open_bandit, else the sample is downloaded", Location()
    ] = ""
    ranking: Queries = 0

    @property
    def origin(self) -> Origin:
        """The logs and item tables of both policies."""
        return ORIGINS[self._campaign]

    @property
    def _campaign(self) -> str:
        """The folder in a policy's folder, as the files are found."""
        return next((each for each, origin in ORIGINS.items() if origin.availability(self.path) == Ready()), "all/")

    def load(self, *, seed: int, context: Context) -> Splits:
        """Whole days: with one policy the first four as train, the fifth as valid, the rest as test.

        With two policies all days of `test` are test, and the last two of the other are valid. The seed only chooses
        `ranking`.
        """
        folder = self.origin.bring(self.path, context.progress)
        source = f"open_bandit ({folder})"
        learned = _read(folder, self.train, self.train, self._campaign)
        days = sorted(learned["day"].unique())
        if len(days) < 3:
            raise UserError(f"{source}: {self.train}/all.csv covers {len(days)} days; it takes 3 to split it by days")
        if self.train == self.test:
            first, second = days[max(1, len(days) - 3) - 1], days[max(2, len(days) - 2) - 1]
            tested = learned[learned["day"] > second]
        else:
            first, second = days[max(1, len(days) - 2) - 1], days[-1]
            tested = _read(folder, self.test, self.train, self._campaign)
        splits = encode_splits(
            learned[learned["day"] <= first],
            learned[(learned["day"] > first) & (learned["day"] <= second)],
            tested,
            label="click",
            fields=FIELDS,
            source=source,
            notes=[*self.origin.notes(folder), *_notes(self.train, self.test)],
        )
        splits = with_ranking(splits, self.ranking, seed=seed, source=source)
        return replace(splits, apart="time" if self.train == self.test else "exposure")


def _notes(train: Policy, test: Policy) -> list[str]:
    words = {"bts": "Thompson sampling (bts)", "random": "uniformly random exposure"}
    same_days = "of later days" if train == test else "of the same week"
    return [
        f"train and valid are the log of {words[train]}, test is that of {words[test]}, {same_days}",
        "left out: the propensity, which is the policy's and not the user's, and the affinities to the items not shown",
    ]


def _read(folder: Path, policy: Policy, items_of: Policy, campaign: str) -> pd.DataFrame:
    """A policy's log. The two logs code the features of items differently, so both use one policy's item table."""
    import pandas as pd

    file, items_file = folder / policy / campaign / "all.csv", folder / items_of / campaign / "item_context.csv"
    log, items = read_table(file), read_table(items_file, only=("item_id", *ITEM_FIELDS))
    rows = join(log, items, "item_id", items_file)
    instants = pd.to_datetime(rows["timestamp"], format="ISO8601", utc=True, errors="coerce")
    if instants.isna().any():
        raise UserError(f"{file}: row {int(instants.isna().to_numpy().argmax()) + 1} has no time; fetch the file again")
    seconds = instants.to_numpy("datetime64[s]").astype(np.int64)
    affinities = rows[[f"user-item_affinity_{n}" for n in range(rows["item_id"].astype(int).max() + 1)]].to_numpy()
    return rows.assign(
        affinity=affinities[np.arange(len(rows)), rows["item_id"].astype(int)],
        day=seconds // 86400,
        hour=clock(seconds)["hour"],
    )


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(OpenBandit)
