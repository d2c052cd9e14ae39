"""AutoInt: fields attend to each other, layer after layer, beside a perceptron.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Lt
from ctrbench import Model, Register, Searched, UserError, hookimpl

from ctrbench_models._deep import DeepModel, Regularizer

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class AutoInt(DeepModel):
    """AutoInt+, self-attention and a perceptron (Song et al. 2019), on FuxiCTR, at BARS's Frappe settings.

    `hidden_units=()` is the paper's AutoInt, without a perceptron. Layer norm, dropout and scaled scores of the
    attention come from BARS; they are not in the paper.
    """

    name: ClassVar[str] = "autoint"

    dropout: Annotated[
        float, "share of hidden units, and of attention, dropped in a step", Ge(0), Lt(1), Searched(0, 0.5)
    ] = 0.1
    embedding_regularizer: Regularizer = 0.1
    attention_layers: Annotated[int, "layers of self-attention", Ge(1)] = 5
    attention_dim: Annotated[int, "width of a field's vector after a layer, all heads together", Ge(1)] = 128
    heads: Annotated[int, "heads of a layer", Ge(1)] = 4
    layer_norm: Annotated[bool, "layer norm before a layer's ReLU"] = True

    def __post_init__(self) -> None:
        if self.attention_dim % self.heads:
            raise UserError(f"{self.name}: heads={self.heads} must divide attention_dim={self.attention_dim}")

    def a_row(self, fields: int) -> int:
        """Weights of the attention and the perceptron."""
        projections = 4 * fields * (self.embedding_dim + (self.attention_layers - 1) * self.attention_dim)
        scores = 2 * fields**2 * self.attention_layers
        deep = super().a_row(fields) if self.hidden_units else 0
        return (projections + scores) * self.attention_dim + fields * self.attention_dim + deep

    def network(self, features: FeatureMap) -> BaseModel:
        """Layers of self-attention over the fields, beside a perceptron."""
        from ctrbench_models._autoint import AutoIntNetwork

        return AutoIntNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `autoint`."""
    register(AutoInt)
