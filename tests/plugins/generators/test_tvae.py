"""TVAE's native engine: ctgan's training step for step, the gradient written by hand, resuming, and its pools."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Table, UserError
from ctrbench_generators import _tvae
from ctrbench_generators._columns import Columns, Encoded, Span
from ctrbench_generators._random_state import seeded
from ctrbench_generators.tvae import Tvae, TvaeSampler

SMALL = Tvae(
    epochs=4, batch_size=64, embedding_dim=8, compress_dims=(24, 16), decompress_dims=(16, 24), constraints=None
)


pytestmark = pytest.mark.usefixtures("one_thread")


def log(rows: int = 400, *, numeric: bool = True) -> Table:
    """Users with a taste each, items, and a price that goes with the item."""
    rng = np.random.default_rng(7)
    user, item = rng.integers(1, 21, rows), rng.integers(1, 9, rows)
    labels = (rng.random(rows) < 0.15 + 0.5 * ((user + item) % 3 == 0)).astype(np.int8)
    columns = {"user": user.astype(np.int32), "item": item.astype(np.int32)}
    fields = [Field("user", vocabulary=tuple(map(str, range(20)))), Field("item", vocabulary=tuple(map(str, range(8))))]
    if numeric:
        columns["price"] = np.round(rng.normal(10 + 20 * (item > 4), 1), 2)
        fields.append(Field("price", "numeric"))
    return Table(pd.DataFrame(columns), Schema(tuple(fields), "clicked"), labels)


def fitted(tmp_path: Path, train: Table, method: Tvae = SMALL, *, seed: int = 1) -> TvaeSampler:
    return method.fit(train, seed=seed, context=Context(checkpoints=tmp_path))


# --- the same as ctgan ---


@dataclass
class Recorded:
    """A training of ctgan's own TVAE: what went in and what came out."""

    encoder: dict[str, torch.Tensor]
    decoder: dict[str, torch.Tensor]
    rows: list[torch.Tensor]
    noise: list[torch.Tensor]
    losses: list[float]
    spans: tuple[Span, ...]
    trained: Any


def ctgan_trains(train: Table, epochs: int, monkeypatch, **settings) -> Recorded:
    """Run `ctgan.TVAE.fit`, listening to its encoder and to its noise."""
    from ctgan.synthesizers import tvae
    from joblib import parallel_config

    heard = Recorded({}, {}, [], [], [], (), None)

    encode, decode = tvae.Encoder.forward, tvae.Decoder.forward

    def encoding(self, rows):
        if not heard.rows:
            heard.encoder |= {name: weight.detach().clone() for name, weight in self.state_dict().items()}
        heard.rows.append(rows)
        return encode(self, rows)

    def decoding(self, latent):
        if not heard.decoder:
            heard.decoder |= {name: weight.detach().clone() for name, weight in self.state_dict().items()}
        return decode(self, latent)

    noise_like = torch.randn_like

    def randn_like(tensor):
        heard.noise.append(noise_like(tensor))
        return heard.noise[-1]

    frame = train.rows.astype({field.name: int for field in train.schema.categorical})
    frame[train.schema.label] = train.targets.astype(int)
    discrete = [*(field.name for field in train.schema.categorical), train.schema.label]
    with monkeypatch.context() as patched, seeded(3), parallel_config(backend="sequential"):
        patched.setattr(tvae.Encoder, "forward", encoding)
        patched.setattr(tvae.Decoder, "forward", decoding)
        patched.setattr(torch, "randn_like", randn_like)
        heard.trained = tvae.TVAE(epochs=epochs, enable_gpu=False, **settings)
        heard.trained.fit(frame, discrete)
    heard.losses = heard.trained.loss_values["Loss"].tolist()
    start, spans = 0, []
    for name, column in zip(frame.columns, heard.trained.transformer.output_info_list, strict=True):
        for span in column:
            kind = "scalar" if span.activation_fn == "tanh" else "value" if len(column) == 1 else "mode"
            spans.append(Span(name, start, span.dim, kind))
            start += span.dim
    heard.spans = tuple(spans)
    return heard


class Replayed(_tvae.Draws):
    """The batches and the noise of a recorded training."""

    def __init__(self, heard: Recorded) -> None:
        self._rows = iter(torch.arange(sum(map(len, heard.rows))).split([len(rows) for rows in heard.rows]))
        self._noise = iter(heard.noise)

    def rows(self) -> torch.Tensor:
        return next(self._rows)

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        return next(self._noise)


def ours_from_the_same_start(heard: Recorded, train: Table, method: Tvae) -> _tvae.Trainer:
    columns = replace(Columns.of(train, seed=1), spans=heard.spans)
    rows = torch.cat(heard.rows)
    hot = [rows[:, span.start : span.start + span.width].argmax(1) for span in columns.one_hot]
    data = Encoded(torch.stack(hot, 1), rows[:, [span.start for span in columns.scalar]])
    encoder = _tvae.Encoder(columns, method.compress_dims, method.embedding_dim)
    decoder = _tvae.Decoder(columns, method.decompress_dims, method.embedding_dim)
    theirs = iter(heard.encoder.values())  # weight, bias of each layer, then of mean's and log-variance's
    weights = [(weight, next(theirs)) for weight in theirs]
    weights[-2:] = [tuple(torch.cat(pair) for pair in zip(*weights[-2:], strict=True))]
    (first, first_bias), *rest = weights
    with torch.no_grad():
        encoder.first.copy_(first.T)
        encoder.first_bias.copy_(first_bias)
        for layer, (weight, bias) in zip(encoder.rest, rest, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        for position, layer in enumerate([*decoder.layers, decoder.last]):
            layer.weight.copy_(heard.decoder[f"seq.{2 * position}.weight"])
            layer.bias.copy_(heard.decoder[f"seq.{2 * position}.bias"])
    return _tvae.Trainer(
        encoder, decoder, columns, data, Replayed(heard), l2scale=method.l2scale, loss_factor=method.loss_factor
    )


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(log(), id="numeric"),
        pytest.param(log(numeric=False), id="categorical"),
    ],
)
@pytest.mark.parametrize("method", [SMALL, replace(SMALL, loss_factor=0.5, l2scale=1e-2, compress_dims=(16,))])
def test_losses_and_weights_are_those_of_ctgan_from_the_same_start(train, method, monkeypatch):
    heard = ctgan_trains(
        train,
        epochs=6,  # 42 steps, every seventh of 16 rows
        monkeypatch=monkeypatch,
        batch_size=64,
        embedding_dim=8,
        compress_dims=method.compress_dims,
        decompress_dims=method.decompress_dims,
        l2scale=method.l2scale,
        loss_factor=method.loss_factor,
    )
    trainer = ours_from_the_same_start(heard, train, method)
    losses = [trainer.step()["loss"].item() for _ in heard.losses]
    assert len(losses) == 42
    np.testing.assert_allclose(losses, heard.losses, rtol=0, atol=1e-4)
    theirs = heard.trained.decoder.state_dict()
    assert torch.allclose(
        trainer.decoder.last.weight, theirs[f"seq.{len(method.decompress_dims) * 2}.weight"], atol=1e-4
    )
    scalars = [span.start for span in heard.spans if span.kind == "scalar"]
    assert torch.allclose(trainer.decoder.sigma, theirs["sigma"][scalars], atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_losses_are_those_of_ctgan_at_the_width_of_frappe(monkeypatch):
    from ctrbench_datasets.simulated import Simulated

    log = Simulated(users=950, items=4000, train_rows=20_000, valid_rows=100, test_rows=100)
    train = log.load(seed=1, context=Context()).train
    method = Tvae(constraints=None)
    heard = ctgan_trains(train, epochs=1, monkeypatch=monkeypatch, l2scale=method.l2scale)
    trainer = ours_from_the_same_start(heard, train, method)
    losses = [trainer.step()["loss"].item() for _ in heard.losses]
    assert len(losses) == 40
    np.testing.assert_allclose(losses, heard.losses, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sharpness", [1.0, 60.0])
def test_rows_are_those_of_ctgan_from_the_same_decoder_and_noise(sharpness, monkeypatch):
    """Where logits are large, their tanh rounds to 1 in ctgan, and of these values the first in train is taken."""
    train = log(numeric=False)
    heard = ctgan_trains(train, 1, monkeypatch, embedding_dim=8, compress_dims=(16,), decompress_dims=(16,))
    theirs = heard.trained.decoder.seq
    with torch.no_grad():
        theirs[-1].weight *= sharpness
    noise = torch.randn(512, 8, generator=torch.Generator().manual_seed(4))
    batches = iter([noise[:500], torch.cat([noise[500:], torch.zeros(488, 8)])])  # ctgan makes whole ones
    with monkeypatch.context() as patched:
        patched.setattr(torch, "normal", lambda mean, std: next(batches))
        expected = heard.trained.sample(512)

    columns = Columns.of(train, seed=1)
    decoder = _tvae.Decoder(columns, (16,), 8)
    ascending = torch.cat(
        [
            span.start + torch.tensor(np.argsort(column.transform.dummies))
            for span, column in zip(heard.spans, heard.trained.transformer._column_transform_info_list, strict=True)
        ]
    )
    decoder.layers[0].load_state_dict(theirs[0].state_dict())
    decoder.last.load_state_dict({name: weight[ascending] for name, weight in theirs[-1].state_dict().items()})
    ties = _tvae.seen(columns, columns.encode(train))
    made, most_probable = (
        columns.decode(_tvae.sample(decoder, columns, order, 8, 512, seed=4)) for order in (ties, None)
    )
    np.testing.assert_array_equal(made.codes, expected[["user", "item"]])
    np.testing.assert_array_equal(made.targets, expected["clicked"])
    assert (made.digest() == most_probable.digest()) == (sharpness == 1)


# --- the gradient written by hand ---


@pytest.mark.parametrize("numeric", [False, True], ids=["categorical", "numeric"])
@pytest.mark.parametrize(
    ("scale", "dtype", "close"),
    [(1.0, torch.float32, 1e-4), (40.0, torch.float32, 1e-4), (1.0, torch.bfloat16, 2e-2)],
    ids=["mild", "extreme", "bf16"],
)
def test_the_gradient_by_hand_is_autograds(numeric, scale, dtype, close):
    train = log(numeric=numeric)
    columns = Columns.of(train, seed=1)
    rows = columns.encode(train)
    with seeded(1):
        decoder = _tvae.Decoder(columns, (16,), 8)
        hidden = scale * torch.relu(torch.randn(len(train), 16))
    loss, slope = _tvae.backward(decoder, hidden.clone(), rows, columns, 0.3, dtype)
    by_hand = [slope, decoder.last.weight.grad, decoder.last.bias.grad, *([decoder.sigma.grad] if numeric else [])]

    exact = decoder.double()
    exact.zero_grad()
    leaf = hidden.double().requires_grad_()
    made = exact.last(leaf)
    total = torch.zeros((), dtype=torch.float64)
    for span, hot in zip(columns.one_hot, rows.hot.T, strict=True):
        part = made[:, span.start : span.start + span.width]
        total = total + torch.nn.functional.cross_entropy(part, hot, reduction="sum")
    for span, number, sigma in zip(columns.scalar, rows.scalars.T.double(), exact.sigma, strict=True):
        normal = torch.distributions.Normal(torch.tanh(made[:, span.start]), sigma)
        total = total - normal.log_prob(number).sum() - len(train) * np.log(np.sqrt(2 * np.pi))
    (0.3 * total).backward()
    assert loss.item() == pytest.approx(0.3 * total.item(), rel=close / 10)
    expected = [leaf.grad, exact.last.weight.grad, exact.last.bias.grad, *([exact.sigma.grad] if numeric else [])]
    for ours, theirs in zip(by_hand, expected, strict=True):
        assert torch.allclose(ours.double(), theirs, rtol=close, atol=close / 4 * theirs.abs().max().item())


def test_a_loss_beyond_what_a_softmax_can_hold_stays_exact():
    """A true value 200 below the largest: its probability is 0 in float32, its log-likelihood is not."""
    train = log(numeric=False)
    columns = Columns.of(train, seed=1)
    rows = columns.encode(train)
    decoder = _tvae.Decoder(columns, (), 4)
    with torch.no_grad():
        decoder.last.weight.zero_()
        decoder.last.bias.zero_()
        decoder.last.bias[0] = 200.0
    loss, _ = _tvae.backward(decoder, torch.zeros(len(train), 4), rows, columns, 1.0)
    others = int((rows.hot[:, 0] != 0).sum())
    assert loss.item() == pytest.approx(200 * others + len(train) * (np.log(8) + np.log(2)), rel=1e-5)


# --- the fit as a task ---


def weights(sampler: TvaeSampler) -> list[torch.Tensor]:
    return list(sampler.decoder.state_dict().values())


@pytest.mark.parametrize("stops", [[1], [7], [3, 10, 17]], ids=str)
def test_a_killed_fit_goes_on_and_ends_as_an_unbroken_one(stops, tmp_path, monkeypatch):
    """Seven steps are a pass: the fit stops within one, at its end, and in later ones, and forgets everything."""
    train = log()
    unbroken = fitted(tmp_path / "unbroken", train)
    done = []
    step = _tvae.Trainer.step

    def counted(self):
        done.append(1)
        if len(done) in stops:
            monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
        return step(self)

    monkeypatch.setattr(_tvae.Trainer, "step", counted)
    steady = time.monotonic
    for _ in stops:
        with pytest.raises(TimeoutError, match="goes on from there"):
            SMALL.fit(train, seed=1, context=Context(checkpoints=tmp_path / "broken", deadline=time.time() + 1e6))
        monkeypatch.setattr(time, "monotonic", steady)
    resumed = fitted(tmp_path / "broken", train)
    assert len(done) == 28
    assert all(map(torch.equal, weights(unbroken), weights(resumed)))
    assert unbroken.sample(50, seed=3).digest() == resumed.sample(50, seed=3).digest()


def test_equal_seeds_make_equal_rows_and_other_seeds_others(tmp_path):
    train = log()
    first, again = (fitted(tmp_path / name, train) for name in "ab")
    other = fitted(tmp_path / "c", train, seed=2)
    assert first.sample(300, seed=5).digest() == again.sample(300, seed=5).digest()
    assert first.sample(300, seed=5).digest() == first.sample(300, seed=5).digest()
    assert first.sample(300, seed=5).digest() != first.sample(300, seed=6).digest()
    assert first.sample(300, seed=5).digest() != other.sample(300, seed=5).digest()


def test_each_pass_takes_every_row_once_in_an_order_of_its_own():
    draws = _tvae.Shuffled(10, 4, seed=1, device="cpu")
    passes = [[draws.rows() for _ in range(3)] for _ in range(2)]
    assert [len(batch) for batch in passes[0]] == [4, 4, 2]
    first, second = (torch.cat(batches).tolist() for batches in passes)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_losses_parameters_and_steps_are_told(tmp_path):
    told = []
    context = Context(checkpoints=tmp_path, progress=lambda step, total, values: told.append((step, total, values)))
    train = log(numeric=False)
    details = SMALL.fit(train, seed=1, context=context).details
    assert told[-1][:2] == (28, 28)
    assert dict(told[-1][2]) == {name: details[name] for name in ("loss", "reconstruction", "divergence")}
    assert details["loss"] == pytest.approx(details["reconstruction"] + details["divergence"], rel=1e-5)
    encoder = 30 * 24 + 24 + 24 * 16 + 16 + 16 * 16 + 16
    decoder = 8 * 16 + 16 + 16 * 24 + 24 + 24 * 30 + 30
    assert (details["parameters"], details["steps"]) == (encoder + decoder, 28)


def test_neither_train_nor_the_global_generators_change(tmp_path):
    train = log()
    before = train.digest(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    fitted(tmp_path, train).sample(10, seed=1)
    after = train.digest(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after


@pytest.mark.parametrize("rows", [0, 1, 150, 2500])
def test_a_pool_has_as_many_rows_as_wanted_of_trains_values(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(_tvae, "SAMPLED", 100)
    train = log()
    made = fitted(tmp_path, train).sample(rows, seed=1)
    assert len(made) == rows
    assert made.schema == train.schema
    assert set(made.rows["user"]) <= set(train.rows["user"])
    assert made.rows["price"].between(train.rows["price"].min(), train.rows["price"].max()).all()


def test_layers_may_be_left_out_and_a_column_may_have_one_value(tmp_path):
    train = log(numeric=False)
    train = replace(train, rows=train.rows.assign(item=np.int32(3)), labels=np.zeros(len(train), np.int8))
    made = fitted(tmp_path, train, replace(SMALL, compress_dims=(), decompress_dims=())).sample(20, seed=1)
    assert set(made.rows["item"]) == {3}
    assert set(made.targets) == {0}


def test_a_pool_resembles_the_table_it_was_learned_from(tmp_path):
    """Item decides price and, mostly, city: marginals within 0.1 total variation, the pairs far nearer than chance."""
    rng = np.random.default_rng(1)
    item = rng.choice(np.arange(1, 5), 3000, p=[0.4, 0.3, 0.2, 0.1])
    city = np.where(rng.random(3000) < 0.9, item, rng.integers(1, 5, 3000))
    price = np.round(rng.normal(10.0 * item, 0.5), 1)
    fields = (*(Field(name, vocabulary=tuple("1234")) for name in ("item", "city")), Field("price", "numeric"))
    rows = pd.DataFrame({"item": item.astype(np.int32), "city": city.astype(np.int32), "price": price})
    train = Table(rows, Schema(fields), (rng.random(3000) < 0.3).astype(np.int8))
    method = Tvae(
        epochs=30, batch_size=100, embedding_dim=8, compress_dims=(32,), decompress_dims=(32,), constraints=None
    )
    made = fitted(tmp_path, train, method).sample(3000, seed=1)

    def shares(table: Table, *names: str) -> pd.Series:
        frame = table.rows.assign(price=(table.rows["price"] / 10).round(), clicked=table.targets)
        return frame.groupby(list(names)).size() / len(frame)

    def distance(*names: str) -> float:
        return float(shares(made, *names).sub(shares(train, *names), fill_value=0).abs().sum() / 2)

    assert max(distance(name) for name in ("item", "city", "price")) < 0.1
    independent = np.outer(shares(train, "item"), shares(train, "city"))
    chance = np.abs(shares(train, "item", "city").unstack(fill_value=0).to_numpy() - independent).sum() / 2
    assert distance("item", "city") < 0.15 < chance / 3
    assert distance("item", "price") < 0.15


# --- parameters ---


def test_a_numeric_encoding_without_sdv_is_refused_with_the_fix():
    with pytest.raises(UserError, match=r"^tvae: sdv_numeric_encoding=true is SDV's own behaviour; add engine=sdv$"):
        Tvae(sdv_numeric_encoding=True)
    assert Tvae(sdv_numeric_encoding=True, engine="sdv").sdv_numeric_encoding


def test_a_choice_that_sdv_does_not_have_is_refused_with_the_fix():
    with pytest.raises(UserError, match=r"^tvae: tanh_before_argmax=false is ours alone; leave out engine=sdv$"):
        Tvae(tanh_before_argmax=False, engine="sdv")
    with pytest.raises(UserError, match=r"^tvae: precision=bf16 is ours alone; leave out engine=sdv$"):
        Tvae(precision="bf16", engine="sdv")


@pytest.mark.parametrize("engine", ["native", "sdv"])
def test_both_engines_keep_to_the_combinations_of_a_constraint(engine, tmp_path):
    train = log(numeric=False)
    train = replace(train, rows=train.rows.assign(again=train.rows["item"]), schema=_with_a_copy(train.schema))
    sampler = fitted(tmp_path, train, replace(SMALL, constraints=(("item", "again"),), engine=engine, epochs=1))
    made = sampler.sample(200, seed=1)
    assert made.schema == train.schema
    assert (made.rows["item"] == made.rows["again"]).all()
    assert sampler.details["constraints"] == "item+again"


def _with_a_copy(schema: Schema) -> Schema:
    return Schema((*schema.fields, replace(schema.fields[1], name="again")), schema.label)
