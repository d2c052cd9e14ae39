"""Our CTGAN: beside ctgan itself, step by step; its conditions, checkpoints and pools."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Table, UserError
from ctrbench_generators import _ctgan, _ctgan_networks, _fitting
from ctrbench_generators._columns import Columns, Encoded, Span
from ctrbench_generators._ctgan_draws import Conditions, Made
from ctrbench_generators.copulagan import CopulaGan, NormalScores
from ctrbench_generators.ctgan import Ctgan

SMALL = Ctgan(epochs=2, batch_size=100, embedding_dim=8, generator_dim=(16, 24), discriminator_dim=(16, 12))


pytestmark = pytest.mark.usefixtures("one_thread")


def log(rows: int = 400, *, numeric: bool = False, cardinalities=(20, 8, 1)) -> Table:
    """Users, items and a context of one value; clicks depend on user and item; the first rows name every value."""
    rng = np.random.default_rng(7)
    columns, fields = {}, []
    for name, size in zip(("user", "item", *"abcdefgh"), cardinalities, strict=False):
        codes = np.where(np.arange(rows) < size, np.arange(rows) + 1, 1 + (size * rng.random(rows) ** 3).astype(int))
        columns[name] = codes.astype(np.int32)
        fields.append(Field(name, vocabulary=tuple(map(str, range(size)))))
    labels = (rng.random(rows) < 0.15 + 0.5 * ((columns["user"] + columns["item"]) % 3 == 0)).astype(np.int8)
    if numeric:
        columns["price"] = np.round(rng.gamma(2, 3, rows), 2)
        fields.insert(1, Field("price", "numeric"))
    frame = pd.DataFrame({field.name: columns[field.name] for field in fields})
    return Table(frame, Schema(tuple(fields), "clicked"), labels)


@pytest.mark.parametrize("inner", [16 * 7, 10 * 5136, 10 * 16 * 331])
def test_a_long_product_in_parts_is_the_product(inner: int) -> None:
    rows, matrix, bias = torch.randn(6, inner).double(), torch.randn(inner, 5).double(), torch.randn(5).double()
    for added in (None, bias):
        parts = _ctgan_networks._long_product(rows, matrix, added, split=True)
        assert torch.allclose(parts, rows @ matrix + (0 if added is None else added), atol=1e-10)
        added = None if added is None else added.float()
        for split in True, False:
            rounded = _ctgan_networks._long_product(rows.float(), matrix.bfloat16(), added, split=split)
            assert rounded.dtype == torch.float32
            assert (rounded - parts).norm() < 2**-6 * parts.norm()


class Reference:
    """A fit by ctgan 0.12: what it began with, and its losses step by step."""

    def __init__(self, spec: Ctgan, train: Table, steps: int, seed: int, patch: pytest.MonkeyPatch) -> None:
        import ctgan.synthesizers.ctgan as theirs
        from joblib import parallel_config

        outer, kept = self, {}

        class Sampler(theirs.DataSampler):
            """Keeps the encoded table, and seeds what follows."""

            def __init__(self, data, *rest) -> None:
                kept["data"], kept["outputs"] = data, rest[0]
                super().__init__(data, *rest)
                outer.seed()

        self.number, self.losses = seed, []
        backward = torch.Tensor.backward

        def recorded(loss, *arguments, **options) -> None:
            self.losses.append(loss.item())
            backward(loss, *arguments, **options)
            if len(self.losses) == (2 * spec.discriminator_steps + 1) * steps:
                raise StopIteration

        frame = train.rows.assign(clicked=train.targets)
        discrete = [*(field.name for field in train.schema.categorical), "clicked"]
        settings = {name: value for name, value in spec.settings(Context()).items() if name != "default_distribution"}
        with patch.context() as patched, parallel_config(backend="sequential"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patched.setattr(theirs, "DataSampler", Sampler)
            patched.setattr(torch.Tensor, "backward", recorded)
            self.model = theirs.CTGAN(**settings)
            with pytest.raises(StopIteration):
                self.model.fit(frame, discrete)
        spans, start = [], 0
        for name, outputs in zip(frame.columns, kept["outputs"], strict=True):
            kinds = ["value"] if len(outputs) == 1 else ["scalar", "mode"]
            for kind, output in zip(kinds, outputs, strict=True):
                spans.append(Span(name, start, output.dim, kind))
                start += output.dim
        self.columns = Columns(tuple(spans), train.schema, {}, {}, 0)
        data = torch.from_numpy(kept["data"])
        hot = [data[:, span.start : span.start + span.width].argmax(1) for span in self.columns.one_hot]
        scalars = data[:, [span.start for span in self.columns.scalar]].float()
        self.encoded = Encoded(torch.stack(hot, 1), scalars)

    def seed(self) -> None:
        np.random.seed(self.number)
        torch.manual_seed(self.number)


class Replay:
    """The draws of ctgan, from the global generators and in its order."""

    def __init__(self, spec: Ctgan, columns: Columns, encoded: Encoded, *, sampling: bool = False) -> None:
        self.spec, self.columns, self.sampling = spec, columns, sampling
        self.values = [(at, span) for at, span in enumerate(columns.one_hot) if span.kind == "value"]
        self.hot = encoded.hot.numpy()
        self.starts = np.cumsum([0, *(span.width for _, span in self.values)])

    def made(self) -> Made:
        spec, batch = self.spec, self.spec.batch_size
        noise = torch.normal(torch.zeros(batch, spec.embedding_dim), torch.ones(batch, spec.embedding_dim))
        probabilities = []
        for at, span in self.values:
            counts = np.bincount(self.hot[:, at], minlength=span.width).astype(float)
            weight = np.log(counts + 1) if spec.log_frequency else counts
            probabilities.append(weight / weight.sum())
        if self.sampling:
            flat = np.concatenate(probabilities) / np.concatenate(probabilities).sum()
            conditions = np.random.choice(np.arange(len(flat)), batch, p=flat)
        else:
            self.column = np.random.choice(np.arange(len(self.values)), batch)
            numbers = np.random.rand(batch)
            pairs = zip(self.column, numbers, strict=True)
            self.value = np.array([np.argmax(np.cumsum(probabilities[at]) > number) for at, number in pairs])
            conditions = self.starts[self.column] + self.value
        gumbel = torch.zeros(batch, self.columns.width)
        for span in self.columns.one_hot:
            gumbel[:, span.start : span.start + span.width] = -torch.empty(batch, span.width).exponential_().log()
        return Made(noise, torch.from_numpy(conditions), gumbel)

    def real(self, conditions):
        order = np.arange(len(conditions))
        np.random.shuffle(order)
        rows = []
        for row in order:
            at, _ = self.values[self.column[row]]
            rows.append(np.random.choice(np.flatnonzero(self.hot[:, at] == self.value[row])))
        return conditions[torch.from_numpy(order)], torch.tensor(rows)

    def keeps(self, groups, widths):
        return [torch.nn.functional.dropout(torch.ones(groups, width), 0.5) for width in widths]

    def mix(self, groups):
        return torch.rand(groups, 1, 1)[:, 0]


def begin_alike(trainer: _ctgan.Trainer, spec: Ctgan) -> None:
    """Give the trainer the weights that ctgan begins with, drawn as it draws them."""
    import ctgan.synthesizers.ctgan as theirs

    row, conditions = trainer._columns.width, len(trainer.conditions)
    generator = theirs.Generator(spec.embedding_dim + conditions, spec.generator_dim, row)
    critic = theirs.Discriminator(row + conditions, spec.discriminator_dim, pac=spec.pac)
    set_generator(trainer, generator)
    further = [layer for layer in critic.seq if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        first = further[0].weight.reshape(-1, spec.pac, row + conditions).permute(1, 2, 0)
        trainer.critic.of_rows.unflatten(0, (spec.pac, -1))[:, :row] = first[:, :row]
        trainer.critic.of_conditions.unflatten(0, (spec.pac, -1))[:, :conditions] = first[:, row:]
        trainer.critic.bias.copy_(further[0].bias)
        for weight, bias, layer in zip(trainer.critic.weights, trainer.critic.biases, further[1:], strict=True):
            weight.copy_(layer.weight)
            bias.copy_(layer.bias)


@torch.no_grad()
def set_generator(trainer: _ctgan.Trainer, generator: torch.nn.Module) -> None:
    blocks = list(generator.seq)
    for ours, layer in zip(trainer.generator.layers, [*(block.fc for block in blocks[:-1]), blocks[-1]], strict=True):
        out, into = layer.out_features, layer.in_features - len(trainer.conditions)
        ours.weight[:out] = layer.weight[:, :into]
        ours.table.weight[:, :out] = layer.weight[:, into:].T
        ours.bias[:out] = layer.bias
    for scale, shift, block in zip(trainer.generator.scales, trainer.generator.shifts, blocks[:-1], strict=True):
        scale.copy_(block.bn.weight)
        shift.copy_(block.bn.bias)


@contextmanager
def globals_restored():
    numpy, generator = np.random.get_state(), torch.get_rng_state()
    yield
    np.random.set_state(numpy)
    torch.set_rng_state(generator)


def losses_side_by_side(spec: Ctgan, train: Table, steps: int, patch: pytest.MonkeyPatch):
    """The losses of ctgan and ours: penalties and critic losses in turn, then the generator's, step by step."""
    with globals_restored():
        theirs = Reference(replace(spec, epochs=1000), train, steps, seed=3, patch=patch)
        trainer = _ctgan.Trainer(spec, theirs.columns, theirs.encoded, seed=1, device="cpu")
        theirs.seed()
        begin_alike(trainer, spec)
        trainer.critic.changed()
        trainer.draws = Replay(spec, theirs.columns, theirs.encoded)
        ours = []
        for _ in range(steps):
            for _ in range(spec.discriminator_steps):
                loss, penalty = trainer.critic_step()
                ours += [penalty.item(), loss.item()]
            ours.append(trainer.generator_step().item())
    return np.array(theirs.losses), np.array(ours)


@pytest.mark.parametrize(
    ("settings", "numeric"),
    [
        ({}, False),
        ({}, True),
        ({"log_frequency": False, "discriminator_steps": 2, "pac": 5}, False),
        ({"generator_dim": (), "discriminator_dim": (), "batch_size": 500}, True),
        ({"generator_dim": (16,), "discriminator_dim": (16, 16, 16), "generator_decay": 0.1}, False),
    ],
    ids=["categorical", "numeric", "two steps of the critic", "no hidden layers, a batch beyond the table", "deeper"],
)
def test_losses_are_ctgans_step_by_step(settings, numeric, monkeypatch):
    spec = replace(SMALL, **settings)
    theirs, ours = losses_side_by_side(spec, log(numeric=numeric), 40, monkeypatch)
    assert len(theirs) == len(ours) == 40 * (2 * spec.discriminator_steps + 1)
    assert np.ptp(theirs) > 0.5  # they move
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_losses_in_bf16_follow_ctgans(monkeypatch):
    spec = replace(SMALL, precision="bf16", discriminator_lr=2e-3)
    theirs, ours = losses_side_by_side(spec, log(numeric=True), 40, monkeypatch)
    assert np.ptp(theirs) > 0.5
    assert np.abs(ours - theirs).max() > 1e-4
    # single penalties drift apart, as those of other roundings do
    assert np.abs(ours - theirs).mean() < 0.05 * np.abs(theirs).mean()


def test_a_forecast_copes_with_networks_without_hidden_layers_and_counts_rounded_copies():
    schema = log().schema
    bare, exact, rounded = (
        replace(SMALL, **settings).forecast(schema, 1000)
        for settings in ({"generator_dim": (), "discriminator_dim": ()}, {}, {"precision": "bf16"})
    )
    assert 0 < bare.operations < exact.operations == rounded.operations
    assert exact.memory < rounded.memory


def test_the_critics_products_take_the_weights_as_they_are():
    columns = Columns.of(log(), 1)
    first, again = (
        _ctgan.Trainer(replace(SMALL, precision="bf16"), columns, columns.encode(log()), seed=seed, device="cpu")
        for seed in (1, 2)
    )
    for _ in range(3):
        first.step()
    again.critic_step()
    again.restore(deepcopy(first.state()))
    for trainer in first, again:
        for rounded, exact in zip(
            trainer.critic._wide, (first.critic.of_rows, first.critic.of_conditions), strict=True
        ):
            assert torch.equal(rounded, exact.bfloat16())
    assert first.step() == again.step()


def test_a_precision_that_sdv_does_not_have_is_refused_with_the_fix():
    with pytest.raises(UserError, match=r"^ctgan: precision=bf16 is ours alone; leave out engine=sdv$"):
        Ctgan(precision="bf16", engine="sdv")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_losses_are_ctgans_step_by_step_at_frappes_width(monkeypatch):
    train = log(4200, cardinalities=(957, 4082, 7, 7, 2, 3, 2, 9, 80, 230))
    theirs, ours = losses_side_by_side(Ctgan(), train, 40, monkeypatch)
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_rows_are_those_ctgan_samples(monkeypatch):
    train = log()
    with globals_restored():
        theirs = Reference(replace(SMALL, epochs=1000), train, 5, seed=3, patch=monkeypatch)
        trainer = _ctgan.Trainer(SMALL, theirs.columns, theirs.encoded, seed=1, device="cpu")
        set_generator(trainer, theirs.model._generator)
        encoders = theirs.model._transformer._column_transform_info_list
        values = {encoder.column_name: np.array(encoder.transform.dummies, np.int32) for encoder in encoders}
        columns = replace(theirs.columns, values=values)
        sampler = _ctgan.CtganSampler(SMALL, columns, trainer.generator, trainer.conditions, {})
        replay = Replay(SMALL, theirs.columns, theirs.encoded, sampling=True)
        monkeypatch.setattr(sampler, "_draws", lambda seed: replay)
        theirs.seed()
        expected = theirs.model.sample(250)
        theirs.seed()
        made = sampler.sample(250, seed=0)
    pd.testing.assert_frame_equal(made.rows.assign(clicked=made.targets), expected, check_dtype=False)


def conditions_of(train: Table, *, log_frequency: bool) -> tuple[Columns, Encoded, Conditions]:
    columns = Columns.of(train, 1)
    encoded = columns.encode(train)
    return columns, encoded, Conditions(columns, encoded, log_frequency=log_frequency, device="cpu")


@pytest.mark.parametrize("log_frequency", [True, False])
def test_conditions_are_drawn_by_column_and_by_frequency_within_it(log_frequency):
    train = log()
    _, _, conditions = conditions_of(train, log_frequency=log_frequency)
    drawn = conditions.draw(100_000, torch.Generator().manual_seed(1))
    assert len(conditions) == 20 + 8 + 1 + 2
    expected = []
    for column in (*(train.rows[name] for name in train.schema.names), train.targets):
        counts = np.unique(column, return_counts=True)[1].astype(float)
        weight = np.log(counts + 1) if log_frequency else counts
        expected.append(weight / weight.sum() / 4)
    shares = np.bincount(drawn, minlength=31) / len(drawn)
    np.testing.assert_allclose(shares, np.concatenate(expected), atol=0.006)


def test_every_row_that_meets_a_condition_is_drawn_and_no_other():
    train = log(numeric=True)
    columns, encoded, conditions = conditions_of(train, log_frequency=True)
    asked = torch.arange(len(conditions)).repeat_interleave(3000)
    rows = conditions.matching(asked, torch.Generator().manual_seed(1))
    spans = [columns.one_hot[at] for at in conditions.spans[asked]]
    starts = torch.tensor([span.start for span in spans])
    assert torch.equal(encoded.hot[rows, conditions.spans[asked]], conditions.places[asked] - starts)
    rare = 15  # a user of few rows
    assert set(rows[asked == rare].tolist()) == set(torch.nonzero(encoded.hot[:, 0] == rare)[:, 0].tolist())


@pytest.mark.parametrize("generator", [SMALL, CopulaGan(**vars(SMALL))], ids=lambda generator: generator.name)
@pytest.mark.parametrize("numeric", [False, True], ids=["categorical", "numeric"])
def test_pools_follow_their_seeds_and_leave_no_trace(generator, numeric):
    train = log(numeric=numeric)
    before, numbers, state = train.digest(), np.random.get_state()[1].copy(), torch.get_rng_state()
    sampler = generator.fit(train, seed=1, context=Context())
    pool = sampler.sample(330, seed=2)
    assert len(pool) == 330
    assert pool.schema == train.schema
    assert sampler.sample(330, seed=3).digest() != pool.digest()
    assert sampler.sample(330, seed=2).digest() == pool.digest()
    assert generator.fit(train, seed=1, context=Context()).sample(330, seed=2).digest() == pool.digest()
    assert generator.fit(train, seed=4, context=Context()).sample(330, seed=2).digest() != pool.digest()
    assert train.digest() == before
    assert np.array_equal(np.random.get_state()[1], numbers)
    assert torch.equal(torch.get_rng_state(), state)
    if numeric:
        assert pool.rows["price"].between(train.rows["price"].min(), train.rows["price"].max()).all()
        np.testing.assert_array_equal(pool.rows["price"], pool.rows["price"].round(2))


def test_a_killed_fit_goes_on_where_it_was_and_ends_with_the_same_rows(tmp_path, monkeypatch):
    spec, train = replace(SMALL, epochs=10), log(numeric=True)
    whole = spec.fit(train, seed=1, context=Context(checkpoints=tmp_path / "whole"))
    monkeypatch.setattr(_fitting, "SAVE_EVERY", 0.0)
    step, steps = _ctgan.Trainer.step, []

    def killed(trainer):
        steps.append(1)
        if len(steps) == 20:
            raise KeyboardInterrupt
        return step(trainer)

    context = Context(checkpoints=tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(_ctgan.Trainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            spec.fit(train, seed=1, context=context)
    with monkeypatch.context() as patched:
        steps.clear()
        patched.setattr(_ctgan.Trainer, "step", lambda trainer: (steps.append(1), step(trainer))[1])
        again = spec.fit(train, seed=1, context=context)
    assert len(steps) == 40 - 19
    assert again.sample(400, seed=2).digest() == whole.sample(400, seed=2).digest()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_pools_are_as_near_to_train_as_sdvs():
    train = log(2000)

    def distances(engine: str) -> np.ndarray:
        """Total variation from train of every column and of every pair, the mean of either, over three seeds."""
        spec = replace(SMALL, engine=engine, epochs=100, generator_lr=1e-3, discriminator_lr=1e-3)
        found = []
        for seed in (1, 2, 3):
            pool = spec.fit(train, seed=seed, context=Context()).sample(20_000, seed=seed)
            real, made = (table.rows.assign(clicked=table.targets) for table in (train, pool))
            names = list(real.columns)
            groups = [[name] for name in names], [list(pair) for pair in combinations(names, 2)]
            for kind in groups:
                shares = [(real.value_counts(g, normalize=True), made.value_counts(g, normalize=True)) for g in kind]
                found.append(np.mean([left.sub(right, fill_value=0).abs().sum() / 2 for left, right in shares]))
        return np.reshape(found, (3, 2))

    ours, theirs = distances("native"), distances("sdv")
    spread = np.maximum(np.ptp(ours, axis=0), np.ptp(theirs, axis=0))
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= spread + 0.01).all(), (ours, theirs)


def test_details_are_the_last_losses_the_steps_and_the_weights():
    import ctgan.synthesizers.ctgan as theirs

    told = []
    context = Context(progress=lambda step, total, values: told.append((step, total, dict(values))))
    details = SMALL.fit(log(), seed=1, context=context).details
    assert set(details) == {"generator loss", "discriminator loss", "steps", "parameters"}
    assert details["steps"] == 2 * (400 // 100)
    generator = theirs.Generator(8 + 31, SMALL.generator_dim, 31)
    critic = theirs.Discriminator(31 + 31, SMALL.discriminator_dim, SMALL.pac)
    assert details["parameters"] == sum(weight.numel() for n in (generator, critic) for weight in n.parameters())
    assert told[-1] == (8, 8, {name: value for name, value in details.items() if "loss" in name})


def test_a_table_smaller_than_a_batch_takes_one_step_an_epoch():
    train = log(60)
    sampler = SMALL.fit(train, seed=1, context=Context())
    assert sampler.details["steps"] == 2
    assert len(sampler.sample(7, seed=1)) == 7


@pytest.mark.parametrize("engine", ["native", "sdv"])
def test_constraints_make_only_combinations_that_train_has(engine):
    train = log()
    spec = replace(SMALL, engine=engine, constraints=(("user", "item"),))
    sampler = spec.fit(train, seed=1, context=Context())
    pool = sampler.sample(500, seed=2)
    seen = set(map(tuple, train.rows[["user", "item"]].to_numpy()))
    assert set(map(tuple, pool.rows[["user", "item"]].to_numpy())) <= seen
    assert sampler.details["constraints"] == "user+item"


@pytest.mark.parametrize("generator", [Ctgan, CopulaGan])
def test_sdvs_numeric_encoding_asks_for_sdvs_engine(generator):
    with pytest.raises(UserError, match=f"^{generator.name}: sdv_numeric_encoding=true .* add engine=sdv$"):
        generator(sdv_numeric_encoding=True)
    assert generator(sdv_numeric_encoding=True, engine="sdv").encoding == "uniform"


def test_networks_beyond_the_memory_are_refused_in_one_line():
    with pytest.raises(
        UserError, match=r"^ctgan: networks for 31 one-hot columns take \d+ GiB, and \d+ GiB are free; "
    ):
        replace(SMALL, generator_dim=(10**9,)).fit(log(), seed=1, context=Context())


@pytest.mark.parametrize("distribution", ["beta", "norm", "truncnorm", "uniform", "gamma", "gaussian_kde"])
def test_scores_are_sdvs_and_lead_back_to_the_numbers(distribution):
    from sdv.single_table import CopulaGANSynthesizer

    train = log(numeric=True)
    scores = NormalScores.of(train, distribution)
    there = scores.of_table(train)
    sdtypes = {"user": "categorical", "price": "numerical"}
    synthesizer = CopulaGANSynthesizer(
        metadata(sdtypes), default_distribution=distribution, epochs=1, embedding_dim=2, enable_gpu=False
    )
    frame = train.rows[["user", "price"]].astype({"user": int})
    config = synthesizer._create_gaussian_normalizer_config(frame)
    theirs = config["transformers"]["price"].fit_transform(frame[["price"]], "price")["price"]
    np.testing.assert_allclose(there.rows["price"], theirs, rtol=1e-9)
    np.testing.assert_allclose(scores.back(there).rows["price"], train.rows["price"], atol=0.011)
    assert train.rows["price"].max() > 10 > there.rows["price"].abs().max()


def metadata(sdtypes: dict[str, str]):
    from sdv.metadata import Metadata

    columns = {name: {"sdtype": sdtype} for name, sdtype in sdtypes.items()}
    return Metadata.load_from_dict({"tables": {"log": {"columns": columns}}})
