"""One of two models that claim the same name."""

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Model, hookimpl


@dataclass(frozen=True)
class Rival(Model):
    """Claims the name "rival", as another distribution does."""

    name: ClassVar[str] = "rival"

    def fit(self, train, valid, *, seed, context):
        """Must never be called."""
        raise AssertionError("a rival was used")


@hookimpl
def register_models(register):
    """Register the rival."""
    register(Rival)
