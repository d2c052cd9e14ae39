"""From raw frames to coded tables, and the one-line errors on the way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ctrbench import MISSING, PRESENT, RARE, Field, Schema, Splits, UserError
from ctrbench.columns import Rows
from ctrbench.encoding import Coding, encode, encode_splits


def frame(values, labels=None, name="x") -> pd.DataFrame:
    labels = np.arange(len(values)) % 2 if labels is None else labels
    return pd.DataFrame({"label": labels, name: values})


def splits(train, valid=None, test=None, kind="categorical", **more) -> Splits:
    train = train if isinstance(train, pd.DataFrame) else frame(train)
    valid = train if valid is None else frame(valid)
    test = train if test is None else frame(test)
    return encode_splits(train, valid, test, label="label", fields=[Field("x", kind, "item")], source="log", **more)


def vocabulary(values) -> tuple[str, ...]:
    return splits(values).train.schema.fields[0].vocabulary


def test_codes_count_from_one_in_trains_sorted_vocabulary_and_unseen_is_zero():
    result = splits(["b", "a", "c", "a"], test=["a", "z", "c"])
    assert result.train.schema.fields[0] == Field("x", "categorical", "item", ("a", "b", "c"))
    assert result.train.rows.x.tolist() == [2, 1, 3, 1]
    assert result.test.rows.x.tolist() == [1, 0, 3]
    assert result.train.rows.x.dtype == np.int32
    assert result.train.labels.dtype == np.int8


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10", "9", "1"], ("1", "9", "10")),
        ([10, 9, 1], ("1", "9", "10")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["-1.5", "1e1", "2"], ("-1.5", "2", "1e1")),
        (["007", "7", "08"], ("007", "7", "08")),
        ([10.0, 9.0, None], ("9", "10", "(missing)")),
        ([2.5, 1.0, 3.0], ("1", "2.5", "3")),
        ([True, False, None], ("False", "True", "(missing)")),
        (["nan", "inf", "1"], ("1", "inf", "nan")),
        (pd.Categorical(["b", "a", None], categories=["unused", "b", "a"]), ("a", "b", "(missing)")),
        (pd.array([10, None, 9], dtype="Int64"), ("9", "10", "(missing)")),
        (pd.array(["x", None, "é"], dtype="string"), ("x", "é", "(missing)")),
        ([2**63 + 1, 2**63 + 3, 5], ("5", str(2**63 + 1), str(2**63 + 3))),
    ],
)
def test_vocabulary_is_sorted_as_numbers_where_all_are_numbers(values, expected):
    assert vocabulary(values) == expected


def test_missing_is_an_entry_of_its_own_only_where_train_has_it():
    assert splits(["a", None, "b"], test=[None, "a"]).test.rows.x.tolist() == [3, 1]
    assert splits(["a", "b"], test=[None, "a"]).test.rows.x.tolist() == [0, 1]


def test_splits_meet_as_text_whatever_type_each_was_read_as():
    result = splits([3, 12, 7], valid=["12", "x", "3"], test=[12.0, None, 7.0])
    assert result.valid.rows.x.tolist() == [3, 0, 1]
    assert result.test.rows.x.tolist() == [3, 0, 2]


def test_numeric_fields_are_float64_and_have_no_vocabulary():
    result = splits(["1", "2.5"], kind="numeric")
    assert result.train.rows.x.tolist() == [1.0, 2.5]
    assert result.train.rows.x.dtype == np.float64
    assert result.train.schema.fields[0].vocabulary is None


def test_labels_may_be_written_as_numbers_text_or_truth_values():
    for labels in ([0, 1], [0.0, 1.0], ["0", "1"], [False, True], ["no", "Yes"], pd.Categorical(["0", "1"])):
        assert splits(frame(["a", "b"], labels)).train.labels.tolist() == [0, 1]


def test_inputs_stay_as_they_were():
    raw = frame(["b", None, "a"])
    before = raw.copy(deep=True)
    splits(raw)
    pd.testing.assert_frame_equal(raw, before)


def test_fresh_rows_are_encoded_under_a_schema_that_exists():
    schema = splits(["a", "b"]).train.schema
    assert encode(frame(["b", "z"]), schema, source="fresh").rows.x.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("train", "kind", "message"),
    [
        (["1", "x"], "numeric", "log, train: field 'x': 'x' in row 1 is not a finite number"),
        ([1.0, -np.inf], "numeric", "-inf in row 1 is not a finite number"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "numeric", "2020-01-01 00:00:00 in row 0 is not a finite"),
        ([1.5, 1.5], "numeric", "no field is left beside the label 'label'; a model needs at least one: field 'x'"),
        (["a", "a"], "categorical", "field 'x' has one value only, 'a', in train: left out"),
        ([None, None], "categorical", "field 'x' has one value only, '(missing)', in train: left out"),
        ([None, np.nan], "numeric", "field 'x' has one value only, '(missing)', in train: left out"),
        ([1, "a", 1], "categorical", "field 'x' mixes types: 1 (int), 'a' (str); write all its values"),
        ([[1], [2]], "categorical", "field 'x' holds lists or other compound values"),
        ([1j, 2.0], "categorical", "field 'x' holds complex numbers; drop it, or give their parts columns"),
        ([1j, 2.0], "numeric", "field 'x' holds complex numbers"),
        (pd.Series([1j, None], dtype=object), "numeric", "field 'x' holds complex numbers"),
        (frame(["a", "b"], [0, 1j]), "categorical", "label 'label' holds complex numbers"),
        (
            frame(["a", "b"], [0, 2]),
            "categorical",
            "label 'label': 2 in row 1 is neither 0 nor 1; mend it, or name a label column of 0 and 1",
        ),
        (frame(["a", "b"], ["ja", "no"]), "categorical", "label 'label': 'ja' in row 0 is neither 0 nor 1"),
        (frame(["a", "b"], [1, None]), "categorical", "label 'label' is missing in row 1; mend or drop the row"),
        (frame(["a", "b"], [0, 0]), "categorical", "log, train: there are no positives (label 1)"),
        (frame(["a", "b"], [1, 1]), "categorical", "log, train: there are no negatives (label 0)"),
        (frame([], []), "categorical", "log, train: the table has no rows"),
        (frame(["a", "b"], name="y"), "categorical", "the field 'x' is not there; the columns are label, y"),
        (
            frame(["a", "b"]).rename(columns={"label": "labels"}),
            "categorical",
            "the label 'label' is not there; did you",
        ),
        (pd.concat([frame([1, 2]), frame([1, 2])[["x"]]], axis=1), "categorical", "has the column 'x' twice"),
    ],
)
def test_unusable_input_is_one_line_that_names_the_value(train, kind, message):
    with pytest.raises(UserError) as caught:
        splits(train, kind=kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fresh_rows_have_missing_numbers_where_train_has_them() -> None:
    schema = splits([1.0, np.nan, 2.0, 4.0], kind="numeric").train.schema
    made = encode(frame([5.0, np.nan]), schema, source="fresh")
    assert made.rows.to_dict("list") == {"x": [5.0, 2.0], "x (missing)": [1, 2]}
    whole = splits([1.0, 3.0, 2.0, 4.0], kind="numeric").train.schema
    with pytest.raises(UserError, match=r"^fresh: field 'x' is missing in row 1; mend or drop the row$"):
        encode(frame([5.0, np.nan]), whole, source="fresh")
    with pytest.raises(UserError, match=r"^fresh: the field 'x' is not there"):
        encode(frame([5.0, 1.0], name="z"), whole, source="fresh")
    words = splits(["a", "b", "a", "b"]).train.schema
    with pytest.raises(UserError, match=r"^fresh: field 'x' holds lists"):
        encode(frame([["a"], ["b"]]), words, source="fresh")


def test_labels_that_are_missing_are_counted() -> None:
    with pytest.raises(UserError, match=r"label 'label' is missing in row 1 and 2 more rows; mend or drop them$"):
        splits(frame(list("abcd"), [1, None, None, None]))


def test_a_class_that_valid_lacks_is_named_with_its_split():
    one_sided = frame(["a", "b"], [0, 0])
    with pytest.raises(UserError, match="log, valid: there are no positives"):
        encode_splits(frame(["a", "b"]), one_sided, frame(["a", "b"]), label="label", fields=[Field("x")], source="log")


def test_a_log_without_fields_or_with_a_field_named_twice_is_refused():
    for fields, message in (([], "no field is left"), ([Field("x"), Field("x")], "name the column 'x' twice")):
        with pytest.raises(UserError, match=message):
            encode_splits(*[frame(["a", "b"])] * 3, label="label", fields=fields, source="log")


def test_few_positives_and_unseen_values_are_noted():
    notes = splits(["a", "b"], test=["y", "z", "a"], notes=["first"]).notes
    assert notes[0] == "first"
    assert "train has 1 positive: below 1,000" in notes[1]
    assert notes[2] == "field 'x': 67% of the test rows hold a value that train lacks"
    assert splits(["a", "b"] * 1000).notes == ()


def test_true_probabilities_stay_outside_the_tables():
    truth = {"test": np.array([0.1, 0.9])}
    result = splits(["a", "b"], true_probabilities=truth)
    assert result.true_probabilities == truth
    assert result.test.schema.names == ("x",)


def test_a_missing_number_is_trains_median_and_a_field_beside_it_says_where():
    result = splits([1.0, None, 3.0, 8.0], test=[None, 2.0], kind="numeric")
    number, indicator = result.train.schema.fields
    assert (number.missing_indicator, number.imputed) == ("x (missing)", 3.0)
    assert indicator == Field("x (missing)", "categorical", "item", (PRESENT, MISSING))
    assert result.train.rows.x.tolist() == [1, 3, 3, 8]
    assert result.test.rows.x.tolist() == [3, 2]
    assert result.test.missing(number).tolist() == [True, False]


def test_a_column_that_is_called_as_the_field_for_missing_numbers_is_refused() -> None:
    log = pd.DataFrame({"y": [0, 1] * 3, "age": [1.0, np.nan, 2, 3, 4, 5], "age (missing)": list("ababab")})
    for label, others in (("y", [Field("age (missing)")]), ("age (missing)", [])):
        renamed = log if label == "y" else log.assign(**{"age (missing)": log.y})
        with pytest.raises(
            UserError, match=r"field 'age': a field 'age \(missing\)' is to say where it is missing; rename"
        ):
            encode_splits(
                renamed, renamed, renamed, label=label, fields=[Field("age", "numeric"), *others], source="log"
            )


def test_of_one_number_with_gaps_the_gaps_alone_are_kept() -> None:
    found = splits([1.0, np.nan, 1.0, 1.0], kind="numeric")
    assert found.train.schema.names == ("x (missing)",)
    assert "a field 'x (missing)' says where 'x' is missing: 25.0% of train" in found.notes
    assert not any("median" in note for note in found.notes)


def test_generators_learn_present_numbers_and_what_they_say_is_missing_is_the_median_again():
    train = splits([1.0, None, 3.0, 8.0] * 50, kind="numeric").train
    drawn = train.drawn(1)
    missing = train.missing(train.schema.fields[0])
    assert set(drawn.rows.x[missing]) == {1.0, 3.0, 8.0}
    assert drawn.rows.x[~missing].tolist() == train.rows.x[~missing].tolist()
    assert drawn.settled().digest() == train.digest()
    whole = splits([1.0, 2.0], kind="numeric").train
    assert whole.drawn(1) is whole
    assert whole.settled() is whole


def test_a_schema_without_missing_numbers_is_written_as_before():
    assert splits([1.0, 2.0], kind="numeric").train.schema.to_json() == (
        '{"fields":[{"name":"x","kind":"numeric","role":"item","vocabulary":null}],"label":"label"}'
    )
    schema = splits([1.0, None, 3.0], kind="numeric").train.schema
    assert Schema.from_json(schema.to_json()) == schema


def test_arrow_tables_and_frames_give_the_same_splits():
    texts, days = ["b", None, "a", "007", "b", "a"], pd.to_datetime(["2026-01-02", None, "2026-01-01"] * 2)
    raw = pd.DataFrame({"label": [0, 1] * 3, "x": texts, "day": days, "hour": days + pd.Timedelta("1h")})
    rows, fields = Rows.of(pa.Table.from_pandas(raw)), [Field("x"), Field("day"), Field("hour")]
    found = encode_splits(rows, rows, rows, label="label", fields=fields, source="log")
    of_frame = encode_splits(raw, raw, raw, label="label", fields=fields, source="log")
    assert found.fingerprint == of_frame.fingerprint
    assert [field.vocabulary for field in of_frame.train.schema.fields[1:]] == [
        ("2026-01-01", "2026-01-02", MISSING), ("2026-01-01 01:00:00", "2026-01-02 01:00:00", MISSING),
    ]  # fmt: skip


def test_rare_values_share_a_code_and_unseen_ones_do_not():
    coding = {"x": Coding(min_count=2)}
    result = splits(["a", "b", "a", "c", "d", None], test=["b", "z", "a"], codings=coding)
    assert result.train.schema.fields[0].vocabulary == ("a", RARE, MISSING)
    assert result.train.rows.x.tolist() == [1, 2, 1, 2, 2, 3]
    assert result.test.rows.x.tolist() == [2, 0, 1]
    assert "field 'x': 3 of 4 values, 50.0% of train's rows, became (rare)" in result.notes
