"""Ends what workers started, wherever it went: by process group, by the mark in its environment, by what was seen.

As a program it outlives the driver by a moment: the driver writes to its standard input what it starts and what it
sees below that, and the end of the input is the driver's death. It runs on the standard library alone.
A driver may itself be a worker of another one (a slot of a Ray cluster): marks are then joined by slashes.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping

MARK = "CTRBENCH_WORKER"
"""The environment variable by which all that a worker starts is known as its own."""

_ROUNDS = 50  # a process may start another one while it is being killed


def main() -> None:
    """Take the driver's notes until it is gone, then kill what it has not taken back, and remove its folders."""
    leaders: dict[str, int] = {}
    seen: dict[str, set[tuple[int, int]]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        what, _, about = line.rstrip("\n").partition(" ")
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


def kill(leaders: Mapping[str, int], seen: Iterable[tuple[int, int]]) -> None:
    """Kill processes with their groups, what bears their marks, what was seen below them, and all below that.

    `leaders` maps a mark to its process, 0 where it is not known; `seen` holds numbers with the times of their start,
    so that a number which was given to another process since does no harm.
    """
    for leader in leaders.values():
        if leader:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        roots = {number for number, start in seen if start_of(number) == start} | bearing(leaders)
        found = roots.union(*(below(root) for root in roots)) - {os.getpid()}
        if not found:
            return
        for number in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


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


def start_of(number: int) -> int:
    """When a living process started, in the kernel's ticks; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{number}/stat") as file:
            state, *fields = file.read().rpartition(")")[2].split()  # its name, before that, may hold anything
        return 0 if state in "ZX" else int(fields[18])
    return 0


if __name__ == "__main__":
    main()
