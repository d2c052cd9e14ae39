"""A suite becomes a graph of tasks, each expensive thing once, and the cells that read their results.

In: a suite and the registry. Out: first the tasks that load data sets; then, knowing their schemas, the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ctrbench import keys, params
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset, Forecast, Generator, Missing, Model, Ready, Score, SyntheticMetric
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
from ctrbench.registry import KINDS, Kind
from ctrbench.results import CellResult, PoolResult, TaskResult
from ctrbench.scenarios import Scenario
from ctrbench.suite import ALL
from ctrbench.table import Schema
from ctrbench.text import did_you_mean, one_line

if TYPE_CHECKING:
    from ctrbench.registry import Registered, Registry
    from ctrbench.suite import On, Suite

TaskKind = Literal["data", "pool", "train", "score"]
Results = Mapping[str, TaskResult]

TOP_UP_SHARE = 0.5
"""The share of real train's positives and negatives that every pool tries to hold: what S1 to S4 draw at most."""


@dataclass(frozen=True)
class Chosen:
    """A plug-in as it was chosen: its parameters set, and the label under which tables show it."""

    registered: Registered
    plugin: Any
    label: str

    @property
    def call(self) -> PluginCall:
        """How any process makes it."""
        return PluginCall.of(self.registered, self.plugin)


@dataclass(frozen=True)
class Task:
    """A node of the graph: its job is known once the results of the tasks before it are."""

    id: str
    kind: TaskKind
    plugin: str  # for people: "ctgan (ctrbench 0.1.0)"
    job: Callable[[Results], Job]
    after: tuple[str, ...] = ()
    timeout: float | None = None
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
    return CellResult(
        cell.dataset, cell.generator, cell.scenario, cell.model, cell.repeat, result, scores, failed, cell.train
    )


def pool_result(pool: Pool, metrics: Iterable[str], result_of: Callable[[str], TaskResult]) -> PoolResult:
    """A pool with what came of it and of its scores."""
    scores, failed = _scores(metrics, pool.task, result_of)
    result = result_of(pool.task)
    return PoolResult(pool.dataset, pool.generator, pool.repeat, result, pool.same_as, scores, failed)


def _scores(
    metrics: Iterable[str], subject: str, result_of: Callable[[str], TaskResult]
) -> tuple[dict[str, Score], dict[str, TaskResult]]:
    results = {metric: result_of(score_id(metric, subject)) for metric in metrics}
    good = {
        metric: Score(result.values["value"], result.values["baseline"], result.values["details"])
        for metric, result in results.items()
        if result.ok
    }
    return good, {metric: result for metric, result in results.items() if not result.ok}


def choose_datasets(suite: Suite, registry: Registry, *, download: bool) -> tuple[list[Chosen], list[str]]:
    """The data sets of a run, and the reasons why "all" left some out; UserError for one that cannot be loaded."""
    chosen, left_out = [], []
    for found in _choose(suite, registry, "dataset"):
        state = availability(found.plugin)
        if isinstance(state, Missing):
            if not is_named(found, suite):
                left_out.append(f"{found.registered.name}: {state.reason}")
                continue
            if not (state.download and download):
                raise UserError(f"-d {found.registered.name}: {state.reason}")
        chosen.append(found)
    if not chosen:
        raise UserError(f"no data set is ready: {'; '.join(left_out)}")
    names = [found.registered.name for found in chosen]
    return [
        Chosen(found.registered, found.plugin, name if names.count(name) == 1 else found.label)
        for found, name in zip(chosen, names, strict=True)
    ], left_out


def is_named(dataset: Chosen, suite: Suite) -> bool:
    """Whether somebody asked for a data set by its name, rather than for all."""
    return dataset.registered.name in [params.parse(name).name for name in suite.datasets]


def availability(plugin: Dataset) -> Ready | Missing:
    """Whether a data set is at hand; one that cannot even tell is not."""
    try:
        state: object = plugin.availability()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a third party's, which may even call sys.exit
        return Missing(f"its availability() raised {one_line(error)}")
    return state if isinstance(state, Ready | Missing) else Missing(f"its availability() returned {state!r}")


def data_task(dataset: Chosen, suite: Suite, timeout: float | None) -> Task:
    """The task that loads a data set."""
    plugin: Dataset = dataset.plugin
    seed = keys.seed(suite.seed, "data", dataset.registered.name)
    limit = timeout or suite.settings(dataset.registered.name).timeout
    return Task(
        f"data/{dataset.label}",
        "data",
        str(dataset.registered),
        lambda results: DataJob(dataset.call, plugin.version(), seed),
        timeout=limit,
        label=dataset.label,
        alike=_alike("data", dataset),
    )


def grid(
    suite: Suite,
    registry: Registry,
    datasets: Mapping[str, tuple[Chosen, TaskResult]],
    compute: Compute,
    timeout: float | None = None,
) -> Plan:
    """The tasks and cells of a suite on loaded data sets; `datasets` maps a data task's id to its choice and result."""
    plan = Plan()
    scenarios = choose_scenarios(suite, registry)
    for metric in _choose(suite, registry, "metric"):
        synthetic = isinstance(metric.plugin, SyntheticMetric)
        (plan.synthetic_metrics if synthetic else plan.prediction_metrics).append(metric)
    for data_id, (dataset, loaded) in datasets.items():
        on = suite.settings(dataset.registered.name)
        corner = _Corner(plan, suite, dataset, data_id, loaded, compute, timeout or on.timeout)
        generators = _choose(suite, registry, "generator", on)
        models = _choose(suite, registry, "model", on)
        for repeat in range(suite.repeats):
            corner.fill(generators, models, scenarios, repeat)
    return plan


def check_settings(suite: Suite, registry: Registry) -> None:
    """UserError where a suite's settings name a data set or plug-in that is not installed."""
    for dataset, on in suite.on.items():
        registry.get("dataset", dataset, f"suite {suite.name}: on")
        for kinds, by_name in on.parameters.items():
            for name in by_name:
                registry.get(_kind(kinds), name, f"suite {suite.name}: on.{dataset}.{kinds}")


def _kind(kinds: str) -> Kind:
    return next(kind for kind in KINDS if kinds == f"{kind}s")


def imports(suite: Suite, registry: Registry) -> tuple[str, ...]:
    """The heavy modules that the plug-ins of a suite import when they are used."""
    kinds = ("dataset", "generator", "model", "metric")
    chosen = [found for kind in kinds for found in _choose(suite, registry, kind)]
    return tuple(dict.fromkeys(module for found in chosen for module in found.plugin.imports))


def choose_scenarios(suite: Suite, registry: Registry) -> list[Scenario]:
    """The scenarios of a suite, its own among them; `original` always comes first, as all else is compared with it."""
    installed = {entry.name: entry.thing for entry in registry.of_kind("scenario")}
    for scenario in suite.own_scenarios:
        if scenario.name in installed:
            raise UserError(f"suite {suite.name}: the scenario name {scenario.name!r} is taken; choose another")
        installed[scenario.name] = scenario
    names = _expand(suite.scenarios, installed)
    for name in names:
        if name not in installed:
            raise UserError(f"-s: no scenario {name!r}; {did_you_mean(name, installed, 'there are')}")
    return [installed[name] for name in dict.fromkeys(["original", *names])]


@dataclass(frozen=True)
class _Corner:
    """The part of the grid that belongs to one data set."""

    plan: Plan
    suite: Suite
    dataset: Chosen
    data_id: str
    loaded: TaskResult
    compute: Compute
    timeout: float | None

    def fill(self, generators: list[Chosen], models: list[Chosen], scenarios: list[Scenario], repeat: int) -> None:
        """Add the pools, trainings, scores and cells of one repeat."""
        pools = [self.pool(generator, scenarios, repeat) for generator in generators]
        for scenario in scenarios:
            for pool in pools if scenario.needs_pool else [None]:
                for model in models:
                    self.cell(pool, scenario, model, repeat)

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

    def cell(self, pool: Pool | None, scenario: Scenario, model: Chosen, repeat: int) -> None:
        """A cell, its training and scores."""
        source = pool.task if pool else "none"
        name = f"train/{self.dataset.label}/{scenario.name}/{model.label}/{repeat}/{source}"
        generator = pool.generator if pool else ""
        self.plan.cells.append(Cell(self.dataset.label, generator, scenario.name, model.label, repeat, name))
        if name in self.plan.tasks:
            return
        names = (self.dataset.registered.name, repeat)
        draw = keys.seed(self.suite.seed, "draw", *names, pool.maker if pool else "")
        own = [scenario.name] if scenario.model_seeds == "other" else []
        seed = keys.seed(self.suite.seed, "model", *names, model.registered.name, *own)
        call = model.call

        def job(results: Results) -> Job:
            reference = _pool_ref(results[pool.task]) if pool else None
            return TrainJob(call, self.data, reference, scenario, draw, seed, self.compute)

        rows = round(self.train_rows * scenario.size(self.loaded.values["click_rate"]["train"]))
        self.add(name, "train", model, job, (pool.task,) if pool else (), _forecast(model.plugin, self.schema, rows))
        for metric in self.plan.prediction_metrics:
            self.score_predictions(metric, name)

    def score_pool(self, metric: Chosen, subject: str, seed: int) -> None:
        call = metric.call

        def job(results: Results) -> Job:
            return ScorePoolJob(call, self.data, _pool_ref(results[subject]), seed)

        self.add(score_id(metric.label, subject), "score", metric, job, (subject,))

    def score_predictions(self, metric: Chosen, subject: str) -> None:
        call = metric.call

        def job(results: Results) -> Job:
            training = results[subject]
            return ScorePredictionsJob(call, self.data, training.outputs["test"], training.values["click_rate"])

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
            Task(name, kind, str(chosen.registered), job, after, self.timeout, chosen.label, alike, effort, forecast)
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
        return DataRef(self.loaded.values["fingerprint"], self.loaded.outputs)


def _choose(suite: Suite, registry: Registry, kind: Any, on: On | None = None) -> list[Chosen]:
    wanted = _expand(getattr(suite, f"{kind}s"), [registered.name for registered in registry.of_kind(kind)])
    chosen: dict[str, Chosen] = {}
    for text in wanted:
        spec = params.parse(text, _flag(kind))
        registered = registry.get(kind, spec.name, _flag(kind))
        settings = (on or suite.settings(spec.name)).of(kind, spec.name)
        plugin = params.build(registered.plugin, str(registered), settings, spec.values)
        label = params.label(plugin, spec.values)
        chosen[label] = Chosen(registered, params.scaled(plugin, suite.budget), label)
    return list(chosen.values())


def _expand(names: tuple[str, ...], installed: Iterable[str]) -> list[str]:
    """The names given, with "all" replaced by those of the installed ones that are not among them."""
    named = [params.parse(name).name for name in names if name != ALL]
    others = [name for name in installed if name not in named]
    return [name for given in names for name in (others if given == ALL else [given])]


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


def _flag(kind: str) -> str:
    return "-k" if kind == "metric" else f"-{kind[0]}"


def _pool_ref(made: TaskResult) -> PoolRef:
    return PoolRef(made.values["fingerprint"], made.outputs["pool"], made.plugin)


def _shares(scenarios: list[Scenario]) -> tuple[float, float]:
    """The shares of real negatives and positives that a pool should hold; equal for all usual lists of scenarios."""
    drawn = [s.synthetic for s in scenarios if s.synthetic != "pool"]
    return (
        max([TOP_UP_SHARE, *(shares.negatives for shares in drawn)]),
        max([TOP_UP_SHARE, *(shares.positives for shares in drawn)]),
    )
