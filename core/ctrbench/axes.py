"""How much, how little, for whom: differences to `original` along the axes of the question.

In: the effects of a data set. Out: `Curve`s over doses of synthetic rows and over shares of train, and `OnSlice`s of
the test rows. What is best of a curve is told with the price of having chosen it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ctrbench.effects import Arm, Effects, TestedEffect
from ctrbench.interfaces import Better
from ctrbench.intervals import Effect
from ctrbench.results import DatasetInfo, TaskResult

LEAST_DOSES = 3
"""So many points make a curve of doses: S1 and S2 by themselves do not."""


@dataclass(frozen=True)
class Point:
    """One place of a curve: a dose, or a share of train, and the effect there; None where a score is missing."""

    x: float
    name: str  # of the scenario, or of the data set
    effect: Effect | None
    causes: Sequence[TaskResult] = ()  # of the scores that it lacks


@dataclass(frozen=True)
class Curve:
    """The mean difference to `original` over models, along one axis."""

    generator: str
    what: str  # of which class rows are added; the scenario
    better: Better
    points: Sequence[Point]
    chosen: Effect | None = None  # of the point that is the best in all repeats but the one it is told on

    def gain(self, effect: Effect) -> float:
        """How much an effect is for the better."""
        return -effect.mean if self.better == "lower" else effect.mean

    @cached_property
    def known(self) -> int:
        """The points that have an effect: so many are looked at before one is chosen."""
        return sum(point.effect is not None for point in self.points)

    @cached_property
    def best(self) -> Point | None:
        """The point of the largest gain; None where one lacks a score, or no side is better."""
        found = [(self.gain(point.effect), -i) for i, point in enumerate(self.points) if point.effect is not None]
        if self.better == "neither" or not found or len(found) < len(self.points):
            return None
        return self.points[-max(found)[1]]

    def bounds(self, point: Point) -> tuple[float, float] | None:
        """The interval of a point's effect that holds for all points of the curve at once."""
        return point.effect.among(self.known) if point.effect else None

    def sign(self, point: Point) -> int:
        """1 where that interval lies on the better side of 0, −1 where on the worse, else 0."""
        ends = self.bounds(point)
        if ends is None or self.better == "neither" or ends[0] <= 0 <= ends[1]:
            return 0
        return 1 if (ends[0] > 0) == (self.better == "higher") else -1


def dose_curves(effects: Effects) -> list[Curve]:
    """How much: a curve for each generator and class of rows of which the run has at least `LEAST_DOSES` doses."""
    by_class: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for name in effects.pool_scenarios:
        told = effects.results.info.scenarios[name]
        if told.adds:
            by_class[told.adds].append((told.dose, name))
    return [
        _dose_curve(effects, generator, adds, sorted(doses))
        for generator in effects.distinct
        for adds, doses in by_class.items()
        if len(doses) >= LEAST_DOSES
    ]


def _dose_curve(effects: Effects, generator: str, adds: str, doses: Sequence[tuple[float, str]]) -> Curve:
    points = [Point(dose, name, *_told(effects, generator, name)) for dose, name in doses]
    options = [[Arm(generator, name, model) for model in effects.compared] for _, name in doses]
    return Curve(generator, adds, effects.better, points, effects.chosen(options))


def share_curves(effects: Effects) -> list[Curve]:
    """How little: a curve for each generator and scenario over the shares of train that the run has of a data set.

    They belong to the largest share: of the others, as of a run with one share, there are none.
    """
    family = shares(effects)
    if len(family) < 2 or family[-1] is not effects:
        return []
    found = effects.results.info.datasets
    x = {part.dataset: found[part.dataset].train_share for part in family}
    return [
        Curve(
            generator,
            scenario,
            effects.better,
            [Point(x[part.dataset], part.dataset, *_told(part, generator, scenario)) for part in family],
        )
        for generator in effects.distinct
        for scenario in effects.family_scenarios
    ]


@dataclass(frozen=True)
class OnSlice:
    """The mean difference to `original` over models, on one slice of the test rows or on all of them."""

    generator: str  # "" for a scenario without a pool
    scenario: str
    effects: Effects  # in the slice's metric
    tested: TestedEffect | None  # as one of the family of all places and slices; None where a score is missing


def slices(effects: Effects) -> list[list[OnSlice]]:
    """A row a generator and scenario: the effect on all test rows, then on each slice; none of a run without slices."""
    names = effects.results.info.slices_of(effects.metric)
    if not names or not effects.compared:
        return []
    each = [effects, *(Effects(effects.results, effects.dataset, name) for name in names)]
    places = [(generator, scenario) for generator in effects.distinct for scenario in effects.pool_scenarios]
    places += [("", scenario) for scenario in effects.control_scenarios]
    tested = iter(effects.family([one.generator(name, [scenario]) for name, scenario in places for one in each]))
    return [[OnSlice(*place, one, next(tested)) for one in each] for place in places]


def shares(effects: Effects) -> list[Effects]:
    """The effects on each share of train of one data set, the smallest first, the given ones among them."""
    found = effects.results.info.datasets
    mine = found[effects.dataset]
    names = [
        name
        for name, told in found.items()
        if name == effects.dataset or (told.train_share != mine.train_share and _of_one_log(told, mine))
    ]
    names.sort(key=lambda name: found[name].train_share)
    return [effects if name == effects.dataset else Effects(effects.results, name, effects.metric) for name in names]


def smaller_shares(datasets: Mapping[str, DatasetInfo]) -> list[str]:
    """Those that are no data sets of their own: they hold rows of a larger share, and are scored on its test rows."""
    return [
        name
        for name, told in datasets.items()
        if any(each.train_share > told.train_share and _of_one_log(each, told) for each in datasets.values())
    ]


def about_smaller(shares: Sequence[str]) -> list[str]:
    """What a table over data sets says of the shares that it leaves out."""
    said = "left out, as smaller shares of a log are no data sets of their own"
    return [f"{said}: {', '.join(shares)}"] if shares else []


def _of_one_log(one: DatasetInfo, other: DatasetInfo) -> bool:
    """Whether two were read in the same way, be it by other versions of the plug-in."""
    return (one.plugin.rpartition(" ")[0], one.parameters) == (other.plugin.rpartition(" ")[0], other.parameters)


def _told(effects: Effects, generator: str, scenario: str) -> tuple[Effect | None, Sequence[TaskResult]]:
    """The effect of a generator in a scenario, and why it lacks scores."""
    arms = [Arm(generator, scenario, model) for model in effects.compared]
    return effects.average(arms), effects.causes(arms)
