"""The store's contract, on SQLite and on a real PostgreSQL."""

import multiprocessing
import time

import numpy as np
import pytest
import sqlalchemy as sa
from ctrbench import Score, UserError
from ctrbench.digests import digest
from ctrbench.ids import TaskKind
from ctrbench.results import (
    Bookkeeping,
    Cell,
    DatasetInfo,
    Environment,
    Inputs,
    RunInfo,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
    TrainOutput,
)
from ctrbench.store.database import run_tasks, tasks
from ctrbench.store.store import Store

GOOD = TaskResult(
    Status.OK,
    "m (d 1)",
    output=Score(0.1 + 0.2, None, {"é": 1.0}),
    seconds={"fit": 1.5},
    peak_memory=2**40,
    peak_gpu_memory=2**33,
    started=1.5e9,
    host="0123456789ab",
    inputs=Inputs(seed=2**32 - 1, data="f" * 64),
)

KEYS = [digest(number) for number in range(100)]


def begin(store: Store) -> str:
    return store.begin_run("ctrbench run", "toys", Environment())


def count(store: Store, table: sa.Table) -> int:
    [row] = store.database.read(sa.select(sa.func.count().label("n")).select_from(table))
    return int(row["n"])


def test_a_result_comes_back_as_it_was(store: Store) -> None:
    run = begin(store)
    store.keep(run, "score/x", TaskKind.SCORE, KEYS[0], GOOD)
    found = store.find(KEYS[0])
    assert found == GOOD
    assert found.run == run
    assert store.find(KEYS[1]) is None


def test_a_new_result_of_a_key_replaces_the_old_but_a_bad_one_no_good_one(store: Store) -> None:
    run = begin(store)
    bad = TaskResult(Status.FAILED, "m", Stage.FIT, "bad luck")
    store.keep(run, "t", TaskKind.SCORE, KEYS[0], bad)
    assert store.find(KEYS[0]) == bad
    store.keep(run, "t", TaskKind.SCORE, KEYS[0], GOOD)
    assert store.find(KEYS[0]) == GOOD
    store.keep(run, "t", TaskKind.SCORE, KEYS[0], bad)
    assert store.find(KEYS[0]) == GOOD


def test_results_survive_reopening(store: Store, where: str) -> None:
    store.keep(begin(store), "t", TaskKind.SCORE, KEYS[0], GOOD)
    store.close()
    assert Store.open(where, create=False).find(KEYS[0]) == GOOD


def test_whatever_a_plug_in_says_can_be_stored(store: Store) -> None:
    noted = Bookkeeping(made_from={"\0": "\udc80"})
    bad = TaskResult(Status.FAILED, "m\0", Stage.FIT, "a\0b \udc80 \U0001f600", "x" * 100_000, bookkeeping=noted)
    run = begin(store)
    store.keep(run, "train/" + "é" * 5000, TaskKind.TRAIN, KEYS[0], bad)
    found = store.find(KEYS[0])
    assert found is not None
    assert (found.reason, found.plugin) == ("a\\x00b \\udc80 \U0001f600", "m\\x00")
    assert found.bookkeeping == noted
    kept = dict.fromkeys(("valid", "test"), store.artefacts.put_array(np.ones(1)))
    good = TaskResult(
        Status.OK, output=TrainOutput(7, 0.5, {"\0": "\0\x1b"}), artefacts=kept, curves={"\0": [(1, 0.5)]}
    )
    store.keep(run, "train", TaskKind.TRAIN, KEYS[1], good)
    assert store.find(KEYS[1]) == good


def test_what_is_rehearsed_leaves_nothing_and_what_stops_it_is_raised(store: Store) -> None:
    run = begin(store)
    link = sa.insert(run_tasks).values(run=run, task="t", key=KEYS[0], blocked_by="")
    for _ in range(2):
        store.database.rehearse(lambda connection: connection.execute(link))
    with pytest.raises(sa.exc.IntegrityError):
        store.database.rehearse(lambda connection: connection.execute(link.values(run="gone")))
    assert count(store, run_tasks) == 0


def test_what_tasks_spent_is_known_afterwards(store: Store) -> None:
    run = begin(store)
    for key, seconds in zip(KEYS, (1.0, 3.0), strict=False):
        noted = Bookkeeping(cost_key="deep", effort=2.0)
        done = TaskResult(
            Status.OK,
            "dnn",
            output=TrainOutput(7, 0.5),
            artefacts=dict.fromkeys(("valid", "test"), KEYS[9]),
            seconds={"fit": seconds},
            bookkeeping=noted,
        )
        store.keep(run, key, TaskKind.TRAIN, key, done)
    assert sorted((spent.fit, spent.effort) for spent in store.spent()["deep"]) == [(1.0, 2.0), (3.0, 2.0)]
    odd = sa.update(tasks).where(tasks.c.key == KEYS[1]).values(seconds={"fit": -1.0})
    store.database.write(lambda connection: connection.execute(odd))
    assert [spent.fit for spent in store.spent()["deep"]] == [1.0]


def test_a_store_without_runs_says_so(store: Store) -> None:
    with pytest.raises(UserError, match="it has no run yet"):
        store.load_run()
    with pytest.raises(UserError, match="no run 'monday'"):
        store.load_run("monday")
    run = begin(store)
    with pytest.raises(UserError, match="stopped before its data sets were loaded"):
        store.load_run(run)
    trace = 'Traceback:\n  File "shop.py", line 7, in load\nKeyError: 1'
    lost = TaskResult(Status.FAILED, "shop", Stage.LOAD, "KeyError: 1", traceback=trace)
    store.keep(run, "data/shop", TaskKind.DATA, KEYS[0], lost)
    with pytest.raises(
        UserError, match=r"no data set could be loaded: shop: failed in load: KeyError: 1 \(shop.py:7\)"
    ):
        store.load_run(run)


def test_a_run_is_the_latest_though_the_clock_was_set_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DatasetInfo("log", {}, "f", {"train": 9}, {})
    info = RunInfo("toys", 1, 1.0, 1, 1, {"log": log}, {"original": ScenarioInfo("", True)}, {}, {})
    names = []
    for clock in (2e9, 1e9, 1e9 + 5):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        names.append(begin(store))
        store.describe_run(names[-1], info, [], [Cell("log", "", "original", "m", 0, "train")])
        store.finish_run(names[-1], info)
        assert store.load_run().run == names[-1]
    assert [head.run for head in store.runs()] == names[::-1]
    assert all(head.finished and 0 <= head.finished - head.started < 0.1 for head in store.runs())


def test_no_password_is_stored_or_said(store: Store) -> None:
    store.begin_run("ctrbench run --store postgresql+psycopg://me:secret@host/db", "toys", Environment())
    assert store.runs()[0].command == "ctrbench run --store postgresql+psycopg://me:***@host/db"
    with pytest.raises(UserError, match=r"me:\*\*\*@127\.0\.0\.1") as caught:
        Store.open("postgresql+psycopg://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


# Several at once


def write(where: str, first: int) -> None:
    """A second process that writes to the same store."""
    store = Store.open(where)
    run = begin(store)
    for number in range(first, first + 60):
        store.keep(run, f"t{number}", TaskKind.SCORE, KEYS[number], GOOD)


def test_two_processes_write_at_once_and_nothing_is_lost_or_doubled(where: str) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(where, first)) for first in (0, 40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = Store.open(where, create=False)
    assert (count(store, tasks), count(store, run_tasks)) == (100, 120)
