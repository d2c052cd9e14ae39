"""What a process may use, and what a worker does with memory that is free again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from ctrbench import resources

V1_CPU, V1_MEMORY = "cpu/cpu.cfs_{}_us", "memory/memory.limit_in_bytes"


@pytest.mark.parametrize(
    ("told", "cores", "memory"),
    [
        ({"cpu.max": "100000 100000\n", "memory.max": "1048576\n"}, 1, 2**20),
        ({"cpu.max": "150000 100000\n"}, 2, None),
        ({V1_CPU.format("quota"): "100000\n", V1_CPU.format("period"): "100000\n", V1_MEMORY: "1048576\n"}, 1, 2**20),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None),
        (
            {V1_CPU.format("quota"): "-1\n", V1_CPU.format("period"): "100000\n", V1_MEMORY: f"{2**63 - 4096}\n"},
            None,
            None,
        ),
        ({}, None, None),
    ],
)
def test_a_container_uses_no_more_than_it_is_granted(
    told: dict[str, str], cores: int | None, memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in told.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(64)), raising=False)
    assert resources.cores(tmp_path) == (cores or 64)
    assert resources.memory(tmp_path) == (memory or psutil.virtual_memory().total)


CHURN = """
import resource, sys
import numpy as np
from ctrbench import resources

if sys.argv[1] == "keep":
    resources.keep_freed_memory()
for step in range(25):
    if step == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**20) for _ in range(10)]  # 8 MiB each
    del arrays
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
held = resources.peak_memory()
resources.reset_peak_memory()
print(faults, held, resources.peak_memory())
"""


def churn(how: str) -> list[int]:
    """Page faults in 20 rounds of 80 MiB, peak memory in bytes, and peak memory after a reset."""
    done = subprocess.run([sys.executable, "-c", CHURN, how], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's mallopt")
def test_freed_memory_is_kept_for_the_next_step_and_given_back_between_tasks() -> None:
    plain, kept = churn("plain"), churn("keep")
    assert kept[0] * 10 < plain[0]
    assert kept[1] - kept[2] > 60 * 2**20


POOL = """
import os, sys
from ctrbench import resources
if len(sys.argv) > 1:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = sys.argv[1]
resources.let_arrow_free_memory()
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""


@pytest.mark.parametrize(("asked", "found"), [((), "system"), (("mimalloc",), "mimalloc")])
def test_arrow_takes_memory_from_the_c_library_unless_the_user_says_otherwise(
    asked: tuple[str, ...], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    done = subprocess.run([sys.executable, "-c", POOL, *asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
