"""Files that users name for a command to write: never half-written, never over another one by mistake."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ctrbench.errors import UserError
from ctrbench.text import encodable, fault


def refuse_existing(file: Path, otherwise: str = "remove it", another: str = "name a new file") -> None:
    """UserError where something of that name exists: the user is to name `another`, or to do what `otherwise` says."""
    if os.path.exists(file):  # a name that no system takes does not exist; writing it will tell
        raise UserError(f"{encodable(str(file))}: exists already; {another}, or {otherwise}")


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file that gets its name once all of it is written; UserError where it cannot be.

    A link stays one, and its target is written; what is no file but a pipe or a device is written as it stands.
    """
    if os.path.isdir(file):
        raise UserError(f"{encodable(str(file))}: is a folder; name a file")
    if not os.path.isdir(os.path.dirname(file) or "."):
        parent = encodable(os.path.dirname(file))
        raise UserError(f"{encodable(str(file))}: there is no folder {parent}; make it, or name another file")
    flows = os.path.exists(file) and not os.path.isfile(file)
    whole = Path(os.path.realpath(file))
    partial = whole.with_name(f".{whole.name[:40]}-{uuid.uuid4().hex[:8]}")
    try:
        with open(file if flows else partial, "wb" if flows else "xb") as target:
            yield target
            if not flows:
                target.flush()
                os.fsync(target.fileno())
        if not flows:
            os.replace(partial, whole)
    except OSError as error:
        raise UserError(f"{encodable(str(file))}: cannot be written: {fault(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
