"""The training loop of the deep models, beside FuxiCTR's own step and rule."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Predictor, Schema, Skip, Table
from ctrbench_models import training
from ctrbench_models._deep import DeepModel
from ctrbench_models._quick import Dropout, JoinedEmbedding, RoundedLinear, quicken
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.masknet import MaskNet
from ctrbench_models.training import (
    NetworkPredictor,
    Training,
    _batches,
    columns,
    fit_network,
    fuxictr_feature_map,
    l2_penalty,
    train_step,
)
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from sklearn.metrics import log_loss, roc_auc_score

SIZES = {"user": 30, "item": 20, "hour": 6}
SMALL = {"embedding_dim": 4, "hidden_units": (16, 8), "batch_size": 64, "epochs": 4, "learning_rate": 1e-2}
MODELS: list[DeepModel] = [Dnn(**SMALL), DeepFM(**SMALL), MaskNet(**SMALL, block_dim=6)]
ALL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def toy_log(rows: int, seed: int, *, numeric: bool = False) -> Table:
    """A log in which each item has a click rate of its own; `numeric` adds a field that decides instead."""
    rng = np.random.default_rng(seed)
    fields = [
        Field(name, "categorical", "context", tuple(f"{at:02}" for at in range(size))) for name, size in SIZES.items()
    ]
    frame = pd.DataFrame({name: rng.integers(1, size + 1, rows).astype(np.int32) for name, size in SIZES.items()})
    rates = np.random.default_rng(0).uniform(0.05, 0.95, SIZES["item"])[frame["item"] - 1]
    if numeric:
        frame.insert(0, "price", rng.normal(1000, 5, rows))
        fields.insert(0, Field("price", "numeric"))
        rates = np.where(frame["price"] > 1000, 0.9, 0.1)
    return Table(frame, Schema(tuple(fields)), (rng.random(rows) < rates).astype(np.int8))


TRAIN, VALID = toy_log(1000, 1), toy_log(400, 2)


def pair_of_networks(model: DeepModel, embedding_scale: float) -> tuple[BaseModel, BaseModel]:
    torch.manual_seed(7)
    ours = model.network(fuxictr_feature_map(TRAIN.schema))
    theirs = model.network(fuxictr_feature_map(TRAIN.schema))
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if "embedding" in name:
                parameter.mul_(embedding_scale)
    theirs.load_state_dict(ours.state_dict())
    theirs.compile("adam", "binary_crossentropy", model.learning_rate)
    theirs._max_gradient_norm = 10.0
    return ours.train(), theirs.train()


def exchange_dropout(network: BaseModel) -> None:
    """Put our dropout into FuxiCTR's network too: the masks are then the same, all else is the library's own."""
    for parent in network.modules():
        for name, layer in parent.named_children():
            if type(layer) is torch.nn.Dropout:
                setattr(parent, name, Dropout(layer.p))


def batch_of(step: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    rows = TRAIN.take(np.random.default_rng(step).choice(len(TRAIN), 128))
    codes = torch.from_numpy(rows.codes.T.copy())
    return dict(zip(columns(TRAIN.schema), codes, strict=True)), torch.from_numpy(rows.targets).float()[:, None]


@ALL
@pytest.mark.parametrize(
    ("regularizer", "scale"),
    [(0.05, 1.0), (3.0, 1e4), ("l1_l2(0.01, 0.02)", 1e4)],
    ids=["plain", "clipped", "not L2 alone"],
)
def test_twenty_steps_lose_what_fuxictrs_own_steps_lose(
    model: DeepModel, regularizer: float | str, scale: float
) -> None:
    ours, theirs = pair_of_networks(model, scale)
    quicken(ours)
    for network in ours, theirs:
        exchange_dropout(network)
    ours._embedding_regularizer = theirs._embedding_regularizer = regularizer
    penalty = l2_penalty(ours)
    assert (penalty is None) == isinstance(regularizer, str)
    for step in range(20):
        batch, labels = batch_of(step)
        added = 0.0 if penalty is None else ours.regularization_loss().item()
        torch.manual_seed(step)  # the same dropout in both
        mine = train_step(ours, batch, labels, None, penalty).item() + added
        torch.manual_seed(step)
        reference = theirs.train_step({**batch, "label": labels}).item()
        assert mine == pytest.approx(reference, rel=1e-6, abs=1e-5), f"step {step}"
    # biases ahead of a batch norm have no effect and no gradient but rounding, so they drift apart
    for (name, mine_after), reference_after in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name.endswith("weight"):
            torch.testing.assert_close(mine_after, reference_after, rtol=1e-3, atol=1e-3, msg=name)


@ALL
def test_stand_ins_keep_parameters_names_and_outputs(model: DeepModel) -> None:
    ours, plain = pair_of_networks(model, 1e4)
    before = dict(ours.named_parameters())
    quicken(ours)
    kinds = [type(layer) for layer in ours.modules()]
    assert JoinedEmbedding in kinds
    assert Dropout in kinds
    assert {FeatureEmbedding, torch.nn.Dropout}.isdisjoint(kinds)
    assert [(name, id(one)) for name, one in ours.named_parameters()] == [(n, id(one)) for n, one in before.items()]
    assert ours.state_dict().keys() == plain.state_dict().keys()
    batch, _ = batch_of(1)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(batch)["y_pred"], plain.eval()(batch)["y_pred"], rtol=1e-5, atol=1e-7)


def test_one_look_up_for_all_fields_has_the_gradients_of_one_a_field() -> None:
    plain = FeatureEmbedding(fuxictr_feature_map(TRAIN.schema), 4)
    joined = JoinedEmbedding(plain)
    batch, _ = batch_of(1)
    batch = {column: codes.clone() for column, codes in batch.items()}
    for codes in batch.values():
        codes[::5] = 0  # the padding, whose row must stay zero
    pull = torch.randn(128, 3, 4, generator=torch.Generator().manual_seed(1))
    slopes = []
    for layer in joined, plain:
        plain.zero_grad()
        (layer(batch) * pull).sum().backward()
        slopes.append([one.grad.clone() for one in plain.parameters()])
    for mine, reference in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, reference)
        assert not mine[0].any()
        assert mine.any()
    column = columns(TRAIN.schema)[1]
    assert torch.equal(joined(batch, flatten_emb=True), plain(batch, flatten_emb=True))
    assert torch.equal(joined({column: batch[column]}), plain({column: batch[column]}))
    assert torch.equal(joined(batch, feature_source=["context"]), plain(batch, feature_source=["context"]))


def test_bf16_rounds_what_goes_into_wide_products_in_training_and_nothing_in_prediction() -> None:
    torch.manual_seed(3)
    x, pull = torch.randn(128, 40), torch.randn(128, 64)
    plain = torch.nn.Linear(40, 64)
    rounded = RoundedLinear(plain)
    assert rounded.weight is plain.weight
    slopes = []
    for layer in rounded, plain:
        plain.zero_grad()
        made = layer(x)
        assert made.dtype == torch.float32
        (made * pull).sum().backward()
        slopes.append((made.detach(), plain.weight.grad.clone(), plain.bias.grad.clone()))
    for mine, reference in zip(*slopes, strict=True):
        assert not torch.equal(mine, reference)
        assert (mine - reference).norm() < 2**-7 * reference.norm()
    assert torch.equal(rounded.eval()(x), plain(x))


def test_bf16_leaves_narrow_layers_and_float32_leaves_all() -> None:
    wide = Dnn(embedding_dim=4, hidden_units=(64, 48))
    kinds = {}
    for precision in "float32", "bf16":
        network = wide.network(fuxictr_feature_map(TRAIN.schema))
        quicken(network, precision)
        kinds[precision] = [type(layer) for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    assert kinds["float32"] == [torch.nn.Linear] * 3
    assert kinds["bf16"] == [torch.nn.Linear, RoundedLinear, torch.nn.Linear]  # 12 to 64 to 48 to 1


def test_a_model_trained_in_bf16_learns_what_float32_does_and_predicts_in_float32() -> None:
    model = Dnn(embedding_dim=16, hidden_units=(64, 64), batch_size=64, epochs=8)
    exact, rounded = (
        replace(model, precision=precision).fit(TRAIN, VALID, seed=1, context=Context())
        for precision in ("float32", "bf16")
    )
    assert isinstance(exact, NetworkPredictor)
    assert isinstance(rounded, NetworkPredictor)
    assert not np.array_equal(exact.predict(TRAIN), rounded.predict(TRAIN))
    assert rounded.facts["valid_auc"] == pytest.approx(exact.facts["valid_auc"], abs=0.02)
    plain = model.network(fuxictr_feature_map(TRAIN.schema)).eval()
    plain.load_state_dict(rounded.network.state_dict())
    with torch.no_grad():
        exactly = plain(dict(zip(columns(TRAIN.schema), torch.from_numpy(TRAIN.codes.T.copy()), strict=True)))["y_pred"]
    np.testing.assert_allclose(rounded.predict(TRAIN), exactly[:, 0].numpy(), atol=1e-6)


@pytest.mark.parametrize("share", [1e-9, 0.1, 0.2, 0.5, 0.999999])
def test_dropout_drops_its_share_independently_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(1)
    layer, ones = Dropout(share), torch.ones(999, 401)
    assert layer.dropped / 2**16 == pytest.approx(share, abs=1 / 2**16)
    share = layer.dropped / 2**16
    first, second = layer(ones), layer(ones)
    dropped, again = first == 0, second == 0
    noise = 5 * (max(rate * (1 - rate) for rate in (share, share**2)) / ones.numel()) ** 0.5
    assert abs(dropped.float().mean().item() - share) <= noise
    assert abs((dropped & again).float().mean().item() - share**2) <= noise
    assert abs((dropped[:, 1:] & dropped[:, :-1]).float().mean().item() - share**2) <= noise
    assert abs((dropped[1:] & dropped[:-1]).float().mean().item() - share**2) <= noise
    if share < 0.9:
        kept = first[~dropped]
        assert kept.unique().numel() == 1
        assert kept[0].item() == pytest.approx(1 / (1 - share))
    assert torch.equal(layer.eval()(ones), ones)


def test_an_epoch_takes_every_row_once_and_leaves_no_row_alone() -> None:
    order = torch.Generator().manual_seed(3)
    for rows, size, lengths in [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 4, [3]), (5, 4, [5])]:
        batches = _batches(rows, size, order, torch.device("cpu"))
        assert [len(batch) for batch in batches] == lengths
        assert sorted(torch.cat(batches).tolist()) == list(range(rows))


def test_the_best_epochs_weights_return_after_patience_strikes() -> None:
    model, seen = Dnn(**{**SMALL, "epochs": 60}), []
    context = Context(progress=lambda step, total, values: seen.append((step, total, dict(values))))
    predictor = model.fit(TRAIN, VALID, seed=5, context=context)
    aucs = [values["valid_auc"] for _, _, values in seen]
    assert [step for step, _, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total, _ in seen} == {60}
    assert len(seen) < 60
    assert int(np.argmax(aucs)) == len(seen) - 1 - model.patience
    assert roc_auc_score(VALID.targets, predictor.predict(VALID.without_labels())) == max(aucs)
    assert predictor.details["epochs"] == len(seen)
    assert predictor.details["valid_auc"] == max(aucs)


def test_each_strike_cuts_the_learning_rate_and_a_gain_forgets_strikes(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = iter([0.70, 0.70, 0.71, 0.7100005, 0.7000])  # strikes at epochs 2, 4 and 5
    monkeypatch.setattr("sklearn.metrics.roc_auc_score", lambda labels, scores: next(scripted))
    networks: list[BaseModel] = []

    def build(features: FeatureMap) -> BaseModel:
        networks.append(MODELS[0].network(features))
        return networks[0]

    predictor = fit_network(build, TRAIN, VALID, Training(64, 50, 2), seed=1, context=Context())
    assert predictor.details["epochs"] == 5
    assert predictor.details["valid_auc"] == 0.71
    assert networks[0].optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 * 1e-3)


class Zoo(BaseModel):
    """A class as FuxiCTR's model zoo writes them: keyword arguments, compile and initialisation in its constructor."""

    def __init__(self, feature_map, gpu=-1, learning_rate=1e-2, embedding_dim=4, net_regularizer=None, **kwargs):
        super().__init__(feature_map, gpu=gpu, net_regularizer=net_regularizer, **kwargs)
        self.embedding_layer = FeatureEmbedding(feature_map, embedding_dim)
        self.mlp = MLP_Block(feature_map.num_fields * embedding_dim, [8], output_dim=1)
        self.compile(kwargs["optimizer"], kwargs["loss"], learning_rate)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        embedded = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        return {"y_pred": self.output_activation(self.mlp(embedded))}


class Doubled(Zoo):
    """One that has a loss of its own."""

    def compute_loss(self, return_dict, y_true):
        return 2 * super().compute_loss(return_dict, y_true)


@pytest.mark.parametrize("cls", [Zoo, Doubled])
def test_any_fuxictr_model_class_can_be_trained(cls: type[Zoo]) -> None:
    def build(features: FeatureMap) -> BaseModel:
        arguments = {"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["AUC"]}
        return cls(features, net_regularizer=1e-4, verbose=0, model_root="", **arguments)

    predictor = fit_network(build, TRAIN, VALID, Training(64, 8, 2), seed=1, context=Context())
    assert roc_auc_score(VALID.targets, predictor.predict(VALID.without_labels())) > 0.7


def test_steps_run_in_training_mode_and_evaluation_without_dropout() -> None:
    modes: list[bool] = []

    class Watched(Zoo):
        def forward(self, inputs):
            modes.append(self.training)
            return super().forward(inputs)

    def build(features: FeatureMap) -> BaseModel:
        return Watched(features, optimizer="adam", loss="binary_crossentropy", metrics=[], verbose=0, model_root="")

    fit_network(build, TRAIN, VALID, Training(250, 2, 2), seed=1, context=Context())
    assert modes == [True, True, True, True, False] * 2


@ALL
def test_equal_seeds_give_equal_bits_and_other_seeds_other_ones(model: DeepModel) -> None:
    first, again, other = (
        model.fit(TRAIN, VALID, seed=seed, context=Context()).predict(VALID.without_labels()) for seed in (5, 5, 6)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert first.dtype == np.float64
    assert first.shape == (400,)
    assert ((first >= 0) & (first <= 1)).all()


def test_a_fit_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digests = TRAIN.digest(), VALID.digest()
    states: list[Callable[[], object]] = [
        random.getstate,
        lambda: np.random.get_state()[1].tolist(),  # type: ignore[index]
        lambda: torch.get_rng_state().tolist(),
        torch.get_num_threads,
        lambda: list(logging.getLogger().handlers),
        torch.is_grad_enabled,
    ]
    before = [state() for state in states]
    predictor = MODELS[1].fit(TRAIN, VALID, seed=1, context=Context(checkpoints=tmp_path))
    predictor.predict(VALID.without_labels())
    assert [state() for state in states] == before
    assert list(tmp_path.iterdir()) == []
    assert (TRAIN.digest(), VALID.digest()) == digests


def test_random_states_return_also_when_a_fit_fails() -> None:
    before = torch.get_rng_state(), random.getstate()

    def build(features: FeatureMap) -> BaseModel:
        raise KeyError("no such network")

    with pytest.raises(KeyError):
        fit_network(build, TRAIN, VALID, Training(), seed=1, context=Context())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_passed_deadline_ends_the_fit_at_an_epochs_end() -> None:
    with pytest.raises(TimeoutError, match="after epoch 1 of 4"):
        MODELS[0].fit(TRAIN, VALID, seed=1, context=Context(deadline=time.time() - 1))


def test_weights_of_one_change_nothing_and_heavier_positives_raise_the_probabilities() -> None:
    ones = np.ones(len(TRAIN), np.float32)
    heavy = np.where(TRAIN.targets == 1, 5, 1).astype(np.float32)
    plain, same, raised = (
        MODELS[0].fit(replace(TRAIN, weights=weights), VALID, seed=1, context=Context()).predict(VALID.without_labels())
        for weights in (None, ones, heavy)
    )
    assert (plain == same).all()
    assert raised.mean() > plain.mean() + 0.1


def test_a_network_goes_on_from_the_weights_that_the_pool_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pool, rows = MODELS[0], toy_log(1000, 9), VALID.without_labels()
    steps: list[int] = []
    context = Context(progress=lambda step, total, values: steps.append(step))
    of_pool, of_train = (model.fit(table, VALID, seed=1, context=Context()).predict(rows) for table in (pool, TRAIN))
    first, again = (model.fit_after(pool, TRAIN, VALID, seed=1, context=context).predict(rows) for _ in range(2))
    assert np.array_equal(first, again)
    assert steps == [1, 2, 3, 4] * 2, "the curve is that of the real rows alone"
    assert all(np.abs(first - other).max() > 1e-3 for other in (of_pool, of_train))
    fits: list[Table] = []

    def noted(build: Callable[[FeatureMap], BaseModel], train: Table, *more: object, **named: object) -> Predictor:
        """Trains on the pool alone: what comes of the second table is what the first left."""
        fits.append(train)
        training = Training(64, 4 if train is pool else 0)
        return fit_network(build, train, VALID, training, seed=1, context=Context())

    monkeypatch.setattr("ctrbench_models._after.fit_network", noted)
    unmoved = model.fit_after(pool, TRAIN, VALID, seed=1, context=Context()).predict(rows)
    assert [table is pool for table in fits] == [True, False]
    np.testing.assert_allclose(unmoved, of_pool, atol=1e-6)


def test_the_loss_in_progress_is_the_weighted_mean_of_the_rows() -> None:
    def first_loss(weights: np.ndarray | None) -> float:
        losses: list[float] = []
        context = Context(progress=lambda step, total, values: losses.append(values["loss"]))
        replace(MODELS[0], epochs=1, batch_size=4096, dropout=0.0).fit(
            replace(TRAIN, weights=weights), VALID, seed=1, context=context
        )
        return losses[0]

    positive = (TRAIN.targets == 1).astype(np.float32)
    assert first_loss(positive) + first_loss(1 - positive) == pytest.approx(first_loss(None), rel=1e-5)


def test_the_loss_in_progress_counts_every_row_alike() -> None:
    losses: list[float] = []
    still = replace(MODELS[0], epochs=1, batch_size=900, dropout=0.0, batch_norm=False, learning_rate=1e-12)
    context = Context(progress=lambda step, total, values: losses.append(values["loss"]))
    predictor = still.fit(TRAIN, VALID, seed=1, context=context)
    assert losses[0] == pytest.approx(log_loss(TRAIN.targets, predictor.predict(TRAIN.without_labels())), rel=1e-6)


@ALL
def test_training_rows_of_one_class_do_not_stop_a_fit(model: DeepModel) -> None:
    positives = TRAIN.take(TRAIN.targets == 1)
    predictor = model.fit(positives, VALID, seed=1, context=Context())
    probabilities = predictor.predict(VALID.without_labels())
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_a_batch_of_a_single_row_does_not_stop_a_fit() -> None:
    MODELS[0].fit(TRAIN.take(np.arange(65)), VALID, seed=1, context=Context())


def test_what_cannot_be_trained_is_skipped_with_its_reason() -> None:
    with pytest.raises(Skip, match="both classes"):
        MODELS[0].fit(TRAIN, VALID.take(VALID.targets == 0), seed=1, context=Context())
    with pytest.raises(Skip, match="at least 2 training rows"):
        MODELS[0].fit(TRAIN.take(np.arange(1)), VALID, seed=1, context=Context())


@pytest.mark.parametrize("batch_size", [4096, 64])  # found after an epoch, and at the second of many steps
def test_predictions_that_are_not_numbers_fail_with_a_remedy(batch_size: int) -> None:
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        replace(MODELS[0], batch_size=batch_size, batch_norm=False, learning_rate=1e38).fit(
            TRAIN, VALID, seed=1, context=Context()
        )


@ALL
def test_numeric_fields_are_standardised_and_learnt(model: DeepModel) -> None:
    train, valid = toy_log(1500, 1, numeric=True), toy_log(400, 2, numeric=True)
    predictor = replace(model, epochs=20).fit(train, valid, seed=1, context=Context())
    assert roc_auc_score(valid.targets, predictor.predict(valid.without_labels())) > 0.85


def test_numeric_fields_alone_are_enough() -> None:
    def numbers(rows: int, seed: int) -> Table:
        table = toy_log(rows, seed, numeric=True)
        frame = table.rows[["price"]].assign(constant=1.0)
        return Table(frame, Schema((Field("price", "numeric"), Field("constant", "numeric"))), table.labels)

    valid = numbers(400, 2)
    predictor = Dnn(**{**SMALL, "epochs": 20}).fit(numbers(1000, 1), valid, seed=1, context=Context())
    assert roc_auc_score(valid.targets, predictor.predict(valid.without_labels())) > 0.85


def test_names_that_torch_refuses_are_no_obstacle() -> None:
    names = {"user": "items", "item": "a.b", "hour": "training"}

    def renamed(table: Table) -> Table:
        fields = tuple(replace(field, name=names[field.name]) for field in table.schema.fields)
        return Table(table.rows.rename(columns=names), Schema(fields), table.labels)

    strange = MODELS[1].fit(renamed(TRAIN), renamed(VALID), seed=1, context=Context())
    usual = MODELS[1].fit(TRAIN, VALID, seed=1, context=Context())
    assert (strange.predict(renamed(VALID).without_labels()) == usual.predict(VALID.without_labels())).all()


def test_the_feature_map_is_what_fuxictr_would_have_made() -> None:
    features = fuxictr_feature_map(toy_log(10, 1, numeric=True).schema)
    filled = dict(features.column_index), features.input_length
    features.set_column_index()
    assert (features.column_index, features.input_length) == filled
    assert features.get_num_fields() == features.num_fields == 4
    assert features.features["1_user"] == {
        "source": "context", "type": "categorical", "padding_idx": 0, "vocab_size": 31,
    }  # fmt: skip
    assert features.features["0_price"] == {"source": "context", "type": "numeric"}


@ALL
def test_an_unseen_value_counts_as_nothing(model: DeepModel) -> None:
    predictor = model.fit(TRAIN, VALID, seed=1, context=Context())
    unseen = VALID.rows.assign(user=np.int32(0))
    probabilities = predictor.predict(Table(unseen, VALID.schema))
    for table in predictor.network.modules():  # type: ignore[attr-defined]
        if isinstance(table, torch.nn.Embedding):
            assert not table.weight[0].any()
    assert np.isfinite(probabilities).all()


def test_no_rows_give_no_probabilities() -> None:
    predictor = MODELS[2].fit(TRAIN, VALID, seed=1, context=Context())
    assert predictor.predict(VALID.take(np.arange(0)).without_labels()).shape == (0,)


@pytest.mark.parametrize("numeric", [False, True])
def test_a_table_too_large_to_be_copied_is_learnt_alike(numeric: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = (toy_log(rows, seed, numeric=numeric) for rows, seed in ((500, 1), (200, 2)))
    table = Table.concat([train, valid.view(np.arange(0, 200, 3)[::-1])])
    fits = []
    for large, copied in ((0, False), (2**28, True)):
        monkeypatch.setattr(training, "MAPPED_ABOVE", large)
        fits.append(replace(MODELS[0], epochs=2).fit(table, valid, seed=1, context=Context()).predict(valid))
        assert ("rows" in vars(table)) == copied
    assert (fits[0] == fits[1]).all()


def test_what_its_libraries_import_when_they_are_first_used_is_not_charged_to_a_fit() -> None:
    """An optimizer's first use imports hundreds of modules, which takes seconds."""
    code = (
        "import importlib, sys; from ctrbench_models.dnn import Dnn\n"
        "for module in Dnn.imports: importlib.import_module(module)\n"
        "before, torch = set(sys.modules), sys.modules['torch']\n"
        "torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])\n"
        "print(len(set(sys.modules) - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said.split()[-1]) < 20
