"""The kinds of task: load data, make a pool, train, score predictions or a pool.

In: a job, and a workspace with artefacts, limits and someone to report to. Out: a `TaskResult`, whatever the
plug-in does short of killing its process.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import assert_never, cast

import numpy as np
from numpy.typing import NDArray

from ctrbench import contract, digests, environment, gpu, interpreters, intervals, resources
from ctrbench.endings import EditedError, death, failure, kernel_kills
from ctrbench.errors import Skip
from ctrbench.interfaces import (
    Context,
    Dataset,
    Generator,
    Model,
    Plugin,
    PredictionMetric,
    Predictions,
    Predictor,
    ProgressCallback,
    Rankings,
    Ready,
    Sampler,
    Score,
    SyntheticMetric,
)
from ctrbench.jobs import (
    Compute,
    DataJob,
    Job,
    PluginCall,
    PoolJob,
    ScorePoolJob,
    ScorePredictionsJob,
    TrainJob,
    inputs,
    key,
    reads,
)
from ctrbench.learning_curves import Curves
from ctrbench.ranking import Catalogue, rank
from ctrbench.results import (
    CONSTANT,
    LACKS,
    NOBODY,
    DataOutput,
    Facts,
    PoolOutput,
    Stage,
    Status,
    TaskResult,
    TrainOutput,
)
from ctrbench.scenarios import joined, parts, plausible
from ctrbench.store.artefacts import Artefacts, forget_recent
from ctrbench.table import Table
from ctrbench.text import LINE, bounded, encodable, one_line
from ctrbench.thinning import thinned

TOP_UPS = 10
"""A pool is extended to at most so many times the rows of real train."""

LEAST_TOP_UP = 1000
"""Rows beyond what is expected to be enough, so that chance rarely asks for one more draw."""

_MOST_STEPS = 2**53  # what is beyond is no count

VARIETY_ROWS = 100_000
"""So many rows tell whether a pool repeats itself."""


@dataclass(frozen=True)
class Workspace:
    """What a job finds where it is done: artefacts, limits, and someone to report to."""

    artefacts: Artefacts
    checkpoints: Path
    budget: float = 1.0
    deadline: float | None = None
    progress: ProgressCallback = field(default=Context().progress)
    entered: Callable[[Stage], None] = lambda stage: None  # is told each stage that a task enters
    failed: Callable[[BaseException], None] = lambda error: None  # is told what a plug-in raised, where it did

    def context(self, job: Job, curves: Curves) -> Context:
        """The context that the job's plug-in receives; what it reports becomes its curves too."""
        compute = job.compute if isinstance(job, PoolJob | TrainJob) else Compute()
        checkpoints = self.checkpoints / key(job)[:16]

        def report(step: int, total: int | None, values: Mapping[str, float]) -> None:
            """Pass a plug-in's report on, in plain numbers; one that has none is dropped."""
            with suppress(TypeError, ValueError, OverflowError):
                numbers = {encodable(str(name))[:40]: float(value) for name, value in list(values.items())[:8]}
                plain = int(step), None if total is None else int(total), numbers
                if max(abs(number or 0) for number in plain[:2]) < _MOST_STEPS:
                    self.progress(*plain)
                    curves.add(*plain)

        return Context(compute.device, compute.threads, self.budget, self.deadline, checkpoints, report)


def perform(job: Job, workspace: Workspace) -> TaskResult:
    """Do a job. Whatever a plug-in does short of killing the process comes back as a result; only Ctrl-C passes."""
    if job.plugin.python:
        return _elsewhere(job, workspace)
    stages, started = Stages(workspace.entered), time.time()
    curves = Curves()
    context = workspace.context(job, curves)
    resources.reset_peak_memory()
    gpu.reset_peak_memory(context.device)
    try:
        with stages(Stage.IMPORT):
            plugin = job.plugin.make()
            _expect_same_source(job.plugin)
            for module in plugin.imports:
                importlib.import_module(module)
        at_hand = not isinstance(plugin, Dataset) or isinstance(plugin.availability(), Ready)
        if not isinstance(job, ScorePoolJob | ScorePredictionsJob):  # metrics receive no context
            _make(context.checkpoints)
        with resources.limited_threads(context.threads), _coming_back(), _no_copies():
            result = _do(plugin, job, workspace, context, stages)
        if at_hand:  # of what is downloaded first, the published version was told
            _expect_unedited(plugin, job, context)
        workspace.artefacts.expect_untouched(reads(job))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        workspace.failed(error)
        result = failure(error, stages.current)
    if job.plugin.foreign:
        forget_recent()  # which it could have changed
    if result.ok:
        shutil.rmtree(context.checkpoints, ignore_errors=True)
    with suppress(OSError):
        context.checkpoints.rmdir()  # where nothing was kept
    return replace(
        result,
        plugin=_responsible(job, result),
        curves=curves.series(),
        seconds=stages.seconds,
        peak_memory=stages.peak_memory,
        peak_gpu_memory=gpu.peak_memory(context.device),
        started=started,
        host=environment.host(),
        inputs=inputs(job),
    )


def _make(checkpoints: Path) -> None:
    """The folder for a task's checkpoints; where there can be none, whoever needs it says so."""
    with suppress(OSError):
        checkpoints.mkdir(parents=True, exist_ok=True)


def _expect_same_source(call: PluginCall) -> None:
    """EditedError where a plug-in was edited since its results' keys were made; a notebook's own has no file."""
    if call.foreign and call.module != "__main__" and digests.source_digests(call.module)[0] not in ("", call.source):
        raise EditedError(
            "its source was edited after this run had begun, or not loaded anew (importlib.reload); run again"
        )


def _expect_unedited(plugin: Plugin, job: Job, context: Context) -> None:
    """EditedError where what the plug-in reads is no longer what it was when the job was planned, and its key made."""
    wanted = job.version if isinstance(job, DataJob) else job.plugin.version
    if wanted and contract.check_version(plugin.version()) != wanted:
        shutil.rmtree(context.checkpoints, ignore_errors=True)  # they are of neither
        raise EditedError("what it reads was edited after this run had begun, or its version() varies; run again")


@contextmanager
def _coming_back() -> Iterator[None]:
    """To the working directory, wherever a plug-in goes; but it may be removed at any time, by whomever."""
    try:
        here = os.getcwd()
    except OSError:
        here = os.sep
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(here)


@contextmanager
def _no_copies() -> Iterator[None]:
    """A copy of this process that a plug-in forks ends here: the rest is the process's own work."""
    process, status = os.getpid(), 0
    try:
        yield
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException:
        status = 1
        raise
    finally:
        if os.getpid() != process:
            os._exit(status)


def _elsewhere(job: Job, workspace: Workspace) -> TaskResult:
    """Have the job done by the interpreter that its plug-in is installed for."""
    there = replace(job, plugin=replace(job.plugin, python=""))
    stage, kills = None, kernel_kills()
    try:
        for what, *about in interpreters.perform(
            job.plugin.python,
            there,
            artefacts=workspace.artefacts.folder.absolute(),
            checkpoints=workspace.checkpoints.absolute(),
            budget=workspace.budget,
            deadline=workspace.deadline,
        ):
            match what:
                case "stage":
                    stage = about[0]
                    workspace.entered(stage)
                case "progress":
                    workspace.progress(*about)
                case _:
                    result: TaskResult = about[0]
                    return result
        raise AssertionError("its last word is its result")
    except interpreters.EndedError as error:
        dead = death(f"interpreter {job.plugin.python}", error.status, kills)
        return replace(dead, plugin=job.plugin.registered, stage=stage, inputs=inputs(job))
    except interpreters.MuteError as error:
        return TaskResult(Status.CRASHED, job.plugin.registered, stage, str(error), inputs=inputs(job))
    except OSError as error:  # there is no such program any more, or no memory for it
        return TaskResult(Status.FAILED, job.plugin.registered, Stage.HAND_OVER, one_line(error), inputs=inputs(job))


def main(number: int) -> None:
    """Do, in an interpreter that a plug-in is installed for, the job that comes over an open file of that number."""
    line, lock, process = Connection(number), Lock(), os.getpid()
    job, settings = line.recv()

    def say(*words: object) -> None:
        """Tell of the job, from any thread of this process, and from no copy that the plug-in forked."""
        if os.getpid() == process:
            with lock:
                line.send(words)

    workspace = Workspace(
        Artefacts(Path(settings["artefacts"])),
        Path(settings["checkpoints"]),
        settings["budget"],
        settings["deadline"],
        lambda *said: say("progress", *said),
        lambda stage: say("stage", stage),
    )
    say("done", perform(job, workspace))


def _do(plugin: Plugin, job: Job, workspace: Workspace, context: Context, stages: Stages) -> TaskResult:
    match job:
        case DataJob():
            return _load(cast(Dataset, plugin), job, workspace, context, stages)
        case PoolJob():
            return _make_pool(cast(Generator, plugin), job, workspace, context, stages)
        case TrainJob():
            return _train(cast(Model, plugin), job, workspace, context, stages)
        case ScorePredictionsJob():
            return _score_predictions(cast(PredictionMetric, plugin), job, workspace, stages)
        case ScorePoolJob():
            return _score_pool(cast(SyntheticMetric, plugin), job, workspace, stages)
        case _:
            assert_never(job)


def _responsible(job: Job, result: TaskResult) -> str:
    """Who is named by a result: a pool that lacks rows is its generator's doing, an artefact that is lost nobody's."""
    if result.stage is Stage.READ and not result.ok:
        return NOBODY
    if result.stage is Stage.COMPOSE and isinstance(job, TrainJob) and job.pool:
        return job.pool.generator
    return job.plugin.registered


_clock = time.perf_counter  # the one that is there before a plug-in can put its own in its place


class Stages:
    """A clock for the stages of a task, which also knows where it stopped, and the most memory that a stage took."""

    def __init__(self, entered: Callable[[Stage], None] = lambda stage: None) -> None:
        self._entered = entered
        self.seconds: dict[str, float] = {}
        self.current: Stage | None = None
        self.peak_memory = 0

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Time a stage."""
        self.current = stage
        self._entered(stage)
        resources.forget_peak_memory()
        start = _clock()
        try:
            yield
        finally:
            self.seconds[str(stage)] = self.seconds.get(stage, 0.0) + _clock() - start
            # now, as what the task has mapped is not mapped any more once it has ended
            self.peak_memory = max(self.peak_memory, resources.peak_memory())


def _load(plugin: Dataset, job: DataJob, workspace: Workspace, context: Context, stages: Stages) -> TaskResult:
    with stages(Stage.LOAD):
        splits = contract.check_splits(plugin.load(seed=job.seed, context=context))
        if job.train_share < 1:
            seed = digests.seed(job.seed, "train share")
            splits = thinned(splits, job.train_share, seed=seed, source=plugin.name)
    with stages(Stage.KEEP):
        tables = contract.tables(splits)
        kept = tables if splits.ranking is None else {**tables, "ranking": splits.ranking}
        artefacts = {name: workspace.artefacts.put_table(table) for name, table in kept.items()}
        for name, probabilities in splits.true_probabilities.items():
            artefacts[f"true {name}"] = workspace.artefacts.put_array(probabilities)
        if words := workspace.artefacts.put_words(splits.train.schema):
            artefacts["words"] = words
        if splits.ranking is not None:
            clicks = Catalogue.of(splits.train, splits.ranking).clicks
            artefacts["item clicks"] = workspace.artefacts.put_array(clicks)
        output = DataOutput(
            splits.fingerprint,
            splits.train.schema.outline(),
            {name: len(table) for name, table in kept.items()},
            {name: table.click_rate for name, table in tables.items()},
            [encodable(bounded(note, LINE)) for note in splits.notes[: contract.MOST_FACTS]],
            splits.ranking.digest() if splits.ranking is not None else "",
            splits.apart,
        )
    return TaskResult(Status.OK, output=output, artefacts=artefacts)


def _make_pool(plugin: Generator, job: PoolJob, workspace: Workspace, context: Context, stages: Stages) -> TaskResult:
    with stages(Stage.READ):
        train = workspace.artefacts.get_table(job.data.artefacts["train"])
    with stages(Stage.FIT):
        sampler = plugin.fit(train.drawn(job.seed), seed=job.seed, context=context)
        contract.expect_type(sampler, Sampler, "fit")
    with stages(Stage.SAMPLE):
        train = workspace.artefacts.get_table(job.data.artefacts["train"])  # whatever the fit did to its rows
        pool, top_ups, facts = _sample_pool(sampler, train, job)
    with stages(Stage.KEEP):
        digest = workspace.artefacts.put_table(pool)
    click_rate = float(pool.targets[: len(train)].mean())
    sha = hashlib.sha256(job.data.fingerprint.encode())  # which knows the schema
    pool.feed(sha)
    output = PoolOutput(sha.hexdigest(), len(pool), top_ups, click_rate, facts, _variety(pool, train))
    return TaskResult(Status.OK, output=output, artefacts={"pool": digest})


def _variety(pool: Table, train: Table) -> float:
    """The distinct rows of a pool over those of real train, labels aside, among the first of each."""
    n = min(len(pool), len(train), VARIETY_ROWS)
    found, real = (n - int(table.rows.iloc[:n].duplicated().sum()) for table in (pool, train))
    return found / real


def _train(plugin: Model, job: TrainJob, workspace: Workspace, context: Context, stages: Stages) -> TaskResult:
    read, data = workspace.artefacts, job.data.artefacts
    with stages(Stage.READ):
        train, valid = (read.get_table(data[name]) for name in ("train", "valid"))
        pool = read.get_table(job.pool.digest) if job.pool else None
    if pool is not None and job.scenario.curates:
        with stages(Stage.FIT):
            pool = _curated(plugin, job, train, valid, pool, context)
            train, valid = (read.get_table(data[name]) for name in ("train", "valid"))  # whatever the fit did to them
    with stages(Stage.COMPOSE):
        table, first = parts(train, pool, job.scenario, seed=job.draw_seed)
        if not job.scenario.pretrains:
            table, first = joined(table, first, job.scenario), None
        rows = len(table) + (0 if first is None else len(first))
        rate = table.click_rate if job.scenario.synthetic_weight == 1 else table.seen_click_rate
    del train, pool
    with stages(Stage.FIT):
        if table.weights is not None and not plugin.supports_weights:
            raise Skip(f"{plugin.name} cannot weight rows, as scenario {job.scenario.name} asks")
        if first is None:
            predictor = plugin.fit(table, valid, seed=job.model_seed, context=context)
        else:
            predictor = plugin.fit_after(first, table, valid, seed=job.model_seed, context=context)
        contract.expect_type(predictor, Predictor, "fit" if first is None else "fit_after")
    with stages(Stage.PREDICT):
        probabilities = {}
        for name in ("valid", "test"):
            asked = read.get_table(data[name]).without_labels()
            size = len(asked)
            probabilities[name] = contract.check_probabilities(predictor.predict(asked), size)
        facts = dict(contract.checked_facts(predictor.details))
    if np.ptp(probabilities["test"]) == 0:
        facts[CONSTANT] = float(probabilities["test"][0])
    rankings = None
    if "ranking" in data:
        with stages(Stage.RANK):
            rankings = _rank(predictor, job, workspace, context)
    with stages(Stage.KEEP):
        artefacts = {name: read.put_array(values) for name, values in probabilities.items()}
        if rankings is not None:
            artefacts["rankings"] = read.put_arrays(
                {"ranks": rankings.ranks, "candidates": rankings.candidates, "top": rankings.top}
            )
    return TaskResult(Status.OK, output=TrainOutput(rows, rate, facts), artefacts=artefacts)


def _curated(plugin: Model, job: TrainJob, train: Table, valid: Table, pool: Table, context: Context) -> Table:
    """The pool's rows that the model itself finds plausible once it has learned real train."""
    aside = replace(context, checkpoints=context.checkpoints / "curation", progress=Context().progress)
    _make(aside.checkpoints)
    judge = plugin.fit(train, valid, seed=job.model_seed, context=aside)
    contract.expect_type(judge, Predictor, "fit")
    asked = pool.without_labels()
    clicks = contract.check_probabilities(judge.predict(asked), len(pool.targets))
    return plausible(pool, clicks, job.scenario.plausible)


def _rank(predictor: Predictor, job: TrainJob, workspace: Workspace, context: Context) -> Rankings:
    train, queries = (workspace.artefacts.get_table(job.data.artefacts[name]) for name in ("train", "ranking"))
    return rank(
        lambda rows: contract.check_probabilities(predictor.predict(rows), len(rows)),
        train,
        queries,
        lambda done, total: context.progress(done, total, {}),
    )


def _score_predictions(
    plugin: PredictionMetric, job: ScorePredictionsJob, workspace: Workspace, stages: Stages
) -> TaskResult:
    read, data = workspace.artefacts, job.data.artefacts
    with stages(Stage.READ):
        truth = data.get("true test")
        rankings = None
        if job.rankings:
            clicks = read.get_array(data["item clicks"])
            rankings = Rankings(**read.get_arrays(job.rankings), clicks=clicks.astype(np.int64))
        predictions = Predictions(
            read.get_table(data["test"]),
            read.get_array(job.predictions),
            read.get_table(data["train"]),
            job.train_click_rate,
            read.get_array(truth) if truth else None,
            read.get_table(data["valid"]),
            read.get_array(job.valid_predictions),
            rankings,
        )
    with stages(Stage.SCORE):
        score = contract.check_score(plugin.score(predictions), len(predictions.rows))
        result = _scored(score)
        if score.contributions is None:
            return result
        parts = intervals.by_group(score.contributions, predictions.rows.users)
        if parts is None:
            return result
    with stages(Stage.KEEP):
        return replace(result, artefacts={"contributions": read.put_array(parts)})


def _score_pool(plugin: SyntheticMetric, job: ScorePoolJob, workspace: Workspace, stages: Stages) -> TaskResult:
    with stages(Stage.READ):
        read, data = workspace.artefacts, job.data.artefacts
        train, holdout, reference = (read.get_table(data[name]) for name in ("train", "valid", "test"))
        whole = read.get_table(job.pool.digest)  # mapped as long as the task reads
        order = np.arange(len(train))
        if len(whole) > len(train):  # else a generator that draws more could have only its first rows looked at
            order = np.sort(np.random.default_rng(job.seed).permutation(len(whole))[: len(train)])
        pool = whole.take(order)
    with stages(Stage.SCORE):
        score = plugin.score(pool, train=train, holdout=holdout, reference=reference, seed=job.seed)
        checked = contract.check_score(score)
        return _scored(replace(checked, flagged=None) if job.data.apart else checked)


def _scored(score: Score) -> TaskResult:
    """The result of a score; its contributions are an artefact."""
    return TaskResult(Status.OK, output=replace(score, contributions=None))


def _sample_pool(sampler: Sampler, train: Table, job: PoolJob) -> tuple[Table, int, Facts]:
    """As many rows as real train, then as many more as a class that falls short of its share is likely to need.

    The pool, the number of extra rows, and what the sampler tells, with what the pool lacks all the same.
    """
    positives = int(train.targets.sum())
    wanted = (round(job.shares[0] * (len(train) - positives)), round(job.shares[1] * positives))
    parts: list[Table] = []
    rows, have = 0, np.zeros(2, np.int64)
    facts: Facts = {}
    while rows == 0 or (any(have < wanted) and rows < TOP_UPS * len(train)):
        if parts:  # a sampler may write all its rows to the same memory
            parts[-1] = parts[-1].take(np.arange(len(parts[-1])))
        asked = _next_rows(rows, have, wanted, len(train))
        part = sampler.sample(asked, seed=digests.seed(job.seed, "sample", len(parts)))
        facts = contract.checked_facts(sampler.details)  # before the rows are checked, as it may write into them
        parts.append(contract.check_pool(part, train, asked).settled())
        rows += asked
        have += np.bincount(parts[-1].targets, minlength=2)
    lacking = np.maximum(wanted - have, 0)
    said = " and ".join(f"{n} {kind}" for n, kind in zip(lacking, ("negatives", "positives"), strict=True) if n)
    return Table.concat(parts), rows - len(train), {**facts, LACKS: said} if said else facts


def _next_rows(drawn: int, have: NDArray[np.int64], wanted: tuple[int, int], most: int) -> int:
    """How many rows to draw next: `most` at first, then what will do. Some samplers take hours for `most`."""
    if drawn == 0:
        return most
    expected = drawn * float(max((np.asarray(wanted) - have) / np.maximum(have, 1)))
    return min(most, TOP_UPS * most - drawn, math.ceil(1.1 * expected) + LEAST_TOP_UP)
