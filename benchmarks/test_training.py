"""Training of the deep models at BARS's settings, compared with FuxiCTR's own and with bare matrix products.

A step: ours, FuxiCTR's `train_step` on the same batches with the optimizer of its `compile`, and, as the floor, the
three matrix products of each linear layer (forward, and two backward) into preallocated memory. An epoch, with the AUC
on valid at its end: our whole `fit`, and FuxiCTR's `fit` with the loader that it uses for CSV data (parquet, by Ray)
and with the one for .npz files; in all of them the networks are built, and the loaders' files written and opened,
before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ctrbench import Context
from ctrbench_datasets.simulated import Simulated
from ctrbench_models._deep import DeepModel, Precision
from ctrbench_models._quick import quicken
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.masknet import MaskNet
from ctrbench_models.training import columns, fuxictr_feature_map, l2_penalty, train_step
from ctrbench_models.xdeepfm import XDeepFM
from fuxictr.pytorch.models import BaseModel
from fuxictr_side import as_fuxictr_compiles_it, npz_loader, parquet_loader

STEPS = 3
SPLITS = Simulated(users=950, items=4000, train_rows=60_000, valid_rows=8_000, test_rows=1000).load(
    seed=1, context=Context()
)
MODELS: list[DeepModel] = [Dnn(), DeepFM(), MaskNet(), DCNv2(), FinalMLP(), FinalNet(), AutoInt(), XDeepFM()]
ALL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@pytest.mark.parametrize("engine", ["ctrbench", "ctrbench, bf16", "fuxictr", "bare products"])
@ALL
def test_training_step(benchmark, model: DeepModel, engine: str) -> None:
    benchmark.group = f"training step, {model.name}"
    batches = []
    for step in range(STEPS):
        rows = SPLITS.train.take(np.random.default_rng(step).choice(len(SPLITS.train), model.batch_size))
        fields = dict(zip(columns(rows.schema), torch.from_numpy(rows.codes.T.copy()), strict=True))
        batches.append((fields, torch.from_numpy(rows.targets).float()[:, None]))
    network = model.network(fuxictr_feature_map(SPLITS.train.schema)).train()

    def ours() -> None:
        for fields, labels in batches:
            train_step(network, fields, labels, None, penalty)

    def theirs() -> None:
        for fields, labels in batches:
            network.train_step({**fields, "label": labels}).item()

    if engine.startswith("ctrbench"):
        quicken(network, precision(engine))
        penalty = l2_penalty(network)
        run: Callable[[], None] = ours
    elif engine == "fuxictr":
        as_fuxictr_compiles_it(network, model)
        run = theirs
    else:
        run = bare_products(network, model.batch_size)
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("engine", ["ctrbench", "ctrbench, bf16", "fuxictr parquet", "fuxictr npz"])
@ALL
def test_training_epoch(benchmark, model: DeepModel, engine: str, tmp_path: Path) -> None:
    benchmark.group = f"training epoch with its evaluation, {model.name}"
    threads = torch.get_num_threads()

    def ours() -> None:
        once = replace(model, epochs=1, precision=precision(engine))
        once.fit(SPLITS.train, SPLITS.valid, seed=1, context=Context(threads=threads))

    def theirs() -> None:
        network = as_fuxictr_compiles_it(model.network(fuxictr_feature_map(SPLITS.train.schema)), model)
        network.checkpoint = str(tmp_path / "best.model")
        network.fit(train, epochs=1, validation_data=valid)

    if engine.startswith("fuxictr"):
        loader = parquet_loader if engine == "fuxictr parquet" else npz_loader
        train = loader(SPLITS.train, tmp_path / "train", model.batch_size, shuffle=True)
        valid = loader(SPLITS.valid, tmp_path / "valid", model.batch_size, shuffle=False)
    benchmark.pedantic(theirs if engine.startswith("fuxictr") else ours, rounds=2)


def precision(engine: str) -> Precision:
    return "bf16" if "bf16" in engine else "float32"


def bare_products(network: BaseModel, rows: int) -> Callable[[], None]:
    layers = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear):
            width, height = layer.in_features, layer.out_features
            shapes = (rows, width), (height, width), (rows, height)
            operands = [torch.randn(shape) for shape in shapes]
            layers.append((operands, [torch.empty_like(one) for one in operands]))

    def products() -> None:
        for _ in range(STEPS):
            for (inputs, weight, slopes), (to_inputs, to_weight, outputs) in layers:
                torch.mm(inputs, weight.T, out=outputs)
                torch.mm(slopes, weight, out=to_inputs)
                torch.mm(slopes.T, inputs, out=to_weight)

    return products
