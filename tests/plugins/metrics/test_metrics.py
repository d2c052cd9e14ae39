"""The built-in metrics against hand-made answers and brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ctrbench import Field, Predictions, Schema, Skip, Table
from ctrbench_metrics import _rows
from ctrbench_metrics._rows import count_matches, number_rows, with_labels
from ctrbench_metrics.auc import Auc
from ctrbench_metrics.identical import Identical
from ctrbench_metrics.logloss import Logloss
from hypothesis import given, settings
from hypothesis import strategies as st

SCHEMA = Schema((Field("user", role="user", vocabulary=("a", "b")), Field("price", "numeric")))
NUMBERS = (-1.5, -0.0, 0.0, 0.1, 0.1 + 2**-56, 1e300)


def table(rows: list[tuple[int, float, int]], schema: Schema = SCHEMA) -> Table:
    codes, numbers, labels = zip(*rows, strict=True) if rows else ((), (), ())
    frame = pd.DataFrame({"user": np.array(codes, np.int32), "price": np.array(numbers, np.float64)})
    return Table(frame, schema, np.array(labels, np.int8))


def predictions(labels: list[int], probabilities: list[float], truth: list[float] | None = None) -> Predictions:
    rows = table([(1, 0.0, label) for label in labels])
    true = None if truth is None else np.array(truth)
    return Predictions(rows, np.array(probabilities), rows, 0.5, true)


def key(row: tuple[int, float, int], labelled: bool) -> tuple[object, ...]:
    number = row[1] + 0.0  # -0.0 is 0.0
    return (row[0], number, row[2]) if labelled else (row[0], number)


row = st.tuples(st.integers(0, 2), st.sampled_from(NUMBERS), st.integers(0, 1))
rows = st.lists(row, max_size=30)


@given(rows, rows, rows)
@settings(max_examples=150, deadline=None)
def test_identical_counts_what_brute_force_counts(pool, train, holdout):
    score = Identical().score(table(pool), train=table(train), holdout=table(holdout), reference=table(holdout), seed=0)
    known = {key(r, True) for r in train}
    fields_known = {key(r, False) for r in train}
    hits = [key(r, True) for r in pool if key(r, True) in known]
    field_hits = [key(r, False) for r in pool if key(r, False) in fields_known]
    assert score.value == len(hits)
    assert score.details["share"] == (len(hits) / len(pool) if pool else 0)
    assert score.details["distinct"] == len(set(hits))
    assert score.details["fields_only"] == len(field_hits)
    assert score.details["fields_only_distinct"] == len(set(field_hits))
    if holdout:
        seen = sum(key(r, True) in known for r in holdout) / len(holdout)
        assert score.details["validation_share"] == seen
        assert score.baseline == pytest.approx(seen * len(pool))
    else:
        assert score.baseline is None


def test_identical_counts_repeated_pool_rows_each_time_and_distinct_ones_once():
    train = table([(1, 0.5, 1), (1, 0.5, 1), (2, 0.5, 0)])
    pool = table([(1, 0.5, 1), (1, 0.5, 1), (1, 0.5, 0), (2, 0.25, 0)])
    score = Identical().score(pool, train=train, holdout=table([(2, 0.5, 0), (2, 0.5, 1)]), reference=train, seed=0)
    assert (score.value, score.details["distinct"]) == (2, 1)
    assert (score.details["fields_only"], score.details["fields_only_distinct"]) == (3, 1)
    assert (score.details["validation_share"], score.baseline) == (0.5, 2.0)


@pytest.mark.parametrize("largest", [2**62, 64])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_row_numbers_are_equal_exactly_where_rows_are_equal(largest, data):
    """Also where the fields together overflow an integer and must be numbered anew (here from 64 on)."""
    fields = tuple(Field(f"f{i}", vocabulary=tuple("abcdefg")) for i in range(5))
    values = data.draw(st.lists(st.tuples(*[st.integers(0, 7)] * 5), min_size=1, max_size=40))
    both = [values, values[::-1]]
    tables = [Table(pd.DataFrame(v, columns=[f.name for f in fields], dtype=np.int32), Schema(fields)) for v in both]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "LARGEST", largest)
        numbers = np.concatenate(number_rows(*tables))
    everything = values + values[::-1]
    assert len(set(numbers.tolist())) == len(set(everything))
    assert len(set(zip(numbers.tolist(), everything, strict=True))) == len(set(everything))


def test_wide_fields_do_not_collide():
    """Ten fields of a billion values each: a product far beyond 64 bits."""
    fields = tuple(Field(f"f{i}", "numeric") for i in range(3)) + tuple(Field(f"c{i}") for i in range(7))
    rng = np.random.default_rng(0)
    n = 5_000
    frame = pd.DataFrame(
        {f.name: rng.random(n) if f.kind == "numeric" else rng.integers(0, 10**9, n, np.int32) for f in fields}
    )
    everything = Table(frame, Schema(fields), np.ones(n, np.int8))
    one_off = frame.copy()
    one_off["c6"] += 1
    copies = Table(one_off, Schema(fields), np.ones(n, np.int8))
    numbers, others = number_rows(everything, copies)
    assert count_matches(numbers, others).rows == 0
    assert count_matches(numbers, numbers[::-1]) == _rows.Matches(n, n)


def test_row_numbers_of_named_fields_ignore_the_others():
    first, second = number_rows(table([(1, 0.5, 0)]), table([(1, 0.7, 0), (2, 0.5, 0)]), fields=["user"])
    assert second[0] == first[0] != second[1]
    assert number_rows(table([]), table([]))[0].shape == (0,)


def test_labels_split_equal_rows():
    (rows_,) = number_rows(t := table([(1, 0.5, 0), (1, 0.5, 1)]))
    assert rows_[0] == rows_[1]
    assert len(np.unique(with_labels(rows_, t))) == 2


def test_metrics_leave_their_tables_alone():
    tables = [table([(1, 0.5, 1), (2, 0.1, 0)]) for _ in range(3)]
    before = [t.digest() for t in tables]
    Identical().score(tables[0], train=tables[1], holdout=tables[2], reference=tables[2], seed=3)
    assert [t.digest() for t in tables] == before


def auc_by_pairs(labels, probabilities):
    pairs = [
        (p, q)
        for p, x in zip(probabilities, labels, strict=True)
        if x
        for q, y in zip(probabilities, labels, strict=True)
        if not y
    ]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2, max_size=40)
)
@settings(max_examples=100, deadline=None)
def test_auc_is_the_share_of_pairs_ranked_right_with_ties_half(data):
    labels, probabilities = [list(part) for part in zip(*data, strict=True)]
    if len(set(labels)) == 1:
        with pytest.raises(Skip, match="both classes"):
            Auc().score(predictions(labels, probabilities))
    else:
        value = Auc().score(predictions(labels, probabilities)).value
        assert value == pytest.approx(auc_by_pairs(labels, probabilities), abs=1e-12)


def test_auc_separates_neighbouring_floats():
    """Ranks must not be found by rounding: 0.5 and the next float are no tie."""
    assert Auc().score(predictions([0, 1], [0.5, np.nextafter(0.5, 1)])).value == 1.0
    assert Auc().score(predictions([0, 1], [1e-300, 2e-300])).value == 1.0


def test_the_oracle_stands_beside_the_score_where_the_truth_is_known():
    known = predictions([0, 1, 0, 1], [0.6, 0.5, 0.2, 0.9], truth=[0.1, 0.9, 0.2, 0.8])
    assert Auc().score(known).value == 0.75
    assert Auc().score(known).details == {"oracle": 1.0}
    assert Logloss().score(known).details["oracle"] == pytest.approx(-np.log([0.9, 0.9, 0.8, 0.8]).mean())
    assert "oracle" not in Auc().score(replace(known, true_probabilities=None)).details


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.001, 0.999)), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_logloss_is_the_mean_negative_log_likelihood(data):
    labels, probabilities = [list(part) for part in zip(*data, strict=True)]
    by_hand = -np.mean([math.log(p if y else 1 - p) for y, p in data])
    score = Logloss().score(predictions(labels, probabilities))
    assert score.value == pytest.approx(by_hand, rel=1e-9)
    assert score.details["clipped"] == 0


def test_logloss_clips_certainty_and_says_how_often():
    score = Logloss().score(predictions([0, 1, 1], [1.0, 1.0, 0.5]))
    assert score.value == pytest.approx((-math.log(2.0**-52) + math.log(2)) / 3)
    assert score.details["clipped"] == 2


def test_logloss_of_nothing_is_skipped():
    with pytest.raises(Skip):
        Logloss().score(predictions([], []))
