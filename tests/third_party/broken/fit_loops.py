"""A generator whose fit never ends."""

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Generator, hookimpl


@dataclass(frozen=True)
class FitLoops(Generator):
    """Loops for ever in fit."""

    name: ClassVar[str] = "fit_loops"

    def fit(self, train, *, seed, context):
        """Swallow whatever is raised to stop it."""
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue


@hookimpl
def register_generators(register):
    """Register it."""
    register(FitLoops)
