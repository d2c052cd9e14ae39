"""A model that ends the process in fit."""

import sys
from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Model, hookimpl


@dataclass(frozen=True)
class FitExits(Model):
    """Calls sys.exit in fit."""

    name: ClassVar[str] = "fit_exits"

    def fit(self, train, valid, *, seed, context):
        """Leave."""
        sys.exit(0)


@hookimpl
def register_models(register):
    """Register it."""
    register(FitExits)
