"""What a worker does with memory that is free again."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
