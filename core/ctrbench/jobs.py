"""Jobs: all that changes a task's result, in plain values and digests.

A job can go to any process or machine, and its identity is its cache key; `perform` does it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, assert_never

from ctrbench import contract, digests, params
from ctrbench.asking import NoAnswer, ask
from ctrbench.interfaces import Dataset, Plugin
from ctrbench.results import Inputs, Json
from ctrbench.scenarios import Scenario
from ctrbench.text import bounded

if TYPE_CHECKING:
    from ctrbench.registry import Registered


@dataclass(frozen=True)
class PluginCall:
    """A plug-in with its parameters, as plain values from which another process makes it again."""

    registered: str  # for people: "ctgan (ctrbench 0.1.0)"
    name: str
    module: str
    qualname: str
    parameters: Mapping[str, Json]
    source: str  # digest of its source, or its distribution's version
    cpus: float = 1.0  # what a cluster keeps free for it
    gpus: float = 0.0
    version: str = ""  # of what it reads beside its input; a data set's stands in its job
    locations: tuple[str, ...] = ()  # parameters that only say where that lies
    unsaid: str = ""  # why nobody knows its version: no job of it can be done
    whole_source: str = ""  # digest of its source with what only some jobs call, where there is any
    python: str = ""  # the interpreter that does its jobs, where it lives in an environment of its own
    foreign: bool = False  # whether somebody else wrote it

    @classmethod
    def of(cls, registered: Registered, plugin: Plugin) -> PluginCall:
        """The call that makes this plug-in; UserError where its version cannot be told."""
        kind = type(plugin)
        source, whole = registered.source, registered.whole_source
        if not registered.python:
            source, whole = digests.source_digests(kind.__module__)
            if not source:
                source = digests.typed_source(kind) if kind.__module__ == "__main__" else registered.version
        call = cls(
            str(registered), plugin.name, kind.__module__, kind.__qualname__, params.values(plugin), source,
            plugin.cpus, plugin.gpus, whole_source=whole, python=registered.python, foreign=registered.foreign,
        )  # fmt: skip
        if registered.python:
            return call
        if isinstance(plugin, Dataset):
            return replace(call, locations=params.locations(plugin))
        other = ask(lambda: call.otherwise(plugin)) if call.foreign else ""
        if other:
            why = other.error if isinstance(other, NoAnswer) else other
            return replace(call, unsaid=f"a worker would make another plug-in of it: {why}")
        try:
            return replace(call, version=version_of(registered, plugin), locations=params.locations(plugin))
        except NoAnswer as none:
            return replace(call, unsaid=none.error)

    def otherwise(self, plugin: Plugin) -> str:
        """How what a worker makes of the call differs from the plug-in it was made for; empty where it does not."""
        made = self.make()
        if type(made) is not type(plugin):
            return f"{self.module}:{self.qualname} is another class; give each class a name of its own in its module"
        for field in fields(plugin):
            there, here = (getattr(each, field.name) for each in (made, plugin))
            if type(there) is not type(here) or repr(there) != repr(here):  # nan is not equal to itself
                return (
                    f"{field.name} would be {bounded(repr(there), 60)} and not {bounded(repr(here), 60)}; parameters "
                    "come as numbers, texts, truths and tuples of them, and __post_init__ must leave them as they are"
                )
        return ""

    def make(self) -> Plugin:
        """The plug-in."""
        found: Any = importlib.import_module(self.module)
        for part in self.qualname.split("."):
            found = getattr(found, part)
        plugin: Plugin = found(**{key: _tuples(value) for key, value in self.parameters.items()})
        return plugin

    def identity(self) -> list[Json]:
        """What of it changes a result."""
        return [self.module, self.qualname, self.lasting_parameters, self.source, *filter(None, [self.version])]

    @property
    def lasting_parameters(self) -> dict[str, Json]:
        """The parameters that mean the same on every machine."""
        return {key: value for key, value in self.parameters.items() if key not in self.locations}


def version_of(registered: Registered, plugin: Plugin) -> str:
    """What a plug-in says of what it reads; UserError where that is not at hand, NoAnswer where its code fails."""
    told = ask(lambda: contract.check_version(plugin.version()), apart=registered.apart)
    if isinstance(told, NoAnswer):
        raise told.mistake or NoAnswer(f"its version() {told.says}", told.traceback, raised=False)
    return told


@dataclass(frozen=True)
class Compute:
    """Where the arithmetic runs, so far as it changes results."""

    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class DataRef:
    """A loaded data set: the fingerprint that identifies it, and the digests of its tables."""

    fingerprint: str
    artefacts: Mapping[str, str]
    ranking: str = ""  # digest of the queries, where it has some
    apart: str = ""  # by what its splits differ beyond chance


@dataclass(frozen=True)
class PoolRef:
    """A pool: the fingerprint of its rows, the digest under which they are stored, and who made it."""

    fingerprint: str
    digest: str
    generator: str  # for people


@dataclass(frozen=True)
class DataJob:
    """Load, encode, fingerprint."""

    plugin: PluginCall
    version: str
    seed: int
    train_share: float = 1.0  # of train's rows, which are all that is seen

    def identity(self) -> list[Json]:
        """What changes the result."""
        share = [self.train_share] if self.train_share < 1 else []
        return ["data", self.plugin.identity(), self.version, self.seed, *share]


@dataclass(frozen=True)
class PoolJob:
    """Fit a generator on real train, sample the pool."""

    plugin: PluginCall
    data: DataRef
    seed: int
    compute: Compute
    shares: tuple[float, float]  # of real train's negatives and positives, that the pool should hold

    def identity(self) -> list[Json]:
        """What changes the result."""
        return ["pool", self.plugin.identity(), self.data.fingerprint, self.seed, vars(self.compute), self.shares]


@dataclass(frozen=True)
class TrainJob:
    """Compose a training table, fit a model, predict valid and test."""

    plugin: PluginCall
    data: DataRef
    pool: PoolRef | None
    scenario: Scenario
    draw_seed: int
    model_seed: int
    compute: Compute

    def identity(self) -> list[Json]:
        """What changes the result; a scenario counts by the table it makes, not by its name."""
        scenario = self.scenario.recipe
        return [
            "train",
            self.plugin.identity(),
            self.data.fingerprint,
            self.pool.fingerprint if self.pool else None,
            scenario.identity,
            self.draw_seed if self.pool or scenario != Scenario("") else None,
            self.model_seed,
            vars(self.compute),
            *filter(None, [self.data.ranking]),
            *filter(None, [self.plugin.whole_source if scenario.pretrains else ""]),
        ]


@dataclass(frozen=True)
class ScorePredictionsJob:
    """A metric on a trained model's predictions for the real test split."""

    plugin: PluginCall
    data: DataRef
    predictions: str  # for the rows of test
    valid_predictions: str
    train_click_rate: float
    rankings: str = ""  # for the queries, where the data set has some

    def identity(self) -> list[Json]:
        """What changes the result."""
        read: list[Json] = [self.predictions, self.valid_predictions, self.train_click_rate]
        read += filter(None, [self.data.ranking, self.rankings])
        return ["score", self.plugin.identity(), self.data.fingerprint, *read]


@dataclass(frozen=True)
class ScorePoolJob:
    """A metric on as many rows of a pool as real train has, drawn from all that scenarios draw from."""

    plugin: PluginCall
    data: DataRef
    pool: PoolRef
    seed: int

    def identity(self) -> list[Json]:
        """What changes the result."""
        read: list[Json] = [self.pool.fingerprint, self.seed, *filter(None, [self.data.apart])]
        return ["score", self.plugin.identity(), self.data.fingerprint, *read, "of all rows"]


Job = DataJob | PoolJob | TrainJob | ScorePredictionsJob | ScorePoolJob


def key(job: Job) -> str:
    """The job's cache key."""
    return digests.digest([digests.RESULTS_REVISION, *job.identity()])


def reads(job: Job) -> set[str]:
    """The digests of the artefacts that doing the job needs."""
    match job:
        case DataJob():
            return set()
        case PoolJob():
            return _of(job.data, "train")
        case TrainJob():
            pool = {job.pool.digest} if job.pool else set()
            return _of(job.data, "train", "valid", "test", "ranking") | pool
        case ScorePredictionsJob():
            predictions = {job.predictions, job.valid_predictions, job.rankings} - {""}
            return _of(job.data, "train", "valid", "test", "true test", "item clicks") | predictions
        case ScorePoolJob():
            return _of(job.data, "train", "valid", "test") | {job.pool.digest}
        case _:
            assert_never(job)


def _of(data: DataRef, *names: str) -> set[str]:
    return {data.artefacts[name] for name in (*names, "words") if name in data.artefacts}


def inputs(job: Job) -> Inputs:
    """What a result was made from, for people: its seeds, and the fingerprints of its data set and pool."""
    match job:
        case DataJob():
            return Inputs(seed=job.seed)
        case PoolJob():
            return Inputs(seed=job.seed, data=job.data.fingerprint)
        case TrainJob():
            pool = job.pool.fingerprint if job.pool else None
            return Inputs(draw_seed=job.draw_seed, model_seed=job.model_seed, data=job.data.fingerprint, pool=pool)
        case ScorePredictionsJob():
            return Inputs(data=job.data.fingerprint)
        case ScorePoolJob():
            return Inputs(seed=job.seed, data=job.data.fingerprint, pool=job.pool.fingerprint)
        case _:
            assert_never(job)


def ingredients(job: Job) -> dict[str, Json]:
    """What changes the job's result, under names that people know: two of them tell what changed between two runs."""
    found: dict[str, Json] = {"revision": digests.RESULTS_REVISION}
    for field in fields(job):
        match getattr(job, field.name):
            case PluginCall() as call:
                found |= {"source": call.source, "parameters": params.recorded(call.lasting_parameters)}
                found |= {"version": call.version} if call.version else {}
            case DataRef() as read:
                found |= {"data": read.fingerprint, "ranking": read.ranking}
            case PoolRef() as read:
                found[field.name] = read.fingerprint
            case Compute() as compute:
                found |= vars(compute)
            case Scenario() as scenario:
                found[field.name] = scenario.identity
            case value:
                found[field.name] = value
    return found


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
