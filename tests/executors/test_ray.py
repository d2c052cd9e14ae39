"""The Ray executor on a real cluster of several nodes: equal results, limits, deaths of nodes, no disk shared."""

from __future__ import annotations

import dataclasses
import io
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from ctrbench.cli import main
from ctrbench.errors import UserError
from ctrbench.executors import Event, Finished, Progress, WorkerSettings, _bridge, ray
from ctrbench.executors._slot import Slot, UnlikeError, installed
from ctrbench.executors.inline import InlineExecutor
from ctrbench.executors.ray import RayExecutor
from ctrbench.jobs import Compute, key
from ctrbench.limits import Limits
from ctrbench.results import KILLED_FROM_OUTSIDE, Status, TaskResult
from ctrbench.store.artefacts import Artefacts
from places import TESTS
from ray_cluster import Cluster, cluster
from toy_jobs import finish, gone, pool_job, started

SMALL = "simulated[train_rows=400, valid_rows=200, test_rows=200]"
WORDS = ("-d", SMALL, "-g", "independent", "-m", "logistic", "-s", "S1", "-k", "auc", "-k", "identical")
LONG_FIT = ("-d", SMALL, "-g", "often_kept[epochs=4000, batch_size=100]", "-m", "item_rate", "-s", "S5", "-k", "auc")


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """A head that does no work, and two nodes that do one task each at a time."""
    with cluster(0, 1, 1) as made:
        yield made
        give_up = time.monotonic() + 20
        while (left := guards(made)) and time.monotonic() < give_up:
            time.sleep(0.1)
        assert not left, "guards live on"


def guards(three: Cluster) -> list[psutil.Process]:
    """The guards of slots."""
    return [p for node in three.nodes for p in node.processes() if "_guard" in str(p.cmdline())]


@pytest.fixture(autouse=True)
def _let_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "three" in request.fixturenames:
        let_in(request.getfixturevalue("three"), monkeypatch)


def let_in(three: Cluster, patch: pytest.MonkeyPatch) -> None:
    """Give this process the cluster's token."""
    for name, value in three.environment.items():
        patch.setenv(name, value)


@pytest.fixture(scope="class")
def site(tmp_path_factory: pytest.TempPathFactory) -> WorkerSettings:
    return WorkerSettings(tmp_path_factory.mktemp("driver") / "artefacts")


@pytest.fixture(scope="class")
def executors(three: Cluster, site: WorkerSettings) -> Iterator[list[RayExecutor]]:
    """The executor that the tests of a class share is the last one."""
    made: list[RayExecutor] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def executor(executors: list[RayExecutor], three: Cluster, site: WorkerSettings) -> RayExecutor:
    """An executor without work: where a test that failed has left some, it is closed and another one takes over."""
    if executors and executors[-1]._tasks:
        executors.pop().close()
    if not executors:
        executors.append(RayExecutor(None, site, three.address, patience=3.0))
    return executors[-1]


def ctrbench(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """The command, in a session of its own as a terminal would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "ctrbench", *words, "--store", str(folder / "results.db")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def boards(store: str) -> Any:
    """All leaderboards of a store, without times and memory."""
    result = CliRunner().invoke(main, ["leaderboard", "--format", "json", "--store", store])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["boards"]
    for record in (record for board in found for record in board["records"]):
        for measured in ("seconds", "peak_memory"):
            record.pop(measured, None)
    return found


LOG = "label,user,item\n" + "".join(f"{n % 2},u{n % 3},{n % 5}\n" for n in range(200))


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_leaderboards_are_the_same_inline_in_workers_and_on_a_cluster(
    three: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["run", *WORDS, "-d", "csv_log[path=log.csv, item=item]"]  # a file that only the driver has
    (tmp_path / "log.csv").write_text(LOG)
    monkeypatch.chdir(tmp_path)
    store = str(tmp_path / "results.db")
    inline = CliRunner().invoke(main, [*words, "--executor", "inline", "--store", store])
    assert inline.exit_code == 0, inline.output
    found = [boards(store)]
    for way in (["local", "--workers", "2"], ["ray", "--ray-address", "auto"]):
        folder = tmp_path / way[0]
        folder.mkdir()
        (folder / "log.csv").write_text(LOG)
        run = ctrbench(folder, *words, "--executor", *way, RAY_ADDRESS=three.address)
        _, said = run.communicate(timeout=400)
        assert run.returncode == 0, said
        assert "ray" not in said.lower().replace("--executor ray", "")
        found.append(boards(str(folder / "results.db")))
    assert found[0] == found[1] == found[2]
    assert not list((tmp_path / "ray").glob("*-artefacts/.*"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_quick_is_the_same_inline_in_workers_on_three_nodes_and_on_a_server(
    new_database: str, tmp_path: Path, monkeypatch
) -> None:
    stores = {name: str(tmp_path / f"{name}.db") for name in ("inline", "local", "ray")} | {"server": new_database}
    options = {"inline": ["inline"], "local": ["local", "--workers", "2"], "server": ["local", "--workers", "2"]}
    with cluster(1, 1, 1) as made:
        options["ray"] = ["ray", "--ray-address", made.address]
        for name, store in stores.items():
            words = ["run", "--suite", "quick", "--timeout", "1800", "--executor", *options[name], "--store", store]
            environment = {**os.environ, **made.environment}
            done = subprocess.run(
                [sys.executable, "-m", "ctrbench", *words], env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
    first, *others = (boards(store) for store in stores.values())
    assert all(other == first for other in others)


def working(three: Cluster) -> list[int]:
    """The places of the nodes on which a worker process does a task."""
    return [n for n, node in enumerate(three.nodes) if any("spawn_main" in str(p.cmdline()) for p in node.processes())]


def listened(executor: RayExecutor, number: int) -> list[Event]:
    """So many events."""
    events: list[Event] = []
    give_up = time.monotonic() + 100
    while len(events) < number and time.monotonic() < give_up:
        events += executor.wait(0.2)
    return events


class TestOneExecutor:
    """What one executor does on the cluster, one thing after the other."""

    def test_every_end_of_a_task_is_told_as_in_local_workers_and_no_disk_is_shared(
        self, executor: RayExecutor, three: Cluster, site: WorkerSettings
    ) -> None:
        jobs = {
            "good": (pool_job(site, "bootstrap", steps=5), None),
            "die": (pool_job(site, "misbehaves", how="die"), None),
            "segfault": (pool_job(site, "misbehaves", how="segfault"), None),
            "raise": (pool_job(site, "misbehaves", how="raise"), None),
            "hang": (pool_job(site, "misbehaves", how="hang"), Limits(600, {"fit": 10.0})),
            "eat": (pool_job(site, "misbehaves", how="eat"), Limits(memory=700_000_000)),
            "flood": (pool_job(site, "misbehaves", how="flood"), None),
            "else": (dataclasses.replace(pool_job(site, "misbehaves"), seed=8), None),
        }
        other = jobs["else"][0]
        jobs["else"] = (dataclasses.replace(other, plugin=dataclasses.replace(other.plugin, source="x")), None)
        results = finish(executor, jobs)
        assert all(Artefacts(site.artefacts).intact(digest) for digest in results["good"].artefacts.values())
        assert (results["die"].status, results["segfault"].status) == (Status.CRASHED, Status.CRASHED)
        assert "exit status 7" in results["die"].reason
        assert "killed by SIGABRT" in results["segfault"].reason
        assert str(site.logs) in results["segfault"].reason, "a log is named where the driver has it"
        assert (results["raise"].status, results["raise"].reason) == (Status.FAILED, "ValueError: no luck today")
        assert (results["hang"].status, results["hang"].stage) == (Status.TIMED_OUT, "fit")
        assert results["eat"].status is Status.OUT_OF_MEMORY
        assert (results["else"].status, results["else"].stage) == (Status.FAILED, "hand over")
        assert "another source of toys" in results["else"].reason
        logs = {path: path.read_text(errors="replace") for path in site.logs.glob("*.log")}
        assert any(text.startswith("the beginning") and text.endswith("the end\n") for text in logs.values())
        assert all(path.stat().st_size < 5 * 2**20 for path in logs)
        [child] = [int(text.split()[1]) for text in logs.values() if text.startswith("started")]
        assert gone(child), "the plug-in's own child outlived its time limit"
        assert {path.name for path in site.artefacts.iterdir()} <= {"logs", *(f"{n:02x}" for n in range(256))}
        inline = InlineExecutor(site)
        assert results["good"].artefacts == finish(inline, {"good": jobs["good"]})["good"].artefacts
        inline.close()
        assert slots(three, site.artefacts)

    @pytest.mark.slow
    def test_tasks_of_a_node_that_dies_go_to_another_and_new_nodes_are_used(
        self, executor: RayExecutor, three: Cluster, site: WorkerSettings, tmp_path: Path
    ) -> None:
        def hold(*seeds: int) -> Path:
            """Begin tasks that end once the file is there."""
            release = tmp_path / f"release{seeds[0]}"
            for seed in seeds:
                job = dataclasses.replace(pool_job(site, "misbehaves", how=f"until {release}"), seed=seed)
                executor.submit(f"held{seed}", job, Limits())
            return release

        release = hold(0)
        assert listened(executor, 1)
        [busy] = [node for node in three.nodes if list(node.folder.glob("ctrbench-slot-*/artefacts/logs/.*.log"))]
        three.lose(busy)
        new = three.add()
        release.touch()
        again, end = listened(executor, 2)
        assert isinstance(again, Progress), "the task of the dead node began anew"
        assert isinstance(end, Finished)
        assert end.result.ok
        release = hold(1, 2)
        assert len(listened(executor, 2)) == 2, "two tasks at once need both nodes"
        assert list(new.folder.glob("ctrbench-slot-*"))
        release.touch()
        assert all(isinstance(end, Finished) and end.result.ok for end in listened(executor, 2))

    def test_a_task_that_takes_its_slots_along_is_given_up_and_harms_no_other(
        self, executor: RayExecutor, site: WorkerSettings
    ) -> None:
        jobs = {"bad": (pool_job(site, "misbehaves", how="keeper"), None), "good": (pool_job(site, "bootstrap"), None)}
        results = finish(executor, jobs)
        assert results["good"].ok
        assert results["bad"].status is Status.CRASHED
        assert results["bad"].bookkeeping == KILLED_FROM_OUTSIDE
        assert results["bad"].reason.startswith("3 slots of the Ray cluster died with it")

    @pytest.mark.slow
    def test_a_task_sees_a_gpu_only_where_it_is_to_compute_on_one(
        self, executor: RayExecutor, site: WorkerSettings
    ) -> None:
        jobs = {}
        for seed, (device, gpus) in enumerate((("cpu", 1.0), ("cuda", 0.5), ("cuda", 1.0))):
            job = pool_job(site, "misbehaves", how="gpu")
            plugin = dataclasses.replace(job.plugin, gpus=gpus)
            jobs[str(seed)] = (dataclasses.replace(job, seed=seed, plugin=plugin, compute=Compute(device)), None)
        results = finish(executor, jobs)
        assert all(result.ok for result in results.values()), results
        seen = [next(site.logs.glob(f"{key(job)[:16]}.log")).read_text() for job, _ in jobs.values()]
        assert seen[0] in ("sees the GPUs \n", "sees the GPUs None\n")
        assert seen[1:] == ["sees the GPUs 0\n"] * 2

    @pytest.mark.slow
    def test_another_bridge_takes_over_from_one_that_dies(
        self, executor: RayExecutor, site: WorkerSettings, tmp_path: Path
    ) -> None:
        release = tmp_path / "release"
        executor.submit("held", pool_job(site, "misbehaves", how=f"until {release}"), Limits())
        assert listened(executor, 1)
        assert executor._bridge
        os.kill(executor._bridge.number, signal.SIGKILL)
        release.touch()
        executor.submit("good", pool_job(site, "bootstrap", steps=1), Limits())
        ends = {event.task: event.result for event in listened(executor, 4) if isinstance(event, Finished)}
        assert sorted(name for name, result in ends.items() if result.ok) == ["good", "held"]


def test_a_bridge_that_is_killed_before_it_knows_the_cluster_gives_way_to_another(
    three: Cluster, site: WorkerSettings
) -> None:
    before = set(psutil.Process().children())
    killed = []

    def kill_the_first() -> None:
        while not killed:
            for child in set(psutil.Process().children()) - before:
                if "--multiprocessing-fork" in child.cmdline():
                    child.kill()
                    killed.append(child)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    executor = RayExecutor(1, site, three.address)
    killer.join()
    assert finish(executor, {"good": (pool_job(site, "bootstrap", steps=1), None)})["good"].ok
    executor.close()


def test_a_slot_that_never_starts_is_asked_for_anew(site: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    line, _theirs = multiprocessing.Pipe()
    killed: list[object] = []
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": "home", "Alive": True, "Resources": {"CPU": 1.0}}])
    monkeypatch.setattr("ray.kill", killed.append)
    bridge = _bridge._Bridge(line, site, _bridge.Cluster("head:1", "", 0, 1, 60.0))
    monkeypatch.setattr(bridge, "_start", lambda shape: _bridge._Slot(object(), shape, object()))
    bridge._home = "home"
    bridge._waiting.append(_bridge._Task("good", pool_job(site, "bootstrap"), Limits(), _bridge.Shape(1.0, 0.0)))
    bridge._hand_out()
    [lost] = bridge._slots
    for waited, kept in ((_bridge._START - 60, True), (120, False)):
        lost.asked -= waited
        bridge._look()
        bridge._hand_out()
        assert (bridge._slots == [lost]) is kept
    assert killed == [lost.actor]
    assert len(bridge._slots) == 1


def test_what_ended_before_a_cluster_is_of_no_use_any_more_is_told_first(
    site: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, theirs = multiprocessing.Pipe()
    monkeypatch.setattr(RayExecutor, "_connect", lambda executor: None)
    monkeypatch.setattr(RayExecutor, "_line", line)
    executor = RayExecutor(1, site)
    executor._heard = time.monotonic()
    executor._tasks["pool"] = pool_job(site, "bootstrap"), Limits()
    ended = Finished("pool", TaskResult(Status.OK))
    for words in (("event", ended), ("refused", "no living node has 1 CPU for a task")):
        theirs.send(words)
    assert executor.wait(0.2) == [ended]
    with pytest.raises(UserError, match="no living node"):
        executor.wait(0.2)
    executor.close()


def test_work_that_fits_on_no_node_ends_the_run_in_one_line(three: Cluster, site: WorkerSettings) -> None:
    executor = RayExecutor(None, dataclasses.replace(site, threads=64), three.address, patience=1.0)
    with pytest.raises(UserError, match=r"ray address 127.*: no living node has 64 CPU for a task"):
        finish(executor, {"wide": (pool_job(site, "bootstrap"), None)})
    executor.close()


DRIVER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
if __name__ == "__main__":
    from toy_jobs import pool_job
    from ctrbench.executors import WorkerSettings
    from ctrbench.executors.ray import RayExecutor
    from ctrbench.limits import Limits
    site = WorkerSettings(Path(sys.argv[1]))
    executor = RayExecutor(1, site, sys.argv[3] or None)
    executor.submit("hang", pool_job(site, "misbehaves", how="escape"), Limits())
    while True:
        executor.wait(1)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name that is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("own", [False, True])
def test_nothing_outlives_a_driver_that_is_killed(three: Cluster, site: WorkerSettings, short: Path, own: bool) -> None:
    (short / "driver.py").write_text(DRIVER)
    (short / "t").mkdir()
    mark = {"CTRBENCH_TEST_DRIVER": str(short), "PYTHONPATH": str(TESTS), "TMPDIR": str(short / "t")}
    words = [sys.executable, short / "driver.py", site.artefacts, TESTS, "" if own else three.address]
    driver = subprocess.Popen(words, env={**os.environ, **mark}, start_new_session=True)
    try:
        while (
            len(escaped := [n for slot in slots(three, short) for n in started(WorkerSettings(slot / "artefacts"))]) < 4
        ):
            assert driver.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # the local executor looks around a few times a second
    finally:
        driver.kill()
        driver.wait()
    assert all(gone(process) for process in escaped)
    give_up = time.monotonic() + 20
    while (left := [*of_driver(short), *slots(three, short)]) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not left
    assert not list((short / "t").iterdir())


def slots(three: Cluster, short: Path) -> list[Path]:
    """The folders of slots, on the cluster's nodes or on a driver's own cluster."""
    found = [path for node in three.nodes for path in node.folder.glob("ctrbench-slot-*")]
    return [*found, *short.glob("t/ctrbench-ray-*/ctrbench-slot-*")]


def of_driver(folder: Path) -> list[str]:
    """What lives of a driver's own processes, its own cluster with all on it included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CTRBENCH_TEST_DRIVER") == str(folder):
                found.append(" ".join(process.cmdline())[:100])
        except (psutil.Error, OSError):
            continue
    return found


def test_ctrl_c_ends_a_run_soon_with_all_that_is_finished_kept(three: Cluster, tmp_path: Path) -> None:
    plugin = {"PYTHONPATH": str(TESTS / "faults" / "plugin")}
    run = ctrbench(tmp_path, "run", *LONG_FIT, "--executor", "ray", "--ray-address", three.address, **plugin)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'results.db'}")
    give_up = time.monotonic() + 100
    while time.monotonic() < give_up and not working(three):
        time.sleep(0.2)
    while time.monotonic() < give_up and kept(engine) < 2:
        time.sleep(0.2)
    pressed = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert time.monotonic() - pressed < 40, "the fit would have gone on for minutes"
    assert run.returncode == 130, said
    assert "all of it is kept" in said
    assert "Traceback" not in said
    give_up = time.monotonic() + 20
    while working(three) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not working(three), "what ran on the cluster was cancelled"


def kept(engine: sa.Engine) -> int:
    """How many tasks a store has."""
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text("select count(*) from tasks")).scalar() or 0
    except sa.exc.OperationalError:
        return 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ray-address", "127.0.0.1:6379"], "only with --executor ray"),
        (["--executor", "ray", "--ray-address", "here"], "give HOST:PORT"),
        (["--executor", "ray", "--ray-address", "ray://127.0.0.1:10001"], "give HOST:PORT"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:99999"], "give HOST:PORT"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:9"], "nobody answers there"),
        (["--executor", "ray", "--device", "cuda:1"], "each task is given its GPU; use cuda"),
    ],
)
def test_a_bad_address_is_one_line(words: list[str], complaint: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    result = CliRunner().invoke(main, ["run", *WORDS, *words, "--store", str(tmp_path / "results.db")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert complaint in result.stderr
    assert words[-1] in result.stderr
    assert time.monotonic() - begun < ray._CONNECT, "Ray itself was not waited for"


def test_an_address_where_something_else_listens_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "_CONNECT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        words = ["run", *WORDS, "--executor", "ray", "--ray-address", address]
        result = CliRunner().invoke(main, [*words, "--store", str(tmp_path / "results.db")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert address in result.stderr


def test_a_cluster_of_our_own_that_does_not_come_up_is_one_line(
    site: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "_START", 0.01)
    with pytest.raises(UserError, match=r"^executor ray: no answer within 0\.01 s; is this machine overloaded\?$"):
        RayExecutor(1, site)


def test_a_node_that_is_installed_otherwise_is_refused(site: WorkerSettings) -> None:
    with pytest.raises(UnlikeError, match=r"numpy .* instead of 0\.1"):
        Slot(site).open({**installed(), "numpy": "0.1"})


def test_the_slots_of_a_node_fetch_an_artefact_once_and_have_one_file(
    site: WorkerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctrbench.store.artefacts.MAPPED_FROM", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Artefacts(tmp_path / "made")
    table, more = (made.put_array(np.arange(n, dtype=np.float64)) for n in (5, 6))
    fetched: list[str] = []

    def get(wanted: list[str]) -> list[bytes]:
        fetched.extend(wanted)
        return [made.get_bytes(digest) for digest in wanted]

    monkeypatch.setattr("ray.get", get)
    one, other = Slot(site), Slot(site)
    for slot in (one, other):
        slot.open({})
    one._fetch({table: table})
    other._fetch({table: table, more: more})
    assert fetched == [table, more]
    paths = [slot._artefacts.path(table) for slot in (one, other)]
    assert paths[0].samefile(paths[1])
    assert (other._artefacts.get_array(table) == np.arange(5)).all()
    # both fetched at once: whoever looks last takes the other's file
    paths[1].unlink()
    other._artefacts.take_in(table, io.BytesIO(made.get_bytes(table)))
    assert not paths[0].samefile(paths[1])
    assert [slot._share(table) for slot in (one, other)] == [True, True]
    assert paths[0].samefile(paths[1])
    # what one no longer keeps, the other still has
    paths[0].unlink()
    assert (other._artefacts.get_array(table) == np.arange(5)).all()
    for slot in (one, other):
        slot._executor.close()


@pytest.mark.slow
def test_a_node_without_ctrbench_is_named(three: Cluster, site: WorkerSettings, tmp_path: Path) -> None:
    (tmp_path / "ctrbench").mkdir()
    (tmp_path / "ctrbench" / "__init__.py").touch()
    bare = three.add(path=str(tmp_path))
    executor = RayExecutor(4, site, three.address)
    with pytest.raises(
        UserError, match=r"the node 127\.0\.0\.2 cannot hold a slot: ModuleNotFoundError.*; install the same"
    ):
        finish(
            executor,
            {f"{n}": (dataclasses.replace(pool_job(site, "misbehaves", how="nap"), seed=n), None) for n in range(4)},
        )
    executor.close()
    three.lose(bare)


def test_help_does_not_load_ray() -> None:
    ask = "import sys; from ctrbench.cli import main; main(['run', '--help'], standalone_mode=False)"
    ask += "; print('ray' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert "--ray-address" in said
    assert said.splitlines()[-1] == "False"


@pytest.mark.slow
def test_no_node_left_ends_the_run_in_one_line_and_nothing_is_left_on_the_nodes(
    executor: RayExecutor, three: Cluster, site: WorkerSettings
) -> None:
    executor.submit("escape", pool_job(site, "misbehaves", how="escape"), Limits())
    while (
        len(escaped := [n for slot in slots(three, site.logs) for n in started(WorkerSettings(slot / "artefacts"))]) < 4
    ):
        executor.wait(0.1)
    time.sleep(1)
    for node in three.nodes[1:]:
        node.kill_raylet()
    begun = time.monotonic()
    with pytest.raises(UserError, match="no living node has 1 CPU"):
        finish(executor, {"good": (pool_job(site, "bootstrap"), None)})
    assert time.monotonic() - begun < 60
    assert all(gone(process) for process in escaped)
    give_up = time.monotonic() + 20
    while (left := [*three.ours(), *slots(three, site.logs)]) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not left
