"""A suite becomes a graph of tasks, each expensive thing once, and the cells that read their results.

In: a suite and the registry. Out: first the tasks that load data sets; then, knowing their schemas, the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ctrbench import keys, params
from ctrbench.choices import Chosen, choose, choose_scenarios
from ctrbench.interfaces import Dataset, Forecast, Generator, Model, Score, SyntheticMetric
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
)
from ctrbench.limits import NO_LIMITS, Limits
from ctrbench.results import CellResult, PoolResult, TaskResult
from ctrbench.scenarios import Scenario
from ctrbench.table import Schema

if TYPE_CHECKING:
    from ctrbench.registry import Registry
    from ctrbench.suite import Suite

TaskKind = Literal["data", "pool", "train", "score"]
Results = Mapping[str, TaskResult]

TOP_UP_SHARE = 0.5
"""The share of real train's positives and negatives that every pool tries to hold: what S1 to S4 draw at most."""


@dataclass(frozen=True)
class Task:
    """A node of the graph: its job is known once the results of the tasks before it are."""

    id: str
    kind: TaskKind
    plugin: str  # for people: "ctgan (ctrbench 0.1.0)"
    job: Callable[[Results], Job]
    after: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    label: str = ""  # the plug-in as the user chose it
    alike: str = ""  # tasks of which one's cost foretells another's: the same plug-in and data, but for the budget
    effort: float = 1.0  # to which the time of its fit is in proportion
    forecast: Forecast | None = None


@dataclass(frozen=True)
class Cell:
    """A row of results: which training it reads."""

    dataset: str
    generator: str  # "" where the scenario uses no pool
    scenario: str
    model: str
    repeat: int
    train: str
    model_seed: int = 0  # which of a repeat's model seeds


@dataclass(frozen=True)
class Pool:
    """A pool of the grid, and the generator with which it shares its rows where their fits are the same."""

    dataset: str
    generator: str
    repeat: int
    task: str
    maker: str  # the name of the generator that does the work, for seeds
    same_as: str = ""


@dataclass
class Plan:
    """The graph of a run, and what its results mean."""

    tasks: dict[str, Task] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    prediction_metrics: list[Chosen] = field(default_factory=list)
    synthetic_metrics: list[Chosen] = field(default_factory=list)

    def add(self, task: Task) -> str:
        """Take a task into the graph, once; its id."""
        self.tasks.setdefault(task.id, task)
        return task.id


def score_id(metric: str, subject: str) -> str:
    """The id of the task that scores a training or a pool."""
    return f"score/{metric}/{subject}"


def cell_result(cell: Cell, metrics: Iterable[str], result_of: Callable[[str], TaskResult]) -> CellResult:
    """A cell with what came of its training, or of the task that this waited for, and of its scores."""
    scores, failed = _scores(metrics, cell.train, result_of)
    result = result_of(cell.train)
    outputs = {metric: result_of(score_id(metric, cell.train)).outputs for metric in scores}
    parts = {metric: found["contributions"] for metric, found in outputs.items() if "contributions" in found}
    return CellResult(
        cell.dataset, cell.generator, cell.scenario, cell.model, cell.repeat,
        result, scores, failed, cell.train, cell.model_seed, parts,
    )  # fmt: skip


def pool_result(pool: Pool, metrics: Iterable[str], result_of: Callable[[str], TaskResult]) -> PoolResult:
    """A pool with what came of it and of its scores."""
    scores, failed = _scores(metrics, pool.task, result_of)
    result = result_of(pool.task)
    return PoolResult(pool.dataset, pool.generator, pool.repeat, result, pool.same_as, scores, failed)


def _scores(
    metrics: Iterable[str], subject: str, result_of: Callable[[str], TaskResult]
) -> tuple[dict[str, Score], dict[str, TaskResult]]:
    results = {metric: result_of(score_id(metric, subject)) for metric in metrics}
    good = {metric: _score(result.values) for metric, result in results.items() if result.ok}
    return good, {metric: result for metric, result in results.items() if not result.ok}


def _score(values: Mapping[str, Any]) -> Score:
    return Score(values["value"], values["baseline"], values["details"], values.get("flagged"))


def data_task(dataset: Chosen, suite: Suite, limits: Limits) -> Task:
    """The task that loads a data set."""
    plugin: Dataset = dataset.plugin
    rows = suite.seed if suite.data_seed is None else suite.data_seed
    seed = keys.seed(rows, "data", dataset.registered.name)
    return Task(
        f"data/{dataset.label}",
        "data",
        str(dataset.registered),
        lambda results: DataJob(dataset.call, plugin.version(), seed),
        limits=limits.over(suite.settings(dataset.registered.name).limits),
        label=dataset.label,
        alike=_alike("data", dataset),
    )


def grid(
    suite: Suite,
    registry: Registry,
    datasets: Mapping[str, tuple[Chosen, TaskResult]],
    compute: Compute,
    limits: Limits,
) -> Plan:
    """The tasks and cells of a suite on loaded data sets; `datasets` maps a data task's id to its choice and result."""
    plan = Plan()
    scenarios = choose_scenarios(suite, registry)
    for metric in choose(suite, registry, "metric"):
        synthetic = isinstance(metric.plugin, SyntheticMetric)
        (plan.synthetic_metrics if synthetic else plan.prediction_metrics).append(metric)
    for data_id, (dataset, loaded) in datasets.items():
        on = suite.settings(dataset.registered.name)
        corner = _Corner(plan, suite, dataset, data_id, loaded, compute, limits.over(on.limits))
        generators = choose(suite, registry, "generator", on)
        models = choose(suite, registry, "model", on)
        for repeat in range(suite.repeats):
            corner.fill(generators, models, scenarios, repeat)
    return plan


@dataclass(frozen=True)
class _Corner:
    """The part of the grid that belongs to one data set."""

    plan: Plan
    suite: Suite
    dataset: Chosen
    data_id: str
    loaded: TaskResult
    compute: Compute
    limits: Limits

    def fill(self, generators: list[Chosen], models: list[Chosen], scenarios: list[Scenario], repeat: int) -> None:
        """Add the pools, trainings, scores and cells of one repeat."""
        pools = [self.pool(generator, scenarios, repeat) for generator in generators]
        for scenario in scenarios:
            for pool in pools if scenario.needs_pool else [None]:
                for model in models:
                    for model_seed in range(self.suite.model_seeds):
                        self.cell(pool, scenario, model, repeat, model_seed)

    def pool(self, generator: Chosen, scenarios: list[Scenario], repeat: int) -> Pool:
        """A pool and its scores; one that is the same as another's shares its task."""
        plugin: Generator = generator.plugin
        maker = _equivalent(plugin, self.schema)
        call = PluginCall.of(generator.registered, maker)
        same_as = maker.name if maker is not plugin else ""
        place = f"pool/{self.dataset.label}/{keys.digest(call.identity())[:12]}/{repeat}"
        first = next((p for p in self.plan.pools if p.task.startswith(place)), None)
        if first is not None:
            shared = Pool(self.dataset.label, generator.label, repeat, first.task, maker.name, same_as)
            self.plan.pools.append(shared)
            return shared
        seed = keys.seed(self.suite.seed, "pool", self.dataset.registered.name, maker.name, repeat)
        job = PoolJob(call, self.data, seed, self.compute, _shares(scenarios))
        cost = _forecast(maker, self.schema, self.train_rows)
        task = self.add(f"{place}/{generator.label}", "pool", generator, lambda results: job, (), cost)
        pool = Pool(self.dataset.label, generator.label, repeat, task, maker.name, same_as)
        self.plan.pools.append(pool)
        metric_seed = keys.seed(self.suite.seed, "metric", self.dataset.registered.name, maker.name, repeat)
        for metric in self.plan.synthetic_metrics:
            self.score_pool(metric, task, metric_seed)
        return pool

    def cell(self, pool: Pool | None, scenario: Scenario, model: Chosen, repeat: int, model_seed: int) -> None:
        """A cell, its training and scores."""
        source = pool.task if pool else "none"
        nested = f".{model_seed}" if model_seed else ""
        name = f"train/{self.dataset.label}/{scenario.name}/{model.label}/{repeat}{nested}/{source}"
        generator = pool.generator if pool else ""
        cell = Cell(self.dataset.label, generator, scenario.name, model.label, repeat, name, model_seed)
        self.plan.cells.append(cell)
        if name in self.plan.tasks:
            return
        names = (self.dataset.registered.name, repeat)
        draw = keys.seed(self.suite.seed, "draw", *names, pool.maker if pool else "")
        own: list[str | int] = [scenario.name] if scenario.model_seeds == "other" else []
        own += [model_seed] if model_seed else []  # the first is that of a run with one
        seed = keys.seed(self.suite.seed, "model", *names, model.registered.name, *own)
        call = model.call

        def job(results: Results) -> Job:
            reference = _pool_ref(results[pool.task]) if pool else None
            return TrainJob(call, self.data, reference, scenario, draw, seed, self.compute)

        rows = round(self.train_rows * scenario.size(self.loaded.values["click_rate"]["train"]))
        self.add(name, "train", model, job, (pool.task,) if pool else (), _forecast(model.plugin, self.schema, rows))
        for metric in self.plan.prediction_metrics:
            self.score_predictions(metric, scenario, name)

    def score_pool(self, metric: Chosen, subject: str, seed: int) -> None:
        call = metric.call

        def job(results: Results) -> Job:
            return ScorePoolJob(call, self.data, _pool_ref(results[subject]), seed)

        self.add(score_id(metric.label, subject), "score", metric, job, (subject,))

    def score_predictions(self, metric: Chosen, scenario: Scenario, subject: str) -> None:
        call = metric.call

        def job(results: Results) -> Job:
            training = results[subject]
            read = training.outputs
            rate = scenario.seen_click_rate(training.values["click_rate"])
            rankings = read.get("rankings", "")
            return ScorePredictionsJob(call, self.data, read["test"], read["valid"], rate, rankings)

        self.add(score_id(metric.label, subject), "score", metric, job, (subject,))

    def add(
        self,
        name: str,
        kind: TaskKind,
        chosen: Chosen,
        job: Callable[[Results], Job],
        after: tuple[str, ...],
        forecast: Forecast | None = None,
    ) -> str:
        alike, effort = _alike(kind, chosen, self.data.fingerprint, vars(self.compute)), params.effort(chosen.plugin)
        return self.plan.add(
            Task(name, kind, str(chosen.registered), job, after, self.limits, chosen.label, alike, effort, forecast)
        )

    @cached_property
    def schema(self) -> Schema:
        return Schema.from_json(self.loaded.values["schema"])

    @property
    def train_rows(self) -> int:
        rows: int = self.loaded.values["rows"]["train"]
        return rows

    @property
    def data(self) -> DataRef:
        values = self.loaded.values
        return DataRef(values["fingerprint"], self.loaded.outputs, values.get("ranking", ""), values.get("apart", ""))


def _equivalent(plugin: Generator, schema: Schema) -> Generator:
    try:
        other: object = plugin.equivalent(schema)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a third party's, which may even call sys.exit; should it matter, its fit will tell
        return plugin
    return other if isinstance(other, Generator) else plugin


def _forecast(plugin: Generator | Model, schema: Schema, rows: int) -> Forecast | None:
    try:
        told: object = plugin.forecast(schema, rows)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a third party's, which may even call sys.exit; a forecast is no reason to stop
        return None
    return told if isinstance(told, Forecast) else None


def _alike(kind: TaskKind, chosen: Chosen, *more: Any) -> str:
    who = replace(chosen.call, parameters=params.unbudgeted(chosen.plugin))
    return keys.digest([kind, who.identity(), *more])[:16]


def _pool_ref(made: TaskResult) -> PoolRef:
    return PoolRef(made.values["fingerprint"], made.outputs["pool"], made.plugin)


def _shares(scenarios: list[Scenario]) -> tuple[float, float]:
    """The shares of real negatives and positives that a pool should hold; equal for all usual lists of scenarios."""
    drawn = [s.synthetic for s in scenarios if s.synthetic != "pool"]
    return (
        max([TOP_UP_SHARE, *(shares.negatives for shares in drawn)]),
        max([TOP_UP_SHARE, *(shares.positives for shares in drawn)]),
    )
