"""The four kinds of task: data, pool, train, score.

In: a job, and a workplace with artefacts, limits and someone to report to. Out: a `TaskResult`, whatever the
plug-in does short of killing its process.
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrbench import environment, gpu, keys, resources, statistics
from ctrbench.artefacts import Artefacts
from ctrbench.errors import Skip, UserError
from ctrbench.history import History
from ctrbench.interfaces import (
    Context,
    Dataset,
    Generator,
    Model,
    PredictionMetric,
    Predictions,
    Predictor,
    Rankings,
    Sampler,
    Score,
    Splits,
    SyntheticMetric,
)
from ctrbench.jobs import Compute, DataJob, Job, PoolJob, ScorePoolJob, ScorePredictionsJob, TrainJob, inputs, key
from ctrbench.ranking import Catalogue, check_queries, rank
from ctrbench.results import Status, TaskResult
from ctrbench.scenarios import compose
from ctrbench.table import UNSEEN, Table
from ctrbench.text import encodable, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP_UPS = 10
"""A pool is extended to at most so many times the rows of real train."""


Report = Callable[[int, int | None, Mapping[str, float]], None]


@dataclass(frozen=True)
class Workplace:
    """What a job finds where it is done: artefacts, limits, and someone to report to."""

    artefacts: Artefacts
    checkpoints: Path
    budget: float = 1.0
    deadline: float | None = None
    progress: Report = field(default=Context().progress)
    entered: Callable[[str], None] = lambda stage: None  # is told each stage that a task enters

    def context(self, job: Job, history: History) -> Context:
        """The context that the job's plug-in receives; what it reports is kept in the history too."""
        compute = job.compute if isinstance(job, PoolJob | TrainJob) else Compute()
        checkpoints = self.checkpoints / key(job)[:16]

        def report(step: int, total: int | None, values: Mapping[str, float]) -> None:
            """Pass a plug-in's report on, in plain numbers; one that has none is dropped."""
            with suppress(TypeError, ValueError):
                numbers = {encodable(str(name))[:40]: float(value) for name, value in list(values.items())[:8]}
                plain = int(step), None if total is None else int(total), numbers
                self.progress(*plain)
                history.add(*plain)

        return Context(compute.device, compute.threads, self.budget, self.deadline, checkpoints, report)


def perform(job: Job, place: Workplace) -> TaskResult:
    """Do a job. Whatever a plug-in does short of killing the process comes back as a result; only Ctrl-C passes."""
    stages, started = Stages(place.entered), time.time()
    history = History()
    context = place.context(job, history)
    resources.reset_peak_memory()
    gpu.reset_peak_memory(context.device)
    try:
        with stages("import"):
            plugin = job.plugin.make()
            for module in plugin.imports:
                importlib.import_module(module)
        with resources.limited_threads(context.threads), chdir(os.getcwd()):  # comes back, wherever a plug-in goes
            match job:
                case DataJob():
                    result = _load(plugin, job, place, context, stages)
                case PoolJob():
                    result = _make_pool(plugin, job, place, context, stages)
                case TrainJob():
                    result = _train(plugin, job, place, context, stages)
                case ScorePredictionsJob():
                    result = _score_predictions(plugin, job, place, stages)
                case ScorePoolJob():
                    result = _score_pool(plugin, job, place, stages)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        result = _failure(error, stages.current)
    curves = history.series()
    if result.ok:
        shutil.rmtree(context.checkpoints, ignore_errors=True)
    return replace(
        result,
        plugin=_responsible(job, result),
        values={**result.values, "history": curves} if curves else result.values,
        seconds=stages.seconds,
        peak_memory=resources.peak_memory(),
        peak_gpu_memory=gpu.peak_memory(context.device),
        started=started,
        host=environment.host(),
        inputs=inputs(job),
    )


def _responsible(job: Job, result: TaskResult) -> str:
    """Who is named by a result: a pool that lacks rows is its generator's doing, not the model's."""
    if result.stage == "compose" and isinstance(job, TrainJob) and job.pool and result.status is Status.FAILED:
        return job.pool.generator
    return job.plugin.registered


class Stages:
    """A clock for the stages of a task, which also knows in which one it stopped."""

    def __init__(self, entered: Callable[[str], None] = lambda stage: None) -> None:
        self._entered = entered
        self.seconds: dict[str, float] = {}
        self.current = ""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a stage."""
        self.current = name
        self._entered(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _load(plugin: Dataset, job: DataJob, place: Workplace, context: Context, stages: Stages) -> TaskResult:
    with stages("load"):
        splits = plugin.load(seed=job.seed, context=context)
        if not isinstance(splits, Splits):
            raise TypeError(f"load returned {type(splits).__name__}, not Splits")
        _check_splits(splits)
    with stages("keep"):
        outputs = {
            name: place.artefacts.put_table(table)
            for name in ("train", "valid", "test", "ranking")
            if (table := getattr(splits, name)) is not None
        }
        for name, probabilities in splits.true_probabilities.items():
            outputs[f"true {name}"] = place.artefacts.put_array(probabilities)
        values: dict[str, Any] = {
            "fingerprint": splits.fingerprint,
            "schema": splits.train.schema.to_json(),
            "rows": {name: len(getattr(splits, name)) for name in ("train", "valid", "test")},
            "click_rate": {name: getattr(splits, name).click_rate for name in ("train", "valid", "test")},
            "notes": list(splits.notes),
            "apart": splits.apart,
        }
        if splits.ranking is not None:
            outputs["item clicks"] = place.artefacts.put_array(Catalogue.of(splits.train, splits.ranking).clicks)
            values["ranking"] = splits.ranking.digest()
            values["rows"]["ranking"] = len(splits.ranking)
    return TaskResult(Status.OK, outputs=outputs, values=values)


def _make_pool(plugin: Generator, job: PoolJob, place: Workplace, context: Context, stages: Stages) -> TaskResult:
    with stages("read"):
        train = place.artefacts.get_table(job.data.outputs["train"])
    with stages("fit"):
        sampler = plugin.fit(train.drawn(job.seed), seed=job.seed, context=context)
        if not isinstance(sampler, Sampler):
            raise TypeError(f"fit returned {type(sampler).__name__}, not a Sampler")
    with stages("sample"):
        pool, top_ups = _sample_pool(sampler, train, job)
    with stages("keep"):
        digest = place.artefacts.put_table(pool)
    values = {
        "fingerprint": pool.digest(),
        "rows": len(pool),
        "top_ups": top_ups,
        "click_rate": pool.take(np.arange(len(train))).click_rate,
        "facts": _facts(sampler.details),
    }
    return TaskResult(Status.OK, outputs={"pool": digest}, values=values)


def _train(plugin: Model, job: TrainJob, place: Workplace, context: Context, stages: Stages) -> TaskResult:
    with stages("read"):
        train, valid, test = (place.artefacts.get_table(job.data.outputs[name]) for name in ("train", "valid", "test"))
        pool = place.artefacts.get_table(job.pool.digest) if job.pool else None
    with stages("compose"):
        table = compose(train, pool, job.scenario, seed=job.draw_seed)
        if table.weights is not None and not plugin.supports_weights:
            raise Skip(f"{plugin.name} cannot weight rows, as scenario {job.scenario.name} asks")
        del train, pool
    with stages("fit"):
        predictor = plugin.fit(table, valid, seed=job.model_seed, context=context)
    with stages("predict"):
        probabilities = {
            name: _checked_probabilities(predictor.predict(rows.without_labels()), len(rows))
            for name, rows in (("valid", valid), ("test", test))
        }
    rankings = None
    if "ranking" in job.data.outputs:
        with stages("rank"):
            rankings = _rank(predictor, job, place, context)
    with stages("keep"):
        outputs = {name: place.artefacts.put_array(values) for name, values in probabilities.items()}
        if rankings is not None:
            outputs["rankings"] = place.artefacts.put_arrays(
                {"ranks": rankings.ranks, "candidates": rankings.candidates, "top": rankings.top}
            )
    values = {"rows": len(table), "click_rate": table.click_rate, "facts": _facts(predictor.details)}
    return TaskResult(Status.OK, outputs=outputs, values=values)


def _rank(predictor: Predictor, job: TrainJob, place: Workplace, context: Context) -> Rankings:
    train, queries = (place.artefacts.get_table(job.data.outputs[name]) for name in ("train", "ranking"))
    return rank(
        lambda rows: _checked_probabilities(predictor.predict(rows), len(rows)),
        train,
        queries,
        lambda done, total: context.progress(done, total, {}),
    )


def _score_predictions(
    plugin: PredictionMetric, job: ScorePredictionsJob, place: Workplace, stages: Stages
) -> TaskResult:
    with stages("read"):
        truth = job.data.outputs.get("true test")
        rankings = None
        if job.rankings:
            clicks = place.artefacts.get_array(job.data.outputs["item clicks"])
            rankings = Rankings(**place.artefacts.get_arrays(job.rankings), clicks=clicks.astype(np.int64))
        predictions = Predictions(
            place.artefacts.get_table(job.data.outputs["test"]),
            place.artefacts.get_array(job.predictions),
            place.artefacts.get_table(job.data.outputs["train"]),
            job.train_click_rate,
            place.artefacts.get_array(truth) if truth else None,
            place.artefacts.get_table(job.data.outputs["valid"]),
            place.artefacts.get_array(job.valid_predictions),
            rankings,
        )
    with stages("score"):
        score = plugin.score(predictions)
        result = _scored(score)
        if score.contributions is None:
            return result
        parts = _checked_contributions(score.contributions, len(predictions.rows))
        parts = statistics.by_group(parts, users(predictions.rows))
    with stages("keep"):
        return replace(result, outputs={"contributions": place.artefacts.put_array(parts)})


def _score_pool(plugin: SyntheticMetric, job: ScorePoolJob, place: Workplace, stages: Stages) -> TaskResult:
    with stages("read"):
        names = {"train": "train", "holdout": "valid", "reference": "test"}
        real = {name: place.artefacts.get_table(job.data.outputs[split]) for name, split in names.items()}
        pool = place.artefacts.get_table(job.pool.digest).take(np.arange(len(real["train"])))
    with stages("score"):
        score = plugin.score(pool, **real, seed=job.seed)
        return _scored(replace(score, flagged=None) if job.data.apart and isinstance(score, Score) else score)


def _scored(score: Score) -> TaskResult:
    if not isinstance(score, Score):
        raise TypeError(f"score returned {type(score).__name__}, not a Score")
    if not np.isfinite(score.value):
        raise ValueError(f"the score is {score.value}")
    values = {
        "value": float(score.value),
        "baseline": None if score.baseline is None else float(score.baseline),
        "details": {str(name): float(value) for name, value in score.details.items() if np.isfinite(value)},
        "flagged": None if score.flagged is None else bool(score.flagged),
    }
    return TaskResult(Status.OK, values=values)


def _checked_contributions(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (rows,) or not np.isfinite(values).all():
        raise ValueError(f"contributions must be {rows} finite numbers, one a test row")
    return values


def users(rows: Table) -> NDArray[np.int64] | None:
    """Whose each row is, (rows,), from 0; None without codes of users.

    A row with a code that train lacks is a user by itself.
    """
    names = [field_.name for field_ in rows.schema.with_role("user") if field_.kind == "categorical"]
    if not names:
        return None
    codes = rows.rows[names]
    alone = np.where((codes == UNSEEN).any(axis=1), np.arange(len(codes)), -1)
    return np.asarray(codes.groupby([*(codes[name] for name in names), alone]).ngroup(), np.int64)


def _facts(details: Mapping[str, Any]) -> dict[str, int | float | str]:
    """What a plug-in says of its fit, as JSON can hold it."""
    facts: dict[str, int | float | str] = {}
    for name, value in details.items():
        plain = value.item() if isinstance(value, np.generic) else value
        storable = isinstance(plain, int) or (isinstance(plain, float) and np.isfinite(plain))
        facts[str(name)] = plain if storable else encodable(str(plain))
    return facts


def _sample_pool(sampler: Sampler, train: Table, job: PoolJob) -> tuple[Table, int]:
    """As many rows as real train, then more while a class falls short of its share; the pool and the extra rows."""
    positives = int(train.targets.sum())
    wanted = (round(job.shares[0] * (len(train) - positives)), round(job.shares[1] * positives))
    parts: list[Table] = []
    have = np.zeros(2, np.int64)
    while not parts or (any(have < wanted) and len(parts) < TOP_UPS):
        part = sampler.sample(len(train), seed=keys.seed(job.seed, "sample", len(parts)))
        _check_synthetic(part, train)
        parts.append(part.settled())
        have += np.bincount(part.targets, minlength=2)
    return Table.concat(parts), (len(parts) - 1) * len(train)


def _check_splits(splits: Splits) -> None:
    for name in ("train", "valid", "test"):
        table = getattr(splits, name)
        if table.schema != splits.train.schema:
            raise ValueError(f"the schema of {name} is not train's")
        if len(np.unique(table.targets)) < 2:
            raise UserError(f"{name} has {len(table)} rows of only one class: give it positives and negatives")
    if splits.ranking is not None:
        check_queries(splits.ranking, splits.train.schema)
    for field_ in splits.train.schema.categorical:
        if splits.train.rows[field_.name].min() < 1 or splits.train.rows[field_.name].max() >= field_.vocab_size:
            raise ValueError(f"train's codes of {field_.name!r} lie outside 1 … {field_.vocab_size - 1}")


def _check_synthetic(part: Table, train: Table) -> None:
    if not isinstance(part, Table):
        raise TypeError(f"sample returned {type(part).__name__}, not a Table")
    if part.schema != train.schema:
        wrong = sorted(set(part.schema.names) ^ set(train.schema.names)) or "their vocabularies, kinds or order"
        raise ValueError(f"sample returned rows of another schema than train's; they differ in {wrong}")
    if len(part) != len(train):
        raise ValueError(f"sample was asked for {len(train)} rows and returned {len(part)}")
    if part.labels is None:
        raise ValueError("sample returned rows without labels")
    for field_ in part.schema.categorical:
        values = part.rows[field_.name].to_numpy()
        if values.min() < 1 or values.max() >= field_.vocab_size:
            raise ValueError(
                f"sample invented a value of {field_.name!r}: codes lie outside 1 … {field_.vocab_size - 1}"
            )


def _checked_probabilities(values: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (rows,):
        raise ValueError(f"predict returned the shape {values.shape}, not ({rows},)")
    if not np.isfinite(values).all():
        raise ValueError(f"predict returned {int((~np.isfinite(values)).sum())} values that are not finite")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"predict returned values from {values.min()} to {values.max()}, not probabilities")
    return values


def _failure(error: BaseException, stage: str) -> TaskResult:
    status = Status.FAILED
    if isinstance(error, Skip):
        status = Status.SKIPPED
    elif isinstance(error, TimeoutError):
        status = Status.TIMED_OUT
    elif isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        status = Status.OUT_OF_MEMORY
    plain = isinstance(error, Skip | UserError)
    return TaskResult(
        status,
        stage=stage,
        reason=encodable(" ".join(str(error).split())) if plain else one_line(error),
        traceback="" if plain else encodable(traceback.format_exc()),
        users_mistake=isinstance(error, UserError),
    )
