"""Gradient-boosted trees: what people who work with tables try first.

In: a training table of coded fields. Out: click probabilities of LightGBM's trees, stopped by valid's AUC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from ctrbench import Budgeted, Context, Model, Predictor, Register, Searched, Skip, Table, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import EllipsisType

    from lightgbm import Booster
    from numpy.typing import NDArray

REPORT_EVERY = 10
"""Trees between two reports; also how often the deadline is checked."""


@dataclass(frozen=True)
class LightGBM(Model):
    """Gradient-boosted trees (Ke et al. 2017, LightGBM), with target statistics for ids and native small categories.

    A tree groups a category's values by their gradients, which with thousands of ids fits single rows; so a field with
    more than `native_values` values enters as its smoothed click rate (Micci-Barreca 2001), which each row reads from
    the other folds, and as the logarithm of its count. No figures are published for Frappe; the settings are ours.
    """

    name: ClassVar[str] = "lightgbm"
    supports_weights: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("lightgbm", "sklearn.metrics")

    trees: Annotated[int, "maximum number of trees", Ge(1), Budgeted()] = 1000
    patience: Annotated[int, "trees in a row without a gain on valid that end the training", Ge(1)] = 50
    learning_rate: Annotated[float, "shrinkage of each tree's step", Gt(0), Searched(0.01, 0.3, log=True)] = 0.05
    leaves: Annotated[int, "leaves of a tree", Ge(2), Le(131_072), Searched(7, 255, log=True)] = 63
    rows_a_leaf: Annotated[
        int, "minimum number of rows in a leaf", Ge(1), Le(2**31 - 1), Searched(5, 200, log=True)
    ] = 20
    columns: Annotated[float, "share of the columns that a tree may use", Gt(0), Le(1)] = 0.8
    native_values: Annotated[int, "values up to which a field is a native category", Ge(0)] = 64
    smoothing: Annotated[float, "weight of the mean click rate, in rows of a value", Ge(0)] = 10.0
    folds: Annotated[int, "parts of train, each of which reads the click rates of the others", Ge(2)] = 5

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Boost until valid's AUC no longer grows; Skip where train or valid has only one class.

        Raises TimeoutError at a tree beyond the deadline.
        """
        try:
            import lightgbm
        except (ImportError, OSError) as error:  # OSError: its library needs OpenMP's, libgomp
            raise Skip(f"LightGBM cannot be imported ({error}): pip install lightgbm") from None
        for name, table in (("train", train), ("valid", valid)):
            if table.targets.all() or not table.targets.any():
                raise Skip(f"boosting by AUC needs {name} rows of both classes")
        coding = Coding.of(train, self.native_values, self.smoothing)
        fold = np.random.default_rng(seed).permutation(len(train)) % self.folds
        parameters = {
            "objective": "binary",
            "metric": "auc",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_a_leaf,
            "feature_fraction": self.columns,
            "feature_fraction_seed": seed % 2**31,
            "seed": seed % 2**31,
            "num_threads": context.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        categories = list(range(len(coding.native)))
        data = lightgbm.Dataset(
            coding.of_train(train, fold), train.targets, weight=train.weights, categorical_feature=categories
        )
        held_out = data.create_valid(coding.apply(valid), valid.targets)

        def report(state: lightgbm.callback.CallbackEnv) -> None:
            if state.iteration % REPORT_EVERY == 0:
                context.progress(state.iteration + 1, self.trees, {"valid_auc": state.evaluation_result_list[0][2]})
                if context.seconds_left <= 0:
                    raise TimeoutError(f"the time limit was reached after tree {state.iteration + 1} of {self.trees}")

        stop = lightgbm.early_stopping(self.patience, verbose=False)
        trees = lightgbm.train(parameters, data, self.trees, [held_out], ["valid"], callbacks=[report, stop])
        return Trees(coding, trees, context.threads)


@dataclass(frozen=True)
class Coding:
    """How fields become columns: native categories, then click rates and counts of larger fields, then numbers."""

    native: tuple[str, ...]
    large: tuple[str, ...]
    numeric: tuple[str, ...]
    sizes: Mapping[str, int]
    clicks: Mapping[str, NDArray[np.float64]]  # of each code of a large field, (values + 1,)
    rows: Mapping[str, NDArray[np.float64]]
    rate: float
    smoothing: float

    @classmethod
    def of(cls, train: Table, native_values: int, smoothing: float) -> Coding:
        """Count the clicks and the rows of every value."""
        sizes = {field.name: field.vocab_size for field in train.schema.categorical}
        large = tuple(name for name, size in sizes.items() if size - 1 > native_values)
        clicks, rows = (
            zip(*(_counts(train, name, sizes[name], ...) for name in large), strict=True) if large else ((), ())
        )
        return cls(
            tuple(name for name in sizes if name not in large),
            large,
            tuple(field.name for field in train.schema.numeric),
            sizes,
            dict(zip(large, clicks, strict=True)),
            dict(zip(large, rows, strict=True)),
            float(np.average(train.targets, weights=train.weights)),
            smoothing,
        )

    def of_train(self, train: Table, fold: NDArray[np.intp]) -> NDArray[np.float64]:
        """(rows, columns); a row's click rates and counts leave out its own fold, (rows,)."""
        made = self.apply(train)
        for at in range(fold.max() + 1):
            inside = fold == at
            for column, name in enumerate(self.large):
                clicks, rows = _counts(train, name, self.sizes[name], inside)
                codes = train.column(name)[inside]
                place = len(self.native) + 2 * column
                made[inside, place : place + 2] = self._told(name, codes, clicks, rows)
        return made

    def apply(self, table: Table) -> NDArray[np.float64]:
        """(rows, columns); a value that train lacks has the mean click rate and a count of 0."""
        categories = table.rows[list(self.native)].to_numpy(np.float64)
        rates = [self._told(name, table.column(name)) for name in self.large]
        return np.column_stack([categories, *rates, table.rows[list(self.numeric)].to_numpy(np.float64)])

    def _told(
        self,
        name: str,
        codes: NDArray[np.int32],
        clicks: NDArray[np.float64] | float = 0.0,
        rows: NDArray[np.float64] | float = 0.0,
    ) -> NDArray[np.float64]:
        """Click rate and log count, (rows, 2), without these clicks and rows of each code."""
        left_clicks = (self.clicks[name] - clicks)[codes]
        left_rows = (self.rows[name] - rows)[codes].clip(0)
        rate = (left_clicks + self.smoothing * self.rate) / np.maximum(left_rows + self.smoothing, 1e-9)
        return np.column_stack([np.where(left_rows > 0, rate, self.rate), np.log1p(left_rows)])


@dataclass(frozen=True)
class Trees(Predictor):
    """Boosted trees, and the coding of a row for them."""

    coding: Coding
    trees: Booster
    threads: int

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """P(label = 1) of each row, (rows,)."""
        told: NDArray[np.float64] = self.trees.predict(self.coding.apply(rows), num_threads=self.threads)
        return told

    @property
    def details(self) -> Mapping[str, float | str]:
        """Trees kept, and the best AUC on valid."""
        return {"trees": self.trees.best_iteration, "valid_auc": self.trees.best_score["valid"]["auc"]}


def _counts(
    table: Table, name: str, size: int, which: NDArray[np.bool_] | EllipsisType
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clicks and rows of each code among some of the rows, weighted."""
    codes = table.column(name)[which]
    weights = np.ones(len(codes)) if table.weights is None else table.weights[which].astype(np.float64)
    clicks = np.bincount(codes, weights * table.targets[which], size)
    return clicks.astype(np.float64), np.bincount(codes, weights, size).astype(np.float64)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `lightgbm`."""
    register(LightGBM)
