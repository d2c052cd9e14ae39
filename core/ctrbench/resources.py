"""What a process may use and has used: threads, devices, memory."""

from __future__ import annotations

import ctypes
import math
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ctrbench.errors import UserError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """So many threads for BLAS, OpenMP and torch, and as before afterwards."""
    with _thread_pools(len(sys.modules)).limit(limits=threads):
        torch = sys.modules.get("torch")
        before = torch.get_num_threads() if torch else 0
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _thread_pools(_modules: int) -> ThreadpoolController:
    """Those of the loaded libraries; finding them takes longer than many a task, so only once modules were added."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells a container what it may use; of both versions of control groups."""


def cores(groups: Path = _GROUPS) -> int:
    """How many cores this process may use: those that it may run on, and no more than the quota of its container."""
    bounds = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # "max" is no number
            quota, period = (int(word) for name in files for word in (groups / name).read_text().split())
            if quota > 0:  # -1 is none, too
                bounds.append(math.ceil(quota / period))
    return min(bounds)


def memory(groups: Path = _GROUPS) -> int:
    """How many bytes this process may use: those of this machine, and no more than the limit of its container."""
    bounds = [int(psutil.virtual_memory().total)]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            bounds.append(int((groups / name).read_text()))
    return min(bounds)


def resolve_device(asked: str) -> str:
    """`auto` becomes cuda where there is a usable GPU, else cpu; UserError for one that is not there."""
    if asked == "cpu" or (asked == "auto" and not Path("/proc/driver/nvidia").exists()):
        return "cpu"
    import torch

    usable = torch.cuda.is_available()
    if asked == "auto":
        return "cuda" if usable else "cpu"
    if not re.fullmatch(r"cuda(:\d{1,4})?", asked):
        raise UserError(f"device {asked}: choose auto, cpu, cuda or cuda:N")
    if not usable:
        raise UserError(f"device {asked}: torch {torch.__version__} sees no GPU here; use cpu")
    if ":" in asked and int(asked.partition(":")[2]) >= torch.cuda.device_count():
        raise UserError(f"device {asked}: there are {torch.cuda.device_count()} GPUs, counted from 0")
    return asked


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's names for what its mallopt sets
_keeps = False  # whether this process does so


def keep_freed_memory() -> None:
    """Let the C library keep what tensors free for the next ones; glibc only.

    It would give a batch's activations back page by page and get them anew in the next step: two workers that trained
    DeepFM side by side on Frappe's width spent 7 to 18 % of a step on that.
    """
    global _keeps
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        _keeps = True
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc takes; what is larger is given back as ever
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)


def let_arrow_free_memory() -> None:
    """Have Arrow, if it is not loaded yet, take memory from the C library, and not from a pool that keeps it."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_back_memory() -> None:
    """Give the system what the C library keeps of freed memory; glibc only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak_memory() -> None:
    """Start to measure `peak_memory` anew: a warm process carries what earlier tasks reached, and what it kept."""
    if _keeps:
        give_back_memory()
    forget_peak_memory()


def forget_peak_memory() -> None:
    """Start to measure `peak_memory` anew, and keep what is kept."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most bytes that this process has had for itself since the last reset; pages of mapped files do not count.

    The kernel remembers the peak of all resident pages: those of files that are there now are taken off it. So it is to
    be asked while the files are still mapped.
    """
    told = _kilobytes("/proc/self/status")
    if "VmHWM" in told:
        return 1024 * max(told["VmHWM"] - told.get("RssFile", 0), _of_its_own(told))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def own_memory(number: int) -> int:
    """Resident bytes of a process without pages of mapped files, where the system tells them apart; 0 of none."""
    own = _of_its_own(_kilobytes(f"/proc/{number}/status"))
    if own or sys.platform == "linux":
        return 1024 * own
    with suppress(psutil.Error):
        return int(psutil.Process(number).memory_info().rss)
    return 0


def proportional_memory(number: int) -> int:
    """The same, a page that n processes share counted as a nth; all of them where the system does not tell."""
    told = _kilobytes(f"/proc/{number}/smaps_rollup")
    if "Pss_Anon" in told:
        return 1024 * (told["Pss_Anon"] + told.get("Pss_Shmem", 0))
    return own_memory(number)


def _of_its_own(told: Mapping[str, int]) -> int:
    return told.get("RssAnon", 0) + told.get("RssShmem", 0)


def _kilobytes(file: str) -> dict[str, int]:
    """What the kernel says of a process, so far as it is in kB."""
    with suppress(OSError):
        lines = (line.split() for line in Path(file).read_text().splitlines())
        return {words[0][:-1]: int(words[1]) for words in lines if words[2:] == ["kB"]}
    return {}


def speed(threads: int) -> float:
    """Operations a second of this machine's float32 matrix products, the best of a few of 1024 × 1024."""
    import numpy as np

    square = np.ones((1024, 1024), np.float32)
    best = float("inf")
    with limited_threads(threads):
        for _ in range(4):
            start = time.perf_counter()
            square @ square
            best = min(best, time.perf_counter() - start)
    return float(2 * 1024**3 / best)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits; processes and threads that are started meanwhile, and theirs, never hear of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
