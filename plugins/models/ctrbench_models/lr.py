"""Logistic regression as the field trains it: a weight for each value, by Adam, with early stopping.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import NetworkModel

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class LR(NetworkModel):
    """Logistic regression by Adam (Richardson et al. 2007), on FuxiCTR, at BARS's Frappe settings.

    `logistic` is the same model at the optimum of its penalised likelihood; this one is stopped by valid's AUC.
    """

    name: ClassVar[str] = "lr"

    regularizer: Annotated[float, "λ of λ/2·‖W‖² on all weights", Ge(0)] = 1e-5

    def a_value(self) -> int:
        """One weight."""
        return 1

    def a_row(self, fields: int) -> int:
        """One weight per field."""
        return fields

    def network(self, features: FeatureMap) -> BaseModel:
        """A bias and one weight per value."""
        from ctrbench_models._lr import LRNetwork

        return LRNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `lr`."""
    register(LR)
