"""The control generators: each keeps exactly what it says and destroys the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Generator, Schema, Skip, Table
from ctrbench_generators.independent import Independent
from ctrbench_generators.label_shuffle import LabelShuffle
from ctrbench_generators.negative_sampling import NegativeSampling, Unclicked
from ctrbench_generators.uniform import Uniform
from scipy.stats import chi2_contingency, chisquare, ks_2samp, kstest

CONTROLS = {
    "independent": Independent(),
    "independent given nothing": Independent(given="nothing"),
    "uniform": Uniform(),
    "label_shuffle": LabelShuffle(),
    "negative_sampling": NegativeSampling(),
}
CERTAIN, CHANCE = 1e-30, 1e-4  # p-values of what must be there and of what must not

each_control = pytest.mark.parametrize("name", CONTROLS)


def log(rows: int = 4000) -> Table:
    """User decides city, item decides brand, and clicks go with city, pair and price; `row` names each row."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(30, size=rows), rng.integers(20, size=rows)
    city, brand = user % 5, item % 4
    price = rng.gamma(2, 3, rows) + 2 * brand
    labels = (rng.random(rows) < 0.1 + 0.15 * (city > 2) + 0.4 * ((user + item) % 4 == 0) + 0.1 * (price > 9)).astype(
        np.int8
    )
    codes = {"user": user, "city": city, "item": item, "brand": brand}
    columns = {name: (values + 1).astype(np.int32) for name, values in codes.items()}
    fields = [
        Field(name, role="user" if name in ("user", "city") else "item", vocabulary=tuple(map(str, range(size))))
        for name, size in (("user", 30), ("city", 5), ("item", 20), ("brand", 4))
    ]
    frame = pd.DataFrame(columns | {"price": price, "row": np.arange(rows, dtype=np.float64)})
    return Table(frame, Schema((*fields, Field("price", "numeric"), Field("row", "numeric")), "clicked"), labels)


def pool_of(spec: Generator, train: Table, rows: int | None = None, *, seed: int = 2) -> Table:
    return spec.fit(train, seed=1, context=Context()).sample(rows or len(train), seed=seed)


def dependence(*columns) -> float:
    """The p-value of the columns being independent."""
    return float(chi2_contingency(pd.crosstab(*columns)).pvalue)


def same_shares(left, right) -> float:
    """The p-value of two columns having the same distribution."""
    return dependence(np.repeat([0, 1], [len(left), len(right)]), np.concatenate([left, right]))


# What all of them owe ---------------------------------------------------------------------------------------------


@each_control
@pytest.mark.parametrize("rows", [1, 57, 4000, 9001])
def test_a_pool_has_exactly_the_rows_asked_for_at_trains_click_rate(name, rows):
    train = log()
    pool = pool_of(CONTROLS[name], train, rows)
    assert len(pool) == rows
    assert pool.targets.sum() == round(rows * train.click_rate)
    assert pool.schema == train.schema
    assert pool.weights is None
    assert list(pool.rows.index) == list(range(rows))


@each_control
def test_seeds_decide_and_neither_train_nor_the_global_state_changes(name):
    train = log()
    digest = train.digest()
    sampler = CONTROLS[name].fit(train, seed=1, context=Context())
    first = sampler.sample(500, seed=2).digest()
    np.random.seed(5)
    before = repr(np.random.get_state())
    assert sampler.sample(500, seed=2).digest() == first
    assert pool_of(CONTROLS[name], log(), 500).digest() == first
    assert sampler.sample(500, seed=3).digest() != first
    assert CONTROLS[name].fit(train, seed=2, context=Context()).sample(500, seed=2).digest() != first
    assert repr(np.random.get_state()) == before
    assert train.digest() == digest


@each_control
def test_any_prefix_is_a_fair_mixture(name):
    pool = pool_of(CONTROLS[name], log())
    early = np.arange(4000) < 1000
    assert dependence(early, pool.targets) > CHANCE
    assert dependence(early, pool.rows["item"]) > CHANCE


@each_control
def test_a_pool_can_be_changed_without_changing_train(name):
    train = log()
    digest = train.digest()
    pool = pool_of(CONTROLS[name], train)
    pool.rows.iloc[:, 0] = 1
    pool.targets[:] = 0
    assert train.digest() == digest


# Independent ------------------------------------------------------------------------------------------------------


def test_trains_fields_do_depend_on_each_other_and_on_the_label():
    train = log()
    assert dependence(train.rows["user"], train.rows["city"]) < CERTAIN
    assert dependence(train.rows["brand"], train.rows["price"] > 9) < CERTAIN
    assert dependence(train.rows["city"], train.targets) < 1e-12
    assert dependence(train.rows["price"] > 9, train.targets) < 1e-5


def test_given_the_label_fields_keep_their_marginals_in_each_class_and_lose_each_other():
    train, pool = log(), pool_of(Independent(), log(), 20_000)
    for label in (0, 1):
        real, made = train.rows[train.targets == label], pool.rows[pool.targets == label]
        for name in ("user", "city", "item", "brand"):
            assert same_shares(real[name], made[name]) > CHANCE
        assert ks_2samp(real["price"], made["price"]).pvalue > CHANCE
        for pair in (("user", "city"), ("item", "brand"), ("user", "item")):
            assert dependence(made[pair[0]], made[pair[1]]) > CHANCE
        assert dependence(made["brand"], made["price"] > 9) > CHANCE
    assert dependence(pool.rows["city"], pool.targets) < CERTAIN
    assert dependence(pool.rows["price"] > 9, pool.targets) < 1e-10


def test_given_nothing_fields_keep_their_marginals_and_lose_the_label_too():
    train, pool = log(), pool_of(Independent(given="nothing"), log(), 20_000)
    for name in ("user", "city", "item", "brand"):
        assert same_shares(train.rows[name], pool.rows[name]) > CHANCE
        assert dependence(pool.rows[name], pool.targets) > CHANCE
    assert ks_2samp(train.rows["price"], pool.rows["price"]).pvalue > CHANCE
    assert ks_2samp(*(pool.rows["price"][pool.targets == label] for label in (0, 1))).pvalue > CHANCE
    assert dependence(pool.rows["user"], pool.rows["city"]) > CHANCE


def test_numbers_are_trains_own():
    train, pool = log(), pool_of(Independent(), log())
    assert set(pool.rows["price"]) <= set(train.rows["price"])


def test_a_value_of_one_class_only_stays_in_it():
    train = log(300)
    rows = train.rows.assign(brand=(1 + train.targets).astype(np.int32))
    pool = pool_of(Independent(), Table(rows, train.schema, train.labels), 5000)
    assert (pool.rows["brand"] == 1 + pool.targets).all()


# Uniform ----------------------------------------------------------------------------------------------------------


def test_noise_is_uniform_over_vocabulary_and_range_and_says_nothing_of_the_label():
    train, pool = log(), pool_of(Uniform(), log(), 20_000)
    for field in train.schema.categorical:
        counts = np.bincount(pool.rows[field.name], minlength=field.vocab_size)
        assert counts[0] == 0
        assert chisquare(counts[1:]).pvalue > CHANCE
        assert dependence(pool.rows[field.name], pool.targets) > CHANCE
    low, high = train.rows["price"].min(), train.rows["price"].max()
    assert kstest(pool.rows["price"], "uniform", (low, high - low)).pvalue > CHANCE
    assert dependence(pool.rows["user"], pool.rows["city"]) > CHANCE


def test_noise_is_as_frequent_at_the_ends_of_a_range_of_whole_numbers_as_between():
    train = log()
    whole = Table(train.rows.assign(price=(np.arange(4000) % 5).astype(np.float64)), train.schema, train.labels)
    values, counts = np.unique(pool_of(Uniform(), whole, 20_000).rows["price"], return_counts=True)
    assert values.tolist() == [0, 1, 2, 3, 4]
    assert chisquare(counts).pvalue > CHANCE


def test_noise_may_span_more_than_the_largest_number():
    train = log()
    huge = Table(train.rows.assign(price=1.7e308 * np.linspace(-1, 1, 4000)), train.schema, train.labels)
    assert kstest(pool_of(Uniform(), huge, 20_000).rows["price"] / 1.7e308, "uniform", (-1, 2)).pvalue > CHANCE


# Label shuffle ----------------------------------------------------------------------------------------------------


def test_shuffled_are_all_of_trains_rows_under_labels_that_mean_nothing():
    train, pool = log(), pool_of(LabelShuffle(), log())
    assert sorted(pool.rows["row"]) == list(range(4000))
    real = train.rows.iloc[pool.rows["row"].astype(int)].reset_index(drop=True)
    pd.testing.assert_frame_equal(pool.rows, real)
    assert dependence(train.rows["city"], train.targets) < 1e-12
    assert dependence(pool.rows["city"], pool.targets) > CHANCE
    assert dependence(train.targets[pool.rows["row"].astype(int)], pool.targets) > CHANCE


@pytest.mark.parametrize(("rows", "times"), [(1000, {0, 1}), (10_000, {2, 3}), (8000, {2})])
def test_rows_come_again_only_when_all_have_come(rows, times):
    pool = pool_of(LabelShuffle(), log(), rows)
    assert set(np.bincount(pool.rows["row"].astype(int), minlength=4000)) == times
    whole = rows // 4000 * 4000
    assert all(len(set(pool.rows["row"][start : start + 4000])) == 4000 for start in range(0, whole, 4000))


# Negative sampling ------------------------------------------------------------------------------------------------


def test_no_negative_is_a_positive_of_its_user_and_all_else_is_the_positives():
    train = log(1500)  # a user has about 15 positives among 20 items
    pool = pool_of(NegativeSampling(), train, 20_000)
    clicked = set(train.rows.loc[train.targets == 1, ["user", "item"]].itertuples(index=False, name=None))
    negatives = pool.rows[pool.targets == 0]
    assert not clicked & set(negatives[["user", "item"]].itertuples(index=False, name=None))
    assert train.targets[negatives["row"].astype(int)].all()
    source = train.rows.iloc[negatives["row"].astype(int)]
    for name in ("user", "city", "price"):
        assert (negatives[name].to_numpy() == source[name].to_numpy()).all()


def test_positives_are_real_ones_drawn_with_replacement():
    train = log()
    pool = pool_of(NegativeSampling(), train)
    positives = pool.rows[pool.targets == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(positives, train.rows.iloc[positives["row"].astype(int)].reset_index(drop=True))
    assert train.targets[positives["row"].astype(int)].all()
    times = np.bincount(positives["row"].astype(int), minlength=4000)[train.targets == 1]
    assert times.max() > 2
    assert chisquare(times).pvalue > CHANCE


def test_a_negatives_item_is_uniform_among_those_left_to_its_user():
    train = log(1500)
    pool = pool_of(NegativeSampling(), train, 60_000)
    seen = set(train.rows["item"])
    tested = 0
    for user, rows in pool.rows[pool.targets == 0].groupby("user"):
        mine = (train.rows["user"] == user) & (train.targets == 1)
        left = sorted(seen - set(train.rows["item"][mine]))
        counts = Counter(rows["item"])
        assert set(counts) == set(left)
        if len(left) > 1:
            assert chisquare([counts[item] for item in left]).pvalue > CHANCE / 30
            tested += 1
    assert tested > 20


def test_all_fields_of_an_item_go_with_it():
    train, pool = log(), pool_of(NegativeSampling(), log())
    real = set(train.rows[["item", "brand"]].itertuples(index=False, name=None))
    assert set(pool.rows[["item", "brand"]].itertuples(index=False, name=None)) == real


def small_log(pairs: list[tuple[int, int, int]], items: int) -> Table:
    """One row for each (user, item, label)."""
    rows = pd.DataFrame(np.array(pairs, np.int32)[:, :2], columns=["user", "item"])
    fields = (
        Field("user", role="user", vocabulary=("a", "b", "c")),
        Field("item", role="item", vocabulary=tuple(map(str, range(items)))),
    )
    return Table(rows, Schema(fields), np.array(pairs, np.int8)[:, 2])


def test_a_user_who_clicked_all_but_one_gets_that_one_and_who_clicked_all_gets_none():
    clicks = [(1, item, 1) for item in range(1, 6)] + [(2, item, 1) for item in (1, 2, 4, 5)] + [(3, 1, 1)]
    train = small_log([*clicks, (3, 5, 0), (3, 2, 0), (1, 3, 0)], items=9)  # items 6 to 9 are not seen in train
    sampler = NegativeSampling().fit(train, seed=1, context=Context())
    pool = sampler.sample(4000, seed=2)
    negatives = pool.rows[pool.targets == 0]
    assert set(negatives["item"][negatives["user"] == 2]) == {3}
    assert set(negatives["item"][negatives["user"] == 3]) == {2, 3, 4, 5}
    assert set(negatives["user"]) == {2, 3}
    assert set(pool.rows["user"][pool.targets == 1]) == {1, 2, 3}
    assert sampler.details == {"items": 5, "positives without an item left": 5}


def test_where_all_users_clicked_all_items_there_is_nothing_to_sample():
    train = small_log([(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (3, 2, 0)], items=2)
    with pytest.raises(Skip, match="no negative to sample"):
        NegativeSampling().fit(train, seed=1, context=Context())


@pytest.mark.parametrize("missing", ["user", "item"])
def test_a_log_without_users_or_items_is_refused_with_a_reason(missing):
    train = log(100)
    fields = tuple(
        Field(f.name, f.kind, "context" if f.role == missing else f.role, f.vocabulary) for f in log().schema.fields
    )
    with pytest.raises(Skip, match=f"no categorical field has the role {missing}"):
        NegativeSampling().fit(Table(train.rows, Schema(fields, "clicked"), train.labels), seed=1, context=Context())


@pytest.mark.parametrize("seed", range(5))
def test_unclicked_items_are_counted_and_found_without_a_list_of_them(seed):
    rng = np.random.default_rng(seed)
    items, users = int(rng.integers(2, 40)), np.arange(12, dtype=np.int32)
    clicked = rng.random((len(users), items)) < rng.random(len(users))[:, None]
    clicked[:, 0] = True  # each has one, and the first and the second have all and all but one
    clicked[0], clicked[1] = True, np.arange(items) != items - 1
    by, item = np.nonzero(np.repeat(clicked, 2, axis=0))  # every pair twice
    unclicked = Unclicked((by // 2).astype(np.int32), item, items)
    assert unclicked.number(users).tolist() == (~clicked).sum(axis=1).tolist()
    for user in users[unclicked.number(users) > 0]:
        drawn = unclicked.draw(np.full(3000, user), rng)
        counts = np.bincount(drawn, minlength=items)
        assert not counts[clicked[user]].any()
        if unclicked.number(user) > 1:
            assert chisquare(counts[~clicked[user]]).pvalue > CHANCE / 100
