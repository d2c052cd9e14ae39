"""Attacks on pools: which leaks they see, which pools they must let pass, and small cases done by hand."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Splits, Table, encode_splits
from ctrbench_datasets.oracle import Oracle
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators.bayes_net import BayesNet
from ctrbench_generators.independent import Independent
from ctrbench_generators.random_oversampling import RandomOversampling
from ctrbench_generators.uniform import Uniform
from ctrbench_metrics._attack import judge
from ctrbench_metrics._chance import Estimate
from ctrbench_metrics._matched import Matched, _split_by_person, only
from ctrbench_metrics.attribute_inference import AttributeInference, _guesses
from ctrbench_metrics.dcr_share import DcrShare
from ctrbench_metrics.interaction_disclosure import InteractionDisclosure
from ctrbench_metrics.membership import Membership
from ctrbench_metrics.membership_classifier import MembershipClassifier
from ctrbench_metrics.membership_users import MembershipUsers
from ctrbench_metrics.nndr import Nndr
from places import ROOT


def load(name: str) -> ModuleType:
    """A module of the folder of benchmarks, which is no package and has a `coverage.py` that must not be found."""
    spec = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


leaks = load("leaks")
TREE = BayesNet(reject_copies=True)


@cache
def log() -> Splits:
    return Simulated(train_rows=6_000, valid_rows=3_000, test_rows=3_000).load(seed=1, context=Context())


@cache
def pool(generator) -> Table:
    return generator.fit(log().train, seed=1, context=Context()).sample(6_000, seed=2)


def score(metric, synthetic: Table, splits: Splits | None = None):
    splits = splits or log()
    return metric.score(synthetic, train=splits.train, holdout=splits.valid, reference=splits.test, seed=3)


@pytest.mark.parametrize("generator", [BayesNet(), BayesNet(smoothing=0.1), TREE, RandomOversampling()], ids=str)
def test_pools_of_train_s_own_pairs_disclose_interactions(generator):
    found = score(InteractionDisclosure(), pool(generator))
    assert found.flagged is True
    assert found.value > found.baseline + 0.3
    assert found.details["excess_low"] > 0.3
    assert found.details["precision"] > 0.85
    assert found.details["few_rows_excess_low"] > 0.1


@pytest.mark.parametrize("generator", [Independent(), Uniform(), Oracle()], ids=str)
def test_pools_without_memory_of_pairs_disclose_none(generator):
    found = score(InteractionDisclosure(), pool(generator))
    assert found.flagged is False
    assert abs(found.details["excess"]) < 0.05


def test_a_pool_that_avoids_train_s_pairs_tells_of_them_as_well():
    known = {*zip(log().train.rows["user"], log().train.rows["item"], strict=True)}
    fresh = pool(Oracle())
    new = np.array([pair not in known for pair in zip(fresh.rows["user"], fresh.rows["item"], strict=True)])
    found = score(InteractionDisclosure(), fresh.take(new))
    assert found.flagged is True
    assert found.value == 0 < found.baseline
    assert found.details["excess_high"] < 0
    assert score(MembershipClassifier(), fresh.take(new)).flagged is True


def test_true_labels_on_train_s_pairs_alone_are_told_though_the_pairs_are_not():
    """A pool of random pairs, where a pair that train has once gets its label from there."""
    train, guesses = log().train, pool(Independent(given="nothing"))
    label_of = dict(zip(zip(train.rows["user"], train.rows["item"], strict=True), train.targets, strict=True))
    pairs = zip(guesses.rows["user"], guesses.rows["item"], strict=True)
    labels = np.array([label_of.get(pair, own) for pair, own in zip(pairs, guesses.targets, strict=True)], np.int8)
    found = score(InteractionDisclosure(), Table(guesses.rows, guesses.schema, labels))
    assert found.flagged is True
    assert found.details["excess_low"] < 0 < found.details["excess_high"]
    assert found.details["clicked_excess_low"] > 0


SCHEMA = Schema(
    (Field("user", role="user", vocabulary=tuple("abcdef")), Field("item", role="item", vocabulary=("x", "y", "z")))
)


def rows(*values: tuple[int, int, int]) -> Table:
    users, items, labels = zip(*values, strict=True)
    frame = pd.DataFrame({"user": np.array(users, np.int32), "item": np.array(items, np.int32)})
    return Table(frame, SCHEMA, np.array(labels, np.int8))


def test_precision_and_recall_of_pairs_by_hand():
    train = rows((1, 1, 1), (1, 1, 0), (1, 2, 0), (2, 2, 1), (2, 3, 0), (3, 3, 1))
    synthetic = rows((1, 1, 1), (1, 1, 1), (2, 3, 1), (3, 1, 0))  # two of train's five pairs, and a new one
    found = InteractionDisclosure().score(synthetic, train=train, holdout=train, reference=train, seed=1)
    assert found.details["precision"] == pytest.approx(2 / 3)
    assert found.details["recall"] == pytest.approx(2 / 5)
    assert found.flagged is None, "so few users prove nothing"


def test_interaction_disclosure_needs_a_user_and_an_item():
    bare = only(log().train, ["item", "hour"])
    with pytest.raises(Skip, match="role user"):
        InteractionDisclosure().score(bare, train=bare, holdout=bare, reference=bare, seed=1)


def test_people_cannot_be_looked_for_where_no_field_says_who_they_are():
    bare = only(log().train, ["item", "hour"])
    with pytest.raises(Skip, match="role user"):
        MembershipUsers().score(bare, train=bare, holdout=bare, reference=bare, seed=1)


def test_an_interval_as_wide_as_all_that_can_be_is_no_verdict():
    alone = (np.zeros(5, np.int64), np.zeros(5, np.int64))
    sides = (np.arange(5.0) + 3, np.arange(5.0))
    assert judge(sides, sides, sides, people=alone, both_ways=True).flagged is None


def test_matched_rows_hold_only_values_that_the_rest_of_train_has():
    """Train has every value of its vocabulary, the holdout others too: that alone must tell nobody apart."""
    matched = Matched.drawn(log().train, log().valid, 3_000, np.random.default_rng(1))
    assert len(matched.members) + len(matched.rest) <= len(log().train)
    for table in (matched.members, matched.others):
        for name in matched.fields:
            assert set(table.rows[name]) <= set(matched.rest.rows[name])


@cache
def by_user():
    """Train, valid and test have no user in common."""
    return leaks.Log.drawn("user", 1)


def test_new_users_are_compared_by_what_they_did_alone():
    splits = by_user().splits
    matched = Matched.drawn(splits.train, splits.valid, 3_000, np.random.default_rng(1))
    assert set(matched.fields) == {field.name for field in splits.train.schema.fields if field.role != "user"}
    members, others = (set(each.tolist()) for each in matched.people)
    assert len(others) > 50
    assert len(members & others) < 10, "persons are told apart by city, age and gender"


def test_users_of_train_are_found_where_splits_are_by_user_and_fresh_ones_are_not():
    splits = by_user().splits
    copied = RandomOversampling().fit(splits.train, seed=1, context=Context()).sample(len(splits.train), seed=2)
    found = score(MembershipUsers(), copied, splits)
    assert found.flagged is True
    assert found.value > 0.75
    assert score(MembershipUsers(), by_user().fresh, splits).flagged is False
    interactions = score(InteractionDisclosure(), copied, splits)
    assert interactions.flagged is None
    assert interactions.details["precision"] == 1


def test_members_are_drawn_person_by_person_where_users_are_new():
    train = by_user().splits.train
    members, rest = _split_by_person(train, 1_000, np.random.default_rng(1))
    assert 900 < len(members) <= 1_000
    assert len(members) + len(rest) == len(train)
    assert not {*members.rows["user"]} & {*rest.rows["user"]}


def test_fresh_rows_are_let_pass_and_copies_are_not_where_users_are_new():
    drawn = by_user()
    copied = leaks.POOLS["`random_oversampling`"](drawn, np.random.default_rng(1))
    for metric in leaks.privacy_metrics():
        assert not score(metric, drawn.fresh, drawn.splits).flagged, metric.name
        if metric.name != "interaction_disclosure":
            assert score(metric, copied, drawn.splits).flagged, metric.name


def test_fresh_rows_are_let_pass_where_rows_change_with_time():
    drawn = leaks.Log.drawn("time", 4)
    for metric in leaks.privacy_metrics():
        assert not score(metric, drawn.fresh, drawn.splits).flagged, metric.name


def test_what_single_columns_tell_is_no_leak_of_rows():
    drawn = leaks.Log.drawn("row", 4)
    found = score(MembershipClassifier(), leaks.POOLS["`independent`"](drawn, np.random.default_rng(1)), drawn.splits)
    assert found.details["low"] > 0.5
    assert found.details["auc_of_marginals"] > 0.51
    assert found.flagged is False


def test_new_users_with_nothing_but_an_id_cannot_be_told_apart():
    splits = by_user().splits
    names = ["user", "item", "hour", "position"]
    train, valid, test = (only(table, names) for table in (splits.train, splits.valid, splits.test))
    for metric in (MembershipClassifier(), MembershipUsers(), AttributeInference()):
        with pytest.raises(Skip, match="nothing but their id"):
            metric.score(train, train=train, holdout=valid, reference=test, seed=1)
    assert InteractionDisclosure().score(train, train=train, holdout=valid, reference=test, seed=1).flagged is None


@pytest.mark.parametrize("metric", [MembershipClassifier(), MembershipUsers(), AttributeInference()], ids=str)
def test_a_tree_whose_copies_were_rejected_is_seen_and_the_truth_is_not(metric):
    assert score(metric, pool(TREE)).flagged is True
    assert score(metric, pool(Oracle())).flagged is False


def test_a_pool_without_train_s_rows_is_a_leak_in_the_other_direction():
    """In a log of few fields most rows come again; those of train are missing."""
    names = ["user", "item"]
    splits = Splits(*(only(table, names) for table in (log().train, log().valid, log().test)))
    known = {*zip(*(splits.train.rows[name] for name in names), strict=True)}
    fresh = only(pool(Oracle()), names)
    new = np.array([pair not in known for pair in zip(*(fresh.rows[name] for name in names), strict=True)])
    found = score(Membership(), fresh.take(new), splits)
    assert found.value < 0.5
    assert found.flagged is True
    assert score(Membership(), fresh, splits).flagged is False


def test_a_verdict_must_be_off_fresh_rows_and_marginals_on_the_same_side():
    rng = np.random.default_rng(1)
    people = (np.arange(400), np.arange(400, 800))
    noise = (rng.random(400), rng.random(400))
    low = (noise[0] - 0.3, noise[1])
    assert judge(low, noise, noise, people=people, both_ways=True).flagged is True
    assert judge(low, noise, noise, people=people, both_ways=False).flagged is False
    assert judge(low, noise, low, people=people, both_ways=True).flagged is False, "single columns tell as much"
    assert judge(low, low, noise, people=people, both_ways=True).flagged is None, "train and holdout differ"


def test_the_attacker_guesses_the_most_frequent_value_among_the_nearest_rows():
    pool = np.array([[1, 1, 5], [1, 1, 5], [1, 1, 6], [2, 1, 7], [2, 2, 8], [2, 2, 8]], np.int32)
    targets = np.array(
        [
            [1, 1, 5],  # equal but for the field: 5 comes twice, 6 once
            [1, 1, 6],  # the same guess, wrong
            [2, 1, 7],  # one row alone
            [2, 3, 8],  # agrees with user 2 alone, whose rows have 8 twice and 7 once
            [9, 9, 8],  # agrees with nobody: the first of the most frequent values of all, 5 and 8, is 5
        ],
        np.int32,
    )
    keys = np.array([3, 10_007, 1_000_003], np.uint64)
    (right, none) = _guesses((targets, targets[:0]), pool, [2], 0, keys)
    assert right[:, 0].tolist() == [True, False, True, True, False]
    assert none.shape == (0, 1)


def test_fields_are_inferred_from_copies_and_a_leak_in_one_field_is_named():
    found = score(AttributeInference(), pool(RandomOversampling()))
    assert found.flagged is True
    assert found.details["excess_low"] > 0.1
    train, fresh = log().train, pool(Oracle())
    hours = train.rows.assign(**{name: fresh.rows[name] for name in ("device", "position")})  # the rest is train's
    found = score(AttributeInference(), Table(hours, train.schema, fresh.labels))
    assert found.flagged is True
    assert found.details["excess of hour"] > 0.05


def test_a_click_rate_that_has_changed_is_no_leak_of_labels():
    rng = np.random.default_rng(1)

    def frame(rows: int, rate: float) -> pd.DataFrame:
        made = {"user": rng.integers(0, 100, rows), **{f"c{at}": rng.integers(0, 4, rows) for at in range(8)}}
        return pd.DataFrame({**made, "click": (rng.random(rows) < rate).astype(int)})

    fields = [Field("user", role="user"), *(Field(f"c{at}") for at in range(8))]
    frames = frame(3000, 0.2), frame(1500, 0.3), frame(1500, 0.35)
    splits = encode_splits(*frames, label="click", fields=fields, source="drift")
    knows_nothing = Independent().fit(splits.train, seed=1, context=Context()).sample(3000, seed=1)
    many_clicks = Table(knows_nothing.rows, splits.train.schema, (rng.random(3000) < 0.6).astype(np.int8))

    def flagged(rows: Table) -> bool | None:
        asked = {"train": splits.train, "holdout": splits.valid, "reference": splits.test}
        return AttributeInference().score(rows, **asked, seed=1).flagged

    assert flagged(many_clicks) is False
    assert flagged(splits.train) is True


def test_a_single_user_is_no_sample_of_users():
    assert Estimate(0.5, np.zeros(1)).margin == 1
    assert Estimate(0.5, np.zeros(2)).margin == 0, "two users who agree do say something"


@pytest.mark.parametrize("metric", [DcrShare(), Nndr()])
def test_a_pool_of_a_row_or_two_is_flagged_by_nobody_however_near_to_train(metric):
    splits = small().splits
    asked = {"train": splits.train, "holdout": splits.valid, "reference": splits.test}

    def flagged(rows: int) -> bool | None:
        return metric.score(splits.train.take(np.arange(rows)), **asked, seed=1).flagged

    assert [flagged(rows) for rows in (1, 2, 300)] == [False, False, True]


@cache
def small() -> leaks.Log:
    return leaks.Log.drawn("row", 3)


@pytest.mark.parametrize("leak", leaks.LEAKS | leaks.HONEST | leaks.CONTROLS)
def test_planted_pools_are_pools(leak):
    drawn = small()
    made = (leaks.LEAKS | leaks.HONEST | leaks.CONTROLS)[leak](drawn, np.random.default_rng(1))
    assert len(made) == len(drawn.splits.train)
    assert (made.codes > 0).all()
    copied = {*map(tuple, np.column_stack([drawn.splits.train.codes, drawn.splits.train.targets]).tolist())}
    held = sum(tuple(row) in copied for row in np.column_stack([made.codes, made.targets]).tolist()) / len(made)
    expected = {"copies, 10 %": 0.1, "a leak in one class": 0.1, "`random_oversampling`": 1.0}.get(leak)
    if expected is not None:
        assert held == pytest.approx(expected, abs=0.02)
    elif not leak.startswith(("tree", "one user")):
        assert held < 0.01


def test_the_page_of_metrics_names_every_metric_and_has_the_suite_s_tables():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for metric in leaks.privacy_metrics():
        assert f"| `{metric.name}` | privacy |" in page
    for part in ("planted", "honest", "real"):
        table = page.split(f"<!-- leaks.py {part} -->")[1].split(f"<!-- end of {part} -->")[0]
        assert table.count("\n| ") > 3
    assert all(f"| {leak} " in page for leak in leaks.LEAKS | leaks.HONEST | leaks.CONTROLS)


def test_a_table_is_put_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- leaks.py real -->\nold\n<!-- end of real -->\nb\n", encoding="utf-8")
    leaks.put(page, "real", "| new |")
    assert page.read_text(encoding="utf-8") == "a\n<!-- leaks.py real -->\n\n| new |\n\n<!-- end of real -->\nb\n"
