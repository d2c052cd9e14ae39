"""The graph of a run: each expensive thing once, seeds that pair what is compared, jobs that read what came before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from ctrbench import digests
from ctrbench.choices import choose_datasets
from ctrbench.ids import TaskKind
from ctrbench.jobs import Compute, PoolJob, ScorePoolJob, ScorePredictionsJob, TrainJob
from ctrbench.limits import NO_LIMITS, Limits
from ctrbench.plan import Plan, data_task, grid
from ctrbench.registry import Registry
from ctrbench.results import DataOutput, PoolOutput, Stage, Status, TaskResult, TrainOutput
from ctrbench.scenarios import ClassShares, Scenario
from ctrbench.suite import DatasetSettings, Suite
from toys import SCHEMA

SUITE = Suite(
    "s", "", ("toy_log",), ("bootstrap", "negatives"), ("rate", "nan_model"), ("hits", "same"), ("S1", "S3"), repeats=2
)
LOADED = TaskResult(
    Status.OK,
    "toy_log (toys)",
    output=DataOutput("fingerprint", SCHEMA.to_json(), {"train": 200}, {"train": 0.25}),
    artefacts={name: f"digest of {name}" for name in ("train", "valid", "test")},
)
POOL = TaskResult(Status.OK, "toy (d 1)", output=PoolOutput("rows", 200, 0, 0.25), artefacts={"pool": "digest of pool"})
TRAINED = TaskResult(
    Status.OK, "rate", output=TrainOutput(210, 0.3), artefacts={"valid": "digest of v", "test": "digest of t"}
)


def planned(registry: Registry, limits: Limits = NO_LIMITS, **changes: Any) -> Plan:
    suite = replace(SUITE, **changes)
    datasets, _ = choose_datasets(suite, registry, may_download=False)
    return grid(suite, registry, [(dataset, LOADED) for dataset in datasets], Compute(), limits)


def jobs(plan: Plan) -> dict[str, Any]:
    """The job of every task, on results as they would be."""
    results = {name: POOL if task.kind is TaskKind.POOL else TRAINED for name, task in plan.tasks.items()}
    return {name: task.job(results) for name, task in plan.tasks.items()}


def trainings(plan: Plan) -> list[TrainJob]:
    return [job for job in jobs(plan).values() if isinstance(job, TrainJob)]


def test_each_expensive_thing_is_done_once(toy_registry: Registry) -> None:
    plan = planned(toy_registry)
    counts = Counter(task.kind for task in plan.tasks.values())
    # Two repeats: two pools; and two models on `original`, and on two scenarios of two pools.
    assert counts == {TaskKind.POOL: 4, TaskKind.TRAIN: 2 * (2 + 8), TaskKind.SCORE: 4 + 20}
    assert len(plan.cells) == 20
    assert len(plan.pools) == 4
    assert {cell.train for cell in plan.cells} == {n for n, t in plan.tasks.items() if t.kind is TaskKind.TRAIN}


def test_every_task_comes_after_what_it_reads(toy_registry: Registry) -> None:
    plan = planned(toy_registry)
    seen: set[str] = set()
    for name, task in plan.tasks.items():
        assert set(task.after) <= seen
        seen.add(name)
    for name, job in jobs(plan).items():
        pools = [before for before in plan.tasks[name].after if before.startswith("pool/")]
        if isinstance(job, TrainJob):
            assert (job.pool is not None) == bool(pools) == job.scenario.needs_pool
            assert job.pool is None or (job.pool.fingerprint, job.pool.digest) == ("rows", "digest of pool")
        if isinstance(job, ScorePredictionsJob):
            assert (job.predictions, job.valid_predictions) == ("digest of t", "digest of v")
            assert job.train_click_rate == 0.3
        if isinstance(job, ScorePoolJob):
            assert pools == [*plan.tasks[name].after]


def test_a_model_has_one_seed_in_all_scenarios_and_for_all_generators_of_a_repeat(toy_registry: Registry) -> None:
    seeds: dict[tuple[str, int], set[int]] = {}
    plan = planned(toy_registry)
    for cell in plan.cells:
        job = jobs(plan)[cell.train]
        seeds.setdefault((cell.model, cell.repeat), set()).add(job.model_seed)
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == 4, "another model and another repeat have others"


def test_rows_are_drawn_alike_in_all_scenarios_of_a_pool_so_that_s1_is_a_part_of_s2(toy_registry: Registry) -> None:
    plan = planned(toy_registry, scenarios=("S1", "S2"), generators=("bootstrap",), repeats=1)
    assert len({job.draw_seed for job in trainings(plan) if job.pool}) == 1


def test_the_first_model_seed_is_that_of_a_run_with_one(toy_registry: Registry) -> None:
    one, three = planned(toy_registry), planned(toy_registry, model_seeds=3)
    assert {job.model_seed for job in trainings(one)} < {job.model_seed for job in trainings(three)}
    assert one.tasks.keys() < three.tasks.keys()


def test_more_repeats_and_another_list_of_methods_leave_the_tasks_that_were_there(toy_registry: Registry) -> None:
    small = jobs(planned(toy_registry, generators=("negatives",), models=("rate",)))
    large = jobs(planned(toy_registry, generators=("negatives", "bootstrap"), repeats=3, scenarios=("all",)))
    assert all(large[name] == job for name, job in small.items())


def test_equivalent_generators_share_their_pool(toy_registry: Registry) -> None:
    plan = planned(toy_registry, generators=("bootstrap", "twin"), repeats=1)
    assert [(pool.generator, pool.maker, pool.same_as) for pool in plan.pools] == [
        ("bootstrap", "bootstrap", ""),
        ("twin", "bootstrap", "bootstrap"),
    ]
    assert len({pool.task for pool in plan.pools}) == 1
    found = {(cell.generator, cell.scenario, cell.model): cell.train for cell in plan.cells}
    assert found["twin", "S1", "rate"] == found["bootstrap", "S1", "rate"]


def test_pools_hold_what_the_scenarios_draw(toy_registry: Registry) -> None:
    def shares(*scenarios: str) -> set[tuple[float, float]]:
        greedy = Scenario("greedy", synthetic=ClassShares(positives=2, negatives=0.1))
        plan = planned(toy_registry, scenarios=scenarios, own_scenarios=(greedy,))
        return {job.shares for job in jobs(plan).values() if isinstance(job, PoolJob)}

    assert shares("S1", "S5") == shares("S1", "S2", "S3", "S4") == {(0.5, 0.5)}
    assert shares("S1", "greedy") == {(0.5, 2)}


def test_limits_of_a_run_go_before_those_of_a_suites_data_set(toy_registry: Registry) -> None:
    on = {"toy_log": DatasetSettings(Limits(60, {Stage.FIT: 5}))}
    plan = planned(toy_registry, Limits(30), on=on)
    assert {(task.limits.seconds, task.limits.stages[Stage.FIT]) for task in plan.tasks.values()} == {(30, 5)}


@pytest.mark.parametrize(("data_seed", "same"), [(None, False), (7, True)])
def test_the_rows_of_a_data_set_stay_under_another_seed_only_where_a_suite_says_so(
    toy_registry: Registry, data_seed: int | None, same: bool
) -> None:
    found = []
    for seed in (1, 2):
        suite = replace(SUITE, seed=seed, data_seed=data_seed)
        [dataset], _ = choose_datasets(suite, toy_registry, may_download=False)
        found.append(data_task(dataset, suite, Limits()).job({}))
    assert (found[0] == found[1]) is same


def test_the_cost_of_a_task_foretells_that_of_the_same_plug_in_with_another_budget_or_source(
    toy_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(budget: float, name: str = "bootstrap") -> tuple[str, float]:
        plan = planned(toy_registry, generators=(name,), budget=budget, repeats=1)
        [task] = [task for task in plan.tasks.values() if task.kind is TaskKind.POOL]
        return task.cost_key, task.effort

    assert pool(1.0)[0] == pool(0.5)[0] != pool(1.0, "negatives")[0]
    before = pool(1.0)
    monkeypatch.setattr(digests, "source_digest", lambda module, *, whole=False: f"edited {module}")
    assert pool(1.0) == before
    assert (pool(1.0)[1], pool(0.5)[1]) == (10, 5)
