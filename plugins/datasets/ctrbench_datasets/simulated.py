"""The embedded default: a click log from a small world whose true click probabilities are known.

In: sizes, a click rate and two seeds, one for the world and one for the rows. Out: splits, and P(click) of every row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from ctrbench import Context, Dataset, Queries, Register, Splits, UserError, encode_splits, hookimpl, with_ranking

from ctrbench_datasets._world import FIELDS, LABEL, World

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator
    from numpy.typing import NDArray

SPLITS = ("train", "valid", "test")

Users = Annotated[int, "users of the world", Ge(20), Le(1_000_000)]
Items = Annotated[int, "items of the world", Ge(20), Le(1_000_000)]
ClickRate = Annotated[float, "share of impressions that are clicked", Ge(0.005), Le(0.5)]


@dataclass(frozen=True)
class Simulated(Dataset):
    """Simulated click log of any size with known click probabilities (docs/simulated.md)."""

    name: ClassVar[str] = "simulated"
    users: Users = 300
    items: Items = 150
    train_rows: Annotated[int, "rows of train", Ge(100), Le(10_000_000)] = 14_000
    valid_rows: Annotated[int, "rows of valid", Ge(100), Le(10_000_000)] = 4_000
    test_rows: Annotated[int, "rows of test", Ge(100), Le(10_000_000)] = 20_000
    click_rate: ClickRate = 0.2
    world_seed: Annotated[int, "of the world; the suite's seed draws the rows", Ge(0)] = 1
    negatives: Annotated[str, "none, or sampled:K: K unused items for each click instead of unclicked rows"] = "none"
    ranking: Queries = 0

    def __post_init__(self) -> None:
        _negatives_per_click(self.negatives)

    def world(self) -> World:
        """The world that these parameters make: it draws new rows and knows their true probabilities."""
        return World(self.users, self.items, self.click_rate, self.world_seed)

    def load(self, *, seed: int, context: Context) -> Splits:
        """Splits of independent rows; changing the size of one split leaves the other two as they are."""
        world, per_click = self.world(), _negatives_per_click(self.negatives)
        sizes = dict(zip(SPLITS, (self.train_rows, self.valid_rows, self.test_rows), strict=True))
        rngs = {split: np.random.default_rng([seed, place]) for place, split in enumerate(SPLITS)}
        truth: dict[str, NDArray[np.float64]] = {}
        if per_click:
            frames = _sampled(world, sizes, per_click, rngs)
        else:
            frames = {}
            for split in SPLITS:
                frames[split], truth[split] = world.rows(sizes[split], rngs[split])
        splits = encode_splits(
            *frames.values(), label=LABEL, fields=FIELDS, source="simulated", true_probabilities=truth
        )
        return with_ranking(splits, self.ranking, seed=seed, source="simulated")


def _negatives_per_click(mode: str) -> int:
    if mode == "none":
        return 0
    sampled = re.fullmatch(r"sampled:([1-9]|10)", mode)
    if sampled is None:
        raise UserError(f"simulated: negatives={mode} must be none, or sampled:K with K from 1 to 10")
    return int(sampled[1])


def _sampled(
    world: World, sizes: dict[str, int], per_click: int, rngs: dict[str, Generator]
) -> dict[str, pd.DataFrame]:
    """Clicks, each followed by rows of the same user and context with items that this user never clicked in any split.

    The world's probabilities do not hold for such rows, so none are returned.
    """
    import pandas as pd

    clicks = {split: _clicks(world, -(-sizes[split] // (1 + per_click)), rngs[split]) for split in SPLITS}
    pairs = pd.concat([frame[["user", "item"]] for frame in clicks.values()])
    used = np.unique(pairs["user"].to_numpy(np.int64) * world.items + pairs["item"])
    most = int(np.bincount(used // world.items).max())
    if most > world.items - per_click:
        raise UserError(
            f"simulated: negatives=sampled:{per_click} needs {per_click} unused items a user, but one user clicked "
            f"{most} of the {world.items}; raise items or lower train_rows, valid_rows and test_rows"
        )
    frames = {}
    for split, positives in clicks.items():
        unused = _unused_items(positives["user"].to_numpy(), used, world.items, per_click, rngs[split])
        negatives = [positives.assign(label=np.int8(0), **world.describe_item(items)) for items in unused.T]
        rows = pd.concat([positives, *negatives]).iloc[: sizes[split]]
        frames[split] = rows.iloc[rngs[split].permutation(len(rows))].reset_index(drop=True)
    return frames


def _clicks(world: World, n: int, rng: Generator) -> pd.DataFrame:
    """The first n clicks, from as many impressions as it takes."""
    import pandas as pd

    found: list[pd.DataFrame] = []
    while (lacking := n - sum(map(len, found))) > 0:
        rows, _ = world.rows(min(int(1.1 * lacking / world.click_rate) + 1000, 1 << 20), rng)
        found.append(rows[rows[LABEL] == 1].iloc[:lacking])
    return pd.concat(found, ignore_index=True)


def _unused_items(
    users: NDArray[np.int32], used: NDArray[np.int64], items: int, per_click: int, rng: Generator
) -> NDArray[np.int32]:
    """Distinct uniform items for each user, none among the used pairs (user · items + item), (users, per_click)."""
    drawn = np.full((len(users), per_click), -1, np.int32)
    for column in range(per_click):
        open_rows = np.arange(len(users))
        while len(open_rows):
            candidates = rng.integers(items, size=len(open_rows), dtype=np.int32)
            pairs = users[open_rows].astype(np.int64) * items + candidates
            taken = np.isin(pairs, used) | (drawn[open_rows, :column] == candidates[:, None]).any(axis=1)
            drawn[open_rows[~taken], column] = candidates[~taken]
            open_rows = open_rows[taken]
    return drawn


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(Simulated)
