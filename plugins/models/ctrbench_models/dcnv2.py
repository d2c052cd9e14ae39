"""DCNv2: layers that multiply the embeddings by linear maps of themselves, beside a perceptron.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import DeepModel, Dropout, dense

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class DCNv2(DeepModel):
    """DCNv2, cross layers beside a perceptron (Wang et al. 2021), on FuxiCTR, at BARS's Frappe settings.

    The paper's parallel form with full matrices; with `hidden_units=()` only the cross network remains.
    """

    name: ClassVar[str] = "dcnv2"

    dropout: Dropout = 0.4
    cross_layers: Annotated[int, "layers of the cross network", Ge(1)] = 4

    def a_row(self, fields: int) -> int:
        """Weights of the cross layers and the perceptron."""
        inputs = fields * self.embedding_dim
        return self.cross_layers * inputs**2 + dense([inputs, *self.hidden_units]) + inputs

    def network(self, features: FeatureMap) -> BaseModel:
        """Cross layers beside a perceptron, and one weighted sum of both outputs."""
        from ctrbench_models._dcnv2 import DCNv2Network

        return DCNv2Network(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `dcnv2`."""
    register(DCNv2)
