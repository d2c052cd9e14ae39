"""FinalNet: layers that multiply half of a linear map by the other half, in two stacks that teach each other.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, MinLen, MultipleOf
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import DeepModel, Dropout, Regularizer, dense

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


EvenWidths = tuple[Annotated[int, Ge(2), MultipleOf(2)], ...]


@dataclass(frozen=True)
class FinalNet(DeepModel):
    """FinalNet, factorised interaction layers (Zhu et al. 2023), on FuxiCTR, at BARS's Frappe settings.

    With two stacks the logit is the mean of theirs, and each is also trained towards the joint probability. The first
    stack reads the plain embeddings and next to them embeddings weighted by a linear map over the fields. BARS's
    parameter count, 338,502, shows that this was so on Frappe; its configuration calls it `use_field_gate`.
    """

    name: ClassVar[str] = "finalnet"

    hidden_units: Annotated[EvenWidths, "widths of the first stack", MinLen(1)] = (400, 400)
    dropout: Dropout = 0.1
    embedding_regularizer: Regularizer = 0.1
    other_hidden_units: Annotated[EvenWidths, "widths of the second stack; () leaves it out"] = (400,)
    field_gate: Annotated[bool, "the first stack reads gated embeddings too"] = True

    def a_row(self, fields: int) -> int:
        """Weights of the stacks and the gate."""
        inputs = fields * self.embedding_dim
        gated = inputs * (2 if self.field_gate else 1)
        gate = fields**2 * self.embedding_dim if self.field_gate else 0
        return dense([gated, *self.hidden_units, 1]) + dense([inputs, *self.other_hidden_units, 1]) + gate

    def network(self, features: FeatureMap) -> BaseModel:
        """One or two stacks of factorised interaction layers on the embeddings."""
        from ctrbench_models._finalnet import FinalNetNetwork

        return FinalNetNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `finalnet`."""
    register(FinalNet)
