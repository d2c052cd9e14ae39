"""What every generator owes the harness, put to each of them on small tables."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from ctrbench import Context, Field, Generator, Sampler, Schema, Table
from ctrbench_generators.argn import Argn
from ctrbench_generators.bayes_net import BayesNet
from ctrbench_generators.copulagan import CopulaGan
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.gaussian_copula import GaussianCopula
from ctrbench_generators.mst import Mst
from ctrbench_generators.random_oversampling import RandomOversampling
from ctrbench_generators.smoten import Smoten
from ctrbench_generators.tvae import Tvae

GENERATORS = {
    "random_oversampling": RandomOversampling(),
    "smoten": Smoten(chunks=2),
    "gaussian_copula": GaussianCopula(),
    "ctgan": Ctgan(epochs=2, embedding_dim=8, generator_dim=(16,), discriminator_dim=(16,)),
    "copulagan": CopulaGan(epochs=2, embedding_dim=8, generator_dim=(16,), discriminator_dim=(16,)),
    "bayes_net": BayesNet(parents=2, smoothing=0.1),
    "mst": Mst(epsilon=30),
    "argn": Argn(epochs=40, batch_size=64, embedding_dim=8, hidden=32, learning_rate=1e-2),
    "tvae": Tvae(epochs=60, batch_size=50, embedding_dim=8, compress_dims=(32,), decompress_dims=(32,)),
}
NUMERIC = [name for name in GENERATORS if name not in ("smoten", "mst")]

each_generator = pytest.mark.parametrize("name", GENERATORS)
each_numeric_generator = pytest.mark.parametrize("name", NUMERIC)


@dataclass
class Fitted:
    sampler: Sampler
    pool: Table


@pytest.fixture(scope="module")
def children_at_first() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def _one_thread(children_at_first):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def log(*, numeric: bool = False, rows: int = 600) -> Table:
    """Clicks that depend on user and item; enough rows that ctgan would turn to all cores."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(1, 21, rows), rng.integers(1, 9, rows)
    labels = (rng.random(rows) < 0.15 + 0.5 * ((user + item) % 3 == 0)).astype(np.int8)
    columns = {"user": user.astype(np.int32), "item": item.astype(np.int32)}
    fields = [
        Field("user", role="user", vocabulary=tuple(f"u{n}" for n in range(20))),
        Field("item", role="item", vocabulary=tuple(f"i{n}" for n in range(8))),
    ]
    if numeric:
        columns["price"] = np.round(rng.gamma(2, 3, rows), 2)
        fields.append(Field("price", "numeric"))
    return Table(pd.DataFrame(columns), Schema(tuple(fields), "clicked"), labels)


@cache
def fitted(name: str, *, numeric: bool = False) -> Fitted:
    sampler = GENERATORS[name].fit(log(numeric=numeric), seed=3, context=Context())
    return Fitted(sampler, sampler.sample(600, seed=4))


@each_generator
@pytest.mark.parametrize("rows", [1, 57, 600, 1300])
def test_a_pool_has_the_rows_that_were_asked_for_in_trains_schema(name, rows):
    pool = fitted(name).sampler.sample(rows, seed=9)
    assert len(pool) == rows
    assert pool.labels is not None
    assert pool.schema == log().schema
    assert pool.weights is None
    assert list(pool.rows.index) == list(range(rows))


@each_generator
def test_codes_are_those_of_train_and_both_labels_occur(name):
    pool = fitted(name).pool
    for field in pool.schema.fields:
        assert pool.rows[field.name].between(1, field.vocab_size - 1).all()
    assert set(pool.targets) == {0, 1}


@each_numeric_generator
def test_numeric_fields_stay_within_trains_range(name):
    pool, train = fitted(name, numeric=True).pool, log(numeric=True)
    assert pool.schema == train.schema
    assert pool.rows["price"].between(train.rows["price"].min(), train.rows["price"].max()).all()
    assert pool.rows["price"].nunique() > 20


@each_generator
def test_equal_seeds_give_equal_pools_whatever_the_global_state(name):
    first = fitted(name)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    again = GENERATORS[name].fit(log(), seed=3, context=Context())
    again.sample(300, seed=77)  # what was sampled before does not matter
    assert again.sample(600, seed=4).digest() == first.pool.digest()
    assert first.sampler.sample(600, seed=4).digest() == first.pool.digest()


@each_generator
def test_another_seed_of_sampling_gives_other_rows(name):
    first = fitted(name)
    assert first.sampler.sample(600, seed=5).digest() != first.pool.digest()


@each_generator
def test_another_seed_of_fitting_gives_other_rows(name):
    other = GENERATORS[name].fit(log(), seed=30, context=Context()).sample(600, seed=4)
    assert other.digest() != fitted(name).pool.digest()


@each_generator
def test_any_prefix_of_a_pool_is_a_fair_mixture(name):
    pool = fitted(name).sampler.sample(1200, seed=6)
    first, rest = pool.targets[:300].mean(), pool.targets[300:].mean()
    assert first == pytest.approx(rest, abs=0.12)


@pytest.mark.parametrize("name", ["random_oversampling", "smoten"])
def test_oversampling_keeps_trains_click_rate_exactly(name):
    assert fitted(name).pool.targets.sum() == log().targets.sum()


def test_random_oversampling_returns_real_rows_with_their_labels():
    train = log(numeric=True)
    real = set(train.rows.assign(label=train.labels).itertuples(index=False, name=None))
    pool = fitted("random_oversampling", numeric=True).pool
    drawn = list(pool.rows.assign(label=pool.labels).itertuples(index=False, name=None))
    assert set(drawn) <= real
    assert len(set(drawn)) < len(real)  # drawn with replacement, not train once more


@each_generator
def test_nothing_is_left_behind(name, capfd, children_at_first):
    """Input, global random state, warning filters, output and child processes are as before."""
    train = log()
    before = train.digest(), list(train.rows.dtypes), list(train.rows.columns)
    fitted(name)  # what a library does at its first import is not the generator's doing
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    state = random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()
    filters = list(warnings.filters)
    capfd.readouterr()

    GENERATORS[name].fit(train, seed=3, context=Context()).sample(100, seed=4)

    assert (train.digest(), list(train.rows.dtypes), list(train.rows.columns)) == before
    assert (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()) == state
    assert warnings.filters == filters
    assert psutil.Process().children(recursive=True) == children_at_first
    assert capfd.readouterr() == ("", "")


@each_generator
def test_details_are_plain_facts(name):
    for fact, value in fitted(name).sampler.details.items():
        assert isinstance(fact, str)
        assert type(value) in (int, float, str)


@each_generator
def test_a_module_brings_the_one_generator_of_its_name(name):
    module = importlib.import_module(f"ctrbench_generators.{name}")
    brought: list[type[Generator]] = []
    module.register_generators(brought.append)
    assert [cls.name for cls in brought] == [name]
    assert brought == [type(GENERATORS[name])]


def test_importing_the_generators_imports_no_heavy_library():
    modules = ", ".join(f"ctrbench_generators.{name}" for name in GENERATORS)
    heavy = {"pandas", "torch", "sdv", "sklearn", "imblearn", "scipy", "joblib", "ctgan"}
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
