"""A training step of DNN, DeepFM and MaskNet at BARS's settings and Frappe's width, beside FuxiCTR's own step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctrbench import Context
from ctrbench_datasets.simulated import Simulated
from ctrbench_models._deep import DeepModel
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.masknet import MaskNet
from ctrbench_models.training import columns, fuxictr_feature_map, l2_penalty, train_step

STEPS = 3
LOG = Simulated(users=950, items=4000, train_rows=60_000, valid_rows=1000, test_rows=1000)


@pytest.mark.parametrize("engine", ["ctrbench", "fuxictr"])
@pytest.mark.parametrize("model", [Dnn(), DeepFM(), MaskNet()], ids=lambda model: model.name)
def test_training_step(benchmark, model: DeepModel, engine: str) -> None:
    benchmark.group = f"training step, {model.name}"
    train = LOG.load(seed=1, context=Context()).train
    torch.manual_seed(1)
    network = model.network(fuxictr_feature_map(train.schema)).train()
    network._max_gradient_norm = 10.0
    batches = []
    for step in range(STEPS):
        rows = train.take(np.random.default_rng(step).choice(len(train), model.batch_size))
        fields = dict(zip(columns(train.schema), torch.from_numpy(rows.codes.T.copy()), strict=True))
        batches.append((fields, torch.from_numpy(rows.targets).float()[:, None]))
    penalty = l2_penalty(network)

    def ours() -> None:
        for fields, labels in batches:
            train_step(network, fields, labels, None, penalty)

    def theirs() -> None:
        for fields, labels in batches:
            network.train_step({**fields, "label": labels}).item()

    benchmark.pedantic(ours if engine == "ctrbench" else theirs, rounds=5, warmup_rounds=1)
