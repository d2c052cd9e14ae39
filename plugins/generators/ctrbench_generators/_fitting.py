"""Long fits: one step at a time, with progress, a deadline, and checkpoints from which a killed fit resumes.

In: a trainer that can do a step and give the state that decides the next ones. Out: the trainer after its last step,
with the same numbers whether or not it was interrupted.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
import warnings
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from ctrbench import Context
from torch import Tensor

REPORT_EVERY = 0.5
SAVE_EVERY = 120.0
"""Seconds between two reports and between two checkpoints."""
CURVE = 100
"""Reports at the same steps of every fit, whatever the clock says: its learning curve."""
_SUM = hashlib.sha256().digest_size
WINDOW = 100
"""Steps over which a loss is averaged."""


class Fit(Protocol):
    """A trainer between two steps."""

    def step(self) -> Mapping[str, Tensor]:
        """Do one step; its losses, each a 0-d tensor on the device where it was computed."""

    def state(self) -> dict[str, Any]:
        """All that decides the further steps: weights, optimizers, random generators; tensors and plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state."""


def run(fit: Fit, steps: int, context: Context) -> Mapping[str, float]:
    """Do `steps` steps in all, counting those of a checkpoint; the mean losses over the last `WINDOW` of them.

    Raises TimeoutError at a step beyond the deadline, with a checkpoint kept, and FloatingPointError where a loss is no
    longer finite.
    """
    path = context.checkpoints / "fit.pt"
    done, recent = 0, deque[Mapping[str, Tensor]](maxlen=WINDOW)
    kept = _load(path)
    if kept is not None:
        done = kept["done"]
        recent.extend({name: loss.to(context.device) for name, loss in losses.items()} for losses in kept["recent"])
        fit.restore(kept["fit"])
    begun = reported = saved = time.monotonic()
    while done < steps:
        recent.append({name: loss.detach().clone() for name, loss in fit.step().items()})
        done += 1
        now, late = time.monotonic(), context.seconds_left <= 0
        curve = done == 1 or done * CURVE // steps > (done - 1) * CURVE // steps
        if curve or now - reported > REPORT_EVERY or late:
            losses = _means(recent)
            if not all(map(math.isfinite, losses.values())):
                raise FloatingPointError(f"a loss is not finite at step {done} of {steps}: {losses}")
            context.progress(done, steps, losses)
            reported = now
        # a long fit is also kept at its end: what follows it, such as sampling, may take long as well
        if now - saved > SAVE_EVERY or late or (done == steps and now - begun > SAVE_EVERY):
            lost = _save({"done": done, "recent": list(recent), "fit": fit.state()}, path)
            saved = now
            if lost:
                warnings.warn(f"the checkpoint of step {done} {lost}", RuntimeWarning, stacklevel=2)
        if late and done < steps:
            onwards = f"but its checkpoint {lost}" if lost else "a longer one goes on from there"
            raise TimeoutError(f"the time limit was reached after step {done} of {steps}; {onwards}")
    return _means(recent)


def _means(losses: Collection[Mapping[str, Tensor]]) -> dict[str, float]:
    names = next(iter(losses), {})
    return {name: torch.stack([each[name].float() for each in losses]).mean().item() for name in names}


def _load(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None; a damaged one is set aside."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            if _sum(file, path.stat().st_size - _SUM) != file.read():
                raise ValueError("not what was written")  # torch reads changed numbers without complaint
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is wrong with the bytes, the fit starts over
        path.replace(path.with_suffix(".damaged"))
        return None
    return kept


def _save(kept: dict[str, Any], path: Path) -> str:
    """Write a checkpoint; the last complete one stays until the new one is, and a full disk does not end the fit.

    Why it could not be written, or nothing.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w+b") as file:
            torch.save(kept, file)
            size = file.tell()
            file.seek(0)
            file.write(_sum(file, size))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return f"could not be written: {error}"
    return ""


def _sum(file: BinaryIO, size: int) -> bytes:
    """The SHA-256 of the next `size` bytes of a file, which it follows."""
    sha = hashlib.sha256()
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        sha.update(part)
        size -= len(part)
    return sha.digest()
