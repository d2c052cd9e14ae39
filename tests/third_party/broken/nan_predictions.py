"""A model that predicts NaN."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ctrbench import Model, Predictor, hookimpl


@dataclass(frozen=True)
class NanPredictions(Model):
    """Predicts not a number."""

    name: ClassVar[str] = "nan_predictions"

    def fit(self, train, valid, *, seed, context):
        """Learn nothing."""
        return Nowhere()


class Nowhere(Predictor):
    """Knows nothing."""

    def predict(self, rows):
        """NaN for every row."""
        return np.full(len(rows), np.nan)


@hookimpl
def register_models(register):
    """Register it."""
    register(NanPredictions)
