"""How often a verdict is right: runs of few repeats drawn from a bank of many, whose means are the truth.

In: the suite `verdicts.toml`, whose run is the bank, and how many runs to draw from it. Out: Markdown: in how many runs
a verdict claims an effect that does not exist, and in how many it finds those that do.

A run is drawn as in `coverage.py`: each repeat is one of the bank's, each test row one of its test rows, with
replacement. It is then read by the functions that read any run, ending with `ctrbench.verdict`. Beside each
run another is drawn in which every training on a pool is one of `original` under another seed, so that no effect exists
and any word is wrong.

    python benchmarks/verdicts.py --workers 2
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from coverage import Bank
from ctrbench import Predictions, intervals
from ctrbench.effects import Arm
from ctrbench.interfaces import Score
from ctrbench.results import CellResult, Status, TaskResult
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.verdict import Outcome, Verdict, verdicts
from ctrbench_metrics.auc import Auc
from numpy.typing import NDArray
from tabulate import tabulate

SUITE = Path(__file__).with_suffix(".toml")
DONE = TaskResult(Status.OK)


@dataclass(frozen=True)
class Drawn:
    """Replaces the artefacts of a drawn run: the contributions of its trainings."""

    arrays: dict[str, NDArray[np.float64]]

    def get_array(self, digest: str) -> NDArray[np.float64]:
        return self.arrays[digest]


def draw(
    results: RunResults, bank: Bank, repeats: int, rows: int, rng: np.random.Generator, *, null: bool
) -> RunResults:
    """A run of `repeats` of the bank's repeats, on `rows` of its test rows; `null` if pools are to have no effect."""
    index, seeds = rng.integers(len(bank.test), size=rows), rng.integers(bank.trainings, size=repeats)
    table = bank.test.take(index)
    drawn = {arm: [numbers[seed] for seed in seeds] for arm, numbers in bank.numbers.items()}
    if null:
        for arm in drawn:
            others = (seeds + rng.integers(1, bank.trainings, size=repeats)) % bank.trainings  # another seed each
            original = bank.numbers[Arm("", "original", arm.model)]
            drawn[arm] = [original[seed] for seed in others] if arm.generator else drawn[arm]
    used = sorted({number for numbers in drawn.values() for number in numbers})
    scores = {i: Auc().score(Predictions(table, bank.probabilities[i][index], table, table.click_rate)) for i in used}
    arrays = {str(i): intervals.by_group(np.asarray(s.contributions), None) for i, s in scores.items()}
    [dataset] = results.info.datasets
    cells = [
        CellResult(
            dataset, arm.generator, arm.scenario, arm.model, repeat, DONE, {"auc": Score(scores[number].value)},
            training=f"{arm} {repeat}", contributions={"auc": str(number)},
        )
        for arm, numbers in drawn.items()
        for repeat, number in enumerate(numbers)
    ]  # fmt: skip
    info = replace(results.info, repeats=repeats)
    return replace(results, info=info, cells=cells, pools=[], artefacts=Drawn(arrays))  # type: ignore[arg-type]


def truths(results: RunResults, bank: Bank) -> dict[tuple[str, str], tuple[float, float]]:
    """For each generator and scenario the bank's mean difference to original over models, and its standard error."""
    values: dict[Arm, list[float]] = defaultdict(list)
    for cell in results.cells:
        values[Arm(cell.generator, cell.scenario, cell.model)].append(cell.scores["auc"].value)
    models = dict.fromkeys(arm.model for arm in values)
    found = {}
    for generator, scenario in dict.fromkeys((arm.generator, arm.scenario) for arm in values if arm.generator):
        by_model = [np.subtract(values[Arm(generator, scenario, m)], values[Arm("", "original", m)]) for m in models]
        mean = np.mean(by_model, axis=0)
        found[generator, scenario] = float(mean.mean()), float(mean.std(ddof=1) / len(mean) ** 0.5)
    return found


@dataclass
class Tally:
    """Counts over drawn runs."""

    runs: int = 0
    false: int = 0  # runs without any effect in which a candidate is said to help or hurt
    wrong: int = 0  # runs in which a candidate is said to help or hurt where the truth has the other sign
    missed: int = 0  # runs in which an interval of a candidate's claim misses the truth
    best: int = 0  # runs in which the best candidate's interval misses its truth
    outcomes: Counter[tuple[str, Outcome]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.outcomes = Counter()

    def add(self, found: Verdict, null: Verdict, truth: dict[tuple[str, str], tuple[float, float]]) -> None:
        self.runs += 1
        missed, wrong = False, False
        for each in found.generators:
            self.outcomes[each.generator, each.outcome] += 1
            for claim in each.claims if each.role == "candidate" else ():
                mean, _ = truth[claim.generator, claim.scenario]
                assert claim.low is not None
                assert claim.high is not None
                missed |= not claim.low <= mean <= claim.high
                wrong |= claim.sign("higher") * mean < 0
        self.missed, self.wrong = self.missed + missed, self.wrong + wrong
        self.false += any(c.sign("higher") for each in null.generators if each.role == "candidate" for c in each.claims)
        if found.best and found.best.low is not None and found.best.high is not None:
            mean, _ = truth[found.best.generator, found.best.scenario]
            self.best += not found.best.low <= mean <= found.best.high


@click.command()
@click.option("--store", default=".benchmarks/verdicts.db", show_default=True, help="where the bank is kept")
@click.option("--suite", default=str(SUITE), show_default="verdicts.toml beside this file", help="what the bank is")
@click.option("--workers", default=1, show_default=True)
@click.option("--runs", default=200, show_default=True, help="runs that are drawn for each number of repeats")
@click.option("--repeats", multiple=True, type=int, default=(2, 3, 5, 10), show_default=True)
@click.option("--rows", default=5000, show_default=True, help="test rows of a run")
@click.option("--seed", default=1, show_default=True)
def main(store: str, suite: str, workers: int, runs: int, repeats: tuple[int, ...], rows: int, seed: int) -> None:
    """Make the bank, or continue it, then draw runs from it and count what their verdicts say."""
    Path(store).parent.mkdir(parents=True, exist_ok=True)
    made = [sys.executable, "-m", "ctrbench", "run", "--suite", suite, "--store", store, "--workers", str(workers)]
    if subprocess.run(made, stdout=subprocess.DEVNULL).returncode:
        raise click.ClickException("the bank could not be made")
    with closing(Store.open(store, create=False)) as opened:
        results = opened.load_run()
    bank = Bank(results)
    truth = truths(results, bank)
    tallies = {}
    for count in sorted(repeats):
        tally = tallies[count] = Tally()
        rng = np.random.default_rng([seed, count])
        with click.progressbar(range(runs), label=f"{count} repeats", file=sys.stderr) as numbers:
            for _ in numbers:
                [found], [null] = (verdicts(draw(results, bank, count, rows, rng, null=n)) for n in (False, True))
                tally.add(found, null, truth)
    click.echo(report(bank, truth, tallies, rows))


def report(bank: Bank, truth: dict[tuple[str, str], tuple[float, float]], tallies: dict[int, Tally], rows: int) -> str:
    """The study as Markdown."""
    wrong = [
        [f"{count}", *(f"{100 * n / tally.runs:.1f}" for n in (tally.false, tally.wrong, tally.missed, tally.best))]
        for count, tally in tallies.items()
    ]
    said = []
    for generator in dict.fromkeys(generator for generator, _ in truth):
        means = "; ".join(f"{s} {m:+.4f} ± {e:.4f}" for (g, s), (m, e) in truth.items() if g == generator)
        shares = [
            " / ".join(
                f"{100 * tally.outcomes[generator, o] / tally.runs:.0f}" for o in Outcome if o is not Outcome.UNKNOWN
            )
            for tally in tallies.values()
        ]
        said.append([generator, means, *shares])
    runs = next(iter(tallies.values())).runs
    head = [
        f"{bank.trainings} repeats of each arm on {len(bank.test):,} test rows of `simulated` are the bank; "
        f"{runs} runs of {rows:,} test rows are drawn for each number of repeats.",
        "**Runs (%) in which a candidate is said to help or hurt where there is no effect at all, or where the truth "
        "has the other sign; in which any interval of a candidate misses the truth; in which that of the best does**",
        tabulate(
            wrong, ["repeats", "no effect", "other sign", "any interval", "the best's"], "pipe", disable_numparse=True
        ),
        "**Helps / hurts / no effect / not enough evidence, in % of runs, beside the bank's mean ± standard error**",
        tabulate(said, ["generator", "truth", *(f"R = {c}" for c in tallies)], "pipe", disable_numparse=True),
    ]
    return "\n\n".join(head)


if __name__ == "__main__":
    main()
