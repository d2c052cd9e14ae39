"""The truth as a generator: new rows of the same world from which `simulated` drew train.

In: a training table of `simulated`, and the parameters of its world. Out: a sampler of further rows of this world; a
table that the world cannot have made is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Context, Generator, MethodRole, Register, Sampler, Schema, Skip, Table, encode, hookimpl

from ctrbench_datasets._world import FIELDS, LABEL, World
from ctrbench_datasets.simulated import ClickRate, Items, Simulated, Users

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = Mapping[str, NDArray[np.int32]]

FRESH = 1
"""Ends the seeds of rows, so that none equals a seed of `simulated`, whose rows would then recur."""

SURPRISE = 6.0
"""Train's labels may lie at most this many standard deviations from the world's probabilities."""


@dataclass(frozen=True)
class Oracle(Generator):
    """New rows of simulated's own world, given its parameters: what a perfect generator would give.

    A control. Rows and labels are new draws from the distribution that made train, with two limits. A pool may have
    only values that train has, so rows are drawn conditional on that; and clicks are random, so the click rate is
    train's only in expectation. A train that this world did not make is skipped: its users and items must have the
    descriptions they have in this world, and its clicks must be as likely, within chance. negatives=sampled fails this
    check: no row's truth is known there.
    """

    name: ClassVar[str] = "oracle"
    role: ClassVar[MethodRole] = MethodRole.CONTROL
    imports: ClassVar[tuple[str, ...]] = ("scipy.optimize",)
    users: Users = Simulated.users
    items: Items = Simulated.items
    click_rate: ClickRate = Simulated.click_rate
    world_seed: Annotated[int, "the world_seed of simulated", Ge(0)] = Simulated.world_seed

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Rebuild the world and compare train with it; Skip where they do not match."""
        values = _values(train.schema)
        if values is None:
            raise Skip("oracle knows the truth of simulated only, and these are not its fields")
        world = Simulated(self.users, self.items, click_rate=self.click_rate, world_seed=self.world_seed).world()
        reason = _mismatch(world, train, values)
        if reason:
            own = f"users={self.users}, items={self.items}, click_rate={self.click_rate}, world_seed={self.world_seed}"
            raise Skip(f"train is not of the world oracle[{own}]: {reason}; give oracle the same as simulated")
        return OracleSampler(world, train.schema, values, seed)


class OracleSampler(Sampler):
    """The world, and the values that its rows may have."""

    def __init__(self, world: World, schema: Schema, values: Values, seed: int) -> None:
        self._world = world
        self._schema = schema
        self._values = values
        self._seed = seed

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows given that their values occur in train; all independent of each other."""
        rng = np.random.default_rng([self._seed, seed, FRESH])
        frame, _ = self._world.rows_among(self._values, rows, rng)
        return encode(frame, self._schema, source="oracle")

    @property
    def details(self) -> Mapping[str, float | str]:
        """The share of the world's impressions that have only values of train: 1 where nothing is left out."""
        seen = [share[self._values[name]].sum() for name, share in self._world.shares.items()]
        return {"share of the world": round(float(np.prod(seen)), 6)}


def _values(schema: Schema) -> Values | None:
    """The world's number of each field's codes 1, 2, …; None for fields that are not those of `simulated`."""
    bare = Schema(FIELDS, LABEL)
    if (schema.names, schema.label) != (bare.names, bare.label) or schema.numeric:
        return None
    vocabularies = {field.name: field.vocabulary or () for field in schema.fields}
    if not all(value.isdecimal() for vocabulary in vocabularies.values() for value in vocabulary):
        return None
    return {name: np.array(vocabulary, np.int32) for name, vocabulary in vocabularies.items()}


def _mismatch(world: World, train: Table, values: Values) -> str:
    """Why the world cannot have made the table; empty where it can."""
    import pandas as pd

    for name, share in world.shares.items():
        if values[name].max() >= len(share):
            return f"it has {name} {values[name].max()}, and the world {len(share)} numbered from 0"
    rows = pd.DataFrame({name: values[name][train.rows[name].to_numpy() - 1] for name in train.schema.names})
    hanging = world.describe_user(rows["user"].to_numpy()) | world.describe_item(rows["item"].to_numpy())
    for name, column in hanging.items():
        if not np.array_equal(rows[name], column):
            return f"{name} is another one there"
    if _surprise(world.probabilities(rows), train.targets) > SURPRISE:
        return f"its clicks, a share of {train.click_rate:.3g}, do not follow that world's probabilities"
    return ""


def _surprise(probabilities: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """How far the labels lie from the probabilities, in standard deviations, by their number or their likelihood."""
    logits = np.log(probabilities) - np.log1p(-probabilities)
    beyond = labels - probabilities
    variances = probabilities * (1 - probabilities)
    number = beyond.sum() / np.sqrt(variances.sum())
    likelihood = (logits * beyond).sum() / np.sqrt((logits**2 * variances).sum())
    return float(max(abs(number), abs(likelihood)))


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `oracle`."""
    register(Oracle)
