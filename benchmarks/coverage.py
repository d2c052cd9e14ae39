"""How often the intervals cover the truth: trainings and test rows resampled from a bank whose truth is known.

In: the suite `coverage.toml`, whose run is the bank (dozens of trainings of every arm, on many test rows), and how to
draw from it. Out: Markdown tables of coverage, of the share of marked effects and of widths.

The bank is a population: a repeat is one of its pools with its model seed, a test row one of its test rows, and both
are drawn with replacement. Draws are then independent, as the interval assumes, and the truth is the bank's own mean.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --workers 4 --resamples 4000 --write docs/statistics.md
"""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from ctrbench import Context, Predictions, digests, environment, intervals, resources
from ctrbench.effects import Arm
from ctrbench.intervals import Effect
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench_datasets.simulated import Simulated
from ctrbench_metrics.auc import Auc
from numpy.random import Generator
from numpy.typing import NDArray
from tabulate import tabulate

SUITE = Path(__file__).with_suffix(".toml")
BEGIN, END = "<!-- coverage study: begin -->", "<!-- coverage study: end -->"
REPEATS = (2, 3, 5, 10, 20)
DESIGNS = ("rows", "users")
VIEWS = ("rows", "rows by user", "users")  # what is drawn, and what contributions are summed by
METHODS = ("the product's", "DeLong on one repeat", "t over seeds alone", "sum of both variances")
CHUNK = 20  # draws between two reports of a worker

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """What is compared: the mean of arms with `original`, or an arm with itself under other seeds (A/A)."""

    name: str
    places: tuple[Arm, ...]
    against_itself: bool = False


class Bank:
    """The trainings of a run, and the test rows that all of them predicted."""

    def __init__(self, results: RunResults) -> None:
        if results.artefacts is None or not all("auc" in cell.scores for cell in results.cells):
            raise click.ClickException("a training of the bank has no AUC: the same command again tries it once more")
        [self.dataset] = results.info.datasets.values()
        self.environment = results.machines[0]
        self.trainings = results.info.repeats
        seed = digests.seed(results.info.seed, "data", Simulated.name)
        splits = Simulated(**self.dataset.parameters).load(seed=seed, context=Context())
        if splits.fingerprint != self.dataset.fingerprint:
            raise click.ClickException("`simulated` no longer makes the rows of the bank: give a new --store")
        self.test = splits.test
        user = self.test.users
        assert user is not None
        self.rows_of = np.split(np.argsort(user, kind="stable"), np.cumsum(np.bincount(user))[:-1])
        self.probabilities: list[Floats] = []  # (rows,) of each training, equal ones once
        self.numbers: dict[Arm, list[int]] = defaultdict(list)  # of each repeat's training
        values: dict[Arm, list[float]] = defaultdict(list)
        number: dict[str, int] = {}
        for cell in results.cells:
            place, digest = Arm(cell.generator, cell.scenario, cell.model), cell.result.artefacts["test"]
            if digest not in number:
                number[digest] = len(number)
                self.probabilities.append(results.artefacts.get_array(digest))
            self.numbers[place].append(number[digest])
            values[place].append(cell.scores["auc"].value)
        self.means = {place: float(np.mean(found)) for place, found in values.items()}
        self.arms = _arms(list(self.numbers))
        self.digests = [*number]

    def digest(self) -> str:
        """What identifies the bank, and the code whose intervals are studied."""
        studied = [digests.source_digest(module) for module in ("ctrbench.intervals", Auc.__module__)]
        return digests.digest([self.digests, self.dataset.fingerprint, studied])[:12]

    def truth(self, arm: Contrast) -> float:
        """The mean difference over all trainings and test rows; 0 for an arm against itself."""
        if arm.against_itself:
            return 0.0
        return float(np.mean([self.means[place] - self.means[_original(place)] for place in arm.places]))


def _arms(places: Iterable[Arm]) -> list[Contrast]:
    """Two arms against themselves, every arm against `original`, and each scenario's mean over all its arms."""
    compared = [place for place in places if place.scenario != "original"]
    again = Arm("", "original", "dnn"), Arm("independent", "S4", "dnn"), Arm("independent", "S4", "logistic")
    scenarios = dict.fromkeys(place.scenario for place in compared)
    return [
        *(Contrast(f"A/A: {_name(place)}", (place,), against_itself=True) for place in again),
        *(Contrast(_name(place), (place,)) for place in compared),
        *(Contrast(f"{name}, all of them", tuple(p for p in compared if p.scenario == name)) for name in scenarios),
    ]


def _name(place: Arm) -> str:
    return " ".join(part for part in (place.scenario, place.generator, place.model) if part)


def _original(place: Arm) -> Arm:
    return Arm("", "original", place.model)


# What a worker does


def counts(bank: Bank, design: str, rows: int, seed: int, chunk: int) -> Floats:
    """The sums over a chunk of draws, (views of the design, arms, REPEATS, METHODS, 3 of `_outcome`)."""
    rng = np.random.default_rng([seed, DESIGNS.index(design), chunk])
    with resources.limited_threads(1):
        return np.sum([_one_draw(bank, design, rows, rng) for _ in range(CHUNK)], axis=0)


def _one_draw(bank: Bank, design: str, rows: int, rng: Generator) -> Floats:
    """A new test set, new seeds for every repeat, and what each interval then says about each arm."""
    index, user = (_rows if design == "rows" else _users)(bank, rows, rng)
    seeds = rng.integers(bank.trainings, size=max(REPEATS))
    others = (seeds + rng.integers(1, bank.trainings, size=len(seeds))) % bank.trainings  # of the same law, never equal
    weights = np.stack([_weights(bank, arm, seeds, others) for arm in bank.arms])  # (arms, repeats, trainings)
    used = np.flatnonzero(weights.any(axis=(0, 1)))
    weights, table = weights[:, :, used], bank.test.take(index)
    scores = [Auc().score(Predictions(table, bank.probabilities[i][index], table, table.click_rate)) for i in used]
    differences = weights @ [score.value for score in scores]
    outcomes = []
    for group in [None, table.users] if user is None else [user]:
        parts = np.stack([intervals.by_group(np.asarray(score.contributions), group) for score in scores])
        shared = weights @ (parts @ parts.T) @ weights.swapaxes(1, 2)  # (arms, repeats, repeats)
        outcomes.append([_outcomes(differences[a], shared[a], bank.truth(arm)) for a, arm in enumerate(bank.arms)])
    return np.array(outcomes)


def _weights(bank: Bank, arm: Contrast, seeds: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
    """The weight of each training of the bank in the difference of each repeat."""
    weights = np.zeros((len(seeds), len(bank.probabilities)))
    repeat, base = np.arange(len(seeds)), others if arm.against_itself else seeds
    for place in arm.places:
        against = place if arm.against_itself else _original(place)
        np.add.at(weights, (repeat, np.array(bank.numbers[place])[seeds]), 1 / len(arm.places))
        np.add.at(weights, (repeat, np.array(bank.numbers[against])[base]), -1 / len(arm.places))
    return weights


def _rows(bank: Bank, rows: int, rng: Generator) -> tuple[NDArray[np.intp], None]:
    """`rows` test rows, each drawn by itself."""
    return rng.integers(len(bank.test), size=rows), None


def _users(bank: Bank, rows: int, rng: Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """As many users as the bank has, drawn with replacement, a random part of each one's rows; and each row's user."""
    drawn = [bank.rows_of[user] for user in rng.integers(len(bank.rows_of), size=len(bank.rows_of))]
    index, user = np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [len(found) for found in drawn])
    kept = rng.random(len(index)) < rows / len(bank.test)
    return index[kept], np.unique(user[kept], return_inverse=True)[1]


def _outcomes(differences: Floats, shared: Floats, truth: float) -> Floats:
    """What each method gives for the first R repeats, (REPEATS, METHODS, 3)."""
    delong = _outcome(intervals.effect(differences[:1], shared[:1, :1]), truth)
    found = []
    for repeats in REPEATS:
        some, covariance = differences[:repeats], shared[:repeats, :repeats]
        ours, seeds = intervals.effect(some, covariance), intervals.effect(some)
        assert ours is not None
        assert seeds is not None
        variance = seeds.variance + float(np.trace(covariance)) / repeats
        summed = Effect(seeds.mean, variance, repeats - 1, repeats, ours.basis, ours.spread)
        found.append([_outcome(ours, truth), delong, _outcome(seeds, truth), _outcome(summed, truth)])
    return np.array(found)


def _outcome(effect: Effect | None, truth: float) -> tuple[float, float, float]:
    """Whether the interval covers the truth, whether it excludes 0, and its half width."""
    assert effect is not None
    half = effect.half_width
    return float(abs(effect.mean - truth) <= half), float(abs(effect.mean) > half), half


# What is printed


def report(bank: Bank, shares: dict[str, Floats], resamples: int, rows: int, seed: int) -> str:
    """The study as Markdown."""
    made, data = bank.environment, bank.dataset
    here = environment.describe("cpu", 1, {})
    versions = ", ".join(f"{name} {made.libraries[name]}" for name in ("ctrbench", "torch", "numpy"))
    noise = 1.96 * math.sqrt(0.95 * 0.05 / resamples)
    lines = [
        f"{bank.trainings} trainings of each arm on {len(bank.test):,} test rows of `simulated` (fingerprint "
        f"{data.fingerprint[:12]}, {data.rows['train']:,} rows of train, {len(bank.rows_of):,} users, each row "
        f"of a user whom train lacks being one); {resamples:,} draws of each design, of {rows:,} test rows; a coverage "
        f"of 95 % is known to ±{noise:.1%}. Bank: commit {made.git[:12]}, {versions}; study: commit "
        f"{here.git[:12]}, seed {seed}.",
        _verdict(shares),
    ]
    for view, said in (
        ("rows", "Test rows drawn one by one, contributions as they are"),
        ("users", "Users drawn with their rows, contributions summed by user"),
    ):
        lines += [f"**{said}: coverage of the 95 % interval (%)**", _by_arm(bank, shares[view], _coverage)]
        lines += ["**Share marked (%), and mean half width of the interval**", _by_arm(bank, shares[view], _marked)]
    lines += ["**Every method: least to greatest coverage of all arms (%), and mean width beside the product's**"]
    return "\n\n".join([*lines, _by_method(shares)])


def _verdict(shares: dict[str, Floats]) -> str:
    enough = [i for i, repeats in enumerate(REPEATS) if repeats >= 5]
    said = []
    for view in VIEWS:
        ours = shares[view][:, enough, 0, 0]
        inside = int(((ours >= 0.93) & (ours <= 0.97)).sum())
        said.append(f"{view} {ours.min():.1%} to {ours.max():.1%} ({inside} of {ours.size} cells within 93 to 97 %)")
    return f"Coverage at 5 or more repeats, over all arms: {'; '.join(said)}."


def _by_arm(bank: Bank, shares: Floats, cell: Callable[[Floats], str]) -> str:
    rows = [
        [arm.name, f"{bank.truth(arm):+.5f}", *(cell(at[0]) for at in of_arm)]
        for arm, of_arm in zip(bank.arms, shares, strict=True)
    ]
    return tabulate(rows, ["arm", "truth", *(f"R = {repeats}" for repeats in REPEATS)], "pipe", disable_numparse=True)


def _coverage(outcome: Floats) -> str:
    return f"{100 * outcome[0]:.1f}"


def _marked(outcome: Floats) -> str:
    return f"{100 * outcome[1]:.1f} (±{outcome[2]:.4f})"


def _by_method(shares: dict[str, Floats]) -> str:
    rows = []
    for view in VIEWS:
        for m, method in enumerate(METHODS):
            coverage, width = 100 * shares[view][:, :, m, 0], shares[view][:, :, m, 2] / shares[view][:, :, 0, 2]
            rows.append([view, method, *(f"{c.min():.1f} to {c.max():.1f} (× {w.mean():.2f})"
                                         for c, w in zip(coverage.T, width.T, strict=True))])  # fmt: skip
    return tabulate(rows, ["drawn", "interval", *(f"R = {repeats}" for repeats in REPEATS)], "pipe")


# The command

_bank: Bank  # of this process, and of the workers that are forked from it


def _counts(folder: Path, design: str, rows: int, seed: int, chunk: int) -> Floats:
    """The counts of a chunk, from an earlier command if it got that far."""
    kept = folder / f"{design}-{rows}-{seed}-{chunk}.npy"
    if not kept.exists():
        unfinished = kept.with_suffix(f".{os.getpid()}")  # another command may be at the same chunk
        with unfinished.open("wb") as file:
            np.save(file, counts(_bank, design, rows, seed, chunk))
        unfinished.replace(kept)
    found: Floats = np.load(kept)
    return found


@click.command()
@click.option("--store", default=".benchmarks/coverage.db", show_default=True, help="where the bank is kept")
@click.option("--suite", default=str(SUITE), show_default="coverage.toml beside this file", help="what the bank is")
@click.option("--workers", default=1, show_default=True)
@click.option("--resamples", default=2000, show_default=True, help="draws of each design")
@click.option("--rows", default=5000, show_default=True, help="test rows of a draw")
@click.option("--seed", default=1, show_default=True, help="of the draws; the bank's is in its suite")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="update this document")
def main(store: str, suite: str, workers: int, resamples: int, rows: int, seed: int, write: Path | None) -> None:
    """Make the bank, or continue it, then study coverage and print Markdown tables."""
    global _bank
    Path(store).parent.mkdir(parents=True, exist_ok=True)
    made = [sys.executable, "-m", "ctrbench", "run", "--suite", suite, "--store", store, "--workers", str(workers)]
    if subprocess.run(made, stdout=subprocess.DEVNULL).returncode:
        raise click.ClickException("the bank could not be made")
    with closing(Store.open(store, create=False)) as opened:
        _bank = Bank(opened.load_run())
    folder = Path(store).with_name(f"{Path(store).stem}-draws") / _bank.digest()
    folder.mkdir(parents=True, exist_ok=True)
    chunks = range(-(-resamples // CHUNK))
    shares: dict[str, Floats] = {}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        for design in DESIGNS:
            done = pool.map(partial(_counts, folder, design, rows, seed), chunks)
            with click.progressbar(done, len(chunks), label=f"{design} drawn", file=sys.stderr) as shown:
                found = sum(shown) / (len(chunks) * CHUNK)
            shares |= zip([view for view in VIEWS if view.split()[0] == design], found, strict=True)
    text = report(_bank, shares, len(chunks) * CHUNK, rows, seed)
    click.echo(text)
    if write is not None:
        kept = write.read_text(encoding="utf-8")
        block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        if not block.search(kept):
            raise click.ClickException(f"{write} has no {BEGIN} … {END} to write between")
        write.write_text(block.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", kept), encoding="utf-8")


if __name__ == "__main__":
    main()
