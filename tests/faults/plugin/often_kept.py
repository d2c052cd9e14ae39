"""TVAE that keeps a checkpoint every moment: a plug-in for faults that hit checkpoints.

In and out as `tvae`'s; only the time between two checkpoints is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ctrbench import Context, Generator, Register, Sampler, Table, hookimpl
from ctrbench_generators.tvae import Tvae


@dataclass(frozen=True)
class OftenKept(Tvae):
    """TVAE with a checkpoint every twentieth of a second."""

    name: ClassVar[str] = "often_kept"
    imports: ClassVar[tuple[str, ...]] = ("torch",)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        from ctrbench_generators import _fitting

        before, _fitting.SAVE_EVERY = _fitting.SAVE_EVERY, 0.05
        try:
            return super().fit(train, seed=seed, context=context)
        finally:
            _fitting.SAVE_EVERY = before


@hookimpl
def register_generators(register: Register[type[Generator]]) -> Any:
    register(OftenKept)
