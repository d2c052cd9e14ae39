"""What a user says of a log's columns: labels by a rule, times, splits, codings; and what is found out about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ctrbench import MISSING, Context, Missing, Splits, UserError, from_frames, params
from ctrbench_datasets.csv_log import CsvLog


def frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows) * 3600, "s")
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            "uid": rng.integers(20, size=rows),
            "ad": [f"ad{n % 7}" for n in range(rows)],
            "price": (rng.integers(1, 90, rows) / 4).round(2),
            "rating": rng.integers(1, 6, rows),
            "event": rng.choice(["view", "click", "buy"], rows),
            "country": "DE",
            "when": days.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "click": np.arange(rows) % 2,
        }
    )


def load(folder: Path, table: pd.DataFrame | str, seed: int = 1, **parameters) -> Splits:
    path = folder / "log.csv"
    if isinstance(table, str):
        path.write_text(table)
    else:
        table.to_csv(path, index=False)
    return CsvLog(**{"path": str(path), "label": "click", **parameters}).load(seed=seed, context=Context())


def refused(folder: Path, table: pd.DataFrame | str, **parameters) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, table, **parameters)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def vocabulary(log: Splits, name: str) -> tuple[str, ...]:
    found = next(field.vocabulary for field in log.train.schema.fields if field.name == name)
    assert found is not None
    return found


# Labels


@pytest.mark.parametrize(
    ("rule", "clicks"),
    [
        ("rating >= 4", lambda f: f.rating >= 4),
        ("rating<3", lambda f: f.rating < 3),
        ("event == click", lambda f: f.event == "click"),
        ("event = 'click'", lambda f: f.event == "click"),
        ("event != view", lambda f: f.event != "view"),
        ("event in (click, buy)", lambda f: f.event.isin(["click", "buy"])),
        ("rating in (4, 5.0)", lambda f: f.rating >= 4),
        ("rating in [4, 5]", lambda f: f.rating >= 4),
        ("rating ≥ 4", lambda f: f.rating >= 4),
        ("rating => 4", lambda f: f.rating >= 4),
        ("event <> view", lambda f: f.event != "view"),
        ("event == “click”", lambda f: f.event == "click"),
    ],
)
def test_a_label_may_be_a_rule(tmp_path, rule, clicks):
    table = frame()
    log = load(tmp_path, table, label=rule, time="when")
    assert log.train.targets.tolist() == clicks(table[:320]).astype(int).tolist()
    assert not {"rating", "event"} <= set(log.train.schema.names)


@pytest.mark.parametrize(
    ("listed", "clicks"),
    [
        ("click, 'buy, now'", ["click", "buy, now"]),
        ('"buy, now",click', ["click", "buy, now"]),
        ("“buy, now”, 'click'", ["click", "buy, now"]),
        ("don't, it's", ["don't", "it's"]),
        ("click", ["click"]),
        ("'tis, click", ["'tis", "click"]),
    ],
)
def test_a_value_of_a_list_may_hold_a_comma_in_quotes(tmp_path, listed, clicks):
    table = frame().assign(event=["click", "buy, now", "don't", "it's", "view"] * 80)
    log = load(tmp_path, table, label=f"event in ({listed})", time="when")
    assert log.train.targets.tolist() == table[:320].event.isin([*clicks]).astype(int).tolist()
    absent = [word for word in clicks if word == "'tis"]
    assert [note for note in log.notes if "no row is" in note] == ["label 'event': no row is 'tis'" for _ in absent]


@pytest.mark.parametrize("rule", ["event == click", " event in (click, Click)", "event != view"])
def test_blanks_around_names_and_values_need_not_be_said_in_a_rule(tmp_path, rule):
    lines = [f"u{n % 7}, {('click', 'view', 'Click', 'view ')[n % 4]}" for n in range(400)]
    log = load(tmp_path, "\n".join(["uid, event", *lines, ""]), label=rule, split="user", user="uid")
    assert log.train.schema.label == " event"
    rates = {"event == click": 0.25, " event in (click, Click)": 0.5, "event != view": 0.5}
    assert log.train.click_rate == pytest.approx(rates[rule], abs=0.05)
    assert any("' Click' are not written as in click" in note for note in log.notes) == (rule == "event == click")


def test_a_column_of_that_very_name_comes_before_a_rule(tmp_path):
    table = frame().rename(columns={"click": "rating >= 4"})
    assert load(tmp_path, table, label="rating >= 4", time="when").train.targets[:4].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("rule", ["rating >= 4.5", "rating>=4,5", "rating in (4.5, 5)", "rating in ('4,5', '5,0')"])
@pytest.mark.parametrize("decimal", ["", ","])
def test_a_rule_reads_decimal_commas_as_numbers_do(tmp_path, rule, decimal):
    table = frame().assign(rating=["4,5", "5", "0,5", "4"] * 100)
    log = load(tmp_path, table, label=rule, decimal=decimal, time="when")
    assert log.train.targets[:4].tolist() == [1, 1, 0, 0]
    assert ("label 'rating' has decimal commas" in log.notes) == (not decimal)


def test_numbers_of_parquet_have_no_decimal_mark_to_a_rule(tmp_path):
    pq.write_table(pa.table({"rating": [4.5, 5.0, 0.5, 4.0] * 100, "ad": [*range(20)] * 20}), tmp_path / "log.parquet")
    log = CsvLog(path=str(tmp_path / "log.parquet"), label="rating >= 4,5", decimal=",").load(seed=1, context=Context())
    assert sum(table.targets.sum() for table in (log.train, log.valid, log.test)) == 200


@pytest.mark.parametrize(
    ("value", "decimal", "message"),
    [
        ("4.5", ",", "label 'rating' >= 4: '4.5' is no number with a decimal comma; compare with == or in"),
        (
            "4,5",
            ".",
            "'4,5' is no number; compare with == or in, or say decimal=\",\" where its comma is a decimal point",
        ),
        ("1,234", "", "'1,234' is no number; compare with == or in, or say decimal=\",\""),
    ],
)
def test_a_rule_refuses_numbers_with_another_decimal_mark(tmp_path, value, decimal, message):
    table = frame().assign(rating=[value, "5", "3", "4"] * 100)
    assert message in refused(tmp_path, table, label="rating >= 4", decimal=decimal)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "rating",
            "label 'rating': 5 in row 1 is neither 0 nor 1 (it has 1, 2, 3, 4, 5); mend it or name another label ",
        ),
        ("rating", 'say which values are clicks, as in label="rating >= 4"'),
        ("event", "(it has buy, click, view)"),
        ("label", "label=label is not a column; the columns are row, uid, ad"),
        ("label", "; 0 and 1 stand in click"),
        ("ratign >= 4", "label=ratign is not a column; did you mean 'rating'?"),
        ("event >= 4", "label 'event' >= 4: 'view' is no number; compare with == or in"),
        ("rating >= good", "'good' is no number"),
        ("event == clik", "label 'event': no row is 'clik'; did you mean 'click'?"),
        ("rating >= 9", "there are no positives (label 1), and none in valid and test"),
        ("rating >= 9", "say which values are clicks"),
    ],
)
def test_a_label_that_cannot_be_says_what_there_is_and_what_to_say(tmp_path, rule, message):
    assert message in refused(
        tmp_path, frame().assign(rating=[5, 4, 3, 2, 1] * 80, event=["view", "click", "buy", "view"] * 100), label=rule
    )


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["N", "Y", "N"], "== Y"),
        (["no click", "no click", "clicked"], "== clicked"),
        (["negative", "Positive", "positive"], '"c in (Positive, positive)"'),
        (["view", "view", "buy"], "== buy"),
        (["0", "buy", "view", "view"], "== buy"),
        (["0", "1", "2", "5"], ">= 1"),
        (["0", "0.5", "2.5"], ">= 0.5"),
        (["-1", "1"], "== 1"),
        (["2"], "== 2"),
        (["1", "-", "-"], "== 1"),
    ],
)
def test_the_proposed_rule_takes_what_seems_to_be_a_click(tmp_path, values, rule):
    message = refused(tmp_path, pd.DataFrame({"c": values * 4, "ad": ["a", "b"] * 2 * len(values)}), label="c")
    assert rule in message.rsplit("label=", 1)[1]


@pytest.mark.parametrize(
    ("rule", "clicks", "others"),
    [
        ("code == 007", {"007"}, "'07', '7'"),
        ("code != 007", {"07", "7", "8", "1", "1e0", "yes"}, "'07', '7'"),
        ("code == yes", {"yes"}, "'1', '1e0'"),
        ("code in (7, 8.0)", {"7", "8"}, "'007', '07'"),
        ("code == 7.0", {"007", "07", "7"}, ""),
        ("code == true", {"1", "1e0", "yes"}, ""),
    ],
)
def test_a_rule_means_the_text_that_it_names_where_there_is_one(tmp_path, rule, clicks, others):
    table = frame().assign(code=["007", "07", "7", "8", "1", "1e0", "yes", "8"] * 50)
    log = load(tmp_path, table, label=rule, time="when")
    assert log.train.targets.tolist() == table.code[:320].isin(clicks).astype(int).tolist()
    told = [note for note in log.notes if "not written as" in note]
    assert bool(told) == bool(others)
    assert all(f"{others} are not written as in" in note for note in told)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("rule", ["event", "event == click", "event != view", "event in (click, buy)", "event >= 4"])
def test_a_header_in_the_middle_is_no_row(tmp_path, rule, mark):
    lines = [f"{['view', 'click'][n % 2] if rule != 'event' else n % 2},u{n % 7},a{n % 3}" for n in range(20)]
    lines.insert(9, mark + "event,uid,")
    (tmp_path / "log.csv").write_text("\n".join(["event,uid,", *lines, ""]))
    with pytest.raises(UserError, match=r"row 10 repeats the header; delete such rows"):
        CsvLog(path=str(tmp_path / "log.csv"), label=rule).load(seed=1, context=Context())


def test_names_that_hold_another_delimiter_ask_for_it(tmp_path):
    lines = "".join(f"{n % 2};{n % 3},5;a\n" for n in range(30))
    message = refused(tmp_path, "click;price, net;ad\n" + lines)
    assert "label=click is not a column; " in message
    assert message.endswith("if these are several names, say delimiter=")


def test_a_value_that_is_called_as_its_column_is_no_header(tmp_path):
    table = frame().assign(event=["event", "view"] * 200)
    assert load(tmp_path, table, label="event == event", time="when").train.targets[:4].tolist() == [1, 0, 1, 0]


def test_a_label_of_lists_asks_for_another_column(tmp_path):
    pq.write_table(pa.table({"click": [[0], [1]] * 20, "ad": ["a", "b"] * 20}), tmp_path / "log.parquet")
    with pytest.raises(UserError, match=r"label 'click' holds lists .*; name a column with one value a row"):
        CsvLog(path=str(tmp_path / "log.parquet"), label="click").load(seed=1, context=Context())


def test_a_row_without_a_label_is_named(tmp_path):
    table = frame().astype({"rating": object})
    table.loc[7, "rating"] = None
    assert "label 'rating' is missing in row 8" in refused(tmp_path, table, label="rating >= 4")
    assert "label 'rating' is missing in row 8" in refused(
        tmp_path, table.assign(rating=table.rating.map({1: 0, 2: 0, 3: 1, 4: 1, 5: 1})), label="rating"
    )
    table.loc[9, "rating"] = None
    told = "label 'rating' is missing in 2 of 400 rows, first in row 8; mend or drop the rows"
    assert told in refused(tmp_path, table, label="rating >= 4")
    only = table.assign(click=table.click.map({1: 1, 0: None}))
    assert "missing in 200 of 400 rows, first in row 1; where that means no click, write 0 there" in (
        refused(tmp_path, only)
    )


@pytest.mark.parametrize(
    ("column", "bad", "message"),
    [
        (
            "click",
            "2",
            ", test: label 'click': 2 in row 3 is neither 0 nor 1 (it has 0, 1, 2), as all are in train; mend it",
        ),
        ("click", "", ", test: label 'click' is missing in row 3"),
        ("when", "soon", ", test: time 'when': 'soon' in row 3"),
    ],
)
def test_a_value_of_a_split_that_cannot_be_is_named_with_its_split(tmp_path, column, bad, message):
    table = frame().astype(object)
    table.loc[2, column] = bad
    for split in ("train", "valid", "test"):
        (table if split == "test" else frame()).to_csv(tmp_path / f"{split}.csv", index=False)
    with pytest.raises(UserError) as caught:
        CsvLog(path=str(tmp_path), label="click", time="when", derive="hour").load(seed=1, context=Context())
    assert message in str(caught.value)
    assert "label=" not in str(caught.value)


def test_a_column_that_is_left_out_may_be_lacking_in_test(tmp_path):
    frame()[["uid", "ad", "click", "price"]].to_csv(tmp_path / "test.csv", index=False)
    table = frame()[["uid", "ad", "click", "price", "rating", "event"]]
    log = load(tmp_path, table, test=str(tmp_path / "test.csv"), drop="rating", sequence="event")
    assert log.train.schema.names == ("uid", "ad", "price")
    assert "lacks the column 'event'" in refused(tmp_path, table, test=str(tmp_path / "test.csv"), drop="rating")


# What is found out


def test_fields_of_no_use_are_left_out_with_a_note_and_kept_where_asked(tmp_path):
    log = load(tmp_path, frame(), drop=("rating", "event", "when"))
    assert log.train.schema.names == ("uid", "ad", "price")
    assert "field 'row': none of its 320 values occurs twice in train: left out (keep=row keeps it)" in log.notes
    assert "field 'country' has one value only, 'DE', in train: left out" in log.notes
    kept = load(tmp_path, frame(), drop=("rating", "event", "when"), keep=("row", "country"))
    assert kept.train.schema.names == ("row", "uid", "ad", "price", "country")
    assert load(tmp_path, frame(), user="row").train.schema.names[0] == "row", "what is named has a use"


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    table = frame().assign(a="cheap", b=[f"{n}%" for n in range(400)])
    message = refused(tmp_path, table, numeric=("a", "b"))
    assert "2 columns cannot be used: (1) train: field 'a': 'cheap' in row" in message
    assert "(2) train: field 'b': '" in message
    message = refused(tmp_path, frame(), user="userid", item="itme", drop="prise")
    assert all(
        part in message for part in ("user=userid is not", "item=itme is not", "drop=prise is not a column; did")
    )


def test_many_fields_of_a_kind_share_a_note(tmp_path):
    table = frame().assign(**{f"c{n}": "x" for n in range(40)})
    (note,) = [note for note in load(tmp_path, table).notes if "one value only" in note]
    assert note.startswith("41 fields have one value only in train and are left out: 'country' ('DE'), 'c0' ('x')")
    assert note.endswith(" and 11 more")


def test_columns_of_several_values_are_described_and_left_out(tmp_path):
    table = frame().assign(history=["a^b^c", "a", None, "d^a"] * 100)
    log = load(tmp_path, table, sequence="history")
    assert "history" not in log.train.schema.names
    assert (
        "column 'history' holds several values a row (1.5 on average, at most 3; 4 different ones): left out"
        in log.notes
    )
    assert any(
        "sequence=tags" in note
        for note in load(tmp_path, table.assign(tags=["a|b", "a", "b|c|d", "b", "c|a"] * 80)).notes
    )
    nested = pa.table({"click": [0, 1] * 20, "a": list(range(20)) * 2, "tags": [["x"], ["x", "y"]] * 20})
    pq.write_table(nested, tmp_path / "nested.parquet")
    path = str(tmp_path / "nested.parquet")
    with pytest.raises(UserError, match="the columns 'tags' hold lists or other compound values; drop=tags leaves"):
        CsvLog(path=path, label="click").load(seed=1, context=Context())
    log = CsvLog(path=path, label="click", sequence="tags").load(seed=1, context=Context())
    assert (
        "column 'tags' holds several values a row (1.5 on average, at most 2; 2 different ones): left out" in log.notes
    )


# Times and splits


TIMES = {
    "date": pa.array(np.arange(100, dtype=np.int32)[::-1], pa.date32()),
    "timestamp": pa.array(np.arange(100)[::-1] * 10**6, pa.timestamp("us", tz="Europe/Berlin")),
    "nanoseconds": pa.array(np.arange(100)[::-1], pa.timestamp("ns")),
    "duration": pa.array(np.arange(100)[::-1], pa.duration("ms")),
    "time": pa.array(np.arange(100, dtype=np.int32)[::-1], pa.time32("s")),
    "decimal": pa.array(np.arange(100)[::-1]).cast(pa.decimal128(20, 0)),
    "dictionary": pa.array([f"2024-01-01T00:{n // 60:02}:{n % 60:02}" for n in range(100)][::-1]).dictionary_encode(),
    "bytes": pa.array([f"2024-01-01 00:{n // 60:02}:{n % 60:02}".encode() for n in range(100)][::-1]),
    "int64": pa.array(2**62 - np.arange(100)),
    "far": pa.array([f"{9999 - n:04}-12-31" for n in range(100)]),
    "offsets": pa.array([f"2024-01-01T{(n % 24):02}:00:00{'+02:00' if n % 2 else '+00:00'}" for n in range(100)]),
}


@pytest.mark.parametrize("kind", TIMES)
def test_a_time_of_any_type_puts_the_oldest_rows_into_train(tmp_path, kind):
    times = TIMES[kind]
    order = [int(n) for n in range(100)][::-1]
    if kind == "offsets":
        order = sorted(range(100), key=lambda n: n % 24 - 2 * (n % 2))
    clicks = np.random.default_rng(1).integers(0, 2, 100)
    table = pa.table({"click": clicks, "n": np.arange(100.0), "ts": times})
    pq.write_table(table, tmp_path / "log.parquet")
    log = CsvLog(path=str(tmp_path / "log.parquet"), label="click", numeric="n", time="ts")
    splits = log.load(seed=1, context=Context())
    found = [int(n) for part in (splits.train, splits.valid, splits.test) for n in part.rows.n]
    assert found == order
    assert any("and no dates: rows are put in their order" in each for each in splits.notes) == (
        kind in ("duration", "time")
    )


def test_offsets_are_never_mixed_up_and_their_absence_is_said(tmp_path):
    times = ["2024-01-01T10:00:00+05:00", "2024-01-01T06:00:00", "2024-01-01T05:30:00Z", "2024-01-01T06:15:00+0030"]
    table = pd.DataFrame(
        {"click": [0, 1] * 20, "n": np.arange(40.0), "ts": [f"2023-01-{n % 28 + 1:02}" for n in range(36)] + times}
    )
    log = load(tmp_path, table, time="ts", numeric="n")
    assert log.test.rows.n.tolist() == [36, 38, 39, 37]
    assert any("have no offset and are taken for UTC" in note for note in log.notes)


@pytest.mark.parametrize("bad", ["2024-02-30", "2024-13-01", "yesterday", "2024-01-01T25:00", "01.02.2024", ""])
def test_a_row_without_a_time_is_named(tmp_path, bad):
    table = frame()
    table.loc[4, "when"] = bad
    message = refused(tmp_path, table, time="when")
    assert "in row 5 is no number and no ISO 8601 date" in message


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize(("written", "format"), [("%Y-%m-%d %H:%M", ""), ("%d.%m.%Y", "%d.%m.%Y"), ("%Y%m%d", "")])
def test_an_empty_text_is_no_time_in_any_format_of_file(tmp_path, suffix, written, format):
    table = frame()
    table["when"] = pd.to_datetime(table.when).dt.strftime(written)
    table.loc[17, "when"] = ""
    if suffix == "parquet":
        table.to_parquet(tmp_path / "log.parquet")
    elif suffix == "jsonl":
        table.to_json(tmp_path / "log.jsonl", orient="records", lines=True)
    said = refused(tmp_path, table, path=str(tmp_path / f"log.{suffix}"), time="when", time_format=format)
    assert "an empty value in row 18" in said


@pytest.mark.parametrize("bad", ["1e400", "yesterday", "-1e999", "2024-01-01T00:00+99:99"])
def test_a_time_that_is_no_number_among_numbers_is_named(tmp_path, bad):
    table = frame().assign(when=[str(1_704_067_200 + n) for n in range(400)])
    table.loc[5, "when"] = bad
    assert f"{bad!r} in row 6 is no number and no ISO 8601 date" in refused(tmp_path, table, time="when")


@pytest.mark.parametrize("offset", ["+99:99", "-24", "+1060", "+16:00"])
def test_an_offset_that_no_place_has_is_refused(tmp_path, offset):
    table = frame().assign(when=[f"2024-01-01T00:00:{n % 60:02}+14:00" for n in range(400)])
    table.loc[4, "when"] = f"2024-01-01T00:00{offset}"
    assert f"{offset}' in row 5 is no number and no ISO" in refused(tmp_path, table, time="when")


@pytest.mark.parametrize("kind", ["text", "plus", "decimal", "json", "int64"])
def test_nanoseconds_keep_their_order_however_they_are_written(tmp_path, kind):
    times = 1_700_000_000_000_000_000 + np.arange(40)[::-1]
    texts = [f"+{time}" if kind == "plus" and time % 2 else str(time) for time in times]
    decimals = pa.array(times).cast(pa.decimal128(30, 0))
    written = {"decimal": decimals, "int64": pa.array(times)}.get(kind, pa.array(texts))
    table = pa.table({"click": [0, 1] * 20, "n": np.arange(40.0), "ts": written})
    path = tmp_path / ("log.jsonl" if kind == "json" else "log.parquet")
    if kind == "json":
        path.write_text("".join(f'{{"click": {n % 2}, "n": {n}.5, "ts": {text}}}\n' for n, text in enumerate(texts)))
    else:
        pq.write_table(table, path)
    splits = CsvLog(path=str(path), label="click", numeric="n", time="ts").load(seed=1, context=Context())
    found = [int(n) for part in (splits.train, splits.valid, splits.test) for n in part.rows.n]
    assert found == list(range(40))[::-1]


@pytest.mark.parametrize("largest", [2**63 - 1, 2**63, 2**64])
def test_whole_numbers_of_any_size_are_times(tmp_path, largest):
    table = frame().assign(when=[str(n) for n in range(399)] + [f"+{largest}"])
    assert load(tmp_path, table, time="when", numeric="row").test.rows.row.iloc[-1] == 399


def test_ticks_of_dotnet_are_told_of(tmp_path):
    log = load(tmp_path, frame().assign(when=[638_700_000_000_000_000 + n * 10**7 for n in range(400)]), time="when")
    assert any(
        "'when' are read as nanoseconds since 1970, so most are of 1990; convert them if they count otherwise" in note
        for note in log.notes
    )


def test_what_a_time_tells_may_be_fields(tmp_path):
    log = load(tmp_path, frame(), time="when", derive=("hour", "weekday", "weekend", "days"), drop="row")
    assert "when" not in log.train.schema.names
    rows = log.train.rows
    hours = np.array(vocabulary(log, "hour"))[rows.hour - 1].astype(int)
    assert hours.tolist() == [n % 24 for n in range(320)]
    assert rows.days.tolist() == [n // 24 for n in range(320)]
    weekdays = np.array(vocabulary(log, "weekday"))[rows.weekday - 1].astype(int)
    assert weekdays[:25:24].tolist() == [1, 2], "2024-01-01 was a Monday"
    assert set(weekdays[rows.weekend == 2]) == {6, 7}


def test_times_written_otherwise_need_a_format(tmp_path):
    table = frame()
    table["when"] = [f"1410{21 + n // 24:02}{n % 24:02}" if n < 240 else "14103023" for n in range(400)]
    assert "time 'when' holds no dates and no epochs, so derive=hour cannot be; say time_format=" in refused(
        tmp_path, table, time="when", derive="hour"
    )
    log = load(tmp_path, table, time="when", derive="hour", time_format="%y%m%d%H")
    assert vocabulary(log, "hour") == tuple(map(str, range(24)))
    assert "is not written as time_format=%d.%m.%Y says" in refused(
        tmp_path, table, time="when", time_format="%d.%m.%Y"
    )


def test_fractions_of_a_second_order_rows_in_any_format(tmp_path):
    table = frame()
    ticks = np.random.default_rng(1).permutation(len(table))
    table["when"] = [f"31.01.2024 12:00:00.{tick:06}" for tick in ticks]
    log = load(tmp_path, table, time="when", time_format="%d.%m.%Y %H:%M:%S.%f", keep="row")
    assert vocabulary(log, "row") == tuple(map(str, sorted(np.argsort(ticks)[:320])))
    assert not any("rows of one time" in note for note in log.notes)


def test_epochs_in_any_unit_are_of_the_calendar(tmp_path):
    for unit in (1, 10**3, 10**6, 10**9):
        log = load(
            tmp_path, frame().assign(when=(1_704_067_200 + np.arange(400) * 3600) * unit), time="when", derive="hour"
        )
        hours = np.array(vocabulary(log, "hour"))[log.train.rows.hour - 1].astype(int)
        assert hours.tolist() == [n % 24 for n in range(320)], unit


def test_a_split_by_days_and_a_gap_keeps_days_whole_and_apart(tmp_path):
    log = load(tmp_path, frame(), time="when", split="days", gap="1d", numeric="row")
    rows = [part.rows.row.to_numpy() for part in (log.train, log.valid, log.test)]
    assert rows[0].max() == 311, "13 days"
    assert rows[1].min() >= 311 + 24
    assert all(int(part.min()) % 24 in (0, 23) for part in rows)
    assert any("gap=1d: 46 rows between the splits left out" in note for note in log.notes), log.notes


def test_a_split_by_user_puts_no_user_on_two_sides(tmp_path):
    log = load(tmp_path, frame(), user="uid", split="user", ratios=(0.5, 0.25, 0.25))
    assert (log.valid.rows.uid == 0).all()
    assert (log.test.rows.uid == 0).all()
    assert 140 < len(log.train) < 260
    assert any("split by user: train, valid and test differ by more than chance" in note for note in log.notes)
    assert load(tmp_path, frame(), seed=2, user="uid", split="user").fingerprint != log.fingerprint


def test_chance_leaves_no_split_without_clicks_where_there_are_enough(tmp_path):
    table = frame().assign(click=[1 if n % 40 == 0 else 0 for n in range(400)])
    for seed in range(12):
        log = load(tmp_path, table, seed=seed)
        assert all(0 < part.click_rate < 1 for part in (log.train, log.valid, log.test))
    assert "there are no positives" in refused(tmp_path, frame().assign(click=[1, 1, *[0] * 398]))


def test_valid_comes_of_train_where_a_folder_has_none(tmp_path):
    frame()[:300].to_csv(tmp_path / "train.csv", index=False)
    frame()[300:].to_csv(tmp_path / "test.csv", index=False)
    log = CsvLog(path=str(tmp_path), label="click", time="when", numeric="row").load(seed=1, context=Context())
    assert log.train.rows.row.tolist() == list(range(267))
    assert log.valid.rows.row.tolist() == list(range(267, 300))
    assert log.test.rows.row.tolist() == list(range(300, 400))
    assert "valid is 11% of the train file, by time" in log.notes
    apart = CsvLog(path=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"), label="click", numeric="row")
    assert len(apart.load(seed=1, context=Context()).test) == 100


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"split": "user"}, "csv_log: split=user needs a column of users: say user="),
        ({"split": "days"}, "csv_log: split=days needs a time column"),
        ({"derive": "hour"}, "csv_log: derive=hour needs a time column"),
        ({"time_format": "%Y"}, "csv_log: time_format=%Y needs a time column: say time="),
        ({"scale": "uid:log"}, "scale=uid:log is for a number: name it in numeric= too, or leave it out"),
        ({"bins": ("uid:quantiles:5",), "numeric": "price"}, "bins=uid:quantiles:5 is for a number"),
        ({"hash": "price:5", "numeric": "price"}, "hash=price:5 is for categories: say bins= too"),
        ({"derive": "century", "time": "when"}, "derive=century is no feature of a time; there are hour, weekday"),
        ({"gap": "soon", "time": "when"}, "gap=soon must be a number with s, m, h, d or w"),
        ({"gap": "1d"}, "gap=1d is for a split by time"),
        ({"scale": "logs"}, "scale=logs must be standard or log"),
        ({"bins": "quantiles:1", "numeric": "price"}, "bins=quantiles:1 must be criteo or quantiles:N"),
        (
            {"bins": "prise:criteo", "numeric": "price"},
            "bins=prise:criteo: did you mean 'price'?",
        ),
        ({"top": 0, "min_count": 0}, "min_count=0 must be a whole number of at least 1"),
        ({"min_count": ("ad:5", "uid:5", "ad:7")}, "csv_log: min_count=ad:7: ad:5 is given too; leave one out"),
        ({"top": ("ad:many",)}, "top=ad:many must be a whole number of at least 1, or field:number"),
        ({"quote": "ab"}, "csv_log: quote=ab must be one character, or none"),
        ({"name": " "}, "csv_log: name=' ' must be a text"),
        ({"columns": ("a", "a")}, "columns has 'a' twice"),
        ({"keep": "prise"}, "keep=prise is not a column"),
        ({"valid": "nowhere.csv"}, "valid=nowhere.csv is not there"),
    ],
)
def test_a_parameter_that_cannot_be_names_the_value_and_the_fix(tmp_path, parameters, message):
    assert message in refused(tmp_path, frame(), **parameters)


# Codings


@pytest.mark.parametrize("bins", ["quantiles:4", ("price:quantiles:4",)])
def test_bins_of_a_number_may_be_coded_as_categories_are(tmp_path, bins):
    table = frame().assign(price=np.arange(400) % 8 * 1.5)
    log = load(tmp_path, table, numeric="price", bins=bins, top=("price:2",))
    assert len(vocabulary(log, "price")) == 3
    assert vocabulary(log, "price")[-1] == "(rare)"


def test_rare_values_become_one_and_what_was_folded_is_said(tmp_path):
    table = frame().assign(ad=["a", "b", "a", "c"] * 99 + ["x", "y", "z", "w"], when=np.arange(400))
    log = load(tmp_path, table, time="when", ratios=(0.5, 0.4, 0.1), min_count=("ad:60",))
    assert vocabulary(log, "ad") == ("a", "(rare)")
    assert log.train.rows.ad[:4].tolist() == [1, 2, 1, 2]
    assert log.test.rows.ad[-4:].tolist() == [0, 0, 0, 0], "unseen is not rare"
    assert "field 'ad': 2 of 3 values, 50.0% of train's rows, became (rare)" in log.notes
    assert vocabulary(load(tmp_path, table, top=("ad:2",)), "ad")[0] == "a"
    assert len(vocabulary(load(tmp_path, table, top=2), "uid")) == 3
    assert set(vocabulary(load(tmp_path, table, hash=("uid:5",)), "uid")) <= set("01234")


def test_numbers_are_scaled_or_put_into_bins_by_train(tmp_path):
    table = frame().assign(price=np.r_[np.arange(320.0), np.full(80, 1000.0)], when=np.arange(400))

    def prices(**coding):
        log = load(tmp_path, table, time="when", numeric="price", **coding)
        return log.train.rows.price.to_numpy(), log.test.rows.price.to_numpy(), log

    train, test, _ = prices(scale="standard")
    assert abs(train.mean()) < 1e-12
    assert abs(train.std() - 1) < 1e-12
    assert test[0] > 9
    assert np.allclose(prices(scale="log")[0], np.log1p(np.arange(320)))
    train, test, log = prices(bins="quantiles:4")
    assert np.bincount(train).tolist() == [0, 79, 80, 80, 81]
    assert test[0] == 4
    assert vocabulary(log, "price")[0] == "0"
    train, _, log = prices(bins=("price:criteo",))
    names = np.array(vocabulary(log, "price"))[train - 1].astype(int)
    assert names[[0, 1, 2, 3, 10, 319]].tolist() == [0, 1, 2, 1, 5, 33], "⌊log²⌋ above 2"


@pytest.mark.parametrize(
    ("rare", "bins"), [((1.0, 5.0), {"0", "1"}), ((-3.0, 5.0), {"-3", "0", "5"}), ((7.0,), {"0", "7"})]
)
def test_a_number_that_fills_most_rows_hides_no_rarer_one_in_its_bin(tmp_path, rare, bins):
    spent = [rare[n // 25 % len(rare)] if n % 25 == 0 else 0 for n in range(400)]
    lines = [f"u{n % 9},{n % 2},{value}" for n, value in enumerate(spent)]
    log = load(tmp_path, "user,click,spent\n" + "\n".join(lines), numeric="spent", bins="quantiles:20")
    assert set(vocabulary(log, "spent")) == bins


def test_decimal_commas_are_found_out_and_thousands_are_not_taken_for_them(tmp_path):
    lines = [f"{n % 2};{n % 17},{n % 10}5" for n in range(200)]
    log = load(tmp_path, "click;price\n" + "\n".join(lines), numeric="price")
    assert set(log.train.rows.price) <= {float(f"{n % 17}.{n % 10}5") for n in range(200)}
    assert "field 'price' has decimal commas" in log.notes
    thousands = "click;price\n" + "\n".join(f"{n % 2};{n},{n % 10}00" for n in range(100, 300))
    assert "field 'price': '" in refused(tmp_path, thousands, numeric="price")
    assert load(tmp_path, thousands, numeric="price", decimal=",").train.rows.price.max() < 300


@pytest.mark.parametrize("huge", ["1e39", "1.7976931348623157e308", "-3.4028234663852886e+38"])
def test_numbers_nobody_can_compute_with_are_missing(tmp_path, huge):
    table = frame().astype({"price": object})
    table.loc[[3, 5, 7], "price"] = huge
    log = load(tmp_path, table, numeric="price", time="when")
    assert abs(log.train.rows.price).max() < 100
    assert (log.train.rows["price (missing)"] == 2).sum() == 3
    assert any(f"3 numbers of train as large as '{huge}' (first in row 4), taken for missing" in n for n in log.notes)


def test_one_number_far_away_in_test_is_brought_near_and_named(tmp_path):
    table = frame().assign(price=np.r_[np.arange(399.0) % 40, 1e20])
    log = load(tmp_path, table, numeric="price", time="when")
    assert log.test.rows.price.max() == 39 + 39 * 1000
    assert any(
        "1 number of test over 1,000 times train's range away from it (first 1e+20 in row 400)" in n for n in log.notes
    )


def test_missing_numbers_are_kept_as_missing(tmp_path):
    table = frame().assign(price=[None if n % 4 == 0 else n % 40 for n in range(400)])
    log = load(tmp_path, table, numeric="price", time="when", drop="row")
    price = log.train.schema.numeric[0]
    assert (price.missing_indicator, price.imputed) == ("price (missing)", 20.0)
    assert vocabulary(log, "price (missing)") == ("(present)", MISSING)
    missing = log.train.missing(price)
    assert missing.tolist() == [n % 4 == 0 for n in range(320)]
    assert set(log.train.rows.price[missing]) == {20.0}
    binned = load(tmp_path, table, numeric="price", time="when", bins="quantiles:3")
    assert vocabulary(binned, "price")[-1] == MISSING
    assert "price (missing)" not in binned.train.schema.names
    only_test = load(tmp_path, frame().assign(price=[*range(399), None]), numeric="price", time="when")
    assert "price (missing)" not in only_test.train.schema.names
    assert any("1 number of test missing, none of train" in note for note in only_test.notes)


def test_large_ids_keep_every_digit_beside_missing_ones(tmp_path):
    ids = [2**53 + n % 8 for n in range(400)]
    for split, rows in {"train": slice(0, 200), "valid": slice(200, 300), "test": slice(300, 400)}.items():
        own: list[int | None] = [*ids[rows]]
        own[0] = None if split == "test" else own[0]
        pq.write_table(pa.table({"click": [n % 2 for n in range(len(own))], "uid": own}), tmp_path / f"{split}.parquet")
    log = CsvLog(path=str(tmp_path), label="click", user="uid").load(seed=1, context=Context())
    assert vocabulary(log, "uid") == tuple(str(2**53 + n) for n in range(8))
    assert (log.test.rows.uid == 0).sum() == 1


def test_values_keep_every_character(tmp_path):
    values = ["x", "x\0", "x\0\0", " x", "x ", "X", "é", "e\u0301"]
    pq.write_table(pa.table({"click": [0, 1] * 80, "ad": values * 20}), tmp_path / "log.parquet")
    log = CsvLog(path=str(tmp_path / "log.parquet"), label="click").load(seed=1, context=Context())
    assert sorted(vocabulary(log, "ad")) == sorted(values)


# The name of a log


def test_a_log_has_a_name_of_its_own_in_tables(tmp_path):
    from ctrbench.choices import choose_datasets
    from ctrbench.registry import load_registry
    from ctrbench.suite import Suite

    frame().to_csv(tmp_path / "a.csv", index=False)
    text = f"csv_log[path={tmp_path}/a.csv, label=click, name=my shop]"
    other = f"csv_log[path={tmp_path}/a.csv, label=click, name=other]"
    suite = Suite(name="x", datasets=(text, other))
    chosen, _ = choose_datasets(suite, load_registry(), may_download=False)
    assert [each.label for each in chosen] == ["my shop", "other"]
    assert CsvLog.name == "csv_log"
    built = params.build(CsvLog, "x", params.parse(text).values)
    assert params.label(built, ["name"]) == "csv_log[name=my shop]"
    loaded = {
        params.build(CsvLog, "x", params.parse(each).values).load(seed=1, context=Context()).fingerprint
        for each in (text, other)
    }  # type: ignore[attr-defined]
    assert len(loaded) == 1, "a name changes nothing"


def test_no_file_says_how_to_name_one():
    assert CsvLog().availability() == Missing("needs a file: csv_log[path=log.csv]")


def test_no_metric_takes_an_imputed_number_for_a_real_one(tmp_path):
    from ctrbench_metrics._nearest import encode
    from ctrbench_metrics.marginals import _likeness

    table = frame().assign(price=[None if n % 2 else n for n in range(400)])
    train = load(tmp_path, table, numeric="price", time="when").train
    bins = encode(train)[0][:, train.schema.names.index("price")]
    missing = train.missing(train.schema.numeric[0])
    assert set(bins[missing]).isdisjoint(bins[~missing])
    fewer = train.take(np.flatnonzero(~missing))
    assert _likeness(train, fewer)["price"] == 1, "the present numbers are the same"
    assert _likeness(train, fewer)["price (missing)"] < 0.6


def test_metrics_of_synthetic_rows_have_no_verdict_where_splits_are_apart(tmp_path, monkeypatch):
    from click.testing import CliRunner
    from ctrbench.cli import main

    monkeypatch.chdir(tmp_path)
    frame().to_csv("log.csv", index=False)

    def privacy(said: str) -> str:
        log = f"csv_log[path=log.csv, label=click, user=uid, item=ad, drop=(rating, event, country, row, price{said}]"
        words = ["-g", "random_oversampling", "-m", "item_rate", "-s", "S1", "-k", "auc", "-k", "identical"]
        result = CliRunner().invoke(main, ["run", "-d", log, *words, "--executor", "inline", "--repeats", "1"])
        assert result.exit_code == 0, result.output
        return CliRunner().invoke(main, ["leaderboard", "--view", "privacy"]).output

    assert "!" in privacy(", when)").split("run 2")[0]
    by_time = privacy("), time=when")
    assert "random_oversampling" in by_time
    assert "!" not in by_time.split("run 2")[0]
    assert "metrics of synthetic rows have no verdict" in by_time


@pytest.mark.parametrize("digits", ["%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d"])
def test_digits_of_a_date_are_no_epoch(tmp_path, digits):
    table = frame()
    whole = pd.to_datetime(table["when"]).dt.floor("D" if digits == "%Y%m%d" else "h")
    expected = load(tmp_path, table.assign(when=whole.dt.strftime("%Y-%m-%d %H:%M:%S")), time="when", derive="hour")
    log = load(tmp_path, table.assign(when=whole.dt.strftime(digits)), time="when", derive="hour")
    assert log.fingerprint == expected.fingerprint
    assert any("of time 'when' are read as YYYYMMDD" in note for note in log.notes)


def test_epochs_of_two_units_are_named(tmp_path):
    seconds = 1_700_000_000 + 3600 * np.arange(40)
    seconds[7] *= 1000
    table = pd.DataFrame({"click": [0, 1] * 20, "ad": ["a", "b", "a", "b"] * 10, "ts": seconds})
    told = "1 value of time 'ts' in another unit than most, or of no known time: first 1700025200000 in row 8"
    assert any(told in note for note in load(tmp_path, table, time="ts").notes)


def test_a_value_of_a_rule_that_no_row_has_is_noted(tmp_path):
    log = load(tmp_path, frame(), label="event in (click, byu)", drop="click")
    assert "label 'event': no row is 'byu'" in log.notes


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ([-1, 1] * 200, 'as in label="click == 1"'),
        ([2, 1] * 200, 'as in label="click == 2"'),
        ([0, 1, "int", 1] * 100, 'as in label="click == 1"'),
        ([0, 1] * 199 + ["click", 1], "row 399 repeats the header; delete such rows"),
    ],
)
def test_the_rule_that_is_proposed_makes_clicks_of_clicks(tmp_path, clicks, message):
    assert message in refused(tmp_path, frame().assign(click=clicks))


def test_a_log_has_one_fingerprint_in_text_in_parquet_and_as_frames(tmp_path):
    rows = np.arange(60)
    table = pd.DataFrame(
        {
            "click": rows % 2,
            "whole": np.where(rows % 5, rows % 4, np.nan),
            "part": (rows % 4) / 2 - 0.5,
            "text": np.array(["", "a", "b"], object)[rows % 3],
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rows % 4, "D"),
            "hour": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rows % 4, "h"),
        }
    )
    parts = {"train": table[:40], "valid": table[40:50], "test": table[50:]}
    found = set()
    for suffix in ("csv", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        for split, part in parts.items():
            part.to_csv(folder / f"{split}.csv", index=False) if suffix == "csv" else part.to_parquet(
                folder / f"{split}.parquet"
            )
        log = CsvLog(path=str(folder), label="click").load(seed=1, context=Context())
        found.add(log.fingerprint)
        assert vocabulary(log, "whole") == ("0", "1", "2", "3", MISSING)
        assert vocabulary(log, "text") == ("a", "b", MISSING)
    frames = from_frames(*parts.values(), label="click").taken_in(tmp_path)
    found.add(frames.load(seed=1, context=Context()).fingerprint)
    assert len(found) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_texts_as_polars_writes_them_are_texts(tmp_path, packed):
    table = frame()[["ad", "price", "when", "click"]].astype({"price": str})
    table["price"] = table.price.str.replace(".", ",")
    table.loc[::7, "ad"] = "NA"
    roles = {"numeric": "price", "time": "when", "missing": "NA", "keep": "ad"}
    columns = {name: pa.array(table[name].tolist(), pa.string_view()) for name in ("ad", "price", "when")}
    if packed:
        for name in columns:
            codes, distinct = pd.factorize(table[name])
            words = pa.array(distinct.tolist(), pa.string_view())
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes), words)
    made = pa.table(columns | {"click": table.click})
    with pa.OSFile(str(tmp_path / "log.arrow"), "wb") as file, pa.ipc.new_file(file, made.schema) as writer:
        writer.write_table(made)
    of_text = load(tmp_path, table, **roles)
    assert load(tmp_path, table, **roles, path=str(tmp_path / "log.arrow")).fingerprint == of_text.fingerprint
    assert MISSING in vocabulary(of_text, "ad")


def test_all_words_for_missing_are_said_at_once(tmp_path):
    table = frame().astype({"price": object})
    for place, word in ((3, "NA"), (5, "-"), (7, "n/a, none")):
        table.loc[place::10, "price"] = word
    fix = 'say missing=(NA, -, "n/a, none") where these mean that there is none'
    assert fix in refused(tmp_path, table, numeric="price")


@pytest.mark.parametrize(
    "parameters",
    [
        {"label": "word"},
        {"label": "word == b"},
        {"label": "word >= 3"},
        {"numeric": "word"},
        {"time": "word"},
        {"time": "word", "time_format": "%Y"},
    ],
)
def test_a_very_long_value_does_not_fill_a_message(tmp_path, parameters):
    table = frame().assign(word=["z" * 20_000, "a", "a", "a"] * 100)
    assert len(refused(tmp_path, table, **parameters)) < 1000


def test_the_text_that_stands_for_missing_is_noted_beside_missing_values(tmp_path):
    table = frame().assign(word=["a", "", MISSING, "b"] * 100)
    assert any("'(missing)' is taken for missing" in note for note in load(tmp_path, table).notes)


def test_columns_of_test_alone_and_a_file_in_two_splits_are_named(tmp_path):
    load(tmp_path, frame())
    frame().assign(more=1).to_csv(tmp_path / "test.csv", index=False)
    log = load(tmp_path, frame(), test=str(tmp_path / "test.csv"))
    assert "test.csv has columns that log.csv lacks, left out: more" in log.notes
    assert "log.csv is named twice" in refused(tmp_path, frame(), test=str(tmp_path / "log.csv"))
