"""How often the gate is right: code without a change, and code with a planted fault, new seeds each time.

In: the suite and baseline next to this file. Out: for each arm, how many comparisons ended with which judgement. The
arms of one try share its seed, so that what a fault does not affect is computed once.

    python benchmarks/quality/power.py
    python benchmarks/quality/power.py --tries 5 --arm unchanged --arm leak --verbose
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
from ctrbench.gate import compare, snapshot
from ctrbench.registry import Registry, load_registry
from ctrbench.running import RunRequest
from ctrbench.store.store import Store
from ctrbench.suite import load_suite

HERE = Path(__file__).parent
METRICS = ("auc", "logloss", "identical")  # as `make quality` has them
MARGINS = {"logloss": compare.Margin(least=0.02)}

ARMS = {  # arm → the plug-in that has a fault
    "unchanged": "",
    "model off by one": "logistic",
    "model stops early": "dnn",
    "generator leaks": "independent",
}


@click.command()
@click.option("--tries", default=50, show_default=True)
@click.option("--first", default=1001, show_default=True, help="Seed of the first try; each has the next one.")
@click.option("--arm", "arms", multiple=True, type=click.Choice(list(ARMS)), help="Only this arm; may be repeated.")
@click.option("--store", "where", help="Keep the results there; the same command then resumes.  [default: nowhere]")
@click.option("--verbose", is_flag=True, help="Say what each comparison found that was not fine.")
def main(tries: int, first: int, arms: Sequence[str], where: str | None, verbose: bool) -> None:
    """Run the suite again and again, compare each run with the baseline, and count the judgements."""
    baseline = snapshot.read(HERE / "baseline.json")
    registries = {arm: with_fault(ARMS[arm]) for arm in arms or ARMS}
    counts: dict[str, Counter[str]] = {arm: Counter() for arm in registries}
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(where or str(Path(folder, "power.db")))) as store:
        for seed in range(first, first + tries):
            for arm, registry in registries.items():
                made = compare.compare(baseline, _run(store, registry, seed), METRICS, MARGINS)
                counts[arm][str(made.judgement)] += 1
                for answer in made.answers if verbose else ():
                    if answer.judgement is not compare.Judgement.FINE:
                        click.echo(f"  seed {seed}, {arm}: {answer.metric}, {answer.subject}: {answer.judgement}, "
                                   f"{answer.difference} {answer.interval} {answer.reason}")  # fmt: skip
            click.echo(f"after seed {seed}: " + "; ".join(f"{arm}: {dict(found)}" for arm, found in counts.items()))


def with_fault(name: str) -> Registry:
    """The built-in plug-ins, one of them replaced by its planted namesake."""
    ours = [entry for entry in entry_points(group="ctrbench") if entry.dist and entry.dist.name == "ctrbench"]
    planted = [EntryPoint(name, f"planted:{name}", "ctrbench")] if name else []
    registry = load_registry([entry for entry in ours if entry.name != name] + planted)
    if registry.broken:
        raise SystemExit(f"broken: {registry.broken}")
    return registry


def _run(store: Store, registry: Registry, seed: int) -> snapshot.Snapshot:
    """The suite under another seed."""
    suite = replace(load_suite(str(HERE / "suite.toml")), seed=seed)
    name = RunRequest(suite, registry, executor="inline").execute(store, f"seed {seed}")
    return snapshot.take(store.load_run(name))


if __name__ == "__main__":
    main()
