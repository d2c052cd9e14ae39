"""What plug-ins return becomes plain values of the harness's own types, or one line that names what is wrong."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ctrbench import Context, Field, Forecast, Missing, Schema, Score, Splits, Table
from ctrbench.contract import (
    ContractError,
    check_availability,
    check_fields,
    check_forecast,
    check_probabilities,
    check_score,
    check_splits,
    check_version,
    checked_facts,
)
from toys import ToyLog


class Word(str):
    """A text that is a little more."""


class Count(int):
    """A number that is a little more."""


# Numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, 10**400, "1", None, 1j])
def test_a_score_that_no_mean_could_hold_is_refused(value: Any) -> None:
    with pytest.raises(ContractError, match="the score is"):
        check_score(Score(value))
    with pytest.raises(ContractError, match=r"the score is \[0. 0. .{1,40} \(ndarray\), not a number"):
        check_score(Score(np.zeros(1000)))
    if value == 1e308:
        for odd in (Score(0.5, value), Score(0.5, None, {"low": -value}), Score(0.5, contributions=np.full(2, value))):
            with pytest.raises(ContractError, match=r"baseline is 1e\+308|'low' is -1e\+308|2 finite numbers"):
                check_score(odd, 2)


@pytest.mark.parametrize("value", [float("nan"), np.float64("nan"), float("-inf")])
def test_what_is_not_defined_beside_a_score_is_left_out(value: float) -> None:
    assert check_score(Score(0.5, value, {"low": value, "high": 1})) == Score(0.5, None, {"high": 1.0})


def test_the_ends_of_an_interval_are_in_their_order() -> None:
    assert check_score(Score(0.5, None, {"low": 0.5, "high": 0.5})).details == {"low": 0.5, "high": 0.5}
    with pytest.raises(
        ContractError, match=r"the detail 'low' is 0\.6, above 'high', 0\.4: they are an interval's ends"
    ):
        check_score(Score(0.5, None, {"low": 0.6, "high": 0.4}))


@pytest.mark.parametrize("told", [Forecast("many", None), Forecast(float("nan"), 1), Forecast(1, -1), "many"])  # type: ignore[arg-type]
def test_a_forecast_of_no_numbers_is_refused(told: Any) -> None:
    with pytest.raises(ContractError, match="forecast"):
        check_forecast(told)


def test_facts_are_plain_values_that_any_process_can_read() -> None:
    class Own(int):
        """No other process can make one."""

    odd = {"own": Own(3), "count": Count(4), "word": Word("w"), Word("half"): np.float32(0.5), "yes": True}
    facts = checked_facts(odd | {"huge": 10**5000, "nan": float("nan"), "\udc80": b"x"})
    assert {type(each) for each in [*facts, *facts.values()]} == {str, int, float, bool}
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert facts["own"] == 3
    assert facts["half"] == 0.5
    assert str(facts["huge"]).startswith("ValueError")
    assert type(check_version(Word("1"))) is str


# Data sets


def split(splits: Splits, name: str) -> Table:
    table: Table = getattr(splits, name)
    return table


def code(number: int) -> Callable[[Table], None]:
    def change(table: Table) -> None:
        table.rows.loc[3, "user"] = np.int32(number)

    return change


def wide(table: Table) -> None:
    table.rows["user"] = table.rows["user"].astype("int64")


def half(table: Table) -> None:
    table.rows["user"] = table.rows["user"] + 0.5


@pytest.mark.parametrize("name", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("change", "said"), [(code(7), "outside"), (code(-5), "outside"), (wide, "not int32"), (half, "not int32")]
)
def test_every_split_of_a_data_set_holds_the_contract(name: str, change: Callable[[Table], None], said: str) -> None:
    splits = ToyLog().load(seed=1, context=Context())
    assert check_splits(splits).fingerprint == splits.fingerprint
    change(split(splits, name))
    with pytest.raises(ContractError, match=rf"^{name}.*{said}"):
        check_splits(splits)


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ({"test": np.full(10, 0.5)}, r"shape \(10,\)"),
        ({"test": np.full(100, np.nan)}, "not finite"),
        ({"test": np.full(100, 1.5)}, "not probabilities"),
        ({"te\ud800st": np.full(100, 0.5)}, "not train, valid or test"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(truth: Any, said: str) -> None:
    splits = ToyLog().load(seed=1, context=Context())
    with pytest.raises(ContractError, match=f"true_probabilities.*{said}"):
        check_splits(replace(splits, true_probabilities=truth))


class Lies(Table):
    """Says of itself whatever it likes."""

    def check(self) -> None:
        """Nothing is wrong with it."""

    def digest(self) -> str:
        """Always the same."""
        return "0" * 64


class Forged(Splits):
    """Says that it is another log."""

    fingerprint = "0" * 64  # type: ignore[assignment]


def test_a_data_set_that_says_of_itself_what_it_likes_becomes_one_of_our_own_types() -> None:
    splits = ToyLog().load(seed=1, context=Context())
    own = [Lies(table.rows, table.schema, table.labels) for table in (splits.train, splits.valid, splits.test)]
    found = check_splits(Forged(*own))
    assert {type(found), type(found.train), type(found.test)} == {Splits, Table}
    assert found.fingerprint == splits.fingerprint
    half(own[2])
    with pytest.raises(ContractError, match=r"test: .* is float64, not int32"):
        check_splits(Forged(*own))


def fields(*more: Field, label: Any = "label", **user: Any) -> Schema:
    return Schema((replace(Field("user", role="user", vocabulary=("a", "b")), **user), *more), label)


NUMBER = Field("x", kind="numeric")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (fields(replace(NUMBER, missing_indicator="nobody")), "missing_indicator of 'x' is no categorical field"),
        (fields(replace(NUMBER, missing_indicator="user")), "missing_indicator of 'x' is no categorical field"),
        (fields(replace(NUMBER, imputed=float("nan"))), "imputed number of 'x' is nan"),
        (fields(replace(NUMBER, imputed="zero")), "imputed number of 'x' is zero (str), not a number"),  # type: ignore[arg-type]
        (Schema((), "label"), "there is no field beside the label"),
        (fields(label="user"), "stands twice among the fields and the label"),
        (fields(label=None), "'None' is no name that can be stored"),
        (fields(name="\ud800"), "is no name that can be stored"),
        (fields(name="n" * 100_000), "a name of 100,000 letters is too long"),
        (fields(role="villain"), "the role of 'user' is villain"),
        (fields(vocabulary=None), "the categorical field 'user' has no vocabulary"),
        (fields(replace(NUMBER, kind="odd")), "the kind of 'x' is odd"),  # type: ignore[arg-type]
    ],
)
def test_a_schema_that_others_would_fail_on_is_its_data_sets_failure(schema: Schema, said: str) -> None:
    with pytest.raises(ContractError, match=re.escape(said)):
        check_fields(schema)


@pytest.mark.parametrize("apart", [5, b"time", None, object()])
def test_what_sets_splits_apart_is_a_word(apart: Any) -> None:
    with pytest.raises(ContractError, match="apart must be a word"):
        check_splits(replace(ToyLog().load(seed=1, context=Context()), apart=apart))


# Predictions


def test_probabilities_are_copied_and_none_hides_behind_a_mask() -> None:
    told = np.linspace(0, 1, 5)
    kept = check_probabilities(told, 5)
    told[:] = 7
    assert kept.tolist() == [0, 0.25, 0.5, 0.75, 1]
    hidden = np.ma.masked_array(np.full(5, 7.0), np.ones(5, bool))  # type: ignore[no-untyped-call]
    with pytest.raises(ContractError, match="some values are masked"):
        check_probabilities(hidden, 5)
    with pytest.raises(ContractError, match="contributions: some values are masked"):
        check_score(Score(0.5, contributions=hidden), 5)


@pytest.mark.parametrize("which", ["labels", "weights"])
def test_no_label_and_no_weight_hides_behind_a_mask(which: str) -> None:
    splits = ToyLog().load(seed=1, context=Context())
    rows, schema, labels = splits.test.rows, splits.test.schema, splits.test.labels
    beside: dict[str, Any] = {"labels": labels, "weights": np.ones(len(rows))}
    beside[which] = np.ma.masked_array(beside[which], np.arange(len(rows)) == 3)  # type: ignore[no-untyped-call]
    hidden = Table.unchecked(rows, schema, beside["labels"], beside["weights"])
    with pytest.raises(ContractError, match=f"its {which}: some values are masked"):
        check_splits(replace(splits, test=hidden))


@pytest.mark.parametrize("told", [None, "ready", Missing(None), Missing(""), Missing(" \n")])  # type: ignore[arg-type]
def test_a_data_set_that_is_missing_says_why(told: Any) -> None:
    with pytest.raises(ContractError, match=r"^availability returned (.*, neither Ready|Missing without a reason)"):
        check_availability(told)
    assert check_availability(Missing("fetch it", download=True)) == Missing("fetch it", download=True)


@pytest.mark.parametrize("notes", ["oops", (b"x",), (3,), 5, None])
def test_notes_that_are_no_texts_are_refused(notes: Any) -> None:
    with pytest.raises(ContractError, match="notes"):
        check_splits(replace(ToyLog().load(seed=1, context=Context()), notes=notes))


def test_a_clock_that_is_set_moves_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(deadline=time.time() + 100)
    for jump in (1e6, -1e6):
        monkeypatch.setattr(time, "time", lambda jump=jump: time.monotonic() + jump)
        assert 90 < context.seconds_left <= 100
    assert Context().seconds_left == float("inf")
