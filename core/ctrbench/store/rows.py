"""The edge of the store: what rows of the database may hold, and how they become typed values and rows again.

In: rows of our own database, or of an archive that may come from anybody. Out: results, cells, runs; `BadRowError` for
a row that is not of this form, in one line. Nothing behind this edge meets JSON.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache, cached_property
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ctrbench.ids import TaskKind
from ctrbench.interfaces import Published, Score
from ctrbench.results import (
    Bookkeeping,
    Cell,
    Count,
    DataOutput,
    DatasetInfo,
    Environment,
    Inputs,
    Moment,
    Number,
    Output,
    Pool,
    RunInfo,
    Seconds,
    Stage,
    Status,
    TaskResult,
    Whole,
)
from ctrbench.table import Schema
from ctrbench.text import one_line, without_password

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
RunName = Annotated[str, Field(pattern=r"^[\w-]{1,32}$")]
_T = TypeVar("_T")


class BadRowError(ValueError):
    """A row, or a part of one, that no ctrbench writes."""


class Row(BaseModel):
    """A row; anything else than what is declared is refused, and what it holds is read when it is made."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class RunRow(Row):
    """A row of `runs`."""

    run: RunName
    started: Moment
    finished: Moment | None
    command: Annotated[str, AfterValidator(without_password)]  # an earlier ctrbench may have kept one
    about: dict[str, Any]
    environment: dict[str, Any]

    @cached_property
    def info(self) -> RunInfo | None:
        """What the run says of itself; None where it was stopped before its data sets were loaded."""
        return None if self.about.keys() == {"suite"} else run_info(self.about)

    @cached_property
    def made_in(self) -> Environment:
        """The machine and the versions."""
        return environment(self.run, self.environment)

    def model_post_init(self, _context: Any) -> None:
        """Refuse what cannot be read."""
        _ = self.info, self.made_in


class TaskRow(Row):
    """A row of `tasks`."""

    key: Digest
    kind: Annotated[TaskKind, Field(strict=False)]
    status: Annotated[Status, Field(strict=False)]
    plugin: str
    stage: str
    reason: str
    traceback: str
    outputs: dict[str, Digest]
    values: dict[str, Any]
    seconds: dict[str, Seconds]
    peak_memory: Count
    finished: Moment
    run: RunName
    started: Moment = 0.0
    host: Annotated[str, Field(pattern="^[0-9a-f]{0,12}$")] = ""
    peak_gpu_memory: Count = 0
    inputs: dict[str, Any] = {}

    @cached_property
    def result(self) -> TaskResult:
        """The result in it."""
        _refuse_infinite(self.values)
        return TaskResult(
            status=self.status,
            plugin=self.plugin,
            stage=decoded(Stage, self.stage, "stage") if self.stage else None,
            reason=self.reason,
            traceback=self.traceback,
            output=_output(self.kind, self.values, self.outputs) if self.status is Status.OK else None,
            artefacts=self.outputs,
            curves=decoded(dict[str, list[tuple[Whole, float]]], self.values.get("history", {}), "values.history"),
            seconds=self.seconds,
            peak_memory=self.peak_memory,
            peak_gpu_memory=self.peak_gpu_memory,
            started=self.started,
            host=self.host,
            inputs=decoded(Inputs, self.inputs, "inputs"),
            bookkeeping=bookkeeping(self.values),
            run=self.run,
        )

    def model_post_init(self, _context: Any) -> None:
        """Refuse what cannot be read."""
        _ = self.result


class LinkRow(Row):
    """A row of `run_tasks`."""

    run: RunName
    task: str
    key: Digest | Literal[""]
    blocked_by: str


class GridRow(Row):
    """A row of `run_cells`."""

    run: RunName
    position: Annotated[int, Field(ge=0, lt=2**31)]
    kind: Literal["cell", "pool"]
    fields: dict[str, str | int]

    @cached_property
    def place(self) -> Cell | Pool:
        """The cell or pool in it."""
        unknown = self.fields.keys() - {field.name for field in fields(Cell if self.kind == "cell" else Pool)}
        if unknown:
            raise BadRowError(f"fields: a {self.kind} has no {min(unknown)!r}")
        return decoded(Cell, self.fields, "fields") if self.kind == "cell" else decoded(Pool, self.fields, "fields")

    def model_post_init(self, _context: Any) -> None:
        """Refuse what cannot be read."""
        _ = self.place


_R = TypeVar("_R", bound=Row)


def checked(kind: type[_R], row: Mapping[Any, Any]) -> _R:
    """A row of a table; BadRowError for one that cannot be read."""
    try:
        return kind.model_validate(dict(row))
    except (ValidationError, RecursionError) as error:
        raise BadRowError(_first(error)) from None


def check_grid(info: RunInfo | None, places: Sequence[Cell | Pool]) -> None:
    """BadRowError unless the places of a run are a grid of its data sets, scenarios, repeats and model seeds."""
    if info is None:
        if places:
            raise BadRowError("it has cells, but does not say which data sets")
        return
    arms: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for place in places:
        _expect([place.dataset], info.datasets, "about.datasets")
        if isinstance(place, Cell):
            _expect([place.scenario], info.scenarios, "about.scenarios")
            where = (place.dataset, place.generator, place.scenario, place.model)
            arms[where].append((place.repeat, place.model_seed))
        else:
            arms[place.dataset, place.generator].append((place.repeat, 0))
    for arm, found in arms.items():
        seeds = info.model_seeds if len(arm) == 4 else 1  # a pool has none
        within = all(repeat < info.repeats and seed < seeds for repeat, seed in found)
        if not within or not len(set(found)) == len(found) == info.repeats * seeds:
            raise BadRowError(f"{' × '.join(filter(None, arm))}: not so many repeats as the run has")
        if arm[1]:
            _expect([arm[:2]], arms, "its pools")


def task_result(row: Mapping[Any, Any]) -> TaskResult:
    """The result in a row of `tasks`."""
    return checked(TaskRow, row).result


def task_row(run: str, kind: TaskKind, key: str, result: TaskResult, finished: float) -> dict[str, Any]:
    """The row of `tasks` that holds a result."""
    values: dict[str, Any] = {}
    if isinstance(result.output, Score):
        score = result.output
        values = {"value": score.value, "baseline": score.baseline, "details": dict(score.details)}
        values["flagged"] = score.flagged
    elif result.output is not None:
        values = asdict(result.output)
    if result.curves:
        values["history"] = dict(result.curves)
    noted = asdict(result.bookkeeping)
    values |= {_WRITTEN.get(name, name): noted[name] for name in noted if noted[name] not in (None, False, "", ())}
    return {
        "key": key,
        "kind": str(kind),
        "status": str(result.status),
        "plugin": result.plugin,
        "stage": str(result.stage or ""),
        "reason": result.reason,
        "traceback": result.traceback,
        "outputs": dict(result.artefacts),
        "values": values,
        "seconds": dict(result.seconds),
        "peak_memory": result.peak_memory,
        "peak_gpu_memory": result.peak_gpu_memory,
        "started": result.started,
        "finished": finished,
        "host": result.host,
        "inputs": inputs_json(result.inputs),
        "run": run,
    }


def bookkeeping(values: Mapping[str, Any]) -> Bookkeeping:
    """What the harness noted beside a result."""
    noted = {name: values[written] for name, written in _NOTED if written in values}
    return decoded(Bookkeeping, noted, "values")


def inputs_json(inputs: Inputs) -> dict[str, str | int]:
    """Seeds and fingerprints as JSON, without those that are not there."""
    return {name: value for name, value in asdict(inputs).items() if value is not None}


def run_info(about: Mapping[str, Any]) -> RunInfo:
    """What a run says of itself, from the column `about`."""
    _refuse_infinite(about)
    try:
        datasets = {
            name: dict(told) | {"published": [_published(table) for table in told.get("published", ())]}
            for name, told in about["datasets"].items()
        }
    except BadRowError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadRowError("about: it does not say which data sets it had") from None
    info = decoded(RunInfo, {"model_seeds": 1, **about, "datasets": datasets}, "about")
    for name, told in info.datasets.items():
        _expect(["train"], told.rows, f"about.datasets.{name}.rows")
    return info


def run_json(info: RunInfo) -> dict[str, Any]:
    """What a run says of itself, for the column `about`."""
    return {
        "suite": info.suite,
        "seed": info.seed,
        "budget": info.budget,
        "repeats": info.repeats,
        "model_seeds": info.model_seeds,
        "datasets": {name: _dataset_json(told) for name, told in info.datasets.items()},
        "scenarios": {name: asdict(told) for name, told in info.scenarios.items()},
        "prediction_metrics": {name: asdict(told) for name, told in info.prediction_metrics.items()},
        "synthetic_metrics": {name: asdict(told) for name, told in info.synthetic_metrics.items()},
        "broken": list(info.broken),
        "left_out": list(info.left_out),
        "failed_data": list(info.failed_data),
        "generators": {name: asdict(told) for name, told in info.generators.items()},
    }


def environment(run: str, described: Mapping[str, Any]) -> Environment:
    """The machine and versions of a run, from the column `environment`."""
    raw = {**described, "run": run} if isinstance(described, Mapping) else described
    return decoded(Environment, raw, "environment")


def environment_json(found: Environment) -> dict[str, Any]:
    """The machine and versions of a run, for the column `environment`."""
    described = asdict(found)
    del described["run"]
    return described


def decoded(kind: type[_T], raw: object, where: str) -> _T:
    """A value of that type; BadRowError, which names the place, where it cannot be one."""
    try:
        return cast(_T, _adapter(cast(Hashable, kind)).validate_python(raw))
    except (ValidationError, RecursionError) as error:
        raise BadRowError(f"{where}: {_first(error)}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


_WRITTEN = {"cost_key": "alike", "time_limit": "limit", "killed_from_outside": "from_outside"}
"""The names under which stores have had these since their first version."""
_NOTED = [(field.name, _WRITTEN.get(field.name, field.name)) for field in fields(Bookkeeping)]
_OUTPUTS = {each.kind: each for each in get_args(Output) if each is not Score}
"""What each kind of task has as its output; scores are made by plug-ins, and read apart."""

_ARTEFACTS = {TaskKind.DATA: ("train", "valid", "test"), TaskKind.POOL: ("pool",), TaskKind.TRAIN: ("valid", "test")}
"""What other tasks read of one that went well."""


def _expect(wanted: Sequence[object], names: Collection[object], where: str) -> None:
    for name in wanted:
        if name not in names:
            raise BadRowError(f"{where}: there is no {name!r}")


class _Score(Row):
    value: Number
    baseline: Number | None
    details: dict[str, Number]
    flagged: bool | None = None


def _output(kind: TaskKind, values: Mapping[str, Any], artefacts: Collection[str]) -> Output:
    _expect(_ARTEFACTS.get(kind, ()), artefacts, "outputs")
    if kind is TaskKind.SCORE:
        raw = {name: values[name] for name in _Score.model_fields if name in values}
        return Score(**dict(decoded(_Score, raw, "values")))
    output: Output = decoded(_OUTPUTS[kind], values, "values")
    if isinstance(output, DataOutput):
        _expect(["train"], output.rows, "values.rows")
        _expect(["train"], output.click_rate, "values.click_rate")
        try:
            Schema.from_json(output.schema)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise BadRowError(f"values.schema: {one_line(error)}") from None
    return output


def _published(table: Mapping[str, Any]) -> Published:
    listed = {kind: decoded(_FIGURES, table.get(kind, ()), kind) for kind in ("figures", "deviations")}
    named = {kind: {(g, s, m): value for g, s, m, value in figures} for kind, figures in listed.items()}
    return decoded(Published, {**table, **named}, "published")


_FIGURES = list[tuple[str, str, str, Number]]


def _dataset_json(told: DatasetInfo) -> dict[str, Any]:
    written = {name: getattr(told, name) for name in ("plugin", "parameters", "fingerprint", "rows", "click_rate")}
    written["notes"] = list(told.notes)
    if told.ranking:
        written["ranking"] = told.ranking
    if told.train_share != 1:
        written["train_share"] = told.train_share
    return {**written, "published": [_published_json(table) for table in told.published]}


def _published_json(table: Published) -> dict[str, Any]:
    named = {"figures": table.figures, "deviations": table.deviations}
    return asdict(table) | {kind: [[*names, value] for names, value in found.items()] for kind, found in named.items()}


def _refuse_infinite(value: object) -> None:
    """BadRowError for a number that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRowError(f"{value} is no finite number")
    if isinstance(value, Mapping):
        for each in value.values():
            _refuse_infinite(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _refuse_infinite(each)


def _first(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    cause = error.errors()[0]
    where = ".".join(map(str, cause["loc"]))
    return f"{where}: {cause['msg']}".removeprefix(": ")
