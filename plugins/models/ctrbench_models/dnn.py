"""A multilayer perceptron over field embeddings, the simplest deep CTR model.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import DeepModel

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class Dnn(DeepModel):
    """Multilayer perceptron over field embeddings (Covington et al. 2016), on FuxiCTR, at BARS's Frappe settings."""

    name: ClassVar[str] = "dnn"

    def network(self, features: FeatureMap) -> BaseModel:
        """Embeddings, side by side, through ReLU layers with batch norm and dropout."""
        from ctrbench_models._networks import DnnNetwork

        return DnnNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `dnn`."""
    register(Dnn)
