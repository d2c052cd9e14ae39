"""Long fits: a step at a time, with progress, a deadline, and checkpoints from which a killed fit goes on.

In: a trainer that can do a step and say all that decides the next ones. Out: the trainer after its last step, with the
same numbers whether or not it was interrupted on the way.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ctrbench import Context
from torch import Tensor

REPORT_EVERY = 0.5
SAVE_EVERY = 120.0
"""Seconds between two reports and between two checkpoints."""


class Fit(Protocol):
    """A trainer between two steps."""

    def step(self) -> Mapping[str, Tensor]:
        """Do one step; its losses, each of no dimension, left where they were computed."""

    def state(self) -> dict[str, Any]:
        """All that decides the further steps: weights, optimizers, random generators; tensors and plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""


def run(fit: Fit, steps: int, context: Context) -> Mapping[str, float]:
    """Do so many steps, those of a checkpoint among them; the mean losses since the last report but one.

    Raises TimeoutError at a step beyond the deadline, with a checkpoint kept, and FloatingPointError where a loss is
    no longer finite.
    """
    path = context.checkpoints / "fit.pt"
    kept = _load(path)
    done, losses = 0, dict[str, float]()
    if kept is not None:
        done, losses = kept["done"], kept["losses"]
        fit.restore(kept["fit"])
    reported = saved = time.monotonic()
    sums, summed = dict[str, Tensor](), 0
    while done < steps:
        for name, loss in fit.step().items():
            sums[name] = sums[name] + loss.detach() if name in sums else loss.detach().clone()
        done, summed = done + 1, summed + 1
        now, late = time.monotonic(), context.seconds_left <= 0
        if now - reported > REPORT_EVERY or done == steps or late:
            losses = {name: total.item() / summed for name, total in sums.items()}
            if not all(map(math.isfinite, losses.values())):
                raise FloatingPointError(f"a loss is not finite at step {done} of {steps}: {losses}")
            context.progress(done, steps, losses)
            reported, sums, summed = now, {}, 0
        if now - saved > SAVE_EVERY or (late and done < steps):
            _save({"done": done, "losses": losses, "fit": fit.state()}, path)
            saved = now
        if late and done < steps:
            raise TimeoutError(
                f"the time limit was reached after step {done} of {steps}; a longer one goes on from there"
            )
    return losses


def _load(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None; a damaged one is set aside."""
    if not path.exists():
        return None
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever torch finds wrong with the bytes, the fit begins anew
        path.replace(path.with_suffix(".damaged"))
        return None
    return kept


def _save(kept: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that the last whole one stays until the new one is; a full disk does not end the fit."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(kept, file)
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError):
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
