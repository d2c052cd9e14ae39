"""A throwaway Ray cluster of several nodes on this machine's loopback, each with its own raylet and its own folder.

Everything that a node starts bears the node's mark in its environment: killing by it is the death of a machine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
from ctrbench import _guard
from ctrbench.executors._processes import Guard

MARK = "CTRBENCH_TEST_NODE"


@dataclass
class Node:
    """A node: its folder for temporary files, and its mark."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def processes(self) -> list[psutil.Process]:
        """What lives of it, and of all that was started on it."""
        return [process for process in psutil.process_iter() if _variable(process, MARK) == self.mark]

    def kill(self) -> int:
        """The machine dies: kill -9 of everything on it; 1 where it was alive."""
        hit = 0
        while processes := self.processes():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    hit = 1
                    process.kill()
            time.sleep(0.02)
        return hit

    def kill_raylet(self) -> None:
        """Only Ray's own part of it dies: what else is on it has to notice."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.name() == "raylet":
                    process.kill()


@dataclass
class Cluster:
    """Nodes that know each other; the first one is the head."""

    folder: Path
    mark: str  # by which a guard knows what to kill when we die
    address: str = ""
    nodes: list[Node] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)  # what a driver needs to be let in
    made: int = 0  # nodes so far

    def add(self, cpus: int = 1, path: str = "") -> Node:
        """One more node, which finds modules at `path` first; one that works says that it has a GPU: nobody checks.

        Ray gives up after a while: on a busy machine a node may not come up in time, so it is tried three times.
        """
        for last in (False, False, True):
            node, said = self._start(cpus, path)
            if not said.returncode:
                return node
            assert not last, said.stdout + said.stderr
            self.lose(node)
        raise AssertionError

    def _start(self, cpus: int, path: str) -> tuple[Node, subprocess.CompletedProcess[str]]:
        node = Node(self.folder / f"n{self.made}")
        self.nodes.append(node)  # at once: it may be interrupted while it starts
        self.made += 1
        node.folder.mkdir()
        port = _free_port()
        if self.address:
            role = ["--address", self.address]
        else:
            role = ["--head", "--port", str(port), "--include-dashboard=false", f"--temp-dir={self.folder / 'ray'}"]
        words = ["start", *role, "--node-ip-address=127.0.0.2", f"--num-cpus={cpus}", f"--num-gpus={min(cpus, 1)}"]
        words += ["--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
        words += ["--dashboard-agent-listen-port=0", "--disable-usage-stats", "--include-log-monitor=false"]
        path = os.pathsep.join([path or os.environ.get("PYTHONPATH", ""), os.fspath(Path(__file__).parent)])
        environment = os.environ | self.environment | {MARK: node.mark, "TMPDIR": os.fspath(node.folder)}
        environment[_guard.MARK] = self.mark
        environment |= {"PYTHONPATH": path, "RAY_prestart_worker_first_driver": "0"}
        # Ray waits for 10 and 60 s: too little on a busy machine, where it begins again with a late worker, for ever.
        environment |= {"RAY_raylet_start_wait_time_s": "60", "RAY_worker_register_timeout_seconds": "600"}
        said = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", *words],
            capture_output=True, text=True, env=environment,
            start_new_session=True,  # among which Linux shares out a busy machine
        )  # fmt: skip
        if not said.returncode:
            self.address = self.address or f"127.0.0.2:{port}"
        return node, said

    def ours(self) -> list[psutil.Process]:
        """What lives of ctrbench on the nodes: slots, their workers and guards."""
        words = ("ray::Slot", "spawn_main", "_guard", "resource_tracker")
        found = []
        for process in (process for node in self.nodes for process in node.processes()):
            with contextlib.suppress(psutil.Error):
                if any(word in part for part in process.cmdline() for word in words):
                    found.append(process)
        return found

    def lose(self, node: Node) -> int:
        """A machine dies; 1 where it was alive. What it had on its disk is nobody's any more."""
        self.nodes.remove(node)
        return node.kill()

    def exchange(self, rng: Random) -> int:
        """A node that is not the head dies, and another one joins; 1 where it was alive."""
        hit = self.lose(rng.choice(self.nodes[1:]))
        self.add()
        return hit

    def stop(self) -> None:
        """All nodes die, the head last."""
        for node in reversed(self.nodes):
            node.kill()


@contextmanager
def cluster(*cpus: int) -> Iterator[Cluster]:
    """A cluster of nodes with so many CPUs while it is needed; nothing of it is left afterwards, however we end."""
    folder, mark, guard = tempfile.mkdtemp(prefix="cr-", dir="/tmp"), uuid.uuid4().hex, Guard()  # sockets: a short path
    guard.tell("folder", folder)
    guard.tell("start", mark, 0)
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}
    made = Cluster(Path(folder), mark, environment=secret)
    try:
        for number in cpus:
            made.add(number)
        yield made
    finally:
        made.stop()
        guard.close()


def _variable(process: psutil.Process, name: str) -> str | None:
    with contextlib.suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.environ().get(name)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return int(probe.getsockname()[1])
