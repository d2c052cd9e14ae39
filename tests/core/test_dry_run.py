"""What a run would do, told without doing it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctrbench
import pandas as pd
import pytest
from ctrbench import UserError
from ctrbench.cli import _dry_run
from ctrbench.dry_run import Preview
from ctrbench.registry import Registry
from ctrbench.running import RunRequest
from recording import SUITE

LOG = pd.DataFrame({"who": [f"u{i % 7}" for i in range(120)], "what": [i % 5 for i in range(120)]})
LOG["click"] = (LOG["what"] > 2).astype(int)
FRAMES = ctrbench.from_frames(LOG, label="click", user="who", item="what", name="my log")
ASKED: dict[str, Any] = {
    "datasets": FRAMES, "generators": "independent", "models": "item_rate", "scenarios": "S5", "metrics": "auc",
    "repeats": 2,
}  # fmt: skip


def test_python_is_told_what_a_run_would_do_and_nothing_is_kept(tmp_path: Path) -> None:
    store = tmp_path / "r.db"
    before = ctrbench.preview(**ASKED, store=store)
    assert not any(tmp_path.iterdir())
    table = before.frame()
    assert table["runs"].all()
    assert table["kind"].value_counts().to_dict() == {"train": 4, "score": 4, "pool": 2, "data": 1}
    assert repr(before) == "<Preview: 11 tasks, 11 to run>"
    assert before.spans() == (0.0, 6), "nobody knows yet what the pools and trainings take"
    assert table["seconds"].isna().all()

    assert ctrbench.run(**ASKED, store=store, executor="inline", progress=False).sound
    after = ctrbench.preview(**ASKED, store=store)
    assert repr(after) == "<Preview: 11 tasks, 0 to run>"
    assert dict(after.frame().dtypes) == dict(table.dtypes)
    again = ctrbench.preview(**ASKED, store=store, fresh=True).frame()
    assert again["runs"].all()
    assert (again["seconds"] >= 0).all()


def test_a_preview_takes_what_a_run_takes() -> None:
    asked, told = (inspect.signature(each) for each in (ctrbench.run, ctrbench.preview))
    assert told.parameters == asked.parameters
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        ctrbench.preview(epochs=3)  # type: ignore[call-arg]
    with pytest.raises(UserError, match="repeats"):
        ctrbench.preview(**{**ASKED, "repeats": 0})


def request(registry: Registry, *datasets: str) -> RunRequest:
    return RunRequest(replace(SUITE, datasets=datasets), registry)


@pytest.mark.parametrize("rotten", ["rotten_log", "rotten_log[early=true]"])
def test_a_data_set_that_a_run_goes_on_without_is_left_out(rotten: str, toy_registry: Registry, tmp_path: Path) -> None:
    made = Preview.of(request(toy_registry, rotten, "toy_log"), str(tmp_path / "r.db"))
    assert {cell.dataset for cell in made.plan.cells} == {"toy_log"}
    [said] = made.left_out
    assert "rotten_log (toys" in said
    assert "IndexError: a bug of its author" in said


def test_a_bug_that_keeps_the_only_data_set_from_loading_is_no_mistake_of_the_user(
    toy_registry: Registry, tmp_path: Path
) -> None:
    asked, store = request(toy_registry, "rotten_log"), str(tmp_path / "r.db")
    with pytest.raises(ctrbench.RunFailed, match="IndexError: a bug of its author"):
        Preview.of(asked, store)
    assert _dry_run.confirm(asked, store, 1), "the run will say it"


def test_a_data_set_that_is_not_at_hand_is_named_once_as_the_command_takes_it(
    toy_registry: Registry, tmp_path: Path
) -> None:
    asked = request(toy_registry, "mine=absent_log", "toy_log")
    asked = replace(asked, suite=replace(asked.suite, train_shares=(0.5, 1.0)))
    [said] = Preview.of(asked, str(tmp_path / "r.db")).left_out
    assert said.startswith("-d absent_log: nothing can be forecast")
    assert "`ctrbench data fetch absent_log` does" in said


def test_a_run_that_will_download_its_data_is_not_refused_for_want_of_a_forecast(
    toy_registry: Registry, tmp_path: Path
) -> None:
    asked, store = request(toy_registry, "absent_log"), str(tmp_path / "r.db")
    with pytest.raises(UserError, match="nothing can be forecast before it is at hand"):
        Preview.of(asked, store)
    assert _dry_run.confirm(asked, store, 1)
