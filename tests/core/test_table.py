from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ctrbench import Field, Schema, Table

SCHEMA = Schema((Field("user", vocabulary=("a", "b")), Field("price", "numeric")))


def table(prices: list[float], **more: np.ndarray) -> Table:
    rows = pd.DataFrame({"user": np.array([1, 2, 1], np.int32), "price": prices})
    return Table(rows, SCHEMA, **more)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_numbers_are_finite_wherever_a_table_comes_from(bad: float) -> None:
    assert len(table([1.0, 2.0, 3.0])) == 3
    with pytest.raises(ValueError, match=r"^the numeric field 'price' holds 2 numbers that are not finite$"):
        table([1.0, bad, bad])


def test_labels_are_zeros_and_ones_one_for_each_row() -> None:
    assert table([1.0, 2.0, 3.0], labels=pd.Series([0, 1, 1], dtype="int8")).click_rate == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="labels hold values other than 0 and 1"):
        table([1.0, 2.0, 3.0], labels=np.array([0, 1, 2], np.int8))
    with pytest.raises(ValueError, match=r"labels are int8 \(2,\), not int8 \(3,\)"):
        table([1.0, 2.0, 3.0], labels=np.array([0, 1], np.int8))
    with pytest.raises(ValueError, match=r"labels are a list, not int8 \(3,\)"):
        table([1.0, 2.0, 3.0], labels=[0, 1, 1])


def test_columns_are_the_schemas_in_its_order_and_types() -> None:
    rows = table([1.0, 2.0, 3.0]).rows
    with pytest.raises(ValueError, match=r"columns \['price', 'user'\] are not the schema's"):
        Table(rows[["price", "user"]], SCHEMA)
    with pytest.raises(ValueError, match="the categorical field 'user' is int64, not int32"):
        Table(rows.astype({"user": "int64"}), SCHEMA)


WORDY = Schema((Field("user", vocabulary=[f"ü{n:05}" for n in range(2000)]), Field("price", "numeric")))


def test_a_long_vocabulary_stands_beside_the_outline_of_its_schema_and_is_read_when_somebody_asks() -> None:
    asked: list[int] = []

    def words(place: int) -> pa.Array:
        asked.append(place)
        return pa.array(WORDY.fields[0].vocabulary, pa.string())

    back = Schema.from_json(WORDY.outline(), words)
    assert len(WORDY.outline()) < 300
    assert back == WORDY
    assert back.fields[0].vocab_size == 2001
    assert not asked
    assert back.fields[0].vocabulary == WORDY.fields[0].vocabulary
    assert back.fields[0].vocabulary[3] == "ü00003"
    assert back.to_json() == WORDY.to_json()
    assert asked == [0]


def test_schemas_differ_by_a_word_that_neither_has_read() -> None:
    fields = (replace(WORDY.fields[0], vocabulary=[*WORDY.fields[0].vocabulary[:-1], "another"]), WORDY.fields[1])
    assert Schema.from_json(Schema(fields).outline()) != Schema.from_json(WORDY.outline())
    with pytest.raises(LookupError, match="not at hand"):
        list(Schema.from_json(WORDY.outline()).fields[0].vocabulary)


def test_a_schema_is_written_as_it_always_was() -> None:
    told = [dict(list(vars(field).items())[:4]) for field in WORDY.fields]
    told[0]["vocabulary"] = list(WORDY.fields[0].vocabulary)
    text = json.dumps({"fields": told, "label": "label"}, ensure_ascii=False, separators=(",", ":"))
    assert WORDY.to_json() == text
    assert Schema.from_json(text) == WORDY


def test_a_table_goes_to_another_process_with_its_words() -> None:
    sent = Table(table([1.0, 2.0, 3.0]).rows, WORDY, np.array([0, 1, 0], np.int8))
    before = sent.digest()
    assert pickle.loads(pickle.dumps(sent)).digest() == before


def test_stacked_rows_are_those_of_their_tables_and_copied_only_when_asked_for() -> None:
    first = table([1.0, 2.0, 3.0], labels=np.array([0, 1, 0], np.int8))
    both = Table.concat([first, first.view(np.array([2, 0]))])
    assert "rows" not in vars(both)
    assert both.column("price").tolist() == [1.0, 2.0, 3.0, 3.0, 1.0]
    assert len(both) == 5
    assert both.take(np.array([4, 3])).targets.tolist() == [0, 0]
    assert both.take(np.array([4, 0, -2])).rows["price"].tolist() == [1.0, 1.0, 3.0]
    assert both.take(np.array([False, True, False, True, False])).rows["user"].tolist() == [2, 1]
    assert both.take(np.array([4], np.uint8)).rows["price"].tolist() == [1.0]
    with pytest.raises(IndexError, match=r"from 0 to 5.* 5 rows"):
        both.take(np.array([0, 5]))
    assert "rows" not in vars(both)
    assert both.rows["user"].tolist() == [1, 2, 1, 1, 1]
    assert both.without_labels().rows.equals(both.rows)
    both.rows.loc[0, "price"] = 7.0
    assert first.rows["price"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("carried", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])
def test_stacked_rows_are_carried_and_copied_like_any_others(carried: Callable[[Table], Table]) -> None:
    labels, weights = np.array([0, 1, 0], np.int8), np.array([1, 2, 1], np.float32)
    both = Table.concat([table([1.0, 2.0, 3.0], labels=labels, weights=weights)] * 2)
    assert carried(both).digest() == both.digest()


def test_a_view_of_rows_without_labels_has_none() -> None:
    assert table([1.0, 2.0, 3.0]).view(np.array([2, 0])).labels is None
