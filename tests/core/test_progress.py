from __future__ import annotations

from dataclasses import replace

import pytest
from ctrbench import progress
from ctrbench.costs import Costs
from ctrbench.executors import Progress
from ctrbench.ids import PoolId, ScoreId
from ctrbench.plan import Task
from ctrbench.progress import PlainWatcher
from ctrbench.results import Stage, Status, TaskResult

POOL = PoolId("log", "0123", 0, "ctgan")
TASK = Task(POOL, "ctgan (ctrbench 0)", lambda results: None)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_long_task_is_heard_of_each_minute_with_its_losses_and_the_time_left(clock, capsys) -> None:
    watcher = PlainWatcher(1, Costs({}))
    watcher.planned({TASK.name: TASK})
    watcher.begun(TASK)
    for step in range(0, 100):
        watcher.progressed(TASK, Progress(TASK.name, step, 200, {"loss": 0.5}))
        clock[0] += 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4  # 297 seconds
    assert said[0] == "… pool/log/0123/0/ctgan: 21/200 loss 0.5 · 9 min left"


def test_the_time_left_is_reckoned_anew_when_sampling_follows_the_fit(clock) -> None:
    flight = progress._Flight()
    flight.heard(Progress("t", 0, 100, {}))
    clock[0] += 1000
    flight.heard(Progress("t", 100, 100, {}))
    flight.heard(Progress("t", 0, 50, {}))
    clock[0] += 10
    flight.heard(Progress("t", 10, 50, {}))
    assert flight.said == "10/50 · 40 s left"


def test_a_report_that_comes_after_the_end_is_not_kept(clock) -> None:
    watcher = PlainWatcher(1, Costs({}))
    watcher.planned({TASK.name: TASK})
    watcher.begun(TASK)
    watcher.ended(TASK, TaskResult(Status.OK), "done")
    watcher.progressed(TASK, Progress(TASK.name, 1, 2, {}))
    assert not watcher._flying


def test_a_skip_is_said_once_for_each_reason_and_a_failure_each_time(clock, capsys) -> None:
    watcher = PlainWatcher(1, Costs({}))
    ends = [(Status.SKIPPED, "no queries"), (Status.SKIPPED, "no users"), (Status.FAILED, "no luck")]
    for repeat in range(3):
        for status, reason in ends:
            task = Task(ScoreId(reason, replace(POOL, repeat=repeat)), "recall", lambda results: None)
            watcher.planned({task.name: task})
            watcher.ended(task, TaskResult(status, "recall", Stage.SCORE, reason), "done")
    said = [line.split("] ")[1].split(":")[0] for line in capsys.readouterr().err.splitlines()]
    once = ["score/no queries/pool/log/0123/0/ctgan", "score/no users/pool/log/0123/0/ctgan"]
    assert said == [*once, *(f"score/no luck/pool/log/0123/{repeat}/ctgan" for repeat in range(3))]
    assert watcher.summary().endswith("6 skipped, 3 failed")


def test_a_log_of_short_tasks_stays_short_and_a_failure_is_never_held_back(clock, capsys) -> None:
    watcher = PlainWatcher(1, Costs({}))
    pools = [Task(replace(POOL, repeat=repeat), "ctgan", lambda results: None) for repeat in range(100)]
    watcher.planned({task.name: task for task in pools})
    failed = TaskResult(Status.FAILED, "ctgan", Stage.FIT, "no luck", 'x\n  File "/home/me/gan.py", line 7, in fit\n')
    for number, task in enumerate(pools):
        watcher.ended(task, failed if number in (12, 13) else TaskResult(Status.OK), "done")
        clock[0] += 0.5
    said = capsys.readouterr().err.splitlines()
    assert [int(line[1:].split("/")[0]) for line in said] == [1, 13, 14, 21, 41, 61, 81]
    assert said[1] == "[13/100] pool/log/0123/12/ctgan: ctgan: failed in fit: no luck (/home/me/gan.py:7)"
