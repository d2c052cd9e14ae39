"""MaskNet: hidden layers whose inputs are masked depending on the whole row.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import BatchNorm, DeepModel, Dropout, Regularizer, dense

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class MaskNet(DeepModel):
    """MaskNet, instance-guided mask blocks (Wang et al. 2021), on FuxiCTR, at BARS's Frappe settings.

    The paper's serial form ends in one linear layer: `structure=serial, hidden_units=()`.
    """

    name: ClassVar[str] = "masknet"

    dropout: Dropout = 0.1
    batch_norm: BatchNorm = False
    embedding_regularizer: Regularizer = 0.1
    structure: Annotated[Literal["parallel", "serial"], "blocks side by side, or each on the previous one's output"] = (
        "parallel"
    )
    blocks: Annotated[int, "mask blocks", Ge(1)] = 3
    block_dim: Annotated[int, "width of a block's output", Ge(1)] = 50
    reduction_ratio: Annotated[float, "width of a mask's hidden layer over that of the mask", Gt(0)] = 2.0
    layer_norm: Annotated[bool, "layer norm in the blocks"] = True
    embedding_layer_norm: Annotated[bool, "layer norm on each field's embedding before it is masked"] = False

    def a_row(self, fields: int) -> int:
        """Weights of the masks, the blocks and the perceptron."""
        chained, inputs = self.structure == "serial", fields * self.embedding_dim
        total = dense([self.block_dim * (1 if chained else self.blocks), *self.hidden_units, 1])
        for width in [inputs] + [self.block_dim if chained else inputs] * (self.blocks - 1):
            total += int(width * self.reduction_ratio) * (inputs + width) + width * self.block_dim
        return total

    def network(self, features: FeatureMap) -> BaseModel:
        """Mask blocks on the embeddings, and a perceptron on the blocks' outputs."""
        from ctrbench_models._networks import MaskNetNetwork

        return MaskNetNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `masknet`."""
    register(MaskNet)
