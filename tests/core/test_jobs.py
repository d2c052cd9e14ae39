"""Jobs: what changes a cache key and what does not, what a job reads, and plug-ins made again from plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, ClassVar

import pytest
from ctrbench import Location
from ctrbench.jobs import (
    Compute,
    DataJob,
    DataRef,
    Job,
    PluginCall,
    PoolJob,
    PoolRef,
    ScorePoolJob,
    ScorePredictionsJob,
    TrainJob,
    ingredients,
    inputs,
    key,
    reads,
)
from ctrbench.registry import Registered, Registry
from ctrbench.scenarios import BUILT_IN, ORIGINAL, Scenario
from toys import Bootstrap

CALL = PluginCall("toy (d 1)", "toy", "toys", "Bootstrap", {"steps": 3}, "source")
FILES = {name: f"digest of {name}" for name in ("train", "valid", "test", "ranking", "true test", "item clicks", "x")}
DATA = DataRef("fingerprint", FILES)
POOL = PoolRef("rows", "digest of pool", "toy (d 1)")
S1 = BUILT_IN[1]
POOL_JOB = PoolJob(CALL, DATA, 7, Compute(), (0.5, 0.5))
TRAINING = TrainJob(CALL, DATA, POOL, S1, 1, 2, Compute())
REAL = TrainJob(CALL, DATA, None, ORIGINAL, 1, 2, Compute())
JOBS: dict[str, tuple[Job, set[str]]] = {
    "data": (DataJob(CALL, "1", 7), set()),
    "pool": (POOL_JOB, {"train"}),
    "train": (TRAINING, {"train", "valid", "test", "ranking", "pool"}),
    "train on real rows": (REAL, {"train", "valid", "test", "ranking"}),
    "score": (
        ScorePredictionsJob(CALL, DATA, "digest of p", "digest of q", 0.5),
        {"train", "valid", "test", "true test", "item clicks", "p", "q"},
    ),
    "score a pool": (ScorePoolJob(CALL, DATA, POOL, 7), {"train", "valid", "test", "pool"}),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_reads_what_its_task_needs_and_no_more(name: str) -> None:
    job, names = JOBS[name]
    assert reads(job) == {f"digest of {each}" for each in names}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_plain_values_with_a_key_of_its_own(name: str) -> None:
    job, _ = JOBS[name]
    assert json.loads(json.dumps(job.identity()))
    assert key(job) not in {key(other) for kind, (other, _) in JOBS.items() if kind != name}
    assert ingredients(job)["source"] == "source"
    assert inputs(job).data == ("fingerprint" if name != "data" else None)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, plugin=replace(CALL, parameters={"steps": 4})),
        lambda job: replace(job, plugin=replace(CALL, source="another")),
        lambda job: replace(job, plugin=replace(CALL, qualname="Twin")),
        lambda job: replace(job, plugin=replace(CALL, version="2")),
        lambda job: replace(job, data=DataRef("another", FILES)),
        lambda job: replace(job, pool=replace(POOL, fingerprint="other rows")),
        lambda job: replace(job, scenario=BUILT_IN[2]),
        lambda job: replace(job, draw_seed=9),
        lambda job: replace(job, model_seed=9),
        lambda job: replace(job, compute=Compute(threads=2)),
        lambda job: replace(job, compute=Compute("cuda")),
    ],
)
def test_what_changes_a_result_changes_the_key_and_is_named_among_its_ingredients(
    change: Callable[[TrainJob], TrainJob],
) -> None:
    changed = change(TRAINING)
    assert key(changed) != key(TRAINING)
    if changed.plugin.qualname == CALL.qualname:  # which is part of the task's name already
        assert ingredients(changed) != ingredients(TRAINING)


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, plugin=replace(CALL, registered="toy (d 2)", cpus=4.0, gpus=0.5)),
        lambda job: replace(job, data=DataRef("fingerprint", dict.fromkeys(FILES, "elsewhere"))),
        lambda job: replace(job, pool=replace(POOL, digest="packed otherwise", generator="another name")),
        lambda job: replace(job, scenario=replace(S1, name="mine", help="the same shares")),
        lambda job: replace(job, plugin=replace(CALL, parameters={"steps": 3, "path": "/a"}, locations=("path",))),
    ],
)
def test_what_only_says_where_things_lie_or_what_they_are_called_does_not(
    change: Callable[[TrainJob], TrainJob],
) -> None:
    assert key(change(TRAINING)) == key(TRAINING)


def test_what_only_a_later_ctrbench_can_do_leaves_all_other_keys_as_they_were() -> None:
    load = DataJob(CALL, "1", 7)
    assert key(load) == key(replace(load, train_share=1.0)) != key(replace(load, train_share=0.5))
    goes_on = replace(CALL, whole_source="with fit_after")
    first = Scenario("first", synthetic="pool", order="synthetic first")
    assert key(replace(TRAINING, plugin=goes_on)) == key(TRAINING)
    assert key(replace(TRAINING, scenario=first, plugin=goes_on)) != key(replace(TRAINING, scenario=first))


def test_the_seed_of_draws_counts_only_where_rows_are_drawn() -> None:
    assert key(replace(REAL, draw_seed=9)) == key(REAL)
    fewer = replace(REAL, scenario=Scenario("fewer", real="balanced"))
    assert key(replace(fewer, draw_seed=9)) != key(fewer)


@dataclass(frozen=True)
class Nested(Bootstrap):
    """Has parameters of every form."""

    name: ClassVar[str] = "nested"
    layers: Annotated[tuple[tuple[int, ...], ...], "sizes"] = ((1, 2), (3,))
    path: Annotated[str, "where rows lie", Location()] = "/here"


class Level(StrEnum):
    HIGH = "high"


@dataclass(frozen=True)
class Odd(Bootstrap):
    """Has parameters that do not come back from JSON."""

    level: Annotated[Level, "a word"] = Level.HIGH
    shares: Annotated[list[float], "numbers"] = field(default_factory=list)
    rate: Annotated[float, "percent"] = math.nan


@dataclass(frozen=True)
class Halving(Bootstrap):
    """Changes what it was given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", self.steps // 2)


def other_of_its_name() -> type[Bootstrap]:
    @dataclass(frozen=True)
    class Nested(Bootstrap):
        """Is not the class that stands under its name."""

    Nested.__qualname__ = "Nested"
    return Nested


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Odd(), "level would be 'high' and not <Level.HIGH"),
        (Odd(level="high"), "shares would be () and not []"),
        (Odd(level="high", shares=()), ""),
        (Halving(steps=8), "steps would be 2 and not 4"),
        (other_of_its_name()(), "test_jobs:Nested is another class"),
    ],
)
def test_what_a_worker_would_make_otherwise_is_not_done(plugin: Bootstrap, said: str) -> None:
    call = PluginCall.of(Registered("generator", "odd", type(plugin), "toys", "1"), plugin)
    assert said in call.unsaid
    assert bool(call.unsaid) == bool(said)


def test_a_call_makes_the_same_plug_in_again_in_any_process(toy_registry: Registry) -> None:
    call = PluginCall.of(toy_registry.get("generator", "bootstrap"), Bootstrap(steps=3))
    assert call.make() == Bootstrap(steps=3)
    assert (call.registered.split()[0], call.name, call.parameters) == ("bootstrap", "bootstrap", {"steps": 3})
    nested = PluginCall.of(
        Registered("generator", "nested", Nested, "toys", "1"), Nested(layers=((4,),), path="/there")
    )
    assert nested.lasting_parameters == {"steps": 10, "layers": [[4]]}
    assert replace(nested, parameters=json.loads(json.dumps(nested.parameters))).make() == Nested(
        layers=((4,),), path="/there"
    )
