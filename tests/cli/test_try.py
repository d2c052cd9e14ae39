"""`ctrbench try`: what it sees in a stranger's log, and that the suite it writes runs as it is."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ctrbench import Proposal, UserError
from ctrbench.cli import main
from ctrbench.cli.try_ import _ask
from ctrbench.registry import Registered, Registry, load_registry
from ctrbench.suggest import suggest
from ctrbench.suite import parse_suite
from ctrbench_datasets._look import look
from places import SHARED
from toys import ToyLog

SAMPLES = SHARED / "data" / "samples"
WITHOUT_LABEL = ("amazon-electronics", "diginetica", "yoochoose")

COLUMNS = {
    "user_id": lambda n: f"u{n % 23}",
    "gender": lambda n: "mf"[n % 23 % 2],
    "ad_id": lambda n: f"a{n % 31}",
    "brand": lambda n: f"b{n % 31 % 4}",
    "price": lambda n: f"{n % 31 / 4 + 1.25}",
    "history": lambda n: "^".join(str(k) for k in range(n % 5)),
    "timestamp": lambda n: f"2024-03-{n // 24 % 28 + 1:02}T{n % 24:02}:00:00Z",
    "click": lambda n: str(int(n % 7 < 2)),
}


def written(path: Path, rows: int = 300, sep: str = ",", header: bool = True, **changes) -> Path:
    """A log of `COLUMNS`, some of them changed, or left out where None is given."""
    columns = {name: made for name, made in {**COLUMNS, **changes}.items() if made is not None}
    lines = [sep.join(columns)] if header else []
    lines += [sep.join(made(n) for made in columns.values()) for n in range(rows)]
    path.write_text("\n".join([*lines, ""]))
    return path


def seen(path: Path, **given):
    return look(str(path), given)


def test_it_tells_what_the_columns_are(tmp_path):
    found = seen(written(tmp_path / "log.csv")).parameters
    assert found == {
        "path": str(tmp_path / "log.csv"),
        "name": "log",
        "label": "click",
        "time": "timestamp",
        "derive": ["hour", "weekday"],
        "sequence": ["history"],
        "user": ["user_id", "gender"],
        "item": ["ad_id", "brand", "price"],
        "numeric": ["price"],
        "bins": "quantiles:20",
    }


def test_a_log_whose_columns_have_other_names_is_known_by_its_values(tmp_path):
    names = {"timestamp": "zeitpunkt", "user_id": "nutzer", "ad_id": "größe", "price": "preis"}
    columns = {names[name]: COLUMNS[name] for name in names} | dict.fromkeys(names)
    columns["preis"] = lambda n: COLUMNS["price"](n).replace(".", ",")
    found = seen(written(tmp_path / "log.csv", sep=";", **columns))
    assert (found.parameters["time"], found.parameters["derive"]) == ("zeitpunkt", ["hour", "weekday"])
    assert found.parameters["numeric"] == ["preis"]
    assert found.notes[:2] == [f"no column looks like the {r}: --{r} COLUMN names it" for r in ("user", "item")]


def test_days_without_hours_and_one_of_two_times_are_not_guessed_to_be_the_time(tmp_path):
    days = seen(written(tmp_path / "a.csv", timestamp=None, born=lambda n: f"1990-01-{n % 28 + 1:02} 00:00:00"))
    two = {"opened": COLUMNS["timestamp"], "closed": COLUMNS["timestamp"]}
    both = seen(written(tmp_path / "b.csv", timestamp=None, **two))
    assert "time" not in {**days.parameters, **both.parameters}


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ("", "an empty value in row 8"),
        ("2016-12-31T23:59:60Z", "'2016-12-31T23:59:60Z' in row 8 is no number and no ISO 8601 date"),
    ],
)
def test_what_keeps_a_column_called_like_one_from_being_the_time_is_noted(tmp_path, odd, said):
    path = written(tmp_path / "log.csv", timestamp=lambda n: odd if n == 7 else COLUMNS["timestamp"](n))
    found = seen(path)
    assert "time" not in found.parameters
    assert any(note.startswith(f"'timestamp' is not taken for the time: {said}") for note in found.notes)


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.duration("s")])
def test_a_time_of_day_orders_no_rows_unless_one_says_so(tmp_path, kind):
    columns = {name: [COLUMNS[name](n) for n in range(300)] for name in ("user_id", "ad_id", "click")}
    seconds = pa.array(range(300), pa.int32() if kind == pa.time32("s") else pa.int64())
    pq.write_table(pa.table({**columns, "time": seconds.cast(kind)}), tmp_path / "log.parquet")
    found = seen(tmp_path / "log.parquet")
    assert "time" not in found.parameters
    assert any("'time' is not taken for the time: its values are of the type" in note for note in found.notes)
    assert seen(tmp_path / "log.parquet", time="time").parameters["time"] == "time"


@pytest.mark.parametrize("names", [("date", "time"), ("time", "date")])
def test_that_a_column_of_dates_gave_way_to_one_of_plain_numbers_is_noted(tmp_path, names):
    columns = {"date": lambda n: "soon" if n == 7 else f"2026-01-{n % 28 + 1:02}", "time": str}
    found = seen(written(tmp_path / "log.csv", timestamp=None, **{name: columns[name] for name in names}))
    assert found.parameters["time"] == "time"
    assert any(note.startswith("'date' is not taken for the time: 'soon' in row 8") for note in found.notes)


def test_bytes_that_are_no_text_are_left_out_for_that_and_not_taken_for_several_values(tmp_path):
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    log = pc.read_csv(written(tmp_path / "log.csv"))
    users = pa.array([bytes([128 + n % 23, 255]) for n in range(len(log))])
    pq.write_table(log.set_column(0, "user_id", users), path := tmp_path / "log.parquet")
    found = seen(path)
    assert found.parameters["sequence"] == ["history"]
    assert "user_id: holds bytes that are no UTF-8 text" in found.reasons["drop"]
    with pytest.raises(UserError, match=r"^--user user_id holds bytes that are no UTF-8 text; name another column$"):
        seen(path, user="user_id")


def test_it_says_how_the_file_is_written(tmp_path):
    found = seen(written(tmp_path / "log.tsv", sep="\t"))
    assert found.reasons["path"] == "300 rows, 8 columns, text with a tab between values, a header"


def test_text_that_is_not_utf_8_is_read_as_windows_writes_it_unless_one_says_otherwise(tmp_path):
    path = written(tmp_path / "log.csv", gender=lambda n: "männlich" if n % 2 else "weiblich")
    path.write_bytes(path.read_text().encode("cp1252"))
    found = seen(path)
    assert found.parameters["encoding"] == "cp1252"
    assert "not UTF-8" in found.reasons["encoding"]
    assert seen(path, encoding="latin-1").parameters["encoding"] == "latin-1"
    with pytest.raises(UserError, match=r"line 3 is not ascii \(byte 0xe4\)"):
        seen(path, encoding="ascii")
    path.write_bytes(written(path, gender=lambda n: "男性" if n % 2 else "女性").read_text().encode("shift_jis"))
    with pytest.raises(UserError, match=r"is not cp1252 \(.*\); .* as in encoding=shift_jis$"):
        seen(path)
    assert "encoding" not in seen(written(tmp_path / "plain.csv")).parameters


def test_what_is_known_only_after_a_click_is_noted_whether_a_number_or_a_word(tmp_path):
    clicked = COLUMNS["click"]
    path = written(
        tmp_path / "log.csv",
        stay=lambda n: f"{(1.5 + n) * int(clicked(n)):.1f}",
        page=lambda n: "shop" if clicked(n) == "1" else "start",
    )
    notes = suggested(path, 0.01).notes
    for name in ("stay", "page"):
        assert any(note.startswith(f"field {name!r} alone tells clicks from other rows (AUC 1.00)") for note in notes)
    assert not any("alone tells" in note for note in suggested(written(tmp_path / "other.csv"), 0.01).notes)


def test_fractions_are_numbers_however_few_there_are(tmp_path):
    few = {"wage per hour": lambda n: ("0.0", "0.0615")[n % 5 // 4], "half": lambda n: "0.5" if n % 3 else ""}
    path = written(tmp_path / "log.csv", ones=lambda n: f"{n % 2}.0", **few)
    assert seen(path).parameters["numeric"] == ["price", *few]


@pytest.mark.parametrize(
    ("made", "numeric"),
    [
        (lambda n: (-1) ** n * (2**60 + n % 40), False),
        (lambda n: n * 2654435761 % 2**32 - 2**31, False),  # a hash of 32 bits
        (lambda n: n * 2654435761 % 2**29 - 2**28, True),
        (lambda n: 10**9 + n if n % 9 else -1, True),
    ],
)
def test_hashes_with_signs_are_ids_and_other_whole_numbers_with_signs_are_numbers(tmp_path, made, numeric):
    path = written(tmp_path / "log.csv", odd=lambda n: str(made(n)))
    assert ("odd" in seen(path).parameters["numeric"]) == numeric


@pytest.mark.parametrize(("pair", "numeric"), [("{},{}", True), ("{},{},{}", False)])
def test_commas_that_may_part_pairs_are_noted_where_they_are_taken_for_decimal_points(tmp_path, pair, numeric):
    pairs = {"seen": lambda n: pair.format(n % 31, n % 17, 1) if n % 3 else f"{n % 31},{n % 17}"}
    found = seen(written(tmp_path / "log.csv", sep=";", price=None, **pairs))
    told = (
        "'seen': a comma is taken for a decimal point, as in '0,0'; where it parts two values, name the column under "
        "sequence and not under numeric"
    )
    assert (found.parameters.get("numeric") == ["seen"], told in found.notes) == (numeric, numeric)


def test_a_file_without_header_gets_names_for_its_columns(tmp_path):
    found = seen(written(tmp_path / "log.csv", header=False))
    assert found.parameters["columns"] == [f"column_{n}" for n in range(1, 9)]
    assert found.parameters["label"] == "column_8"
    assert "though its name tells nothing" in found.reasons["label"]


LABELS = {
    "two outcomes": ({"purchase": lambda n: str(n % 9 // 8)}, "click", ("purchase",)),
    "a rating": ({"click": None, "rating": lambda n: str(1 + n % 5)}, "rating >= 4", ()),
    "half stars with decimal commas": (
        {"click": None, "price": lambda n: "1", "rating": lambda n: f'"{n % 10 / 2 + 0.5}"'.replace(".", ",")},
        "rating >= 4",
        (),
    ),
    "ten stars": ({"click": None, "Rating": lambda n: str(1 + n % 10)}, "Rating >= 8", ()),
    "events": ({"click": None, "event_type": lambda n: ("view", "click", "buy")[n % 3]}, "event_type == click", ()),
    "events in two spellings": (
        {"click": None, "event_type": lambda n: ("view", "click", "Click")[n % 3]},
        "event_type in (Click, click)",
        (),
    ),
    "events behind blanks": (
        {"click": None, " event_type": lambda n: (" view", " click")[n % 2]},
        " event_type == click",
        (),
    ),
    "one and two": ({"click": None, "label": lambda n: str(1 + n % 2)}, "label == 2", ("label == 1",)),
    "truth": ({"click": None, "is_click": lambda n: str(n % 3 == 0)}, "is_click", ()),
    "another name": ({"click": None, "won": lambda n: str(n % 4 // 3)}, "won", ()),
}


@pytest.mark.parametrize("case", LABELS)
def test_the_click_is_found_by_name_and_values(tmp_path, case):
    changes, label, others = LABELS[case]
    found = seen(written(tmp_path / "log.csv", **changes))
    assert found.parameters["label"] == label
    assert found.others.get("label", ()) == others


def test_that_a_column_called_click_gave_way_to_another_outcome_is_noted(tmp_path):
    changes = {"click": lambda n: str(n % 3), "purchase": lambda n: str(n % 9 // 8)}
    found = seen(written(tmp_path / "log.csv", **changes))
    assert found.parameters["label"] == "purchase"
    [told] = [note for note in found.notes if "'click' is not taken for the label" in note]
    assert told.endswith('as in --label "click >= 1"')


@pytest.mark.parametrize("role", ["user", "item", "time"])
@pytest.mark.parametrize("name", ["share", "date", "tags"])
def test_what_the_owner_says_of_a_column_is_not_overruled_by_its_name_or_values(tmp_path, role, name):
    made = COLUMNS["timestamp"] if role == "time" else lambda n: f"a|{n % 17}"
    path = written(tmp_path / "log.csv", user_id=lambda n: f"auth0|{n % 23}", timestamp=None, **{name: made})
    found = seen(path, **{role: name})
    named = [found.parameters.get(key, ()) for key in ("user", "item", "sequence", "drop")]
    assert found.parameters["time"] == name if role == "time" else found.parameters[role][0] == name
    assert sum(name in names for names in named) == (role != "time")
    assert role == "user" or found.parameters["user"] == ["user_id", "gender"]


def test_other_outcomes_are_no_features(tmp_path):
    changes = {"is_like": lambda n: str(n % 2), "propensity_score": lambda n: f"0.{n % 9 + 1}"}
    found = seen(written(tmp_path / "log.csv", **changes))
    assert found.parameters["drop"] == ["is_like", "propensity_score"]
    assert "looks like an outcome of the impression" in found.reasons["drop"]


def test_what_the_owner_says_comes_before_what_is_seen(tmp_path):
    path = written(tmp_path / "log.csv", purchase=lambda n: str(n % 9 // 8))
    found = seen(path, label="purchase", user="ad_id", item="brand")
    assert found.parameters["label"] == "purchase"
    assert found.parameters["user"][0] == "ad_id"
    assert found.parameters["item"] == ["brand"]
    assert "click" in found.parameters["drop"]


NO_LABEL = {"click": None, "gender": None, "brand": None}


@pytest.mark.parametrize(
    ("changes", "given", "complaint"),
    [
        (NO_LABEL, {}, "no column of user_id, ad_id, price, history, timestamp looks like a click"),
        ({}, {"user": "uid"}, "--user uid is not a column; did you mean 'user_id'?"),
        ({}, {"time": "tiem"}, "--time tiem is not a column; the columns are user_id, gender"),
        ({}, {"label": "clik"}, "--label clik: label=clik is not a column; did you mean 'click'?"),
        ({"click": lambda n: ["Y", "N"][n % 2]}, {}, "log.csv: label 'click': 'Y' in row 1 is neither 0 nor 1"),
        ({"click": lambda n: "1"}, {}, "log.csv: 'click' has one value only"),
        (
            {"click": lambda n: str(n % 3), "weekend": lambda n: str(n % 2)},
            {},
            "log.csv: label 'click': 2 in row 3 is neither 0 nor 1 (it has 0, 1, 2); mend it or name another label "
            'column, or say which values are clicks, as in --label "click >= 1"',
        ),
        (
            {"click": lambda n: f"{n / 1000}"},
            {},
            "log.csv: 'click' has 300 different values, not 0 and 1; say which of them are clicks, as in --label "
            '"click >= 0.001"',
        ),
        ({}, {"time": "price"}, "--time price: it is no column of times"),
    ],
)
def test_where_nothing_can_be_made_of_it_one_line_says_what_to_say(tmp_path, changes, given, complaint):
    if given.get("time") == "price":
        changes = {"price": lambda n: "dear"}
    with pytest.raises(UserError) as caught:
        seen(written(tmp_path / "log.csv", **changes), **given)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_split_that_lies_beside_its_fellows_is_taken_with_them(tmp_path):
    for name in ("ad_train_sample.csv", "ad_val_sample.csv", "ad_test_sample.csv", "other_test_sample.csv"):
        written(tmp_path / name, rows=120)
    found = seen(tmp_path / "ad_val_sample.csv").parameters
    assert [Path(found[name]).name for name in ("path", "valid", "test")] == [
        "ad_train_sample.csv", "ad_val_sample.csv", "ad_test_sample.csv",
    ]  # fmt: skip
    test = written(tmp_path / "ad_test_sample.csv", brand=lambda n: f"caf\xe9 {n}")
    in_cp1252 = test.read_text().encode("cp1252")
    for change in (lambda: written(test, click=None), lambda: test.write_bytes(in_cp1252)):
        change()
        alone = seen(tmp_path / "ad_train_sample.csv")
        assert not {"valid", "test"} & set(alone.parameters)
        assert alone.notes[0] == (
            "ad_test_sample.csv is not taken for test: its columns or encoding are not those of ad_train_sample.csv"
        )


@pytest.mark.parametrize(("named", "beside"), [("training.csv", "testing.csv"), ("Train.csv", "Test.csv")])
def test_a_split_finds_its_fellow_whichever_word_and_letters_it_is_called_by(tmp_path, named, beside):
    for name in (named, beside):
        written(tmp_path / name, rows=120)
    assert Path(seen(tmp_path / named).parameters["test"]).name == beside


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda n: "", "test.csv: label 'click' is missing in 300 of 300 rows"),
        (lambda n: "0", "test.csv: label 'click' has one class only"),
        (lambda n: "-1" if n == 9 else str(n % 2), "test.csv: label 'click': -1 in row 10"),
    ],
)
def test_what_stands_beside_a_log_and_has_no_labels_is_left_out(tmp_path, made, reason):
    written(tmp_path / "train.csv")
    written(tmp_path / "valid.csv")
    written(tmp_path / "test.csv", click=made)
    told = seen(tmp_path / "train.csv")
    assert not {"valid", "test"} & set(told.parameters)
    assert "test is taken from train.csv, since what stands beside it cannot be: " + reason in told.notes[0]
    written(tmp_path / "test.csv")
    written(tmp_path / "valid.csv", click=made)
    told = seen(tmp_path / "train.csv")
    assert {"valid", "test"} & set(told.parameters) == {"test"}
    assert "valid is taken from train.csv" in told.notes[0]


def test_a_link_beside_a_log_is_no_split_of_it(tmp_path):
    (tmp_path / "test.csv").symlink_to(written(tmp_path / "train.csv"))
    assert "test" not in seen(tmp_path / "train.csv").parameters


def test_a_test_in_parts_is_named_by_its_folder(tmp_path):
    for name in ("train-0.csv", "test-0.csv", "test-1.csv"):
        written(tmp_path / name, rows=120)
    found = seen(tmp_path).parameters
    assert found["path"] == str(tmp_path)
    assert not {"valid", "test"} & set(found)


def test_lines_of_json_in_another_encoding_are_read(tmp_path):
    lines = [f'{{"click": {n % 3 % 2}, "user": "caf\xe9 {n % 7}", "ad": "a{n % 5}"}}' for n in range(200)]
    for above in (0, 70_000):  # more than is decoded at once
        ascii = [f'{{"click": {n % 2}, "user": "u{n % 7}", "ad": "a{n % 5}"}}' for n in range(above)]
        (tmp_path / "log.jsonl").write_bytes("\n".join([*ascii, *lines]).encode("latin-1"))
        assert seen(tmp_path / "log.jsonl").parameters["encoding"] == "cp1252"


def test_a_rule_may_be_written_without_blanks(tmp_path):
    found = seen(written(tmp_path / "log.csv", click=None, rating=lambda n: str(1 + n % 5)), label="rating>=5")
    assert "rating" not in found.parameters.get("numeric", [])
    assert found.parameters["label"] == "rating>=5"


def test_the_hour_of_a_day_is_no_time_by_which_rows_are_ordered(tmp_path):
    found = seen(written(tmp_path / "log.csv", timestamp=None, hour=lambda n: str(n % 24)))
    assert not {"time", "drop"} & set(found.parameters)


def test_a_time_in_digits_of_hours_is_read_as_one(tmp_path):
    found = seen(written(tmp_path / "log.csv", timestamp=None, hour=lambda n: f"1410{21 + n // 100}{n % 24:02}"))
    assert (found.parameters["time"], found.parameters["time_format"]) == ("hour", "%y%m%d%H")


def suggested(path: Path, minutes: float, **given):
    return suggest(str(path), given, minutes, load_registry(), "mine")


def test_the_suite_has_comments_and_what_fits_the_time(tmp_path):
    path = written(tmp_path / "log.csv")
    short, long = suggested(path, 0.01), suggested(path, 600)
    suites = [parse_suite(each.text, "mine", "mine.toml") for each in (short, long)]
    assert suites[0].generators == ("random_oversampling", "independent")
    assert (suites[0].repeats, suites[1].repeats) == (5, 20)
    longer = "the run takes more than 0.01 minutes, but there is nothing smaller to offer"
    assert f"# {longer}\n" in short.text
    assert short.notes[0] == longer
    assert longer not in long.notes
    assert "tvae" in suites[1].generators
    assert suites[1].settings("csv_log").of("model", "dnn")["epochs"] == 20
    assert "# 23 different ones in 300 rows; gender the same in all rows of one\nuser = [" in long.text
    assert long.seconds > short.seconds


def test_generators_that_would_have_nothing_to_learn_from_are_left_out(tmp_path):
    path = written(tmp_path / "log.csv", rows=60, click=lambda n: str(int(n in (3, 20, 21, 40, 59))), timestamp=None)
    suite = parse_suite(suggested(path, 600).text, "mine", "mine.toml")
    assert "smoten" not in suite.generators
    assert "independent" in suite.generators


def test_a_time_that_leaves_a_split_without_clicks_gives_way_to_chance(tmp_path):
    path = written(tmp_path / "log.csv", click=lambda n: str(int(n < 40)), timestamp=lambda n: str(10**9 + n))
    raw = tomllib.loads(suggested(path, 5).text)
    assert raw["on"]["csv_log"]["datasets"]["csv_log"]["split"] == "chance"
    assert '# otherwise a split holds one class only\nsplit = "chance"' in suggested(path, 5).text


def test_a_log_with_two_clicks_cannot_be_split(tmp_path):
    path = written(tmp_path / "log.csv", rows=60, click=lambda n: str(int(n in (3, 40))))
    with pytest.raises(UserError, match="no way to split the log was found that leaves both classes in each split"):
        suggested(path, 5)


def test_the_command_writes_a_suite_that_runs_and_never_over_another_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "my log.csv", purchase=lambda n: str(n % 9 // 8))
    runner = CliRunner()
    tried = runner.invoke(main, ["try", "my log.csv", "--minutes", "0.1"], catch_exceptions=False)
    assert tried.exit_code == 0
    assert 'label is taken to be click; --label "purchase" takes another' in tried.output
    assert "ctrbench run --suite 'my log.toml'" in tried.output
    again = runner.invoke(main, ["try", "my log.csv"])
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    command = ["run", "--suite", "my log.toml", "--repeats", "2", "-s", "S3", "-m", "logistic", "--executor", "inline"]
    done = runner.invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "my log: " in done.output
    assert "S3" in done.output


@pytest.mark.parametrize(("pattern", "name"), [("part-*.csv", "part"), ("*.csv", "log")])
def test_the_suite_for_a_pattern_has_a_plain_name(tmp_path, monkeypatch, pattern, name):
    monkeypatch.chdir(tmp_path)
    for part in ("part-1.csv", "part-2.csv"):
        written(tmp_path / part)
    tried = CliRunner().invoke(main, ["try", pattern, "--minutes", "0.1"], catch_exceptions=False)
    assert tried.exit_code == 0
    assert f'name = "{name}"' in Path(f"{name}.toml").read_text()


def test_a_log_that_no_suite_can_name_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    written(folder / "log.csv")
    monkeypatch.chdir(tmp_path)
    tried = CliRunner().invoke(main, ["try", str(folder / "log.csv")])
    assert tried.exit_code == 2
    assert "d\\udcff/log.csv: its name, or that of a folder above it, is not UTF-8" in tried.output
    assert not Path("log.toml").exists()


def test_at_a_terminal_one_may_choose_otherwise(tmp_path):
    tried = suggested(written(tmp_path / "log.csv", purchase=lambda n: str(n % 9 // 8)), 0.1)
    asked = click.Command("asked", callback=lambda: click.echo(_ask(tried)))
    assert "{'label': 'purchase'}" in CliRunner().invoke(asked, input="purchase\n").output
    assert "{}" in CliRunner().invoke(asked, input="\n").output


def test_a_third_partys_data_set_that_cannot_even_look_is_named(tmp_path):
    @dataclass(frozen=True)
    class Blind(ToyLog):
        """A log that falls over strangers."""

        name: ClassVar[str] = "blind"
        told: ClassVar[object] = None

        @classmethod
        def propose(cls, path, given):
            return cls.told or exec("raise RuntimeError('no')")

    registry = Registry([Registered("dataset", "blind", Blind, "toybox", "1.0")])
    odd = {
        "RuntimeError: no": None,
        "returned str, not a Proposal": "it is mine",
        r"the parameter \['path'\]": Proposal({"path": Path("log.csv")}, {}),
        r"the parameter \['a b'\]": Proposal({}, {}, fallbacks=[{"a b": 1}]),
        "notes that are no texts": Proposal({}, {}, notes=[b"x"]),
    }
    for said, told in odd.items():
        Blind.told = told
        with pytest.raises(UserError, match=rf"blind \(toybox 1.0\): its propose\(\) raised .*{said}"):
            suggest(str(written(tmp_path / "log.csv")), {}, 1, registry, "mine")


ODD = {"empty": "", "header only": "a,b,click\n", "one column": "click\n1\n0\n1\n", "no text": "\x00\x01\x02" * 50}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_file_is_one_line(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    Path("odd.csv").write_text(ODD[case])
    tried = CliRunner().invoke(main, ["try", "odd.csv"])
    assert (tried.exit_code, tried.output.count("\n")) == (2, 1), tried.output
    assert not Path("odd.toml").exists()


@pytest.mark.parametrize("name", ["gone.csv", "."])
def test_what_is_no_log_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    tried = CliRunner().invoke(main, ["try", name, "-o", "mine.toml"])
    assert tried.exit_code == 2
    assert tried.output.startswith("ctrbench: ")
    assert tried.output.count("\n") == 1


def samples() -> list[Path]:
    return sorted(SAMPLES.iterdir()) if SAMPLES.is_dir() else []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sample", samples() or [None], ids=lambda path: path.name if path else "absent")
def test_every_sample_that_ctr_libraries_ship_gives_a_leaderboard_without_an_edit(sample, tmp_path, monkeypatch):
    if sample is None:
        pytest.skip(f"the samples are not at {SAMPLES}")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    tried = runner.invoke(main, ["try", str(sample), "--minutes", "1", "-o", "mine.toml"], catch_exceptions=False)
    if any(word in sample.name for word in WITHOUT_LABEL):
        assert (tried.exit_code, tried.output.count("\n")) == (2, 1)
        assert "looks like a click" in tried.output
        return
    assert tried.exit_code == 0, tried.output
    done = runner.invoke(main, ["run", "--suite", "mine.toml", "--executor", "inline"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    shown = runner.invoke(main, ["leaderboard", "--view", "scenarios", "--format", "json"], catch_exceptions=False)
    records = [record for board in json.loads(shown.stdout)["boards"] for record in board["records"]]
    ran = [record for record in records if record["metric"] == "auc" and record["status"] != "skipped"]
    scores = [record["value"] for record in ran]
    assert scores
    assert all(0 <= score <= 1 for score in scores), scores


@pytest.mark.parametrize(
    ("form", "read"), [("%d.%m.%Y %H:%M", True), ("%d/%b/%Y:%H:%M:%S %z", True), ("%m/%d/%y", False)]
)
def test_dates_are_read_where_there_is_one_way_to(tmp_path, form, read):
    days = [datetime(2026, 1, 1 + n % 12, n % 24, tzinfo=UTC) for n in range(600)]
    proposal = seen(written(tmp_path / "log.csv", timestamp=lambda n: days[n % 600].strftime(form)))
    assert proposal.parameters.get("time_format") == (form if read else None)


@pytest.mark.parametrize("form", ["%d%m%Y", "%m%d%Y"])
@pytest.mark.parametrize(("days", "shown"), [(100, True), (12, False)])
def test_digits_that_end_with_the_year_are_dates_where_a_day_shows_what_they_begin_with(tmp_path, form, days, shown):
    dates = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n % days) for n in range(300)]
    found = seen(written(tmp_path / "log.csv", timestamp=lambda n: dates[n].strftime(form))).parameters
    assert found["time"] == "timestamp"
    assert found.get("time_format") == (form if shown else None)
