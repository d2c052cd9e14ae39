"""The Bayesian network from counts: which fields hang on which, what is drawn, and what its parameters take from it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from ctrbench import MISSING, PRESENT, Context, Field, Schema, Table, resources
from ctrbench_generators.bayes_net import BayesNet, Groups, learn


def table(columns: dict[str, np.ndarray], labels: np.ndarray | None = None) -> Table:
    """Whole-number columns from 0 as categorical fields, others as numbers."""
    fields, rows = [], {}
    for name, column in columns.items():
        if column.dtype == np.float64:
            fields.append(Field(name, "numeric"))
            rows[name] = column
        else:
            fields.append(Field(name, vocabulary=tuple(f"{n:06}" for n in range(int(column.max()) + 1))))
            rows[name] = (column + 1).astype(np.int32)
    size = len(next(iter(columns.values())))
    if labels is None:
        labels = np.arange(size) % 2
    return Table(pd.DataFrame(rows), Schema(tuple(fields), "clicked"), labels.astype(np.int8))


def chain(rows: int = 6000, seed: int = 0, noise: float = 0.2) -> dict[str, np.ndarray]:
    """b copies a, c copies b, d copies b, each with some noise; e stands alone."""
    rng = np.random.default_rng(seed)

    def like(column: np.ndarray) -> np.ndarray:
        return np.where(rng.random(rows) < noise, rng.integers(0, 5, rows), column)

    a = rng.integers(0, 5, rows)
    b = like(a)
    return {"a": a, "b": b, "c": like(b), "d": like(b), "e": rng.integers(0, 3, rows)}


def pool(spec: BayesNet, train: Table, rows: int | None = None) -> Table:
    return spec.fit(train, seed=3, context=Context()).sample(rows or len(train), seed=4)


def as_rows(made: Table) -> list[tuple[float, ...]]:
    return [(*row, label) for row, label in zip(made.rows.itertuples(index=False), made.targets, strict=True)]


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    joint = pd.crosstab(a, b).to_numpy() / len(a)
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return float((joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])).sum())


def test_the_tree_is_the_one_of_the_greatest_mutual_information():
    columns = np.column_stack(list(chain(noise=0.5).values()))
    pairs = list(combinations(range(5), 2))
    weights = {pair: mutual_information(*columns[:, pair].T) for pair in pairs}

    def is_tree(edges) -> bool:
        part = list(range(5))
        for a, b in edges:
            if part[a] == part[b]:
                return False
            part = [part[a] if each == part[b] else each for each in part]
        return True

    best = max(filter(is_tree, combinations(pairs, 4)), key=lambda edges: sum(weights[edge] for edge in edges))
    nodes = learn(columns, 1)
    learned = {tuple(sorted((node.field, *node.parents))) for node in nodes if node.parents}
    assert learned == set(best)
    assert {(0, 1), (1, 2), (1, 3)} <= learned
    placed = [node.field for node in nodes]
    assert all(placed.index(parent) < at for at, node in enumerate(nodes) for parent in node.parents)


def test_dependencies_along_the_tree_are_kept_and_no_pair_on_it_is_new():
    train = table(chain())
    made = pool(BayesNet(), train, 20_000)
    for pair in (["a", "b"], ["b", "c"], ["b", "d"]):
        real, new = (part.rows.value_counts(pair, normalize=True).rename("share") for part in (train, made))
        assert set(new.index) <= set(real.index)
        assert new.reindex(real.index, fill_value=0).to_numpy() == pytest.approx(real.to_numpy(), abs=0.015)


def test_each_label_has_a_tree_of_its_own():
    rng = np.random.default_rng(1)
    a, labels = rng.integers(0, 4, 4000), rng.integers(0, 2, 4000)
    b = np.where(labels == 1, a, 3 - a)
    made = pool(BayesNet(), table({"a": a, "b": b}, labels))
    same = made.rows["a"].to_numpy() == made.rows["b"].to_numpy()
    assert same[made.targets == 1].all()
    assert not same[made.targets == 0].any()
    assert made.targets.sum() == labels.sum()


def test_two_parents_know_what_no_single_one_says():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, 3000), rng.integers(0, 2, 3000)
    train = table({"a": a, "b": b, "c": a ^ b})
    for parents, known in ((1, False), (2, True)):
        rows = pool(BayesNet(parents=parents), train).rows.to_numpy() - 1
        assert bool((rows[:, 0] ^ rows[:, 1] == rows[:, 2]).all()) == known


def test_two_parents_whose_values_never_met_leave_the_stronger_one():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 200, 3000)
    rows = {"a": a, "b": rng.integers(0, 150, 3000), "c": a // 4}
    made = pool(BayesNet(parents=2), table(rows), 6000)
    real = table(rows)
    for pair in ("a", "c"), ("b", "c"):
        assert made.rows[list(pair)].drop_duplicates().shape[0] > 0
    known = set(real.rows[["a", "c"]].itertuples(index=False, name=None))
    assert {*made.rows[["a", "c"]].itertuples(index=False, name=None)} <= known


def test_smoothing_forgets_parents_by_its_share():
    train = table({"a": np.arange(4000) // 2 % 10, "b": np.arange(4000) // 2 % 10})
    for smoothing in (0.0, 0.3, 1.0):
        made = pool(BayesNet(smoothing=smoothing), train, 20_000)
        agree = (made.rows["a"] == made.rows["b"]).mean()
        assert agree == pytest.approx(1 - smoothing * 0.9, abs=0.015)  # one value in ten agrees by chance


def test_backoff_forgets_rare_parents_more_often_than_frequent_ones():
    often, rare = np.repeat([0, 1], 3000), np.repeat(np.arange(2, 302), 10)
    a = np.concatenate([often, rare])
    train = table({"a": a, "b": a.copy()}, np.ones(len(a)) - (np.arange(len(a)) < 1))
    made = pool(BayesNet(backoff=10), train, 30_000)
    agree = (made.rows["a"] == made.rows["b"]).to_numpy()
    frequent = made.rows["a"].to_numpy() <= 2
    assert agree[~frequent].mean() == pytest.approx(0.5, abs=0.02)  # 10 rows of train against a back-off of 10
    assert agree[frequent].mean() > 0.99


def test_rows_that_take_turns_keep_every_pair_of_the_tree_as_often_as_train():
    columns = chain(3_000, noise=0.5)
    train = table({"a": columns["a"], "b": columns["b"]})
    made = pool(BayesNet(in_turn=True), train)
    real, new = (part.rows.assign(label=part.targets).value_counts() for part in (train, made))
    assert new.to_dict() == real.to_dict()
    assert new.to_dict() != pool(BayesNet(), train).rows.value_counts().to_dict()
    longer = pool(BayesNet(in_turn=True), train, 6_000).rows.assign(label=1).value_counts(["a", "b"])
    assert longer.to_dict() == (2 * train.rows.value_counts(["a", "b"])).to_dict()


@pytest.mark.parametrize("parents", [1, 2])
def test_rejection_leaves_no_row_of_train(parents):
    columns = chain(3000, noise=0.6) | {"price": np.round(np.random.default_rng(5).gamma(2, 3, 3000))}
    train = table(columns)
    real = set(as_rows(train))
    assert real & set(as_rows(pool(BayesNet(parents=parents), train)))
    made = pool(BayesNet(parents=parents, reject_copies=True), train)
    assert not real & set(as_rows(made))
    assert made.targets.sum() == train.targets.sum()


def partly_missing(rows: int = 3000) -> Table:
    """Most prices are missing, and the median stands in their place."""
    rng = np.random.default_rng(5)
    missing = rng.random(rows) < 0.6
    price = np.where(missing, 5.0, np.round(rng.gamma(2, 3, rows)))
    columns = chain(rows, noise=0.6) | {"price": price, "price known": missing.astype(np.int32)}
    train = table(columns)
    schema = replace(
        train.schema,
        fields=(
            *train.schema.fields[:-2],
            Field("price", "numeric", missing_indicator="price known", imputed=5.0),
            Field("price known", vocabulary=(PRESENT, MISSING)),
        ),
    )
    return replace(train, schema=schema)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_rejection_takes_missing_numbers_for_equal_whatever_was_drawn_for_them(smoothing):
    """As a run does: the generator learns from drawn numbers, and the pool gets the median back."""
    train = partly_missing()
    real = set(as_rows(train))
    spec = BayesNet(smoothing=smoothing)
    assert real & set(as_rows(pool(spec, train.drawn(3)).settled()))
    made = pool(replace(spec, reject_copies=True), train.drawn(3)).settled()
    assert not real & set(as_rows(made))
    assert made.missing(made.schema.field("price")).mean() > 0.2


def test_rejection_that_cannot_succeed_says_so():
    train = table({"a": np.arange(60) // 2 % 3, "b": np.arange(60) // 2 % 3})
    with pytest.raises(ValueError, match=r"60 of 60 rows were real ones 200 times in a row.*reject_copies=false"):
        pool(BayesNet(reject_copies=True), train)


def test_numbers_are_trains_own_and_hang_on_each_other_by_their_bins():
    rng = np.random.default_rng(6)
    price = rng.gamma(2, 30, 5000)
    train = table({"price": price, "tax": np.round(price / 5, 1), "constant": np.full(5000, -1.5)})
    made = pool(BayesNet(bins=20), train)
    for name in train.schema.names:
        assert set(made.rows[name]) <= set(train.rows[name])
    assert np.corrcoef(made.rows["price"], made.rows["tax"])[0, 1] > 0.9
    assert np.corrcoef(pool(BayesNet(smoothing=1), train).rows[["price", "tax"]].T)[0, 1] == pytest.approx(0, abs=0.05)


def test_groups_find_and_draw_the_rows_with_equal_values():
    bins = np.array([[1, 0], [0, 2], [1, 0], [0, 0]], np.int32)
    groups = Groups.of(bins)
    group, size = groups.find(np.array([[1, 0], [0, 2], [1, 2], [0, 3], [7, 0]], np.int32))
    assert size.tolist() == [2, 1, 0, 0, 0]  # (0, 3) is no (1, 0), though 3 is beyond the last value
    drawn = groups.draw(np.repeat(group[0], 50), np.random.default_rng(0), in_turn=False)
    assert set(drawn) == {0, 2}
    turns = groups.draw(np.repeat(group[:2], [51, 3]), np.random.default_rng(0), in_turn=True)
    assert sorted(np.bincount(turns, minlength=4)) == [0, 3, 25, 26]


def test_a_hundred_thousand_values_take_memory_by_rows_not_by_pairs():
    rng = np.random.default_rng(7)
    user = rng.permutation(np.arange(200_000) % 100_000)
    columns = {"user": user, "item": user[::-1] // 2 * 2, "shop": user % 7, "page": rng.integers(0, 100_000, 200_000)}
    train = table(columns)
    resources.reset_peak_memory()
    before = resources.peak_memory()
    made = pool(BayesNet(parents=2, reject_copies=True, smoothing=0.1), train)
    assert len(made) == 200_000
    assert resources.peak_memory() - before < 5e8  # a matrix of users and items would take 80 GB
