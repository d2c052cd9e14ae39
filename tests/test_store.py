import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from ctrbench import UserError
from ctrbench.results import Status, TaskResult
from ctrbench.store import Store

GOOD = TaskResult(
    Status.OK, "m (d 1)", values={"value": 0.1 + 0.2, "baseline": None, "details": {"é": 1.0}}, seconds={"fit": 1.5}
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "results.db"))


def begin(store: Store) -> str:
    return store.begin_run("ctrbench run", {}, {"libraries": {}})


def test_a_result_comes_back_as_it_was(store: Store) -> None:
    store.keep(begin(store), "score/x", "score", "k1", GOOD)
    assert store.find("k1") == GOOD
    assert store.find("k2") is None


def test_a_new_result_of_a_key_replaces_the_old(store: Store) -> None:
    run = begin(store)
    store.keep(run, "t", "train", "k", TaskResult(Status.FAILED, "m", "fit", "bad luck"))
    store.keep(run, "t", "train", "k", GOOD)
    assert store.find("k") == GOOD


def test_results_survive_reopening(store: Store, tmp_path: Path) -> None:
    store.keep(begin(store), "t", "train", "k", GOOD)
    store.close()
    assert Store.open(str(tmp_path / "results.db"), create=False).find("k") == GOOD


def test_what_tasks_spent_is_known_afterwards(store: Store) -> None:
    run = begin(store)
    for key, seconds in (("a", 1.0), ("b", 3.0)):
        store.keep(run, key, "train", key, TaskResult(Status.OK, "dnn", seconds={"fit": seconds}))
    assert [spent.fit for spent in store.spent()[""]] == [1.0, 3.0]


def write(path: str, first: int) -> None:
    """A second process that writes to the same store."""
    store = Store.open(path)
    run = begin(store)
    for number in range(first, first + 150):
        store.keep(run, f"t{number}", "train", f"k{number}", GOOD)


def test_two_processes_write_at_once_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    path = str(tmp_path / "results.db")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(path, first)) for first in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    with sqlite3.connect(path) as database:
        assert database.execute("select count(*), count(distinct key) from tasks").fetchone() == (250, 250)
        assert database.execute("select count(*) from run_tasks").fetchone() == (300,)


@pytest.mark.parametrize("kind", ["text", "foreign", "newer", "folder", "absent", "unwritable"])
def test_what_is_not_a_store_of_ours_is_refused_in_one_line_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "results.db"
    if kind == "text":
        path.write_text("my diary " * 1000)
    elif kind == "foreign":
        with sqlite3.connect(path) as database:
            database.execute("create table customers (name text)")
    elif kind == "newer":
        Store.open(str(path)).close()
        with sqlite3.connect(path) as database:
            database.execute("update ctrbench set schema_version = 99")
    elif kind == "folder":
        path.mkdir()
    elif kind == "unwritable":
        path = Path("/proc/no/such/results.db")
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UserError) as caught:
        Store.open(str(path), create=kind != "absent")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_store_without_runs_says_so(store: Store) -> None:
    with pytest.raises(UserError, match="it holds no run yet"):
        store.load_run()
    with pytest.raises(UserError, match="no run 'monday'"):
        store.load_run("monday")
