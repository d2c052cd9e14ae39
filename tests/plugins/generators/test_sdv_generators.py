"""The SDV adapter: its pools are those of SDV used by hand, at the paper's settings."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Table, UserError
from ctrbench.params import scaled
from ctrbench_generators import _sdv
from ctrbench_generators.copulagan import CopulaGan
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.gaussian_copula import GaussianCopula
from ctrbench_generators.tvae import Tvae

SMALL = {"epochs": 2, "embedding_dim": 8, "constraints": None, "engine": "sdv"}
CTGAN = Ctgan(**SMALL, generator_dim=(16,), discriminator_dim=(16,))
COPULAGAN = CopulaGan(**SMALL, generator_dim=(16,), discriminator_dim=(16,))
TVAE = Tvae(**SMALL, batch_size=50, compress_dims=(16,), decompress_dims=(16,), loss_factor=1.5)
COPULA = GaussianCopula(constraints=None)


pytestmark = pytest.mark.usefixtures("one_thread")


def log(*, numeric: bool = False) -> Table:
    rng = np.random.default_rng(7)
    user, item = rng.integers(1, 21, 400), rng.integers(1, 9, 400)
    labels = (rng.random(400) < 0.15 + 0.5 * ((user + item) % 3 == 0)).astype(np.int8)
    columns = {"user": user.astype(np.int32), "item": item.astype(np.int32)}
    fields = [Field("user", vocabulary=tuple(map(str, range(20)))), Field("item", vocabulary=tuple(map(str, range(8))))]
    if numeric:
        columns["price"] = np.round(rng.gamma(2, 3, 400), 2)
        fields.append(Field("price", "numeric"))
    return Table(pd.DataFrame(columns), Schema(tuple(fields), "clicked"), labels)


def pool(generator, train: Table, *, fit_seed: int = 11, seed: int = 12) -> Table:
    return generator.fit(train, seed=fit_seed, context=Context()).sample(len(train), seed=seed)


def by_hand(train: Table):
    """The frame and the metadata that a user of SDV would write for this table."""
    from sdv.metadata import Metadata

    frame = train.rows.astype({field.name: int for field in train.schema.categorical}).assign(clicked=train.targets)
    sdtypes = {"user": "categorical", "item": "categorical", "price": "numerical", "clicked": "categorical"}
    columns = {name: {"sdtype": sdtypes[name]} for name in frame.columns}
    return frame.astype({"clicked": int}), Metadata.load_from_dict({"tables": {"log": {"columns": columns}}})


def sampled_by_hand(synthesizer, seed: int = 12) -> pd.DataFrame:
    synthesizer._set_random_state(seed)
    return synthesizer.sample(num_rows=400)["log"]


def assert_same(made: Table, expected: pd.DataFrame) -> None:
    assert list(expected.columns) == [*made.schema.names, "clicked"]
    for name in made.schema.names:
        np.testing.assert_array_equal(made.rows[name], expected[name])
    np.testing.assert_array_equal(made.targets, expected["clicked"])


def sdv_synthesizer(name: str, metadata):
    from sdv.single_table import CopulaGANSynthesizer, CTGANSynthesizer, TVAESynthesizer

    match name:
        case "ctgan":
            return CTGANSynthesizer(
                metadata, epochs=2, embedding_dim=8, generator_dim=(16,), discriminator_dim=(16,), enable_gpu=False
            )
        case "copulagan":
            return CopulaGANSynthesizer(
                metadata, epochs=2, embedding_dim=8, generator_dim=(16,), discriminator_dim=(16,), enable_gpu=False
            )
        case _:
            return TVAESynthesizer(
                metadata,
                epochs=2,
                batch_size=50,
                embedding_dim=8,
                compress_dims=(16,),
                decompress_dims=(16,),
                l2scale=1e-6,
                loss_factor=1.5,
                enable_gpu=False,
            )


@pytest.mark.parametrize("generator", [CTGAN, COPULAGAN, TVAE], ids=lambda generator: generator.name)
@pytest.mark.parametrize("numeric", [False, True], ids=["categorical", "numeric"])
def test_networks_make_what_sdv_makes_by_hand(generator, numeric):
    train = log(numeric=numeric)
    frame, metadata = by_hand(train)
    synthesizer = sdv_synthesizer(generator.name, metadata)
    # The encoders of numeric columns draw nothing, so the two global generators are all there is to seed.
    random.seed(11), np.random.seed(11), torch.manual_seed(11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        synthesizer.fit({"log": frame})
        expected = sampled_by_hand(synthesizer)
    assert_same(pool(generator, train), expected)


@pytest.mark.parametrize("numeric", [False, True], ids=["categorical", "numeric"])
def test_the_gaussian_copula_makes_what_sdv_makes_by_hand(numeric):
    from sdv.single_table import GaussianCopulaSynthesizer

    train = log(numeric=numeric)
    frame, metadata = by_hand(train)
    synthesizer = GaussianCopulaSynthesizer(metadata, numerical_distributions=None, default_distribution="beta")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoded = synthesizer.preprocess({"log": frame})["log"]
        for position, (column, encoder) in enumerate(synthesizer.get_transformers().items()):
            encoder.set_random_state(np.random.RandomState([11, position]), "transform")
            encoded[column] = encoder.transform(frame[[column]])[column]
        synthesizer.fit_processed_data({"log": encoded})
        expected = sampled_by_hand(synthesizer)
    assert_same(pool(COPULA, train), expected)


@pytest.mark.parametrize("sdv_numeric_encoding", [False, True])
def test_copulagan_equals_ctgan_where_no_field_is_numeric(sdv_numeric_encoding):
    train = log()
    copulagan = replace(COPULAGAN, sdv_numeric_encoding=sdv_numeric_encoding)
    same = copulagan.equivalent(train.schema)
    assert type(same) is Ctgan
    assert asdict(same) == asdict(replace(CTGAN, sdv_numeric_encoding=sdv_numeric_encoding))
    assert pool(copulagan, train).digest() == pool(same, train).digest()


def test_copulagan_is_its_own_method_where_a_field_is_numeric():
    train = log(numeric=True)
    assert COPULAGAN.equivalent(train.schema) is COPULAGAN
    assert pool(COPULAGAN, train).digest() != pool(CTGAN, train).digest()


@pytest.mark.parametrize("generator", [CTGAN, TVAE], ids=lambda generator: generator.name)
def test_the_numeric_encoding_is_what_sdv_falls_into_once_it_has_constraints(generator):
    from sdv.cag import FixedCombinations

    train = log()
    frame, metadata = by_hand(train)
    constrained = sdv_synthesizer(generator.name, metadata)
    constrained.add_constraints([FixedCombinations(["user", "item"])])
    constrained.auto_assign_transformers({"log": frame})
    fallen_into = {type(encoder).__name__ for encoder in constrained.get_transformers().values()}
    assert fallen_into == {"UniformEncoder"}

    def encoders(spec) -> set[str]:
        sampler = spec.fit(train, seed=1, context=Context())
        return {type(encoder).__name__ for encoder in sampler._synthesizer.get_transformers().values()}

    assert encoders(replace(generator, sdv_numeric_encoding=True)) == fallen_into
    assert encoders(generator) == {"NoneType"}


def test_pools_do_not_depend_on_the_hash_seed_of_the_process():
    """SDV walks over sets of column names, and worker processes hash text each in its own way."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from test_sdv_generators import *\n"
        "print(pool(CTGAN, log(numeric=True)).digest(), pool(COPULA, log(numeric=True)).digest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [pool(CTGAN, log(numeric=True)).digest(), pool(COPULA, log(numeric=True)).digest()]
    assert done.stdout.split() == here


def test_defaults_are_the_papers_settings():
    assert asdict(Ctgan()) == {
        "epochs": 300,
        "batch_size": 500,
        "embedding_dim": 128,
        "generator_dim": (256, 256),
        "discriminator_dim": (256, 256),
        "generator_lr": 2e-4,
        "generator_decay": 1e-6,
        "discriminator_lr": 2e-4,
        "discriminator_decay": 1e-6,
        "discriminator_steps": 1,
        "log_frequency": True,
        "pac": 10,
        "constraints": "auto",
        "precision": "float32",
        "engine": "native",
        "sdv_numeric_encoding": False,
    }
    assert asdict(CopulaGan()) == {**asdict(Ctgan()), "default_distribution": "beta"}
    tvae = Tvae()
    assert (tvae.epochs, tvae.batch_size, tvae.embedding_dim, tvae.l2scale) == (300, 500, 128, 1e-6)
    assert tvae.compress_dims == tvae.decompress_dims == (128, 128)
    assert asdict(GaussianCopula()) == {"default_distribution": "beta", "constraints": "auto"}


@pytest.mark.parametrize("generator", [Ctgan(), CopulaGan(), Tvae()], ids=lambda generator: generator.name)
def test_a_budget_scales_the_epochs_and_nothing_else(generator):
    assert scaled(generator, 0.01) == replace(generator, epochs=3)


def test_losses_of_the_last_epoch_are_recorded_and_told():
    told = []
    context = Context(progress=lambda step, total, values: told.append((step, total, dict(values))))
    details = CTGAN.fit(log(), seed=1, context=context).details
    assert set(details) == {"generator loss", "discriminator loss"}
    assert told == [(0, 1, {}), (1, 1, dict(details))]


@pytest.mark.parametrize("settings", [{"batch_size": 505}, {"batch_size": 64}, {"batch_size": 15, "pac": 5}])
def test_a_batch_that_does_not_fill_its_packs_is_refused_at_once(settings):
    with pytest.raises(UserError, match=r"ctgan: batch_size=\d+ must be even and a multiple of pac=\d+"):
        Ctgan(**settings)


@pytest.mark.parametrize("bad", [0, 9, 2.5, np.nan])
def test_a_value_that_train_lacks_is_named(bad):
    train = log()
    frame = train.rows.astype(float).assign(clicked=train.targets)
    frame.loc[5, "item"] = bad
    with pytest.raises(ValueError, match=rf"invented the value {bad} of 'item', outside 1 … 8"):
        _sdv._table(frame, train.schema)


def test_a_label_that_is_none_is_named():
    train = log()
    with pytest.raises(ValueError, match="of 'clicked', outside 0 … 1"):
        _sdv._table(train.rows.assign(clicked=2), train.schema)


def test_a_pool_larger_than_a_batch_is_complete_and_has_no_repeats(monkeypatch):
    monkeypatch.setattr(_sdv, "BATCH", 150)
    made = pool(COPULA, log(numeric=True))
    assert len(made) == 400
    assert not np.array_equal(made.codes[:150], made.codes[150:300])


def test_joined_columns_make_what_sdvs_own_constraint_makes():
    """Same rule, another way: no unseen combination, and each column's shares as with SDV's FixedCombinations."""
    from sdv.cag import FixedCombinations
    from sdv.single_table import GaussianCopulaSynthesizer

    train = log()
    train = Table(train.rows.assign(item=1 + train.rows["user"] % 5).astype("int32"), train.schema, train.labels)
    frame, metadata = by_hand(train)
    synthesizer = GaussianCopulaSynthesizer(metadata, default_distribution="beta")
    synthesizer.add_constraints([FixedCombinations(["user", "item"])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        synthesizer.fit({"log": frame})
        theirs = synthesizer.sample(num_rows=4000)["log"]
    # Beside a third column, as a group of all columns is refused.
    hour = np.random.default_rng(3).integers(1, 4, len(train)).astype(np.int32)
    fields = (*train.schema.fields, Field("hour", vocabulary=("0", "1", "2")))
    wider = Table(train.rows.assign(hour=hour), Schema(fields, "clicked"), train.labels)
    ours = GaussianCopula(constraints=("user", "item")).fit(wider, seed=1, context=Context()).sample(4000, seed=2)
    for made, clicks in ((ours.rows, ours.targets), (theirs, theirs["clicked"].to_numpy())):
        assert (made["item"] == 1 + made["user"] % 5).all()
        assert abs(clicks.mean() - train.click_rate) < 0.05
        shares = made["user"].value_counts(normalize=True).reindex(range(1, 21), fill_value=0)
        real = train.rows["user"].value_counts(normalize=True).reindex(range(1, 21), fill_value=0)
        assert (shares - real).abs().max() < 0.04


@pytest.mark.parametrize("generator", [COPULA, CTGAN, COPULAGAN, TVAE], ids=lambda generator: generator.name)
def test_fields_with_one_value_keep_it(generator):
    train = log(numeric=True)
    rows = train.rows.assign(item=np.int32(3), price=2.5)
    made = pool(generator, Table(rows, train.schema, train.labels))
    assert set(made.rows["item"]) == {3}
    np.testing.assert_allclose(made.rows["price"], 2.5)
    assert made.rows["user"].nunique() > 3


@pytest.mark.parametrize("generator", [CTGAN, COPULAGAN, TVAE], ids=lambda generator: generator.name)
def test_a_field_too_wide_for_one_hot_columns_is_refused_with_a_forecast(generator):
    user = np.random.default_rng(1).permutation(200_000).astype(np.int32) // 2 + 1
    schema = Schema((Field("user", vocabulary=tuple(map(str, range(100_000)))), Field("item", vocabulary=("a",))))
    train = Table(pd.DataFrame({"user": user, "item": np.ones_like(user)}), schema, (user % 2).astype(np.int8))
    forecast = r"200,000 rows of 100,003 one-hot columns \('user' alone has 100,000 values\) need about \d{3}\.\d GB"
    with pytest.raises(UserError, match=rf"^SDV would run out of memory: {forecast}, and .* take engine=native$"):
        generator.fit(train, seed=1, context=Context())
