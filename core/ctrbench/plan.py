"""A suite becomes a graph of tasks, each expensive thing once, and the cells that read their results.

In: a suite and the registry. Out: first the tasks that load data sets; then, knowing their schemas, the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from ctrbench import contract, digests, params
from ctrbench.asking import NoAnswer, ask
from ctrbench.choices import Chosen, choose, choose_scenarios
from ctrbench.ids import DataId, PoolId, ScoreId, TaskId, TaskKind, TrainId
from ctrbench.interfaces import (
    Dataset,
    Forecast,
    Generator,
    MethodRole,
    Model,
    Plugin,
    PredictionMetric,
    SyntheticMetric,
)
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
    key,
    version_of,
)
from ctrbench.limits import NO_LIMITS, Limits
from ctrbench.results import Cell, DataOutput, Pool, PoolOutput, Stage, Status, TaskResult, TrainOutput
from ctrbench.scenarios import Scenario
from ctrbench.store.artefacts import Artefacts
from ctrbench.table import Schema

if TYPE_CHECKING:
    from ctrbench.registry import Registry
    from ctrbench.suite import Suite

P = TypeVar("P", bound=Plugin)

TaskResults = Mapping[str, TaskResult]
"""What came of tasks, by their names."""

TOP_UP_SHARE = 0.5
"""The share of real train's positives and negatives that every pool tries to hold: what S1 to S4 draw at most."""


@dataclass(frozen=True)
class Task:
    """A node of the graph: its job is known once the results of the tasks before it are."""

    id: TaskId
    plugin: str  # for people: "ctgan (ctrbench 0.1.0)"
    job: Callable[[TaskResults], Job]
    after: tuple[str, ...] = ()  # the names of the tasks before it
    limits: Limits = NO_LIMITS
    label: str = ""  # the plug-in as the user chose it
    cost_key: str = ""  # equal for tasks of which one's cost foretells another's: plug-in and data, but for the budget
    effort: float = 1.0  # to which the time of its fit is in proportion
    forecast: Forecast | None = None
    widest: tuple[str, int] = ("", 0)  # the field of most values, and how many, of the log that it learns

    @cached_property
    def name(self) -> str:
        """What it is called in the store and in messages."""
        return str(self.id)

    @property
    def kind(self) -> TaskKind:
        """What it does."""
        return self.id.kind

    def keyed(self, results: TaskResults) -> tuple[Job, str] | TaskResult:
        """Its job and that job's key; a failure if the plug-in cannot say what it reads, UserError for a mistake."""
        asked = ask(lambda: self._keyed(results))
        if not isinstance(asked, NoAnswer):
            return asked
        if asked.mistake:
            raise asked.mistake
        return TaskResult(Status.FAILED, self.plugin, Stage.PLAN, asked.error, asked.traceback)

    def _keyed(self, results: TaskResults) -> tuple[Job, str]:
        job = self.job(results)
        if job.plugin.unsaid:
            raise NoAnswer(job.plugin.unsaid, raised=False)
        return job, key(job)


@dataclass
class Plan:
    """The graph of a run, and what its results mean."""

    tasks: dict[str, Task] = field(default_factory=dict)  # by name
    cells: list[Cell] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    prediction_metrics: list[Chosen[PredictionMetric]] = field(default_factory=list)
    synthetic_metrics: list[Chosen[SyntheticMetric]] = field(default_factory=list)
    roles: dict[str, MethodRole] = field(default_factory=dict)  # generator's label → what it is there for

    def add(self, task: Task) -> None:
        """Take a task into the graph, once."""
        self.tasks.setdefault(task.name, task)


def data_task(dataset: Chosen[Dataset], suite: Suite, limits: Limits) -> Task:
    """The task that loads a data set."""
    rows = suite.seed if suite.data_seed is None else suite.data_seed
    seed = digests.data_seed(rows, dataset.registered.name)

    def job(results: TaskResults) -> Job:
        return DataJob(dataset.call, version_of(dataset.registered, dataset.plugin), seed, dataset.train_share)

    return Task(
        DataId(dataset.label),
        str(dataset.registered),
        job,
        limits=limits.over(suite.settings(dataset.registered.name).limits),
        label=dataset.label,
        cost_key=_cost_key(TaskKind.DATA, dataset),
    )


def grid(
    suite: Suite,
    registry: Registry,
    datasets: Sequence[tuple[Chosen[Dataset], TaskResult]],
    compute: Compute,
    limits: Limits,
    artefacts: Artefacts | None = None,
) -> Plan:
    """The tasks and cells of a suite on loaded data sets; the artefacts are for who asks a schema for its words."""
    plan = Plan()
    scenarios = choose_scenarios(suite, registry)
    for metric in choose(suite, registry, "metric"):
        if isinstance(metric.plugin, SyntheticMetric):
            plan.synthetic_metrics.append(cast("Chosen[SyntheticMetric]", metric))
        else:
            plan.prediction_metrics.append(cast("Chosen[PredictionMetric]", metric))
    for dataset, loaded in datasets:
        settings = suite.settings(dataset.registered.name)
        part = _DatasetGrid(plan, suite, dataset, loaded, compute, limits.over(settings.limits), artefacts)
        generators = choose(suite, registry, "generator", settings)
        plan.roles |= {generator.label: generator.plugin.role for generator in generators}
        models = choose(suite, registry, "model", settings)
        for repeat in range(suite.repeats):
            part.fill(generators, models, scenarios, repeat)
    return plan


@dataclass(frozen=True)
class _DatasetGrid:
    """The part of the grid that belongs to one data set."""

    plan: Plan
    suite: Suite
    dataset: Chosen[Dataset]
    loaded: TaskResult
    compute: Compute
    limits: Limits
    artefacts: Artefacts | None
    made: dict[tuple[str, int], PoolId] = field(default_factory=dict)  # call and repeat → who makes it
    makers: dict[str, _Maker] = field(default_factory=dict)  # by the generator's label
    forecasts: dict[tuple[str, int], Forecast | None] = field(default_factory=dict)  # by the model's label and rows

    def fill(
        self,
        generators: Sequence[Chosen[Generator]],
        models: Sequence[Chosen[Model]],
        scenarios: Sequence[Scenario],
        repeat: int,
    ) -> None:
        """Add the pools, trainings, scores and cells of one repeat."""
        pools = [self.pool(generator, scenarios, repeat) for generator in generators]
        for scenario in scenarios:
            for pool in pools if scenario.needs_pool else [None]:
                for model in models:
                    for model_seed in range(self.suite.model_seeds):
                        self.cell(pool, scenario, model, repeat, model_seed)

    def pool(self, generator: Chosen[Generator], scenarios: Sequence[Scenario], repeat: int) -> tuple[str, PoolId, str]:
        """A generator's label, its pool, and its maker's name; a pool that is the same as another's shares its task."""
        if generator.label not in self.makers:
            self.makers[generator.label] = _maker(generator, self.schema, self.rows)
        maker = self.makers[generator.label]
        name = maker.call.name
        what = digests.digest(maker.call.identity())[:12]
        place = PoolId(self.dataset.label, what, repeat, generator.label)
        shared = self.made.setdefault((what, repeat), place)
        same_as = name if maker.is_another else ""
        self.plan.pools.append(Pool(self.dataset.label, generator.label, repeat, str(shared), name, same_as))
        if shared is place:
            names = (self.dataset.registered.name, name, repeat)
            seed = digests.seed(self.suite.seed, "pool", *names)
            job = PoolJob(maker.call, self.data, seed, self.compute, _shares(scenarios))
            self.add(place, generator, lambda results: job, (), maker.forecast)
            for metric in self.plan.synthetic_metrics:
                self.score_pool(metric, place, digests.seed(self.suite.seed, "metric", *names))
        return generator.label, shared, name

    def cell(
        self,
        pool: tuple[str, PoolId, str] | None,
        scenario: Scenario,
        model: Chosen[Model],
        repeat: int,
        model_seed: int,
    ) -> None:
        """A cell, its training and scores."""
        generator, source, maker = pool or ("", None, "")
        place = TrainId(self.dataset.label, scenario.name, model.label, repeat, model_seed, source)
        train = str(place)
        self.plan.cells.append(
            Cell(self.dataset.label, generator, scenario.name, model.label, repeat, train, model_seed)
        )
        if train in self.plan.tasks:
            return
        names = (self.dataset.registered.name, repeat)
        draw = digests.seed(self.suite.seed, "draw", *names, maker)
        own: list[str | int] = [scenario.name] if scenario.model_seeds == "other" else []
        own += [model_seed] if model_seed else []  # the first is that of a run with one
        seed = digests.seed(self.suite.seed, "model", *names, model.registered.name, *own)
        call = model.call

        def job(results: TaskResults) -> Job:
            reference = _pool_ref(results[str(source)]) if source else None
            return TrainJob(call, self.data, reference, scenario, draw, seed, self.compute)

        rows = round(self.rows * (scenario.size(self.output.click_rate["train"]) + scenario.curates))
        after = (str(source),) if source else ()
        if (model.label, rows) not in self.forecasts:
            self.forecasts[model.label, rows] = _forecast(model, lambda plugin: plugin.forecast(self.schema, rows))
        self.add(place, model, job, after, self.forecasts[model.label, rows])
        for metric in self.plan.prediction_metrics:
            self.score_predictions(metric, scenario, place)

    def score_pool(self, metric: Chosen[SyntheticMetric], pool: PoolId, seed: int) -> None:
        call, subject = metric.call, str(pool)

        def job(results: TaskResults) -> Job:
            return ScorePoolJob(call, self.data, _pool_ref(results[subject]), seed)

        self.add(ScoreId(metric.label, pool), metric, job, (subject,))

    def score_predictions(self, metric: Chosen[PredictionMetric], scenario: Scenario, training: TrainId) -> None:
        call, subject = metric.call, str(training)

        def job(results: TaskResults) -> Job:
            trained = results[subject]
            read = trained.artefacts
            rate = scenario.seen_click_rate(trained.output_as(TrainOutput).click_rate)
            return ScorePredictionsJob(call, self.data, read["test"], read["valid"], rate, read.get("rankings", ""))

        self.add(ScoreId(metric.label, training), metric, job, (subject,))

    def add(
        self,
        place: TaskId,
        chosen: Chosen[Plugin],
        job: Callable[[TaskResults], Job],
        after: tuple[str, ...],
        forecast: Forecast | None = None,
    ) -> None:
        cost_key = _cost_key(place.kind, chosen, self.data.fingerprint, vars(self.compute))
        effort = params.effort(chosen.plugin)
        more = (chosen.label, cost_key, effort, forecast, self.widest)
        self.plan.add(Task(place, str(chosen.registered), job, after, self.limits, *more))

    @cached_property
    def output(self) -> DataOutput:
        return self.loaded.output_as(DataOutput)

    @cached_property
    def schema(self) -> Schema:
        digest = self.loaded.artefacts.get("words", "")
        return Schema.from_json(self.output.schema, self.artefacts.words(digest) if self.artefacts else None)

    @cached_property
    def widest(self) -> tuple[str, int]:
        """The field of most values, and how many."""
        sizes = [(field.vocab_size - 1, field.name) for field in self.schema.categorical]
        return max(sizes)[::-1] if sizes else ("", 0)

    @property
    def rows(self) -> int:
        """Of real train."""
        return self.output.rows["train"]

    @cached_property
    def data(self) -> DataRef:
        output = self.output
        return DataRef(output.fingerprint, self.loaded.artefacts, output.ranking, output.apart)


@dataclass(frozen=True)
class _Maker:
    """Who makes a generator's rows on a schema: the generator itself, or another one that makes the same."""

    call: PluginCall
    is_another: bool
    forecast: Forecast | None


def _maker(generator: Chosen[Generator], schema: Schema, rows: int) -> _Maker:
    """The generator itself where it cannot tell: should it matter, its fit will."""

    def equivalent(plugin: Generator) -> Generator:
        other: object = plugin.equivalent(schema)
        return other if isinstance(other, Generator) else plugin

    def other_call(plugin: Generator) -> PluginCall | None:
        other = equivalent(plugin)
        return None if other is plugin else PluginCall.of(generator.registered, other)

    other = generator.ask(other_call)
    forecast = _forecast(generator, lambda plugin: equivalent(plugin).forecast(schema, rows))
    if isinstance(other, PluginCall):
        return _Maker(other, True, forecast)
    return _Maker(generator.call, False, forecast)


def _forecast(chosen: Chosen[P], question: Callable[[P], object]) -> Forecast | None:
    """What a task will cost; None where its plug-in cannot tell, which is no reason to stop."""
    told = chosen.ask(lambda plugin: contract.check_forecast(question(plugin)))
    return None if isinstance(told, NoAnswer) else told


def _cost_key(kind: TaskKind, chosen: Chosen[Plugin], *more: object) -> str:
    who = replace(chosen.call, parameters=params.unbudgeted(chosen.plugin), source="")  # an update costs about as much
    return digests.digest([kind, who.identity(), *more])[:16]


def _pool_ref(made: TaskResult) -> PoolRef:
    return PoolRef(made.output_as(PoolOutput).fingerprint, made.artefacts["pool"], made.plugin)


def _shares(scenarios: Sequence[Scenario]) -> tuple[float, float]:
    """The shares of real negatives and positives that a pool should hold; equal for all usual lists of scenarios."""
    drawn = [scenario.drawn for scenario in scenarios]
    return (
        max([TOP_UP_SHARE, *(shares.negatives for shares in drawn)]),
        max([TOP_UP_SHARE, *(shares.positives for shares in drawn)]),
    )
