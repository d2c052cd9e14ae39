"""SMOTENC: what comes out is what imbalanced-learn adds, chunk by chunk, with train's decimals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench_generators.smotenc import Smotenc


def log(rows: int = 300) -> Table:
    """Numbers and categories in turn; the classes lie apart in both."""
    rng = np.random.default_rng(1)
    labels = (rng.random(rows) < 0.3).astype(np.int8)
    columns = {
        "city": rng.integers(1, 6, rows).astype(np.int32) + 5 * labels.astype(np.int32),
        "price": rng.gamma(2, 3, rows) + 100 * labels,
        "brand": rng.integers(1, 8, rows).astype(np.int32),
        "age": rng.integers(18, 80, rows).astype(np.float64),
    }
    fields = (
        Field("city", vocabulary=tuple(map(str, range(10)))),
        Field("price", "numeric"),
        Field("brand", vocabulary=tuple(map(str, range(7)))),
        Field("age", "numeric"),
    )
    return Table(pd.DataFrame(columns), Schema(fields, "clicked"), labels)


def sample(spec: Smotenc, train: Table, rows: int | None = None, *, seed: int = 2) -> Table:
    return spec.fit(train, seed=1, context=Context()).sample(rows or len(train), seed=seed)


def sorted_rows(values: np.ndarray, labels: np.ndarray) -> list[tuple[float, ...]]:
    return sorted(map(tuple, np.column_stack([values, labels]).tolist()))


def by_hand(train: Table, k: int, random_state: int) -> list[tuple[float, ...]]:
    """The rows that imbalanced-learn adds when each class is doubled."""
    from imblearn.over_sampling import SMOTENC

    counts = np.bincount(train.targets)
    sampler = SMOTENC([0, 2], sampling_strategy=dict(enumerate(2 * counts)), k_neighbors=k, random_state=random_state)
    values, labels = sampler.fit_resample(train.rows.to_numpy(np.float64), train.targets)
    values[:, 3] = values[:, 3].round()  # ages, whole in train
    return sorted_rows(values[len(train) :], labels[len(train) :])


@pytest.mark.parametrize("k", [5, 2])
def test_one_chunk_is_what_imbalanced_learn_adds(k):
    train = log()
    pool = sample(Smotenc(k_neighbors=k), train)
    seed = np.random.RandomState([1, 2]).randint(2**31)
    assert sorted_rows(pool.rows.to_numpy(), pool.targets) == by_hand(train, k, seed)


def test_each_chunk_is_what_imbalanced_learn_adds_to_it():
    train = log()
    pool = sample(Smotenc(chunks=2), train)
    randomness = np.random.RandomState([1, 2])
    halves = [by_hand(train.take(part), 5, randomness.randint(2**31)) for part in np.split(np.arange(300), 2)]
    assert sorted_rows(pool.rows.to_numpy(), pool.targets) == sorted(halves[0] + halves[1])


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("rows", [1, 45, 300, 1000])
def test_any_number_of_rows_keeps_schema_and_click_rate(rows, chunks):
    train = log()
    pool = sample(Smotenc(chunks=chunks), train, rows)
    assert len(pool) == rows
    assert pool.schema == train.schema
    assert pool.targets.sum() == round(rows * train.click_rate)
    assert list(pool.rows.index) == list(range(rows))


def test_new_rows_are_new_lie_between_rows_of_their_class_and_take_its_values():
    train, pool = log(), sample(Smotenc(), log())
    real = set(train.rows.itertuples(index=False, name=None))
    assert not real & set(pool.rows.itertuples(index=False, name=None))
    assert (pool.rows["city"] > 5).tolist() == (pool.targets == 1).tolist()
    for label in (0, 1):
        mine, made = train.rows[train.targets == label], pool.rows[pool.targets == label]
        for name in ("price", "age"):
            assert made[name].min() >= mine[name].min() - 1e-9
            assert made[name].max() <= mine[name].max() + 1e-9
        assert not np.isin(made["price"], mine["price"]).any()


def test_seeds_decide_and_nothing_else_changes():
    train = log()
    digest = train.digest()
    np.random.seed(3)
    before = repr(np.random.get_state())
    first = sample(Smotenc(), train).digest()
    np.random.seed(3)
    assert sample(Smotenc(), train).digest() == first
    assert sample(Smotenc(), train, seed=3).digest() != first
    assert Smotenc().fit(train, seed=9, context=Context()).sample(300, seed=2).digest() != first
    assert repr(np.random.get_state()) == before
    assert train.digest() == digest


def test_a_prefix_is_a_fair_mixture_of_chunks_and_classes():
    train = log(3000)
    pool = sample(Smotenc(chunks=3), train)
    assert pool.targets[:1000].mean() == pytest.approx(train.click_rate, abs=0.05)


def test_each_chunk_keeps_to_its_own_rows():
    train = log()
    rows = train.rows.assign(brand=np.repeat([1, 7], 150).astype(np.int32))
    pool = sample(Smotenc(chunks=2), Table(rows, train.schema, train.labels))
    assert set(pool.rows["brand"]) == {1, 7}
    mixed = sample(Smotenc(chunks=2, chunk_order="shuffled"), Table(rows, train.schema, train.labels))
    assert mixed.digest() != pool.digest()


def test_a_table_of_one_kind_of_field_is_refused_with_a_reason():
    train = log()
    for names, reason in ((["city", "brand"], "use smoten"), (["price", "age"], "needs a categorical field")):
        fields = tuple(field for field in train.schema.fields if field.name in names)
        with pytest.raises(Skip, match=reason):
            Smotenc().fit(Table(train.rows[names], Schema(fields), train.labels), seed=1, context=Context())


def test_a_chunk_that_lacks_a_class_is_named():
    train = log()
    order = np.argsort(train.targets, kind="stable")
    with pytest.raises(ValueError, match=r"k_neighbors=5 .* chunk 1 of 3 has 0 of class 1: .*chunk_order=shuffled"):
        sample(Smotenc(chunks=3), train.take(order))
    assert len(sample(Smotenc(chunks=3, chunk_order="shuffled"), train.take(order))) == 300


@pytest.mark.parametrize("limit", [2**16, 2**17, 2**18, 2**19, 2**40])
@pytest.mark.parametrize("k", [1, 9])
def test_auto_takes_the_fewest_chunks_whose_arrays_fit(k, limit, monkeypatch):
    monkeypatch.setattr("ctrbench_generators.smotenc.MEMORY", limit)
    train = log(1000)
    train = Table(train.rows, train.schema, (np.arange(1000) % 2).astype(np.int8))
    chunks = Smotenc(k_neighbors=k).fit(train, seed=1, context=Context()).details["chunks"]

    def fits(number: int) -> bool:
        largest = max(np.bincount(part).max() for part in np.array_split(train.targets, number))
        one_hots = largest * 17 * 8 * (k + 2)  # 17 values; the row, its neighbours and the sum of all
        return largest <= math.isqrt(limit // 16) and one_hots <= limit

    assert fits(chunks)
    assert chunks == 1 or not fits(chunks - 1)


def test_the_one_hots_of_a_chunk_are_never_wider_than_its_rows_bring(monkeypatch):
    monkeypatch.setattr("ctrbench_generators.smotenc.MEMORY", 2**27)  # 599 rows of a class if all had train's width
    rng = np.random.default_rng(0)
    rows = 4000
    codes = rng.permutation(rows).astype(np.int32) + 1  # no value comes twice
    fields = (Field("user", vocabulary=tuple(map(str, range(rows)))), Field("price", "numeric"))
    table = pd.DataFrame({"user": codes, "price": rng.random(rows)})
    train = Table(table, Schema(fields), (np.arange(rows) % 2).astype(np.int8))
    assert Smotenc().fit(train, seed=1, context=Context()).details["chunks"] == 2


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(Smotenc(), log())
