"""Ends what workers started, wherever it went: as what descends from their keeper, by process group, mark, and sight.

As a program it is one of two, on the standard library alone. A keeper stands between the driver and a worker: on Linux
it inherits whatever loses its parent below it, whatever its environment and session, and kills all of it when the
worker or the driver has died. The guard outlives the driver by a moment: the driver writes to its standard input what
it starts and what it sees below that, and the end of the input is the driver's death; it ends what a killed keeper
left. A driver may itself be a worker of another one (a slot of a Ray cluster): marks are then joined by slashes.
"""

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping

MARK = "CTRBENCH_WORKER"
"""The environment variable by which all that a worker starts is known as its own."""

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_ROUNDS = 50  # a process may start another one while it is being killed
_PARTING = 5.0  # seconds that keepers have to end what is below them
_UNKILLABLE = 30.0  # seconds after which a keeper gives up: what is left is not ours to kill, or hangs in the kernel


def main() -> None:
    """Take the driver's notes until it is gone, then kill what it has not taken back, and remove its folders."""
    leaders: dict[str, int] = {}
    seen: dict[str, set[tuple[int, int]]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        what, _, about = line.rstrip("\n").partition(" ")
        if what == "end":  # said by a driver that closes: what it forked may still hold this line open
            break
        mark, *numbers = about.split()
        if what == "folder":
            folders.append(about)
        elif what == "start":
            leaders[mark] = int(numbers[0])
            seen.setdefault(mark, set())
        elif what == "seen":
            seen[mark].add((int(numbers[0]), int(numbers[1])))
        else:
            leaders.pop(mark, None)
            seen.pop(mark, None)
    if leaders:
        kill(leaders, [process for processes in seen.values() for process in processes])
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def keep(driver: int, worker: int) -> None:
    """Wait for the end of a worker, of the driver, or of their patience; kill all that is below; end as the worker did.

    This process is the worker's parent, and has asked for what its descendants leave behind.
    """
    heard = {signal.SIGCHLD, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)  # they are waited for
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    ended: dict[int, int] = {}
    while os.getppid() == driver and worker not in ended:
        said = signal.sigtimedwait(heard, 1)
        _reap(ended)
        if said and said.si_signo == signal.SIGTERM:
            break
    give_up = time.monotonic() + _UNKILLABLE
    while _reap(ended) and time.monotonic() < give_up:
        for number in below(os.getpid()):
            send(number, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.01)
    status = os.waitstatus_to_exitcode(ended.get(worker, signal.SIGKILL))
    if status < 0:  # by the same signal, so that the driver sees how its worker ended
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-status})
        os.kill(os.getpid(), -status)
    os._exit(status)


def _reap(ended: dict[int, int]) -> bool:
    """Note how children ended; whether there are others."""
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = child[1]
        return True
    return False


def kill(leaders: Mapping[str, int], seen: Iterable[tuple[int, int]]) -> None:
    """Kill processes with their groups, what bears their marks, what was seen below them, and all below that.

    `leaders` maps a mark to its process, 0 where it is not known; `seen` holds numbers with the times of their start,
    so that a number which was given to another process since does no harm. A keeper is asked first: what it ends can
    hide from nobody; the other ways find what is left where there is none, or where it was killed itself.
    """
    known = [leader for leader in leaders.values() if leader]
    for leader in known:
        send(leader, signal.SIGTERM)
    give_up = time.monotonic() + _PARTING
    while any(map(start_of, known)) and time.monotonic() < give_up:
        time.sleep(0.005)
    for leader in known:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        roots = {number for number, start in seen if start_of(number) == start} | bearing(leaders)
        found = roots.union(*(below(root) for root in roots)) - {os.getpid()}
        if not found:
            return
        for number in found:
            send(number, signal.SIGKILL)
        time.sleep(0.01)


def send(number: int, what: signal.Signals) -> None:
    """Send a process a signal, if it is still there and ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(number, what)


def bearing(marks: Iterable[str]) -> set[int]:
    """The living processes of this user that were started with one of the marks in their environment; Linux only."""
    wanted, variable = {mark.encode() for mark in marks}, f"{MARK}=".encode()
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                with open(f"/proc/{name}/environ", "rb") as file:  # empty for one that is dead already
                    for words in file.read().split(b"\0"):
                        if words.startswith(variable) and wanted.intersection(words[len(variable) :].split(b"/")):
                            found.add(int(name))
    return found


def below(number: int) -> set[int]:
    """The children of a process, their children, and so on; Linux only."""
    found: set[int] = set()
    pending = [number]
    while pending:
        folder = f"/proc/{pending.pop()}/task"
        with contextlib.suppress(OSError):
            for thread in os.listdir(folder):
                with contextlib.suppress(OSError), open(f"{folder}/{thread}/children") as file:
                    new = {int(child) for child in file.read().split()} - found
                    found |= new
                    pending += new
    return found


def programs_below(number: int) -> list[str]:
    """The names of the living processes below another one, but for Python's own helper."""
    found = []
    for child in sorted(below(number)):
        with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
            if start_of(child) and "resource_tracker" not in "".join(words):
                found.append(os.path.basename(words[0]) or "a process without a name")
    return found


def start_of(number: int) -> int:
    """When a living process started, in the kernel's ticks; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{number}/stat") as file:
            state, *fields = file.read().rpartition(")")[2].split()  # its name, before that, may hold anything
        return 0 if state in "ZX" else int(fields[18])
    return 0


if __name__ == "__main__":
    if sys.argv[1:]:
        keep(*map(int, sys.argv[1:]))
    main()
