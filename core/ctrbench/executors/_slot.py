"""A slot of a Ray cluster: an actor on some node that does one job at a time, by the local executor.

In: jobs, and the artefacts that they read, out of Ray's object store. Out: what the job is at, and at its end the
result with the bytes of what it made and printed. Nothing but a temporary folder of the node is written.
"""

from __future__ import annotations

import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ctrbench import digests, environment
from ctrbench.executors import Finished, Progress, WorkerSettings
from ctrbench.executors.local import LocalExecutor
from ctrbench.jobs import Job, key
from ctrbench.limits import Limits
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.artefacts import SUFFIXES, Artefacts

_LISTEN = 5.0  # seconds that a call waits for something to tell
_KEPT = 64  # artefacts in a slot's folder
_FOLDER = "ctrbench-slot-"  # how the folders of slots begin


class UnlikeError(Exception):
    """The node has other versions than the driver, so that its results would be others."""


@dataclass(frozen=True)
class Done:
    """The end of a task, with the contents of the artefacts that it made, by digest, and what it printed."""

    task: str
    result: TaskResult
    made: Mapping[str, bytes]
    log: bytes


class Slot:
    """One worker process, kept by a local executor that knows of limits, logs and deaths."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._driver = settings

    def open(self, versions: Mapping[str, str]) -> list[Progress | Done]:
        """Get ready. UnlikeError where this node is not installed as the driver's machine is."""
        mine = installed()
        unlike = [
            f"{name} {mine.get(name)} instead of {versions[name]}"
            for name in versions
            if mine.get(name) != versions[name]
        ]
        if unlike:
            raise UnlikeError(f"the node {platform.node()} has {', '.join(unlike)}")
        vars(sys.modules["__main__"]).pop("__file__", None)  # else workers would import Ray's main script
        self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
        self._settings = replace(self._driver, artefacts=self._folder / "artefacts")
        self._artefacts = Artefacts(self._settings.artefacts)
        self._used: dict[str, float] = {}  # when each artefact was last asked for
        self._executor = LocalExecutor(1, self._settings, self._folder)
        return []

    def take(self, task: str, job: Job, limits: Limits, inputs: Mapping[str, object]) -> list[Progress | Done]:
        """Begin a job; `inputs` are references to the contents of what it reads, by digest."""
        if digests.source_digest(job.plugin.module) not in (None, job.plugin.source):
            reason = f"the node {platform.node()} has another source of {job.plugin.module} than the driver"
            return [Done(task, TaskResult(Status.FAILED, job.plugin.registered, Stage.HAND_OVER, reason), {}, b"")]
        self._fetch(inputs)
        self._executor.submit(task, job, limits)
        self._log = self._settings.logs / f"{key(job)[:16]}.log"
        return []

    def listen(self) -> list[Progress | Done]:
        """What is new, as soon as there is something; after a while, nothing."""
        return [self._packed(e) if isinstance(e, Finished) else e for e in self._executor.wait(_LISTEN)]

    def _fetch(self, inputs: Mapping[str, object]) -> None:
        import ray

        lacking = [digest for digest in inputs if not self._share(digest)]
        for digest, data in zip(lacking, ray.get([inputs[digest] for digest in lacking]), strict=True):
            self._artefacts.take_in(digest, io.BytesIO(data))
            self._share(digest)  # another slot may have fetched it meanwhile
        self._used |= dict.fromkeys(inputs, time.monotonic())  # not by the files' own times: slots share files
        by_use = sorted(self._settings.artefacts.glob("??/*"), key=lambda path: self._used.get(path.stem, 0.0))
        for path in by_use[: -max(_KEPT, len(inputs))]:
            path.unlink()

    def _share(self, digest: str) -> bool:
        """Have one file with all slots of this node, so that their workers map the same; whether there is one."""
        place = self._artefacts.path(digest)
        with suppress(OSError):  # a slot that ends, or a file system without links
            of_slots = self._folder.parent.glob(f"{_FOLDER}*/artefacts/{place.parent.name}/{digest}.*")
            found = [path for path in of_slots if path.suffix in SUFFIXES]
            first = min(found, key=lambda path: path.stat().st_ino, default=place)
            own = place.parent / first.name
            if first != own and not (own.exists() and own.samefile(first)):
                own.parent.mkdir(parents=True, exist_ok=True)
                linked = own.with_suffix(".linked")
                linked.unlink(missing_ok=True)
                os.link(first, linked)
                linked.replace(own)
        return self._artefacts.path(digest).exists()

    def _packed(self, end: Finished) -> Done:
        """An end with all that the driver is to write; paths of this node become the driver's own."""
        made = {digest: self._artefacts.get_bytes(digest) for digest in end.result.artefacts.values()}
        here, there = map(os.fspath, (self._settings.artefacts, self._driver.artefacts))
        result = replace(end.result, reason=end.result.reason.replace(here, there))
        log = self._log.read_bytes() if self._log.exists() else b""
        self._log.unlink(missing_ok=True)
        return Done(end.task, result, made, log)


def installed() -> dict[str, str]:
    """What must be equal on all machines of a run for equal results."""
    harness = digests.source_digest("ctrbench.perform") or ""
    return {"Python": platform.python_version(), "ctrbench's source": harness[:12], **environment.libraries()}
