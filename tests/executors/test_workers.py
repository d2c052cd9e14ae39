"""What a plug-in may do to the process that it runs in, and to nobody else: state, orphans, deaths, stopped clocks."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from ctrbench import _state
from ctrbench.choices import Chosen
from ctrbench.driver import Driver
from ctrbench.errors import RunFailed, UserError
from ctrbench.executors import Finished, WorkerSettings
from ctrbench.executors.local import LocalExecutor, _Clock
from ctrbench.jobs import Compute, DataRef, PluginCall, PoolJob
from ctrbench.limits import Limits
from ctrbench.registry import Registered
from ctrbench.results import KILLED_FROM_OUTSIDE, Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts
from ctrbench.suite import load_suite
from ctrbench_models.dnn import Dnn
from places import ROOT, TESTS
from toy_jobs import finish, gone, pool_job, start_driver, started
from toys import CARELESS, Trapped, log

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")


@pytest.fixture
def site(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "artefacts")


@pytest.fixture
def one(site: WorkerSettings) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(1, site)
    yield executor
    executor.close()


def trapped_job(site: WorkerSettings, **parameters: object) -> PoolJob:
    registered = Registered("generator", "trapped", Trapped, "trap", "1.0")
    table = log(100, 1)
    data = DataRef(table.digest(), {"train": Artefacts(site.artefacts).put_table(table)})
    return PoolJob(PluginCall.of(registered, Trapped(**parameters)), data, 7, Compute(), (0.5, 0.5))


# State


WATCH = """
import json, os, sys
import pandas, sklearn.linear_model, torch
import ctrbench.perform
from ctrbench._state import Watch
from toys import CARELESS
watch = Watch()
assert watch.changes() == []
for how, act in CARELESS.items():
    read, write = os.pipe()
    if not os.fork():
        act()
        os.write(write, repr(watch.changes()).encode())
        os._exit(0)
    print(how, os.read(read, 10_000).decode(), sep="\t")
    os.close(read), os.close(write)
"""


@LINUX
def test_whatever_a_careless_plug_in_leaves_is_noticed_and_named() -> None:
    places = os.pathsep.join(filter(None, (os.fspath(TESTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, env=environment)
    assert not done.returncode, done.stderr
    noticed = dict(line.split("\t") for line in done.stdout.splitlines())
    assert noticed.keys() == CARELESS.keys()
    assert [how for how, found in noticed.items() if found in ("", "[]")] == []
    assert noticed["patch"] == "['numpy.clip']"
    assert "LogisticRegression.predict_proba" in noticed["method of a library"]
    assert noticed["inherited method"] == "['pandas.core.frame.DataFrame.take']"
    assert noticed["no module"] == "['lightgbm']"
    assert noticed["torch"].startswith('["torch\'s settings"')
    assert noticed["alarm"] == "['signals or timers']"
    assert "if nobody did so from outside" in noticed["priority"]


def test_a_watchdog_that_a_plug_in_leaves_does_not_end_what_follows() -> None:
    code = """
import faulthandler, time
from ctrbench._state import Watch
watch = Watch()
faulthandler.dump_traceback_later(0.5, exit=True)
assert watch.changes() == []
time.sleep(1)
print("there")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "there\n", done.stderr


def test_what_was_printed_is_flushed_though_a_plug_in_removed_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "stdout")
    _state.flush()


def test_every_library_that_built_in_plug_ins_import_is_looked_after() -> None:
    nodes = [node for file in (ROOT / "plugins").rglob("*.py") for node in ast.walk(ast.parse(file.read_bytes()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    ours = re.compile(r"(ctrbench|annotated_types).*")  # of the latter nothing is called
    others = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names and not ours.match(name)}
    assert {"fuxictr.pytorch.models", "sdmetrics.column_pairs", "torch"} <= others
    assert [name for name in sorted(others) if not _state._WATCHED.fullmatch(name)] == []


@pytest.mark.parametrize("loaded_before", [False, True])
def test_what_networks_load_changes_nothing(loaded_before: bool) -> None:
    imports = Dnn.imports
    code = f"from ctrbench._state import Watch\nwatch = Watch()\nimport {', '.join(imports)}\nprint(watch.changes())"
    environment = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    if loaded_before:  # by who started the process
        environment["_RJEM_MALLOC_CONF"] = "dirty_decay_ms:500"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n", done.stderr


def test_a_changed_worker_meets_nobody_else_and_its_plug_in_is_named(one: LocalExecutor, site: WorkerSettings) -> None:
    jobs = {}
    for seed, how in enumerate(("patch", "file size")):
        jobs[how] = (pool_job(site, "misbehaves", how=how), None)
        jobs[f"after {how}"] = (pool_job(site, "bootstrap", steps=seed + 1), None)
    results = finish(one, jobs)
    assert results["after patch"].ok
    assert results["after file size"].ok
    assert results["patch"].bookkeeping.changed == ["numpy.clip"]
    assert not results["after patch"].bookkeeping.changed


def test_stray_bytes_on_the_line_of_a_worker_end_its_task_and_no_other(
    one: LocalExecutor, site: WorkerSettings
) -> None:
    jobs = {"babble": (pool_job(site, "misbehaves", how="babble"), None), "next": (pool_job(site, "bootstrap"), None)}
    results = finish(one, jobs)
    assert results["babble"].status is Status.CRASHED
    assert results["next"].ok


def test_a_worker_is_kept_where_nothing_was_changed(one: LocalExecutor, site: WorkerSettings) -> None:
    finish(one, {"a": (pool_job(site, "bootstrap", steps=1), None)})
    [before] = one._workers
    finish(one, {"b": (pool_job(site, "misbehaves", how="wander"), None)})
    assert one._workers == [before]


def test_workers_have_no_terminal_and_one_order_of_sets(site: WorkerSettings) -> None:
    told = []
    for _ in range(2):
        executor = LocalExecutor(1, site)
        reason = finish(executor, {"a": (pool_job(site, "misbehaves", how="tell"), None)})["a"].reason
        executor.close()
        told.append(reason.removeprefix("ValueError: of ").split(": "))
    [(one, text), (other, same)] = told
    assert text == same
    assert len({one, other, str(os.getsid(0))}) == 3, "each leads a session of its own"


@pytest.mark.parametrize("how", ["raise", "die"])
def test_a_failure_that_a_fresh_worker_does_not_repeat_is_not_kept(
    one: LocalExecutor, site: WorkerSettings, how: str
) -> None:
    finish(one, {"trap": (pool_job(site, "misbehaves", how="trap"), None)})
    assert finish(one, {"victim": (trapped_job(site, how=how), None)})["victim"].ok
    assert not list(site.logs.glob(".*")), "the log of the try that does not count is gone"


@pytest.mark.parametrize("how", ["raise", "die"])
def test_a_failure_of_its_own_is_kept_after_one_more_try_alone(
    one: LocalExecutor, site: WorkerSettings, how: str
) -> None:
    finish(one, {"trap": (pool_job(site, "misbehaves", how="trap"), None)})
    began = time.monotonic()
    result = finish(one, {"own": (trapped_job(site, how=how, always=True), None)})["own"]
    assert result.status is (Status.CRASHED if how == "die" else Status.FAILED)
    assert finish(one, {"good": (pool_job(site, "bootstrap"), None)})["good"].ok
    assert time.monotonic() - began < 120


# Orphans


@LINUX
@pytest.mark.parametrize("how", ["orphan", "orphan killed", "orphan hang"])
def test_nothing_that_a_plug_in_starts_outlives_its_worker_however_it_hides(site: WorkerSettings, how: str) -> None:
    executor = LocalExecutor(1, site)
    result = finish(executor, {"bad": (pool_job(site, "misbehaves", how=how), Limits(stages={"fit": 5.0}))})["bad"]
    assert result.status is (Status.TIMED_OUT if how == "orphan hang" else Status.CRASHED)
    words = {"orphan": "killed by SIGABRT", "orphan killed": "killed by SIGKILL, not by ctrbench", "orphan hang": "5 s"}
    assert words[how] in result.reason, "how the worker ended is told through its keeper"
    assert started(site)
    assert all(gone(process) for process in started(site))
    executor.close()


@LINUX
@pytest.mark.parametrize("what", ["driver", "driver and guard"])
def test_hidden_helpers_end_with_a_driver_that_is_killed(site: WorkerSettings, tmp_path: Path, what: str) -> None:
    driver = start_driver(site, tmp_path, 1, "orphan hang")
    while len(started(site)) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
    family = [process.pid for process in psutil.Process(driver.pid).children(recursive=True)]
    if what == "driver and guard":
        for child in psutil.Process(driver.pid).children():
            if child.cmdline()[-1].endswith("_guard.py"):
                child.kill()
    driver.kill()
    driver.wait()
    assert all(gone(process) for process in {*family, *started(site)})


# Deaths from outside


def test_an_executor_ends_though_something_that_a_copy_of_its_driver_left_holds_the_guards_line(
    site: WorkerSettings,
) -> None:
    executor = LocalExecutor(1, site)
    copy = os.fork()
    if not copy:
        time.sleep(60)
        os._exit(0)
    begun = time.monotonic()
    executor.close()
    assert time.monotonic() - begun < 30
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)


def test_a_worker_that_somebody_kills_is_no_verdict_on_its_task(one: LocalExecutor, site: WorkerSettings) -> None:
    one.submit("nap", pool_job(site, "misbehaves", how="nap"), Limits())
    events: list[object] = []
    while not events:  # its first progress
        events += one.wait(0.1)
    [worker] = psutil.Process(one._workers[0].child.number).children()
    worker.kill()
    while not any(isinstance(event, Finished) for event in events):
        events += one.wait(0.2)
    assert [event.result.status for event in events if isinstance(event, Finished)] == [Status.OK]
    assert not list(site.logs.glob(".*"))


@pytest.mark.parametrize("fault", ["kill", "truncate"])
def test_a_fault_while_a_table_is_mapped_loses_nothing_and_is_believed_by_nobody(
    one: LocalExecutor, site: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("ctrbench.store.artefacts.MAPPED_FROM", 0)
    job, artefacts = pool_job(site, "misbehaves", how=f"until {tmp_path / 'go'}"), Artefacts(site.artefacts)
    [digest] = job.data.artefacts.values()
    path = artefacts.path(digest)
    assert path.suffix == ".arrow"
    one.submit("pool", job, Limits())
    while not one.wait(0.1):  # its first progress: it has read the table
        pass
    if fault == "kill":
        [worker] = psutil.Process(one._workers[0].child.number).children()
        worker.kill()
    else:
        os.truncate(path, 0)
    (tmp_path / "go").touch()
    events: list[object] = []
    while not any(isinstance(event, Finished) for event in events):
        events += one.wait(0.2)
    [result] = [event.result for event in events if isinstance(event, Finished)]
    if fault == "kill":
        assert result.ok, result.reason
        assert artefacts.intact(digest, anew=True)
    else:
        assert (result.status, result.stage, result.artefacts) == (Status.FAILED, Stage.READ, {}), result.reason
        assert "corrupt and has been set aside" in result.reason
        assert not path.exists()
        assert Artefacts(site.artefacts).put_table(log(100, 1)) == digest, "and can be made again"
        assert finish(one, {"again": (job, None)})["again"].ok


def test_a_worker_starts_though_the_working_directory_is_gone(
    site: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    executor = LocalExecutor(1, site)
    assert finish(executor, {"a": (pool_job(site, "bootstrap"), None)})["a"].ok
    executor.close()


def test_a_data_set_that_was_killed_is_not_the_users_mistake() -> None:
    killed = TaskResult(Status.CRASHED, "d (x 1.0)", Stage.LOAD, "killed by SIGKILL", bookkeeping=KILLED_FROM_OUTSIDE)
    mistake = TaskResult(Status.FAILED, "d (x 1.0)", Stage.LOAD, "no such file", users_mistake=True)
    nothing: Any = None
    for result, wanted in ((killed, RunFailed), (mistake, UserError)):
        suite = replace(load_suite("quick"), datasets=("all",))
        driver = Driver(suite, nothing, nothing, nothing)
        with pytest.raises(wanted, match="no data set could be loaded"):
            driver._usable([(Chosen(Registered("dataset", "d", nothing, "x", "1.0"), nothing, "d"), result)])


# Clocks


def test_the_time_of_a_stopped_driver_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((100.0, 100.2, 101.0, 114.0, 114.2))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    clock = _Clock()
    assert [clock.now() for _ in range(4)] == pytest.approx([100.2, 101.0, 101.0, 101.2])


STOPPED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
if __name__ == "__main__":
    from toy_jobs import finish, pool_job
    from ctrbench.executors import WorkerSettings
    from ctrbench.executors.local import LocalExecutor
    site = WorkerSettings(Path(sys.argv[1]))
    executor = LocalExecutor(1, site)
    print(os.getpid(), flush=True)
    executor.submit("warm", pool_job(site, "bootstrap"), __import__("ctrbench.limits").limits.Limits())
    while not [e for e in executor.wait(0.2) if hasattr(e, "result")]:
        pass
    print("warm", flush=True)
    print(finish(executor, {"nap": (pool_job(site, "misbehaves", how="nap"), 8.0)})["nap"].describe(), flush=True)
    executor.close()
"""


def test_a_task_that_ends_while_its_driver_is_stopped_has_ended_in_time(site: WorkerSettings, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(STOPPED)
    words = [sys.executable, script, tmp_path / "artefacts", TESTS]
    driver = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    assert driver.stdout.readline()
    assert driver.stdout.readline() == "warm\n"
    while not list(site.logs.glob(".*.log")):  # the nap has begun
        assert driver.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(driver.pid, signal.SIGSTOP)
    time.sleep(9)
    os.kill(driver.pid, signal.SIGCONT)
    assert "ok" in driver.stdout.read()
    assert driver.wait() == 0
