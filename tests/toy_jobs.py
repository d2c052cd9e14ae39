"""Jobs of toy plug-ins for executors, and what became of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
from ctrbench.executors import Executor, Finished, WorkerSettings
from ctrbench.jobs import Compute, DataRef, PluginCall, PoolJob
from ctrbench.limits import Limits
from ctrbench.registry import load_registry
from ctrbench.results import TaskResult
from ctrbench.store.artefacts import Artefacts
from places import TESTS
from toys import TOYS, log


def pool_job(site: WorkerSettings, generator: str, **parameters: object) -> PoolJob:
    """A job for a toy generator, on a log that lies ready."""
    registered = load_registry(TOYS).get("generator", generator)
    table = log(100, 1)
    data = DataRef(table.digest(), {"train": Artefacts(site.artefacts).put_table(table)})
    return PoolJob(PluginCall.of(registered, registered.plugin(**parameters)), data, 7, Compute(), (0.5, 0.5))


def finish(executor: Executor, jobs: dict[str, tuple[PoolJob, float | Limits | None]]) -> dict[str, TaskResult]:
    """The results of all jobs."""
    for name, (job, timeout) in jobs.items():
        executor.submit(name, job, timeout if isinstance(timeout, Limits) else Limits(timeout))
    results: dict[str, TaskResult] = {}
    give_up = time.monotonic() + 250
    while not jobs.keys() <= results.keys() and time.monotonic() < give_up:
        results |= {event.task: event.result for event in executor.wait(0.2) if isinstance(event, Finished)}
    return results


DRIVER = """
import sys
from pathlib import Path
here, artefacts, workers, how = sys.argv[1:]
sys.path.insert(0, here)
if __name__ == "__main__":
    from toy_jobs import pool_job
    from ctrbench.executors import WorkerSettings
    from ctrbench.executors.local import LocalExecutor
    from ctrbench.limits import Limits
    site = WorkerSettings(Path(artefacts))
    executor = LocalExecutor(int(workers), site)
    executor.submit("hang", pool_job(site, "misbehaves", how=how), Limits())
    while True:
        executor.wait(1)
"""


def start_driver(
    site: WorkerSettings, folder: Path, workers: int, how: str, **environment: str
) -> subprocess.Popen[bytes]:
    """A process that has its workers do a job which never ends."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    words = [sys.executable, script, TESTS, site.artefacts, str(workers), how]
    return subprocess.Popen(words, start_new_session=True, env={**os.environ, **environment})


def gone(process: int) -> bool:
    """Whether a process has ended, after a moment if need be."""
    for _ in range(100):
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def started(site: WorkerSettings) -> list[int]:
    """The numbers of the processes that toys have started."""
    said = "".join(path.read_text() for path in site.logs.glob("*.log"))
    return [int(number) for number in re.findall(r"started (\d+)", said)]  # several may write at once
