"""A store on which runs of one command are disturbed, one after the other, and what must hold all the while.

In: a way to run (which database, which executor), and faults that start and disturb runs. Out: nothing, or `Broken`
where a finished task is lost, done twice or unequal, where a process outlives its run, or where a mishap is told badly.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import sqlalchemy as sa
from click.testing import CliRunner
from ctrbench.cli import main
from ctrbench.store.artefacts import Artefacts

PATIENCE = 900.0  # seconds until a run counts as hanging: the machine may be busy
DISK = 32 << 20  # bytes of the small disk on which a chain lies, where one can be mounted
SMALL = "simulated[train_rows=400, valid_rows=200, test_rows=200]"
QUICK = (
    *("-d", SMALL, "-g", "independent", "-g", "random_oversampling", "-m", "logistic", "-m", "item_rate"),
    *("-s", "S1", "-s", "S5", "-k", "auc", "-k", "identical", "--repeats", "2"),
)
AGAIN = ("--retry-failed", "--workers", "2")
"""A task whose worker was killed has failed: the command asks from the start that such tasks are tried again."""


class Broken(Exception):
    """A promise that did not hold: lost, doubled, unequal, or something else, and what exactly."""

    def __init__(self, what: str, text: str) -> None:
        super().__init__(f"{what}: {text}")
        self.what = what


@dataclass(frozen=True)
class Way:
    """A way to run the same command: another database or another executor joins the suite as one more of these."""

    name: str
    options: tuple[str, ...] = ()
    store: Callable[[Path], str] = lambda folder: os.fspath(folder / "results.db")
    url: Callable[[Path], str] = lambda folder: f"sqlite:///{folder / 'results.db'}"
    drop_connections: Callable[[Path], int] | None = None  # cuts the database's connections; how many it cut
    kill_node: Callable[[Random], int] | None = None  # kills a node of a cluster; 1 where one was alive
    elsewhere: Callable[[], list[psutil.Process]] = list  # what lives of ctrbench on a cluster's nodes
    environment: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a file that can be locked or be read-only."""
        return self.url(Path("x")).startswith("sqlite")


@dataclass(frozen=True)
class Stored:
    """A finished task as the store has it: what it found, and when which run found it."""

    kind: str
    outputs: str
    values: str
    run: str
    finished: float

    @property
    def found(self) -> tuple[str, str, str]:
        """What must be equal whenever the task is done; where it stood is that of the first of several equal ones."""
        values = json.loads(self.values)
        values.pop("position", None)
        return self.kind, self.outputs, json.dumps(values)


@dataclass(frozen=True)
class Whole:
    """What an undisturbed run leaves: tasks, artefacts, leaderboards, and how long it took."""

    tasks: dict[str, tuple[str, str, str]]
    artefacts: frozenset[str]
    boards: str
    seconds: float


@dataclass
class Chain:
    """One store in a folder of its own, its runs, and what the store was last seen to hold."""

    folder: Path
    way: Way
    words: tuple[str, ...] = QUICK
    environment: dict[str, str] = field(default_factory=dict)
    tasks: int = 0  # of an undisturbed run
    complete: bool = False  # the last run came to its end, and nothing was damaged since
    guarded: bool = True  # no guard was killed: then nothing may be left in the folder for temporary files

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        (self.folder / "tmp").mkdir(parents=True)
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self._engine = sa.create_engine(self.way.url(self.disk), poolclass=sa.NullPool)
        self._seen: dict[str, Stored] = {}
        self._excused: set[str] = set()

    # Runs

    def start(self) -> Run:
        """Begin a run of the command, in a session of its own as a terminal would."""
        self.complete = False
        environment = os.environ | self.environment | self.way.environment
        environment |= {"TMPDIR": os.fspath(self.folder / "tmp"), "CTRBENCH_FAULTS": self.mark}
        words = ["run", *self.words, *AGAIN, *self.way.options, "--store", self.way.store(self.disk)]
        with open(self.folder / "said.txt", "ab") as said:
            begin = said.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "ctrbench", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=self.disk,
                env=environment,
                start_new_session=True,
            )
            return Run(self, process, begin)

    def settle(self) -> None:
        """Run the command until it ends by itself: once for what is missing, once more for what failed on the way."""
        for _ in range(3):
            if self.complete:
                return
            self.start().end(0, 1)
        if not self.complete:
            raise Broken("unfinished", "the command still fails though nothing disturbs it any more")

    # What the store holds

    def stored(self) -> dict[str, Stored]:
        """All tasks that have ended well."""
        rows = self._ask("select key, kind, outputs, \"values\", run, finished from tasks where status = 'ok'")
        return {row[0]: Stored(row[1], _text(row[2]), _text(row[3]), row[4], row[5]) for row in rows}

    def number(self) -> int:
        """How many tasks have ended well."""
        return next((row[0] for row in self._ask("select count(*) from tasks where status = 'ok'")), 0)

    def _ask(self, query: str) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(sa.text(query)).all()
        except sa.exc.DatabaseError as error:
            if any(word in str(error) for word in ("no such table", "unable to open", "does not exist")):
                return []  # no run came as far as to make it
            raise

    def look(self) -> None:
        """Every task that had ended well still stands as it was: not lost, not done a second time."""
        now = self.stored()
        for key, before in self._seen.items():
            if key not in now:
                raise Broken("lost", f"task {key} ({before.kind}) had ended well and is gone")
            if now[key].found != before.found:
                raise Broken("unequal", f"task {key} ({before.kind}) first gave {before.found}, then {now[key].found}")
            if now[key] != before and key not in self._excused:
                raise Broken("doubled", f"task {key} ({before.kind}) had ended well and was done again")
        self._seen = now

    def excuse(self, digest: str) -> None:
        """A damaged artefact must be made again, by the tasks that made it."""
        self._excused |= {key for key, task in self._seen.items() if digest in task.outputs}
        self.complete = False

    def artefacts(self) -> list[Path]:
        """The artefacts on disk."""
        return sorted(self.disk.glob("*-artefacts/*/*.parquet"))

    def whole(self) -> Whole:
        """What the store holds now that a run has come to its end."""
        files = self.artefacts()
        for path in files:
            if not Artefacts(path.parents[1]).intact(path.stem):
                raise Broken("unequal", f"artefact {path.name} is not what was written")
        tasks = {key: task.found for key, task in self.stored().items()}
        return Whole(tasks, frozenset(path.stem for path in files), self._boards(), 0.0)

    def compare(self, undisturbed: Whole) -> None:
        """The store holds what an undisturbed run leaves, and shows the same leaderboards bit for bit."""
        self.look()
        now = self.whole()
        if missing := undisturbed.tasks.keys() - now.tasks:
            raise Broken("lost", f"{len(missing)} tasks of an undisturbed run are missing")
        if more := now.tasks.keys() - undisturbed.tasks:
            raise Broken("doubled", f"{len(more)} tasks that an undisturbed run does not have")
        for key, found in now.tasks.items():
            if found != undisturbed.tasks[key]:
                raise Broken("unequal", f"task {key}: {found} instead of {undisturbed.tasks[key]}")
        if now.artefacts != undisturbed.artefacts:
            raise Broken("unequal", f"artefacts differ: {sorted(now.artefacts ^ undisturbed.artefacts)}")
        if now.boards != undisturbed.boards:
            raise Broken("unequal", "the leaderboards are not those of an undisturbed run")

    def _boards(self) -> str:
        """All leaderboards, without times and memory."""
        store = ["--store", self.way.store(self.disk)]
        result = CliRunner().invoke(main, ["leaderboard", "--format", "json", *store])
        if result.exit_code:
            raise Broken("lost", f"no leaderboard: {result.output}")
        boards = json.loads(result.stdout)["boards"]
        for record in (record for board in boards for record in board["records"]):
            for measured in ("seconds", "peak_memory"):
                record.pop(measured, None)
        return json.dumps(boards)

    # What may not be left behind

    def family(self) -> list[psutil.Process]:
        """All living processes that come from a run of this chain, whoever their parent is by now."""
        return [p for p in psutil.process_iter() if _belongs(p, self.mark)] + self.way.elsewhere()

    def alone(self) -> None:
        """No process outlives its run, and no temporary folder."""
        give_up = time.monotonic() + 120
        while family := self.family():
            if time.monotonic() > give_up:
                left = [" ".join(_command(process)) for process in family]
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                raise Broken("orphan", f"two minutes after the run these live on: {left}")
            time.sleep(0.05)
        if self.guarded and (left := [path.name for path in (self.folder / "tmp").glob("ctrbench-*")]):
            raise Broken("orphan", f"temporary folders are left: {left}")

    def close(self) -> None:
        """Let go of the folder."""
        self._engine.dispose()
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Run:
    """A run under way: its driver, and where in the file of what was said it began."""

    chain: Chain
    driver: subprocess.Popen[bytes]
    begin: int

    @property
    def alive(self) -> bool:
        """Whether the driver runs."""
        return self.driver.poll() is None

    def children(self, what: str) -> list[psutil.Process]:
        """The driver's children, and its own on a cluster, by a word of their command lines: spawn_main, _guard."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.driver.pid).children(recursive=True) + self.chain.way.elsewhere()
            return [process for process in found if any(what in word for word in _command(process))]
        return []

    def reach(self, moment: Moment, there: Callable[[], object] = lambda: True) -> bool:
        """Wait for a moment, and until something is there; whether the driver is still alive then."""
        began, before = time.monotonic(), self.chain.number()
        enough = before + int(moment.share * (self.chain.tasks - before))
        while self.alive:
            late = time.monotonic() - began >= moment.seconds
            if late and (not moment.share or self.chain.number() >= enough) and there():
                return True
            time.sleep(0.03)
        return False

    def wait(self) -> int:
        """Wait for the end; its exit status."""
        try:
            return self.driver.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            alive = [" ".join(_command(process)) for process in self.chain.family()]
            os.killpg(self.driver.pid, signal.SIGKILL)
            raise Broken("unfinished", f"the run hung for {PATIENCE:g} s while these lived: {alive}") from None

    def end(self, *statuses: int) -> str:
        """Wait for the end, check it and all that must hold at any end; what the run said."""
        status = self.wait()
        said = (self.chain.folder / "said.txt").read_bytes()[self.begin :].decode(errors="replace")
        self.chain.alone()
        self.chain.look()
        if "Traceback" in said:
            raise Broken("told badly", said)
        if status not in statuses:
            raise Broken("told badly", f"exit status {status} instead of {statuses}: {said}")
        self.chain.complete = status == 0
        return said


@dataclass(frozen=True)
class Moment:
    """A moment of a run: so many seconds from now, and not before this share of the missing tasks is stored."""

    seconds: float
    share: float = 0.0

    @classmethod
    def draw(cls, rng: Random, life: float) -> Moment:
        """Anywhere in the life of a run; half of the time by its tasks, else most would fall into its start."""
        return cls(rng.uniform(0, 0.9 * life)) if rng.random() < 0.5 else cls(rng.uniform(0, 0.1), rng.random())


def undisturbed(folder: Path, way: Way, **what: Any) -> Whole:
    """What a run leaves that nothing disturbs."""
    with small_disk(Chain(folder, way, **what)) as chain:
        began = time.monotonic()
        chain.start().end(0)
        found = chain.whole()
        return Whole(found.tasks, found.artefacts, found.boards, time.monotonic() - began)


@contextlib.contextmanager
def small_disk(chain: Chain) -> Iterator[Chain]:
    """The chain on a small disk of its own in memory where this process may mount one, so that it can be full."""
    if can_mount():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "ctrbench-faults", chain.disk], check=True)
    try:
        yield chain
    finally:
        if can_mount():
            subprocess.run(["umount", "-l", chain.disk], check=True)
        chain.close()


@cache
def can_mount() -> bool:
    """Whether this process may mount a small disk; it is tried."""
    if sys.platform != "linux" or not shutil.which("mount"):
        return False
    with TemporaryDirectory() as folder:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "ctrbench-faults", folder], capture_output=True
        )
        return not tried.returncode and not subprocess.run(["umount", folder]).returncode


def _belongs(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("CTRBENCH_FAULTS") == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # gone, a zombie, or somebody else's
        return False


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _text(value: Any) -> str:
    """A JSON column as one text, whether the database gives text or values."""
    return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)
