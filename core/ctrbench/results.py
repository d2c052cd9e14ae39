"""What is stored and read, typed: what came of tasks, of the cells and pools of a grid, and what a run says of itself.

Plain values that cross processes and rest in the store; they know nothing of plans and plug-ins.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias, TypeVar

from annotated_types import Interval

from ctrbench.ids import TaskKind, score_name
from ctrbench.interfaces import Aspect, Better, MethodRole, Published, Score
from ctrbench.text import counted

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
    """What JSON can hold: a plug-in's parameter, say. Its readers show it or compare it, and no more."""
else:
    Json = object  # the edge of the store has read it from JSON; to check each part again would cost, and copy it

LARGEST = 1e50
"""A score further from 0 cannot be averaged: its square would leave the range of numbers."""

Number = Annotated[float, Interval(ge=-LARGEST, le=LARGEST)]
Share = Annotated[float, Interval(ge=0, le=1)]
Moment = Annotated[float, Interval(ge=0, le=1e11)]  # seconds since 1970
Seconds = Annotated[float, Interval(ge=0, le=1e11)]
Whole = Annotated[int, Interval(gt=-(2**63), lt=2**63)]
Count = Annotated[int, Interval(ge=0, lt=2**63)]
"""Numbers that can be added, drawn and told as a date; the edge of the store holds every row to them."""

Facts = Mapping[str, Whole | float | str]
"""What a plug-in says of its fit."""

LearningCurves = Mapping[str, Sequence[tuple[Whole, float]]]
"""What a plug-in reported while it ran: for each number its points, (step, value)."""

T = TypeVar("T")


# Tasks


class Status(StrEnum):
    """How a task ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    CRASHED = "crashed"


class Stage(StrEnum):
    """What a task is at; each kind of task has some of them."""

    PLAN = "plan"  # in the driver: what the plug-in is asked before
    HAND_OVER = "hand over"  # to a machine of a cluster, or another interpreter
    IMPORT = "import"
    LOAD = "load"
    READ = "read"
    COMPOSE = "compose"
    FIT = "fit"
    SAMPLE = "sample"
    PREDICT = "predict"
    RANK = "rank"
    SCORE = "score"
    KEEP = "keep"


@dataclass(frozen=True)
class DataOutput:
    """What is known of a loaded data set; its tables are artefacts."""

    kind: ClassVar[TaskKind] = TaskKind.DATA
    fingerprint: str
    schema: str  # as `Schema.outline` writes it, whose long vocabularies are the artefact `words`
    rows: Mapping[str, Count]  # split → how many
    click_rate: Mapping[str, Share]  # split → share of clicks
    notes: Sequence[str] = ()
    ranking: str = ""  # digest of the queries of top-k metrics, where it has some
    apart: str = ""  # why its splits are not of one law, where they are not


@dataclass(frozen=True)
class PoolOutput:
    """What is known of a pool; its rows are an artefact."""

    kind: ClassVar[TaskKind] = TaskKind.POOL
    fingerprint: str
    rows: Count
    top_ups: Count  # rows beyond those of real train, drawn where a class fell short
    click_rate: Share  # of the first rows, as many as real train has
    facts: Facts = field(default_factory=dict)
    variety: Number | None = None  # distinct rows over those of real train, among equally many; not in older stores


CONSTANT = "constant prediction"
"""The fact that a model predicts the same for every row of test."""

NOBODY = "the store"
"""Who is named where a task found an artefact lost or changed: no plug-in can be blamed."""


LACKS = "rows lacking"
"""The fact that a pool, after all its top-ups, has too few rows of a class: "714 positives"."""


@dataclass(frozen=True)
class TrainOutput:
    """What is known of a training; its predictions are artefacts."""

    kind: ClassVar[TaskKind] = TaskKind.TRAIN
    rows: Count  # of the scenario's table
    click_rate: Share
    facts: Facts = field(default_factory=dict)


Output = DataOutput | PoolOutput | TrainOutput | Score


@dataclass(frozen=True)
class Inputs:
    """What a result was made from: its seeds, and the fingerprints of its data set and pool; None where it has none."""

    seed: Count | None = None
    draw_seed: Count | None = None
    model_seed: Count | None = None
    data: str | None = None
    pool: str | None = None


@dataclass(frozen=True)
class Bookkeeping:
    """What the harness notes beside a result: for forecasts, and for whoever asks why a task runs again."""

    position: str = ""  # `TaskId.position` of the task that was done
    cost_key: str = ""  # equal for tasks of which one's cost foretells another's
    effort: Number = 1.0  # to which the time of its fit is in proportion
    made_from: Mapping[str, Json] = field(default_factory=dict)  # all that changes the result, by name
    time_limit: Seconds | None = None  # seconds; of a task that ran out of time or memory
    stage_limit: Seconds | None = None  # seconds
    memory_limit: Count | None = None  # bytes
    killed_from_outside: bool = False
    no_room: bool = False  # the disk was full or failed, or the machine had no more memory or files to give
    edited: bool = False  # what it is made of was, after its key was made
    changed: Sequence[str] = ()  # of its worker's state, which was therefore replaced


KILLED_FROM_OUTSIDE = Bookkeeping(killed_from_outside=True)


@dataclass(frozen=True)
class TaskResult:
    """The end of one task: what it found where it went well, else who failed at what and why."""

    status: Status
    plugin: str = ""  # as in "ctgan (ctrbench 0.1.0)"
    stage: Stage | None = None  # in which it stopped; None where it went well, or nobody knows
    reason: str = ""  # one line; for a skip its reason, for a failure the error
    traceback: str = ""
    output: Output | None = None  # where it went well
    artefacts: Mapping[str, str] = field(default_factory=dict)  # name → digest
    curves: LearningCurves = field(default_factory=dict)
    seconds: Mapping[str, Seconds] = field(default_factory=dict)  # stage → wall time
    peak_memory: Count = 0  # bytes of its own: pages of mapped files do not count
    peak_gpu_memory: Count = 0  # bytes; 0 without a GPU
    started: Moment = 0.0  # 0 where it is not known
    host: str = ""  # a digest of the worker's name
    inputs: Inputs = Inputs()
    bookkeeping: Bookkeeping = Bookkeeping()
    run: str = field(default="", compare=False)  # the run that did it, once it is stored
    users_mistake: bool = False

    @property
    def ok(self) -> bool:
        """Whether the task has a result that others can use."""
        return self.status is Status.OK

    def output_as(self, kind: type[T]) -> T:
        """The output of a task that went well, which is of that type; TypeError otherwise."""
        if not isinstance(self.output, kind):
            raise TypeError(f"the result of {self.plugin} is {type(self.output).__name__}, not {kind.__name__}")
        return self.output

    @property
    def facts(self) -> Facts:
        """What its plug-in said of its fit; nothing where there was none."""
        return self.output.facts if isinstance(self.output, PoolOutput | TrainOutput) else {}

    def describe(self) -> str:
        """The failure or skip in one line that names the plug-in."""
        stage = f" in {self.stage}" if self.stage else ""
        return f"{self.plugin}: {self.status}{stage}: {self.reason}".removeprefix(": ")


@dataclass(frozen=True)
class Cost:
    """Wall time in seconds, and the peak of a task's own memory in bytes."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Spent:
    """What a finished task cost: seconds of its fit, of all else, bytes, and the effort that its fit was."""

    fit: float
    rest: float
    memory: float
    effort: float


# The grid


@dataclass(frozen=True)
class Cell:
    """A cell of the grid: which training it reads."""

    dataset: str
    generator: str  # "" where the scenario uses no pool
    scenario: str
    model: str
    repeat: Count
    train: str  # the training's name
    model_seed: Count = 0  # which of a repeat's model seeds


@dataclass(frozen=True)
class Pool:
    """A pool of the grid, and the generator with which it shares its rows where their fits are the same."""

    dataset: str
    generator: str
    repeat: Count
    task: str  # the name of the task that makes it
    maker: str  # the name of the generator that does the work, for seeds
    same_as: str = ""


@dataclass(frozen=True)
class CellResult:
    """One cell: data set × generator × scenario × model × repeat × model seed, with what its tasks gave."""

    dataset: str
    generator: str  # "" where the scenario uses no pool
    scenario: str
    model: str
    repeat: int
    result: TaskResult  # of the training, or of the failed task that it waited for
    scores: Mapping[str, Score] = field(default_factory=dict)  # prediction metric → score
    failed_scores: Mapping[str, TaskResult] = field(default_factory=dict)
    training: str = ""  # equal for cells that read one training
    model_seed: int = 0  # which of its repeat's
    contributions: Mapping[str, str] = field(default_factory=dict)  # prediction metric → digest of an array

    @property
    def ok(self) -> bool:
        """Whether the cell has predictions."""
        return self.result.ok

    def cause(self, metric: str) -> TaskResult:
        """What explains a missing score: the failure of the metric, else that of the training."""
        return self.failed_scores.get(metric, self.result) if self.ok else self.result


@dataclass(frozen=True)
class PoolResult:
    """One pool: data set × generator × repeat, with its metrics."""

    dataset: str
    generator: str
    repeat: int
    result: TaskResult
    same_as: str = ""  # the generator with which it shares its rows, where there is one
    scores: Mapping[str, Score] = field(default_factory=dict)  # synthetic metric → score
    failed_scores: Mapping[str, TaskResult] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the pool has rows."""
        return self.result.ok

    @property
    def click_rate(self) -> float | None:
        """The share of clicks; None where there is no pool."""
        return self.result.output.click_rate if isinstance(self.result.output, PoolOutput) else None

    @property
    def seconds(self) -> float:
        """Of its fit and its sampling."""
        return sum(self.result.seconds.get(stage, 0.0) for stage in ("fit", "sample"))

    @property
    def promise(self) -> tuple[float, float] | None:
        """ε and δ that its generator says it proves, in the facts `epsilon` and `delta` of its fit; None without."""
        told = self.result.facts.get("epsilon"), self.result.facts.get("delta")
        numbers = [float(value) for value in told if isinstance(value, int | float)]
        return (numbers[0], numbers[1]) if self.ok and len(numbers) == len(told) else None

    def cause(self, metric: str) -> TaskResult:
        """What explains a missing score: the failure of the metric, else that of the pool."""
        return self.failed_scores.get(metric, self.result) if self.ok else self.result


def cell_result(cell: Cell, metrics: Iterable[str], result_of: Callable[[str], TaskResult]) -> CellResult:
    """A cell with what came of its training, or of the task that this waited for, and of its scores."""
    scores, failed = _scores(metrics, cell.train, result_of)
    artefacts = {metric: result_of(score_name(metric, cell.train)).artefacts for metric in scores}
    return CellResult(
        cell.dataset,
        cell.generator,
        cell.scenario,
        cell.model,
        cell.repeat,
        result_of(cell.train),
        scores,
        failed,
        cell.train,
        cell.model_seed,
        {metric: found["contributions"] for metric, found in artefacts.items() if "contributions" in found},
    )


def pool_result(pool: Pool, metrics: Iterable[str], result_of: Callable[[str], TaskResult]) -> PoolResult:
    """A pool with what came of it and of its scores."""
    scores, failed = _scores(metrics, pool.task, result_of)
    return PoolResult(pool.dataset, pool.generator, pool.repeat, result_of(pool.task), pool.same_as, scores, failed)


def _scores(
    metrics: Iterable[str], subject: str, result_of: Callable[[str], TaskResult]
) -> tuple[dict[str, Score], dict[str, TaskResult]]:
    results = {metric: result_of(score_name(metric, subject)) for metric in metrics}
    good = {metric: result.output for metric, result in results.items() if isinstance(result.output, Score)}
    return good, {metric: result for metric, result in results.items() if metric not in good}


# The run


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of a run."""

    plugin: str  # as in "simulated (ctrbench 0.1.0)"
    parameters: Mapping[str, Json]
    fingerprint: str
    rows: Mapping[str, Count]  # split → how many
    click_rate: Mapping[str, Share]  # split → share of clicks
    notes: Sequence[str] = ()
    ranking: str = ""  # digest of the queries of top-k metrics, where it has some
    published: Sequence[Published] = ()  # what others found on it
    train_share: Share = 1.0  # of its train, which is all that is seen


@dataclass(frozen=True)
class ScenarioInfo:
    """A scenario of a run."""

    help: str
    keeps_real: bool  # whether real rows stand in its training table
    role: MethodRole = MethodRole.CANDIDATE
    adds: str = ""  # of which class it adds synthetic rows to all real ones, where that is all that it does
    dose: Number = 0.0  # how many, as a share of the real ones


@dataclass(frozen=True)
class GeneratorInfo:
    """A generator of a run."""

    role: MethodRole


@dataclass(frozen=True)
class MetricInfo:
    """A metric of a run."""

    better: Better
    unit: str
    aspect: Aspect | None = None  # of a metric of synthetic rows
    slice_of: str = ""  # of a prediction metric on a part of the test rows: the metric that it is there


@dataclass(frozen=True)
class RunInfo:
    """What a run says of itself once its data sets are loaded; mappings are in the order in which tables show them."""

    suite: str
    seed: Count
    budget: Number
    repeats: Count
    model_seeds: Count
    datasets: Mapping[str, DatasetInfo]
    scenarios: Mapping[str, ScenarioInfo]
    prediction_metrics: Mapping[str, MetricInfo]
    synthetic_metrics: Mapping[str, MetricInfo]
    left_out: Sequence[str] = ()  # why "all" took some data sets not
    failed_data: Sequence[str] = ()  # data sets that could not be loaded, and why
    broken: Sequence[str] = ()  # plug-ins that cannot be used, and why
    generators: Mapping[str, GeneratorInfo] = field(default_factory=dict)  # by label; none in stores of before roles

    def role(self, generator: str) -> MethodRole:
        """Whether a generator is a candidate or a control; of a run from before roles, by its plug-in's name."""
        told = self.generators.get(generator)
        if told:
            return told.role
        return MethodRole.CONTROL if generator.partition("[")[0] in _CONTROLS else MethodRole.CANDIDATE

    def slices_of(self, metric: str) -> list[str]:
        """The metrics that are this one on a part of the test rows; of runs older than `slice_of`, by their names."""
        return [
            name
            for name, told in self.prediction_metrics.items()
            if name != metric and (told.slice_of or _SLICES.get(name.partition("[")[0])) == metric
        ]

    @property
    def repeated(self) -> str:
        """How often all of it is there, in words."""
        seeds = f" of {self.model_seeds} model seeds" if self.model_seeds > 1 else ""
        return f"{counted(self.repeats, 'repeat')}{seeds}"

    @property
    def leading_metric(self) -> str:
        """The prediction metric that tables show where none is named; "" where there is none."""
        return next(iter(self.prediction_metrics), "")

    def prediction_metric(self, name: str) -> str | None:
        """The metric of predictions that is called so, in whatever case; None if the run has none."""
        return next((known for known in self.prediction_metrics if known.casefold() == name.casefold()), None)


_SLICES = dict.fromkeys(("auc_cold_users", "auc_rare_items", "auc_new_pairs"), "auc")
"""The metrics on slices that there were before metrics said what they are."""

_CONTROLS = ("random_oversampling", "independent", "negative_sampling", "uniform", "label_shuffle", "oracle")
"""The controls among the generators that there were before plug-ins said what they are."""


@dataclass(frozen=True)
class Environment:
    """The machine and the versions behind the results of a run."""

    run: str = ""
    python: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)  # distribution → version
    libraries: Mapping[str, str] = field(default_factory=dict)  # distribution → version
    cpu: str = ""
    cores: Count | None = None
    device: str = ""
    gpu: Mapping[str, str | Whole | None] = field(default_factory=dict)  # name, memory in bytes, cuda
    threads: Count = 1
    platform: str = ""
    host: str = ""  # a digest of the machine's name
    git: str = ""  # commit of ctrbench's own tree
    working_directory: str = ""  # commit of the tree in which the command was given


def most_flagged(scores: Sequence[Score]) -> bool:
    """Whether a metric flags more than half of some pools."""
    return sum(score.flagged is True for score in scores) * 2 > len(scores)


def without_verdict(scores: Sequence[Score]) -> bool:
    """Whether a metric judges fewer than half of some pools; so it is where there are none."""
    return not scores or sum(score.flagged is None for score in scores) * 2 > len(scores)


def whole_mean(values: Iterable[float | None]) -> float | None:
    """The mean; None where one is missing, since a mean never passes over it."""
    found = list(values)
    good = [value for value in found if value is not None]
    return statistics.fmean(good) if good and len(good) == len(found) else None
