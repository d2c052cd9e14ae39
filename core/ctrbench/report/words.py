"""What a run says, in sentences that claim no more than their intervals.

In: the effects of a data set. Out: a verdict on each scenario, and one sentence over all of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ctrbench.effects import Effects, Verdict
from ctrbench.text import counted

Finding = Literal["better", "worse", "changed", "undecided", "unknown"]
_SAID: dict[Finding, str] = {
    "better": "better than original",
    "worse": "worse than original",
    "changed": "different from original",
    "undecided": "not told apart from original",
    "unknown": "not known, as scores are missing",
}


@dataclass(frozen=True)
class Sentence:
    """A scenario, what was found of it, and how sure that is."""

    scenario: str
    recipe: str
    finding: Finding
    says: str


def sentences(effects: Effects) -> list[Sentence]:
    """One for each scenario of the confirmatory family."""
    about = effects.results.about["scenarios"]
    return [
        Sentence(name, about[name].get("help", ""), *_verdict(effects, effects.scenario_verdicts.get(name)))
        for name in effects.pool_scenarios
    ]


def headline(effects: Effects) -> str:
    """One sentence over all scenarios."""
    found = Counter(sentence.finding for sentence in sentences(effects))
    if not found:
        return "This run holds no scenario that uses synthetic rows."
    repeats = effects.results.about["repeats"]
    parts = [f"{count} {'is' if count == 1 else 'are'} {_SAID[finding]}" for finding, count in found.items()]
    over = f"over {counted(len(effects.distinct), 'generator')}, {counted(len(effects.compared), 'model')}"
    caveat = "; with one repeat the noise of seeds is unknown, so nothing is claimed" if repeats == 1 else ""
    return f"Of {counted(found.total(), 'scenario')}, {_listed(parts)}, {over} and {counted(repeats, 'repeat')}{caveat}."


def _verdict(effects: Effects, verdict: Verdict | None) -> tuple[Finding, str]:
    if verdict is None:
        return "unknown", f"The mean difference in {effects.metric} is not known: a score is missing, or allows no interval."
    effect = verdict.effect
    mean = f"{effects.metric} changes by {effect.mean:+.5f} (95 % interval {effect.low:+.5f} to {effect.high:+.5f}"
    if effect.basis == "test rows only":
        return "undecided", f"{mean}, test noise only). One repeat cannot tell it from the luck of a seed."
    mean += f"; {effect.repeats} repeats, error from {effect.basis})."
    holm = verdict.holm if verdict.holm is not None else 1.0
    if not verdict.certain:
        power = f"In 4 of 5 such runs, a true change of {effect.detectable:.5f} or more would have been found."
        return "undecided", f"{mean} It may be chance (p = {holm:.2g} after Holm's correction). {power}"
    finding: Finding = "changed"
    if effects.better != "neither":
        finding = "better" if (effect.mean > 0) == (effects.better == "higher") else "worse"
    return finding, f"{mean} It stands when all scenarios are tested at once (p = {holm:.2g} after Holm's correction)."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
