"""Tells whether a run is worse than a baseline: beyond a margin, and beyond what seeds and test rows explain.

In: two `Snapshot`s, the metrics to watch, and how much worse each may be. Out: a `Comparison`: a judgement on each
metric as a whole and on each plug-in's share of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ctrbench import intervals
from ctrbench.errors import UserError
from ctrbench.gate.snapshot import COSTS, ArmScores, Key, MetricEntry, Snapshot
from ctrbench.intervals import Unpaired
from ctrbench.text import did_you_mean, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALARM_LEVEL = 0.001
"""The chance that anything at all is called a regression where nothing got worse, divided among all questions."""

DOUBT = 0.05
"""The chance that a regression of `EXCLUDED` margins passes as fine."""

EXCLUDED = 2.0
"""How many margins of regression must be excluded before a question is called fine."""

SHORTEST = 0.1
"""Seconds: whatever takes less counts as that long, since a ratio of two moments means nothing."""


_Measurement: TypeAlias = tuple[str, int, range]
"""A cost, the repeat, and the model seeds over which it is a mean."""


class Judgement(StrEnum):
    """What a comparison says to a question."""

    FINE = "fine"
    THIN = "too thin to tell"
    LOST = "lost"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Margin:
    """How much worse a mean may be: a share of the baseline's, and at least so much in the metric's unit."""

    share: float = 0.0
    least: float = 0.0

    def size(self, baseline: float) -> float:
        """In the metric's unit."""
        return max(self.share * abs(baseline), self.least)


@dataclass(frozen=True)
class Answer:
    """The answer to one question. Numbers are in the metric's unit; for a cost, differences are ratios of means."""

    metric: str
    subject: str  # "all", or one plug-in on one data set
    judgement: Judgement
    places: int
    baseline: float | None = None
    head: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None  # its end on the good side is the alarm's, the other the all-clear's
    margin: float | None = None  # on the scale of the difference
    reason: str = ""


@dataclass(frozen=True)
class Shift:
    """How far one cell or pool moved."""

    metric: str
    key: Key
    baseline: float
    head: float
    margins: float  # how many margins worse; negative where it is better


@dataclass(frozen=True)
class Comparison:
    """All answers, and what to know beside them."""

    baseline: Snapshot
    head: Snapshot
    answers: Sequence[Answer]
    shifts: Sequence[Shift]  # the worst of each metric
    notes: Sequence[str]

    @property
    def level(self) -> float:
        """The level of each alarm."""
        return ALARM_LEVEL / max(len(self.answers), 1)

    @property
    def judgement(self) -> Judgement:
        """The worst judgement."""
        found = {answer.judgement for answer in self.answers}
        return next((v for v in (Judgement.REGRESSION, Judgement.LOST, Judgement.THIN) if v in found), Judgement.FINE)


def compare(
    baseline: Snapshot, head: Snapshot, metrics: Sequence[str], margins: Mapping[str, Margin] | None = None
) -> Comparison:
    """Ask of each metric whether it got worse: averaged over all cells, over each model's and each generator's.

    UserError for a metric that cannot be asked about, and for runs that were not meant to be equal.
    """
    if baseline.budget != head.budget:
        raise UserError(
            f"run {head.run}: has budget {head.budget:g} and the baseline {baseline.budget:g}; compare equal budgets"
        )
    watched = [_Watched(baseline, head, name, (margins or {}).get(name)) for name in dict.fromkeys(metrics)]
    level = ALARM_LEVEL / max(sum(len(each.questions) for each in watched), 1)
    answers = [each.answer(subject, keys, level) for each in watched for subject, keys in each.questions.items()]
    notes = [*_notes(baseline, head, metrics), *(note for each in watched for note in each.notes)]
    return Comparison(baseline, head, answers, [shift for each in watched for shift in each.shifts], notes)


@dataclass(frozen=True)
class _Watched:
    """One metric or cost, in both runs."""

    old: Snapshot
    new: Snapshot
    name: str
    margin: Margin | None  # the user's

    def __post_init__(self) -> None:
        for snapshot, which in ((self.old, "the baseline"), (self.new, f"run {self.new.run}")):
            if snapshot.metric_entry(self.name) is None:
                hint = did_you_mean(self.name, [*snapshot.metrics, *COSTS], "there are")
                raise UserError(f"--fail-on {self.name}: {which} has no such metric; {hint}")
        other = self.new.metric_entry(self.name)
        if other and other.better != self.metric.better:
            sides = f"{self.metric.better} is better in the baseline, {other.better} in run {self.new.run}"
            raise UserError(f"--fail-on {self.name}: {sides}")
        if other and (other.unit, other.of) != (self.metric.unit, self.metric.of):
            sides = f"{self.metric.unit!r} of {self.metric.of} in the baseline, {other.unit!r} of {other.of}"
            raise UserError(f"--fail-on {self.name}: it is told in {sides} in run {self.new.run}; make a new baseline")
        if self.metric.better == "neither":
            raise UserError(f"--fail-on {self.name}: neither higher nor lower is better, so nothing can be worse")

    @cached_property
    def metric(self) -> MetricEntry:
        found = self.old.metric_entry(self.name)
        assert found is not None
        return found

    @cached_property
    def found_again(self) -> dict[Key, bool]:
        return _found_again(self.old, self.new)

    @property
    def is_cost(self) -> bool:
        return self.name in COSTS

    @cached_property
    def kept(self) -> dict[Key, ArmScores]:
        """What the baseline has all scores of."""
        return {place.key: place for place in self.old.places if place.scores(self.name)}

    @cached_property
    def found(self) -> dict[Key, ArmScores]:
        """What of it the new run has all scores of."""
        return {p.key: p for p in self.new.places if p.key in self.kept and p.scores(self.name)}

    @cached_property
    def questions(self) -> dict[str, list[Key]]:
        """What to ask: subject → the cells and pools that are averaged; what would ask the same again is left out."""
        groups: dict[str, list[Key]] = {"all": list(self.kept)}
        for key in self.kept:
            for subject in self._subjects(key):
                groups.setdefault(f"{key.dataset}: {subject}", []).append(key)
        asked = {tuple(keys): subject for subject, keys in groups.items()}  # the last and narrowest name of each
        return {subject: list(keys) for keys, subject in asked.items()}

    def _subjects(self, key: Key) -> Iterator[str]:
        """The plug-ins that a cell or pool speaks for.

        On real rows alone a model shows its own faults, without the noise of pools. What a training costs is its
        model's business, whatever pool it reads.
        """
        if key.model:
            yield f"model {key.model}"
        if key.model and not key.generator and not self.is_cost:
            yield f"model {key.model} on real rows"
        if key.generator and not (key.model and self.is_cost):
            yield f"generator {key.generator}"

    def answer(self, subject: str, keys: list[Key], level: float) -> Answer:
        """The judgement on the mean over some cells or pools."""
        both = [key for key in keys if key in self.found]
        lost = [key for key in keys if key not in self.found]
        if not keys:
            return Answer(self.name, subject, Judgement.THIN, 0, reason="the baseline has no scores of it")
        if not both:
            return Answer(self.name, subject, Judgement.LOST, 0, reason=self._why_lost(lost))
        old, new = self._repeats(self.kept, both), self._repeats(self.found, both)
        test = self._test_variance(both)
        worse = 1.0 if self.metric.better == "lower" else -1.0
        apart = intervals.unpaired(worse * new, worse * old, test or 0.0)
        before, after = self._mean(self.kept, both), self._mean(self.found, both)
        margin = self._margin(both, before)
        difference = self._shown(intervals.difference(new, old))
        answer = Answer(
            self.name, subject, Judgement.THIN, len(both), before, after, difference, margin=self._shown(margin)
        )
        if apart is None or test is None:
            why = "the test rows' noise is unknown" if apart else "one repeat says nothing about the noise of seeds"
            answer = replace(answer, reason=why)
        else:
            judgement, *bounds = _judge(apart, margin, level)
            low, high = sorted(self._shown(worse * bound) for bound in bounds)
            reason = _why_thin(apart, margin, level) if judgement is Judgement.THIN else ""
            answer = replace(answer, judgement=judgement, interval=(low, high), reason=reason)
        again = {key: self.found_again[key] for key in keys if key in self.found_again}
        if answer.judgement is Judgement.FINE and (same := _why_not_new(self.old, self.new, again)):
            answer = replace(answer, judgement=Judgement.THIN, reason=same)
        if lost:
            worst = answer.judgement if answer.judgement is Judgement.REGRESSION else Judgement.LOST
            answer = replace(answer, judgement=worst, reason=self._why_lost(lost))
        return answer

    @property
    def shifts(self) -> list[Shift]:
        """The cells and pools that moved most to the bad side, at most three."""
        worse = 1 if self.metric.better == "lower" else -1
        moved = []
        for key in self.found:
            before, after = self._mean(self.kept, [key]), self._mean(self.found, [key])
            shift = worse * intervals.difference(self._repeats(self.found, [key]), self._repeats(self.kept, [key]))
            moved.append(Shift(self.name, key, before, after, shift / (self._margin([key], before) or 1.0)))
        return sorted((shift for shift in moved if shift.margins > 0), key=lambda shift: -shift.margins)[:3]

    @property
    def notes(self) -> list[str]:
        """Which cells and pools only one run has."""
        said = []
        lost = [key for key in self.kept if key not in self.found]
        if lost:
            said.append(f"{self.name}: lost: {self._why_lost(lost)}")
        added = [p.key for p in self.new.places if p.key not in self.kept and p.scores(self.name)]
        if added:
            more = f", and {len(added) - 1} more" if added[1:] else ""
            said.append(f"{self.name}: left out, as the baseline has no score of every repeat: {added[0]}{more}")
        return said

    def _why_lost(self, lost: Sequence[Key]) -> str:
        place = next((p for p in self.new.places if p.key == lost[0]), None)
        why = place.lacking.get(self.name, "not scored") if place else "not run"
        return f"{lost[0]}: no score ({why})" + (f", and {len(lost) - 1} more" if lost[1:] else "")

    def _repeats(self, places: Mapping[Key, ArmScores], keys: Sequence[Key]) -> NDArray[np.float64]:
        """Each repeat's mean over some places, (R,); of costs the mean of logarithms."""
        scores: NDArray[np.float64] = np.array([places[key].scores(self.name) for key in keys])  # (places, R)
        if self.is_cost:
            scores = np.log(np.maximum(scores, 1.0 if self.name == "peak_memory" else SHORTEST))
        means: NDArray[np.float64] = scores.mean(axis=0)
        return means

    def _mean(self, places: Mapping[Key, ArmScores], keys: Sequence[Key]) -> float:
        """The mean over repeats and places; of costs the geometric one."""
        mean = float(self._repeats(places, keys).mean())
        return math.exp(mean) if self.is_cost else mean

    def _shown(self, difference: float) -> float:
        """A difference as people read it: as a ratio for costs."""
        return math.exp(difference) if self.is_cost else difference

    def _margin(self, keys: Sequence[Key], baseline: float) -> float:
        """How much worse the mean over some places may be, on the scale on which it is averaged."""
        if self.is_cost:
            return math.log1p(self.margin.share if self.margin else 0.25 if self.name == "peak_memory" else 0.5)
        if self.margin:
            return self.margin.size(baseline)
        if self.metric.of == "cells":
            return Margin(0.01, 0.01).size(baseline)
        rows = [self.old.datasets[key.dataset].rows["train"] for key in keys]
        return Margin(0.25, 0.005 * float(np.mean(rows)) if self.metric.unit == "rows" else 0.02).size(baseline)

    def _test_variance(self, keys: Sequence[Key]) -> float | None:
        """The variance that a difference of means owes to test rows, 0 where they are the same; None if unknown.

        Cells of a data set share its test rows: the error of their mean is at most the mean of their errors.
        """
        if self.is_cost or self.metric.of == "pools":
            return 0.0
        errors = [0.0, 0.0]
        for key in keys:
            if self.old.datasets[key.dataset].fingerprint == self.new.datasets[key.dataset].fingerprint:
                continue
            for side, places in enumerate((self.kept, self.found)):
                variance = places[key].test_variance.get(self.name)
                if variance is None:
                    return None
                errors[side] += math.sqrt(variance) / len(keys)
        return sum(error**2 for error in errors)


def _judge(apart: Unpaired, margin: float, level: float) -> tuple[Judgement, float, float]:
    """The judgement on how much worse it got, and the bounds that it rests on.

    A regression is a lower bound, at the alarm's level, above the margin; fine is an upper bound, at 95 %, not above
    twice the margin: with the alarm's own margin, an unchanged tree would need half the noise to be called fine.
    """
    low, high = apart.bound(-(1 - 2 * level)), apart.bound(1 - 2 * DOUBT)
    if low > margin:
        return Judgement.REGRESSION, low, high
    return Judgement.FINE if high <= EXCLUDED * margin else Judgement.THIN, low, high


def _why_thin(apart: Unpaired, margin: float, level: float) -> str:
    """What hides the answer, and what would tell: no number of repeats where test rows would hide it without seeds."""
    of_rows = _judge(replace(apart, seeds=()), margin, level)[0] is Judgement.THIN
    cause = "other test rows" if of_rows else "seeds"
    cure = "keep the baseline's (`data_seed` in the suite), or use more" if of_rows else "use more repeats"
    if apart.mean > margin:
        return f"worse by more than the margin, but perhaps because of {cause}: {cure}"
    return f"a regression of twice the margin cannot be excluded because of {cause}: {cure}, or a wider margin"


def _notes(old: Snapshot, new: Snapshot, metrics: Iterable[str]) -> list[str]:
    """What makes the runs different beside the results."""
    same = _why_not_new(old, new, _found_again(old, new))
    said = [same] if same else []
    if new.found and not same:
        said.append(
            f"HEAD found {new.found:,} of its {new.fits:,} trainings and pools in the store, as earlier runs had done "
            "them: another --seed measures all anew"
        )
    if new.seed == old.seed and not same:
        said.append(f"both runs have seed {new.seed}: what holds may be its luck; give each build another --seed")
    if new.suite != old.suite:
        said.append(f"the baseline is of suite {old.suite}, HEAD of {new.suite}")
    for name, data in old.datasets.items():
        other = new.datasets.get(name)
        if other and other.fingerprint != data.fingerprint:
            said.append(
                f"data {name}: not the baseline's rows; test rows count as drawn anew, and no interval knows what "
                "another train does (`data_seed` in a suite keeps the rows)"
            )
    for what in ("libraries", "plugins"):
        before, after = _versions(old, what), _versions(new, what)
        changed = [f"{n} {before.get(n, 'none')} → {after.get(n, 'none')}" for n in {**before, **after}
                   if before.get(n) != after.get(n)]  # fmt: skip
        if changed:
            said.append(f"other versions than the baseline's: {', '.join(changed)}")
    if any(name in COSTS for name in metrics) and _machines(old) != _machines(new):
        said.append("costs were measured on another machine than the baseline's, or otherwise on it")
    return said


def _found_again(old: Snapshot, new: Snapshot) -> dict[Key, bool]:
    """Whether each cell or pool that both runs measured is the baseline's once more, as far as both have its seeds.

    No two measurements of time and memory are equal to the last digit.
    """
    before, after = ({p.key: _costs(p, each.model_seeds) for p in each.places} for each in (old, new))
    return {key: _is_again(costs, after[key]) for key, costs in before.items() if costs and after.get(key)}


def _is_again(was: Mapping[_Measurement, float], now: Mapping[_Measurement, float]) -> bool:
    shared = was.keys() & now.keys()
    return bool(shared) and all(was[what] == now[what] for what in shared)


def _costs(place: ArmScores, model_seeds: int) -> dict[_Measurement, float]:
    """All that was measured of time and memory."""
    seeds = range(model_seeds if place.model else 1)
    means = {(name, r, seeds): cost for name in COSTS for r, cost in enumerate(place.values.get(name, ()))}
    apart = {("fit_seconds", r, range(k, k + 1)): s for r, row in enumerate(place.by_seed) for k, s in enumerate(row)}
    return {what: cost for what, cost in (means | apart).items() if cost}


def _why_not_new(old: Snapshot, new: Snapshot, found: Mapping[Key, bool]) -> str:
    """Why HEAD is no measurement of its own in these cells, and what to do; empty where it is one."""
    beyond = ["repeats"] * (new.repeats > old.repeats)
    beyond += ["model seeds"] * (new.model_seeds > old.model_seeds and any(key.model for key in found))
    if new.run == old.run:
        why = "HEAD is the baseline's own run"
    elif not found or not all(found.values()):
        return ""
    elif beyond:
        why = f"HEAD found the baseline's results in the store, and only the {listed(beyond)} beyond them are new"
    else:
        why = "HEAD found the baseline's results in the store, and measured none of them"
    return f"{why}: run the suite again with another --seed, then compare"


def _versions(snapshot: Snapshot, what: str) -> dict[str, str]:
    return {name: str(version) for e in snapshot.environments for name, version in getattr(e, what).items()}


def _machines(snapshot: Snapshot) -> set[tuple[object, ...]]:
    """What costs depend on beside the code."""
    return {
        (e.host, e.cpu, e.cores, e.device, e.gpu.get("name"), e.threads, e.python.rpartition(".")[0])
        for e in snapshot.environments
    }


def parse_margins(words: Iterable[str], metrics: Sequence[str]) -> dict[str, Margin]:
    """Margins from "auc=0.005" or "fit_seconds=50%"; UserError for what is none."""
    found = {}
    for word in words:
        name, equals, text = word.rpartition("=")  # a metric's label may hold others: detection[rows=1000]
        name, text = (name, text) if equals else (word, "")
        if name in found:
            raise UserError(f"--margin {word}: {name} has a margin already; give one")
        if name not in metrics:
            raise UserError(f"--margin {word}: {did_you_mean(name, metrics, '--fail-on names')}")
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = math.nan
        if not equals or not math.isfinite(number) or number < 0:
            raise UserError(f"--margin {word}: give a number as in {name}=0.005, or a share as in {name}=50%")
        if name in COSTS and not text.endswith("%"):
            raise UserError(f"--margin {word}: costs compare as ratios; give a share, as in {name}=50%")
        found[name] = Margin(share=number / 100) if text.endswith("%") else Margin(least=number)
    return found
