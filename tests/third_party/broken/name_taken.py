"""A generator that calls itself as a built-in one does."""

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Generator, hookimpl


@dataclass(frozen=True)
class Impostor(Generator):
    """Takes a built-in's name."""

    name: ClassVar[str] = "random_oversampling"

    def fit(self, train, *, seed, context):
        """Must never be called."""
        raise AssertionError("the impostor was used")


@hookimpl
def register_generators(register):
    """Register the impostor."""
    register(Impostor)
