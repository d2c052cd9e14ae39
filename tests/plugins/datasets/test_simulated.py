"""The simulated log: its recipe, its seeds, its truth."""

from __future__ import annotations

import numpy as np
import pytest
from ctrbench import Context, Splits, UserError
from ctrbench_datasets._world import (
    DEVICE,
    FIELDS,
    HOUR,
    POSITION,
    World,
    _product_moments,
    _standard,
)
from ctrbench_datasets.simulated import Simulated
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder


def load(seed: int = 7, **parameters) -> Splits:
    return Simulated(**parameters).load(seed=seed, context=Context())


def small(seed: int = 7, **parameters) -> Splits:
    return load(seed, **({"train_rows": 2000, "valid_rows": 1000, "test_rows": 1000} | parameters))


def test_defaults_are_the_recipes():
    log = load()
    assert [len(table) for table in (log.train, log.valid, log.test)] == [14_000, 4_000, 20_000]
    sizes = {field.name: len(field.vocabulary) for field in log.train.schema.fields}
    assert sizes["user"] == 300
    assert sizes["item"] == 150
    assert (sizes["hour"], sizes["weekday"], sizes["weekend"], sizes["device"], sizes["position"]) == (24, 7, 2, 4, 5)
    assert (sizes["country"], sizes["age"], sizes["gender"], sizes["category"]) == (8, 6, 2, 12)
    assert [field.name for field in log.train.schema.with_role("user")] == ["user", "city", "country", "age", "gender"]
    assert [field.name for field in log.train.schema.with_role("item")] == ["item", "category", "brand"]
    assert log.notes == ()


def test_in_three_worlds_the_oracle_and_logistic_regression_score_as_the_recipe_says():
    names = [field.name for field in FIELDS]
    baselines = []
    for seed in (0, 1, 2):
        world = World(300, 150, 0.2, seed)
        train, _ = world.rows(14_000, np.random.default_rng(1))
        test, truth = world.rows(20_000, np.random.default_rng(2))
        assert 0.88 < roc_auc_score(test.label, truth) < 0.91
        encoder = OneHotEncoder(handle_unknown="ignore").fit(train[names])
        model = LogisticRegression(C=0.1, max_iter=300).fit(encoder.transform(train[names]), train.label)
        baselines.append(roc_auc_score(test.label, model.predict_proba(encoder.transform(test[names]))[:, 1]))
    assert all(0.66 < auc < 0.76 for auc in baselines)
    assert 0.69 < np.mean(baselines) < 0.73


@pytest.mark.parametrize("click_rate", [0.005, 0.05, 0.2, 0.5])
def test_click_rate_is_the_worlds_for_fresh_rows(click_rate):
    frame, truth = World(300, 150, click_rate, 4).rows(300_000, np.random.default_rng(11))
    assert truth.mean() == pytest.approx(click_rate, rel=0.03)
    assert frame.label.mean() == pytest.approx(click_rate, rel=0.06)


def test_true_probabilities_are_calibrated():
    frame, truth = World(300, 150, 0.2, 1).rows(200_000, np.random.default_rng(3))
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        within = (truth >= low) & (truth < high)
        assert frame.label[within].mean() == pytest.approx(truth[within].mean(), abs=0.01)


def test_terms_are_standardised_in_the_world_not_in_the_rows_drawn():
    world = World(300, 150, 0.2, 3)
    pairs = world._taste @ world._style.T
    share = np.outer(world.user_share, world.item_share)
    spread = np.sum(share * pairs**2) - np.sum(share * pairs) ** 2
    assert np.sqrt(spread) == pytest.approx(2.0)
    assert np.sqrt(np.sum(world.user_share * world._of_user**2)) == pytest.approx(0.6)
    share = HOUR[:, None, None] * DEVICE[:, None] * POSITION
    assert np.sum(share * world._of_context**2) == pytest.approx(0.16 * (0.36 + 0.36 + 0.25))
    assert np.sum(share * world._of_context) == pytest.approx(0, abs=1e-12)


def test_product_moments_equal_those_of_all_pairs():
    rng = np.random.default_rng(0)
    left, right = rng.normal(1, 2, (7, 3)), rng.normal(-1, 1, (5, 3))
    left_share, right_share = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5))
    pairs, share = left @ right.T, np.outer(left_share, right_share)
    standard = _standard(pairs, share)
    mean, sd = _product_moments(left, left_share, right, right_share)
    np.testing.assert_allclose((pairs - mean) / sd, standard)


def test_one_city_lies_in_one_country_and_one_brand_in_one_category():
    frame, _ = World(3000, 1500, 0.2, 5).rows(50_000, np.random.default_rng(0))
    for child, parent in (("city", "country"), ("brand", "category"), ("weekday", "weekend"), ("user", "age")):
        assert frame.groupby(child)[parent].nunique().max() == 1
    assert frame.country.nunique() == 8
    assert frame.category.nunique() == 12


def test_equal_seeds_give_equal_logs_and_either_seed_changes_them():
    assert small().fingerprint == small().fingerprint
    assert small().fingerprint != small(seed=8).fingerprint
    assert small().fingerprint != small(world_seed=2).fingerprint


def test_another_row_seed_draws_from_the_same_world():
    world = Simulated().world()
    np.testing.assert_array_equal(world.city, Simulated().world().city)
    frame, truth = world.rows(100, np.random.default_rng(1))
    np.testing.assert_array_equal(Simulated().world().probabilities(frame), truth)


def test_a_longer_train_leaves_valid_and_test_alone():
    short, long = small(), small(train_rows=9000)
    np.testing.assert_array_equal(short.true_probabilities["test"], long.true_probabilities["test"])
    np.testing.assert_array_equal(short.valid.labels, long.valid.labels)


def test_global_random_state_is_untouched():
    np.random.seed(5)
    expected = np.random.RandomState(5).random()
    small(negatives="sampled:1")
    assert np.random.random() == expected


def test_few_positives_are_warned_of():
    assert "below 1,000" in small(click_rate=0.05).notes[0]


def test_sampled_negatives_share_their_clicks_context_and_are_unused_by_their_user():
    log = load(negatives="sampled:2", train_rows=6000, valid_rows=1500, test_rows=1500)
    assert log.true_probabilities == {}
    names = [field.name for field in log.train.schema.fields]
    used, unused = set(), set()
    for table in (log.train, log.valid, log.test):
        assert table.click_rate == pytest.approx(1 / 3, abs=0.001)
        rows = table.rows.assign(label=table.labels)
        contexts = rows.groupby([name for name in names if name not in ("item", "category", "brand")]).label
        assert (contexts.count() == 3 * contexts.sum()).mean() > 0.99
    words = [field.vocabulary for field in log.train.schema.fields]
    for table in (log.train, log.valid, log.test):
        for user, item, label in zip(table.rows.user, table.rows.item, table.labels, strict=True):
            if user and item:
                (used if label else unused).add((words[0][user - 1], words[5][item - 1]))
    assert used
    assert not used & unused


def test_sampled_negatives_say_when_a_user_has_no_unused_item_left():
    with pytest.raises(UserError, match="one user clicked 20 of the 20; raise items"):
        load(negatives="sampled:2", items=20, users=20)


@pytest.mark.parametrize("mode", ["sampled", "sampled:0", "sampled:11", "some"])
def test_an_unknown_mode_of_negatives_is_the_users_mistake(mode):
    with pytest.raises(UserError, match=f"negatives={mode} must be none, or sampled:K"):
        Simulated(negatives=mode)


def test_half_a_million_rows_of_large_vocabularies_are_made():
    log = load(train_rows=500_000, users=50_000, items=20_000)
    assert len(log.train) == 500_000
    assert log.train.schema.fields[0].vocab_size > 40_000
