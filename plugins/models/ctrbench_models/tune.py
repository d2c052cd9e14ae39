"""A model tuned on valid for each training table, to see whether synthetic rows still help tuned models.

In: a training table and valid. Out: the best of several models by valid's AUC.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge
from ctrbench import (
    Budgeted,
    Context,
    Forecast,
    Model,
    Predictor,
    Register,
    Schema,
    Searched,
    Skip,
    Table,
    UserError,
    hookimpl,
    model_within,
    searched,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna import Study
    from optuna.trial import Trial

SAVE_EVERY = 120.0
"""Seconds between two times that the trials are written down."""


@dataclass(frozen=True)
class Tune(Model):
    """Another model with its parameters tuned by valid's AUC over a number of trials (Optuna's TPE).

    The first trial uses the parameters that the model is named with; the others are proposed by a tree-structured
    Parzen estimator (Bergstra et al. 2011) within the ranges that the model's author declares (`Searched`). Each
    training table has its own search, seeded by its repeat, so that all scenarios are tuned at equal cost; test is
    never seen. A trial that diverges is lost, not the search.
    """

    name: ClassVar[str] = "tune"
    supports_weights: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("optuna", "sklearn.metrics")

    model: Annotated[str, "the model; its parameters given here stay fixed unless they are searched"] = "logistic"
    trials: Annotated[int, "models to train", Ge(1), Budgeted()] = 30

    def version(self) -> str:
        """That of the model within; UserError where there is none, or none of its parameters can be searched."""
        model, version = model_within(self.model)
        if not searched(model):
            raise UserError(f"tune[model={self.model}]: no parameter of {model.name} is marked as `Searched`")
        return version

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        """The model's own, times the trials."""
        one = model_within(self.model)[0].forecast(schema, rows)
        return one and replace(one, operations=one.operations * self.trials)

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Train all trials; Skip where valid has only one class, or the model cannot weight rows that have weights."""
        try:
            import optuna
        except ImportError:
            raise Skip('Optuna is not installed: pip install "ctrbench[tune]"') from None
        model, _ = model_within(self.model)
        if train.weights is not None and not model.supports_weights:
            raise Skip(f"{model.name} cannot weight rows")
        if valid.targets.all() or not valid.targets.any():
            raise Skip("a search by AUC needs valid rows of both classes")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        with Kept.of(context.checkpoints / "trials.json") as kept:
            return Search(model, self.trials, train, valid, seed, context, kept).run(study)


@dataclass
class Search:
    """One search: its trials, and the best of them so far."""

    model: Model
    trials: int
    train: Table
    valid: Table
    seed: int
    context: Context
    kept: Kept
    best: Best | None = None

    def run(self, study: Study) -> Predictor:
        """All trials, the model's own parameters first; FloatingPointError where every one of them diverged."""
        ranges = searched(self.model)
        own = {name: getattr(self.model, name) for name in ranges}
        outside = not all(_within(own[name], where) for name, where in ranges.items())
        if outside:  # the estimator cannot be told of it
            with suppress(FloatingPointError):
                self.attempt(0, own)
        else:
            study.enqueue_trial({name: _as_tried(own[name], where) for name, where in ranges.items()})

        def proposed(trial: Trial) -> float:
            values = {name: _proposed(trial, name, where) for name, where in ranges.items()}
            return self.attempt(trial.number + outside, values)

        study.optimize(proposed, n_trials=self.trials - outside, catch=FloatingPointError)
        best = self.best
        if best is None:
            raise FloatingPointError(self.kept.trials[0].diverged)
        predictor = best.predictor or self.trained(best.number, best.values)[0]
        return Tuned(predictor, best.values, best.auc, self.kept.trials)

    def attempt(self, number: int, values: Mapping[str, Any]) -> float:
        """The AUC of a trial on valid; FloatingPointError where it diverges."""
        told, predictor = json.dumps(values), None
        ended = self.kept.before(number, told)
        if ended is None:
            try:
                predictor, auc = self.trained(number, values)
                ended = Ended(told, auc)
            except FloatingPointError as error:
                ended = Ended(told, None, str(error))
        self.kept.add(ended)
        if ended.auc is not None and (self.best is None or ended.auc > self.best.auc):
            self.best = Best(number, values, ended.auc, predictor)
        self.context.progress(number + 1, self.trials, {"best valid_auc": self.best.auc} if self.best else {})
        if ended.auc is None:
            raise FloatingPointError(ended.diverged)
        return ended.auc

    def trained(self, number: int, values: Mapping[str, Any]) -> tuple[Predictor, float]:
        """The model with these parameters, and its AUC on valid."""
        from sklearn.metrics import roc_auc_score

        quiet = replace(self.context, checkpoints=self.context.checkpoints / f"trial {number}", progress=_silent)
        predictor = replace(self.model, **values).fit(self.train, self.valid, seed=self.seed, context=quiet)
        found = predictor.predict(self.valid.without_labels())
        if not np.isfinite(found).all():
            raise FloatingPointError("predictions are not finite")
        return predictor, float(roc_auc_score(self.valid.targets, found))


class Best(NamedTuple):
    """The best trial so far; its predictor only where it was trained since the search began, or went on."""

    number: int
    values: Mapping[str, Any]
    auc: float
    predictor: Predictor | None


class Ended(NamedTuple):
    """A trial that has ended: its parameters as JSON, and its AUC or why it has none."""

    values: str
    auc: float | None
    diverged: str = ""


class Kept:
    """The trials that have ended, written down every two minutes, so that a search that was stopped goes on.

    The estimator is asked again from its first trial, and proposes the same.
    """

    def __init__(self, path: Path, earlier: list[Ended]) -> None:
        self.trials: list[Ended] = []
        self._path, self._earlier = path, earlier
        self._begun = self._saved = time.monotonic()

    @classmethod
    def of(cls, path: Path) -> Kept:
        """With what an earlier search of the same task wrote down."""
        try:
            return cls(path, [Ended(*each) for each in json.loads(path.read_text())])
        except (OSError, ValueError, TypeError):  # there is none, or none that can be read
            return cls(path, [])

    def before(self, number: int, values: str) -> Ended | None:
        """How a trial ended in an earlier search, if it did."""
        ended = self._earlier[number] if number < len(self._earlier) else None
        return ended if ended and ended.values == values else None

    def add(self, ended: Ended) -> None:
        """A trial more."""
        self.trials.append(ended)
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self._save()

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write down what a search that is stopped has, unless it has only begun."""
        if kind is not None and time.monotonic() - self._begun >= SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        part = self._path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):  # a full disk does not end a search
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self.trials))
            part.replace(self._path)
            self._saved = time.monotonic()


@dataclass(frozen=True, eq=False)
class Tuned(Predictor):
    """The best model, and how it was found."""

    predictor: Predictor
    values: Mapping[str, Any]
    auc: float
    trials: Sequence[Ended]

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """The best model's probabilities."""
        return self.predictor.predict(rows)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The model's own, the parameters found, their AUC on valid, how many trials, how many diverged."""
        found = {
            f"tuned {name}": value if isinstance(value, int | float) else str(value)
            for name, value in self.values.items()
        }
        diverged = sum(each.auc is None for each in self.trials)
        counts = {"trials": len(self.trials), **({"trials that diverged": diverged} if diverged else {})}
        return {**self.predictor.details, **found, "best valid auc": self.auc, **counts}


def _proposed(trial: Trial, name: str, where: Searched) -> Any:
    """The value that a trial proposes for a parameter; a whole number where its range has whole numbers."""
    if where.among:
        return where.among[trial.suggest_categorical(name, range(len(where.among)))]
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(name, where.low, where.high, log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


def _within(value: Any, where: Searched) -> bool:
    """Whether a search could propose this value."""
    if where.among:
        return value in where.among
    return isinstance(value, int | float) and where.low <= value <= where.high


def _as_tried(value: Any, where: Searched) -> Any:
    """A parameter's value in the form that the search uses."""
    return where.among.index(value) if where.among else value


def _silent(step: int, total: int | None, values: Mapping[str, float]) -> None:
    """Report to nobody."""


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `tune`."""
    register(Tune)
