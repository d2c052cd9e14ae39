"""Logistic regression on one-hot fields: what single values say, without any interaction of fields.

In: a training table. Out: click probabilities of a linear model.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt
from ctrbench import Context, Model, Predictor, Register, Schema, Searched, Table, hookimpl

from ctrbench_models._scaling import Scaling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

EDGE = 1e-7  # probabilities stay this far inside (0, 1), so that log loss is finite


@dataclass(frozen=True)
class Logistic(Model):
    """Logistic regression on one-hot fields and standardised numbers (scikit-learn, L-BFGS)."""

    name: ClassVar[str] = "logistic"
    supports_weights: ClassVar[bool] = True
    imports: ClassVar[tuple[str, ...]] = ("sklearn.linear_model",)

    c: Annotated[float, "inverse strength of the L2 penalty", Gt(0), Searched(1e-3, 1e3, log=True)] = 1.0
    max_iter: Annotated[int, "maximum number of iterations", Ge(1)] = 500

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        """Fit to the training table; a table with only one class gives one probability for all rows."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        labels = train.targets
        if labels.all() or not labels.any():
            return Constant(float((labels.sum() + 1) / (len(labels) + 2)))
        scaling = Scaling.of(train)
        regression = LogisticRegression(C=self.c, max_iter=self.max_iter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` in the details says so
            regression.fit(_design(train, scaling), labels, sample_weight=train.weights)
        return Linear(train.schema, regression, scaling)


@dataclass(frozen=True)
class Linear(Predictor):
    """A fitted regression, and the scaling of its numeric inputs."""

    schema: Schema
    regression: LogisticRegression
    scaling: Scaling

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """P(label = 1) of each row, (rows,)."""
        probabilities: NDArray[np.float64] = self.regression.predict_proba(_design(rows, self.scaling))[:, 1]
        return np.clip(probabilities, EDGE, 1 - EDGE)

    @property
    def details(self) -> Mapping[str, float | str]:
        """Iterations run and coefficients."""
        return {"iterations": int(self.regression.n_iter_[0]), "parameters": self.regression.coef_.size + 1}


@dataclass(frozen=True)
class Constant(Predictor):
    """The same probability for every row."""

    probability: float

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """The constant, (rows,)."""
        return np.full(len(rows), self.probability)


def _design(table: Table, scaling: Scaling) -> csr_matrix:
    """One column per code of each categorical field, then one per numeric field; an unseen value sets no column."""
    from scipy.sparse import csr_matrix, hstack

    codes = table.codes  # (rows, categorical fields)
    sizes = [field.vocab_size for field in table.schema.categorical]
    firsts = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, np.int64)
    seen = (codes > 0).astype(np.float64)
    starts = np.arange(len(table) + 1) * codes.shape[1]
    one_hot = csr_matrix((seen.ravel(), (codes + firsts).ravel(), starts), shape=(len(table), sum(sizes)))
    return hstack([one_hot, csr_matrix(scaling.apply(table).T)], format="csr")


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `logistic`."""
    register(Logistic)
