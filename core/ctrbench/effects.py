"""What a run says of differences to `original`: for a cell, a generator, a scenario, each with its interval.

In: a `RunResults`, a data set of it and a prediction metric. Out: `Effect`s of any average of cells, and tests
that hold for many of them at once. A cell that lacks a score in one repeat has no effect; no average passes over it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ctrbench import intervals
from ctrbench.interfaces import Better, MethodRole
from ctrbench.intervals import Effect
from ctrbench.results import CONSTANT, LARGEST, CellResult, PoolResult, Stage, Status, TaskResult
from ctrbench.significance import benjamini_hochberg, holm
from ctrbench.store.artefacts import LostArtefactError
from ctrbench.store.runs import RunResults
from ctrbench.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Arm(NamedTuple):
    """What is repeated: a generator in a scenario under a model."""

    generator: str  # "" where the scenario uses no pool
    scenario: str
    model: str


@dataclass(frozen=True)
class TestedEffect:
    """An effect as one of a family: p-values adjusted by Holm, and by Benjamini and Hochberg; None if untested."""

    effect: Effect
    holm: float | None = None
    bh: float | None = None

    @property
    def certain(self) -> bool:
        """Whether it stands even if no single false claim is to be made in the whole family."""
        return self.holm is not None and self.holm < intervals.ALPHA

    @property
    def likely(self) -> bool:
        """Whether it stands if one in twenty of the claims made may be false."""
        return self.bh is not None and self.bh < intervals.ALPHA


def numbers(found: Effect | TestedEffect | None) -> dict[str, float | str | None]:
    """An effect, with the tests of one of a family, as a record holds it; None for what there is not."""
    tested = TestedEffect(found) if isinstance(found, Effect) else found
    if tested is None:
        return dict.fromkeys(("delta", "low", "high", "p", "holm", "bh", "df", "detectable", "basis"))
    effect = tested.effect
    return {
        "delta": effect.mean,
        "low": _finite(effect.low),
        "high": _finite(effect.high),
        "p": effect.p if effect.testable else None,
        "holm": tested.holm,
        "bh": tested.bh,
        "df": _finite(effect.df),
        "detectable": _finite(effect.detectable),
        "basis": effect.basis,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Effects:
    """The differences to `original` of one data set in one metric."""

    def __init__(self, results: RunResults, dataset: str, metric: str) -> None:
        self.results = results
        self.dataset = dataset
        self.metric = metric
        told = results.info.prediction_metrics.get(metric)
        self.better: Better = told.better if told else "neither"
        cells: dict[Arm, list[CellResult]] = defaultdict(list)
        for cell in results.cells:
            if cell.dataset == dataset:
                cells[Arm(cell.generator, cell.scenario, cell.model)].append(cell)
        self.cells = dict(cells)
        self.models = list(dict.fromkeys(arm.model for arm in self.cells))
        self.generators = list(dict.fromkeys(arm.generator for arm in self.cells if arm.generator))
        self.pool_scenarios = list(dict.fromkeys(arm.scenario for arm in self.cells if arm.generator))
        self.control_scenarios = [
            name
            for name in dict.fromkeys(arm.scenario for arm in self.cells if not arm.generator)
            if name != "original"
        ]

    # What there is

    @cached_property
    def pools(self) -> dict[str, list[PoolResult]]:
        """The pools of each generator, one a repeat."""
        found: dict[str, list[PoolResult]] = defaultdict(list)
        for pool in self.results.pools:
            if pool.dataset == self.dataset:
                found[pool.generator].append(pool)
        return dict(found)

    @cached_property
    def _lost(self) -> list[TaskResult]:
        return [pool.result for pools in self.pools.values() for pool in pools if not pool.ok]

    def waited(self, cell: CellResult) -> bool:
        """Whether a cell's training waited in vain for a pool, whose result stands in the place of its own."""
        return not cell.ok and cell.result in self._lost

    def scores(self, arm: Arm) -> list[float | None]:
        """The score of every repeat and model seed of an arm; none where this run has no such arm."""
        cells = self.cells.get(arm, ())
        return [cell.scores[self.metric].value if self.metric in cell.scores else None for cell in cells]

    def causes(self, arms: Iterable[Arm]) -> list[TaskResult]:
        """What explains each score that these arms lack."""
        cells = [cell for arm in arms for cell in self.cells.get(arm, ())]
        return [cell.cause(self.metric) for cell in cells if self.metric not in cell.scores]

    def whole(self, arm: Arm) -> bool:
        """Whether an arm lacks no score."""
        found = self.scores(arm)
        return bool(found) and None not in found

    @cached_property
    def compared(self) -> list[str]:
        """The models that `original` has every score of: for all generators the same."""
        return [model for model in self.models if self.whole(Arm("", "original", model))]

    def constant(self) -> list[str]:
        """The models that predict the same for every row of test, and in how many of their trainings."""
        trained: dict[str, dict[str, bool]] = {}
        for arm, cells in self.cells.items():
            for cell in filter(lambda each: each.ok, cells):
                trained.setdefault(arm.model, {})[cell.training] = CONSTANT in cell.result.facts
        shares = ((model, sum(found.values()), len(found)) for model, found in trained.items())
        return [f"{model} in {some} of {counted(all_, 'training')}" for model, some, all_ in shares if some]

    @cached_property
    def same(self) -> dict[str, str]:
        """For each generator that applies here, the first of those with which it shares its pools, or itself."""
        kept: dict[tuple[str, ...], str] = {}
        found = {}
        for generator in self.generators:
            cells = [cell for arm, cells in self.cells.items() if arm.generator == generator for cell in cells]
            skipped = [c.result.status is Status.SKIPPED and c.result.stage is not Stage.COMPOSE for c in cells]
            if not all(skipped):
                found[generator] = kept.setdefault(tuple(cell.training for cell in cells), generator)
        return found

    @property
    def distinct(self) -> list[str]:
        """The generators that apply here, one of each that share their pools."""
        return list(dict.fromkeys(self.same.values()))

    @cached_property
    def candidates(self) -> list[str]:
        """Those of `distinct` that somebody might use; of a group with the same pools one such generator is enough."""
        found = (self.same[name] for name in self.same if self.results.info.role(name) is MethodRole.CANDIDATE)
        return list(dict.fromkeys(found))

    @property
    def controls(self) -> list[str]:
        """The others of `distinct`."""
        return [name for name in self.distinct if name not in self.candidates]

    @property
    def averaged(self) -> list[str]:
        """The generators that means are over: the candidates, or the controls of a run that has none else."""
        return self.candidates or self.controls

    @property
    def beside(self) -> list[str]:
        """The controls that means are not over."""
        return [name for name in self.controls if name not in self.averaged]

    @property
    def applicable(self) -> list[str]:
        """The generators that did not skip this data set altogether."""
        return list(self.same)

    @cached_property
    def kept_scenarios(self) -> list[str]:
        """The scenarios that add a pool's rows to real ones: those that answer the question."""
        return [name for name in self.family_scenarios if self.results.info.scenarios[name].keeps_real]

    @property
    def family_scenarios(self) -> list[str]:
        """The scenarios with a pool that are no controls."""
        told = self.results.info.scenarios
        return [name for name in self.pool_scenarios if told[name].role is MethodRole.CANDIDATE]

    # What it says

    def cell(self, arm: Arm) -> Effect | None:
        """The effect of one arm."""
        return self.average([arm])

    def scenario(self, scenario: str) -> Effect | None:
        """The effect of a scenario, averaged over candidates (equal ones once) and models."""
        generators = self.averaged if scenario in self.pool_scenarios else [""]
        return self.average([Arm(g, scenario, m) for g in generators for m in self.compared])

    def generator(self, generator: str, scenarios: Iterable[str]) -> Effect | None:
        """The effect of a generator, averaged over scenarios and models."""
        return self.average([Arm(generator, scenario, m) for scenario in scenarios for m in self.compared])

    def average(self, arms: Sequence[Arm]) -> Effect | None:
        """The effect of the mean over arms of (arm − original); None where a score is missing."""
        return self.contrast([(arm, Arm("", "original", arm.model)) for arm in arms])

    def contrast(self, pairs: Sequence[tuple[Arm, Arm]]) -> Effect | None:
        """The effect of the mean over pairs of (first − second); None where a score is missing.

        Each repeat gives one difference for each model seed: the pairs are averaged within it, each by the seeds that
        its arms share.
        """
        weights = self._weights(pairs)
        return None if weights is None else self._effect(weights)

    def chosen(self, options: Sequence[Sequence[Arm]]) -> Effect | None:
        """The effect, in each repeat, of the option that is the best on average over the others.

        An option is arms to be averaged, as in `average`. No choice knows the repeat that it is told on, so the
        luck of seeds is not in the mean; that of the test rows, which all repeats share, is. None where a score is
        missing, or there is one repeat.
        """
        found = [self._weights([(arm, Arm("", "original", arm.model)) for arm in arms]) for arms in options]
        weights = [each for each in found if each is not None]
        if self.better == "neither" or not weights or len(weights) < len(found) or len(weights[0]) < 2:
            return None
        told = np.stack([(each @ self._values).mean(axis=1) for each in weights])  # (options, R)
        others = told.sum(axis=1, keepdims=True) - told
        best = (others if self.better == "higher" else -others).argmax(axis=0)
        return self._effect(np.stack([weights[option][repeat] for repeat, option in enumerate(best)]))

    def family(self, effects: Sequence[Effect | None]) -> list[TestedEffect | None]:
        """Verdicts on effects that are claimed side by side; what has no seeds in its error is not tested."""
        tested = [i for i, effect in enumerate(effects) if effect is not None and effect.testable]
        p = [effect.p for i in tested if (effect := effects[i]) is not None]
        both = zip(holm(p), benjamini_hochberg(p), strict=True)
        adjusted = dict(zip(tested, both, strict=True))
        return [
            None if effect is None else TestedEffect(effect, *adjusted.get(i, (None, None)))
            for i, effect in enumerate(effects)
        ]

    @cached_property
    def tested(self) -> dict[Arm, TestedEffect]:
        """Every cell's effect as one of the family of all cells, cells that read the same trainings counted once."""
        groups: dict[tuple[str, ...], list[Arm]] = defaultdict(list)
        for arm, cells in self.cells.items():
            if arm.scenario != "original" and arm.model in self.compared:
                groups[tuple(cell.training for cell in cells)].append(arm)
        judged = self.family([self.cell(arms[0]) for arms in groups.values()])
        return {
            arm: tested
            for arms, tested in zip(groups.values(), judged, strict=True)
            if tested is not None
            for arm in arms
        }

    @cached_property
    def tested_scenarios(self) -> dict[str, TestedEffect]:
        """The confirmatory family: each scenario that uses a pool, averaged over candidates and models."""
        judged = self.family([self.scenario(name) for name in self.family_scenarios])
        return {name: tested for name, tested in zip(self.family_scenarios, judged, strict=True) if tested is not None}

    def judged_scenario(self, scenario: str) -> TestedEffect | None:
        """The effect of a scenario as one of its family; untested where it is a control."""
        effect = self.scenario(scenario) if scenario not in self.family_scenarios else None
        return self.tested_scenarios.get(scenario) or (TestedEffect(effect) if effect else None)

    @cached_property
    def judged_generators(self) -> dict[str, TestedEffect | None]:
        """Every generator's effect over the scenarios that keep real rows; those that means are over are a family."""
        means = [self.generator(name, self.kept_scenarios) for name in self.averaged]
        found = dict(zip(self.averaged, self.family(means), strict=True))
        for name in self.distinct:
            if name not in found:
                effect = self.generator(name, self.kept_scenarios)
                found[name] = TestedEffect(effect) if effect else None
        return {name: found.get(self.same.get(name, "")) for name in self.generators}

    # How it is worked out

    def _weights(self, pairs: Sequence[tuple[Arm, Arm]]) -> NDArray[np.float64] | None:
        """What each training counts in a contrast, (repeats, model seeds, trainings); None where a score is missing."""
        if not pairs or not all(self.whole(arm) and self.whole(base) for arm, base in pairs):
            return None
        numbers = self._numbers
        weights: NDArray[np.float64] = np.zeros((*numbers[pairs[0][0]].shape, len(self._values)))
        repeat, seed = np.indices(weights.shape[:2])
        for arm, base in pairs:
            np.add.at(weights, (repeat, seed, numbers[arm]), 1 / len(pairs))
            np.add.at(weights, (repeat, seed, numbers[base]), -1 / len(pairs))
        return weights

    def _effect(self, weights: NDArray[np.float64]) -> Effect:
        one_pool = len(weights) == 1 and weights.shape[1] > 1
        drawn = weights[0] if one_pool else weights.mean(axis=1)  # (R, trainings), or (model seeds, trainings)
        shared = None if self._gram is None else drawn @ self._gram @ drawn.T
        if one_pool:
            return intervals.of_one_pool(drawn @ self._values, shared)
        return intervals.effect(weights @ self._values, shared)

    @cached_property
    def _trainings(self) -> dict[str, CellResult]:
        """A cell of every training that has a score."""
        return {c.training: c for cells in self.cells.values() for c in cells if self.metric in c.scores}

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """The score of every training, (trainings,)."""
        return np.array([cell.scores[self.metric].value for cell in self._trainings.values()], dtype=np.float64)

    @cached_property
    def _numbers(self) -> dict[Arm, NDArray[np.int64]]:
        """Which trainings stand in an arm, (repeats, model seeds), for those that lack none."""
        number = {training: i for i, training in enumerate(self._trainings)}
        found = {}
        for arm, cells in self.cells.items():
            if self.whole(arm):
                rows: dict[int, list[int]] = defaultdict(list)
                for cell in sorted(cells, key=lambda cell: (cell.repeat, cell.model_seed)):
                    rows[cell.repeat].append(number[cell.training])
                found[arm] = np.array(list(rows.values()))
        return found

    @cached_property
    def _gram(self) -> NDArray[np.float64] | None:
        """The covariances that scores owe to the test rows that they share, (trainings, trainings); None if unknown.

        A score's contributions sum to zero over the test rows, or over the users among whom these are divided: their
        products' sum estimates the covariance (DeLong et al. 1988; Obuchowski 1997 where rows of a user depend).
        """
        artefacts = self.results.artefacts
        digests = [cell.contributions.get(self.metric, "") for cell in self._trainings.values()]
        if artefacts is None or not all(digests):
            return None
        try:
            found = artefacts.products(digests)
        except LostArtefactError:
            return None
        return found if (np.abs(found) <= LARGEST**2).all() else None  # a stranger's may be anything
