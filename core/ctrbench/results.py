"""What came of a task, and of a cell of the grid: plain values that cross processes and rest in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ctrbench.interfaces import Score


class Status(StrEnum):
    """How a task ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Cost:
    """Wall time in seconds, and peak resident memory in bytes."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Spent:
    """What a finished task cost: seconds of its fit, of all else, bytes, and the effort that its fit was."""

    fit: float
    rest: float
    memory: float
    effort: float


@dataclass(frozen=True)
class TaskResult:
    """The end of one task: numbers and digests where it went well, else who failed at what and why."""

    status: Status
    plugin: str = ""  # as in "ctgan (ctrbench 0.1.0)"
    stage: str = ""  # load, fit, sample, compose, predict, score, …
    reason: str = ""  # one line; for a skip its reason, for a failure the error
    traceback: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)  # artefact name → digest
    values: Mapping[str, Any] = field(default_factory=dict)  # JSON values: counts, facts of the fit, a score
    seconds: Mapping[str, float] = field(default_factory=dict)  # stage → wall time
    peak_memory: int = 0  # bytes, resident
    peak_gpu_memory: int = 0  # bytes; 0 without a GPU
    started: float = 0.0  # seconds since 1970; 0 where it is not known
    host: str = ""  # a digest of the worker's name
    inputs: Mapping[str, Any] = field(default_factory=dict)  # seeds, and fingerprints of data set and pool
    run: str = field(default="", compare=False)  # the run that did it, once it is stored
    users_mistake: bool = False

    @property
    def ok(self) -> bool:
        """Whether the task has a result that others can use."""
        return self.status is Status.OK

    def describe(self) -> str:
        """The failure or skip in one line that names the plug-in."""
        stage = f" in {self.stage}" if self.stage else ""
        return f"{self.plugin}: {self.status}{stage}: {self.reason}".removeprefix(": ")


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
