"""What a run answers: does synthetic data help, how surely, and at what price.

In: a `RunResults`, a data set of it and a prediction metric. Out: a `Verdict` of at most five lines, and one on each
generator; its intervals hold for all that was tried at once (docs/statistics.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ctrbench import intervals
from ctrbench.effects import Arm, Effects
from ctrbench.interfaces import MethodRole
from ctrbench.intervals import Effect
from ctrbench.results import LACKS, PoolOutput, PoolResult, Status, most_flagged, whole_mean, without_verdict
from ctrbench.store.runs import RunResults
from ctrbench.text import bounded, counted, listed, signed

AGAIN = "original_again"
"""The scenario that tells what another seed does by itself."""

SMALL = 0.01
"""An effect that is known to be below this share of original's score is called no effect."""

COLLAPSED = 0.05
"""A pool with less than this share of the distinct rows of real train has collapsed."""

SEED_NOISE = 2.0
"""Up to so many times what re-seeding does, a movement may be the luck of a seed: near √F(.95; 30, 6)."""

_CAUSE = 100
"""Letters of a reason that stand in the verdict."""


class Outcome(StrEnum):
    """What is said of a generator, or of all of them."""

    HELPS = "helps"
    HURTS = "hurts"
    NO_EFFECT = "no effect"
    UNDECIDED = "not enough evidence"
    UNKNOWN = "scores are missing"


@dataclass(frozen=True)
class Claim:
    """A generator's mean difference to `original` in a scenario, over models.

    `low` and `high` are the ends of an interval that holds with 95 % for all claims of its family at once; None with
    one repeat, or where nothing is known of the error.
    """

    generator: str
    scenario: str
    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def sign(self, better: str) -> int:
        """1 where it is for the better beyond chance, −1 where for the worse, else 0."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return 0
        return 1 if (self.mean > 0) == (better == "higher") else -1

    @property
    def reach(self) -> float:
        """The largest effect, whatever its sign, that the interval allows."""
        return max(map(abs, self.interval)) if self.interval else math.inf


@dataclass(frozen=True)
class GeneratorVerdict:
    """What is said of one generator."""

    generator: str
    role: MethodRole
    outcome: Outcome
    says: str
    best: Claim | None  # of the scenarios that keep real rows; None where scores are missing
    claims: Sequence[Claim] = ()
    bound: float | None = None  # its effects are no larger, in any of these scenarios
    flagged: Sequence[str] = ()  # the privacy metrics that flag most of its pools
    judged: int = 0  # the privacy metrics that gave a verdict
    seconds: float | None = None  # to fit and sample a pool
    collapsed: str = ""  # why its pools are worthless, where they are
    lacks: str = ""  # rows of which class are too few for the scenarios, and in how many pools


@dataclass(frozen=True)
class Leader:
    """A leading place of the run and its mean scores over models; None for a score that is missing."""

    generator: str  # "" for original
    scenario: str
    scores: Sequence[float | None]


@dataclass(frozen=True)
class Verdict:
    """The answer of a run on one data set."""

    dataset: str
    metric: str
    outcome: Outcome
    lines: Sequence[str]  # at most five
    generators: Sequence[GeneratorVerdict]  # candidates, the best first, then controls
    leaders: Sequence[Leader]
    leader_metrics: Sequence[str]
    best: Claim | None
    against_control: Claim | None  # the best candidate's difference to the best control, under that one's name
    equal: Mapping[str, str]  # generators that share the pools of another here, and that one


def verdicts(results: RunResults, metric: str = "") -> list[Verdict]:
    """One for each data set of a run; none for a run without a metric of which one side is better."""
    metric = metric or results.info.leading_metric
    told = results.info.prediction_metrics.get(metric)
    if told is None or told.better == "neither":
        return []
    return [verdict(Effects(results, dataset, metric)) for dataset in results.info.datasets]


def verdict(effects: Effects) -> Verdict:
    """The answer of a run on one data set, in a metric of which one side is better."""
    return _Judge(effects).verdict()


def family(effects: Effects, generators: Sequence[str], scenarios: Sequence[str]) -> list[Claim]:
    """The claims on generators in scenarios, each interval widened for their number (Bonferroni)."""
    places = [(generator, scenario) for generator in generators for scenario in scenarios]
    found = [(place, effects.generator(place[0], [place[1]])) for place in places]
    whole = [(place, effect) for place, effect in found if effect is not None]
    return [Claim(*place, effect.mean, *(effect.among(len(whole)) or ())) for place, effect in whole]


class _Judge:
    """Makes the verdict of one data set."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.info = effects.results.info
        self.metric = effects.metric
        self.scenarios = effects.kept_scenarios or effects.family_scenarios
        self.claims = family(effects, effects.averaged, self.scenarios)
        self.beside = family(effects, effects.beside, self.scenarios)
        self.trusted = self.info.repeats >= intervals.TRUSTED
        known = [c.high - c.mean for c in self.claims if c.high is not None and c.high > c.mean]
        self.decimals = min(6, max(4, 1 - math.floor(math.log10(min(known))))) if known else 4

    def verdict(self) -> Verdict:
        best = max(self.claims, key=self.standing, default=None)
        generators = [self.generator(name) for name in self.effects.distinct]
        generators.sort(key=lambda each: (each.role is MethodRole.CANDIDATE, self.standing(each.best)), reverse=True)
        judged = [each for each in generators if each.generator in self.effects.averaged]
        against = self.against(best) if best else None
        lines = self.lines(best, judged, against)
        return Verdict(
            self.effects.dataset, self.metric, self.overall(judged), lines, generators, self.leaders(best, against),
            self.leader_metrics, best, against, {a: b for a, b in self.effects.same.items() if a != b},
        )  # fmt: skip

    def gain(self, claim: Claim | None) -> float:
        """How much it is for the better."""
        if claim is None:
            return -math.inf
        return claim.mean if self.effects.better == "higher" else -claim.mean

    def standing(self, claim: Claim | None) -> tuple[bool, float]:
        """What claims are ordered by: one that is shown to help before a larger gain that may be luck."""
        return claim is not None and claim.sign(self.effects.better) > 0, self.gain(claim)

    def overall(self, judged: Sequence[GeneratorVerdict]) -> Outcome:
        """What is said of all that are judged: the best of what is said of any."""
        said = {each.outcome for each in judged}
        for outcome in (Outcome.HELPS, Outcome.UNDECIDED, Outcome.NO_EFFECT, Outcome.HURTS):
            if outcome in said:
                return outcome
        return Outcome.UNKNOWN

    # One generator

    def generator(self, name: str) -> GeneratorVerdict:
        mine = [claim for claim in (*self.claims, *self.beside) if claim.generator == name]
        outcome, bound = self.outcome(mine)
        collapsed, lacks = self.collapsed(name), self.lacks(name)
        flagged, judged = self.privacy(name)
        says = "; ".join(filter(None, [self.said(outcome, mine, bound), collapsed, lacks]))
        best = max(mine, key=self.standing, default=None)
        role = MethodRole.CANDIDATE if name in self.effects.candidates else MethodRole.CONTROL
        return GeneratorVerdict(
            name, role, outcome, says, best, mine, bound, flagged, judged, self.seconds(name), collapsed, lacks
        )

    def outcome(self, claims: Sequence[Claim]) -> tuple[Outcome, float | None]:
        """What a generator's claims come to, and how large its effect may still be."""
        if not claims:
            return Outcome.UNKNOWN, None
        signs = [claim.sign(self.effects.better) for claim in claims]
        reach = max(claim.reach for claim in claims)
        bound = None if math.isinf(reach) else reach
        if 1 in signs:
            return Outcome.HELPS, bound
        if -1 in signs:
            return Outcome.HURTS, bound
        small = SMALL * abs(self.score("", "original", self.metric) or 0.0)
        return (Outcome.NO_EFFECT if reach <= small else Outcome.UNDECIDED), bound

    def said(self, outcome: Outcome, claims: Sequence[Claim], bound: float | None) -> str:
        signs = {claim.scenario: claim.sign(self.effects.better) for claim in claims}
        helps, hurts = ([name for name, sign in signs.items() if sign == wanted] for wanted in (1, -1))
        if outcome is Outcome.NO_EFFECT and bound is not None:
            return f"no effect larger than ±{bound:.{self.decimals}f}"
        words = ("helps", "hurts") if self.trusted else ("seems to help", "seems to hurt")
        parts = [f"{word} in {listed(names)}" for word, names in zip(words, (helps, hurts), strict=True) if names]
        if outcome is Outcome.UNDECIDED and bound is not None:
            return f"{outcome}: up to ±{bound:.{self.decimals}f}"
        return ", ".join(parts) or str(outcome)

    def pools(self, generator: str) -> list[PoolResult]:
        return self.effects.pools.get(generator, [])

    def privacy(self, generator: str) -> tuple[list[str], int]:
        """The privacy metrics that flag more than half of its pools, and how many gave a verdict."""
        flagged, judged = [], 0
        for name, told in self.info.synthetic_metrics.items():
            scores = [pool.scores[name] for pool in self.pools(generator) if name in pool.scores]
            if told.aspect == "privacy" and not without_verdict(scores):
                judged += 1
                flagged += [name] if most_flagged(scores) else []
        return flagged, judged

    def seconds(self, generator: str) -> float | None:
        done = [pool.seconds for pool in self.pools(generator) if pool.ok]
        return statistics.fmean(done) if done else None

    def made(self, generator: str) -> list[PoolOutput]:
        outputs = [pool.result.output for pool in self.pools(generator)]
        return [output for output in outputs if isinstance(output, PoolOutput)]

    def collapsed(self, generator: str) -> str:
        made = self.made(generator)
        clicks, rows = sum(o.click_rate in (0, 1) for o in made), sum((o.variety or 1) < COLLAPSED for o in made)
        parts = [f"one class only in {clicks} of {counted(len(made), 'pool')}"] if clicks else []
        parts += [f"hardly any distinct rows in {rows} of {counted(len(made), 'pool')}"] if rows else []
        return f"collapsed: {', '.join(parts)}" if parts else ""

    def lacks(self, generator: str) -> str:
        made = self.made(generator)
        lacking = [str(output.facts[LACKS]) for output in made if LACKS in output.facts and 0 < output.click_rate < 1]
        kinds = [kind for kind in ("negatives", "positives") if any(kind in said for said in lacking)]
        return f"too few {' and '.join(kinds)} in {len(lacking)} of {counted(len(made), 'pool')}" if kinds else ""

    # All of them

    def lines(self, best: Claim | None, judged: Sequence[GeneratorVerdict], against: Claim | None) -> list[str]:
        if not self.effects.applicable:
            if self.effects.generators:
                cause = self.cause(self.effects.generators)
                return [f"{self.effects.dataset}: no answer, as no generator applies{cause}."]
            lacks = "scenario that uses a pool" if self.effects.pools else "generator"
            lacks = lacks if self.effects.results.cells else "model"
            return [f"{self.effects.dataset}: this run has no {lacks}, so it says nothing of synthetic data."]
        if best is None and not self.effects.compared:
            cause = self.cause([""], "original")
            return [
                f"{self.effects.dataset}: no answer, as no model has every score of {self.metric} on original{cause}."
            ]
        unmeasured = [f"{name}{self.cause([name])}" for name in self.unmeasured(judged)]
        if best is None:
            every = _few([*unmeasured, *(f"{each.generator} ({each.lacks})" for each in judged if each.lacks)])
            kind = "candidate" if self.beside else "generator"
            return [f"{self.effects.dataset}: no answer, as every {kind} lacks a score of {self.metric}: {every}."]
        mine = next(each for each in judged if each.generator == best.generator)
        lines = [self.first(best, judged, against), self.second(best, against)]
        lines.append(f"{self.flags(mine)} {self.cost(mine)}".rstrip())
        collapsed = [f"{each.generator} ({each.collapsed.removeprefix('collapsed: ')})"
                     for each in judged if each.collapsed]  # fmt: skip
        spoilt = [f"Not measured: {_few(unmeasured)}."] if unmeasured else []
        left_out = [f"{name}{self.cause([''], 'original', name)}" for name in self.effects.models
                    if name not in self.effects.compared]  # fmt: skip
        spoilt += [f"Left out, for want of a score on original: {_few(left_out)}."] if left_out else []
        spoilt += [f"Collapsed: {_few(collapsed)}."] if collapsed else []
        lacking = [f"{each.generator} ({each.lacks.removeprefix('too few ')})" for each in judged if each.lacks]
        spoilt += [f"Too few rows: {_few(lacking)}."] if lacking else []
        unanswered = self.unanswered(judged)
        spoilt += [f"No answer in {_few(unanswered)}."] if unanswered else []
        constant = self.effects.constant()
        spoilt += [f"Predicts the same for every row: {_few(constant)}."] if constant else []
        lines.append(" ".join(spoilt))
        return [line for line in [*lines, self.needed(best)] if line]

    def unmeasured(self, judged: Sequence[GeneratorVerdict]) -> list[str]:
        """The candidates that were to be run and have no score here, but for those whose pools say why."""
        told = {each.generator: each for each in judged}
        roles = self.info.role
        candidates = [name for name in self.effects.generators if roles(name) is MethodRole.CANDIDATE]
        silent = [name for name in candidates if name not in self.effects.same]
        return silent + [name for name, each in told.items() if not each.claims and not each.lacks]

    def unanswered(self, judged: Sequence[GeneratorVerdict]) -> list[str]:
        """The scenarios in which no candidate has an effect, and why; but for those whose pools say why."""
        answered = {claim.scenario for claim in self.claims}
        if all(each.lacks for each in judged if each.claims):
            return []
        return [f"{name}{self.cause(self.effects.averaged, name)}" for name in self.scenarios if name not in answered]

    def cause(self, generators: Sequence[str], scenario: str = "", model: str = "") -> str:
        """Why scores are missing, in brackets: a failure rather than a skip. Without a pool the generator is "".

        Of all scenarios and models of these generators, or of one.
        """
        arms = [
            arm for arm in self.effects.cells
            if arm.generator in generators and scenario in ("", arm.scenario) and model in ("", arm.model)
        ]  # fmt: skip
        causes = self.effects.causes(arms)
        first = min(causes, key=lambda cause: cause.status is Status.SKIPPED, default=None)
        return f" ({bounded(first.reason, _CAUSE)})" if first and first.reason else ""

    def first(self, best: Claim, judged: Sequence[GeneratorVerdict], against: Claim | None) -> str:
        who = "candidate" if self.effects.candidates else "control"
        passed = any(self.gain(claim) > self.gain(best) for claim in self.claims)  # by gains that may be luck
        tried = f"the best {'shown to help ' * passed}of {len(self.claims)} tried"
        tried = tried if len(self.claims) > 1 else "the only one tried"
        asked = any(self.info.role(name) is MethodRole.CANDIDATE for name in self.effects.generators)
        none = "no candidate applies; " if asked and not self.effects.candidates else ""
        moved = f"{best.generator} in {best.scenario}, {tried}, changes {self.metric} by {self.number(best)}"
        if best.low is None:
            said = "nothing is claimed of one repeat" if self.info.repeats == 1 else "the error is unknown"
            return f"{self.effects.dataset}: {none}{said}. {self.again()}{moved}."
        hurting = [each.generator for each in judged if each.outcome is Outcome.HURTS]
        s = "s" * (len(hurting) == 1)
        hurt = f"hurt{s} somewhere and help{s} nowhere" if self.trusted else f"seem{s} to hurt somewhere"
        others = f" {counted(len(hurting), who)} of {len(judged)} {hurt}." if hurting else ""
        said = f"no {who} is shown to help"
        if best.sign(self.effects.better) > 0:
            few = f"seem to help, but {self.info.repeats} repeats are too few to be sure"
            said = f"synthetic rows {self.helping(against) if self.trusted else few}"
        return f"{self.effects.dataset}: {none}{said}. {moved}.{others}"

    def helping(self, against: Claim | None) -> str:
        """That rows help, and whether more than a control does, where one stands beside a candidate."""
        if against is None or not self.effects.candidates:
            return "help"
        said = {1: "and beat", 0: "but are not shown to beat", -1: "but less than"}
        return f"help, {said[against.sign(self.effects.better)]} the best control"

    def again(self) -> str:
        """How far scenarios moved beside what another seed does by itself, if the A/A arm tells."""
        noise = self.moved([Arm("", AGAIN, model) for model in self.effects.compared])
        if noise is None and AGAIN in self.effects.control_scenarios:
            return f"{AGAIN} lacks scores of {self.metric}{self.cause([''], AGAIN)}. "
        if noise is None:
            return f"The scenario {AGAIN} would tell what a seed does by itself. "
        if not noise:
            return "Re-seeding moved nothing. "
        shares = {}
        for scenario in self.effects.family_scenarios:
            places = [Arm(g, scenario, m) for g in self.effects.averaged for m in self.effects.compared]
            moved = self.moved(places)
            if moved is not None:
                shares[scenario] = moved / noise
        calm = [name for name, share in shares.items() if share <= SEED_NOISE]
        parts = [f"{_span(calm)} moved no more than re-seeding did"] if calm else []
        for name, share in shares.items():
            if name not in calm:
                parts.append(f"{name} {'' if parts else 'moved '}{share:.0f} times as much")
        return f"{', '.join(parts)}{'' if calm else ' as re-seeding did'}. " if parts else ""

    def moved(self, arms: Sequence[Arm]) -> float | None:
        """The root mean square of the cells' differences to `original`; None where there is none."""
        found = [effect.mean for arm in arms if (effect := self.effects.cell(arm)) is not None]
        return math.sqrt(statistics.fmean(mean**2 for mean in found)) if found else None

    def against(self, best: Claim) -> Claim | None:
        """The best beside the best control: a control generator in the same scenario, or a control scenario."""
        effects = self.effects
        found: list[tuple[Effect, str, str]] = []
        for name, scenario in self.places_beside(best):
            pairs = [(Arm(best.generator, best.scenario, m), Arm(name, scenario, m)) for m in effects.compared]
            if (effect := effects.contrast(pairs)) is not None:
                found.append((effect, name, scenario))
        if not found:
            return None
        sign = 1 if effects.better == "higher" else -1
        effect, name, scenario = min(found, key=lambda each: sign * each[0].mean)  # who is the hardest to beat
        return Claim(name, scenario, effect.mean, *(effect.among(len(self.claims) * len(found)) or ()))

    def places_beside(self, best: Claim) -> list[tuple[str, str]]:
        """The controls that the best is held to, each a generator in its scenario, or a scenario without one."""
        places = [(name, best.scenario) for name in self.effects.beside]
        return places + [("", name) for name in self.effects.control_scenarios if name != AGAIN]

    def second(self, best: Claim, against: Claim | None) -> str:
        if against is None and not self.effects.candidates:
            return ""
        lacking = [
            f"{generator or scenario}{self.cause([generator], scenario)}"
            for generator, scenario in self.places_beside(best)
            if against is None or self.score(generator, scenario, self.metric) is None
        ]
        if against is None and lacking:
            return f"No control beside it has every score of {self.metric}: {_few(lacking)}."
        if against is None:
            return "No control was run beside it: random_oversampling tells what more rows alone would do."
        sign = against.sign(self.effects.better)
        said = {1: "ahead of it", -1: "behind it", 0: "not told apart from it"}[sign]
        moved = f"is {said}, {self.number(against)}"
        if against.low is None:
            moved = f"differs from it by {self.number(against)}, which may be the luck of a seed"
        who = f"{against.generator} in {against.scenario}" if against.generator else against.scenario
        there = " there" if against.scenario == best.scenario else ""
        silent = f" Not beside it, as scores are missing: {_few(lacking)}." if lacking else ""
        return f"The best control{there} is {who}: {best.generator} {moved}.{silent}"

    def flags(self, mine: GeneratorVerdict) -> str:
        """Which privacy metrics flag its pools."""
        if not any(told.aspect == "privacy" for told in self.info.synthetic_metrics.values()):
            return "No privacy metric was run."
        if not mine.judged:
            return f"No privacy metric gave a verdict on {mine.generator}."
        if mine.flagged:
            share = f"{len(mine.flagged)} of {counted(mine.judged, 'metric')}"
            return f"Privacy of {mine.generator}: flagged by {_few(mine.flagged)}, {share}."
        return f"Privacy of {mine.generator}: flagged by none of {counted(mine.judged, 'metric')}, which is no proof."

    def cost(self, mine: GeneratorVerdict) -> str:
        bases = [Arm("", "original", model) for model in self.effects.compared]
        fits = [c.result.seconds["fit"] for a in bases for c in self.effects.cells[a] if "fit" in c.result.seconds]
        pool = "" if mine.seconds is None else f"A pool costs {_seconds(mine.seconds)}"
        return f"{pool}, a training on original {_seconds(statistics.fmean(fits))}." if pool and fits else ""

    def needed(self, best: Claim) -> str:
        """What it would take to see an effect half as large as this run sees."""
        effect = self.effects.generator(best.generator, [best.scenario])
        if effect is None or not effect.variance:  # nothing varied: the error is unknown
            return ""
        if not effect.testable:
            return "" if effect.repeats > 1 else "Five repeats tell an effect from a seed's luck."
        sees = intervals.sees_at(effect, effect.repeats, 1.0, len(self.claims))
        seen = f"Four of five such runs would see ±{sees:.{self.decimals}f}"
        repeats, rows = intervals.enough(effect, sees / 2, len(self.claims))
        if repeats is None:
            return f"{seen}."
        tests = self.info.datasets[self.effects.dataset].rows.get("test", 0)
        more = f" on {rows * tests:,.0f} test rows" if rows > 1 and tests else ""
        return f"{seen}; half of that takes about {repeats} repeats{more}."

    # Leading places

    @property
    def leader_metrics(self) -> list[str]:
        """The metric, and the first others of the run: in the packaged suites logloss and calibration."""
        return list(dict.fromkeys([self.metric, *self.info.prediction_metrics]))[:3]

    def leaders(self, best: Claim | None, against: Claim | None) -> list[Leader]:
        places = [("", "original")]
        places += [(c.generator, c.scenario) for c in sorted(self.claims, key=self.standing, reverse=True)[:3]]
        places += [(against.generator, against.scenario)] if against else []
        return [Leader(*place, [self.score(*place, metric) for metric in self.leader_metrics]) for place in places]

    def score(self, generator: str, scenario: str, metric: str) -> float | None:
        """The mean over models, repeats and seeds; None where one is missing."""
        cells = [c for m in self.effects.compared for c in self.effects.cells.get(Arm(generator, scenario, m), ())]
        return whole_mean(cell.scores[metric].value if metric in cell.scores else None for cell in cells)

    def number(self, claim: Claim) -> str:
        """A difference with its interval, where it has one."""
        ends = " to ".join(signed(end, self.decimals) for end in claim.interval or ())
        return signed(claim.mean, self.decimals) + (f" ({ends})" if ends else "")


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _few(names: Sequence[str]) -> str:
    return listed(names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more"])


def _span(names: Sequence[str]) -> str:
    """S1, S2, S3 and S4 as "S1 to S4"."""
    numbers = [name[1:] for name in names if name[:1] == "S" and name[1:].isdigit()]
    if len(names) > 2 and len(numbers) == len(names):
        first = int(numbers[0])
        if [int(number) for number in numbers] == list(range(first, first + len(numbers))):
            return f"{names[0]} to {names[-1]}"
    return listed(names)
