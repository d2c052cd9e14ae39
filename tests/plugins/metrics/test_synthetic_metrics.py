"""Metrics of synthetic rows: what they must notice, what they must let pass, and small cases done by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Splits, Table
from ctrbench.encoding import encode, encode_splits
from ctrbench.table import MISSING, PRESENT
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators.independent import Independent
from ctrbench_generators.random_oversampling import RandomOversampling
from ctrbench_generators.smoten import Smoten
from ctrbench_generators.uniform import Uniform
from ctrbench_metrics._attack import judge
from ctrbench_metrics._chance import auc_of, chance_of_worse, mean_of, users_of
from ctrbench_metrics._matched import Matched
from ctrbench_metrics.attribute_inference import AttributeInference
from ctrbench_metrics.category_coverage import CategoryCoverage
from ctrbench_metrics.dcr_share import DcrShare
from ctrbench_metrics.detection import Detection
from ctrbench_metrics.identical import Identical
from ctrbench_metrics.identifiability import Identifiability
from ctrbench_metrics.interaction_disclosure import InteractionDisclosure
from ctrbench_metrics.invented_pairs import InventedPairs
from ctrbench_metrics.marginals import Marginals
from ctrbench_metrics.membership import Membership
from ctrbench_metrics.membership_classifier import MembershipClassifier
from ctrbench_metrics.membership_density import MembershipDensity
from ctrbench_metrics.membership_users import MembershipUsers
from ctrbench_metrics.nndr import Nndr
from ctrbench_metrics.pair_conflict import PairConflict
from ctrbench_metrics.pairs import Pairs
from sklearn.metrics import roc_auc_score

ONE_SIDED = [Identical(), DcrShare(), Nndr(), Identifiability()]
TWO_SIDED = [
    Membership(),
    MembershipDensity(),
    MembershipClassifier(),
    MembershipUsers(),
    InteractionDisclosure(),
    AttributeInference(),
]
PRIVACY = [*ONE_SIDED, *TWO_SIDED]
STRUCTURE = [Detection(rows=2_000), Pairs(pairs=30), InventedPairs(), PairConflict()]
FIDELITY = [*STRUCTURE, Marginals(), CategoryCoverage()]
by_name = {"ids": lambda metric: metric.name}


@cache
def log() -> Splits:
    """Train as in the suite quick; valid as there; half of test is left to stand for a perfect pool."""
    return Simulated(train_rows=8_000, test_rows=12_000).load(seed=1, context=Context())


def reference() -> Table:
    return log().test.take(np.arange(4_000))


def perfect() -> Table:
    """Fresh real rows, as many as train's; a generator knows train's values only."""
    rest = log().test.take(np.arange(4_000, 12_000))
    return rest.take((rest.codes > 0).all(axis=1))


@cache
def pool(generator) -> Table:
    return generator.fit(log().train, seed=1, context=Context()).sample(8_000, seed=2)


def score(metric, synthetic: Table):
    return metric.score(synthetic, train=log().train, holdout=log().valid, reference=reference(), seed=3)


@pytest.mark.parametrize("metric", PRIVACY, **by_name)
def test_copied_rows_are_flagged_by_every_privacy_metric(metric):
    found = score(metric, pool(RandomOversampling()))
    assert found.flagged is True
    assert (found.value > found.baseline) == (metric.better == "lower")
    assert score(metric, pool(Smoten())).flagged is True  # copies some


@pytest.mark.parametrize("metric", STRUCTURE, **by_name)
def test_lost_dependence_is_flagged_by_fidelity(metric):
    found = score(metric, pool(Independent()))
    assert found.flagged is True
    assert (found.value > found.baseline) == (metric.better == "lower")


@pytest.mark.parametrize("metric", [*PRIVACY, *FIDELITY], **by_name)
def test_fresh_real_rows_pass(metric):
    assert score(metric, perfect()).flagged is False


@pytest.mark.parametrize("metric", [*PRIVACY, *FIDELITY], **by_name)
def test_the_holdout_itself_is_told_from_train_by_those_who_look_both_ways_alone(metric):
    """No generator has seen the holdout; a pool that holds it tells just as well which rows are train's."""
    assert score(metric, log().valid).flagged is (metric in TWO_SIDED)


@pytest.mark.parametrize("metric", PRIVACY, **by_name)
def test_noise_tells_nothing_of_train(metric):
    assert score(metric, pool(Uniform())).flagged is False


def test_wrong_shares_of_values_are_flagged_by_marginals_and_forgotten_values_by_coverage():
    assert score(Marginals(), pool(Uniform())).flagged is True
    assert score(Marginals(), pool(Independent())).flagged is False
    few = log().train.take(np.flatnonzero(log().train.rows["user"] < 100))
    found = score(CategoryCoverage(), few)
    assert found.flagged is True
    assert found.details["worst_field"] < 0.4


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_a_pool_that_collapsed_to_a_few_rows_is_flagged(distinct):
    few = log().train.take(np.arange(len(log().train)) % distinct)
    assert score(Marginals(), few).flagged is True
    assert score(CategoryCoverage(), few).flagged is True
    assert 0 <= score(Detection(), few).value <= 1, "a fold may lack the pool"


@pytest.mark.parametrize("values", [(1, 1), (1, 2), (2, 1), (1, 3), (2, 3), (3, 3)])
def test_detection_lives_with_few_distinct_rows_and_accuses_nobody(values):
    """A fold may be empty, a single user is no sample of users, and the same law is not told apart from itself."""
    schema = Schema(
        tuple(
            Field(role, role=role, vocabulary=tuple(map(str, range(size))))
            for role, size in zip(("user", "item"), values, strict=True)
        )
    )
    flagged = []
    for seed in range(6):
        rng = np.random.default_rng(seed)

        def drawn(count: int, rng=rng) -> Table:
            codes = {f.name: rng.integers(1, f.vocab_size, count).astype(np.int32) for f in schema.fields}
            return Table(pd.DataFrame(codes), schema, rng.integers(0, 2, count).astype(np.int8))

        found = Detection().score(drawn(600), train=drawn(600), holdout=drawn(300), reference=drawn(300), seed=seed)
        assert 0 <= found.value <= 1
        assert found.details["low"] < found.details["high"]
        flagged.append(found.flagged)
    assert sum(flagged) <= 1


def test_marginals_takes_time_in_proportion_to_the_values_of_a_column():
    """sdmetrics' own count takes over ten seconds here."""
    schema = Schema((Field("id", vocabulary=tuple(map(str, range(50_000)))),))
    rng = np.random.default_rng(5)

    def drawn() -> Table:
        frame = pd.DataFrame({"id": rng.integers(1, 50_001, 40_000).astype(np.int32)})
        return Table(frame, schema, rng.integers(0, 2, 40_000).astype(np.int8))

    tables = [drawn() for _ in range(4)]
    start = time.process_time()
    found = Marginals().score(tables[0], train=tables[1], holdout=tables[2], reference=tables[3], seed=1)
    assert time.process_time() - start < 5
    assert 0.4 < found.value < 1


def test_marginals_counts_as_sdmetrics_does():
    from sdmetrics.single_column import TVComplement

    few = [t.take(np.arange(500)) for t in (pool(Uniform()), log().train, log().valid)]
    found = Marginals().score(few[0], train=few[1], holdout=few[2], reference=few[2], seed=1)
    names = few[0].schema.names
    expected = [TVComplement.compute(few[1].rows[name], few[0].rows[name]) for name in names]
    expected.append(TVComplement.compute(pd.Series(few[1].targets), pd.Series(few[0].targets)))
    assert found.value == pytest.approx(np.mean(expected), abs=1e-6)


def test_details_name_columns_so_that_they_meet_no_other_detail():
    worst = score(Marginals(), pool(Uniform())).details
    assert sum(name.startswith("likeness of ") for name in worst) == 5
    assert {"chance", "compared_rows"} <= set(worst)


@pytest.mark.parametrize("metric", [*PRIVACY, *FIDELITY], **by_name)
def test_the_same_under_a_seed_and_tables_left_alone(metric):
    small = [t.take(np.arange(400)) for t in (perfect(), log().train, log().valid, reference())]
    before = [t.digest() for t in small]
    scores = [metric.score(small[0], train=small[1], holdout=small[2], reference=small[3], seed=5) for _ in range(2)]
    assert scores[0] == scores[1]
    assert [t.digest() for t in small] == before


SCHEMA = Schema(
    (Field("user", role="user", vocabulary=tuple("abcdef")), Field("item", role="item", vocabulary=("x", "y", "z")))
)


def rows(*values: tuple[int, int, int]) -> Table:
    users, items, labels = zip(*values, strict=True)
    frame = pd.DataFrame({"user": np.array(users, np.int32), "item": np.array(items, np.int32)})
    return Table(frame, SCHEMA, np.array(labels, np.int8))


TRAIN = rows((1, 1, 1), (1, 2, 0), (2, 2, 1), (2, 3, 0))
HOLDOUT = rows((1, 3, 0), (2, 1, 1), (3, 1, 0), (1, 1, 1))


def by_hand(metric, synthetic: Table):
    return metric.score(synthetic, train=TRAIN, holdout=HOLDOUT, reference=HOLDOUT, seed=1)


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows cannot be matched: all of train are members here, and all of the holdout others."""

    def drawn(cls, train: Table, holdout: Table, rows: int, rng: np.random.Generator) -> Matched:
        return cls(train, holdout, train, users_of(train, holdout))

    monkeypatch.setattr(Matched, "drawn", classmethod(drawn))


@pytest.mark.usefixtures("as_they_are")
def test_closest_record_shares_count_ties_half():
    found = by_hand(DcrShare(), rows((2, 2, 0), (1, 3, 0), (1, 1, 0), (6, 3, 1)))  # nearer, further, equal, equal
    assert found.value == 0.5
    found = by_hand(DcrShare(), rows((2, 2, 0), (1, 2, 0), (1, 1, 0), (1, 3, 1)))
    assert found.value == (1 + 1 + 0.5 + 0) / 4


@pytest.mark.usefixtures("as_they_are")
def test_neighbour_ratios_are_of_the_first_two_in_train():
    found = by_hand(Nndr(), rows((1, 1, 0), (3, 3, 0)))  # 0 of 1; 1 of 2
    assert found.value == (0 + 1 / 2) / 2
    assert found.baseline == (1 / 1 + 1 / 1 + 1 / 2 + 0) / 4


def test_invented_pairs_leave_out_values_that_train_lacks():
    found = by_hand(InventedPairs(), rows((1, 3, 0), (1, 1, 0), (2, 1, 0), (2, 2, 0)))
    assert (found.value, found.details["rows_with_any"]) == (0.5, 0.5)
    assert found.baseline == 2 / 3  # the row (3, 1) is not counted: user 3 is not in train
    strangers = rows((3, 1, 0), (4, 2, 0), (5, 5, 1))  # no row has two values of train's
    other = InventedPairs().score(TRAIN, train=TRAIN, holdout=strangers, reference=HOLDOUT, seed=1)
    assert other.baseline == 0


def test_invented_pairs_lets_fresh_rows_pass_in_a_log_of_many_values():
    """A third of the holdout's rows have a value that train lacks, as no row of a pool can."""
    fields = tuple(Field(role, role=role) for role in ("user", "item"))
    flagged = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        made = [{f.name: (100 * rng.pareto(1.2, n)).astype(int) for f in fields} for n in (600, 400, 400, 2_000)]
        frames = [pd.DataFrame(each | {"click": np.arange(len(each["user"])) % 2}) for each in made]
        splits = encode_splits(*frames[:3], label="click", fields=fields, source="many")
        fresh = encode(frames[3], splits.train.schema, source="many")
        fresh = fresh.take((fresh.codes > 0).all(axis=1))
        asked = {"train": splits.train, "holdout": splits.valid, "reference": splits.test}
        flagged.append(InventedPairs().score(fresh, **asked, seed=seed).flagged)
    assert sum(flagged) <= 1


def test_pair_conflict_is_the_mean_over_classes():
    found = by_hand(PairConflict(), rows((1, 1, 0), (1, 2, 0), (2, 2, 0), (3, 3, 0), (1, 1, 1), (2, 3, 1), (1, 3, 1)))
    assert found.details["negatives"] == 2 / 4
    assert found.details["positives"] == pytest.approx(2 / 3)
    assert found.value == pytest.approx((2 / 4 + 2 / 3) / 2)
    assert found.baseline == pytest.approx((0 / 2 + 1 / 2) / 2)
    with pytest.raises(Skip, match="the pool lacks a class"):
        by_hand(PairConflict(), rows((1, 1, 0), (1, 2, 0)))


def test_coverage_counts_the_values_of_train():
    found = by_hand(CategoryCoverage(), rows((1, 1, 0), (5, 1, 0), (4, 2, 1), (1, 1, 0)))
    assert found.value == (1 + 2) / 5  # users 1 of {1, 2}; items 1, 2 of {1, 2, 3}
    assert found.baseline == (2 + 2) / 5


def test_identical_rows_are_flagged_only_where_chance_would_not_choose_train():
    """The generator may have met train's rows and the holdout's equally by luck."""
    both = Table.concat([log().train.take(np.arange(50)), log().valid.take(np.arange(25))])
    assert score(Identical(), both).flagged is False  # as often as rows of either are
    assert score(Identical(), log().train.take(np.arange(75))).flagged is True


def test_a_copy_with_minus_zero_is_a_copy():
    schema = Schema((Field("who", vocabulary=("a", "b")), Field("shift", "numeric")))

    def table(numbers: list[float]) -> Table:
        frame = pd.DataFrame({"who": np.ones(len(numbers), np.int32), "shift": numbers})
        return Table(frame, schema, np.zeros(len(numbers), np.int8))

    train = table([0.0, -0.0, 1.0, 2.0])
    found = Identical().score(table([-0.0, 0.0, -1.0]), train=train, holdout=train, reference=train, seed=1)
    assert (found.value, found.details["distinct"], found.details["train_rows_held"]) == (2, 1, 2)


def test_membership_gives_no_verdict_where_members_and_others_differ_anyway():
    strange = pool(Uniform()).take(np.arange(2_000))
    found, density = (
        metric.score(perfect(), train=log().train, holdout=strange, reference=reference(), seed=1)
        for metric in (Membership(), MembershipDensity())
    )
    assert found.flagged is None
    assert found.details["auc_of_fresh_rows"] > 0.52
    assert density.flagged is False, "as many fresh rows tell as much"
    assert density.value == pytest.approx(density.details["auc_of_fresh_rows"], abs=0.02)


def test_equal_ratios_of_densities_are_equal_scores():
    suspects = rows((1, 1, 0), (2, 2, 0))
    few = rows((1, 1, 0), *[(2, 2, 0)] * 2, *[(1, 2, 0)] * 7)
    many = rows(*[(1, 1, 0)] * 3, *[(2, 2, 0)] * 6, (1, 2, 0))
    matched = SimpleNamespace(rest=TRAIN, suspects=suspects)
    [found] = MembershipDensity(radius=0, decay=0.0).scores(matched, [few], many, np.random.default_rng(1))
    assert found[0] == found[1] == pytest.approx(np.log(1 / 3))


def test_rows_whose_user_train_lacks_are_a_user_each():
    few, strangers = rows((1, 1, 0), (2, 1, 0), (1, 2, 0)), rows((0, 1, 0), (0, 1, 0), (1, 1, 0))
    known, new = users_of(few, strangers)
    assert known[0] == known[2] == new[2]
    assert len({*known, *new}) == 4


def test_true_positives_at_one_percent_of_false_alarms():
    """200 others: two of them may pass; 30 of 100 members stand above them."""
    people = np.arange(200), np.arange(200, 400)
    members = np.concatenate([np.full(60, 2.0), np.zeros(140)])
    others = np.concatenate([np.full(2, 1.0), np.zeros(198)])
    nothing = np.zeros(200), np.zeros(200)
    found = judge((members, others), nothing, nothing, people=people, both_ways=True)
    assert found.details["true_positives_at_1_percent"] == pytest.approx(0.3)


def test_area_under_the_curve_and_its_error_by_user():
    rng = np.random.default_rng(2)
    scores, labels, users = rng.integers(0, 5, 300) * 1.0, rng.integers(0, 2, 300), rng.integers(0, 40, 300)
    up, down = labels == 1, labels == 0
    found = auc_of(scores[up], scores[down], (users[up], users[down]), 40)
    assert found.value == pytest.approx(roc_auc_score(labels, scores))
    again = [np.tile(each, 3) for each in (scores, labels, users)]  # rows repeated within users say nothing new
    up, down = again[1] == 1, again[1] == 0
    tripled = auc_of(again[0][up], again[0][down], (again[2][up], again[2][down]), 40)
    assert tripled.margin == pytest.approx(found.margin)


def test_intervals_of_means_cover_as_often_as_they_say():
    """Rows of a user share half their variance; intervals that ignored it would cover 70 % here."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(30), 10)
    covered = 0
    for _ in range(400):
        values = rng.standard_normal(30)[users] + rng.standard_normal(300)
        estimate = mean_of(values, users, 30)
        covered += estimate.low < 0 < estimate.high
    assert 0.92 < covered / 400 < 0.98


def test_a_single_user_among_others_leaves_a_mean_and_an_area_open_however_its_rows_differ():
    alone, others = np.zeros(6, np.int64), np.arange(1, 7)
    values = np.array([1.0, 0.5, 1.0, 0.5, 1.0, 1.0])
    assert mean_of(values, alone, 7).margin > 0.9
    assert auc_of(values, values / 2, (alone, others), 7).margin > 0.9
    assert auc_of(values / 2, values, (others, alone), 7).margin > 0.9


def test_intervals_cover_though_one_user_has_most_of_the_rows():
    """Deviations from a mean that such a user draws to its own would cover in 7 % of cases here."""
    rng = np.random.default_rng(6)
    users = np.concatenate([np.zeros(900, np.int64), np.repeat(np.arange(1, 21), 5)])
    covered = 0
    for _ in range(200):
        estimate = mean_of(rng.standard_normal(21)[users] + rng.standard_normal(1000), users, 21)
        covered += estimate.low < 0 < estimate.high
    assert covered / 200 > 0.9


def test_permutations_notice_a_difference_and_not_its_absence():
    rng = np.random.default_rng(4)

    def chance(shift: float) -> float:
        samples = ([(rng.random(300) < 0.3 + shift).astype(np.int64)] for _ in range(1))
        other = [(rng.random(300) < 0.3).astype(np.int64)]
        return chance_of_worse(next(samples), other, lambda _, counts: float(counts[1]), rng)

    assert chance(0.15) == 0.01
    assert np.mean([chance(0.0) <= 0.05 for _ in range(100)]) < 0.12


@pytest.mark.parametrize("metric", [each for each in (*PRIVACY, *FIDELITY) if each.name != "identical"], **by_name)
def test_an_empty_holdout_is_a_reason_to_skip(metric):
    with pytest.raises(Skip):
        metric.score(TRAIN, train=TRAIN, holdout=HOLDOUT.take(np.arange(0)), reference=HOLDOUT, seed=1)


@pytest.mark.usefixtures("as_they_are")
def test_roles_decide_whose_rows_depend():
    """Without a user field each row counts by itself."""
    bare = Schema(tuple(replace(field, role="context") for field in SCHEMA.fields))
    tables = [Table(t.rows, bare, t.labels) for t in (TRAIN, HOLDOUT)]
    found = DcrShare().score(tables[0], train=tables[0], holdout=tables[1], reference=tables[1], seed=1)
    assert found.details["low"] <= found.value <= found.details["high"]
    with pytest.raises(Skip, match="role user"):
        PairConflict().score(tables[0], train=tables[0], holdout=tables[1], reference=tables[1], seed=1)


def test_a_handful_of_people_who_agree_leave_the_area_open():
    people = (np.arange(3), np.arange(3, 6))
    found = auc_of(np.full(3, 2.0), np.full(3, 1.0), people, 6)
    assert found.value == 1
    assert found.margin == pytest.approx(1 - 0.025 ** (1 / 3))


@pytest.mark.parametrize("empty", ["pool", "holdout"])
def test_marginals_compares_columns_of_which_all_tables_have_values(empty: str):
    flag = Field("price (missing)", vocabulary=(PRESENT, MISSING))
    schema = Schema((Field("price", "numeric", missing_indicator=flag.name, imputed=0.0), flag))
    rng = np.random.default_rng(3)

    def drawn(missing: float) -> Table:
        absent = rng.random(200) < missing
        frame = pd.DataFrame({"price": np.where(absent, 0.0, rng.random(200)), flag.name: 1 + absent.astype(np.int32)})
        return Table(frame.astype({flag.name: "int32"}), schema, rng.integers(0, 2, 200).astype(np.int8))

    made, unseen = drawn(float(empty == "pool")), drawn(float(empty == "holdout"))
    found = Marginals().score(made, train=drawn(0.5), holdout=unseen, reference=drawn(0.5), seed=1)
    assert not any(name == "likeness of price" for name in found.details)
    assert {"likeness of price (missing)"} < set(found.details)
