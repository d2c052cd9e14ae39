"""The oracle: its rows are the world's own, fresh, and no other log is taken for one of this world."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench.conformance._methods import check_generator
from ctrbench.conformance._recorder import Recorder
from ctrbench.conformance._small_logs import Log
from ctrbench_datasets.oracle import Oracle
from ctrbench_datasets.simulated import Simulated
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_auc_score

CHANCE = 1e-4


@cache
def train_of(seed: int = 7, **parameters) -> Table:
    return Simulated(**({"valid_rows": 1000, "test_rows": 1000} | parameters)).load(seed=seed, context=Context()).train


def raw(table: Table) -> pd.DataFrame:
    """The world's own numbers behind the codes."""
    columns = {
        field.name: np.array(field.vocabulary, np.int32)[table.rows[field.name] - 1] for field in table.schema.fields
    }
    return pd.DataFrame(columns)


def same_shares(left, right) -> float:
    """The p-value of two columns having the same distribution."""
    counts = pd.crosstab(np.repeat([0, 1], [len(left), len(right)]), np.concatenate([left, right]))
    return float(chi2_contingency(counts).pvalue)


@pytest.fixture(scope="module")
def train() -> Table:
    return train_of()


@pytest.fixture(scope="module")
def pool(train) -> Table:
    return Oracle().fit(train, seed=1, context=Context()).sample(40_000, seed=2)


def test_fields_are_distributed_as_in_another_log_of_the_world(pool):
    fresh, _ = Simulated().world().rows(40_000, np.random.default_rng(99))
    made = raw(pool)
    for name in made:
        assert same_shares(fresh[name], made[name]) > CHANCE


def test_rows_are_described_as_in_the_world_and_clicked_with_its_probabilities(pool):
    world, made = Simulated().world(), raw(pool)
    hanging = world.describe_user(made["user"].to_numpy()) | world.describe_item(made["item"].to_numpy())
    assert all((made[name] == column).all() for name, column in hanging.items())
    assert (made["weekend"] == (made["weekday"] >= 5)).all()
    truth = world.probabilities(made)
    fresh, its_truth = world.rows(40_000, np.random.default_rng(99))
    assert roc_auc_score(pool.targets, truth) == pytest.approx(roc_auc_score(fresh["label"], its_truth), abs=0.01)
    for tenth in np.array_split(np.argsort(truth), 10):  # calibrated from the least to the most probable
        sd = np.sqrt(np.mean(truth[tenth] * (1 - truth[tenth])) / len(tenth))
        assert abs(pool.targets[tenth].mean() - truth[tenth].mean()) < 4.5 * sd


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_are_fresh_even_where_the_seeds_are_those_of_the_data_set(seed, train):
    pool = Oracle().fit(train, seed=7, context=Context()).sample(len(train), seed=seed)
    other = train_of(seed=8)
    assert (pool.rows["user"] == train.rows["user"]).mean() < 0.05
    again = len(pool.rows.merge(train.rows.drop_duplicates()))
    by_chance = len(raw(other).merge(raw(train).drop_duplicates()))
    assert again == pytest.approx(by_chance, abs=5 * np.sqrt(by_chance) + 10)


def test_values_that_train_lacks_never_occur_and_the_rest_is_as_if_their_rows_were_thrown_away():
    train = train_of(train_rows=100)
    sampler = Oracle().fit(train, seed=1, context=Context())
    made = raw(sampler.sample(20_000, seed=2))
    fresh, _ = Simulated().world().rows(60_000, np.random.default_rng(99))
    seen = {field.name: np.array(field.vocabulary, np.int32) for field in train.schema.fields}
    assert len(seen["user"]) < 100
    kept = fresh[np.logical_and.reduce([fresh[name].isin(seen[name]) for name in made])]
    assert sampler.details["share of the world"] == pytest.approx(len(kept) / len(fresh), abs=0.01)
    for name in made:
        assert set(made[name]) <= set(seen[name])
        assert same_shares(kept[name], made[name]) > CHANCE
    weekend = same_shares(kept["weekend"] * 24 + kept["hour"], made["weekend"] * 24 + made["hour"])
    assert weekend > CHANCE


def test_a_large_world_of_which_train_holds_little_is_sampled_at_once():
    sizes = {"users": 100_000, "items": 100_000}
    train = train_of(train_rows=200, **sizes)
    sampler = Oracle(**sizes).fit(train, seed=1, context=Context())
    assert sampler.details["share of the world"] < 0.05
    assert len(sampler.sample(5000, seed=2)) == 5000


@pytest.mark.parametrize("parameters", [{"click_rate": 0.05}, {"users": 50, "items": 400}, {"world_seed": 3}])
def test_a_world_is_known_by_the_parameters_of_simulated(parameters):
    train = train_of(**parameters)
    assert len(Oracle(**parameters).fit(train, seed=1, context=Context()).sample(500, seed=2)) == 500
    with pytest.raises(Skip, match=r"train is not of the world oracle\[users=300, items=150"):
        Oracle().fit(train, seed=1, context=Context())


@pytest.mark.parametrize(
    ("of_train", "of_oracle", "reason"),
    [
        ({"users": 301}, {}, "it has user 300, and the world 300 numbered from 0"),
        ({}, {"users": 301}, "is another one there"),
        ({}, {"items": 149}, "it has item 149"),
        ({}, {"items": 151}, "is another one there"),
        ({}, {"world_seed": 0}, "is another one there"),
        ({"click_rate": 0.23}, {}, r"a share of 0\.231, do not follow"),
        ({"items": 1000, "negatives": "sampled:4"}, {"items": 1000}, "do not follow that world's probabilities"),
    ],
)
def test_another_world_is_found_out(of_train, of_oracle, reason):
    with pytest.raises(Skip, match=reason):
        Oracle(**of_oracle).fit(train_of(**of_train), seed=1, context=Context())


@pytest.mark.parametrize("seed", range(3))
def test_its_own_world_is_never_turned_away(seed):
    parameters = {"world_seed": seed, "click_rate": (0.01, 0.2, 0.5)[seed % 3]}
    Oracle(**parameters).fit(train_of(seed, train_rows=5000, **parameters), seed=1, context=Context())


@pytest.mark.parametrize("change", ["name", "kind", "values", "label"])
def test_other_logs_are_skipped(change, train):
    rows, fields, label = train.rows, list(train.schema.fields), train.schema.label
    match change:
        case "name":
            fields[0], rows = Field("who", vocabulary=fields[0].vocabulary), rows.rename(columns={"user": "who"})
        case "kind":
            fields[0], rows = Field("user", "numeric", "user"), rows.astype({"user": np.float64})
        case "values":
            fields[0] = Field("user", vocabulary=("ann", *fields[0].vocabulary[1:]))
        case "label":
            label = "clicked"
    with pytest.raises(Skip, match="knows the truth of simulated only"):
        Oracle().fit(Table(rows, Schema(tuple(fields), label), train.labels), seed=1, context=Context())


def test_it_keeps_what_generators_owe(tmp_path):
    """The conformance check knows no log of `simulated`, so it is put to one here."""
    recorder = Recorder()
    splits = Simulated(train_rows=300, valid_rows=100, test_rows=100).load(seed=1, context=Context())
    check_generator(recorder, Oracle(), Log("", splits), Context(checkpoints=tmp_path))
    assert [(result.name, result.message) for result in recorder.results if result.status != "passed"] == []
    assert len(recorder.results) >= 9


def test_its_defaults_are_those_of_simulated():
    for name in ("users", "items", "click_rate", "world_seed"):
        assert getattr(Oracle(), name) == getattr(Simulated(), name)
