"""What a run found, small enough to keep beside the source: the file that a later run is compared with.

In: a `RunResults`, or a JSON file of this format that may come from anybody. Out: a `Snapshot`: every score and cost of
every repeat, what scores owe to the test rows, and where all of it comes from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctrbench import intervals
from ctrbench.errors import UserError
from ctrbench.files import refuse_existing, whole_file
from ctrbench.interfaces import Better
from ctrbench.results import LARGEST, CellResult, MetricInfo, Moment, Number, PoolResult, TaskResult, whole_mean
from ctrbench.store.artefacts import LostArtefactError
from ctrbench.store.runs import RunResults
from ctrbench.text import encodable, fault, plain

FORMAT = 1

COSTS = ("fit_seconds", "sample_seconds", "predict_seconds", "peak_memory")
"""What tasks cost, under the names that stand beside the metrics'; memory in bytes."""


class _Strict(BaseModel):
    """A part of the file as it may be; anything else is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


_Variance = Annotated[float, Field(ge=-(LARGEST**2), le=LARGEST**2)]
_Count = Annotated[int, Field(ge=1, le=10**15)]
_Fits = Annotated[int, Field(ge=0, le=10**15)]


class MadeWith(_Strict):
    """What of a run's environment may explain a difference."""

    run: str = ""
    python: str = ""
    plugins: dict[str, str] = {}  # distribution → version
    libraries: dict[str, str] = {}
    cpu: str = ""
    cores: int | None = None
    device: str = ""
    gpu: dict[str, str | int | None] = {}
    threads: int = 1
    host: str = ""
    git: str = ""


class DatasetEntry(_Strict):
    """Which rows a data set had."""

    fingerprint: str
    rows: dict[str, _Count]  # of each split

    @model_validator(mode="after")
    def _has_a_train(self) -> Self:
        if "train" not in self.rows:
            raise ValueError("it has no number of train's rows")
        return self


class MetricEntry(_Strict):
    """What a metric's numbers are."""

    better: Better
    unit: str
    of: Literal["cells", "pools"]


class Key(NamedTuple):
    """A cell of the grid, or a pool, which has neither scenario nor model."""

    dataset: str
    generator: str  # "" where the scenario uses no pool
    scenario: str = ""
    model: str = ""

    def __str__(self) -> str:
        return " · ".join(name for name in self if name)


class ArmScores(_Strict):
    """All repeats of a cell or a pool."""

    dataset: str
    generator: str
    scenario: str = ""
    model: str = ""
    values: dict[str, list[Number | None]]  # metric or cost → each repeat's, the mean over its model seeds
    by_seed: list[list[Number | None]] = []  # each repeat's fit_seconds of its model seeds, where there are several
    test_variance: dict[str, _Variance] = {}  # metric → what the mean's variance owes to the test rows; where known
    lacking: dict[str, str] = {}  # metric or cost → why the first missing value is missing

    @property
    def key(self) -> Key:
        """What it is matched by."""
        return Key(self.dataset, self.generator, self.scenario, self.model)

    def scores(self, name: str) -> list[float] | None:
        """Each repeat's value of a metric or cost; None where one is missing."""
        values = self.values.get(name, [None])
        good = [value for value in values if value is not None]
        return good if len(good) == len(values) else None


class Snapshot(_Strict):
    """A finished run."""

    format: _Count
    run: str
    command: str
    started: Moment
    finished: Moment
    suite: str
    seed: int
    repeats: _Count
    model_seeds: _Count
    budget: float
    fits: _Fits = 0  # trainings and pools that went well
    found: _Fits = 0  # of them, those that earlier runs had done; both 0 in older files
    environments: list[MadeWith]  # machine and versions of all runs that did work for this one, itself the last
    datasets: dict[str, DatasetEntry]
    metrics: dict[str, MetricEntry]
    places: list[ArmScores]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse what no comparison could use."""
        for place in self.places:
            if place.dataset not in self.datasets:
                raise ValueError(f"no data set {place.dataset!r}")
            lengths = {len(place.by_seed) or self.repeats, *map(len, place.values.values())}
            if lengths != {self.repeats}:
                raise ValueError(f"not every value of {place.key} has {self.repeats} repeats")
            if any(variance < 0 for variance in place.test_variance.values()):
                raise ValueError(f"a variance of {place.key} is negative")
        if len({place.key for place in self.places}) < len(self.places):
            raise ValueError("a place stands in it twice")
        return self

    def metric_entry(self, name: str) -> MetricEntry | None:
        """What a metric or cost is; None where the run does not have it."""
        if name not in COSTS:
            return self.metrics.get(name)
        unit = "bytes" if name == "peak_memory" else "s"
        return MetricEntry(better="lower", unit=unit, of="pools" if name == "sample_seconds" else "cells")


def take(results: RunResults) -> Snapshot:
    """The snapshot of a run; UserError for one that did not finish, or that holds what no comparison could use."""
    if results.finished is None:
        raise UserError(f"run {results.run}: did not finish; the command that started it resumes it")
    try:
        return _taken(results, results.finished)
    except ValidationError as error:
        raise UserError(f"run {results.run}: cannot be taken down: {_first(error)}") from None


def _taken(results: RunResults, finished: float) -> Snapshot:
    info = results.info
    fits = _fits(results)
    kinds: tuple[tuple[Literal["cells", "pools"], Mapping[str, MetricInfo]], ...] = (
        ("cells", info.prediction_metrics),
        ("pools", info.synthetic_metrics),
    )
    return Snapshot(
        format=FORMAT,
        run=results.run,
        command=results.command,
        started=results.started,
        finished=finished,
        suite=info.suite,
        seed=info.seed,
        repeats=info.repeats,
        model_seeds=info.model_seeds,
        budget=info.budget,
        fits=len(fits),
        found=sum(fit.run != results.run for fit in fits),
        environments=[
            MadeWith(**{name: getattr(each, name) for name in MadeWith.model_fields}) for each in results.machines
        ],
        datasets={
            name: DatasetEntry(fingerprint=data.fingerprint, rows=dict(data.rows))
            for name, data in info.datasets.items()
        },
        metrics={
            name: MetricEntry(better=told.better, unit=told.unit, of=of)
            for of, metrics in kinds
            for name, told in metrics.items()
        },
        places=[*_cells(results), *_pools(results)],
    )


def _fits(results: RunResults) -> list[TaskResult]:
    """The trainings and pools that went well, each once, however many cells or generators share it."""
    trainings = {cell.training: cell.result for cell in results.cells}
    pools = [pool.result for pool in results.pools if not pool.same_as]
    return [fit for fit in (*trainings.values(), *pools) if fit.ok]


def write(snapshot: Snapshot, file: Path) -> None:
    """Write it to a new file, a place a line, so that two of them can be told apart by `diff`."""
    head = snapshot.model_dump(exclude={"places"})
    lines = ",\n".join(f"  {json.dumps(place.model_dump(exclude_defaults=True))}" for place in snapshot.places)
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "places": [\n{lines}\n ]\n}}\n'
    refuse_existing(file)
    with whole_file(file) as target:
        target.write(text.encode())


def read(file: Path) -> Snapshot:
    """The snapshot in a file; UserError for anything else."""
    name = encodable(str(file))
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {fault(error)}") from None
    try:
        found = json.loads(text)
        if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
            raise UserError(f"{name}: a newer ctrbench made it (format {found['format']}); use that one")
        return Snapshot.model_validate(found)
    except ValidationError as error:
        said = _first(error)
    except (ValueError, RecursionError) as error:
        said = str(error)
    raise UserError(f"{name}: `ctrbench export` did not make it: {plain(said)[:200]}")


def _first(error: ValidationError) -> str:
    cause = error.errors()[0]
    return plain(f"{'.'.join(map(str, cause['loc']))}: {cause['msg']}".removeprefix(": "))[:200]


def _cells(results: RunResults) -> Iterable[ArmScores]:
    groups: dict[Key, dict[int, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for cell in results.cells:
        groups[Key(cell.dataset, cell.generator, cell.scenario, cell.model)][cell.repeat].append(cell)
    metrics = list(results.info.prediction_metrics)
    several_seeds = results.info.model_seeds > 1
    for key, by_repeat in groups.items():
        repeats = list(by_repeat.values())
        values: dict[str, list[float | None]] = {}
        for metric in metrics:
            values[metric] = [whole_mean(_score(cell, metric) for cell in cells) for cells in repeats]
        for cost in ("fit_seconds", "predict_seconds", "peak_memory"):
            values[cost] = [whole_mean(_cost(cell.result, cost) for cell in cells) for cells in repeats]
        everything = [cell for cells in repeats for cell in cells]
        variances = {metric: _test_variance(results, repeats, metric) for metric in metrics}
        yield ArmScores(
            **key._asdict(),
            values=values,
            by_seed=[[_cost(c.result, "fit_seconds") for c in cells] for cells in repeats] if several_seeds else [],
            test_variance={metric: found for metric, found in variances.items() if found is not None},
            lacking=_lacking(values, everything),
        )


def _pools(results: RunResults) -> Iterable[ArmScores]:
    groups: dict[Key, list[PoolResult]] = defaultdict(list)
    for pool in results.pools:
        groups[Key(pool.dataset, pool.generator)].append(pool)
    for key, pools in groups.items():
        values = {m: [_score(pool, m) for pool in pools] for m in results.info.synthetic_metrics}
        for cost in ("fit_seconds", "sample_seconds", "peak_memory"):
            values[cost] = [_cost(pool.result, cost) for pool in pools]
        yield ArmScores(**key._asdict(), values=values, lacking=_lacking(values, pools))


def _score(of: CellResult | PoolResult, metric: str) -> float | None:
    value = of.scores[metric].value if metric in of.scores else None
    return value if value is not None and abs(value) <= LARGEST else None


def _cost(result: TaskResult, cost: str) -> float | None:
    if not result.ok:
        return None
    return float(result.peak_memory) if cost == "peak_memory" else result.seconds.get(cost.removesuffix("_seconds"))


def _lacking(values: Mapping[str, Sequence[float | None]], of: Sequence[CellResult | PoolResult]) -> dict[str, str]:
    """Why values are missing: the first failure of each metric or cost."""
    found = {}
    for name in (name for name, each in values.items() if None in each):
        causes = [each.cause(name) for each in of]
        found[name] = next((plain(cause.describe()) for cause in causes if not cause.ok), "no number that can be used")
    return found


def _test_variance(results: RunResults, repeats: Sequence[Sequence[CellResult]], metric: str) -> float | None:
    """What the variance of a cell's mean owes to the test rows, from its contributions; None where they are not there.

    It is the mean covariance of two repeats, which share the test rows and nothing else.
    """
    artefacts = results.artefacts
    digests = [[cell.contributions.get(metric, "") for cell in cells] for cells in repeats]
    if artefacts is None or not all(map(all, digests)):
        return None
    try:
        found = artefacts.products([digest for each in digests for digest in each])  # (R × model seeds, the same)
    except LostArtefactError:
        return None
    shape = len(digests), len(digests[0])
    shared = found.reshape(*shape, *shape).mean(axis=(1, 3))  # (R, R)
    if not (np.abs(shared) <= LARGEST**2).all():  # a stranger's may be anything
        return None
    return intervals.effect(np.zeros(len(shared)), shared).spread.test
