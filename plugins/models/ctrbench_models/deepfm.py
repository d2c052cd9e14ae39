"""DeepFM: a factorisation machine and a perceptron that share their embeddings.

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
class DeepFM(DeepModel):
    """DeepFM, factorisation machine plus perceptron (Guo et al. 2017), on FuxiCTR, at BARS's Frappe settings."""

    name: ClassVar[str] = "deepfm"

    def network(self, features: FeatureMap) -> BaseModel:
        """One weight per value, the products of all pairs of embeddings, and a perceptron, summed."""
        from ctrbench_models._networks import DeepFMNetwork

        return DeepFMNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `deepfm`."""
    register(DeepFM)
