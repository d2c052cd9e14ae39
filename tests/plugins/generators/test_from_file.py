"""Rows of somebody else's tool: exported train, brought back as a pool, refused or dropped where they do not fit."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ctrbench import Context, Field, Skip, UserError
from ctrbench.cli import main
from ctrbench.encoding import encode_splits
from ctrbench.jobs import PluginCall
from ctrbench.registry import Registered
from ctrbench.row_files import SUFFIXES, read_rows, write_rows
from ctrbench_generators.from_file import FromFile

FIELDS = (Field("user", role="user"), Field("text, with comma"), Field("price", "numeric"))
ODD = ["a,b", 'say "hi"', "two\nlines", " padded ", "007", "7", "NA", "é", None]


def log(rows: int = 90):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "label": rng.permutation(np.arange(rows) % 2),
            "user": [f"{n % 7}" for n in range(rows)],
            "text, with comma": [ODD[n % len(ODD)] for n in range(rows)],
            "price": rng.choice([0.1, 1 / 3, -0.0, 1e39, 5e-324, 12345678.9, 3.0], rows),
        },
    )
    return encode_splits(frame, frame[:40], frame[:40], label="label", fields=FIELDS, source="log")


def pool(path, train, *, rows: int | None = None, seed: int = 1, **parameters):
    sampler = FromFile(path=str(path), **parameters).fit(train, seed=5, context=Context())
    return sampler.sample(len(train) if rows is None else rows, seed=seed), sampler


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_exported_comes_back_value_for_value(tmp_path, suffix):
    train = log().train
    write_rows(train, tmp_path / f"rows{suffix}")
    back, misfits = read_rows(tmp_path / f"rows{suffix}", train.schema)
    assert back.digest() == train.digest()
    assert not misfits.rows.any()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_numbers_of_any_length_come_back_bit_for_bit(tmp_path, suffix):
    train = log(500).train
    train.rows["price"] = np.random.default_rng(1).random(500)
    write_rows(train, tmp_path / f"rows{suffix}")
    back, _ = read_rows(tmp_path / f"rows{suffix}", train.schema)
    there = ~train.missing(train.schema.fields[2])
    assert back.rows["price"][there].tolist() == train.rows["price"][there].tolist()


def test_the_export_is_what_another_csv_reader_sees(tmp_path):
    train = log().train
    write_rows(train, tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as opened:
        read = list(csv.DictReader(opened))
    assert list(read[0]) == ["label", "user", "text, with comma", "price"]
    assert [row["text, with comma"] or None for row in read[:9]] == ODD
    missing = train.missing(train.schema.fields[2])
    assert missing.any(), "a number that nobody can compute with stands for a missing one"
    assert [row["price"] == "" for row in read] == missing.tolist()
    prices = [float(row["price"] or "nan") for row in read]
    assert np.array_equal(np.array(prices)[~missing], train.rows["price"][~missing])


def test_what_pandas_made_of_the_rows_still_fits(tmp_path):
    train = log().train
    write_rows(train, tmp_path / "rows.csv")
    frame = pd.read_csv(tmp_path / "rows.csv", dtype={"text, with comma": str}, keep_default_na=False)
    frame["user"] = frame["user"].astype(float)
    frame["label"] = frame["label"].astype(float)
    for name, write in {"f.csv": frame.to_csv, "f.parquet": frame.to_parquet}.items():
        write(tmp_path / name, index=False)
        back, misfits = read_rows(tmp_path / name, train.schema)
        assert not misfits.rows.any()
        assert back.digest() == train.digest()


def test_truth_values_and_days_of_a_typed_file_are_those_of_the_log(tmp_path):
    days = pd.to_datetime(["2026-01-01", "2026-01-02"] * 20)
    frame = pd.DataFrame({"label": [0, 1, 1, 0] * 10, "app": [True, False] * 20, "day": days})
    train = encode_splits(frame, frame, frame, label="label", fields=[Field("app"), Field("day")], source="log").train
    frame.to_parquet(tmp_path / "rows.parquet")
    back, misfits = read_rows(tmp_path / "rows.parquet", train.schema)
    assert not misfits.rows.any()
    assert back.digest() == train.digest()


def test_a_pool_holds_each_row_as_often_as_any_other_in_the_order_of_the_seed(tmp_path):
    train = log().train
    write_rows(train.take(np.arange(40)), tmp_path / "rows.csv")
    made, sampler = pool(tmp_path / "rows.csv", train)
    counts = made.rows.assign(label=made.targets).value_counts().sort_index()
    plain = train.take(np.arange(40)).rows.assign(label=train.targets[:40]).value_counts().sort_index()
    assert ((counts >= 2 * plain) & (counts <= 3 * plain)).all()
    assert sampler.details == {"rows in the file": 40, "rows left out": 0, "rows given again": 50}
    assert made.digest() == pool(tmp_path / "rows.csv", train)[0].digest()
    assert made.digest() != pool(tmp_path / "rows.csv", train, seed=2)[0].digest()


def spoil(tmp_path, train):
    write_rows(train, tmp_path / "rows.csv")
    frame = pd.read_csv(tmp_path / "rows.csv", dtype=str, keep_default_na=False)
    frame.loc[[0, 1, 5], "user"] = ["stranger", "9", ""]
    frame.loc[[5, 6], "price"] = ["cheap", "inf"]
    frame.loc[7, "label"] = "2"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def test_rows_with_values_that_train_lacks_are_counted_by_field_and_refused(tmp_path):
    train = log().train
    path = spoil(tmp_path, train)
    with pytest.raises(UserError) as caught:
        pool(path, train)
    assert str(caught.value) == (
        f"{path}: 5 of 90 rows hold values that train lacks: user 3 (such as 'stranger'), price 2 (such as 'cheap'), "
        "label 1 (such as '2'); mend them, or leave such rows out with unknown=drop"
    )


def test_asked_to_drop_them_it_keeps_all_others(tmp_path):
    train = log().train
    made, sampler = pool(spoil(tmp_path, train), train, rows=85, unknown="drop")
    assert sampler.details == {"rows in the file": 85, "rows left out": 5, "rows given again": 0}
    kept = train.take(np.setdiff1d(np.arange(90), [0, 1, 5, 6, 7]))
    assert made.rows.value_counts().sort_index().equals(kept.rows.value_counts().sort_index())


BROKEN = {
    "label,user\n1,2\n": "the column 'text, with comma' is not there; the columns are label, user",
    'label,user,user,"text, with comma",price\n': "the column 'user' is there more than once",
    'label,user,"text, with comma",price\n': "it has no rows",
    "": "the column 'label' is not there; the columns are none",
    'label,user,"text, with comma",price\n1,2\n': "cannot be read",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, text):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        pool(tmp_path / "rows.csv", log().train)
    assert BROKEN[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("last", [7, 39, None])
def test_quotation_marks_that_are_text_swallow_no_rows(tmp_path, last):
    train = log().train
    lines = [f"{n % 2}\tb\t{n % 7}\t1.5\tno {n}" for n in range(40)]
    lines[6] = '1\tb\t6\t1.5\t"5 inch'
    if last:
        lines[last] = f'0\tb\t{last % 7}\t1.5\t5 inch"'
    header = "label\ttext, with comma\tuser\tprice\tquery"
    (tmp_path / "rows.tsv").write_text("\n".join([header, *lines, ""]))
    with pytest.raises(UserError) as caught:
        read_rows(tmp_path / "rows.tsv", train.schema)
    to = 41 if last is None else last + 2
    assert f"the quotation marks from line 8 to {to} join {to - 7} lines that are rows" in str(caught.value)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv.gz"])
def test_a_torn_file_is_one_line(tmp_path, name):
    train = log().train
    write_rows(train, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot be read"):
        pool(tmp_path / name, train)


def test_a_suffix_that_nobody_reads_names_those_that_are_read(tmp_path):
    (tmp_path / "rows.xlsx").write_text("")
    with pytest.raises(UserError, match=r"its name must end in .csv, .csv.gz, .tsv, .parquet"):
        pool(tmp_path / "rows.xlsx", log().train)


def test_without_a_file_it_does_not_apply():
    with pytest.raises(Skip, match=r"it needs a file"):
        FromFile().fit(log().train, seed=1, context=Context())


def call(**parameters) -> PluginCall:
    plugin = FromFile(**parameters)
    return PluginCall.of(Registered("generator", "from_file", FromFile, "ctrbench", "1"), plugin)


def test_the_content_of_the_file_counts_in_the_cache_key_and_its_path_does_not(tmp_path):
    for name, text in {"a.csv": "one", "b.csv": "one", "c.csv": "two"}.items():
        (tmp_path / name).write_text(text)
    first, same, other = (call(path=str(tmp_path / name)) for name in ("a.csv", "b.csv", "c.csv"))
    assert first.identity() == same.identity()
    assert first.identity() != other.identity()
    assert first.identity() != call(path=str(tmp_path / "a.csv"), unknown="drop").identity()
    assert same.make() == FromFile(path=str(tmp_path / "b.csv"))
    with pytest.raises(UserError, match=r"gone.csv: cannot be read \(No such file or directory\)"):
        call(path=str(tmp_path / "gone.csv"))


def test_a_plugin_without_a_version_keeps_the_identity_that_stored_results_have():
    plain = call()
    assert plain.identity() == [plain.module, plain.qualname, {"unknown": "refuse"}, plain.source]
    anywhere = dataclasses.replace(plain, locations=())
    assert anywhere.identity()[2] == {"path": "", "unknown": "refuse"}


def test_export_and_run_bring_a_tools_rows_into_the_leaderboard(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "simulated[train_rows=600]"
    runner = CliRunner()
    said = runner.invoke(main, ["data", "export", name, "--split", "train", "train.csv"], catch_exceptions=False)
    assert said.exit_code == 0
    assert "train.csv: 600 rows of train" in said.output
    rows = pd.read_csv("train.csv", dtype=str).sample(600, replace=True, random_state=1)
    rows.to_csv("rows.csv", index=False)
    command = ["run", "-d", name, "-g", "from_file[path=rows.csv]", "-m", "logistic", "-s", "S5", "-k", "auc"]
    done = runner.invoke(main, [*command, "-k", "identical", "--executor", "inline"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "from_file" in done.output
    again = runner.invoke(main, ["data", "export", name, "train.csv"])
    assert again.exit_code == 2
    assert "exists already" in again.output
    judged = runner.invoke(main, ["data", "export", name, "--split", "test", "test.csv"])
    assert "never show it to a tool" in judged.output
