"""Scenarios are data: which shares of real train and of the pool make a training table.

In: real train, a pool of synthetic rows, a scenario and a seed. Out: the training table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np

from ctrbench.errors import Skip
from ctrbench.interfaces import MethodRole
from ctrbench.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassShares:
    """Rows of each class, as shares of real train's positives and negatives."""

    positives: float = 0.0
    negatives: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("positives", self.positives), ("negatives", self.negatives)):
            if not isinstance(share, Real) or not 0 <= share <= 10:
                raise ValueError(f"{name}={share} must lie between 0 and 10")


@dataclass(frozen=True)
class Scenario:
    """A recipe for a training table, and how a model is trained on it.

    `real="balanced"` draws as many rows of the larger class as the smaller one has; `synthetic="pool"` takes as many
    pool rows as real train has. Model seeds are "common" to all scenarios, so that gains over `original` are paired
    differences; "other" ones are this scenario's own. A scenario without a pool is a control whatever its `role` says.
    """

    name: str
    real: ClassShares | Literal["balanced"] = ClassShares(1, 1)
    synthetic: ClassShares | Literal["pool"] = ClassShares()
    class_weight: Literal["none", "balanced"] = "none"
    model_seeds: Literal["common", "other"] = "common"
    help: str = ""
    role: MethodRole = field(default=MethodRole.CANDIDATE, repr=False)

    def __post_init__(self) -> None:
        if self.class_weight not in ("none", "balanced"):
            raise ValueError(f"class_weight={self.class_weight!r} must be 'none' or 'balanced'")
        if self.model_seeds not in ("common", "other"):
            raise ValueError(f"model_seeds={self.model_seeds!r} must be 'common' or 'other'")
        for name, value, word in (("real", self.real, "balanced"), ("synthetic", self.synthetic, "pool")):
            if value != word and not isinstance(value, ClassShares):
                raise ValueError(f"{name}={value!r} must be ClassShares or {word!r}")
        for name, kind in (("help", str), ("role", MethodRole)):
            if not isinstance(value := getattr(self, name), kind):
                raise ValueError(f"{name}={value!r} must be of type {kind.__name__}")
        if isinstance(self.real, ClassShares) and max(self.real.positives, self.real.negatives) > 1:
            raise ValueError(f"real={self.real} must not ask for more than there is: shares of at most 1")

    @property
    def recipe(self) -> Scenario:
        """What it does, without what it is called and taken for: equal for scenarios that make the same tables."""
        return replace(self, name="", help="", model_seeds="common", role=MethodRole.CANDIDATE)

    @property
    def needs_pool(self) -> bool:
        """Whether it uses synthetic rows at all."""
        return self.synthetic != ClassShares()

    @property
    def keeps_real(self) -> bool:
        """Whether real rows stand in the training table."""
        return self.real != ClassShares()

    def size(self, click_rate: float) -> float:
        """Rows of the training table for each row of real train."""
        real = 2 * min(click_rate, 1 - click_rate) if self.real == "balanced" else _size(self.real, click_rate)
        return real + (1.0 if self.synthetic == "pool" else _size(self.synthetic, click_rate))

    def seen_click_rate(self, of_rows: float) -> float:
        """The click rate that a model learns from a training table of this one: that of its rows, unless weighted."""
        return 0.5 if self.class_weight == "balanced" else of_rows


ORIGINAL = Scenario("original", help="real train as it is")

BUILT_IN = (
    ORIGINAL,
    Scenario("S1", synthetic=ClassShares(positives=0.25), help="real + 25 % synthetic positives"),
    Scenario("S2", synthetic=ClassShares(positives=0.50), help="real + 50 % synthetic positives"),
    Scenario("S3", synthetic=ClassShares(negatives=0.25), help="real + 25 % synthetic negatives"),
    Scenario("S4", synthetic=ClassShares(negatives=0.50), help="real + 50 % synthetic negatives"),
    Scenario("S5", real=ClassShares(), synthetic="pool", help="the pool alone, as many rows as real train"),
    Scenario(
        "original_again",
        model_seeds="other",
        help="real train, other model seeds: what no effect looks like",
        role=MethodRole.CONTROL,
    ),
    Scenario(
        "undersample",
        real="balanced",
        help="real train, its larger class cut to the size of the smaller",
        role=MethodRole.CONTROL,
    ),
    Scenario(
        "class_weight",
        class_weight="balanced",
        help="real train, both classes of equal weight in the loss",
        role=MethodRole.CONTROL,
    ),
)


def compose(train: Table, pool: Table | None, scenario: Scenario, *, seed: int) -> Table:
    """The training table of a scenario.

    Each class is drawn by one seeded permutation of its rows, so a smaller share is a prefix of a larger one
    (S1 ⊂ S2, S3 ⊂ S4). Raises LookupError where the pool lacks rows of a class, and Skip where the scenario asks for
    synthetic rows and its shares of train round to none: that cell would say nothing about them.
    """
    parts = [_draw(train, scenario.real, train, seed=seed, source="real train")]
    if scenario.needs_pool:
        if pool is None:
            raise ValueError(f"scenario {scenario.name} needs a pool")
        if scenario.synthetic == "pool":
            parts.append(pool.take(np.arange(len(train))))
        elif not any(_counts(scenario.synthetic, train.targets).values()):
            raise Skip(f"{scenario.name} adds no row: {_rounded_away(scenario.synthetic, train.targets)} rounds to 0")
        else:
            parts.append(_draw(pool, scenario.synthetic, train, seed=seed, source="the pool"))
    table = Table.concat([part for part in parts if len(part)] or parts[:1])
    return replace(table, weights=_balanced_weights(table)) if scenario.class_weight == "balanced" else table


def _size(shares: ClassShares, click_rate: float) -> float:
    return shares.positives * click_rate + shares.negatives * (1 - click_rate)


def _counts(shares: ClassShares | Literal["balanced"], train_labels: NDArray[np.int8]) -> dict[int, int]:
    positives = int(train_labels.sum())
    negatives = len(train_labels) - positives
    if shares == "balanced":
        return dict.fromkeys((0, 1), min(negatives, positives))
    return {0: round(shares.negatives * negatives), 1: round(shares.positives * positives)}


def _rounded_away(shares: ClassShares, train_labels: NDArray[np.int8]) -> str:
    positives = int(train_labels.sum())
    parts = ((shares.positives, positives, "positives"), (shares.negatives, len(train_labels) - positives, "negatives"))
    return " and ".join(f"{share:.0%} of {number} {kind}" for share, number, kind in parts if share)


def _draw(rows: Table, shares: ClassShares | Literal["balanced"], train: Table, *, seed: int, source: str) -> Table:
    if rows is train and shares == ClassShares(1, 1):
        return train
    chosen = []
    for label, wanted in _counts(shares, train.targets).items():
        of_class = np.flatnonzero(rows.targets == label)
        if len(of_class) < wanted:
            kind = "positives" if label else "negatives"
            raise LookupError(f"{source} has {len(of_class)} {kind}, the scenario needs {wanted}")
        permuted = np.random.default_rng([seed, label]).permutation(of_class)
        chosen.append(permuted[:wanted])
    return rows.take(np.concatenate(chosen))


def _balanced_weights(table: Table) -> NDArray[np.float32]:
    rate = table.click_rate
    return np.where(table.targets == 1, 0.5 / rate, 0.5 / (1 - rate)).astype(np.float32)
