"""A user's own log: formats, splits, kinds and roles of columns, and the mistakes one can make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Missing, Ready, Splits, UserError
from ctrbench_datasets.csv_log import CsvLog


def raw(rows: int = 100) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": np.arange(rows)[::-1],
            "uid": rng.integers(10, size=rows),
            "ad": [f"ad{n % 7}" for n in range(rows)],
            "price": rng.integers(1, 90, rows) / 4,
            "click": np.arange(rows) % 2,
        }
    )


def written(folder: Path, frame: pd.DataFrame | str, name: str = "log.csv") -> str:
    path = folder / name
    if isinstance(frame, str):
        path.write_text(frame)
    elif name.endswith(".parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return str(path)


def load(path: str, seed: int = 1, **parameters) -> Splits:
    given = {"label": "click", "numeric": "price"} | parameters
    return CsvLog(path=path, **given).load(seed=seed, context=Context())


def test_roles_and_kinds_are_as_named_and_other_columns_are_categorical_context(tmp_path):
    log = load(written(tmp_path, raw()), user="uid", item=("ad", "price"), drop="when")
    assert [(f.name, f.kind, f.role) for f in log.train.schema.fields] == [
        ("uid", "categorical", "user"),
        ("ad", "categorical", "item"),
        ("price", "numeric", "item"),
    ]
    assert log.train.schema.fields[0].vocabulary == tuple(map(str, range(10)))
    assert log.train.schema.label == "click"


@pytest.mark.parametrize("name", ["log.parquet", "log.tsv", "log.csv.gz"])
def test_formats_hold_the_same_log(tmp_path, name):
    expected = load(written(tmp_path, raw()), drop="when")
    assert load(written(tmp_path, raw(), name), drop="when").fingerprint == expected.fingerprint


def test_times_say_what_they_are_not(tmp_path):
    frame = raw()
    plain = load(written(tmp_path, frame), time="when", split="time")
    assert any("'when' are no dates and no epochs: rows are put in their order" in note for note in plain.notes)
    with pytest.raises(UserError, match="holds no dates and no epochs, so gap=1d cannot be; say it as a number alone"):
        load(written(tmp_path, frame), time="when", split="time", gap="1d")
    frame["when"] = ["1970-01-01", *["2026-01-31"] * 99]
    dated = load(written(tmp_path, frame), time="when", split="time")
    assert any("1 value of time 'when' before 1973, and most are later: first in row 1" in note for note in dated.notes)
    assert any("cuts among 99 rows of one time" in note for note in dated.notes)


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        (["1.904", "2.250", "12.125", "30", "664"], True),
        (["1.904", "2.250", "0.125", "30", "664"], False),
        (["1.904", "2.250", "12.125", "30", "1664"], False),
        (["1.904", "2.250", "12.125"], False),
    ],
)
def test_points_that_may_part_thousands_are_noted(tmp_path, values, noted):
    log = load(written(tmp_path, raw().assign(price=values * (100 // len(values)) + values[: 100 % len(values)])))
    assert any("if its point parts thousands" in note for note in log.notes) == noted


def test_a_number_below_1_with_a_comma_is_a_decimal_and_others_are_asked_about(tmp_path):
    prices = load(written(tmp_path, raw().assign(price=["0,125", "2,250"] * 50)), drop="when")
    assert prices.train.rows["price"].max() == 2.25
    with pytest.raises(UserError, match='or say decimal="," where its comma is a decimal point'):
        load(written(tmp_path, raw().assign(price=["1,125", "2,250"] * 50)), drop="when")


def test_ratios_share_out_all_rows_by_the_seed(tmp_path):
    path = written(tmp_path, raw())
    log = load(path)
    assert [len(table) for table in (log.train, log.valid, log.test)] == [80, 10, 10]
    assert load(path, ratios=(0.5, 0.3, 0.2)).valid.rows.shape == (30, 3)
    assert log.train.schema.names == ("uid", "ad", "price"), "every value of `when` occurs once"
    prices = [price for table in (log.train, log.valid, log.test) for price in table.rows.price]
    assert sorted(prices) == sorted(raw().price)
    assert load(path).fingerprint == log.fingerprint
    assert load(path, seed=2).fingerprint != log.fingerprint


@pytest.mark.parametrize("when", [lambda n: n, lambda n: n * 1e9, lambda n: f"2024-01-{n // 24 + 1:02}T{n % 24:02}:00"])
def test_a_time_column_puts_the_oldest_rows_into_train(tmp_path, when):
    frame = raw()
    frame["price"] = frame.when.astype(float)
    frame["when"] = frame.when.map(when)
    log = load(written(tmp_path, frame), time="when")
    assert "when" not in log.train.schema.names
    assert log.train.rows.price.tolist() == list(range(80))
    assert log.valid.rows.price.tolist() == list(range(80, 90))
    assert load(written(tmp_path, frame), seed=2, time="when").fingerprint == log.fingerprint


def test_a_folder_of_three_files_is_split_already(tmp_path):
    frame = raw()
    frame.loc[99, "ad"] = "new"
    written(tmp_path, frame[:60], "train.csv")
    written(tmp_path, frame[60:80], "valid.parquet")
    written(tmp_path, frame[80:], "test.csv")
    log = load(str(tmp_path), drop="when")
    assert [len(table) for table in (log.train, log.valid, log.test)] == [60, 20, 20]
    assert log.test.rows.ad.tolist()[-1] == 0
    for extra in ({"time": "when"}, {"ratios": (0.5, 0.3, 0.2)}):
        with pytest.raises(UserError, match="a folder is split already; leave out time and ratios"):
            load(str(tmp_path), **extra)


def test_test_rows_in_files_of_parts_never_train_and_what_is_left_out_of_the_folder_is_noted(tmp_path):
    frame = raw()
    written(tmp_path, frame[:60], "train-00000-of-00002.parquet")
    written(tmp_path, frame[60:80], "train-00001-of-00002.parquet")
    written(tmp_path, frame[80:], "test-00000-of-00001.parquet")
    written(tmp_path, frame, "old.csv.1")
    log = load(str(tmp_path), drop="when")
    assert len(log.test) == 20
    assert any("is split by the names of its files" in note for note in log.notes)
    assert any("by name: old.csv.1;" in note for note in log.notes)


def test_text_stays_as_it_is_written_and_only_an_empty_value_is_missing(tmp_path):
    lines = [f"{n % 2},{('007', '7', 'NA', '')[n % 4]}" for n in range(200)]
    log = load(written(tmp_path, "\n".join(["click,code", *lines])), numeric=())
    assert log.train.schema.fields[0].vocabulary == ("007", "7", "NA", "(missing)")


def test_categorical_fields_that_look_like_something_else_are_noted(tmp_path):
    frame = raw()
    frame.loc[:9, "when"] = 50
    frame["paid"] = [f"${n % 50}.5" for n in range(len(frame))]
    frame["cost"] = ["NA" if n % 9 == 0 else f"{n % 7}.5" for n in range(len(frame))]
    frame["sold"] = [f"{n % 7:},250" if n % 7 else "12" for n in range(len(frame))]
    frame["size"] = [("1,5", "2,3", "12,75")[n % 3] for n in range(len(frame))]
    frame["word"] = [("NA", "1.5", "x")[n % 3] for n in range(len(frame))]
    notes = load(written(tmp_path, frame), numeric=()).notes
    assert "field 'price' is categorical and holds numbers with fractions: numeric=price would make it numeric" in notes
    assert (
        "field 'cost' is categorical and holds numbers with fractions beside words for what is missing: missing=NA and "
        "numeric=cost would make it numeric"
    ) in notes
    assert (
        "field 'sold' is categorical and holds commas that may part thousands: take them out, and numeric=sold makes "
        "it numeric"
    ) in notes
    assert not any("'size'" in note or "'word'" in note for note in notes)
    assert any("'paid' is categorical and holds amounts with a currency's sign" in note for note in notes)
    assert (
        "field 'when' is categorical and hardly holds a value twice in 80 rows of train: drop=when leaves it out"
        in notes
    )
    assert not any("'uid'" in note or "'ad'" in note for note in notes)


def test_availability_says_what_is_lacking_without_reading(tmp_path):
    assert CsvLog().availability() == Missing("needs a file: csv_log[path=log.csv]")
    assert CsvLog(path=written(tmp_path, "")).availability() == Ready()
    absent = CsvLog(path=str(tmp_path / "no.csv")).availability()
    assert isinstance(absent, Missing)
    assert "is not there or may not be read" in absent.reason
    assert not absent.download
    written(tmp_path, raw(), "train.csv")
    lacking = CsvLog(path=str(tmp_path)).availability()
    assert isinstance(lacking, Missing)
    assert "has no readable test file beside those of other splits" in lacking.reason
    written(tmp_path, raw(), "train.parquet")
    double = CsvLog(path=str(tmp_path)).availability()
    assert isinstance(double, Missing)
    assert "both train.csv and train.parquet" in double.reason
    with pytest.raises(UserError, match="csv_log: needs a file"):
        CsvLog().load(seed=1, context=Context())


def test_version_follows_the_files_content(tmp_path):
    path = written(tmp_path, raw())
    before = CsvLog(path=path).version()
    assert len(before) == 64
    assert CsvLog(path=written(tmp_path, raw(), "copy.csv")).version() == before
    written(tmp_path, raw(99))
    assert CsvLog(path=path).version() != before
    assert CsvLog().version() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; it needs a header and rows"),
        ("a,b\n0,1\n", "label=click is not a column; the columns are a, b"),
        ("clicks,b\n0,1\n", "label=click is not a column; did you mean 'clicks'?"),
        ("click,b\n", "log.csv), train: the table has no rows"),
        ("click,b,b\n0,1,2\n", "two columns are called 'b'; rename one"),
        ("click,b\n0,1,2\n1,1,2\n", "more values than its header has names"),
        ("click,b\n0,1\n1,1,2\n", "1 of 2 rows do not fit the header: row 2 has 3 instead of 2 values"),
        ('click,b\n0,"1,2\n', "line 2: the quotation mark before '1,2' is never closed"),
        ("click,b\n" + "0,1\n1,2\n" * 50 + "2,1\n", "label 'click': 2 in row 101 is neither 0 nor 1"),
        ("click,b\n" + "0,1\n1,1\n" * 50, "field 'b' has one value only, '1', in train: left out"),
        ("click,b\n" + "0,1\n0,2\n" * 50, "there are no positives"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, text), numeric=())
    assert message in str(caught.value)
    assert "log.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [("cheap", "'cheap' in row 7 is not a finite"), ("inf", "'inf' in row 7 is not"), ("1,234", "'1,234' in row 7 is")],
)
def test_a_number_that_is_none_is_named_with_the_files_row(tmp_path, value, message):
    frame = raw()
    frame["price"] = frame.price.astype(object)
    frame.loc[6, "price"] = value
    with pytest.raises(UserError, match="field 'price': " + message):
        load(written(tmp_path, frame))


@pytest.mark.parametrize("name", ["log.parquet", "log.csv"])
def test_bytes_that_are_no_log_are_the_users_mistake(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00broken\n\x80\x81")
    with pytest.raises(UserError, match=rf"{name}: not a (parquet file|readable log)"):
        load(str(tmp_path / name))


def test_a_file_that_vanished_is_the_users_mistake(tmp_path, monkeypatch):
    data = CsvLog(path=str(tmp_path / "log.csv"), label="click")
    monkeypatch.setattr("os.path.isfile", lambda path: True)
    with pytest.raises(UserError, match=r"cannot be read .*No such file"):
        data.load(seed=1, context=Context())
    with pytest.raises(UserError, match=r"cannot be read .*No such file"):
        data.version()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"numeric": "prise"}, "numeric=prise is not a column; did you mean 'price'"),
        ({"user": ("uid", "ad"), "item": "ad"}, "item=ad is named by user too; leave one out"),
        ({"drop": "click"}, "drop=click is named by label too"),
        ({"drop": "price"}, "numeric=price is named by drop too"),
        ({"drop": ("when", "uid", "ad", "price"), "numeric": ()}, "no field is left beside the label 'click'"),
        ({"time": "ad"}, "in row 1 is no number and no ISO 8601 date"),
        ({"ratios": (0.5, 0.3, 0.3)}, "must be three positive shares that add up to 1"),
        ({"ratios": (1.2, -0.1, -0.1)}, "must be three positive shares that add up to 1"),
    ],
)
def test_bad_parameters_name_the_value_and_the_fix(tmp_path, parameters, message):
    with pytest.raises(UserError) as caught:
        load(written(tmp_path, raw()), **parameters)
    assert message in str(caught.value)
