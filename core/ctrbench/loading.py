"""A data set loaded beside any run, for whoever wants to look at it before there is one.

In: a chosen data set and the task that loads it. Out: its `TaskResult`; what was made on the way is not kept.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from ctrbench.asking import NoAnswer, ask
from ctrbench.choices import Chosen
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset
from ctrbench.jobs import Job
from ctrbench.perform import Workspace, perform
from ctrbench.plan import Task
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts


def job_of(task: Task) -> Job:
    """The job of a task that waits for none; UserError where its plug-in cannot say what it would read."""
    job = ask(lambda: task.job({}))
    if isinstance(job, NoAnswer):
        raise job.mistake or UserError(f"{task.plugin}: {job.error}")
    return job


def load(dataset: Chosen[Dataset], job: Job) -> TaskResult:
    """What comes of loading a data set now, however long that takes."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Artefacts(Path(folder)), Path(folder))
        told = dataset.ask(lambda _: perform(job, workspace), math.inf)
    if isinstance(told, NoAnswer):
        return TaskResult(Status.CRASHED, str(dataset.registered), Stage.LOAD, told.error)
    return told


def mistake(failed: TaskResult) -> UserError:
    """What to tell a user of a data set that could not be loaded."""
    return UserError(failed.reason if failed.users_mistake else failed.describe())
