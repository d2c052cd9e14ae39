"""xDeepFM: a network of products of whole embeddings, a perceptron and a linear part.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, MinLen
from ctrbench import Model, Register, hookimpl

from ctrbench_models._deep import DeepModel, Regularizer

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class XDeepFM(DeepModel):
    """xDeepFM, compressed interaction network (Lian et al. 2018), on FuxiCTR, at BARS's Frappe settings."""

    name: ClassVar[str] = "xdeepfm"

    embedding_regularizer: Regularizer = 0.1
    cin_units: Annotated[tuple[Annotated[int, Ge(1)], ...], "feature maps of the CIN's layers", MinLen(1)] = (64,)

    def a_value(self) -> int:
        """The embedding, and a weight of the linear part."""
        return self.embedding_dim + 1

    def a_row(self, fields: int) -> int:
        """Weights of the interaction network and the perceptron."""
        interactions = sum(fields * before * after for before, after in pairwise([fields, *self.cin_units]))
        return interactions * self.embedding_dim + super().a_row(fields)

    def network(self, features: FeatureMap) -> BaseModel:
        """One weight per value, a compressed interaction network and a perceptron, summed."""
        from ctrbench_models._xdeepfm import XDeepFMNetwork

        return XDeepFMNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `xdeepfm`."""
    register(XDeepFM)
