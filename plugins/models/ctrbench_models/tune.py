"""A model tuned on valid for each training table, to see whether synthetic rows still help tuned models.

In: a training table and valid. Out: the best of several models by valid's AUC.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

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
    from optuna.trial import Trial


@dataclass(frozen=True)
class Tune(Model):
    """Another model with its parameters tuned by valid's AUC over a number of trials (Optuna's TPE).

    The first trial uses the parameters that the model is named with; the others are proposed by a tree-structured
    Parzen estimator (Bergstra et al. 2011) within the ranges that the model's author declares (`Searched`). Each
    training table has its own search, seeded by its repeat, so that all scenarios are tuned at equal cost; test is
    never seen.
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
        from sklearn.metrics import roc_auc_score

        model, _ = model_within(self.model)
        if train.weights is not None and not model.supports_weights:
            raise Skip(f"{model.name} cannot weight rows")
        if valid.targets.all() or not valid.targets.any():
            raise Skip("a search by AUC needs valid rows of both classes")
        best: list[Tuned] = []

        def attempt(trial: Trial) -> float:
            values = {name: _proposed(trial, name, where) for name, where in searched(model).items()}
            quiet = replace(context, checkpoints=context.checkpoints / f"trial {trial.number}", progress=_silent)
            predictor = replace(model, **values).fit(train, valid, seed=seed, context=quiet)
            auc = float(roc_auc_score(valid.targets, predictor.predict(valid.without_labels())))
            if not best or auc > best[0].auc:
                best[:] = [Tuned(predictor, values, auc, self.trials)]
            context.progress(trial.number + 1, self.trials, {"best valid_auc": best[0].auc})
            return auc

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Fixed parameter")  # one of the model's may lie outside its range
            study.enqueue_trial({name: _as_tried(getattr(model, name), at) for name, at in searched(model).items()})
            study.optimize(attempt, n_trials=self.trials)
        return best[0]


@dataclass(frozen=True, eq=False)
class Tuned(Predictor):
    """The best model, and how it was found."""

    predictor: Predictor
    values: Mapping[str, Any]
    auc: float
    trials: int

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """The best model's probabilities."""
        return self.predictor.predict(rows)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The model's own, the parameters found, their AUC on valid, and the number of trials."""
        found = {
            f"tuned {name}": value if isinstance(value, int | float) else str(value)
            for name, value in self.values.items()
        }
        return {**self.predictor.details, **found, "best valid auc": self.auc, "trials": self.trials}


def _proposed(trial: Trial, name: str, where: Searched) -> Any:
    """The value that a trial proposes for a parameter; a whole number where its range has whole numbers."""
    if where.among:
        return where.among[trial.suggest_categorical(name, range(len(where.among)))]
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(name, where.low, where.high, log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


def _as_tried(value: Any, where: Searched) -> Any:
    """A parameter's value in the form that the search uses."""
    return where.among.index(value) if where.among else value


def _silent(step: int, total: int | None, values: Mapping[str, float]) -> None:
    """Report to nobody."""


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `tune`."""
    register(Tune)
