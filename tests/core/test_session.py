"""The way in from Python: names, objects and frames; the same tasks as the command; results that can be read again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ctrbench
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from ctrbench import UserError
from ctrbench.cli import main
from ctrbench_generators.independent import Independent
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
        ({"split": "parts"}, "no column 'parts'"),
        ({"split": (0.5, 0.5, 0.5)}, "three shares above 0 that sum to 1"),
        ({"valid": frame(9, 1)}, "test is missing; give three frames, or one"),
    ],
)
def test_frames_that_do_not_fit_are_refused_in_one_line(given: dict, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        ctrbench.from_frames(frame(30, 1), label="click", **given)
    assert "\n" not in str(caught.value)


def test_what_is_neither_a_name_nor_a_plug_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"datasets: DataFrame is neither a name nor a plug-in; `ctrbench\.from_frames`"
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
