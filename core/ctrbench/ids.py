"""Where a task stands in the graph of a run, and the name under which the store keeps it.

In: the parts of a place, such as data set, generator and repeat. Out: `str(id)`, its name, from which nothing is read
back, and `id.position`, the same for the task's other versions: another source or other parameters of its plug-in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar


class TaskKind(StrEnum):
    """What a task does."""

    DATA = "data"
    POOL = "pool"
    TRAIN = "train"
    SCORE = "score"


@dataclass(frozen=True)
class DataId:
    """The task that loads a data set."""

    kind: ClassVar[TaskKind] = TaskKind.DATA
    repeat: ClassVar[int] = 0  # it comes before them all
    dataset: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.dataset}"

    @property
    def position(self) -> str:
        """Its name, whatever the version."""
        return str(self)


@dataclass(frozen=True)
class PoolId:
    """The task that makes a pool; generators whose calls are equal share it."""

    kind: ClassVar[TaskKind] = TaskKind.POOL
    dataset: str
    call: str  # a digest of the generator's source and parameters
    repeat: int
    generator: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.dataset}/{self.call}/{self.repeat}/{self.generator}"

    @property
    def position(self) -> str:
        """Its name, whatever the version."""
        return str(replace(self, call="*"))


@dataclass(frozen=True)
class TrainId:
    """The task that trains a model on the table of a scenario."""

    kind: ClassVar[TaskKind] = TaskKind.TRAIN
    dataset: str
    scenario: str
    model: str
    repeat: int
    model_seed: int
    pool: PoolId | None

    def __str__(self) -> str:
        return self._named("none" if self.pool is None else str(self.pool))

    @property
    def position(self) -> str:
        """Its name, whatever the version."""
        return self._named("none" if self.pool is None else self.pool.position)

    def _named(self, pool: str) -> str:
        nested = f".{self.model_seed}" if self.model_seed else ""
        return f"{self.kind}/{self.dataset}/{self.scenario}/{self.model}/{self.repeat}{nested}/{pool}"


@dataclass(frozen=True)
class ScoreId:
    """The task that puts a metric to a pool, or to the predictions of a training."""

    kind: ClassVar[TaskKind] = TaskKind.SCORE
    metric: str
    subject: PoolId | TrainId

    @property
    def repeat(self) -> int:
        """That of what is scored."""
        return self.subject.repeat

    def __str__(self) -> str:
        return score_name(self.metric, str(self.subject))

    @property
    def position(self) -> str:
        """Its name, whatever the version."""
        return score_name(self.metric, self.subject.position)


TaskId = DataId | PoolId | TrainId | ScoreId


def score_name(metric: str, subject: str) -> str:
    """The name of the task that scores the training or pool of that name."""
    return f"{TaskKind.SCORE}/{metric}/{subject}"
