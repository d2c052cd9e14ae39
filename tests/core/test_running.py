"""The way in from Python: names, objects and frames; the same tasks as the command; results that can be read again."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ctrbench
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ctrbench import Suite, TaskResult, UserError
from ctrbench.cli import main
from ctrbench.driver import How
from ctrbench.plan import Task
from ctrbench.registry import Registry
from ctrbench.running import RunRequest
from ctrbench_generators.independent import Independent
from ctrbench_generators.smoten import Smoten
from ctrbench_models.item_rate import ItemRate
from recording import RunRecorder

SMALL = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"
WORDS = ["-d", SMALL, "-g", "independent", "-m", "item_rate", "-s", "S5", "-k", "auc", "-k", "identical"]
SELECTION = {"datasets": SMALL, "generators": "independent", "models": "item_rate", "scenarios": "S5"}
METRICS = ["auc", "identical"]


def frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"who": rng.integers(0, 20, rows), "what": rng.integers(0, 8, rows)})
    made["click"] = (rng.random(rows) < made["what"] / 10).astype(int)
    return made


def test_a_run_from_python_finds_what_the_command_did_and_load_reads_it(tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    done = CliRunner().invoke(main, ["run", *WORDS, "--executor", "inline", "--store", str(store)])
    assert done.exit_code == 0, done.output
    recorder = RunRecorder()
    named = ctrbench.run(**SELECTION, metrics=METRICS, store=store, executor="inline", progress=recorder)
    assert (recorder.done, recorder.blocked) == ([], [])
    assert recorder.found
    objects = RunRecorder()
    made = {**SELECTION, "generators": Independent(), "models": [ItemRate()]}
    given = ctrbench.run(**made, metrics=METRICS, store=store, executor="inline", progress=objects)
    assert objects.done == []
    assert given.frame("cells").equals(named.frame("cells"))
    latest = ctrbench.load(store)
    assert latest.run == given.run
    assert ctrbench.load(store, named.run).frame("cells").equals(named.frame("cells"))
    assert "S5" in latest.leaderboards(["scenarios"])
    with pytest.raises(UserError, match="no run 'monday'"):
        ctrbench.load(store, "monday")


def test_frames_are_a_data_set_and_the_same_frames_are_not_loaded_again(tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    given = {"generators": "independent", "models": "item_rate", "scenarios": "S5", "metrics": "auc"}

    def run(seed: int) -> tuple[RunRecorder, ctrbench.Results]:
        log = ctrbench.from_frames(frame(900, seed), label="click", user="who", item="what", name="shop")
        assert repr(log) == "<Frames 'shop': train 720, valid 90, test 90 rows>"
        recorder = RunRecorder()
        return recorder, ctrbench.run(datasets=log, **given, store=store, executor="inline", progress=recorder)

    first, results = run(1)
    assert first.done
    assert list(results.stored.info.datasets) == ["shop"]
    assert results.stored.info.datasets["shop"].rows == {"train": 720, "valid": 90, "test": 90}
    assert results.frame("cells")["auc"].between(0.5, 1).any()
    assert run(1)[0].done == []
    assert run(2)[0].done, "other rows are other data"


def test_a_split_column_says_which_rows_are_which_and_is_no_field(tmp_path: Path) -> None:
    made = frame(300, 3)
    made["part"] = np.repeat(["train", "valid", "test"], [200, 60, 40])
    log = ctrbench.from_frames(made, label="click", item="what", split="part")
    assert {name: len(part) for name, part in log.frames.items()} == {"train": 200, "valid": 60, "test": 40}
    splits = log.taken_in(tmp_path).load(seed=1, context=ctrbench.Context())
    assert splits.train.schema.names == ("who", "what")
    made.loc[0, "part"] = "dev"
    with pytest.raises(UserError, match="part='dev' is neither train, valid nor test"):
        ctrbench.from_frames(made, label="click", split="part")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "whom"}, "no column 'whom'; did you mean 'who'"),
        ({"user": None}, "user=None: give the name of a column"),
        ({"item": [["what"]]}, "item=.*: give the name of a column"),
        ({"item": ["what", "what"]}, "give each column once"),
        ({"label": None}, "label=None: give the name of a column"),
        ({"label": 7}, "label: no column '7'; there are who, what, click"),
        ({"user": "click"}, "'click' is named for label and for user"),
        ({"user": "who", "item": "who"}, "'who' is named for user and for item"),
        ({"split": "parts"}, "no column 'parts'"),
        ({"split": "who", "user": "who"}, "neither train, valid nor test|named for"),
        ({"split": 0.8}, "split=0.8: give the name of a column, or three shares"),
        ({"split": ("a", "b", "c")}, "split='a': give"),
        ({"split": (0.5, 0.5, 0.5)}, "three shares above 0 that sum to 1"),
        ({"split": (float("nan"), 0.5, 0.5)}, "split=nan: give"),
        ({"seed": -1}, "seed=-1: give a whole number from 0"),
        ({"seed": "x"}, "seed='x': give a whole number"),
        ({"name": 3}, "name=3: give a text"),
        ({"name": " "}, "give a text, which tables show"),
        ({"valid": frame(9, 1)}, "test is missing; give three frames, or one"),
        ({"valid": [1], "test": [2]}, r"valid=\[1\]: give a pandas DataFrame"),
        ({"valid": frame(9, 1), "test": frame(9, 2), "split": (0.8, 0.1, 0.1)}, "split is for one frame"),
        ({"valid": frame(9, 1), "test": frame(9, 2), "seed": 2}, "seed is for one frame"),
        ({"valid": frame(9, 1), "test": frame(9, 2).assign(z=1)}, "column 'z' of test is not in each frame"),
        ({"train": None}, "train=None: give a pandas DataFrame"),
        ({"train": {"click": [0, 1]}}, "train=.*: give a pandas DataFrame"),
        ({"train": frame(9, 1)["who"]}, "train=<Series>: give a pandas DataFrame"),
        ({"train": pd.concat([frame(9, 1), frame(9, 1)["who"]], axis=1)}, "train has two columns 'who'"),
    ],
)
def test_frames_that_do_not_fit_are_refused_in_one_line(given: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        ctrbench.from_frames(**{"train": frame(30, 1), "label": "click", **given})
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_any_size_are_values_as_in_a_text_file(tmp_path: Path) -> None:
    made = frame(300, 3)
    made["who"] = pd.Series([2**64 + 1, 2**64, None, 7, -(2**70)] * 60, dtype=object)
    made["part"] = np.where(np.arange(300) < 200, "train", np.where(np.arange(300) < 250, "valid", "test"))
    made.loc[made.part == "test", "who"] = 7
    splits = (
        ctrbench.from_frames(made, label="click", split="part")
        .taken_in(tmp_path)
        .load(seed=1, context=ctrbench.Context())
    )
    there = splits.train.schema.fields[0].vocabulary
    assert {str(2**64 + 1), str(2**64), "7", str(-(2**70))} <= set(there)
    assert splits.test.rows["who"].unique().tolist() == [there.index("7") + 1]


@pytest.mark.parametrize("values", [[2**70, "a"], [2**70, True]])
def test_large_numbers_beside_what_is_none_are_refused_in_one_line(tmp_path: Path, values: list[object]) -> None:
    log = ctrbench.from_frames(frame(30, 1).assign(who=pd.Series(values * 15, dtype=object)), label="click")
    with pytest.raises(UserError, match="from_frames: frames, train: column 'who' cannot be kept") as caught:
        log.taken_in(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_index_with_a_name_is_a_column_and_what_nobody_names_may_be_left_out(tmp_path: Path) -> None:
    made = frame(300, 3).assign(row=range(300), age=pd.cut(np.arange(300) % 60, [-1, 20, 60]))
    names = {}
    for keep in ((), "row"):
        log = ctrbench.from_frames(made.set_index("who"), label="click", keep=keep)
        splits = log.taken_in(tmp_path).load(seed=1, context=ctrbench.Context())
        names[keep] = splits.train.schema.names
    assert names == {(): ("who", "what", "age"), "row": ("who", "what", "row", "age")}
    assert splits.train.schema.fields[-1].vocabulary == ("(-1, 20]", "(20, 60]")
    with pytest.raises(UserError, match="train has an index and a column 'who'"):
        ctrbench.from_frames(made.set_index("who", drop=False), label="click")


@pytest.mark.parametrize("numeric", [(), "stay"])
def test_a_column_of_a_frame_that_gives_the_label_away_is_noted(tmp_path: Path, numeric: str | tuple[()]) -> None:
    made = frame(300, 3)
    log = ctrbench.from_frames(
        made.assign(stay=made["click"] * (1.5 + made["who"] % 7)), label="click", numeric=numeric
    )
    told = [note for note in log.taken_in(tmp_path).load(seed=1, context=ctrbench.Context()).notes if "alone" in note]
    assert told == [
        "field 'stay' alone tells clicks from other rows (AUC 1.00): if it is not known before a click, leave it out "
        "of the frames"
    ]


def test_a_message_names_the_row_of_the_frame_in_which_it_is(tmp_path: Path) -> None:
    log = ctrbench.from_frames(frame(300, 3).astype({"click": object}), label="click")
    row = log.frames["valid"].index[4]
    log.frames["valid"].loc[row, "click"] = 7
    with pytest.raises(UserError, match="frames, valid: label 'click': 7 in row 5 of the valid frame is neither"):
        log.taken_in(tmp_path).load(seed=1, context=ctrbench.Context())


@pytest.mark.parametrize(("label", "user"), [(2, 0), ("2", "0")])
def test_columns_that_pandas_numbered_are_called_by_number_or_text(label: int | str, user: int | str) -> None:
    log = ctrbench.from_frames(frame(30, 1).set_axis([0, 1, 2], axis=1), label=label, user=user)
    assert (log.label, log.user, list(log.frames["train"])) == ("2", ("0",), ["0", "1", "2"])


SHOP = ctrbench.from_frames(frame(60, 1), label="click", user="who", item="what", name="shop")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *[({"workers": bad}, "workers=.*: give a whole number from 1 to 1024") for bad in (-1, 0, 1.5, True, "x")],
        *[({"threads": bad}, "threads=.*: give a whole number from 1 to 1024") for bad in (0, "2", None, -1, 1.5)],
        *[({"repeats": bad}, "repeats=.* must") for bad in (0, "x", True, 1.5)],
        ({"model_seeds": 0}, "model_seeds=0 must lie"),
        *[({name: 10**5000}, f"{name}=.*digits") for name in ("threads", "repeats", "seed", "budget", "memory")],
        ({"seed": "x"}, "seed='x' must be a whole number"),
        ({"budget": float("nan")}, "budget=nan must lie"),
        ({"doses": []}, r"doses=\[\]: give at least one number"),
        ({"doses": ["1"]}, "doses='1': give numbers, as in"),
        ({"doses": 10**400}, "doses=1000.*: give numbers, as in"),
        ({"datasets": "None"}, "datasets: none leaves nothing to run on"),
        ({"suite": "a\0.toml"}, "cannot be read: embedded null byte"),
        ({"train_shares": 2}, "train_shares=2.0 must be numbers above 0 and at most 1"),
        ({"timeout": {"fit": "x"}}, "timeout.fit='x' must be seconds"),
        ({"memory": 5}, "memory=5 must be a text with a unit"),
        *[({"suite": bad}, "suite=.*: give the name of a suite") for bad in (None, 5, {})],
        *[({"device": bad}, "device=.*: give auto, cpu, cuda or cuda:N") for bad in (None, 5)],
        ({"device": "cuda:x"}, "device cuda:x: choose auto, cpu, cuda or cuda:N"),
        ({"executor": 5}, "executor=5: give one of local, inline, ray"),
        ({"workers": 2}, "workers 2: the executor inline does one task at a time"),
        *[({"store": bad}, "store=.*: give a path or the URL") for bad in (5, b"", "")],
        *[({section: []}, f"{section}=.*: give at least one") for section in (*SELECTION, "metrics")],
        ({"generators": []}, "or 'none' for no pools"),
        ({"generators": Independent}, r"Independent is a class; give Independent\(\)"),
        ({"generators": Smoten(k_neighbors=-5)}, r"smoten \(ctrbench .*k_neighbors=-5 should be greater"),
        ({"generators": "smotn"}, "generators: no generator 'smotn'; did you mean 'smoten'"),
        ({"scenarios": ctrbench.Scenario("none")}, "a scenario cannot be called 'none'"),
        ({"scenarios": ctrbench.Scenario(5)}, "each scenario needs a name of letters"),  # type: ignore[arg-type]
        ({"datasets": [SHOP, SHOP]}, "two are called 'shop'; give from_frames a name="),
        *[({"progress": bad}, "progress=.*: give True, False, or") for bad in (RunRecorder, object(), "x", None)],
        *[({flag: "x"}, f"{flag}='x': give True or False") for flag in ("everything", "fresh", "retry_failed")],
    ],
)
def test_what_run_cannot_use_is_refused_in_one_line_in_pythons_words(given: dict, said: str, tmp_path: Path) -> None:
    arguments = {**SELECTION, "metrics": "auc", "store": tmp_path / "r.db", "executor": "inline", **given}
    with pytest.raises(UserError, match=said) as caught:
        ctrbench.run(**arguments)
    assert "\n" not in str(caught.value)
    assert not re.search(r"(^|\s)--?[a-z]", str(caught.value)), "an option of the command line"


def test_the_word_all_stands_for_all_data_sets_however_it_is_written(tmp_path: Path) -> None:
    assert RunRequest(Suite("toys"), Registry()).with_frames(["simulated", "All"], tmp_path).suite.datasets == (
        "simulated",
        "all",
    )


def test_a_daemon_is_told_that_it_may_start_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "daemon", True)  # as in each process of a Pool
    with pytest.raises(UserError, match=r"may start no workers.* use concurrent\.futures"):
        ctrbench.run(**SELECTION, metrics="auc", store=tmp_path / "r.db", progress=False)
    assert ctrbench.run(**SELECTION, metrics="auc", store=tmp_path / "r.db", executor="inline", progress=False).sound


def test_runs_of_several_threads_in_this_process_take_turns(tmp_path: Path) -> None:
    def run(seed: int) -> bool:
        store = tmp_path / f"{seed}.db"
        return ctrbench.run(**SELECTION, metrics="auc", seed=seed, store=store, executor="inline", progress=False).sound

    before = os.environ.get("OMP_NUM_THREADS"), sys.stdout, sys.stderr
    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(run, (1, 2, 3)))
    assert (os.environ.get("OMP_NUM_THREADS"), sys.stdout, sys.stderr) == before


def test_doses_and_shares_of_train_are_run_and_read(tmp_path: Path) -> None:
    given = {**SELECTION, "scenarios": None, "metrics": "auc", "executor": "inline", "progress": False}
    done = ctrbench.run(**given, doses=[0.25, 0.5, np.float32(1)], train_shares=(0.5, 1), store=tmp_path / "r.db")
    assert done.sound
    assert set(done.frame("doses")["adds"]) == {"positives", "negatives", "both"}
    shares = done.frame("shares")
    assert set(zip(shares["dataset"], shares["train_share"], strict=True)) == {
        ("simulated", 1),
        ("simulated at 50 %", 0.5),
    }
    assert shares["scenario"].nunique() == 9
    whole, half = (done.stored.info.datasets[name].rows for name in ("simulated", "simulated at 50 %"))
    assert (half["train"], half["test"]) == (round(whole["train"] / 2), whole["test"])
    for pool in done.stored.pools:
        assert pool.result.output.rows >= done.stored.info.datasets[pool.dataset].rows["train"]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    numbers = {"repeats": np.int64(1), "seed": np.int32(3), "budget": np.float32(1), "threads": np.int64(1)}
    done = ctrbench.run(**SELECTION, metrics="auc", store=tmp_path / "r.db", executor="inline", **numbers)
    assert (done.stored.info.repeats, done.stored.info.seed) == (1, 3)


def test_what_load_and_results_cannot_use_is_refused_in_one_line(tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    results = ctrbench.run(**SELECTION, metrics="auc", store=store, executor="inline", progress=False)
    for call, said in {
        (lambda: ctrbench.load(5)): "store=5: give a path",  # type: ignore[arg-type]
        (lambda: ctrbench.load(store, run=5)): "run=5: give the name of a run",  # type: ignore[arg-type]
        (lambda: results.frame(5)): "frame=5: give one of scenarios",  # type: ignore[arg-type]
        (lambda: results.frame("cells", 5)): "metric=5: give one of auc",  # type: ignore[arg-type]
        (lambda: results.report(5)): "file=5: give a path",  # type: ignore[arg-type]
        (lambda: results.report(tmp_path / "r.html", force="x")): "force='x': give True or False",  # type: ignore[arg-type]
        (lambda: results.leaderboards(5)): "views=5: give names in a list",  # type: ignore[arg-type]
        (lambda: results.leaderboards([5])): "views=5: give some of",  # type: ignore[list-item]
        (lambda: results.leaderboards(style=None)): "style=None: give one of table",  # type: ignore[arg-type]
    }.items():
        with pytest.raises(UserError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert results.leaderboards("scenarios") == results.leaderboards(["scenarios"])


def test_a_mistyped_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*shelf; make it, or name another store"):
        ctrbench.run(**SELECTION, metrics="auc", executor="inline", store=tmp_path / "shelf" / "r.db")
    assert not list(tmp_path.iterdir())


def test_what_is_neither_a_name_nor_a_plug_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"datasets: <DataFrame> is neither a name nor a plug-in; `ctrbench\.from_frames`"
    ):
        ctrbench.run(datasets=frame(9, 1), store=tmp_path / "r.db")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="executor 'inlin': did you mean 'inline'"):
        ctrbench.run(executor="inlin", store=tmp_path / "r.db")
    with pytest.raises(UserError, match="there is no store yet"):
        ctrbench.load(tmp_path / "none.db")


BOOT = """
from dataclasses import dataclass
from typing import ClassVar

import ctrbench
import numpy as np


class Rows(ctrbench.Sampler):
    def __init__(self, table):
        self.table = table

    def sample(self, rows, *, seed):
        return self.table.take(np.arange(rows))


@dataclass(frozen=True)
class Boot(ctrbench.Generator):
    \"\"\"The first rows of train.\"\"\"

    name: ClassVar[str] = "boot"

    def fit(self, train, *, seed, context):
        return Rows(train)


log = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"
results = ctrbench.run(
    datasets=log, generators=Boot(), models="item_rate", scenarios="S1", metrics="auc", repeats=1, store="s.db"
)
assert results.sound
"""


@pytest.mark.parametrize(("typed", "again"), [(False, True), (True, False)])
def test_a_plug_in_of_a_script_runs_and_one_that_was_typed_is_never_taken_for_another(
    typed: bool, again: bool, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(BOOT)
    command = [sys.executable, *(["-c", BOOT] if typed else ["own.py"])]
    ends = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert [end.returncode for end in ends] == [0, 0], ends[-1].stderr
    assert ("\n0 tasks done" in ends[1].stderr) is again


class Ways(ctrbench.Watcher):
    """By how each task came by its result."""

    def __init__(self) -> None:
        self.how: dict[str, str] = {}

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        self.how[task.name] = how


def test_work_that_equals_other_work_of_the_run_is_not_said_to_have_been_stored(tmp_path: Path) -> None:
    given = {**SELECTION, "generators": "none", "scenarios": ["original", ctrbench.Scenario("twin")], "metrics": "auc"}
    for expected in ("equal", "stored", "equal"):
        ways, fresh = Ways(), expected == "equal"
        ctrbench.run(**given, store=tmp_path / "r.db", executor="inline", progress=ways, fresh=fresh)
        assert {how for name, how in ways.how.items() if "/twin/" in name} == {expected}


def test_limits_that_nobody_enforces_are_noted_for_python_and_the_command_line(tmp_path: Path) -> None:
    suite, store, told = tmp_path / "own.toml", tmp_path / "r.db", "executor inline: nobody can stop a task there"
    suite.write_text('[on.simulated]\nmemory = "8GB"\n')
    for given, noted in (({"suite": str(suite)}, True), ({"timeout": 600}, True), ({}, False)):
        recorder = RunRecorder()
        ctrbench.run(**SELECTION, metrics="auc", store=store, executor="inline", progress=recorder, **given)
        assert any(note.startswith(told) for note in recorder.notes) == noted
    command = ["run", *WORDS, "--suite", str(suite), "--executor", "inline", "--store", str(store)]
    for more in ([], ["--dry-run"]):
        assert CliRunner().invoke(main, [*command, *more]).output.count(told) == 1
