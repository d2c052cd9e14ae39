"""Our networks beside the classes of FuxiCTR's model zoo, with the same weights: the same logits, and the same step.

FuxiCTR's package does not bring its zoo: set CTRBENCH_ZOO to the folder model_zoo of a clone of reczoo/FuxiCTR.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Field, Role, Schema, Table
from ctrbench_models._deep import NetworkModel
from ctrbench_models._zoo import Experiment, Zoo
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.fm import FM
from ctrbench_models.lr import LR
from ctrbench_models.masknet import MaskNet
from ctrbench_models.training import columns, fuxictr_feature_map, l2_penalty, train_step
from ctrbench_models.xdeepfm import XDeepFM

ZOO = os.environ.get("CTRBENCH_ZOO", "")
if not ZOO:
    pytest.skip("CTRBENCH_ZOO names no clone of FuxiCTR's model zoo", allow_module_level=True)

ROLES: dict[str, Role] = {"user": "user", "item": "item", "hour": "context"}


@dataclass(frozen=True)
class Pair:
    """One of our models, the zoo's class and settings for the same network, and what theirs calls our parts."""

    model: NetworkModel
    cls: str
    settings: str
    names: tuple[tuple[str, str], ...]  # patterns of ours and theirs
    redundant: str = ""  # a weight that theirs has twice

    def place(self, name: str) -> str:
        """What theirs calls a weight of ours."""
        for pattern, called in (("^embedding\\.", "embedding_layer."), *self.names):
            name = re.sub(pattern, called, name)
        return name


PAIRS = [
    Pair(
        Dnn(embedding_dim=4, hidden_units=(16, 8), dropout=0.0),
        "DNN",
        "hidden_units: [16, 8], batch_norm: true, embedding_regularizer: 0.05",
        ((r"^deep\.", "mlp."),),
    ),
    Pair(
        DeepFM(embedding_dim=4, hidden_units=(16, 8), dropout=0.0, embedding_regularizer=0.1),
        "DeepFM",
        "hidden_units: [16, 8], batch_norm: true, embedding_regularizer: 0.1",
        ((r"^deep\.", "mlp."), (r"^linear\.", "fm.lr_layer.")),
        "fm.lr_layer.bias",
    ),
    Pair(
        DCNv2(embedding_dim=4, hidden_units=(16, 8), dropout=0.0, cross_layers=2),
        "DCNv2",
        "model_structure: parallel, parallel_dnn_hidden_units: [16, 8], num_cross_layers: 2, batch_norm: true, "
        "embedding_regularizer: 0.05",
        ((r"^cross\.", "crossnet."), (r"^deep\.", "parallel_dnn."), (r"^joined", "fc")),
    ),
    Pair(
        FinalMLP(
            embedding_dim=4, hidden_units=(20,), other_hidden_units=(10,), gate_units=8, heads=5, dropout=0.0,
            embedding_regularizer=0.05,
        ),
        "FinalMLP",
        "mlp1_hidden_units: [20], mlp2_hidden_units: [10], mlp1_batch_norm: true, mlp2_batch_norm: true, "
        "fs_hidden_units: [8], fs1_context: [0_user], fs2_context: [1_item], num_heads: 5, embedding_regularizer: 0.05",
        (
            (r"^gates\.0\.id\.", "fs_module.fs1_ctx_emb."), (r"^gates\.1\.id\.", "fs_module.fs2_ctx_emb."),
            (r"^gates\.0\.gate", "fs_module.fs1_gate"), (r"^gates\.1\.gate", "fs_module.fs2_gate"),
            (r"^perceptrons\.0", "mlp1"), (r"^perceptrons\.1", "mlp2"),
            (r"^joined\.products", "fusion_module.w_xy"), (r"^joined\.linear", "fusion_module.w_x"),
            (r"^joined\.other_linear", "fusion_module.w_y"),
        ),
    ),
    Pair(
        FinalNet(
            embedding_dim=4, hidden_units=(16, 8), other_hidden_units=(12,), dropout=0.0, embedding_regularizer=0.1
        ),
        "FinalNet",
        "use_feature_gating: true, block1_hidden_units: [16, 8], block2_hidden_units: [12], "
        "block1_hidden_activations: relu, block2_hidden_activations: relu, embedding_regularizer: 0.1",
        (
            (r"^gate\.weigh", "feature_gating.linear"),
            (r"^stacks\.0\.0\.", "block1.layer.0."), (r"^stacks\.0\.1\.", "block1.norm.0."),
            (r"^stacks\.0\.4\.", "block1.layer.1."), (r"^stacks\.0\.5\.", "block1.norm.1."),
            (r"^stacks\.0\.8\.", "fc1."),
            (r"^stacks\.1\.0\.", "block2.layer.0."), (r"^stacks\.1\.1\.", "block2.norm.0."),
            (r"^stacks\.1\.4\.", "fc2."),
        ),
    ),
    Pair(
        AutoInt(
            embedding_dim=4, hidden_units=(16, 8), attention_layers=2, attention_dim=6, heads=2, dropout=0.0,
            embedding_regularizer=0.1,
        ),
        "AutoInt",
        "dnn_hidden_units: [16, 8], attention_layers: 2, attention_dim: 6, num_heads: 2, batch_norm: true, "
        "layer_norm: true, use_residual: true, use_scale: true, embedding_regularizer: 0.1",
        (
            (r"^attention\.(\d)\.query", r"self_attention.\1.W_q"),
            (r"^attention\.(\d)\.key", r"self_attention.\1.W_k"),
            (r"^attention\.(\d)\.value", r"self_attention.\1.W_v"),
            (r"^attention\.(\d)\.residual", r"self_attention.\1.W_res"),
            (r"^attention\.(\d)\.norm", r"self_attention.\1.layer_norm"), (r"^last", "fc"), (r"^deep", "dnn"),
        ),
    ),
    Pair(
        XDeepFM(embedding_dim=4, hidden_units=(16, 8), dropout=0.0, cin_units=(6, 5), embedding_regularizer=0.1),
        "xDeepFM",
        "dnn_hidden_units: [16, 8], cin_hidden_units: [6, 5], batch_norm: true, embedding_regularizer: 0.1",
        ((r"^linear", "lr_layer"), (r"^interactions", "cin"), (r"^deep", "dnn")),
    ),
    Pair(
        MaskNet(embedding_dim=4, hidden_units=(16, 8), blocks=2, block_dim=6, dropout=0.0, embedding_regularizer=0.1),
        "MaskNet",
        "model_type: ParallelMaskNet, parallel_num_blocks: 2, parallel_block_dim: 6, reduction_ratio: 2, "
        "dnn_hidden_units: [16, 8], emb_layernorm: false, net_layernorm: true, embedding_regularizer: 0.1",
        (
            (r"^blocks\.(\d)\.mask\.", r"mask_net.mask_blocks.\1.mask_layer."),
            (r"^blocks\.(\d)\.hidden\.", r"mask_net.mask_blocks.\1.hidden_layer."), (r"^deep", "mask_net.dnn"),
        ),
    ),
    Pair(FM(embedding_dim=4), "FM", "regularizer: 5.0e-6", ((r"^machine", "fm"),)),
    Pair(LR(), "LR", "regularizer: 1.0e-5", ((r"^linear", "lr_layer"),)),
]  # fmt: skip


def log(rows: int = 256) -> Table:
    rng = np.random.default_rng(0)
    fields = tuple(
        Field(name, "categorical", role, tuple(f"{n:02}" for n in range(20))) for name, role in ROLES.items()
    )
    frame = pd.DataFrame({name: rng.integers(1, 21, rows).astype(np.int32) for name in ROLES})
    return Table(frame, Schema(fields), (rng.random(rows) < 0.4).astype(np.int8))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.cls)
def test_with_the_zoos_weights_our_network_is_the_zoos(pair: Pair) -> None:
    table = log()
    dim = getattr(pair.model, "embedding_dim", 10)
    settings = pair.settings + (f", embedding_dim: {dim}" if hasattr(pair.model, "embedding_dim") else "")
    experiment = Experiment.read("", "", pair.cls, settings)
    torch.manual_seed(1)
    theirs = Zoo.find(str(Path(ZOO)), pair.cls).build(fuxictr_feature_map(table.schema, dim), experiment, "cpu")
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(0.0, 0.0 if name == pair.redundant else 0.4)
    named = {name: value for name, value in theirs.state_dict().items() if name != pair.redundant}
    ours = pair.model.network(fuxictr_feature_map(table.schema, dim))
    copied = {name: named.pop(pair.place(name)).reshape(value.shape) for name, value in ours.state_dict().items()}
    assert not named  # they have nothing else
    ours.load_state_dict(copied)

    batch = {
        name: torch.from_numpy(codes).long() for name, codes in zip(columns(table.schema), table.codes.T, strict=True)
    }
    labels = torch.from_numpy(table.targets).float()[:, None]
    logits = []
    for network in (theirs, ours):
        network.optimizer = torch.optim.SGD(network.parameters(), lr=1.0)  # a step is the gradient
        network._max_gradient_norm = 10.0
        network.eval()
        with torch.no_grad():
            logits.append(network.forward(batch)["y_pred"].logit())
        network.train()
    assert float(logits[0].std()) > 1e-3
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-5)
    begun = {name: value.clone() for name, value in ours.named_parameters()}
    theirs.train_step({**batch, table.schema.label: labels})
    train_step(ours, batch, labels, None, l2_penalty(ours))
    ended = dict(theirs.named_parameters())
    for name, value in ours.named_parameters():
        torch.testing.assert_close(value, ended[pair.place(name)].reshape(value.shape), rtol=0, atol=1e-5)
    assert max(float((value - begun[name]).detach().abs().max()) for name, value in ours.named_parameters()) > 1e-3
