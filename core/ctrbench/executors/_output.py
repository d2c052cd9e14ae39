"""Keeps what a task prints from filling the disk: its beginning and its end stay, the middle goes.

In: a log file, which others may be writing at the moment. Out: the same file, bounded.
"""

from __future__ import annotations

import os
from pathlib import Path

KEPT = 2**20  # bytes of the beginning, and of the end
_FULL = 4 * KEPT


def bound(log: Path, *, full: int = _FULL) -> bool:
    """Cut a log that has more than so many bytes; whether there is anything in it.

    Whoever writes it must have opened it for appending, and goes on at the new end; what is printed at this very
    moment may be lost.
    """
    try:
        with open(log, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= full:
                return size > 0
            file.seek(size - KEPT)
            end = file.read(KEPT)
            file.truncate(KEPT)
            with open(log, "ab") as again:
                again.write(b"\n[... bytes were left out here: a log keeps its first and its last MiB ...]\n" + end)
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True
