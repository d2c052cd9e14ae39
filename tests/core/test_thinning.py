"""Splits of which only a share of train is seen: which rows, which values, and what the rest becomes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ctrbench import MISSING, PRESENT, Field, Schema, Splits, Table, UserError
from ctrbench.contract import check_splits
from ctrbench.thinning import thinned
from ctrbench_metrics.membership import Membership
from toys import log

WHOLE = Splits(log(400, 1), log(80, 2), log(90, 3), true_probabilities={"train": np.linspace(0, 1, 400)})


def rows(table: Table) -> list[tuple[str, ...]]:
    """The rows as values, not as codes."""
    values = [np.array(("(unseen)", *(field.vocabulary or ())), object) for field in table.schema.categorical]
    return [tuple(of[code] for of, code in zip(values, codes, strict=True)) for codes in table.codes]


def test_a_share_keeps_the_click_rate_and_is_a_part_of_every_larger_one() -> None:
    few, many = (thinned(WHOLE, share, seed=5, source="log") for share in (0.05, 0.5))
    for made, share in ((few, 0.05), (many, 0.5)):
        assert np.bincount(made.train.targets).tolist() == [
            round(share * count) for count in np.bincount(WHOLE.train.targets)
        ]
        check_splits(made)
    assert Counter(rows(few.train)) <= Counter(rows(many.train)) <= Counter(rows(WHOLE.train))
    assert few.fingerprint != many.fingerprint
    assert (
        few.fingerprint
        == thinned(WHOLE, 0.05, seed=5, source="log").fingerprint
        != thinned(WHOLE, 0.05, seed=6, source="log").fingerprint
    )
    assert few.notes == ("20 of 400 rows of train are seen, by generators, models and metrics alike",)


def test_values_that_the_drawn_rows_lack_are_unseen_and_all_others_stay_what_they_were() -> None:
    made = thinned(WHOLE, 0.01, seed=5, source="log")
    for field in made.train.schema.categorical:
        assert set(made.train.rows[field.name]) == set(range(1, field.vocab_size))
    kept = {value for row in rows(made.train) for value in row}
    for before, after in zip(rows(WHOLE.test), rows(made.test), strict=True):
        assert all(
            now == then or (now == "(unseen)" and then not in kept) for then, now in zip(before, after, strict=True)
        )
    assert "(unseen)" in {value for row in rows(made.test) for value in row}


def test_true_probabilities_stay_with_their_rows() -> None:
    numbered = replace(WHOLE, train=replace(WHOLE.train, labels=np.tile(np.array([0, 1], np.int8), 200)))
    truth = thinned(numbered, 0.1, seed=5, source="log").true_probabilities["train"]
    assert len(truth) == 40
    assert set(truth) <= set(WHOLE.true_probabilities["train"])


def test_a_field_that_says_where_numbers_are_missing_keeps_its_two_values() -> None:
    fields = (
        Field("age", "numeric", missing_indicator="age known", imputed=3.0),
        Field("age known", vocabulary=(MISSING, PRESENT)),
    )
    known = np.array([2] * 39 + [1], np.int32)
    frame = pd.DataFrame({"age": np.where(known == 1, 3.0, 9.0), "age known": known})
    table = Table(frame, Schema(fields), np.tile(np.array([0, 1], np.int8), 20))
    made = thinned(Splits(table, table, table), 0.1, seed=1, source="log")
    assert made.train.schema == table.schema
    assert made.test.missing(fields[0]).tolist() == (known == 1).tolist()


def test_a_share_without_a_click_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"^log: train share 0.001: of \d+ negatives none is left; take a larger share"):
        thinned(WHOLE, 0.001, seed=1, source="log")


def test_what_was_noted_of_all_rows_is_not_said_of_those_that_are_left() -> None:
    found = thinned(replace(WHOLE, notes=("train has 90 positives",)), 0.1, seed=1, source="log").notes
    assert found[0].startswith("40 of 400 rows of train are seen")
    assert found[1] == "of all its rows: train has 90 positives"


def test_a_field_may_be_called_self() -> None:
    """What passes columns as keyword arguments meets a method's own."""
    schema = Schema((Field("self", vocabulary=tuple("abc")),))
    frame = pd.DataFrame({"self": np.arange(300, dtype=np.int32) % 3 + 1})
    whole = Splits(*[Table(frame, schema, (np.arange(300) % 2).astype(np.int8))] * 3)
    assert thinned(whole, 0.5, seed=1, source="log").train.rows["self"].max() == 3
    pool = Table(frame, schema, whole.train.labels)
    score = Membership().score(pool, train=whole.train, holdout=whole.valid, reference=whole.test, seed=1)
    assert 0 <= score.value <= 1
