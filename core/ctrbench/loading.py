"""A data set loaded beside any run, for whoever wants to look at it before there is one; and which ones a run can use.

In: a chosen data set and the task that loads it. Out: its `TaskResult`; what was made on the way is not kept.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ctrbench import choices
from ctrbench.asking import NoAnswer
from ctrbench.choices import Chosen
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset
from ctrbench.jobs import Job
from ctrbench.perform import Workspace, perform
from ctrbench.plan import Task
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts
from ctrbench.store.store import Store
from ctrbench.suite import Suite

Loaded = list[tuple[Chosen[Dataset], TaskResult]]


def result_of(dataset: Chosen[Dataset], task: Task, store: Store | None = None) -> TaskResult:
    """What a store has of a data set, or what comes of loading it now; UserError where a run would end with it."""
    asked = task.keyed({})
    if isinstance(asked, TaskResult):
        return asked
    job, key = asked
    found = store.find(key) if store else None
    return found if found is not None and found.ok else _load(dataset, job)


def usable(results: Iterable[tuple[Chosen[Dataset], TaskResult]], suite: Suite) -> tuple[Loaded, list[TaskResult]]:
    """The data sets that a run goes on with, and what came of the others; UserError for a mistake in a named one."""
    loaded: Loaded = []
    failed = []
    for dataset, result in results:
        if result.ok:
            loaded.append((dataset, result))
        elif result.users_mistake and choices.is_named(dataset, suite):
            raise mistake(result)
        else:
            failed.append(result)
    return loaded, failed


def _load(dataset: Chosen[Dataset], job: Job) -> TaskResult:
    """What comes of loading it now, however long that takes."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Artefacts(Path(folder)), Path(folder))
        told = dataset.ask(lambda _: perform(job, workspace), math.inf)
    if isinstance(told, NoAnswer):
        return TaskResult(Status.CRASHED, str(dataset.registered), Stage.LOAD, told.error)
    return told


def mistake(failed: TaskResult) -> UserError:
    """What to tell a user of a data set that could not be loaded."""
    return UserError(failed.reason if failed.users_mistake else failed.describe())
