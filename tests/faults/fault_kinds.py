"""The faults: each starts a run and disturbs it, or damages what lies in the store between two runs.

In: a chain, random numbers, the length of an undisturbed run. Out: how many faults hit something that lived or lay
there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
from fault_chain import QUICK, SMALL, Broken, Chain, Moment, Run, Way, can_mount

LONG_FIT = ("-d", SMALL, "-g", "often_kept[epochs=60, batch_size=100]", "-m", "item_rate", "-s", "S5", "-k", "auc")


@dataclass(frozen=True)
class Kind:
    """A kind of fault, its share among 200, and why it cannot be done on a way, if so."""

    name: str
    share: int
    inject: Callable[[Chain, Random, float], int]
    lacking: Callable[[Way], str] = lambda way: ""
    at_rest: bool = False  # needs no run, but something in the store
    words: tuple[str, ...] = QUICK
    plugin: Path | None = None  # a folder with a plug-in that the command names


def kill_workers(chain: Chain, rng: Random, life: float) -> int:
    """Kill -9 workers, several in one run: starting, importing, working or idle ones."""
    run, hits = chain.start(), 0
    for _ in range(rng.randint(1, 4)):
        if run.reach(Moment.draw(rng, life / 2), lambda: run.children("spawn_main")):
            hits += _kill(run.children("spawn_main"), rng)
    run.end(0, 1)
    return hits


def kill_driver(chain: Chain, rng: Random, life: float) -> int:
    """Kill -9 the driver."""
    return _signal_driver(chain, rng, life, signal.SIGKILL, -signal.SIGKILL)


def terminate_driver(chain: Chain, rng: Random, life: float) -> int:
    """SIGTERM to the driver."""
    return _signal_driver(chain, rng, life, signal.SIGTERM, -signal.SIGTERM, 128 + signal.SIGTERM, 130)


def interrupt(chain: Chain, rng: Random, life: float) -> int:
    """Ctrl-C, as a terminal sends it: to the driver and all that share its process group."""
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life), lambda: run.children("_guard"))  # earlier, Python itself is interrupted
    if hit:
        os.killpg(run.driver.pid, signal.SIGINT)
    run.end(*((0, 130) if hit else (0, 1)))
    return int(hit)


def kill_guard(chain: Chain, rng: Random, life: float) -> int:
    """Kill -9 the guard; half of the time the driver right after it, and no worker may live on all the same."""
    run = chain.start()
    hits = 0
    if run.reach(Moment.draw(rng, life / 2), lambda: _guards(run)):
        hits = _kill(_guards(run), rng)
        chain.guarded = chain.guarded and not hits
        if rng.random() < 0.5 and run.alive:
            run.driver.kill()
    run.end(0, 1, -signal.SIGKILL)
    return hits


def kill_keeper(chain: Chain, rng: Random, life: float) -> int:
    """Kill -9 the keeper of a worker: the worker goes with it, and its task is done again."""
    run, hits = chain.start(), 0
    if run.reach(Moment.draw(rng, life / 2), lambda: set(run.children("_guard")) - set(_guards(run))):
        hits = _kill(sorted(set(run.children("_guard")) - set(_guards(run)), key=lambda process: process.pid), rng)
    run.end(0, 1)
    return hits


def hang_up(chain: Chain, rng: Random, life: float) -> int:
    """SIGHUP to the driver, as from a terminal that is closed."""
    return _signal_driver(chain, rng, life, signal.SIGHUP, -signal.SIGHUP, 128 + signal.SIGHUP)


def interrupt_twice(chain: Chain, rng: Random, life: float) -> int:
    """Ctrl-C, and again while the first one is being handled."""
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life), lambda: run.children("_guard"))
    if hit:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.driver.pid, signal.SIGINT)
            time.sleep(rng.uniform(0, 0.5))
            os.killpg(run.driver.pid, signal.SIGINT)
    run.end(*((0, 130) if hit else (0, 1)))
    return int(hit)


def stop(chain: Chain, rng: Random, life: float) -> int:
    """Ctrl-Z, and some seconds later `fg`: the run goes on as if nothing had been."""
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life))
    if hit:
        run.driver.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(1, 6))
        run.driver.send_signal(signal.SIGCONT)
    run.end(0)
    return int(hit)


def _guards(run: Run) -> list[psutil.Process]:
    """The guards of a run, not the keepers, which are the same program."""
    found = []
    for process in run.children("_guard"):
        with contextlib.suppress(psutil.Error, IndexError):
            if process.cmdline()[-1].endswith("_guard.py"):
                found.append(process)
    return found


def truncate(chain: Chain, rng: Random, _life: float) -> int:
    """Cut artefacts short, one of them to nothing."""
    return _damage(chain, rng, lambda path: os.truncate(path, rng.choice((0, rng.randrange(path.stat().st_size)))))


def flip(chain: Chain, rng: Random, _life: float) -> int:
    """Flip one bit of an artefact."""
    return _damage(chain, rng, lambda path: flip_bit(path, rng))


def delete(chain: Chain, rng: Random, _life: float) -> int:
    """Delete artefacts."""
    return _damage(chain, rng, Path.unlink)


def fill_disk(chain: Chain, rng: Random, life: float) -> int:
    """Fill the disk while a run writes, and free it when that run has ended."""
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life))
    ballast = chain.disk / "ballast"
    if hit:
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        hit = run.alive
        run.wait()
        ballast.unlink()
    run.end(0, 1, 2)
    return int(hit)


def read_only(chain: Chain, _rng: Random, _life: float) -> int:
    """A store that may be read and not written: one line, exit status 2, and nothing changes."""
    with _read_only(chain.disk):
        run = chain.start()
        run.wait()
    said = run.end(2)
    if len(said.strip().splitlines()) != 1:
        raise Broken("told badly", said)
    return 1


def two_runs(chain: Chain, rng: Random, life: float) -> int:
    """A second run of the same command on the same store, begun while the first is under way."""
    first = chain.start()
    hit = first.reach(Moment.draw(rng, life / 2))
    second = chain.start()
    for run in (first, second):
        run.wait()
    for run in (first, second):
        run.end(0, 1)
    chain.complete = first.driver.returncode == second.driver.returncode == 0
    return int(hit)


def lock(chain: Chain, rng: Random, life: float) -> int:
    """Another process holds SQLite's write lock for seconds; the run waits and ends well."""
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life / 2), chain.number)
    if hit:
        with contextlib.closing(sqlite3.connect(chain.disk / "results.db", timeout=60, isolation_level=None)) as other:
            other.execute("begin exclusive")
            time.sleep(rng.uniform(1, 4))
            other.execute("rollback")
    run.end(0)
    return int(hit)


def drop_connections(chain: Chain, rng: Random, life: float) -> int:
    """The database server cuts all connections of a run."""
    run, hits = chain.start(), 0
    if run.reach(Moment.draw(rng, life / 2), chain.number) and chain.way.drop_connections:
        hits = chain.way.drop_connections(chain.disk)
    run.end(0, 1, 2)
    return hits


def kill_node(chain: Chain, rng: Random, life: float) -> int:
    """A node of the cluster dies, with all that is on it, and a new one joins."""
    run, hits = chain.start(), 0
    if run.reach(Moment.draw(rng, life / 2)) and chain.way.kill_node:
        hits = chain.way.kill_node(rng)
    run.end(0, 1)
    return hits


def damage_checkpoint(chain: Chain, rng: Random, _life: float) -> int:
    """Kill the driver in the middle of a long fit, and cut short or change the checkpoint that it left."""
    run = chain.start()
    if run.reach(Moment(0), lambda: _checkpoints(chain)) and run.reach(Moment(rng.uniform(0, 1))):
        run.driver.kill()
    run.end(0, 1, -signal.SIGKILL)
    for path in _checkpoints(chain):
        if rng.random() < 0.5:
            os.truncate(path, rng.randrange(path.stat().st_size))
        else:
            flip_bit(path, rng)
        return 1
    return 0


KINDS = (
    Kind("worker killed (-9)", 44, kill_workers),
    Kind("driver killed (-9)", 36, kill_driver),
    Kind("driver terminated", 14, terminate_driver),
    Kind("Ctrl-C", 20, interrupt),
    Kind("guard killed (-9)", 16, kill_guard),
    Kind("keeper killed (-9)", 8, kill_keeper),
    Kind("terminal closed (SIGHUP)", 6, hang_up),
    Kind("Ctrl-C twice", 8, interrupt_twice),
    Kind("Ctrl-Z and fg", 6, stop),
    Kind("artefact truncated", 12, truncate, at_rest=True),
    Kind("artefact bit flipped", 12, flip, at_rest=True),
    Kind("artefact deleted", 10, delete, at_rest=True),
    Kind("disk full", 8, fill_disk, lambda way: "" if can_mount() else "only root can mount a small disk"),
    Kind("store read-only", 6, read_only, lambda way: "" if way.is_sqlite else "the database is not a file"),
    Kind("two runs at once", 10, two_runs),
    Kind("SQLite locked", 6, lock, lambda way: "" if way.is_sqlite else "the database is not SQLite"),
    Kind(
        "checkpoint damaged", 6, damage_checkpoint,
        lambda way: "checkpoints end with their node" if way.kill_node else "",
        words=LONG_FIT, plugin=Path(__file__).parent / "plugin",
    ),
    Kind("connection dropped", 12, drop_connections, lambda way: "" if way.drop_connections else "no server to drop"),
    Kind("node killed", 12, kill_node, lambda way: "" if way.kill_node else "no cluster whose nodes could be killed"),
)  # fmt: skip


def flip_bit(path: Path, rng: Random) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _signal_driver(chain: Chain, rng: Random, life: float, what: signal.Signals, *statuses: int) -> int:
    run = chain.start()
    hit = run.reach(Moment.draw(rng, life))
    if hit:
        run.driver.send_signal(what)
    run.end(*((0, *statuses) if hit else (0, 1)))
    return int(hit)


def _kill(processes: list[psutil.Process], rng: Random) -> int:
    """Kill one of them; 1 where it was alive."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if processes:
            rng.choice(processes).kill()
            return 1
    return 0


def _checkpoints(chain: Chain) -> list[Path]:
    return list(chain.disk.glob("*-artefacts/checkpoints/*/fit.pt"))


def _damage(chain: Chain, rng: Random, how: Callable[[Path], None]) -> int:
    """Damage one or two artefacts of the store."""
    files = chain.artefacts()
    hit = rng.sample(files, min(len(files), rng.randint(1, 2)))
    for path in hit:
        chain.excuse(path.stem)
        how(path)
    return len(hit)


@contextlib.contextmanager
def _read_only(folder: Path):
    """The folder read-only: as a disk where it is one, else by its rights, which do not bind root."""
    if can_mount():
        _remount(folder, "ro")
        try:
            yield
        finally:
            _remount(folder, "rw")
        return
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


def _remount(folder: Path, how: str) -> None:
    """A disk is busy as long as a process that was just killed holds a file of it open."""
    for _ in range(100):
        if not subprocess.run(["mount", "-o", f"remount,{how}", folder], capture_output=True).returncode:
            return
        time.sleep(0.1)
    raise OSError(f"{folder} cannot be remounted {how}")
