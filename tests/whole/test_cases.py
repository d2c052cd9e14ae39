"""Odd inputs that people met elsewhere, each in a folder of `../shared/cases`: the right value, or one line that helps.

docs/data.md has them in words. A folder that no test here knows fails.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from ctrbench import Context, Splits, Table
from ctrbench.cli import main
from ctrbench.params import build, parse
from ctrbench_datasets.csv_log import CsvLog
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.gaussian_copula import GaussianCopula
from ctrbench_generators.smotenc import Smotenc
from ctrbench_generators.tabddpm import TabDdpm
from ctrbench_metrics.identical import Identical
from places import SHARED

FOLDER = SHARED / "cases"
FOLDERS = sorted(path.name for path in FOLDER.glob("[0-9]*")) if FOLDER.is_dir() else []
PLAIN = "label=click, user=uid, item=ad, numeric=price"

pytestmark = pytest.mark.skipif(not FOLDERS, reason=f"the cases are not at {FOLDER}")


@pytest.fixture(autouse=True)
def _no_store_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTRBENCH_STORE", raising=False)


def go_to(number: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    [folder] = FOLDER.glob(f"{number}-*")
    monkeypatch.chdir(folder)
    return folder


def read(text: str) -> Splits:
    """The log of a case, as the command line would read it."""
    return build(CsvLog, "csv_log", {}, parse(f"csv_log[{text}]").values).load(seed=1, context=Context())


def values(splits: Splits) -> dict[str, int]:
    """The values that train has of each categorical field."""
    return {field.name: len(field.vocabulary or ()) for field in splits.train.schema.categorical}


# What is read

READ = {
    # case: what to read, rows in all, values of a field in train
    "02": ("path=log.parquet, label=0, user=1, item=2", 400, {"1": 25, "2": 12, "3": 3}),
    "03": ("path=log.parquet, label=click, user=uid, item=ad", 400, {"uid": 25, "ad": 12, "os": 3}),
    "07": ("path=log.csv.zst, label=click", 500, {"uid": 25, "ad": 12, "os": 3}),
    "08": ("path=log.csv.zip, label=click", 500, {"uid": 25, "ad": 12, "os": 3}),
    "11": ("path=log.tsv, label=click, user=uid, item=query", 600, {"uid": 25}),
    "12": ("path=log.csv, label=click, user=uid, item=ad, drop=price", 400, {"uid": 3}),
    "13": ("path=log.csv, label=click, drop=price, user='Unnamed: 0'", 400, {"Unnamed: 0": 3}),
    "16": ("path=log.csv, label=click, numeric=price", 100, {"ad": 12, "os": 3}),
    "23": ("path=., label=click, user=uid, item=ad", 700, {"uid": 25, "ad": 12}),
    "25": ("path=log.csv, label=click, time=ts", 200, {"uid": 25}),
    "31": ("path=log.csv.gz, label=click, user=uid, item=ad", None, {}),
    "54": ("path=log.parquet, label=click, item=ad", 400, {"ad": 4}),
    "55": ("path=., label=click", 600, {"size": 4}),
    "64": ("path=log2.parquet, label=click", 100, {"ad": 12, "os": 3}),
    "65": ("path=log.parquet, label=click, user=uid", 400, {"uid": 8}),
    "69": ("path=., label=click, user=uid", 600, {"uid": 8}),
}


@pytest.mark.parametrize("number", READ)
def test_a_log_is_read_with_all_its_rows_and_values(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(number, monkeypatch)
    text, rows, wanted = READ[number]
    splits = read(text)
    found = values(splits)
    assert {name: found[name] for name in wanted} == wanted
    assert rows in (None, sum(map(len, (splits.train, splits.valid, splits.test))))


UNSEEN = {"23": {"uid": 0, "ad": 0}, "55": {"size": 0}, "69": {"uid": 1}}


@pytest.mark.parametrize("number", UNSEEN)
def test_splits_of_different_types_meet_as_text(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(number, monkeypatch)
    test = read(READ[number][0]).test
    assert {name: int((test.rows[name] == 0).sum()) for name in UNSEEN[number]} == UNSEEN[number]


SAME = {
    "09": [f"path={name}, {PLAIN}" for name in ("log.csv", "log.csv.bz2", "log.csv.xz", "log.csv.zip", "log.csv.gz")],
    "17": [f"path={name}, {PLAIN}" for name in ("LOG.CSV", "LOG.TSV", "LOG.PARQUET", "LOG.CSV.GZ")],
    "18": ["path=a, label=click", "path=b, label=click"],
    "21": [f"path={name}.csv, {PLAIN}" for name in ("lower", "title", "float")],
    "22": [f"path={name}, {PLAIN}" for name in ("log.csv", "log.parquet")],
    "24": [f"path={name}.parquet, label=click, time=ts" for name in ("date", "timestamp_tz", "duration", "timeofday")],
    "30": [f'path="{name}", {PLAIN}' for name in ("log (1).csv", "log[1].csv", "log's.csv")],
}


@pytest.mark.parametrize("number", SAME)
def test_one_log_in_several_forms_has_one_fingerprint(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(number, monkeypatch)
    assert len({read(text).fingerprint for text in SAME[number]}) == 1


REFUSED = [
    ("04", "path=log.csv.gz, label=click", r"log\.csv\.gz: damaged or cut off"),
    ("05", "path=log.csv.zip, label=click", r"log\.csv\.zip: damaged or cut off"),
    ("06", "path=log.csv.xz, label=click", r"log\.csv\.xz: damaged or cut off"),
    ("15", "path=train.txt, label=0", "the first row looks like data .* no header; name its 40 columns"),
    ("15", "path=train.tsv, label=0", "the first row looks like data .* no header; name its 40 columns"),
    ("19", "path=., label=click", r"test\.csv lacks the label 'click'"),
    ("20", "path=log.csv, label=click", "-1 in row 2 is neither 0 nor 1"),
    *[
        ("27", f"path={name}.parquet, label=click", "'tags' hold lists")
        for name in ("list", "map", "listmap", "struct")
    ],
    ("30", "path=log (1).csv, label=click", "quote a value that has"),
    ("30", "path=log's.csv, label=click", "quote a value that has"),
    ("44", "path=log.csv, label=click, user=uid, item=ad", "valid: there are no positives .* use more rows"),
    ("52", "path=thousands.csv, label=click, numeric=v", "'1,234' in row 63 is not a finite number"),
    ("52", "path=percent.csv, label=click, numeric=v", "'12%' in row 63 is not a finite number"),
    ("59", "path=~nobodyhere/log.csv, label=click", r"path=~nobodyhere/log\.csv is not there"),
    ("62", "path=log.csv, label=zzz", "label=zzz is not a column; .* and 960 more$"),
    ("63", "path=log.parquet, label=click", "two columns are called 'ts'; rename one"),
    ("64", "path=log.parquet, label=click", "label=click is not a column; did you mean"),
]


@pytest.mark.parametrize(("number", "text", "said"), REFUSED)
def test_what_cannot_be_read_is_one_line_that_says_what_to_do(
    number: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_to(number, monkeypatch)
    result = CliRunner().invoke(main, ["data", "describe", f"csv_log[{text}]"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert re.search(said, result.stderr.strip()), result.stderr
    assert len(result.stderr) < 1500


NOTED = {
    "14": (
        f"path=log.csv, {PLAIN}, drop='Unnamed: 0'",
        r"column 1.*none of its 320 values occurs twice",
    ),
    "38": (f"path=log.csv, {PLAIN}", r"price.*taken for missing"),
    "39": (f"path=log.csv, {PLAIN}", r"price.*taken for missing"),
    "40": (f"path=., {PLAIN}", r"price.*test"),
    "53": ("path=log.csv, label=click, user=uid, item=ad", r"fewer values|left out"),
    "61": ("path=log.csv, label=click, user=uid, item=ad, drop=price, ranking=1000", r"1,?000"),
}


@pytest.mark.parametrize("number", NOTED)
def test_what_is_odd_is_read_with_a_note(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(number, monkeypatch)
    text, said = NOTED[number]
    notes = read(text).notes
    assert any(re.search(said, note) for note in notes), notes


# What methods make of it


def run(folder: Path, dataset: str, *words: str, store: str = "r.db") -> Result:
    """A small run of a case in this process; whatever happens, no traceback."""
    small = ["--repeats", "1", "--threads", "1", "--executor", "inline", "--store", str(folder / store)]
    result = CliRunner().invoke(main, ["run", "-d", f"csv_log[{dataset}]", *words, *small])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "Traceback" not in result.output
    return result


QUICK = ("-g", "random_oversampling", "-g", "independent", "-m", "logistic", "-k", "auc", "-k", "identical")
RUNS = {
    # case: log, words, exit status, what is said
    "32": (f"path=., {PLAIN}", (*QUICK, "-s", "S1"), 0, "S1 adds no row: 25% of 2 positives rounds to 0"),
    "33": (f"path=., {PLAIN}", (*QUICK, "-s", "S1"), 0, "S1 adds no row: 25% of 1 positives rounds to 0"),
    "37": ("path=log.csv, label=click, numeric=(a, b, c)", (*QUICK, "-g", "smoten", "-s", "S5"), 0, "smoten"),
    "38": (f"path=log.csv, {PLAIN}", (*QUICK, "-s", "S5"), 0, r"S5 +0\.\d+"),
    "39": (f"path=log.csv, {PLAIN}", (*QUICK, "-m", "deepfm[epochs=1]", "-s", "S5"), 0, r"S5 +0\.\d+"),
    "40": (f"path=., {PLAIN}", (*QUICK, "-m", "deepfm[epochs=1]", "-s", "S1"), 0, r"S1 +0\.\d+"),
    "45": ("path=log.csv, label=click, item=ad", (*QUICK, "-s", "S5"), 0, r"S5 +0\.\d+"),
    "46": ("path=log.csv, label=click, user=uid, item=ad", (*QUICK, "-g", "negative_sampling", "-s", "S3"), 0, "S3"),
    "47": (
        "path=log.csv, label=click, user=age, item=price, numeric=(age, price)",
        (*QUICK, "-g", "negative_sampling", "-k", "gauc", "-s", "S5"), 0, "gauc",
    ),
    "61": ("path=log.csv, label=click, user=uid, item=ad, drop=price, ranking=5", (*QUICK, "-k", "recall_at_k"), 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("number", RUNS)
def test_a_run_gives_numbers_or_reasons(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(number, monkeypatch)
    dataset, words, status, said = RUNS[number]
    result = run(tmp_path, dataset, *words)
    assert result.exit_code == status, result.output
    assert re.search(said, result.output), result.output


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        ("36", ("-g", "ctgan[batch_size=501]"), "batch_size=501.*10"),
        ("36", ("-g", "ctgan[batch_size=16]"), "batch_size=16.*10"),
        ("36", ("-g", "ctgan[pac=0]"), "pac=0"),
        ("50", ("--seed", "-1"), "-1"),
        ("50", ("--seed", "1e3"), "1e3"),
        ("50", ("--seed", "4294967296"), "4294967296"),
        ("56", ("--suite", "windows.toml"), r"path=data ew\.csv is not there"),
        ("56", ("--suite", "nested.toml"), r"nested\.toml"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(
    number: str, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_to(number, monkeypatch)
    result = CliRunner().invoke(main, ["run", *words, "--dry-run", "--store", str(tmp_path / "r.db")])
    assert result.exit_code == 2, result.output
    assert re.search(said, result.stderr), result.stderr
    assert "Traceback" not in result.stderr


def test_a_store_has_exactly_the_name_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("51", monkeypatch)
    for name in ("a b.db", "a#1.db", "a?x=1.db", "50%25.db"):
        words = ("-g", "none", "-m", "item_rate", "-k", "auc")
        assert run(tmp_path, "path=log.csv, label=click, item=ad", *words, store=name).exit_code == 0
        assert (tmp_path / name).is_file()


def test_new_positives_keep_what_all_positives_share(monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("34", monkeypatch)
    train = read("path=log.csv, label=click, numeric=price").train
    pool = Smotenc().fit(train, seed=3, context=Context()).sample(len(train), seed=4)
    new, real = (table.rows[table.targets == 1] for table in (pool, train))
    assert set(new["price"]) == set(real["price"]) == {5.0}
    assert set(new["os"]) <= set(real["os"])


def rows_of(table: Table) -> list[tuple[float, ...]]:
    return [tuple(map(float, row)) for row in np.column_stack([table.rows.to_numpy(float), table.targets])]


def test_a_copy_is_a_copy_whatever_the_sign_of_its_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("60", monkeypatch)
    splits = read("path=log.csv, label=click, numeric=shift")
    context = Context(checkpoints=tmp_path)
    sampler = Ctgan(epochs=1, constraints=None).fit(splits.train, seed=3, context=context)
    pool = sampler.sample(len(splits.train), seed=4)
    real = set(rows_of(splits.train))
    copies = sum(row in real for row in rows_of(pool))
    found = Identical().score(pool, train=splits.train, holdout=splits.valid, reference=splits.test, seed=1)
    assert found.value == copies > 0


def test_whole_numbers_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("66", monkeypatch)
    train = read("path=log.csv, label=click, numeric=(visits, day)").train
    spec = TabDdpm(steps=20, num_timesteps=5, hidden=(16,), batch_size=64)
    pool = spec.fit(train, seed=3, context=Context(checkpoints=tmp_path)).sample(len(train), seed=4)
    assert all((pool.rows[name] % 1 == 0).all() for name in ("visits", "day"))


def test_a_field_does_not_collapse_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    go_to("67", monkeypatch)
    train = read("path=log.csv, label=click, numeric=shift").train
    sampler = GaussianCopula().fit(train, seed=3, context=Context())
    pool = sampler.sample(len(train), seed=4)
    assert pool.rows["shift"].nunique() > 1 or any("shift" in str(fact) for fact in sampler.details.items())


NOT_HERE = {
    "10": "memory, measured by hand",
    "29": "names that attack a page: test_security.py and test_report.py have worse ones",
    "35": "batches beyond a table: test_ctgan.py has them",
    "41": "many binary fields: minutes",
    "42": "numbers hard to fit: test_numeric_fields.py has such",
    "43": "20,000 values: minutes",
    "57": "names that attack a table: test_security.py",
    "58": "two columns that are one: test_constraints.py has such",
    "70": "time, measured by hand",
}
ONE_TEST = {"34", "36", "50", "51", "56", "60", "66", "67"}


def test_every_case_is_known() -> None:
    known = {*READ, *SAME, *NOTED, *RUNS, *NOT_HERE, *ONE_TEST, *(number for number, _, _ in REFUSED)}
    assert {name.partition("-")[0] for name in FOLDERS} == known
