"""Columns as they are read, before anything is learnt from them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ctrbench.columns import Column, Rows, as_text, of_same_values, text_numbers


def test_decimals_become_the_nearest_numbers():
    texts = [f"{n / 100:.2f}" for n in range(2000)]
    column = pa.array(texts).cast(pa.decimal128(10, 2))
    assert Rows.of(pa.table({"x": column})).numbers("x").tolist() == [float(text) for text in texts]


def test_some_rows_keep_the_names_of_all() -> None:
    some = Rows.of(pa.table({"x": ["b", None, "a", "007", "b", "a"]})).split(np.array([5, 0, 1]))
    column = some.column("x")
    assert column.values[column.codes[:2]].tolist() == ["a", "b"]
    assert column.codes[2] == -1
    assert (some.row(0), some.value("x", 0), some.value("x", 2)) == ("row 6", "'a'", "nan")
    assert Rows.of(pd.DataFrame({"x": [1]}, index=["first"])).row(0) == "row first"


def test_numbers_that_are_written_alike_are_one_value() -> None:
    for values in (pd.Series([1, 1.0, 2.5], dtype=object), pa.array([1.0, 1.0, 2.5])):
        column = Column.of(values)
        assert column.values.tolist() == ["1", "2.5"]
        assert column.counts.tolist() == [2, 1]


def test_a_column_of_compound_values_is_refused() -> None:
    for values in (pd.Series([[1], [2]]), pa.array([[1], [2]])):
        with pytest.raises(TypeError, match="holds lists or other compound values"):
            Column.of(values)


def test_a_number_and_its_text_meet() -> None:
    texts, numbers = as_text([pa.array(["1.0", "007", None]), pa.array([1, 7])], "column 'x'")
    assert texts.to_pylist() == ["1", "007", None]
    assert numbers.to_pylist() == ["1", "7"]


def test_texts_are_numbers_where_they_are_written_as_such() -> None:
    assert text_numbers(["1", " -2.5e1", "Yes", "no", "1_0", "x"]).tolist() == [1, -25, 1, 0, np.inf, np.inf]
    assert text_numbers(["1,5", "1.5"], ",").tolist() == [1.5, np.inf]


def test_a_frames_decimal_point_is_that_of_its_texts() -> None:
    for values in (["1,5", "2.5", "yes"], pd.array(["1,5", "2.5", "yes"], dtype="string")):
        rows = Rows.of(pd.DataFrame({"x": values}))
        assert rows.numbers("x", ",").tolist() == [1.5, np.inf, np.inf]
        assert Rows.of(pd.DataFrame({"x": values})).numbers("x").tolist() == [np.inf, 2.5, np.inf]


@pytest.mark.parametrize(("texts", "numbers"), [(["yes", "0", "No"], [1, 0, 0]), (["no", "2"], [np.inf, 2])])
def test_yes_and_no_are_numbers_beside_0_and_1_alone(texts: list[str], numbers: list[float]) -> None:
    for values in (pd.Series(texts), pa.array(texts)):
        assert Rows.of({"x": values}).numbers("x").tolist() == numbers


def test_texts_that_are_all_floats_are_numbers_and_others_stay() -> None:
    floats, mixed, decimals = (pa.array(texts) for texts in (["1.0", "2.5"], ["1.0", "1"], ["1.50", "2.25"]))
    of = [
        of_same_values([Column.of(texts), Column.of(texts)])[0].values.tolist() for texts in (floats, mixed, decimals)
    ]
    assert of == [["1", "2.5"], ["1.0", "1"], ["1.50", "2.25"]]


def test_a_word_beside_floats_in_one_split_leaves_their_values_together() -> None:
    train, test = of_same_values([Column.of(pa.array(texts)) for texts in (["1.0", "2.5"], ["1.0", "NA", "2.0"])])
    assert train.values[train.codes].tolist() == ["1", "2.5"]
    assert test.values[test.codes].tolist() == ["1", "NA", "2"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(pa.array([120000, 10]), id="numbers"),
        pytest.param(pa.array(["0.5", "1.25"]), id="texts of floats"),
    ],
)
def test_texts_that_are_two_values_in_one_column_are_two_beside_another(other) -> None:
    texts = ["120000", "120000.0", "12e4", "1.10", "1.1", "10"]
    found, _ = of_same_values([Column.of(pa.array(texts)), Column.of(other)])
    assert found.values[found.codes].tolist() == texts


DAY = datetime(2026, 1, 2)
NOON = datetime(2026, 1, 3, 12)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        pytest.param(pa.array([DAY]), pa.array([NOON, DAY]), "2026-01-02 00:00:00", id="time of day"),
        pytest.param(pa.array([DAY.date()]), pa.array([DAY, DAY]), "2026-01-02", id="dates and times"),
        pytest.param(
            pa.array([DAY], pa.timestamp("us", "UTC")),
            pa.array([DAY.replace(microsecond=1500), DAY], pa.timestamp("ns", "UTC")),
            "2026-01-02 00:00:00.000000+00:00",
            id="fractions",
        ),
        pytest.param(pa.array([Decimal("2.00")]), pa.array([Decimal("1.5000"), Decimal("2")]), "2", id="scales"),
        pytest.param(pa.array([Decimal("2.00")], pa.decimal32(5, 2)), pa.array([1.5, 2.0]), "2", id="numbers"),
        pytest.param(pa.array([Decimal("2.50")]), pa.array(["1.0", "2.5"]), "2.5", id="texts"),
        pytest.param(pa.array([True]), pa.array(["false", "true"]), "True", id="truth values"),
        pytest.param(pa.array(["-0.0", "0.0", "1.0"]), pa.array(["1", "0"]), "0", id="zeros"),
    ],
)
def test_a_value_that_two_columns_write_in_two_ways_is_one(one: pa.Array, other: pa.Array, said: str) -> None:
    first, second = of_same_values([Column.of(one), Column.of(other)])
    assert first.values[first.codes[0]] == second.values[second.codes[-1]] == said


def test_times_have_as_many_digits_as_pandas_writes() -> None:
    for times in (["2026-01-01 00:00:00.5", "2026-01-02"], ["2026-01-01 00:00:00.00005", "2026-01-02 01:00"]):
        frame = pd.DataFrame({"t": pd.to_datetime(times, format="ISO8601")})
        written = frame.to_csv(index=False).splitlines()[1:]
        assert Column.of(frame["t"]).values.tolist() == written


def test_a_dictionary_that_holds_a_value_twice_is_read_as_one_value() -> None:
    column = Column.of(pa.DictionaryArray.from_arrays([0, 1, 2], ["a", "b", "a"]))
    assert (column.codes.tolist(), column.values.tolist()) == ([0, 1, 0], ["a", "b"])


def test_parts_whose_small_dictionaries_differ_are_one_column() -> None:
    parts = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), pa.array(range(start, start + 100)))
        for start in (0, 100)
    ]
    column = Column.of(pa.chunked_array(parts))
    assert column.values[column.codes].tolist() == [str(n) for n in range(200)]


@pytest.mark.filterwarnings("error")
def test_half_floats_are_the_same_values_in_a_dictionary() -> None:
    halves = pa.array(np.array([0.1, 2, 0.1], np.float16))
    of_dictionary = pa.DictionaryArray.from_arrays([0, 1, 0], halves[:2])
    assert Column.of(of_dictionary).values.tolist() == Column.of(halves).values.tolist()


def test_months_and_uuids_are_read_as_they_are_written() -> None:
    months = pa.Array.from_pandas(pd.Series(pd.PeriodIndex(["2026-01", "2026-02"], freq="M")))
    assert Column.of(months).values.tolist() == ["2026-01", "2026-02"]
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([UUID(int=7).bytes, None], pa.binary(16)))
    column = Column.of(ids)
    assert (column.codes.tolist(), column.values.tolist()) == ([0, -1], [str(UUID(int=7))])


def test_texts_of_numbers_are_the_nearest_numbers() -> None:
    numbers = np.random.default_rng(1).random(500).tolist()
    rows = Rows.of(pd.DataFrame({"x": [str(number) for number in numbers]}))
    assert rows.numbers("x").tolist() == numbers


def test_the_empty_text_is_no_number_and_missing() -> None:
    for values in (["1", "", "2.5"], pd.Categorical(["1", "", "2.5"]), pa.array(["1", "", "2.5"])):
        numbers = Rows.of({"x": values} if isinstance(values, pa.Array) else pd.DataFrame({"x": values})).numbers("x")
        assert np.array_equal(numbers, [1, np.nan, 2.5], equal_nan=True)


def test_the_empty_text_is_missing() -> None:
    column = Column.of(pa.array(["a", "", "b", None, "a"]))
    assert (column.codes.tolist(), column.values.tolist()) == ([0, -1, 1, -1, 0], ["a", "b"])
