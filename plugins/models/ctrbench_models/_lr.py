"""The network of a logistic regression, on FuxiCTR's layer.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuxictr.pytorch.layers import LogisticRegression
from torch import Tensor

from ctrbench_models._networks import Network

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.lr import LR


class LRNetwork(Network):
    """b + Σ wᵢ, of the values of a row."""

    def __init__(self, features: FeatureMap, model: LR) -> None:
        super().__init__(features, model.regularizer, model.regularizer)
        self.linear = LogisticRegression(features)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        return {"y_pred": self.output_activation(self.linear(self.get_inputs(inputs)))}
