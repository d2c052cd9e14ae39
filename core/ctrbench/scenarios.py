"""Scenarios are data: which shares of real train and of the pool make a training table.

In: real train, a pool of synthetic rows, a scenario and a seed. Out: the training table, or its real and its synthetic
part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ctrbench.errors import Skip
from ctrbench.interfaces import MethodRole
from ctrbench.table import Table
from ctrbench.text import exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_DRAWN = 10
"""The most that is drawn of a pool, in shares of real train."""

Adds = Literal["positives", "negatives", "both"]
"""Of which class synthetic rows are added to all real ones."""


def _of_one_text(number: float) -> float:
    """One recipe has one text, of which keys are made: 1.0 is 1, and 0 is 0.0, as where nothing is said."""
    return int(number) if number and number == int(number) else float(number)


@dataclass(frozen=True)
class ClassShares:
    """Rows of each class, as shares of real train's positives and negatives."""

    positives: float = 0.0
    negatives: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("positives", self.positives), ("negatives", self.negatives)):
            if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= MOST_DRAWN:
                raise ValueError(f"{name}={share} must lie between 0 and {MOST_DRAWN}")
            object.__setattr__(self, name, _of_one_text(share))


@dataclass(frozen=True)
class Scenario:
    """A recipe for a training table, and how a model is trained on it.

    `real="balanced"` draws as many rows of the larger class as the smaller one has; `synthetic="pool"` takes as many
    pool rows as real train has. Model seeds are "common" to all scenarios, so that gains over `original` are paired
    differences; "other" ones are this scenario's own. A scenario without a pool is a control whatever its `role` says.

    `synthetic_weight` is what a synthetic row counts in the loss, where a real one counts 1. `plausible` is the share
    of the pool's rows of each class that are drawn from: those whose label the same model, trained on real train,
    gives the highest probability (after Seedat et al. 2023, arXiv 2312.12112, who draw the line at fixed ones).
    `order` is whether real and synthetic rows are mixed, or the model learns the synthetic ones first and the real
    ones then.
    """

    name: str
    real: ClassShares | Literal["balanced"] = ClassShares(1, 1)
    synthetic: ClassShares | Literal["pool"] = ClassShares()
    class_weight: Literal["none", "balanced"] = "none"
    model_seeds: Literal["common", "other"] = "common"
    help: str = ""
    role: MethodRole = field(default=MethodRole.CANDIDATE, repr=False)
    synthetic_weight: float = field(default=1.0, repr=False)
    plausible: float = field(default=1.0, repr=False)
    order: Literal["mixed", "synthetic first"] = field(default="mixed", repr=False)

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
        for name, low, high in (("synthetic_weight", 0.001, 100), ("plausible", 0.1, 1)):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
                raise ValueError(f"{name}={number!r} must be a number between {low:g} and {high:g}")
            object.__setattr__(self, name, _of_one_text(number))
        if self.order not in ("mixed", "synthetic first"):
            raise ValueError(f"order={self.order!r} must be 'mixed' or 'synthetic first'")
        if self.pretrains and (self.class_weight != "none" or self.synthetic_weight != 1):
            raise ValueError("order='synthetic first' takes no weights: leave out class_weight and synthetic_weight")
        if self.pretrains and not (self.needs_pool and self.keeps_real):
            raise ValueError("order='synthetic first' needs real rows and synthetic ones")
        if self.curates and isinstance(wanted := self.synthetic, ClassShares):
            needed = max(wanted.positives, wanted.negatives) / self.plausible
            if round(needed, 9) > MOST_DRAWN:
                raise ValueError(
                    f"plausible={self.plausible:g} of a pool for {wanted}: that takes {needed:g} times the rows of "
                    f"train, and no pool has more than {MOST_DRAWN}: draw fewer, or from a larger share"
                )
        if not self.needs_pool and not self.keeps_real:
            raise ValueError("it has no rows: ask for a share of real ones or of synthetic ones")
        if not self.needs_pool and (self.synthetic_weight != 1 or self.curates):
            raise ValueError("synthetic_weight and plausible are for synthetic rows, of which it has none")

    @property
    def recipe(self) -> Scenario:
        """What it does, without what it is called and taken for: equal for scenarios that make the same tables."""
        return replace(self, name="", help="", model_seeds="common", role=MethodRole.CANDIDATE)

    @property
    def identity(self) -> str:
        """The recipe as text; what scenarios have learnt since the first stores counts only in those that use it."""
        plain, since = Scenario(""), ("synthetic_weight", "plausible", "order")
        used = [f"{name}={value}" for name in since if (value := getattr(self, name)) != getattr(plain, name)]
        return " ".join([repr(self.recipe), *used])

    @property
    def needs_pool(self) -> bool:
        """Whether it uses synthetic rows at all."""
        return self.synthetic != ClassShares()

    @property
    def keeps_real(self) -> bool:
        """Whether real rows stand in the training table."""
        return self.real != ClassShares()

    @property
    def curates(self) -> bool:
        """Whether a model of real train chooses among the pool's rows."""
        return self.plausible < 1

    @property
    def pretrains(self) -> bool:
        """Whether the model sees synthetic rows first, and then real ones."""
        return self.order == "synthetic first"

    @property
    def dose(self) -> tuple[Adds, float] | None:
        """What it adds to all real rows, and how much of it, where that is all that it does."""
        if self.synthetic == "pool" or not self.needs_pool:
            return None
        adds, share = _dose(self.synthetic)
        plain = adds and self.model_seeds == "common" and self.recipe == dose(adds, share).recipe
        return (adds, share) if adds and plain else None

    @property
    def drawn(self) -> ClassShares:
        """What a pool has to hold for it, as shares of real train's positives and negatives."""
        wanted = self.synthetic
        if not self.curates:
            return ClassShares() if wanted == "pool" else wanted
        shares = (1.0, 1.0) if wanted == "pool" else (wanted.positives, wanted.negatives)
        return ClassShares(*(min(MOST_DRAWN, share / self.plausible) for share in shares))

    def size(self, click_rate: float) -> float:
        """Rows of the training table for each row of real train."""
        real = 2 * min(click_rate, 1 - click_rate) if self.real == "balanced" else _size(self.real, click_rate)
        return real + (1.0 if self.synthetic == "pool" else _size(self.synthetic, click_rate))

    def seen_click_rate(self, of_rows: float) -> float:
        """The click rate that a model learns from a training table of this one: that of its rows, unless weighted."""
        return 0.5 if self.class_weight == "balanced" else of_rows


def dose(adds: Adds, share: float) -> Scenario:
    """The scenario that adds so many synthetic rows of a class, or of both, to all real ones."""
    positives, negatives = (share if adds in (kind, "both") else 0.0 for kind in ("positives", "negatives"))
    what = "rows of both classes" if adds == "both" else adds
    help_ = f"real + {100 * share:g} % synthetic {what}"
    return Scenario(f"{adds}-{exact(share)}", synthetic=ClassShares(positives, negatives), help=help_)


def doses(shares: Sequence[float]) -> list[Scenario]:
    """Such scenarios for each class, and for both, at each share."""
    return [dose(adds, share) for adds in get_args(Adds) for share in sorted(shares)]


def _dose(shares: ClassShares) -> tuple[Adds | None, float]:
    if shares.positives == shares.negatives:
        return "both", shares.positives
    if not shares.negatives:
        return "positives", shares.positives
    return ("negatives", shares.negatives) if not shares.positives else (None, 0.0)


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
    """The training table of a scenario: its real rows, and below them its synthetic ones.

    Each class is drawn by one seeded permutation of its rows, so a smaller share is a prefix of a larger one
    (S1 ⊂ S2, S3 ⊂ S4). Raises Skip where the pool lacks rows of a class, and where the scenario asks for a share of
    train's rows of a class that rounds to none: such a cell would say nothing about them.
    """
    return joined(*parts(train, pool, scenario, seed=seed), scenario)


def joined(real: Table, synthetic: Table | None, scenario: Scenario) -> Table:
    """The training table of a scenario's real and synthetic rows, weighted as it says."""
    table = Table.concat([part for part in (real, synthetic) if part is not None and len(part)] or [real])
    if scenario.synthetic_weight != 1:
        weights = np.ones(len(table), np.float32)
        weights[len(real) :] = scenario.synthetic_weight
        table = replace(table, weights=weights)
    return replace(table, weights=_balanced_weights(table)) if scenario.class_weight == "balanced" else table


def parts(train: Table, pool: Table | None, scenario: Scenario, *, seed: int) -> tuple[Table, Table | None]:
    """The real rows of a training table, and the synthetic ones; None where the scenario asks for none."""
    if isinstance(scenario.real, ClassShares) and scenario.real != ClassShares(1, 1):
        _expect_rows(scenario.real, train, f"{scenario.name} takes of train")
    real = _draw(train, scenario.real, train, seed=seed, source="real train", scenario=scenario.name)
    if not scenario.needs_pool:
        return real, None
    if pool is None:
        raise ValueError(f"scenario {scenario.name} needs a pool")
    if scenario.synthetic == "pool":
        if len(pool) < len(train):
            raise Skip(f"the pool has {len(pool)} rows, {scenario.name} needs {len(train)}")
        return real, pool.view(np.arange(len(train)))
    _expect_rows(scenario.synthetic, train, f"{scenario.name} adds")
    return real, _draw(pool, scenario.synthetic, train, seed=seed, source="the pool", scenario=scenario.name)


def plausible(pool: Table, clicks: NDArray[np.float64], share: float) -> Table:
    """So large a share of the pool's rows of each class, in their order: those whose label is the most probable.

    `clicks` is P(label = 1) of each row, (rows,), by a model of real train. The line is drawn within a class, since at
    a click rate of some per cent hardly any click is probable.
    """
    kept = np.zeros(len(pool), np.bool_)
    for label in (0, 1):
        of_class = np.flatnonzero(pool.targets == label)
        doubt = clicks[of_class] if label == 0 else 1 - clicks[of_class]
        kept[of_class[np.argsort(doubt, kind="stable")[: math.ceil(round(share * len(of_class), 9))]]] = True
    return pool.take(kept)


def _size(shares: ClassShares, click_rate: float) -> float:
    return shares.positives * click_rate + shares.negatives * (1 - click_rate)


def _counts(shares: ClassShares | Literal["balanced"], train_labels: NDArray[np.int8]) -> dict[int, int]:
    positives = int(train_labels.sum())
    negatives = len(train_labels) - positives
    if shares == "balanced":
        return dict.fromkeys((0, 1), min(negatives, positives))
    return {0: round(shares.negatives * negatives), 1: round(shares.positives * positives)}


def _expect_rows(shares: ClassShares, train: Table, what: str) -> None:
    """Skip where a share of a class of train rounds to no row; `what` begins the reason, as in "S1 adds"."""
    positives = int(train.targets.sum())
    parts = ((shares.positives, positives, "positives"), (shares.negatives, len(train) - positives, "negatives"))
    asked = [(share, number, kind) for share, number, kind in parts if share]
    lost = [f"{100 * share:g}% of {number} {kind}" for share, number, kind in asked if not round(share * number)]
    if lost:
        rows = "no row" if len(lost) == len(asked) else "rows of one class alone"
        raise Skip(f"{what} {rows}: {' and '.join(lost)} rounds to 0")


def _draw(
    rows: Table, shares: ClassShares | Literal["balanced"], train: Table, *, seed: int, source: str, scenario: str
) -> Table:
    if rows is train and shares == ClassShares(1, 1):
        return train
    chosen = []
    for label, wanted in _counts(shares, train.targets).items():
        of_class = np.flatnonzero(rows.targets == label)
        if len(of_class) < wanted:
            kind = "positives" if label else "negatives"
            raise Skip(f"{source} has {len(of_class)} {kind}, {scenario} needs {wanted}")
        permuted = np.random.default_rng([seed, label]).permutation(of_class)
        chosen.append(permuted[:wanted])
    return rows.view(np.concatenate(chosen))


def _balanced_weights(table: Table) -> NDArray[np.float32]:
    rate = table.seen_click_rate
    if not 0 < rate < 1:
        raise Skip("only one class is among the rows: there are no weights by which both would count the same")
    factors = np.where(table.targets == 1, 0.5 / rate, 0.5 / (1 - rate))
    return (factors if table.weights is None else factors * table.weights).astype(np.float32)
