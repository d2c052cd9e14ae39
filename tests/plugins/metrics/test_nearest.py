"""Nearest rows: both ways of finding them against a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import MISSING, PRESENT, Field, Schema, Table
from ctrbench_metrics import _nearest
from ctrbench_metrics._nearest import count_near, encode, find_nearest, find_nearest_weighted
from hypothesis import given, settings
from hypothesis import strategies as st

FIELDS = 4
WAYS = {"subsets": 1.0, "pairs": 0.0}  # seconds that comparing one field is said to take
codes = st.lists(st.tuples(*[st.integers(0, 3)] * FIELDS), max_size=25)


def array(rows: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(rows, np.int32).reshape(-1, FIELDS)


def apart(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (rows[:, None] != others[None]).sum(axis=2)


@pytest.mark.parametrize("way", WAYS)
@given(rows=codes, others=codes)
@settings(max_examples=100, deadline=None)
def test_both_ways_find_what_a_plain_comparison_finds(way, rows, others):
    rows, others = array(rows), array(others)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_nearest, "COMPARE", WAYS[way])
        patch.setattr(_nearest, "OTHERS", 7)  # several blocks
        found, counts = find_nearest(rows, others), count_near(rows, others, 2)
    nobody = np.full((len(rows), 2), FIELDS + 1)
    expected = np.sort(np.column_stack([apart(rows, others), nobody]), axis=1)
    assert found.first.tolist() == expected[:, 0].tolist()
    assert found.second.tolist() == expected[:, 1].tolist()
    if len(others):
        assert (rows != others[found.record]).sum(axis=1).tolist() == expected[:, 0].tolist()
    else:
        assert (found.record == -1).all()
    assert counts.tolist() == [[int((each == d).sum()) for d in range(3)] for each in apart(rows, others)]


@given(rows=codes, others=codes.filter(len))
@settings(max_examples=50, deadline=None)
def test_weighted_distances_are_sums_of_the_weights_of_differing_fields(rows, others):
    rows, others, weights = array(rows), array(others), np.array([5.0, 0.0, 2.5, 2.5])
    found = find_nearest_weighted(rows, others, weights)
    whole = (rows[:, None] != others[None]) @ (weights * 6_000).astype(int)
    assert found.first.tolist() == whole.min(axis=1, initial=65_535).tolist()
    assert found.second.tolist() == np.sort(np.pad(whole, ((0, 0), (0, 1)), constant_values=65_535))[:, 1].tolist()


def test_rows_too_wide_to_number_are_compared_pair_by_pair():
    """Their numbers would not fit into 62 bits."""
    rng = np.random.default_rng(1)
    others = rng.integers(0, 2**31 - 1, (50, 6)).astype(np.int32)
    rows = others[::-1].copy()
    rows[:, 2] = 5
    found = find_nearest(rows, others)
    assert (found.first == 1).all()
    assert found.record.tolist() == list(range(49, -1, -1))


def test_numbers_are_equal_where_they_share_a_bin_of_train():
    schema = Schema((Field("who", vocabulary=("a", "b")), Field("price", "numeric")))

    def table(prices: list[float]) -> Table:
        frame = pd.DataFrame({"who": np.ones(len(prices), np.int32), "price": prices})
        return Table(frame, schema, np.zeros(len(prices), np.int8))

    train, other = encode(table(np.arange(1000.0).tolist()), table([-5.0, 3.0, 48.0, 51.0, 998.0, 1e9]))
    assert np.bincount(train[:, 1]).tolist() == [50] * 20
    assert other[:, 1].tolist() == [0, 0, 0, 1, 19, 19]
    assert other[:, 0].tolist() == [1] * 6
    constant, _ = encode(table([2.0] * 9), table([2.0]))
    assert len(np.unique(constant[:, 1])) == 1


def test_numbers_of_which_train_knows_none_are_all_missing():
    fields = (
        Field("age", "numeric", missing_indicator="age known", imputed=3.0),
        Field("age known", vocabulary=(MISSING, PRESENT)),
    )
    known = np.array([1, 1, 2], np.int32)
    table = Table(pd.DataFrame({"age": [3.0, 3.0, 7.0], "age known": known}), Schema(fields), np.zeros(3, np.int8))
    train, other = encode(table.take(np.array([0, 1])), table)
    assert train[0, 0] == train[1, 0] == other[0, 0] != other[2, 0]


@pytest.mark.parametrize("rare", [[0.0], [1.0], [-3.0, 5.0]])
def test_a_frequent_number_hides_no_rarer_one_on_either_side(rare: list[float]) -> None:
    """With 3 % of them on one side the quantiles are all the frequent number."""
    usual = 1.0 if rare == [0.0] else 0.0
    schema = Schema((Field("flag", "numeric"),))
    rows = np.full(100, usual)
    rows[: 3 * len(rare)] = np.repeat(rare, 3)
    table = Table(pd.DataFrame({"flag": rows}), schema, np.zeros(100, np.int8))
    [codes, _] = encode(table, table)
    assert len(np.unique(codes)) == 1 + len(rare)


def test_numbers_without_frequent_ones_fall_into_twenty_bins_of_equal_mass() -> None:
    schema = Schema((Field("price", "numeric"),))
    table = Table(pd.DataFrame({"price": np.random.default_rng(2).random(2000)}), schema, np.zeros(2000, np.int8))
    [codes, _] = encode(table, table)
    assert np.bincount(np.unique(codes, return_inverse=True)[1].ravel()).tolist() == [100] * 20
