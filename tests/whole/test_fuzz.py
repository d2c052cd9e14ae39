"""Thousands of random suites, parameters, logs, tables and command lines: never an uncaught error from user input.

Whatever a user writes ends in a result, or in one line and exit status 2. `make test-slow` draws twenty times as many.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ctrbench import Context, Splits, UserError, choices, params
from ctrbench.cli import main
from ctrbench.encoding import encode_splits
from ctrbench.registry import Registry, load_registry
from ctrbench.store.artefacts import Artefacts
from ctrbench.suite import Suite, parse_suite
from ctrbench.table import Field, Schema, Table
from ctrbench_datasets.csv_log import CsvLog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REGISTRY = load_registry()
MANY = 20


def cases(number: int, **extra: Any) -> Callable[[Any], Any]:
    """So many examples, the same ones every time; the slow form draws others."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=checks, **extra
    )


def refused(error: BaseException | str) -> None:
    """What is wrong is said in one line that is not empty."""
    text = str(error)
    assert text.strip()
    assert "\n" not in text.strip()
    assert "Traceback" not in text


# What people write


def mostly(good: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], share: int = 8) -> st.SearchStrategy[Any]:
    """Something sensible, and once in so many times something else: a mistake must not hide behind another."""
    return st.integers(1, share).flatmap(lambda n: odd if n == share else good)


WORDS = st.text(max_size=8) | st.sampled_from(
    ["", " ", "é", "\x00", "\x1b[2J", "\u202e", "'", '"', "[", "]", "all", "none"]
)
NUMBERS = mostly(
    st.integers(0, 300).map(str) | st.floats(0, 1).map(str),
    st.floats().map(str)
    | st.sampled_from(["-1", "1e400", "1" * 400, "0x10", "1_000", "١٢٣", "nan", "-inf", "-0", "1e-400", "true", ""]),
)
VALUES = st.recursive(
    mostly(NUMBERS, WORDS | WORDS.map(lambda text: f'"{text}"')) | st.sampled_from(["auto", "none", "true"]),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: "(" + ", ".join(items) + ")"),
    max_leaves=5,
)
PLUGINS = {plugin.name: plugin.plugin for plugin in REGISTRY.plugins if plugin.kind != "scenario"}
NAMES = mostly(st.sampled_from([*PLUGINS, "S1"]), WORDS)


def keys(name: str) -> st.SearchStrategy[str]:
    """The parameters of a plug-in."""
    own = [parameter.name for parameter in params.parameters(PLUGINS[name])] if name in PLUGINS else []
    return mostly(st.sampled_from(own), WORDS, 12) if own else WORDS


@st.composite
def specs(draw: st.DrawFn, kind: str = "") -> str:
    """Something like ctgan[epochs=5], now and then with a letter too many or too few."""
    name = draw(st.sampled_from([p.name for p in REGISTRY.plugins if p.kind == kind]) if kind else NAMES)
    chosen = draw(st.lists(keys(name), max_size=3, unique=True))
    given_ = ", ".join(f"{key}={draw(VALUES)}" for key in chosen)
    text = name + (f"[{given_}]" if given_ or draw(st.booleans()) else "")
    if text and draw(st.integers(0, 7)) == 7:
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.text(max_size=2)) + text[at + draw(st.integers(0, 1)) :]
    return text


def build(text: str) -> None:
    try:
        spec = params.parse(text, "-g")
        for plugin in REGISTRY.plugins:
            if plugin.name == spec.name and plugin.kind != "scenario":
                built = params.build(plugin.plugin, str(plugin), spec.values)
                again = params.parse(params.label(built, spec.values))
                assert params.build(plugin.plugin, str(plugin), again.values) == built, "a label names what it labels"
                json.dumps(params.values(built), allow_nan=False)
                params.scaled(built, 0.5)
    except UserError as error:
        refused(error)


@cases(800)
@given(specs())
def test_a_plug_in_with_parameters_is_understood_or_refused_in_one_line(text: str) -> None:
    build(text)


@pytest.mark.slow
@cases(800 * MANY)
@given(specs())
def test_many_plug_ins_with_parameters_are_understood_or_refused_in_one_line(text: str) -> None:
    build(text)


# Suites

PLAIN = st.recursive(
    st.booleans() | st.integers() | st.floats() | WORDS | specs(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def rarely(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something sensible, or once in a while anything."""
    return mostly(good, PLAIN, 30)


SHARES = st.fixed_dictionaries({}, optional=dict.fromkeys(("positives", "negatives"), rarely(st.floats(0, 10))))
SCENARIO = st.fixed_dictionaries(
    {"name": rarely(mostly(st.sampled_from(["S6", "S7", "mine"]), st.sampled_from(["S1", "all", "ä"])))},
    optional={
        "real": rarely(SHARES | st.just("balanced")),
        "synthetic": rarely(SHARES | st.just("pool")),
        "class_weight": rarely(st.sampled_from(["balanced", "none"])),
        "model_seeds": rarely(st.sampled_from(["common", "own"])),
        "help": rarely(WORDS),
        "synthetic_weight": rarely(st.floats(0.001, 100)),
        "plausible": rarely(st.floats(0.1, 1)),
        "order": rarely(st.sampled_from(["mixed", "synthetic first"])),
    },
)


@st.composite
def settings_of(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """What a suite says of the plug-ins of a kind."""
    names = draw(st.lists(st.sampled_from([p.name for p in REGISTRY.plugins if p.kind == kind]), max_size=2))
    values = rarely(st.integers(0, 300) | st.floats(0, 1) | st.lists(st.integers(1, 99), max_size=3))
    return {name: draw(rarely(st.dictionaries(keys(name), values, max_size=2))) for name in names}


KINDS = ("dataset", "generator", "model", "metric")
ON = st.dictionaries(
    mostly(st.sampled_from(["simulated", "csv_log", "frappe"]), WORDS, 20),
    rarely(
        st.fixed_dictionaries(
            {}, optional={"timeout": rarely(st.floats(1, 9)), **{f"{kind}s": settings_of(kind) for kind in KINDS}}
        )
    ),
    max_size=2,
)
SUITES = st.fixed_dictionaries(
    {},
    optional={
        **{f"{kind}s": rarely(st.lists(mostly(specs(kind), st.just("all")), max_size=2)) for kind in KINDS},
        "scenarios": rarely(st.lists(st.sampled_from(["original", "S1", "S5", "all"]), max_size=3) | st.just("all")),
        "doses": rarely(st.lists(rarely(st.floats(0.01, 11)), max_size=3)),
        "train_shares": rarely(st.lists(rarely(st.floats(0.01, 1.1)), max_size=3)),
        "repeats": rarely(mostly(st.integers(1, 3), st.integers(-1, 10**5))),
        "seed": rarely(st.integers(0, 2**32)),
        "budget": rarely(st.floats(0.01, 100)),
        "description": rarely(WORDS),
        "name": rarely(WORDS),
        "scenario": rarely(st.lists(SCENARIO, max_size=2)),
        "on": rarely(ON),
    },
)


def toml(value: Any) -> str:
    """A value as TOML writes it, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value) if "e" not in str(value) else f"{value:.1e}"
    if isinstance(value, str):
        letters = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
        return f'"{"".join(letters)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


def take_suite(text: str) -> None:
    try:
        suite = parse_suite(text, "fuzz", "fuzz.toml")
        assert isinstance(suite, Suite)
        choices.check_settings(suite, REGISTRY)
        choices.choose_scenarios(suite, REGISTRY)
        choices.imports(suite, REGISTRY)
        for kind in ("dataset", "generator", "model", "metric"):
            choices.choose(suite, REGISTRY, kind)
    except UserError as error:
        refused(error)


@cases(400)
@given(SUITES)
def test_a_suite_is_understood_or_refused_in_one_line(suite: dict[str, Any]) -> None:
    take_suite("\n".join(f"{key} = {toml(value)}" for key, value in suite.items()))


@cases(200)
@given(
    st.text()
    | st.lists(st.sampled_from(["[", "]", "[[scenario]]", "=", "\n", '"', "on", ".", "{", "}", "'", "1"])).map("".join)
)
def test_a_text_that_is_no_suite_is_refused_in_one_line(text: str) -> None:
    take_suite(text)


@pytest.mark.slow
@cases(400 * MANY)
@given(SUITES)
def test_many_suites_are_understood_or_refused_in_one_line(suite: dict[str, Any]) -> None:
    take_suite("\n".join(f"{key} = {toml(value)}" for key, value in suite.items()))


# Logs

GOOD = ["1", "0", "a", "b", "1.5", ""]
ODD = [
    "NA",
    "nan",
    "inf",
    "1e400",
    "-1e308",
    "007",
    "2024-01-01",
    "é",
    '"',
    "''",
    ",",
    "\t",
    "0x1",
    "1" * 40,
    "\x1b[2J",
]
HEADERS = ["u", "i", "x", "t", "Label", "é", "index", "0", "(missing)", "//labels", "//weights", "Unnamed: 0"]
WEIRD = ["", " ", "label ", "label", "u", "\ufefflabel", "a\nb", "\u202e", '"']
ENCODINGS = ["utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-32", "utf-16-le"]


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """A file like a click log, with what goes wrong with such files, one or two things at a time."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    columns = draw(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=4, unique=True))
    if draw(st.integers(0, 5)) == 5:
        columns.append(draw(st.sampled_from(WEIRD) | st.text(max_size=4)))
    if draw(st.integers(0, 9)) < 9:
        columns = ["label", *columns]
    places, ragged = draw(mostly(st.just((GOOD, 0.0)), st.sampled_from([(GOOD + ODD, 0.0), (GOOD, 0.05)]), 4))
    rows = []
    for n in range(draw(mostly(st.sampled_from([30, 60]), st.sampled_from([0, 1, 5])))):
        row = [str(n % 2), *(rng.choice(places) for _ in columns[1:])]
        if rng.random() < ragged:
            row = row[:-1] if rng.random() < 0.5 else [*row, "extra"]
        rows.append(row)
    quote = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    text = end.join(",".join(f'"{p}"' if quote else p for p in row) for row in [columns, *rows])
    data = text.encode(draw(mostly(st.just("utf-8"), st.sampled_from(ENCODINGS))), "replace")
    if draw(st.integers(0, 7)) == 7:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4) | st.just(b"\x00")) + data[at:]
    return data


PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "label": mostly(st.just("label"), st.sampled_from(["Label", "u", ""])),
        "user": mostly(st.just("u"), st.sampled_from([("u", "i"), "", "nobody"]), 3),
        "item": st.sampled_from(["i", "u", ()]),
        "numeric": st.sampled_from(["x", "u", "label", ("x", "x")]),
        "drop": st.sampled_from(["t", "u", ("u", "i", "x", "t")]),
        "time": st.sampled_from(["t", "u", "label"]),
        "ratios": st.sampled_from(
            [(0.8, 0.1, 0.1), (0.34, 0.33, 0.33), (1e-9, 0.5, 0.5 - 1e-9), (float("nan"), 0.5, 0.5)]
        ),
    },
)


def take_log(folder: Path, data: bytes, suffix: str, parameters: dict[str, Any]) -> None:
    path = folder / f"log{suffix}"
    path.write_bytes(data)
    try:
        splits = CsvLog(path=str(path), **parameters).load(seed=1, context=Context())
        whole(splits, folder)
    except UserError as error:
        refused(error)


def whole(splits: Splits, folder: Path) -> None:
    """Splits that a plug-in can rely on, and that come back from the disk as they were."""
    for table in (splits.train, splits.valid, splits.test):
        assert table.schema == splits.train.schema
        assert set(np.unique(table.targets)) == {0, 1}
        for field in table.schema.categorical:
            codes = table.rows[field.name].to_numpy()
            assert codes.min() >= (1 if table is splits.train else 0)
            assert codes.max() < field.vocab_size
    artefacts = Artefacts(folder / "artefacts")
    back = artefacts.get_table(artefacts.put_table(splits.train))
    assert back.digest() == splits.train.digest()
    assert back.schema == splits.train.schema


@cases(450)
@given(logs(), st.sampled_from([".csv", ".csv", ".csv", ".tsv", ".parquet", ".csv.gz", ""]), PARAMETERS)
def test_a_log_is_read_or_refused_in_one_line(tmp_path: Path, data: bytes, suffix: str, parameters: Any) -> None:
    take_log(tmp_path, data, suffix, parameters)


@cases(200)
@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv", ".parquet", ".csv.gz"]))
def test_bytes_are_a_log_or_refused_in_one_line(tmp_path: Path, data: bytes, suffix: str) -> None:
    take_log(tmp_path, data, suffix, {})


@pytest.mark.slow
@cases(450 * MANY)
@given(logs(), st.sampled_from([".csv", ".csv", ".csv", ".tsv", ".parquet", ".csv.gz", ""]), PARAMETERS)
def test_many_logs_are_read_or_refused_in_one_line(tmp_path: Path, data: bytes, suffix: str, parameters: Any) -> None:
    take_log(tmp_path, data, suffix, parameters)


# Tables

CELLS = st.one_of(
    st.sampled_from(
        [0, 1, 2, "a", "b", "", None, float("nan"), float("inf"), 1e308, 2**63, 2**64, "1", 1.0, True, b"x"]
    ),
    st.sampled_from([pd.Timestamp("2024-01-01"), pd.NaT, (1, 2), [1], {"a": 1}, 1j, "\x00", "(missing)"]),
)


@st.composite
def frames(draw: st.DrawFn) -> list[pd.DataFrame]:
    """Three frames of which most can be a log."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    odd = draw(st.lists(CELLS, max_size=3))
    made = []
    for rows in draw(st.tuples(*[mostly(st.sampled_from([20, 40]), st.sampled_from([0, 2]), 20)] * 3)):
        values = [0, 1, 2, *odd] if draw(st.booleans()) else ["a", "b", *odd]
        columns: dict[Any, Any] = {
            name: pd.Series([rng.choice(values) for _ in range(rows)], dtype=draw(st.sampled_from([object, None])))
            if draw(st.integers(0, 5))
            else pd.Series([rng.random() for _ in range(rows)])
            for name in ("u", "x")
        }
        columns["label"] = pd.Series(
            [n % 2 for n in range(rows)], dtype=draw(st.sampled_from([int, float, object, bool]))
        )
        made.append(pd.DataFrame(columns))
    return made


@cases(250)
@given(frames(), st.sampled_from(["categorical", "numeric"]))
def test_a_table_is_encoded_or_refused_in_one_line(tmp_path: Path, raw: list[pd.DataFrame], kind: Any) -> None:
    try:
        splits = encode_splits(*raw, label="label", fields=[Field("u"), Field("x", kind)], source="fuzz")
        whole(splits, tmp_path)
    except UserError as error:
        refused(error)


@cases(200)
@given(
    st.lists(st.text(max_size=6), min_size=1, max_size=3, unique=True),
    st.lists(st.text(max_size=5), max_size=4),
    st.data(),
)
def test_a_table_with_any_names_and_values_comes_back_as_it_was(
    tmp_path: Path, names: list[str], vocabulary: list[str], data: st.DataObject
) -> None:
    rows = data.draw(st.integers(0, 5))
    fields = tuple(Field(name, vocabulary=tuple(vocabulary)) for name in names)
    numbers = np.random.default_rng(rows)
    codes = {name: numbers.integers(0, len(vocabulary) + 1, rows).astype(np.int32) for name in names}
    table = Table(pd.DataFrame(codes), Schema(fields, data.draw(st.text(max_size=4))), np.zeros(rows, np.int8))
    artefacts = Artefacts(tmp_path)
    back = artefacts.get_table(artefacts.put_table(table))
    assert back.digest() == table.digest()
    assert back.schema == table.schema


# Command lines

OPTIONS = [
    "-d",
    "-g",
    "-m",
    "-s",
    "-k",
    "--suite",
    "--repeats",
    "--seed",
    "--workers",
    "--threads",
    "--device",
    "--executor",
]
OPTIONS += [
    "--budget",
    "--timeout",
    "--store",
    "--all",
    "--retry-failed",
    "--fresh",
    "--help",
    "--view",
    "--format",
    "--metric",
]
OPTIONS += ["--run", "--runs", "--traceback", "-h", "--version", "--", "-", "--seeed", "-x"]
SMALL = "simulated[train_rows=200, valid_rows=100, test_rows=100]"
TOKENS = (
    st.sampled_from(OPTIONS)
    | NAMES
    | specs()
    | NUMBERS
    | st.sampled_from([SMALL, "log.csv", "fuzz.toml", ".", "/", "results.db"])
)
COMMANDS = st.sampled_from(
    [
        *[["run", "--dry-run", "-d", SMALL, "-g", "independent", "-m", "item_rate"], ["run", "--dry-run"], []],
        *[["leaderboard"], ["list"], ["show"], ["data", "describe"], ["data"], ["plugins"], ["check", "x", "--no"]],
    ]
)


def take_command(words: list[str]) -> None:
    if words[:1] == ["run"] and "--dry-run" not in words:
        return
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (0, 1, 2), (words, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), words
    assert "Traceback" not in result.output
    if result.exit_code == 2 and words not in ([], ["data"]):  # these print the help
        own = [line for line in result.stderr.splitlines() if line.startswith(("ctrbench: ", "Error: "))]
        assert len(own) == 1, (words, result.output)
        assert len(result.stderr.strip().splitlines()) <= 8, (words, result.output)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("CTRBENCH_STORE", "CTRBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ctrbench.registry.load_registry", lambda found=None: _copy(REGISTRY))
    Path("log.csv").write_text("label,u,i\n" + "".join(f"{n % 2},{n % 3},{n % 5}\n" for n in range(60)))
    Path("fuzz.toml").write_text('datasets = ["simulated"]\nmodels = ["item_rate"]\ngenerators = []\n')
    return tmp_path


def _copy(registry: Registry) -> Registry:
    return Registry(list(registry.plugins), list(registry.broken), [])


@cases(200)
@given(COMMANDS, st.lists(TOKENS, max_size=5))
def test_a_command_line_ends_with_a_status_of_ours_and_one_line(
    here: Path, command: list[str], words: list[str]
) -> None:
    take_command([*command, *words])


@pytest.mark.slow
@cases(200 * MANY)
@given(COMMANDS, st.lists(TOKENS, max_size=5))
def test_many_command_lines_end_with_a_status_of_ours_and_one_line(
    here: Path, command: list[str], words: list[str]
) -> None:
    take_command([*command, *words])


RUN = ["-g", "independent", "-g", "random_oversampling", "-m", "item_rate", "-m", "logistic", "-s", "S1", "-s", "S5"]


@cases(20)
@given(data=logs())
def test_a_whole_run_on_any_log_ends_with_tables_or_one_line(here: Path, data: bytes) -> None:
    Path("fuzz.csv").write_bytes(data)
    words = ["run", "-d", "csv_log[path=fuzz.csv]", *RUN, "--executor", "inline"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code in (0, 1, 2), result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        assert [line.startswith("ctrbench: ") for line in result.stderr.splitlines()].count(True) == 1
        assert result.stderr.splitlines()[-1].startswith("ctrbench: ")
