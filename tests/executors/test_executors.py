"""The local executor with real worker processes: limits, crashes, and what must not outlive them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ctrbench.errors import UserError
from ctrbench.executors import Finished, Progress, WorkerSettings
from ctrbench.executors.inline import InlineExecutor
from ctrbench.executors.local import LocalExecutor
from ctrbench.limits import STAGES, Limits
from ctrbench.results import Stage, Status, TaskResult
from toy_jobs import finish, gone, pool_job, start_driver, started


@pytest.fixture
def site(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(tmp_path / "artefacts")


@pytest.fixture
def local(site: WorkerSettings) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(2, site)
    yield executor
    executor.close()


def test_both_executors_give_the_same_bits(local: LocalExecutor, site: WorkerSettings) -> None:
    job = pool_job(site, "bootstrap")
    inline = InlineExecutor(site)
    here = finish(inline, {"a": (job, None)})["a"]
    inline.close()
    there = finish(local, {"a": (job, None)})["a"]
    assert here.status is there.status is Status.OK
    assert here.artefacts == there.artefacts
    assert there.peak_memory > 10e6
    assert set(there.seconds) == {"import", "read", "fit", "sample", "keep"}
    assert set(there.seconds) <= set(STAGES)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("die", "exit status 7"),
        ("leave", "exit status 0"),
        ("segfault", "killed by SIGABRT"),
        ("null", "killed by SIGSEGV"),
        ("mute", "closed its line"),
    ],
)
def test_a_worker_that_dies_is_that_tasks_end_and_is_replaced(
    local: LocalExecutor, site: WorkerSettings, how: str, words: str
) -> None:
    bad = {f"bad{i}": (pool_job(site, "misbehaves", how=how), None) for i in range(2)}
    good = {f"good{i}": (pool_job(site, "bootstrap", steps=i + 1), None) for i in range(4)}
    results = finish(local, bad | good)
    assert all(results[name].status is Status.CRASHED and words in results[name].reason for name in bad)
    assert all(results[name].ok for name in good)
    assert results["bad0"].plugin.startswith("misbehaves")


def test_a_hang_ends_at_the_time_limit_with_the_processes_it_started(
    local: LocalExecutor, site: WorkerSettings
) -> None:
    bad = {"hang": (pool_job(site, "misbehaves", how="hang"), Limits(600, {"fit": 5.0}))}
    results = finish(local, bad | {"good": (pool_job(site, "bootstrap"), 600.0)})
    assert results["hang"].status is Status.TIMED_OUT
    assert results["hang"].reason == "the stage fit took longer than 5 s"
    assert results["hang"].stage == "fit"
    assert results["good"].ok
    [child] = started(site)
    assert gone(child), "the plug-in's own child outlived its time limit"


def test_hangs_bombs_and_big_eaters_end_as_their_own_tasks_and_the_rest_goes_on(
    local: LocalExecutor, site: WorkerSettings
) -> None:
    jobs = {
        "stuck": (pool_job(site, "misbehaves", how="stuck"), 4.0),
        "bomb": (pool_job(site, "misbehaves", how="bomb"), Limits(None, {"fit": 15.0})),
        "eat": (pool_job(site, "misbehaves", how="eat"), Limits(memory=700_000_000)),
        "good": (pool_job(site, "bootstrap"), Limits(600, {"fit": 600}, 4 * 10**9)),
        "late": (pool_job(site, "bootstrap", steps=2), None),
    }
    results = finish(local, jobs)
    assert (results["stuck"].status, results["stuck"].reason) == (Status.TIMED_OUT, "took longer than 4 s")
    assert results["bomb"].status is Status.TIMED_OUT
    assert results["eat"].status is Status.OUT_OF_MEMORY
    assert "above the limit of 700 MB: raise it" in results["eat"].reason
    assert results["eat"].peak_memory > 700_000_000
    assert results["eat"].stage == "fit"
    assert results["good"].ok
    assert results["late"].ok
    bomb = started(site)
    assert len(bomb) == 16
    assert all(gone(process) for process in bomb)


@pytest.mark.parametrize("how", ["escape", "escape and be done"])
def test_children_that_left_the_family_end_with_their_task(site: WorkerSettings, how: str) -> None:
    executor = LocalExecutor(1, site)
    result = finish(executor, {"escape": (pool_job(site, "misbehaves", how=how), Limits(None, {"fit": 20.0}))})[
        "escape"
    ]
    assert result.status is (Status.TIMED_OUT if how == "escape" else Status.OK)
    escaped = started(site)
    assert len(escaped) == 4
    assert all(gone(process) for process in escaped)
    executor.close()


def test_a_worker_that_is_killed_from_outside_takes_its_children_and_nobody_else_along(site: WorkerSettings) -> None:
    neighbour = subprocess.Popen(["sleep", "600"], env={**os.environ, "CTRBENCH_WORKER": "somebody else's"})
    executor = LocalExecutor(1, site)
    executor.submit("escape", pool_job(site, "misbehaves", how="escape"), Limits())
    while len(escaped := set(started(site))) < 4:
        executor.wait(0.1)
    time.sleep(1)
    events: list[object] = []
    while not events:  # it is tried again, as it was not the task's doing, but not for ever
        escaped |= set(started(site))
        for written in site.logs.glob(".*.log"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(written.stem.split("-")[-1]), signal.SIGKILL)
        events = [event for event in executor.wait(0.2) if isinstance(event, Finished)]
    [end] = events
    escaped |= set(started(site))
    assert end.result.status is Status.CRASHED
    assert "killed by SIGKILL, not by ctrbench" in end.result.reason
    assert all(gone(process) for process in escaped)
    assert finish(executor, {"good": (pool_job(site, "bootstrap"), None)})["good"].ok
    executor.close()
    assert neighbour.poll() is None
    neighbour.kill()
    neighbour.wait()


def test_workers_that_are_killed_while_they_start_or_rest_harm_nothing(
    local: LocalExecutor, site: WorkerSettings
) -> None:
    for i in range(2):
        assert finish(local, {"warm": (pool_job(site, "bootstrap", steps=i + 1), None)})["warm"].ok
        for worker in list(local._workers):
            os.kill(worker.child.number, signal.SIGKILL)
    while local._workers:
        assert local.wait(0.1) == []
    assert finish(local, {"good": (pool_job(site, "bootstrap", steps=9), None)})["good"].ok


def test_a_log_that_cannot_be_written_is_its_tasks_failure(local: LocalExecutor, site: WorkerSettings) -> None:
    job = pool_job(site, "bootstrap")
    site.logs.write_text("in the way")
    here = InlineExecutor(site)
    for result in (finish(here, {"a": (job, None)})["a"], finish(local, {"a": (job, None)})["a"]):
        assert (result.status, result.stage) == (Status.FAILED, Stage.KEEP)
        assert "File exists" in result.reason
    here.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_workers_that_cannot_be_started_end_the_run_in_one_line(site: WorkerSettings) -> None:
    executor = LocalExecutor(100, site)
    job, limits = pool_job(site, "bootstrap"), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 12, limits[1]))
    try:
        with pytest.raises(UserError, match=r"worker \d+ cannot be started: .*Too many open files.* \(ulimit -n,"):
            finish(executor, {"a": (job, None)})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        executor.close()


def test_where_not_even_the_first_process_can_be_started_it_is_said_in_one_line(site: WorkerSettings) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(UserError, match=r"no process can be started .*Too many open files.* \(ulimit -n,"):
            LocalExecutor(1, site)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_worker_that_nobody_can_listen_to_ends_the_run_in_one_line(
    site: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = LocalExecutor(1, site)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # as Python does at the limit of processes

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(UserError, match=r"worker 1 cannot be started: RuntimeError: can't start new thread"):
        finish(executor, {"a": (pool_job(site, "bootstrap"), None)})
    executor.close()


def test_what_ended_before_no_more_workers_can_be_had_is_told_first(local: LocalExecutor) -> None:
    ended = Finished("a", TaskResult(Status.OK))
    for came in (ended, UserError("worker 2 cannot be started; what is finished is kept")):
        local._events.put(came)
    assert local.wait(0.2) == [ended]
    with pytest.raises(UserError, match="what is finished is kept"):
        local.wait(0.2)


def test_a_flood_of_output_is_cut_to_its_beginning_and_its_end(local: LocalExecutor, site: WorkerSettings) -> None:
    result = finish(local, {"flood": (pool_job(site, "misbehaves", how="flood"), None)})["flood"]
    assert result.ok
    [log] = site.logs.glob("*.log")
    assert log.stat().st_size < 5 * 2**20
    said = log.read_text()
    assert said.startswith("the beginning")
    assert said.endswith("the end\n")
    assert "left out" in said


def test_a_plug_in_that_raises_the_interrupt_of_ctrl_c_fails_alone(local: LocalExecutor, site: WorkerSettings) -> None:
    jobs = {"bad": (pool_job(site, "misbehaves", how="interrupt"), None), "good": (pool_job(site, "bootstrap"), None)}
    results = finish(local, jobs)
    assert results["bad"].status is Status.FAILED
    assert "KeyboardInterrupt" in results["bad"].reason
    assert results["good"].ok


def test_a_copy_that_a_plug_in_forks_ends_where_it_leaves(local: LocalExecutor, site: WorkerSettings) -> None:
    job = pool_job(site, "misbehaves", how="wait for a copy")
    result = finish(local, {"a": (job, 100.0)})["a"]
    assert result.ok, result.reason
    assert [path.read_text() for path in site.logs.glob("*.log")] == ["a copy ended with status 5\n"]


def test_a_plug_in_that_changes_the_working_directory_harms_nobody(
    site: WorkerSettings, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    near = WorkerSettings(Path("artefacts"))
    executor = LocalExecutor(1, near)
    results = finish(executor, {how: (pool_job(near, "misbehaves", how=how), None) for how in ("wander", "stay")})
    executor.close()
    assert all(result.ok for result in results.values()), results


def test_what_a_task_prints_goes_to_its_log_and_nowhere_else(
    local: LocalExecutor, site: WorkerSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    result = finish(local, {"loud": (pool_job(site, "misbehaves", how="print"), None)})["loud"]
    assert result.ok
    said = "".join(path.read_text() for path in site.logs.glob("*.log"))
    assert "a child speaks" in said
    assert len(said) > 500_000
    out, err = capfd.readouterr()
    assert "loud" not in out + err


def test_progress_arrives_from_worker_processes(local: LocalExecutor, site: WorkerSettings) -> None:
    local.submit("steps", pool_job(site, "bootstrap", steps=5), Limits())
    events = []
    while not any(isinstance(event, Finished) for event in events):
        events += local.wait(0.5)
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps, "at least the first report is passed on"
    assert (steps[0].step, steps[0].total, steps[0].values) == (1, 5, {"loss": 1.0})


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_driver_that_is_killed(
    site: WorkerSettings, tmp_path: Path, signal_: signal.Signals
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    driver = start_driver(site, tmp_path, 2, "escape", TMPDIR=os.fspath(temporary))
    try:
        while len(started(site)) < 4:
            assert driver.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # the driver looks around a few times a second
        family = [*started(site), *(process.pid for process in psutil.Process(driver.pid).children(recursive=True))]
        assert len(set(family)) > 6
    finally:
        driver.send_signal(signal_)
        driver.wait()
    assert all(gone(process) for process in family)
    assert not list(temporary.iterdir())


def test_a_start_in_this_process_that_is_interrupted_keeps_no_other_thread_waiting(
    site: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: WorkerSettings) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WorkerSettings, "import_all", interrupt)
        with pytest.raises(KeyboardInterrupt):
            InlineExecutor(site)
    other = threading.Thread(target=lambda: InlineExecutor(site).close(), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
