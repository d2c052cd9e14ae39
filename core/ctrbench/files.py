"""Files that users name for a command to write: never half-written, never over another one by mistake."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ctrbench.errors import UserError
from ctrbench.text import encodable, one_line


def refuse_existing(file: Path, otherwise: str = "remove it") -> None:
    """UserError where a file of that name exists already; `otherwise` is what the user can do beside naming another."""
    if os.path.exists(file):  # a name that no system takes does not exist; writing it will tell
        raise UserError(f"{encodable(str(file))}: exists already; name a new file, or {otherwise}")


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file that gets its name once all of it is written; UserError where it cannot be."""
    if os.path.isdir(file):
        raise UserError(f"{encodable(str(file))}: is a folder; name a file")
    partial = file.with_name(f".{file.name[:40]}-{uuid.uuid4().hex[:8]}")
    try:
        with open(partial, "xb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        os.replace(partial, file)
    except OSError as error:
        raise UserError(f"{encodable(str(file))}: cannot be written: {one_line(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
