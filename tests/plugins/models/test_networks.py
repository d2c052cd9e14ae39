"""DCNv2, FinalMLP, FinalNet, AutoInt, xDeepFM, FM and LR: each beside its paper's formula, in numpy, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Table, UserError
from ctrbench_datasets.frappe import Frappe
from ctrbench_models._deep import NetworkModel
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.fm import FM
from ctrbench_models.lr import LR
from ctrbench_models.training import columns, fuxictr_feature_map, l2_penalty, train_step
from ctrbench_models.xdeepfm import XDeepFM
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

DEEP = {"embedding_dim": 4, "hidden_units": (6, 8), "dropout": 0.0}
SMALL: list[NetworkModel] = [
    DCNv2(**DEEP, cross_layers=2),
    FinalMLP(**DEEP, other_hidden_units=(6,), gate_units=5, heads=2),
    FinalNet(**DEEP, other_hidden_units=(4,)),
    AutoInt(**DEEP, attention_layers=2, attention_dim=6, heads=2),
    XDeepFM(**DEEP, cin_units=(3, 2)),
    FM(embedding_dim=4),
    LR(),
]
ALL = pytest.mark.parametrize("model", SMALL, ids=lambda model: model.name)
SIZES = {"user": 12, "item": 8, "hour": 4}
ROLES = {"user": "user", "item": "item", "hour": "context"}
Weights = dict[str, NDArray[np.float64]]


def log_of_pairs(rows: int, seed: int) -> Table:
    """Clicks where user and item are both odd or both even: no single field tells anything."""
    rng = np.random.default_rng(seed)
    fields = [
        Field(name, "categorical", ROLES[name], tuple(f"{at:02}" for at in range(size))) for name, size in SIZES.items()
    ]
    frame = pd.DataFrame({name: rng.integers(1, size + 1, rows).astype(np.int32) for name, size in SIZES.items()})
    likely = (frame["user"] + frame["item"]) % 2 == 0
    labels = rng.random(rows) < np.where(likely, 0.9, 0.1)
    return Table(frame, Schema(tuple(fields)), labels.astype(np.int8))


TABLE = log_of_pairs(5, 0)


def network_and_weights(model: NetworkModel) -> tuple[torch.nn.Module, Weights]:
    """A network in float64, all whose weights and running means are drawn at random."""
    torch.manual_seed(3)
    network = model.network(fuxictr_feature_map(TABLE.schema)).double().eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) / 2)
    return network, {name: value.numpy() for name, value in network.state_dict().items()}


def batch(table: Table) -> dict[str, torch.Tensor]:
    return dict(zip(columns(table.schema), torch.from_numpy(table.codes.T.copy()), strict=True))


def embedded(weights: Weights, part: str) -> NDArray[np.float64]:
    """(rows, fields, dim)."""
    tables = [weights[f"{part}.embedding_layer.embedding_layers.{name}.weight"] for name in columns(TABLE.schema)]
    return np.stack([table[codes] for table, codes in zip(tables, TABLE.codes.T, strict=True)], axis=1)


def line(weights: Weights, layer: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x @ weights[f"{layer}.weight"].T + weights.get(f"{layer}.bias", 0.0)


def relu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def normed(weights: Weights, layer: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Batch norm as it predicts."""
    mean, variance = weights[f"{layer}.running_mean"], weights[f"{layer}.running_var"]
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{layer}.weight"] + weights[f"{layer}.bias"]


def hidden(weights: Weights, part: str, x: NDArray[np.float64], layers: int, *, last: bool = False) -> NDArray:
    """FuxiCTR's perceptron without dropout: linear, batch norm, ReLU, and so on."""
    for at in range(layers):
        x = relu(normed(weights, f"{part}.mlp.{3 * at + 1}", line(weights, f"{part}.mlp.{3 * at}", x)))
    return line(weights, f"{part}.mlp.{3 * layers}", x) if last else x


def dcnv2(model: DCNv2, w: Weights) -> NDArray[np.float64]:
    start = embedded(w, "embedding").reshape(len(TABLE), -1)
    crossed = start
    for at in range(model.cross_layers):
        crossed = start * line(w, f"cross.cross_layers.{at}", crossed) + crossed
    return line(w, "joined", np.concatenate([crossed, hidden(w, "deep", start, 2)], axis=1))[:, 0]


def finalmlp(model: FinalMLP, w: Weights) -> NDArray[np.float64]:
    start = embedded(w, "embedding").reshape(len(TABLE), -1)
    outputs = []
    for at, (name, layers) in enumerate((("0_user", 2), ("1_item", 1))):
        ids = w[f"gates.{at}.id.embedding_layer.embedding_layers.{name}.weight"][TABLE.codes[:, at]]
        gate = sigmoid(line(w, f"gates.{at}.gate.mlp.2", relu(line(w, f"gates.{at}.gate.mlp.0", ids))))
        outputs.append(hidden(w, f"perceptrons.{at}", 2 * start * gate, layers))
    x, y = outputs
    logits = line(w, "joined.linear", x)[:, 0] + line(w, "joined.other_linear", y)[:, 0]
    for row in range(len(TABLE)):
        for xs, matrix, ys in zip(
            x[row].reshape(model.heads, -1), w["joined.products"], y[row].reshape(model.heads, -1), strict=True
        ):
            logits[row] += xs @ matrix @ ys
    return logits


def finalnet(model: FinalNet, w: Weights) -> NDArray[np.float64]:
    start = embedded(w, "embedding")
    gated = np.stack([start[:, :, at] * line(w, "gate.weigh", start[:, :, at]) for at in range(4)], axis=2)
    logits = []
    inputs = np.concatenate([start, gated], axis=1), start
    for part, (x, layers) in enumerate(zip((each.reshape(len(TABLE), -1) for each in inputs), (2, 1), strict=True)):
        for at in range(layers):
            both = line(w, f"stacks.{part}.{4 * at}.linear", x)
            half = both.shape[1] // 2
            product = np.concatenate([both[:, :half], both[:, :half] * both[:, half:]], axis=1)
            x = relu(normed(w, f"stacks.{part}.{4 * at + 1}", product))
        logits.append(line(w, f"stacks.{part}.{4 * layers}", x)[:, 0])
    return (logits[0] + logits[1]) / 2


def autoint(model: AutoInt, w: Weights) -> NDArray[np.float64]:
    start = embedded(w, "embedding")
    part = model.attention_dim // model.heads
    logits = hidden(w, "deep", start.reshape(len(TABLE), -1), 2, last=True)[:, 0]
    for row in range(len(TABLE)):
        fields = start[row]
        for at in range(model.attention_layers):
            layer = f"attention.{at}"
            heads = []
            for head in range(model.heads):
                query, key, value = (
                    fields @ w[f"{layer}.{name}.weight"][head * part : (head + 1) * part].T
                    for name in ("query", "key", "value")
                )
                likeness = np.exp(query @ key.T / np.sqrt(part))
                heads.append(likeness / likeness.sum(axis=1, keepdims=True) @ value)
            residual = fields @ w[f"{layer}.residual.weight"].T if at == 0 else fields
            sum_ = np.concatenate(heads, axis=1) + residual
            spread = np.sqrt(sum_.var(axis=1, keepdims=True) + 1e-5)
            normal = (sum_ - sum_.mean(axis=1, keepdims=True)) / spread
            fields = relu(normal * w[f"{layer}.norm.weight"] + w[f"{layer}.norm.bias"])
        logits[row] += line(w, "last", fields.ravel()).item()
    return logits


def xdeepfm(model: XDeepFM, w: Weights) -> NDArray[np.float64]:
    start = embedded(w, "embedding")
    logits = embedded(w, "linear.embedding_layer").sum(axis=(1, 2))
    logits += hidden(w, "deep", start.reshape(len(TABLE), -1), 2, last=True)[:, 0]
    for row in range(len(TABLE)):
        maps, sums = start[row], []
        for at in range(len(model.cin_units)):
            kernel = w[f"interactions.cin_layer.layer_{at + 1}.weight"][:, :, 0]  # (maps, fields · maps before)
            bias = w[f"interactions.cin_layer.layer_{at + 1}.bias"]
            products = [start[row, i] * maps[j] for i in range(len(SIZES)) for j in range(len(maps))]
            maps = np.array(
                [
                    sum(k * p for k, p in zip(each, products, strict=True)) + b
                    for each, b in zip(kernel, bias, strict=True)
                ]
            )
            sums += list(maps.sum(axis=1))
        logits[row] += line(w, "interactions.fc", np.array(sums)).item()
    return logits


def fm(model: FM, w: Weights) -> NDArray[np.float64]:
    vectors = embedded(w, "embedding")
    pairs = sum((vectors[:, i] * vectors[:, j]).sum(axis=1) for i in range(len(SIZES)) for j in range(i))
    return w["machine.lr_layer.bias"] + embedded(w, "machine.lr_layer.embedding_layer").sum(axis=(1, 2)) + pairs


def lr(model: LR, w: Weights) -> NDArray[np.float64]:
    return w["linear.bias"] + embedded(w, "linear.embedding_layer").sum(axis=(1, 2))


FORMULAS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "dcnv2": dcnv2, "finalmlp": finalmlp, "finalnet": finalnet, "autoint": autoint, "xdeepfm": xdeepfm,
    "fm": fm, "lr": lr,
}  # fmt: skip


@ALL
def test_a_logit_is_what_the_papers_formula_says(model: NetworkModel) -> None:
    network, weights = network_and_weights(model)
    with torch.no_grad():
        logit = network(batch(TABLE))["y_pred"].logit()[:, 0].numpy()
    expected = FORMULAS[model.name](model, weights)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(logit, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", [model for model in SMALL if model.name != "lr"], ids=lambda model: model.name)
def test_it_learns_a_pair_of_fields_that_none_of_them_tells_alone(model: NetworkModel) -> None:
    train, valid, test = log_of_pairs(3000, 1), log_of_pairs(1000, 2), log_of_pairs(1000, 3)
    quick = replace(model, learning_rate=2e-2, batch_size=200, epochs=30, patience=30)
    quick = replace(quick, **({"regularizer": 0.0} if model.name == "fm" else {"embedding_regularizer": 0.0}))
    predictor = quick.fit(train, valid, seed=1, context=Context())
    assert roc_auc_score(test.targets, predictor.predict(test.without_labels())) > 0.85  # the rule itself: .9


def test_lr_learns_single_fields_and_no_pair() -> None:
    train, valid, test = log_of_pairs(3000, 1), log_of_pairs(1000, 2), log_of_pairs(1000, 3)
    model = LR(learning_rate=2e-2, batch_size=200, epochs=10)
    blind = model.fit(train, valid, seed=1, context=Context())
    assert roc_auc_score(test.targets, blind.predict(test.without_labels())) < 0.6
    for table in (train, valid, test):
        table.rows["hour"] = (table.targets + 1).astype(np.int32)
    seeing = model.fit(train, valid, seed=1, context=Context())
    assert roc_auc_score(test.targets, seeing.predict(test.without_labels())) > 0.99


@ALL
def test_equal_seeds_give_equal_predictions(model: NetworkModel) -> None:
    train, valid = log_of_pairs(400, 1), log_of_pairs(200, 2)
    quick = replace(model, learning_rate=1e-2, batch_size=100, epochs=2)
    first, again, other = (
        quick.fit(train, valid, seed=seed, context=Context()).predict(valid.without_labels()) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_both_stacks_of_finalnet_learn_the_joint_probability() -> None:
    """The loss of a step is BCE(p, y) + BCE(p₁, p) + BCE(p₂, p), the joint p held fixed in the last two."""
    network, _ = network_and_weights(SMALL[2])
    labels = torch.from_numpy(TABLE.targets).double()[:, None]
    with torch.no_grad():
        out = network(batch(TABLE))
    p, alone = out["y_pred"][:, 0].numpy(), out["alone"].numpy()

    def entropy(probability: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
        return float(-(truth * np.log(probability) + (1 - truth) * np.log(1 - probability)).mean())

    expected = entropy(p, TABLE.targets) + sum(entropy(alone[:, at], p) for at in (0, 1))
    assert expected > entropy(p, TABLE.targets) + 0.1
    assert train_step(network, batch(TABLE), labels, None, l2_penalty(network)).item() == pytest.approx(expected)


def test_gates_of_finalmlp_fall_back_where_a_log_has_no_user() -> None:
    fields = tuple(replace(field, role="context") for field in TABLE.schema.fields)
    features = fuxictr_feature_map(Schema(fields))
    network = FinalMLP(embedding_dim=4).network(features).eval()
    assert [tuple(gate.alike.shape) for gate in network.gates] == [(1, 4), (1, 4)]
    assert network(batch(TABLE))["y_pred"].shape == (len(TABLE), 1)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: FinalMLP(heads=3), "heads=3 must divide the last width, 400"),
    (lambda: FinalMLP(hidden_units=()), "hidden_units=\\(\\) leaves no first perceptron"),
    (lambda: AutoInt(heads=3), "heads=3 must divide attention_dim=128"),
], ids=["heads", "no perceptron", "attention"])  # fmt: skip
def test_widths_that_do_not_fit_are_refused(make: Callable[[], NetworkModel], says: str) -> None:
    with pytest.raises(UserError, match=says):
        make()


@pytest.mark.parametrize(("model", "parameters"), [
    (DCNv2(), 458_391), (AutoInt(), 622_180), (XDeepFM(), 429_809), (FM(), 59_280), (LR(), 5_390),
    # FuxiCTR 2.0, which trained these two, had one more reserved code in each table: 338,502 and 253,392
    (FinalNet(), 338_502 - 10 * 10), (FinalMLP(), 253_392 - 12 * 10),
], ids=lambda value: getattr(value, "name", ""))  # fmt: skip
def test_parameters_on_frappe_are_those_that_bars_reports(
    model: NetworkModel, parameters: int, frappe_folder: Path
) -> None:
    frappe = Frappe(path=str(frappe_folder)).load(seed=1, context=Context())
    network = model.network(fuxictr_feature_map(frappe.train.schema))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
