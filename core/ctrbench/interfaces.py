"""What a plug-in implements and what it is given: data sets, generators, CTR models and metrics.

A plug-in is a frozen dataclass whose fields are its parameters. It holds no state: fitting returns a separate
artefact (a `Sampler`, a `Predictor`), so an unfitted object cannot be sampled.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ctrbench.errors import Skip
from ctrbench.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench.table import Schema

Better = Literal["higher", "lower", "neither"]
Aspect = Literal["privacy", "fidelity"]
ProgressCallback = Callable[[int, int | None, Mapping[str, float]], None]
"""Hears of a step, of how many there will be where that is known, and of numbers worth showing."""


class MethodRole(StrEnum):
    """What a generator or scenario is there for: rankings and means are over candidates, controls stand beside them."""

    CANDIDATE = "candidate"  # somebody might use it
    CONTROL = "control"  # it tells what a candidate's effect is worth: more rows, noise, the truth, another seed


class Budgeted:
    """Marks a parameter that `--budget` scales: `epochs: Annotated[int, "passes over train", Budgeted()] = 300`."""


class Location:
    """Marks a parameter that says where a file is: `version()` counts in the cache key, the path does not."""


class Shown:
    """Marks a parameter that tables name even at its default, as a private generator's ε."""


@dataclass(frozen=True)
class Searched:
    """Marks a parameter that `tune` may search: from low to high, by its logarithm or not, or among some values.

    As in `learning_rate: Annotated[float, "Adam's", Gt(0), Searched(1e-4, 1e-2, log=True)] = 1e-3`.
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    among: tuple[Any, ...] = ()


def _silent(step: int, total: int | None, values: Mapping[str, float]) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Context:
    """What a task may use: device, threads, a deadline, a place for checkpoints, and someone to report to.

    `deadline` is a `time.time()` instant in seconds, or None; `seconds_left` is not moved when somebody sets the clock;
    `budget` is the factor that has already been applied to every `Budgeted` parameter; call
    `progress(step, total, values)` as often as you like.
    """

    device: str = "cpu"
    threads: int = 1
    budget: float = 1.0
    deadline: float | None = None
    checkpoints: Path = Path(".")
    progress: ProgressCallback = _silent
    _ahead: float = field(init=False, repr=False, compare=False)  # of the steady clock: what the other one shows

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ahead", time.time() - time.monotonic())

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite where there is none."""
        return float("inf") if self.deadline is None else self.deadline - self._ahead - time.monotonic()


@dataclass(frozen=True)
class Splits:
    """A data set as the harness uses it: three tables of one schema, the vocabulary taken from train.

    `ranking` holds clicked test rows as queries of the top-k metrics, see `ctrbench.ranking`. `true_probabilities` maps
    "train", "valid" or "test" to P(label = 1), (rows,), if a simulation knows it; it is never part of a table. `notes`
    are shown to the user and printed under every table made from this data. `apart` says why the splits differ beyond
    chance ("time", "user"): metrics of synthetic rows assume that they do not, and then give no verdict.
    """

    train: Table
    valid: Table
    test: Table
    ranking: Table | None = None
    true_probabilities: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    apart: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the three tables and the truth: equal rows in equal order have the same.

        `ranking` is left out: it has a digest of its own, so that asking for it makes no new pools.
        """
        sha = hashlib.sha256()
        for table in (self.train, self.valid, self.test):
            sha.update(table.digest().encode())
        sha.update(b"-")  # ends the tables
        for name in sorted(self.true_probabilities):
            sha.update(name.encode() + np.ascontiguousarray(self.true_probabilities[name]).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Forecast:
    """What a task will cost at most, roughly: operations of its matrix products, and bytes besides the libraries."""

    operations: float
    memory: float


@dataclass(frozen=True)
class Ready:
    """The data set can be loaded here and now."""


@dataclass(frozen=True)
class Missing:
    """The data set cannot be loaded yet: why, and what the user can do; `download` if naming it downloads it."""

    reason: str
    download: bool = False


@dataclass(frozen=True)
class Plugin:
    """What all plug-ins share: a name, and parameters as dataclass fields.

    The docstring's first line is the help of the command line. Every subclass needs its own `@dataclass(frozen=True)`.
    `imports` names the heavy modules that it imports when it is used; they are imported before its fit's clock. `cpus`
    and `gpus` are what a Ray cluster reserves for one of its tasks: CPUs, or `--threads` if that is more, and with
    `--device cuda` the share of a GPU.
    """

    name: ClassVar[str]
    imports: ClassVar[tuple[str, ...]] = ()
    cpus: ClassVar[float] = 1.0
    gpus: ClassVar[float] = 0.25

    def version(self) -> str:
        """What its results depend on beyond the parameters, such as the checksum of a file; cheap to compute.

        UserError if that cannot be told, because the file is missing.
        """
        return ""


@dataclass(frozen=True)
class Published:
    """A table of figures that somebody published for a data set, for reports to show beside a run's own.

    `figures` maps (generator, scenario, model) to a value of `metric`; all are names of plug-ins, "" for none.
    `statistic` says what a figure is, such as "mean of five runs" or "the best of many runs by test AUC", and
    `deviations` holds the published standard deviations of those figures that have one.
    """

    title: str
    source: str
    metric: str
    figures: Mapping[tuple[str, str, str], float]
    statistic: str = ""
    deviations: Mapping[tuple[str, str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """How a data set would read a user's file: its parameters, and the reason for each.

    `others` maps a parameter to other values that would also work, `fallbacks` are changes to try one after the other
    if a split turns out to have only one class, and `notes` are shown with the proposal.
    """

    parameters: Mapping[str, object]
    reasons: Mapping[str, str]
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    fallbacks: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class Dataset(Plugin, ABC):
    """A source of train, valid and test tables."""

    @property
    def title(self) -> str:
        """What tables call it: the plug-in's name, or the log's own name if the plug-in reads many logs."""
        return self.name

    @classmethod
    def propose(cls, path: str, given: Mapping[str, str]) -> Proposal | None:
        """How it would read the file for `ctrbench try`, where the user's word comes first; None if it cannot.

        UserError, in one line, if the user has to say more.
        """
        return None

    def availability(self) -> Ready | Missing:
        """Whether `load` can work here, found out without loading or downloading."""
        return Ready()

    @abstractmethod
    def load(self, *, seed: int, context: Context) -> Splits:
        """The splits. UserError for files that cannot be used."""

    def published(self) -> Sequence[Published]:
        """What others found on this data."""
        return ()


@dataclass(frozen=True)
class Generator(Plugin, ABC):
    """A method that learns a training table and makes new rows like it.

    `role` says whether somebody might use its rows, or they only serve for comparison.
    """

    role: ClassVar[MethodRole] = MethodRole.CANDIDATE

    @abstractmethod
    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Learn real train, without changing it; equal seeds give equal samplers."""

    def equivalent(self, schema: Schema) -> Generator:
        """The generator that makes the same rows on this schema, so that they are made only once; usually itself."""
        return self

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """What fitting that many rows and sampling as many will cost; None if that is not known beforehand."""
        return None


class Sampler(ABC):
    """A fitted generator."""

    @abstractmethod
    def sample(self, rows: int, *, seed: int) -> Table:
        """Exactly that many new rows with labels, in train's schema; another seed gives different rows."""

    @property
    def details(self) -> Mapping[str, float | str]:
        """Facts of the fit worth recording beside the pool, such as the number of chunks."""
        return {}


@dataclass(frozen=True)
class Model(Plugin, ABC):
    """A CTR model: learns P(label = 1 | row)."""

    supports_weights: ClassVar[bool] = False

    @abstractmethod
    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train on a scenario's table; `valid` holds real rows for early stopping. Change neither."""

    def fit_after(self, pool: Table, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train on synthetic rows first, and then on real ones; Skip by a model that cannot go on from a fitted one.

        Whether a class has this method, and what stands in it, counts in the cache keys of such trainings alone.
        """
        raise Skip(f"{self.name} cannot be trained on synthetic rows first, and on real ones then")

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """What training on that many rows will cost; None if that is not known beforehand."""
        return None


class Predictor(ABC):
    """A fitted CTR model."""

    @abstractmethod
    def predict(self, rows: Table) -> NDArray[np.float64]:
        """P(label = 1) of each row, (rows,), in [0, 1]; the labels are withheld."""

    @property
    def details(self) -> Mapping[str, float | str]:
        """Facts of the fit worth recording, such as the number of parameters and epochs."""
        return {}


@dataclass(frozen=True)
class Score:
    """The value of a metric, what it would be for real data (`baseline`), and further numbers (`details`).

    The details `low` and `high` are a 95 % interval of the value. `flagged` is the metric's own verdict: whether the
    value is worse than that of real rows by more than chance; None if it gives none. `contributions`, (test rows,), are
    how much each test row moves the value: they sum to 0, and over independent rows the sum of their squares is an
    unbiased estimate of the value's variance. A metric of predictions without them has intervals over seeds alone.
    """

    value: float
    baseline: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)
    flagged: bool | None = None
    contributions: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Rankings:
    """How a model ranks all items for each query of `Splits.ranking`; items are numbered from 0."""

    ranks: NDArray[np.float64]  # (queries,), of the clicked item, from 1; a tie counts half
    candidates: NDArray[np.int32]  # (queries,), how many items were ranked
    top: NDArray[np.int32]  # (queries, at most 100), the first items, best first; -1 where there are no more
    clicks: NDArray[np.int64]  # (items,), in real train


@dataclass(frozen=True)
class Predictions:
    """What a prediction metric sees: the real test rows with labels, and the probabilities a model gave them."""

    rows: Table
    probabilities: NDArray[np.float64]  # (rows,)
    real_train: Table
    train_click_rate: float  # of the scenario's training table, its weights counted
    true_probabilities: NDArray[np.float64] | None = None  # (rows,), where a simulation knows them
    valid: Table | None = None  # the real valid rows with labels, for what is fitted to predictions
    valid_probabilities: NDArray[np.float64] | None = None  # (valid rows,)
    rankings: Rankings | None = None  # where the data set has queries


@dataclass(frozen=True)
class Metric(Plugin, ABC):
    """What all metrics declare: whether higher or lower is better, and their unit."""

    better: ClassVar[Better]
    unit: ClassVar[str]


@dataclass(frozen=True)
class PredictionMetric(Metric, ABC):
    """A number about a trained model's predictions on the real test split.

    `slice_of` names the metric that this one is on a part of the test rows: `auc_cold_users` is `auc` on some of them.
    """

    slice_of: ClassVar[str] = ""

    @abstractmethod
    def score(self, predictions: Predictions) -> Score:
        """The score; Skip if it is not defined."""


@dataclass(frozen=True)
class SyntheticMetric(Metric, ABC):
    """A number about synthetic rows, given the real train split and two real splits that no generator has seen.

    `aspect` says what it measures: how much rows reveal of the real ones (privacy), or how similar they are (fidelity).
    """

    aspect: ClassVar[Aspect] = "privacy"

    @abstractmethod
    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The score of the pool's first rows, as many as train has; holdout is valid, reference is test."""
