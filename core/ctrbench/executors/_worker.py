"""The life of a worker process: it sets itself up once, then does jobs, each with its own log.

It leads a process group of its own, so that whatever a plug-in starts can be killed with it; it ignores Ctrl-C, which
is the driver's business; it reports over a datagram socket, which no killed process can leave locked.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ctrbench import resources, tasks
from ctrbench.artefacts import Artefacts
from ctrbench.executors import Site
from ctrbench.jobs import Job
from ctrbench.results import Status, TaskResult
from ctrbench.text import one_line

_PR_SET_PDEATHSIG = 1
_REPORT_EVERY = 0.5  # seconds

_site: Site
_reports: socket.socket


def start(site: Site, reports: str) -> None:
    """Set this process up as a worker."""
    global _site, _reports
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # it was held while this process started
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _site = site
    _reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    _reports.setblocking(False)
    with suppress(OSError):
        _reports.connect(reports)
    _report({"born": os.getpid()})
    faulthandler.enable()
    resources.keep_freed_memory()
    _print_to(Path(os.devnull))
    for module in site.imports:
        with suppress(Exception):  # a task that needs it will say what is wrong with it
            importlib.import_module(module)


def work(task: str, job: Job, timeout: float | None) -> TaskResult:
    """Do a job."""
    _report({"task": task, "pid": os.getpid()})
    place = tasks.Workplace(
        Artefacts(_site.artefacts),
        _site.checkpoints,
        _site.budget,
        time.time() + timeout if timeout else None,
        _reporter(task),
    )
    _print_to(_site.open_log(job, os.getpid()))
    try:
        return tasks.perform(job, place)
    except KeyboardInterrupt as error:  # this process ignores Ctrl-C, so a plug-in raised it
        return TaskResult(Status.FAILED, job.plugin.registered, reason=one_line(error))
    finally:
        _print_to(Path(os.devnull))
        _site.close_log(job, os.getpid())


def _reporter(task: str) -> tasks.Report:
    last = 0.0

    def report(step: int, total: int | None, values: Mapping[str, float]) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_EVERY:
            last = time.monotonic()
            _report({"task": task, "step": step, "total": total, "values": values})

    return report


def _report(message: Mapping[str, object]) -> None:
    with suppress(OSError):  # the driver is busy or gone; nobody waits for a report
        _reports.send(json.dumps(message).encode())


def _print_to(path: Path) -> None:
    """Send all that this process and its children print to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
