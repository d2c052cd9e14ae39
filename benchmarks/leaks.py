"""Which privacy metric detects which leak: planted leaks, honest pools, and real logs.

In: numbers of seeds, and the folder of real logs. Out: tables of detection rates and of false alarms on `simulated`,
and one of values, verdicts and seconds on Frappe and MovieLens 100K; written into a page between their marks if asked.

    python benchmarks/leaks.py --write docs/metrics.md
    python benchmarks/leaks.py --part real --data ../shared/data --write docs/metrics.md
"""

from __future__ import annotations

import importlib
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import pandas as pd
from ctrbench import Context, Generator, Score, Skip, Splits, SyntheticMetric, Table
from ctrbench.encoding import encode, encode_splits
from ctrbench.registry import load_registry
from ctrbench.resources import limited_threads
from ctrbench_datasets._world import FIELDS, LABEL
from ctrbench_datasets.frappe import Frappe
from ctrbench_datasets.movielens import MovieLens
from ctrbench_datasets.oracle import Oracle
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators.bayes_net import BayesNet
from ctrbench_generators.gaussian_copula import GaussianCopula
from ctrbench_generators.independent import Independent
from ctrbench_generators.random_oversampling import RandomOversampling
from ctrbench_generators.smoten import Smoten
from ctrbench_generators.uniform import Uniform
from tabulate import tabulate

TRAIN, HELD = 3_000, 1_500  # rows of train, and of valid and of test
USERS = {"row": 300, "user": 1_000, "time": 300}  # of the world, by how rows are split
ATTACKS = ("interaction_disclosure", "membership", "membership_density", "membership_classifier", "membership_users",
           "attribute_inference")  # fmt: skip


def privacy_metrics() -> list[SyntheticMetric]:
    """Every installed privacy metric, at its defaults, with what it imports."""
    plugins = (each.plugin for each in load_registry().of_kind("metric"))
    metrics = [plugin() for plugin in plugins if issubclass(plugin, SyntheticMetric) and plugin.aspect == "privacy"]
    for module in {module for metric in metrics for module in metric.imports}:
        importlib.import_module(module)
    return metrics


@dataclass(frozen=True)
class Log:
    """Splits of `simulated`, and as many new rows of train's distribution, of users that train may know.

    Split by row, by user, or by time: then half of the items become rarer and rarer.
    """

    splits: Splits
    fresh: Table
    oracle: Oracle

    @classmethod
    def drawn(cls, by: str, seed: int) -> Log:
        spec = Simulated(users=USERS[by])
        world, rng = spec.world(), np.random.default_rng([seed, 7])
        everybody = np.arange(spec.users, dtype=np.int32)
        groups = [everybody] * 4
        if by == "user":  # six of ten users are train's; the last fifth are the fresh rows'
            groups = np.split(rng.permutation(everybody), [600, 700, 800])
        among = {name: np.arange(len(share), dtype=np.int32) for name, share in world.shares.items()}
        sizes = (TRAIN, HELD, HELD, 3 * TRAIN)
        frames = [world.rows_among(among | {"user": g}, n, rng)[0] for g, n in zip(groups, sizes, strict=True)]
        if by == "time":
            frames[1:3] = [_later(world.rows_among(among, 4 * HELD, rng)[0], kept, rng) for kept in (0.5, 0.25)]
        splits = encode_splits(*frames[:3], label=LABEL, fields=FIELDS, source="leaks")
        if by == "user":  # a pool may name known users only
            frames[3]["user"] = rng.choice(frames[0]["user"].to_numpy(), len(frames[3]))
        fresh = encode(frames[3], splits.train.schema, source="leaks")
        fresh = fresh.take((fresh.codes > 0).all(axis=1)).take(np.arange(TRAIN))
        return cls(splits, fresh, Oracle(users=spec.users))


def _later(frame: pd.DataFrame, kept: float, rng: np.random.Generator) -> pd.DataFrame:
    """The first rows of a period in which every other item has only this much of its share left."""
    stays = (frame["item"] % 2 == 0) | (rng.random(len(frame)) < kept)
    return frame[stays].head(HELD)


Leak = Callable[[Log, np.random.Generator], Table]


def made_by(generator: Generator) -> Leak:
    """A generator's pool, with as many rows as train has."""

    def make(log: Log, rng: np.random.Generator) -> Table:
        fit_seed, sample_seed = (int(each) for each in rng.integers(2**31, size=2))
        return generator.fit(log.splits.train, seed=fit_seed, context=Context()).sample(TRAIN, seed=sample_seed)

    return make


def copies(log: Log, rng: np.random.Generator) -> Table:
    """One row in ten is one of train's."""
    return _mixed(log.fresh, _some(log.splits.train, TRAIN // 10, rng))


def near_copies(log: Log, rng: np.random.Generator) -> Table:
    """One row in five is one of train's except for one field, which has the value of another row."""
    near = _some(log.splits.train, TRAIN // 5, rng)
    other = _some(log.splits.train, len(near), rng)
    differs = near.rows.to_numpy() != other.rows.to_numpy()
    changed = np.where(differs, rng.random(differs.shape), 0).argmax(axis=1)  # one of the fields that differ
    rows = near.rows.copy()
    for at, name in enumerate(near.schema.names):
        rows.loc[changed == at, name] = other.rows.loc[changed == at, name]
    return _mixed(log.fresh, Table(rows, near.schema, near.labels))


def pairs_kept(log: Log, rng: np.random.Generator) -> Table:
    """In one row in five user and item are those of a row of train; context and label are fresh."""
    kept, fresh = _some(log.splits.train, TRAIN // 5, rng), log.fresh.take(np.arange(TRAIN // 5))
    names = [field.name for field in kept.schema.fields if field.role != "context"]
    rows = fresh.rows.assign(**{name: kept.rows[name].to_numpy() for name in names})
    return _mixed(log.fresh, Table(rows, kept.schema, fresh.labels))


def pairs_avoided(log: Log, rng: np.random.Generator) -> Table:
    """Fresh rows without those whose user and item occur in a row of train; others are repeated in their place."""
    known = {*zip(log.splits.train.rows["user"], log.splits.train.rows["item"], strict=True)}
    new = [pair not in known for pair in zip(log.fresh.rows["user"], log.fresh.rows["item"], strict=True)]
    return log.fresh.take(rng.choice(np.flatnonzero(new), TRAIN))


def one_user_whole(log: Log, rng: np.random.Generator) -> Table:
    """All rows of train of one user with at least ten; everything else is fresh."""
    users, rows = np.unique(log.splits.train.rows["user"], return_counts=True)
    kept = log.splits.train.take(log.splits.train.rows["user"].to_numpy() == rng.choice(users[rows >= 10]))
    return _mixed(log.fresh, kept)


def one_class(log: Log, rng: np.random.Generator) -> Table:
    """Half of the clicks are exact copies of train's; everything else is fresh."""
    clicks = np.flatnonzero(log.splits.train.targets == 1)
    kept = log.splits.train.take(rng.choice(clicks, len(clicks) // 2, replace=False))
    own = rng.permutation(np.flatnonzero(log.fresh.targets == 1))[len(kept) :]
    return Table.concat([kept, log.fresh.take(np.concatenate([own, np.flatnonzero(log.fresh.targets == 0)]))])


def _some(table: Table, rows: int, rng: np.random.Generator) -> Table:
    return table.take(rng.choice(len(table), rows, replace=False))


def _mixed(fresh: Table, planted: Table) -> Table:
    """The planted rows, in place of the first of the fresh ones."""
    return Table.concat([planted, fresh.take(np.arange(len(planted), len(fresh)))])


LEAKS: dict[str, Leak] = {
    "copies, 10 %": copies,
    "near copies, 20 %": near_copies,
    "a leak in one class": one_class,
    "one user kept whole": one_user_whole,
    "pairs kept, 20 %": pairs_kept,
    "pairs avoided": pairs_avoided,
    "tree": made_by(BayesNet()),
    "tree, 10 % from marginals": made_by(BayesNet(smoothing=0.1)),
    "tree, copies rejected": made_by(BayesNet(reject_copies=True)),
    "`random_oversampling`": made_by(RandomOversampling()),
}
HONEST: dict[str, Leak] = {
    "fresh real rows": lambda log, rng: log.fresh,
    "`oracle`": lambda log, rng: made_by(log.oracle)(log, rng),
}
CONTROLS: dict[str, Leak] = {"`independent`": made_by(Independent()), "`uniform`": made_by(Uniform())}
POOLS = LEAKS | HONEST | CONTROLS

Verdicts = dict[tuple[str, str], bool | None]


def verdicts(seed: int, *, by: str, pools: tuple[str, ...]) -> Verdicts:
    """Each metric's verdict on each pool, for one log."""
    metrics = privacy_metrics()
    found: Verdicts = {}
    with limited_threads(1):
        log = Log.drawn(by, seed)
        for name in pools:
            pool = POOLS[name](log, np.random.default_rng([seed, list(POOLS).index(name)]))
            for metric in metrics:
                found[name, metric.name] = _score(metric, pool, log.splits, seed).flagged
    return found


def _score(metric: SyntheticMetric, pool: Table, splits: Splits, seed: int) -> Score:
    try:
        return metric.score(pool, train=splits.train, holdout=splits.valid, reference=splits.test, seed=seed)
    except Skip:
        return Score(float("nan"))


def rates(all_verdicts: list[Verdicts]) -> str:
    """A Markdown table: for each pool and metric the percentage of logs on which it was flagged."""
    pools, metrics = (list(dict.fromkeys(key[at] for key in all_verdicts[0])) for at in (0, 1))
    rows = [[pool, *(_rate([each[pool, metric] for each in all_verdicts]) for metric in metrics)] for pool in pools]
    return tabulate(rows, ["", *(f"`{metric}`" for metric in metrics)], "pipe", disable_numparse=True)


def _rate(found: list[bool | None]) -> str:
    given = [each for each in found if each is not None]
    if not given:
        return "no verdict"
    return f"{np.mean(given):.0%}".replace("%", " %") + (f" of {len(given)}" if len(given) < len(found) else "")


def over_seeds(seeds: int, jobs: int, *, by: str, pools: Iterable[str]) -> str:
    """`rates` over the seeds 0, 1, …; processes are spawned, since forked ones would share the libraries' threads."""
    work = partial(verdicts, by=by, pools=tuple(pools))
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as executor:
        found = [_told(seed, each) for seed, each in enumerate(executor.map(work, range(seeds)))]
    return f"{seeds} logs, split by {by}:\n\n{rates(found)}"


def _told(seed: int, found: Verdicts) -> Verdicts:
    click.echo(f"seed {seed} done", err=True)
    return found


GENERATORS: dict[str, Generator] = {
    "`random_oversampling`": RandomOversampling(),
    "`smoten`": Smoten(),
    "`gaussian_copula`": GaussianCopula(),
    "`independent`": Independent(),
    "`bayes_net`": BayesNet(),
    "`bayes_net`, copies rejected": BayesNet(reject_copies=True),
}


def real_logs(folder: Path) -> Iterator[tuple[str, Splits]]:
    """Frappe in its published splits, and MovieLens 100K split by chance."""
    yield "frappe", Frappe(path=str(folder / "Frappe_x1")).load(seed=1, context=Context())
    yield "movielens", MovieLens(path=str(folder / "ml-100k")).load(seed=1, context=Context())


def on_real_log(splits: Splits, seed: int) -> str:
    """A Markdown table: for each generator and metric the value with its interval, verdict and seconds."""
    wanted = [metric for metric in privacy_metrics() if metric.name in ATTACKS]
    rows = []
    for name, generator in GENERATORS.items():
        for module in generator.imports:
            importlib.import_module(module)
        pool = generator.fit(splits.train, seed=seed, context=Context()).sample(len(splits.train), seed=seed)
        row = [name]
        for metric in wanted:
            start = time.process_time()
            score = _score(metric, pool, splits, seed)
            row.append(_cell(score, time.process_time() - start))
            click.echo(f"{name}, {metric.name}: {score}", err=True)
        rows.append(row)
    return tabulate(rows, ["", *(f"`{metric.name}`" for metric in wanted)], "pipe", disable_numparse=True)


def _cell(score: Score, seconds: float) -> str:
    if np.isnan(score.value):
        return "skipped"
    mark = {True: " !", False: "", None: " ?"}[score.flagged]
    low, high = (score.details[end] for end in ("low", "high"))
    base = "" if score.baseline == 0.5 else f" beside {score.baseline:.3f}"
    return f"{score.value:.3f} ({low:.3f} to {high:.3f}){base}{mark}, {seconds:.0f} s"


def put(page: Path | None, mark: str, text: str) -> None:
    """Print the text, or put it between a page's marks."""
    if page is None:
        click.echo(text)
        return
    begin, end = f"<!-- leaks.py {mark} -->", f"<!-- end of {mark} -->"
    old = page.read_text(encoding="utf-8")
    new, times = re.subn(
        re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n\n{text}\n\n{end}", old, flags=re.DOTALL
    )
    if times != 1:
        raise click.ClickException(f"{page} has the mark {begin} … {end} {times} times, not once")
    page.write_text(new, encoding="utf-8")


@click.command()
@click.option("--part", "parts", type=click.Choice(["planted", "honest", "real"]), multiple=True, help="all by default")
@click.option("--seeds", default=20, show_default=True, help="logs with planted leaks")
@click.option("--honest-seeds", default=60, show_default=True, help="logs for false alarms")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="the folder of Frappe_x1 and ml-100k")
@click.option("--seed", default=1, show_default=True, help="of pools and metrics on real logs")
@click.option("--jobs", default=1, show_default=True, help="processes")
@click.option("--write", "page", type=click.Path(path_type=Path, exists=True), help="a page with the tables' marks")
def main(
    parts: tuple[str, ...], seeds: int, honest_seeds: int, data: Path | None, seed: int, jobs: int, page: Path | None
) -> None:
    """Try every privacy metric on leaks, on honest pools, and on real logs."""
    if "real" in parts and data is None:
        raise click.UsageError("the real logs need --data FOLDER, which holds Frappe_x1 and ml-100k")
    tables: dict[str, Callable[[], str]] = {
        "planted": lambda: planted(seeds, jobs),
        "honest": lambda: honest(honest_seeds, jobs),
    }
    if data is not None:
        tables["real"] = lambda: real(data, seed)
    for part in parts or tables:
        put(page, part, tables[part]())


def planted(seeds: int, jobs: int) -> str:
    """Detection rates of every privacy metric; by user only for the clearest leaks."""
    by_user = ("copies, 10 %", "tree, copies rejected", "`random_oversampling`")
    return "\n\n".join(over_seeds(seeds, jobs, by=by, pools=pools) for by, pools in (("row", POOLS), ("user", by_user)))


def honest(seeds: int, jobs: int) -> str:
    """How often every privacy metric flags pools that have seen nothing of train."""
    return "\n\n".join(over_seeds(seeds, jobs, by=by, pools=HONEST) for by in USERS)


def real(folder: Path, seed: int) -> str:
    """Values, intervals, verdicts and seconds on Frappe and MovieLens 100K."""
    with limited_threads(1):
        return "\n\n".join(
            f"{name}, {len(splits.train):,} rows of train (fingerprint {splits.fingerprint[:12]}, seed {seed}, "
            f"ctrbench {version('ctrbench')}, one thread; seconds of CPU):\n\n{on_real_log(splits, seed)}"
            for name, splits in real_logs(folder)
        )


if __name__ == "__main__":
    main()
