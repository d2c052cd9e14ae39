"""The edge of the store: what it writes it reads back equal, and what no ctrbench writes is a bad row in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ctrbench import Score
from ctrbench.ids import TaskKind
from ctrbench.interfaces import Published
from ctrbench.results import (
    Bookkeeping,
    DataOutput,
    DatasetInfo,
    Environment,
    Inputs,
    MetricInfo,
    PoolOutput,
    Stage,
    Status,
    TaskResult,
    TrainOutput,
)
from ctrbench.store import rows
from ctrbench.table import Field, Schema
from handmade import INFO

NOTED = Bookkeeping("pool/*", "deep", 2.5, {"source": "a", "parameters": {"epochs": 5}}, 60.0, 5.0, 10**9, True)
SCHEMA = Schema((Field("item", role="item", vocabulary=("a", "b")),)).to_json()
OUTPUTS = [
    (TaskKind.DATA, DataOutput("f", SCHEMA, {"train": 9}, {"train": 0.5}, ["a note"], "queries")),
    (TaskKind.POOL, PoolOutput("f", 9, 3, 0.5, {"chunks": 4, "loss": 0.1 + 0.2, "kind": "x"})),
    (TaskKind.TRAIN, TrainOutput(9, 0.5, {"epochs": 7})),
    (TaskKind.SCORE, Score(0.1 + 0.2, 3.0, {"low": 0.25}, True)),
    (TaskKind.SCORE, Score(0.5)),
]


def stored(kind: TaskKind, result: TaskResult) -> dict[str, Any]:
    """A row as it comes out of a database."""
    return json.loads(json.dumps(rows.task_row("run1", kind, "a" * 64, result, 2.5)))


@pytest.mark.parametrize(("kind", "output"), OUTPUTS)
def test_a_result_of_every_kind_comes_back_equal(kind: TaskKind, output: Any) -> None:
    result = TaskResult(
        Status.OK, "m (d 1)", output=output, artefacts=dict.fromkeys(("train", "valid", "test", "pool"), "b" * 64),
        curves={"loss": [(1, 0.5), (2, 0.25)]},
        seconds={"fit": 1.5}, peak_memory=7, started=1.5, host="0123456789ab", inputs=Inputs(1, 2, 3, "d", "p"),
        bookkeeping=NOTED,
    )  # fmt: skip
    found = rows.task_result(stored(kind, result))
    assert found == result
    assert found.run == "run1"


def test_a_failure_comes_back_equal() -> None:
    result = TaskResult(Status.TIMED_OUT, "m", Stage.FIT, "late", "trace", bookkeeping=NOTED)
    assert rows.task_result(stored(TaskKind.TRAIN, result)) == result


def test_values_keep_the_names_that_stores_have_had_since_their_first_version() -> None:
    values = stored(TaskKind.POOL, TaskResult(Status.CRASHED, bookkeeping=NOTED))["values"]
    assert (values["alike"], values["limit"], values["from_outside"]) == ("deep", 60.0, True)
    assert not {"cost_key", "time_limit", "killed_from_outside"} & set(values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": "k"}, "key: String should match"),
        ({"status": "fine"}, "status: Input should be"),
        ({"kind": "dream"}, "kind: Input should be"),
        ({"stage": "sleep"}, "stage: Input should be"),
        ({"outputs": {"pool": "../../etc/passwd"}}, "outputs.pool: String should match"),
        ({"outputs": "{"}, "outputs: Input should be a valid dictionary"),
        ({"values": {}}, "values: "),
        ({"values": {"value": float("nan"), "baseline": None, "details": {}}}, "nan is no finite number"),
        ({"values": {"value": "1", "baseline": None, "details": {}}}, "value: Input should be a valid number"),
        ({"seconds": {"fit": -1.0}}, "seconds.fit: Input should be greater"),
        ({"peak_memory": 2**63}, "peak_memory: Input should be less"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_a_row_that_no_ctrbench_writes_is_bad_in_one_line(changes: dict[str, Any], said: str) -> None:
    good = stored(TaskKind.SCORE, TaskResult(Status.OK, output=Score(0.5)))
    rows.task_result(good)
    with pytest.raises(rows.BadRowError, match=said) as caught:
        rows.task_result({**good, **changes})
    assert "\n" not in str(caught.value)


def test_what_a_run_says_of_itself_comes_back_equal() -> None:
    published = Published("Table 1", "a paper", "auc", {("gan", "S3", "dnn"): 0.5})
    data = DatasetInfo("log (x 1)", {"path": "x"}, "f", {"train": 9}, {"train": 0.5}, ["n"], "q", [published])
    metrics = {"auc": MetricInfo("higher", "AUC"), "auc_few": MetricInfo("higher", "AUC", slice_of="auc")}
    info = replace(
        INFO,
        datasets={"log": data},
        prediction_metrics=metrics,
        left_out=["frappe"],
        failed_data=[],
        broken=["x:y: no"],
    )
    assert rows.run_info(json.loads(json.dumps(rows.run_json(info)))) == info


def test_a_run_that_was_stopped_early_says_nothing_and_one_that_lies_is_bad() -> None:
    early = {"run": "r", "started": 1.0, "finished": None, "command": "", "about": {"suite": "s"}, "environment": {}}
    row = rows.checked(rows.RunRow, early)
    assert (row.info, row.made_in) == (None, Environment("r"))
    with pytest.raises(rows.BadRowError, match="does not say which data sets"):
        rows.checked(rows.RunRow, {**early, "about": {"suite": "s", "seed": 1}})


def test_a_cell_of_unknown_fields_is_bad() -> None:
    fields = {"dataset": "d", "generator": "", "scenario": "s", "model": "m", "repeat": 0, "train": "t"}
    row = {"run": "r", "position": 0, "kind": "cell", "fields": fields}
    assert rows.checked(rows.GridRow, row).place.model_seed == 0
    with pytest.raises(rows.BadRowError, match="a cell has no 'x'"):
        rows.checked(rows.GridRow, {**row, "fields": {**fields, "x": 1}})


@pytest.mark.parametrize(
    ("table", "at", "value", "said"),
    [
        ("runs", ("started",), 1e308, "started: "),
        ("runs", ("finished",), -1.0, "finished: "),
        ("runs", ("about", "repeats"), 10**400, "about: repeats: "),
        ("runs", ("about", "budget"), 1e300, "about: budget: "),
        ("runs", ("about", "datasets", "toy", "rows"), {}, "about.datasets.toy.rows: there is no 'train'"),
        ("runs", ("about", "datasets", "toy", "published"), [{"title": 7}], "published: "),
        (
            "runs", ("about", "datasets", "toy", "published"),
            [{"title": "t", "source": "s", "metric": "auc", "figures": [["g", "S5", 3, 0.5]]}], "figures: ",
        ),
        ("tasks", ("finished",), 1e20, "finished: "),
        ("tasks", ("seconds", "fit"), 1e308, "seconds.fit: "),
        ("tasks", ("outputs",), {}, "outputs: there is no 'pool'"),
        ("tasks", ("values", "effort"), -1e300, "values: effort: "),
        ("tasks", ("values", "facts"), {"n": 10**400}, "values: facts"),
        ("tasks", ("values", "history"), {"loss": [[10**400, 1.0]]}, "values.history: "),
        ("tasks", ("inputs",), {"seed": 10**400}, "inputs: seed: "),
    ],
)  # fmt: skip
def test_numbers_that_no_table_can_show_and_parts_that_others_need_are_looked_for(
    table: str, at: tuple[str, ...], value: object, said: str
) -> None:
    if table == "runs":
        kind: type[rows.Row] = rows.RunRow
        about = json.loads(json.dumps(rows.run_json(INFO)))
        about["datasets"]["toy"] = {
            "plugin": "toy", "parameters": {}, "fingerprint": "f", "rows": {"train": 9},
            "click_rate": {}, "published": [],
        }  # fmt: skip
        row = {"run": "r", "started": 1.0, "finished": 2.0, "command": "", "about": about, "environment": {}}
    else:
        kind = rows.TaskRow
        result = TaskResult(Status.OK, "m", output=OUTPUTS[1][1], artefacts={"pool": "b" * 64}, seconds={"fit": 1.0})
        row = stored(TaskKind.POOL, result)
    rows.checked(kind, row)
    inner: Any = row
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    with pytest.raises(rows.BadRowError) as caught:
        rows.checked(kind, row)
    assert str(caught.value).removeprefix("Value error, ").lstrip(": ").startswith(said)
