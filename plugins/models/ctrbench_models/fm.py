"""A factorisation machine: a weight for each value, and a product of embeddings for each pair of them.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import EmbeddingDim, NetworkModel

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class FM(NetworkModel):
    """Second-order factorisation machine (Rendle 2010, equation 1), on FuxiCTR, at BARS's Frappe settings."""

    name: ClassVar[str] = "fm"

    embedding_dim: EmbeddingDim = 10
    regularizer: Annotated[float, "λ of λ/2·‖W‖² on all weights", Ge(0)] = 5e-6

    def a_value(self) -> int:
        """The embedding, and a weight of the linear part."""
        return self.embedding_dim + 1

    def a_row(self, fields: int) -> int:
        """As many products as there are pairs of fields."""
        return fields**2 // 2 * self.embedding_dim

    def network(self, features: FeatureMap) -> BaseModel:
        """A bias, one weight per value, and the products of all pairs of embeddings."""
        from ctrbench_models._fm import FMNetwork

        return FMNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `fm`."""
    register(FM)
