"""How cost grows with rows, and with the number of values, on `simulated`: one table of seconds, exponents and memory.

In: a direction, the sizes, and the seconds that one measurement may take. Out: a line for each engine, metric and part
of the harness: its seconds at each size, the exponent of a power law fitted to those of 20 ms and more, and the peak
memory beyond the data at the largest size. A size that would take too long, assuming ten times the one before, is left
out.

    python benchmarks/scale.py rows --seconds 120
    python benchmarks/scale.py values --rows 300000 --sizes 16384,131072 --only marginals --only bayes_net
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from ctrbench import Context, Predictions, Rankings, Skip, Splits, SyntheticMetric, params, resources
from ctrbench.ranking import TOP, Catalogue
from ctrbench.registry import load_registry
from ctrbench.scenarios import BUILT_IN, compose
from ctrbench.store.artefacts import Artefacts
from ctrbench_datasets.simulated import Simulated
from tabulate import tabulate

GENERATORS = ("random_oversampling", "independent", "negative_sampling", "bayes_net", "mst", "argn[epochs=1]", "smoten",
              "gaussian_copula", "ctgan[epochs=1]", "tvae[epochs=1]",
              "tabddpm[steps=20,num_timesteps=20,hidden=(64,64)]")  # fmt: skip
MODELS = ("logistic", "item_rate", "dnn[epochs=1]", "deepfm[epochs=1]", "masknet[epochs=1]",
          "dcnv2[epochs=1]", "finalmlp[epochs=1]", "finalnet[epochs=1]", "autoint[epochs=1]", "xdeepfm[epochs=1]",
          "fm[epochs=1]", "lr[epochs=1]", "lightgbm[trees=100]")  # fmt: skip
HARNESS = ("simulated", "fingerprint", "compose", "artefacts")
REGISTRY = load_registry()
METRICS = tuple(metric.name for metric in REGISTRY.of_kind("metric"))
QUERIES = 1000  # for metrics of ranked lists
LEAST = 0.02  # seconds; anything faster says nothing about growth


@click.command()
@click.argument("along", type=click.Choice(["rows", "values"]))
@click.option("--sizes", default="", help="comma-separated; by default 10^4 to 10^7 rows, 10^2 to 10^5 items")
@click.option("--seconds", default=60.0, show_default=True, help="the most that one measurement may take")
@click.option("--only", multiple=True, help="what to measure; by default everything")
@click.option("--threads", default=2, show_default=True)
@click.option("--rows", default=2e4, show_default=True, help="of the log whose values grow")
def main(along: str, sizes: str, seconds: float, only: tuple[str, ...], threads: int, rows: float) -> None:
    """Measure growth and print a Markdown table."""
    everything = (*HARNESS, *GENERATORS, *MODELS, *METRICS)
    things = only or everything
    steps = [int(float(size)) for size in sizes.split(",") if size] or [10**n for n in _decades(along)]
    measured: dict[str, list[tuple[int, float, int]]] = {thing: [] for thing in things}
    for size in steps:
        splits = _log(size, 150) if along == "rows" else _log(int(rows), size)
        for thing, points in measured.items():
            if points and points[-1][1] * size / points[-1][0] > seconds:
                continue
            try:
                spent, memory = _measure(thing, splits, threads)
            except Skip as skip:
                click.echo(f"{thing} at {size:,}: {skip}", err=True)
                continue
            points.append((size, spent, memory))
            click.echo(f"{thing} at {size:,}: {spent:.2f} s, {memory / 1e6:,.0f} MB", err=True)
    header = ["", *(f"{size:,}" for size in steps), "exponent", "MB beyond the data"]
    click.echo(tabulate([_row(thing, points, steps) for thing, points in measured.items()], header, "pipe"))


def _decades(along: str) -> range:
    return range(4, 8) if along == "rows" else range(2, 6)


def _log(rows: int, items: int) -> Splits:
    small = max(rows // 10, 1000)
    spec = Simulated(items=items, train_rows=rows, valid_rows=small, test_rows=small, ranking=QUERIES)
    return spec.load(seed=1, context=Context())


def _measure(thing: str, splits: Splits, threads: int) -> tuple[float, int]:
    """Seconds, and peak resident bytes above those at the start."""
    with tempfile.TemporaryDirectory() as folder, resources.limited_threads(threads):
        work = _work(thing, splits, Path(folder), threads)
        resources.reset_peak_memory()
        before, start = resources.peak_memory(), time.perf_counter()
        work()
        return time.perf_counter() - start, resources.peak_memory() - before


def _work(thing: str, splits: Splits, folder: Path, threads: int) -> Callable[[], object]:
    train, context = splits.train, Context(threads=threads)
    spec = params.parse(thing)
    if thing in HARNESS:
        store = Artefacts(folder)
        return {
            "simulated": lambda: Simulated(train_rows=len(train)).load(seed=1, context=context),
            "fingerprint": train.digest,
            "compose": lambda: [compose(train, train, scenario, seed=1) for scenario in BUILT_IN],
            "artefacts": lambda: store.get_table(store.put_table(train)),
        }[thing]
    kind = "generator" if thing in GENERATORS else "model" if thing in MODELS else "metric"
    registered = REGISTRY.get(kind, spec.name)
    plugin = params.build(registered.plugin, str(registered), spec.values)
    for module in plugin.imports:
        importlib.import_module(module)
    if kind == "generator":
        return lambda: plugin.fit(train, seed=1, context=context).sample(len(train), seed=1)
    if kind == "model":
        return lambda: plugin.fit(train, splits.valid, seed=1, context=context).predict(splits.test)
    if isinstance(plugin, SyntheticMetric):
        return lambda: plugin.score(train, train=train, holdout=splits.valid, reference=splits.test, seed=1)
    predictions = _predictions(splits)
    return lambda: plugin.score(predictions)


def _predictions(splits: Splits) -> Predictions:
    """The true probabilities of train's rows, used as a model's on test rows, and lists in random order.

    Valid takes the place of train, so that some pairs of user and item are new.
    """
    train, valid, true = splits.train, splits.valid, splits.true_probabilities
    assert splits.ranking is not None
    clicks = Catalogue.of(train, splits.ranking).clicks
    queries, items = len(splits.ranking), len(clicks)
    lists = np.random.default_rng(1).permuted(np.tile(np.arange(items, dtype=np.int32), (queries, 1)), axis=1)
    rankings = Rankings(np.ones(queries), np.full(queries, items, np.int32), lists[:, :TOP], clicks)
    return Predictions(train, true["train"], valid, train.click_rate, true["train"], valid, true["valid"], rankings)


def _row(thing: str, points: list[tuple[int, float, int]], sizes: list[int]) -> list[str]:
    if not points:
        return [thing, *("–" for _ in sizes), "–", "–"]
    spent = {size: f"{seconds:,.2f} s" for size, seconds, _ in points}
    return [thing, *(spent.get(size, "–") for size in sizes), _exponent(points), f"{points[-1][2] / 1e6:,.0f}"]


def _exponent(points: list[tuple[int, float, int]]) -> str:
    """The slope of log seconds over log size."""
    slow = np.log([(size, seconds) for size, seconds, _ in points if seconds >= LEAST])
    return f"{np.polyfit(slow[:, 0], slow[:, 1], 1)[0]:.2f}" if len(slow) > 1 else "–"


if __name__ == "__main__":
    main()
