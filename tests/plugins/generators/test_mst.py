"""The private generator: its accounting, its noise on every cell, and what it makes with much and with little ε."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table, params, resources
from ctrbench_generators import _zcdp, mst
from ctrbench_generators._zcdp import Budget, delta_of, noisy_cells, rho_for
from ctrbench_generators.mst import Mst
from scipy.stats import norm


def table(rows: int, seed: int = 0) -> Table:
    """Clicks hang on a, b copies a mostly, c stands alone."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 6, rows)
    b = np.where(rng.random(rows) < 0.1, rng.integers(0, 6, rows), a)
    labels = (rng.random(rows) < 0.1 + 0.1 * a).astype(np.int8)
    columns = {"a": a, "b": b, "c": rng.integers(0, 4, rows)}
    fields = tuple(Field(name, vocabulary=tuple("uvwxyz"[: column.max() + 1])) for name, column in columns.items())
    return Table(pd.DataFrame({n: (c + 1).astype(np.int32) for n, c in columns.items()}), Schema(fields), labels)


def exact_delta(sigma: float, epsilon: float) -> float:
    """The Gaussian mechanism's own δ at sensitivity 1 (Balle and Wang 2018, theorem 8)."""
    return float(norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * norm.cdf(-0.5 / sigma - epsilon * sigma))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_a_budget_is_no_more_than_is_proved_and_no_less_than_the_older_bound(epsilon: float, delta: float) -> None:
    rho = rho_for(epsilon, delta)
    assert delta_of(rho, epsilon) <= delta < delta_of(rho * 1.001, epsilon)
    sigma = math.sqrt(1 / (2 * rho))
    assert exact_delta(sigma, epsilon) <= delta  # one Gaussian mechanism that spends all of it keeps the promise
    assert exact_delta(sigma * 0.8, epsilon) > delta  # and little more noise than needed was bought
    older = (math.sqrt(epsilon + math.log(1 / delta)) - math.sqrt(math.log(1 / delta))) ** 2
    assert rho > older  # Bun and Steinke 2016: ρ-zCDP is (ρ + 2 √(ρ ln 1/δ), δ)-DP


def test_extreme_budgets_are_found_too() -> None:
    for epsilon in (1e-4, 1e6):
        rho = rho_for(epsilon, 1e-9)
        assert delta_of(rho, epsilon) <= 1e-9 < delta_of(rho * 1.01, epsilon)


def test_the_ledger_adds_up_to_the_budget_exactly() -> None:
    rho = rho_for(1.0, 1e-9)
    budget = Budget(rho)
    train = table(500)
    mst.learn(train.codes - 1, [6, 6, 4], budget, np.random.default_rng(0))
    assert [kind for kind, _, _ in budget.spent] == ["gaussian"] * 3 + ["exponential"] * 2 + ["gaussian"] * 2
    total = sum(1 / (2 * noise**2) if kind == "gaussian" else noise**2 / 8 for kind, _, noise in budget.spent)
    assert total == pytest.approx(rho, rel=1e-12)
    shares = np.array([6, 6, 4]) ** (2 / 3)
    for (_, _, sigma), share in zip(budget.spent, shares / shares.sum(), strict=False):
        assert sigma == pytest.approx(math.sqrt(1 / (2 * mst.VALUES * rho * share)))
    assert budget.spent[-1][2] == pytest.approx(math.sqrt(2 / (2 * mst.PAIRS * rho)))  # for two pairs alike
    with pytest.raises(ValueError, match="overspend"):
        budget.sigma(rho * 1e-6)


def test_noise_has_its_standard_deviation_and_is_whole() -> None:
    drawn = _zcdp.noise(200_000, 7.0, np.random.default_rng(0))
    assert drawn.dtype == np.int64
    assert drawn.mean() == pytest.approx(0, abs=0.06)
    assert drawn.std() == pytest.approx(math.sqrt(49 + 1 / 12), rel=0.01)  # rounding adds a twelfth


@pytest.mark.parametrize("size", [40, 3_000])
def test_cells_that_stand_out_are_distributed_as_if_every_cell_had_noise(size: int) -> None:
    places, counts, sigma, least = np.array([3, 4, 20]), np.array([9, 2, 1]), 3.0, 5
    rng, rounds = np.random.default_rng(1), 2_500 if size < 100 else 400
    sparse, dense = np.zeros((2, size)), np.zeros((2, size))
    whole = np.zeros(size, np.int64)
    whole[places] = counts
    for _ in range(rounds):
        cells = noisy_cells(places, counts, size, sigma, least, rng)
        assert (np.diff(cells.places) > 0).all()
        assert (cells.counts >= least).all()
        sparse[0, cells.places] += 1
        sparse[1, cells.places] += cells.counts
        noisy = whole + _zcdp.noise(size, sigma, rng)
        kept = noisy >= least
        dense[:, kept] += np.stack([np.ones(kept.sum()), noisy[kept]])
    for place in places:
        assert sparse[0, place] / rounds == pytest.approx(dense[0, place] / rounds, abs=4 / math.sqrt(rounds))
    others = np.setdiff1d(np.arange(size), places)
    ours, theirs = sparse[:, others], dense[:, others]
    assert ours[0].sum() == pytest.approx(theirs[0].sum(), rel=0.05)
    assert ours[1].sum() / ours[0].sum() == pytest.approx(theirs[1].sum() / theirs[0].sum(), rel=0.01)
    expected = ours[0].mean()
    assert ((ours[0] - expected) ** 2 / expected).sum() < norm.isf(1e-4) * math.sqrt(2 * len(others)) + len(others)


def test_the_exponential_mechanism_chooses_by_its_probabilities() -> None:
    rng, scores, rho = np.random.default_rng(2), np.array([0.0, 1.0, 3.0]), 0.125
    drawn = [Budget(rho).choose(scores, rho, rng) for _ in range(20_000)]
    weights = np.exp(math.sqrt(8 * rho) / 2 * scores)
    assert np.bincount(drawn) / len(drawn) == pytest.approx(weights / weights.sum(), abs=0.015)


@pytest.mark.parametrize("most", [8, 3])
def test_a_row_changes_a_pairs_score_by_at_most_one(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the exponential mechanism's ε stands on: the scores of neighbours, the noisy marginals being the same."""
    monkeypatch.setattr(mst, "CLASSES", most)
    rng, seen = np.random.default_rng(3), []
    values = rng.integers(0, 5, (300, 3)).astype(np.int32)
    values[:, 1] = values[:, 0]
    marginals = [mst.Marginal(np.full(5, 0.2))] * 3
    monkeypatch.setattr(Budget, "choose", lambda self, scores, rho, rng: seen.append(scores) or 0)
    for row in ([0, 0, 0], [4, 0, 2], [1, 3, 3]):
        for rows in (values, np.vstack([values, np.array([row], np.int32)])):
            mst._choose(rows, marginals, 300.0, Budget(40.0), rng)
        less, more = seen[-4], seen[-2]  # each call asks twice: for three fields' two pairs
        assert len(less) == (9 if most < 5 else 3)  # each pair as it is, and with either field in classes
        assert less.max() > 0
        assert (np.abs(more - less) <= 1 + 1e-9).all()


def test_what_one_row_changes_stays_within_epsilon() -> None:
    """An audit of the whole mechanism: a row alone in its cells, and the likeliest sign of it in a pool, both ways."""
    spec, runs = Mst(epsilon=1.0, delta=1e-2), 400
    fields = (Field("a", vocabulary=("u", "v")), Field("b", vocabulary=("x", "y")))
    with_it = pd.DataFrame([[1, 1]] * 3 + [[2, 2]], columns=["a", "b"], dtype=np.int32)
    rates = []
    for rows in (3, 4):
        train = Table(with_it[:rows], Schema(fields, "clicked"), np.ones(rows, np.int8))
        pools = [
            spec.fit(train, seed=seed + 10_000 * rows, context=Context()).sample(20, seed=1) for seed in range(runs)
        ]
        rates.append(float(np.mean([(pool.rows.to_numpy() == 2).all(1).sum() >= 6 for pool in pools])))
    slack = 3.5 * math.sqrt(0.25 / runs)
    without, having = rates
    assert having > 0.05  # it is a sign
    assert having <= math.exp(spec.epsilon) * (without + slack) + spec.delta + slack
    assert 1 - without <= math.exp(spec.epsilon) * (1 - having + slack) + spec.delta + slack


def test_noisy_counts_are_told_from_noise_by_those_of_all_values() -> None:
    rng, sigma = np.random.default_rng(4), 10.0
    alike = np.full(3_000, 33)
    told = mst.expected_counts(alike + _zcdp.noise(3_000, sigma, rng), sigma)
    assert np.abs(told - alike).mean() < 0.5  # 8 by the noise, which alone tells them apart
    mixed = np.repeat([0, 200, 5_000], [2_000, 50, 2])
    seen = mixed + _zcdp.noise(len(mixed), sigma, rng)
    told = mst.expected_counts(seen, sigma)
    assert told[:2_000].mean() < 1.0
    assert np.abs(told[2_000:2_050] - 200).mean() < 3.0
    assert (told[-2:] == seen[-2:]).all()  # far above the noise
    assert np.abs(told - mixed).mean() < 0.2 * np.abs(seen - mixed).mean()


def test_counts_of_pairs_are_drawn_to_independence_as_far_as_noise_hides_them() -> None:
    rng, sigma = np.random.default_rng(8), 10.0
    expected = np.outer(rng.gamma(2, 5, 400), np.full(8, 1.0))
    for strength in (0.0, 1.0):
        true = expected * (1 + strength * rng.choice([-1, 1], expected.shape))
        seen = np.rint(true).astype(np.int64) + _zcdp.noise(expected.size, sigma, rng).reshape(expected.shape)
        error = np.abs(mst.shrunk(seen, expected, sigma) - true).mean()
        if strength:
            assert error < 0.8 * np.abs(expected - true).mean()
        assert error < (0.9 if strength else 0.1) * np.abs(seen - true).mean()


def test_a_pair_that_drowns_in_noise_is_told_by_classes() -> None:
    """Each of a hundred users likes either the ten frequent items or the thousand rare ones."""
    rng = np.random.default_rng(9)
    user = rng.integers(0, 100, 40_000)
    item = np.where(user % 2 == 0, rng.integers(0, 10, 40_000), rng.integers(10, 1_010, 40_000))
    values = np.column_stack([user, item]).astype(np.int32)
    tree = mst.learn(values, [100, 1_010], Budget(rho_for(1, 1e-9)), rng)
    [edge] = tree.edges
    assert isinstance(edge, mst.ClassEdge)
    made = tree.sample(40_000, rng)
    for parity in (0, 1):
        frequent = (made[made[:, 0] % 2 == parity, 1] < 10).mean()
        assert frequent == pytest.approx(1 - parity, abs=0.2)


def test_with_much_epsilon_pools_are_like_train() -> None:
    train = table(6_000)
    pool = Mst(epsilon=1e5).fit(train, seed=1, context=Context()).sample(6_000, seed=2)
    for pair in (["a", "b"], ["a"], ["c"]):
        real, new = (part.rows.value_counts(pair, normalize=True) for part in (train, pool))
        assert new.reindex(real.index, fill_value=0).to_numpy() == pytest.approx(real.to_numpy(), abs=0.02)
    assert pool.click_rate == pytest.approx(train.click_rate, abs=1e-3)
    rates = [[part.targets[part.rows["a"] == code].mean() for code in range(1, 7)] for part in (train, pool)]
    assert rates[1] == pytest.approx(rates[0], abs=0.05)


def test_with_little_epsilon_nothing_is_left_of_train() -> None:
    pool = Mst(epsilon=1e-4).fit(table(300), seed=1, context=Context()).sample(3_000, seed=2)
    agree = (pool.rows["a"] == pool.rows["b"]).mean()
    assert agree < 0.6  # .92 in train


def test_chosen_pairs_are_those_that_noise_leaves_something_of() -> None:
    """A pair of unique values has most to tell, and nothing that a count of 1 could."""
    rng = np.random.default_rng(5)
    unique = rng.permutation(2_000)
    values = np.column_stack([unique, unique[::-1], np.repeat([0, 1], 1_000), np.repeat([0, 1], 1_000)])
    tree = mst.learn(values.astype(np.int32), [2_000, 2_000, 2, 2], Budget(rho_for(3, 1e-9)), rng)
    pairs = {frozenset((edge.parent, edge.field)) for edge in tree.edges}
    assert frozenset((2, 3)) in pairs
    assert len(tree.edges) == 3


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_tiny_logs_and_empty_classes_give_rows(rows: int) -> None:
    train = table(rows)
    one_class = Table(train.rows, train.schema, np.zeros(rows, np.int8))
    for seed in range(5):
        pool = Mst(epsilon=0.5).fit(one_class, seed=seed, context=Context()).sample(40, seed=2)
        assert len(pool) == 40


def test_one_field_takes_the_whole_budget() -> None:
    budget = Budget(0.5)
    mst.learn(np.zeros((9, 1), np.int32), [3], budget, np.random.default_rng(0))
    assert budget.spent == [("gaussian", 0.5, 1.0)]


def test_numbers_are_skipped_with_the_reason() -> None:
    train = table(20)
    fields = (*train.schema.fields, Field("price", "numeric"))
    with pytest.raises(Skip, match="range of numbers is nowhere public; numeric: price"):
        Mst().fit(Table(train.rows.assign(price=1.5), Schema(fields), train.labels), seed=1, context=Context())


def test_the_facts_tell_what_was_promised_and_paid() -> None:
    facts = Mst(epsilon=2.0, delta=1e-6).fit(table(300), seed=1, context=Context()).details
    assert facts["epsilon"] == 2.0
    assert facts["delta"] == 1e-6
    assert facts["rho"] == rho_for(2.0, 1e-6)
    shares = np.array([6, 6, 4]) ** (2 / 3)
    of_values = mst.VALUES * rho_for(2.0, 1e-6) * shares.max() / shares.sum()
    assert facts["least sigma of values"] == pytest.approx(math.sqrt(1 / (2 * of_values)))


def test_noise_is_made_again_or_is_nobodys_to_know() -> None:
    def noise(spec: Mst) -> list[int]:
        return spec._random(3).integers(0, 1 << 60, 4).tolist()

    seeded = [Mst(), Mst(epsilon=2.0), Mst(delta=1e-8)]
    assert [noise(spec) for spec in seeded] == [noise(spec) for spec in seeded]
    assert len({tuple(noise(spec)) for spec in seeded}) == 3  # or the noise of one would be known from another
    spec, train = Mst(epsilon=0.1, noise="secret"), table(300)
    one, other = (spec.fit(train, seed=3, context=Context()) for _ in range(2))
    assert one.sample(200, seed=1).digest() == one.sample(200, seed=1).digest()
    assert one.sample(200, seed=1).digest() != other.sample(200, seed=1).digest()
    assert one.details["noise"] == "secret"


def test_its_epsilon_stands_in_every_table() -> None:
    assert params.label(Mst(), []) == "mst[epsilon=1.0]"
    assert params.label(Mst(epsilon=3.0, delta=1e-6), ["delta"]) == "mst[epsilon=3.0, delta=1e-06]"


def test_a_hundred_thousand_values_take_memory_by_rows() -> None:
    rng, size = np.random.default_rng(7), 100_000
    columns = {"user": rng.integers(0, size, size), "item": rng.integers(0, size, size), "os": rng.integers(0, 3, size)}
    values = tuple(f"{n:06}" for n in range(size))
    fields = (Field("user", vocabulary=values), Field("item", vocabulary=values), Field("os", vocabulary=values[:3]))
    frame = pd.DataFrame({name: (column + 1).astype(np.int32) for name, column in columns.items()})
    train = Table(frame, Schema(fields), (rng.random(size) < 0.2).astype(np.int8))
    resources.reset_peak_memory()
    before = resources.peak_memory()
    pool = Mst().fit(train, seed=1, context=Context()).sample(size, seed=2)
    assert len(pool) == size
    assert resources.peak_memory() - before < 5e8  # a matrix of users and items would take 80 GB
