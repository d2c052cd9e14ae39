"""Outlives the driver by a moment: when the driver dies, however it dies, its workers' process groups are killed.

The driver writes the number of each worker to this process's standard input, and again with a minus once that worker
is gone; the end of the input is the driver's death. The folder of the driver's socket, its argument, goes too.
"""

import contextlib
import os
import shutil
import signal
import sys

groups: set[int] = set()
for line in sys.stdin:
    number = int(line)
    groups = groups | {number} if number > 0 else groups - {-number}
for group in groups:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
shutil.rmtree(sys.argv[1], ignore_errors=True)
