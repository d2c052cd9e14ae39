"""What the pages of docs/results are written with: scores of runs, and how they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ctrbench.effects import Arm, Effects
from ctrbench.interfaces import Score
from ctrbench.intervals import Effect
from ctrbench.reading import Results
from ctrbench.report import drawing
from ctrbench.results import PoolResult
from ctrbench.store.runs import RunResults
from tabulate import tabulate

MODELS = ("deepfm", "dnn", "masknet")


def effects(runs: Sequence[Results], suite: str) -> list[Effects]:
    """Those of each whole run of a suite on Frappe."""
    whole = [each.stored for each in runs if each.stored.info.suite == suite and each.stored.finished]
    return [Effects(stored, "frappe", "auc") for stored in whole]


def by_suite(runs: Sequence[Results]) -> dict[str, Results]:
    return {each.stored.info.suite: each for each in runs}


def level(of: Effects, arm: Arm) -> float:
    """The mean score of an arm over its repeats."""
    return float(np.mean([score for score in of.scores(arm) if score is not None]))


def over_models(of: Effects, generators: Sequence[str], scenario: str) -> float:
    """The mean score of some generators in a scenario, over repeats and models."""
    return float(np.mean([level(of, Arm(name, scenario, model)) for name in generators for model in MODELS]))


def mean(of: Effects, generators: Sequence[str], scenario: str) -> Effect | None:
    return of.average([Arm(name, scenario, model) for name in generators for model in MODELS])


def pools(of: Effects, generator: str) -> list[PoolResult]:
    return [pool for pool in of.results.pools if pool.generator == generator and pool.result.ok]


def scores(of: Effects, generator: str, metric: str) -> list[Score]:
    return [pool.scores[metric] for pool in pools(of, generator) if metric in pool.scores]


def score(of: Effects, generator: str, metric: str) -> float:
    """The mean of a metric over a generator's pools, NaN where it has none."""
    found = [score.value for score in scores(of, generator, metric)]
    return float(np.mean(found)) if found else float("nan")


def runs(runs: Sequence[RunResults]) -> str:
    """Where the numbers come from."""
    rows = []
    for stored in runs:
        libraries = stored.machines[-1].libraries
        data = ", ".join(f"{name.split('[')[0]} {one.fingerprint[:12]}" for name, one in stored.info.datasets.items())
        versions = f"{libraries['ctrbench']}, torch {libraries['torch']}"
        device = str(stored.machines[-1].gpu.get("name") or "CPU")
        rows.append((stored.run, stored.info.suite, stored.info.seed, done(stored), data, versions, device))
    return table(rows, ["run", "suite", "seed", "repeats", "data, fingerprint", "ctrbench", "device"])


def done(stored: RunResults) -> str:
    return f"{stored.info.repeats} of {stored.asked_repeats or stored.info.repeats}"


def copies(pools: Sequence[PoolResult]) -> tuple[str, ...]:
    """Identical rows, distinct ones, those expected of real rows; and two other metrics: means over pools."""

    def mean(metric: str, of: Callable[[Score], float | None]) -> float:
        found = [of(pool.scores[metric]) for pool in pools]
        return float(np.mean([value for value in found if value is not None]))

    return (
        f"{mean('identical', lambda score: score.value):,.0f}",
        f"{mean('identical', lambda score: float(score.details['distinct'])):,.0f}",
        f"{mean('identical', lambda score: score.baseline):,.0f}",
        f"{mean('dcr_share', lambda score: score.value):.3f}",
        f"{mean('detection', lambda score: score.value):.3f}",
    )


def estimate(effect: Effect | None) -> drawing.Estimate | None:
    if effect is None:
        return None
    certain = effect.interval is not None and effect.interval[0] * effect.interval[1] > 0
    return drawing.Estimate(effect.mean, effect.interval, certain)


def said(effect: Effect | None) -> str:
    if effect is None:
        return "not done"
    bounds = None if effect.basis == "test rows only" else effect.interval  # of one training nothing is known
    return units(effect.mean) + ("" if bounds is None else f" ({units(bounds[0])} … {units(bounds[1])})")


def number(value: float) -> str:
    return f"{value:,.0f}" if value > 1 else f"{value:.3f}"


def units(difference: float) -> str:
    """A difference of AUC in units of .00001."""
    return f"{round(1e5 * difference):+,}".replace("-", "−")


def table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    assert all(len(row) == len(heads) for row in rows)  # tabulate would put nameless columns first
    return tabulate(rows, heads, "github", disable_numparse=True)
