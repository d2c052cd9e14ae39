"""Models without a perceptron, at their default settings on a log of Frappe's size: an epoch, or all trees."""

from __future__ import annotations

import numpy as np
import pytest
from ctrbench import Context, Model
from ctrbench_models.fm import FM
from ctrbench_models.lightgbm import LightGBM
from ctrbench_models.lr import LR
from test_smoten import WHOLE, log

MODELS: dict[str, Model] = {"fm, an epoch": FM(epochs=1), "lr, an epoch": LR(epochs=1), "lightgbm": LightGBM()}


@pytest.mark.parametrize("engine", ["ctrbench"])
@pytest.mark.parametrize("name", MODELS)
def test_fit(benchmark, name: str, engine: str) -> None:
    benchmark.group = f"{name}, {WHOLE:,} rows"
    train = log(WHOLE)
    valid = train.take(np.arange(20_000))
    predictor = benchmark.pedantic(MODELS[name].fit, (train, valid), {"seed": 1, "context": Context()}, rounds=2)
    assert len(predictor.predict(valid.without_labels())) == len(valid)
