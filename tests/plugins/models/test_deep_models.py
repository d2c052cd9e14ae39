"""DNN, DeepFM and MaskNet: their sizes, what they learn, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ctrbench import Context, Splits
from ctrbench_datasets.frappe import Frappe
from ctrbench_datasets.simulated import Simulated
from ctrbench_models._deep import MAPPED_ABOVE, DeepModel
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.masknet import MaskNet
from ctrbench_models.training import columns, fuxictr_feature_map
from sklearn.metrics import log_loss, roc_auc_score

QUICK = {
    "embedding_dim": 8,
    "hidden_units": (64, 32),
    "batch_size": 512,
    "learning_rate": 2e-3,
    "dropout": 0.1,
    "embedding_regularizer": 0.02,
    "epochs": 40,
}
MODELS: list[type[DeepModel]] = [Dnn, DeepFM, MaskNet]
ALL = pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)


@pytest.fixture(scope="session")
def simulated() -> Splits:
    return Simulated().load(seed=1, context=Context())


@pytest.fixture(scope="session")
def frappe(frappe_folder: Path) -> Splits:
    return Frappe(path=str(frappe_folder)).load(seed=1, context=Context())


@ALL
def test_quick_settings_reach_the_recipes_auc_on_simulated(cls: type[DeepModel], simulated: Splits) -> None:
    predictor = cls(**QUICK).fit(simulated.train, simulated.valid, seed=1, context=Context())
    auc = roc_auc_score(simulated.test.targets, predictor.predict(simulated.test.without_labels()))
    assert 0.785 < auc < 0.83


@pytest.mark.parametrize(("cls", "parameters"), [(Dnn, 417_891), (DeepFM, 423_280), (MaskNet, 571_691)])
def test_parameters_on_frappe_are_those_that_bars_reports(
    cls: type[DeepModel], parameters: int, frappe: Splits
) -> None:
    network = cls().network(fuxictr_feature_map(frappe.train.schema))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("cls", "auc", "logloss"), [(Dnn, 0.98405, 0.18), (DeepFM, 0.98395, 0.18), (MaskNet, 0.98368, 0.19)]
)
def test_defaults_reach_the_auc_that_bars_publishes_for_frappe(
    cls: type[DeepModel], auc: float, logloss: float, seed: int, frappe: Splits
) -> None:
    predictor = cls().fit(frappe.train, frappe.valid, seed=seed, context=Context())
    probabilities = predictor.predict(frappe.test.without_labels())
    assert roc_auc_score(frappe.test.targets, probabilities) >= auc - 0.0015
    assert log_loss(frappe.test.targets, probabilities) <= logloss


def test_deepfm_is_the_sum_of_its_three_parts(simulated: Splits) -> None:
    """Checked against the formula of the paper, written out with numpy for one row."""
    torch.manual_seed(1)
    schema = simulated.train.schema
    network = DeepFM(embedding_dim=3, hidden_units=(4,), batch_norm=False).network(fuxictr_feature_map(schema)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    codes = simulated.train.codes[0]
    batch = {column: torch.tensor([code]) for column, code in zip(columns(schema), codes, strict=True)}
    with torch.no_grad():
        output = network(batch)["y_pred"].item()
    state = {name: value.numpy() for name, value in network.state_dict().items()}

    def looked_up(part: str) -> np.ndarray:
        tables = [state[f"{part}.embedding_layer.embedding_layers.{column}.weight"] for column in columns(schema)]
        return np.array([table[code] for table, code in zip(tables, codes, strict=True)])

    embedded, weights = looked_up("embedding"), looked_up("linear.embedding_layer")
    pairs = sum(embedded[a] @ embedded[b] for a in range(len(codes)) for b in range(a))
    hidden = np.maximum(state["deep.mlp.0.weight"] @ embedded.ravel() + state["deep.mlp.0.bias"], 0)
    deep = state["deep.mlp.3.weight"] @ hidden + state["deep.mlp.3.bias"]
    assert output == pytest.approx(1 / (1 + np.exp(-(weights.sum() + pairs + deep[0]))), rel=1e-4)


def test_a_mask_block_is_a_normed_layer_of_the_masked_embedding(simulated: Splits) -> None:
    torch.manual_seed(1)
    schema = simulated.train.schema
    settings = MaskNet(embedding_dim=3, blocks=1, block_dim=5, hidden_units=(), dropout=0.0)
    network = settings.network(fuxictr_feature_map(schema)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    codes = simulated.train.codes[:2]
    batch = {column: torch.from_numpy(values) for column, values in zip(columns(schema), codes.T.copy(), strict=True)}
    with torch.no_grad():
        output = network(batch)["y_pred"].numpy()[:, 0]
        instance = network.embedding(batch, flatten_emb=True).numpy()
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    inner = np.maximum(instance @ state["blocks.0.mask.0.weight"].T + state["blocks.0.mask.0.bias"], 0)
    assert inner.shape[1] == 2 * instance.shape[1]
    mask = inner @ state["blocks.0.mask.2.weight"].T + state["blocks.0.mask.2.bias"]
    hidden = (instance * mask) @ state["blocks.0.hidden.0.weight"].T
    hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(hidden.var(1, keepdims=True) + 1e-5)
    hidden = np.maximum(hidden * state["blocks.0.hidden.1.weight"] + state["blocks.0.hidden.1.bias"], 0)
    logit = hidden @ state["deep.mlp.0.weight"].T + state["deep.mlp.0.bias"]
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-logit[:, 0])), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("change", [
    {"structure": "serial", "hidden_units": ()}, {"embedding_layer_norm": True}, {"layer_norm": False},
    {"reduction_ratio": 0.001}, {"batch_norm": True}, {"blocks": 1}, {"hidden_units": ()},
], ids=lambda change: ", ".join(change))  # fmt: skip
def test_every_form_of_masknet_learns(change: dict[str, object], simulated: Splits) -> None:
    train, valid = simulated.train.take(np.arange(6000)), simulated.valid
    model = replace(MaskNet(**{**QUICK, "epochs": 5, "batch_size": 256}), **change)
    predictor = model.fit(train, valid, seed=1, context=Context())
    assert float(predictor.details["valid_auc"]) > 0.65


def test_a_serial_block_reads_the_block_before_it(simulated: Splits) -> None:
    features = fuxictr_feature_map(simulated.train.schema)
    serial, parallel = (MaskNet(structure=form).network(features) for form in ("serial", "parallel"))
    width = 10 * len(simulated.train.schema.fields)
    assert [block.hidden[0].in_features for block in serial.blocks] == [width, 50, 50]
    assert [block.hidden[0].in_features for block in parallel.blocks] == [width] * 3
    assert [block.mask[0].in_features for block in serial.blocks] == [width] * 3


@pytest.mark.parametrize(
    "module", ["dnn", "finalmlp", "lr", "fuxictr", "lightgbm", "logistic", "item_rate", "pair_memory"]
)
def test_importing_a_model_imports_no_heavy_library(module: str) -> None:
    code = f"""
import sys
import ctrbench_models.{module}
print(sorted({{"torch", "fuxictr", "sklearn", "scipy", "pandas", "ray", "lightgbm", "yaml"}} & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_forecast_of_a_large_log_counts_no_copy_of_it(simulated: Splits) -> None:
    schema = simulated.train.schema
    fits = MAPPED_ABOVE // (4 * len(schema.fields))
    copied, mapped = (Dnn().forecast(schema, rows).memory for rows in (fits, fits + 1))
    assert mapped < 0.6 * copied
    assert Dnn().forecast(schema, 5 * fits).memory < copied
