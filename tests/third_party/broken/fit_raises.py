"""A generator that fails in fit."""

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Generator, hookimpl


@dataclass(frozen=True)
class FitRaises(Generator):
    """Fails in fit."""

    name: ClassVar[str] = "fit_raises"

    def fit(self, train, *, seed, context):
        """Fail, in two lines."""
        raise ArithmeticError("the toy\nis broken")


@hookimpl
def register_generators(register):
    """Register it."""
    register(FitRaises)
