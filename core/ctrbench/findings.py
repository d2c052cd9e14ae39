"""What a run says, in sentences that claim no more than their intervals.

In: the effects of a data set. Out: a finding on each scenario, and one sentence over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ctrbench.effects import Effects, TestedEffect
from ctrbench.intervals import TRUSTED
from ctrbench.results import Status
from ctrbench.text import counted, listed, signed

Conclusion = Literal["better", "worse", "different", "undecided", "unknown"]
_SEEMS: dict[Conclusion, tuple[str, str]] = {
    "better": ("seems better than original", "seem better than original"),
    "worse": ("seems worse than original", "seem worse than original"),
    "different": ("seems to differ from original", "seem to differ from original"),
}
"""What is said of a few repeats, of which intervals hold less often than they say."""
_SAID: dict[Conclusion, tuple[str, str]] = {
    "better": ("is better than original", "are better than original"),
    "worse": ("is worse than original", "are worse than original"),
    "different": ("differs from original", "differ from original"),
    "undecided": ("cannot be told apart from original", "cannot be told apart from original"),
    "unknown": ("is not known, as scores are missing", "are not known, as scores are missing"),
}


@dataclass(frozen=True)
class Finding:
    """A scenario, what was found of it, and how sure that is."""

    dataset: str
    scenario: str
    recipe: str
    conclusion: Conclusion
    says: str


def findings(effects: Effects) -> list[Finding]:
    """One for each scenario of the confirmatory family; none where no metric tells of predictions."""
    if not effects.metric:
        return []
    told = effects.results.info.scenarios
    return [
        Finding(effects.dataset, name, told[name].help, *_concluded(effects, name, effects.tested_scenarios.get(name)))
        for name in effects.family_scenarios
    ]


def headline(effects: Effects) -> str:
    """One sentence over all scenarios."""
    found: dict[Conclusion, list[str]] = {conclusion: [] for conclusion in get_args(Conclusion)}
    for finding in findings(effects):
        found[finding.conclusion].append(finding.scenario)
    repeats = effects.results.info.repeats
    said_of = _SAID if repeats >= TRUSTED else _SAID | _SEEMS
    parts = [f"{listed(names)} {said_of[conclusion][len(names) > 1]}" for conclusion, names in found.items() if names]
    if not effects.metric:
        return "This run has no metric of predictions."
    if not parts:
        return "This run has no scenario that uses synthetic rows."
    said = f"{'; '.join(parts)} ({counted(len(effects.averaged), 'generator')}, "
    said += f"{counted(len(effects.compared), 'model')}, {counted(repeats, 'repeat')})."
    return f"{said} With one repeat the noise of seeds is unknown: nothing is claimed." if repeats == 1 else said


def _concluded(effects: Effects, scenario: str, tested: TestedEffect | None) -> tuple[Conclusion, str]:
    metric = effects.metric
    if tested is None:
        return "unknown", _missing(effects, scenario)
    effect = tested.effect
    if effect.interval is None:
        alone = effect.repeats == 1 and effect.spread.model is None
        why = "one repeat tells nothing of this metric's" if alone else "no variation was seen"
        return "undecided", f"{metric} changes by {signed(effect.mean)}. Its error is unknown, as {why}."
    interval = f"{signed(effect.low)} to {signed(effect.high)}"
    if not effect.testable:
        text = f"{metric} changes by {signed(effect.mean)} (95 % interval {interval}, {effect.covers})."
        return "undecided", f"{text} One repeat cannot tell it from the noise of seeds."
    text = f"{metric} changes by {signed(effect.mean)} (95 % interval {interval}; error from {effect.basis})."
    holm = _chance(tested.holm if tested.holm is not None else 1.0)
    if not tested.certain:
        power = f"Four of five such runs would have found a true change of {effect.detectable:.5f}."
        return "undecided", f"{text} This may be chance: {holm} with all scenarios tested at once. {power}"
    conclusion: Conclusion = "different"
    if effects.better != "neither":
        conclusion = "better" if (effect.mean > 0) == (effects.better == "higher") else "worse"
    sure = "is" if effect.repeats >= TRUSTED else f"seems, with fewer than {TRUSTED} repeats,"
    return conclusion, f"{text} This {sure} more than chance: {holm} with all scenarios tested at once."


def _missing(effects: Effects, scenario: str) -> str:
    """How many cells of the mean lack a score, and why the first of them does."""
    generators, models = effects.averaged or effects.generators, effects.compared or effects.models
    arms = [a for a in effects.cells if a.generator in generators and a.scenario == scenario and a.model in models]
    causes = effects.causes(arms)
    first = min(causes, key=lambda cause: cause.status is Status.SKIPPED, default=None)  # a failure, where there is one
    if first is None:
        return f"No model has every score of {effects.metric}, on original and here."
    cells = sum(len(effects.cells[arm]) for arm in arms)
    return (
        f"{len(causes)} of {counted(cells, 'cell')} have no {effects.metric}, and no mean leaves one out: "
        f"{first.describe()}."
    )


def _chance(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.2g}"
