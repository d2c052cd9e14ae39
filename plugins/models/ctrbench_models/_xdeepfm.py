"""xDeepFM's network, with FuxiCTR's compressed interaction network.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuxictr.pytorch.layers import CompressedInteractionNet, LogisticRegression
from torch import Tensor

from ctrbench_models._networks import DeepNetwork, perceptron

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.xdeepfm import XDeepFM


class XDeepFMNetwork(DeepNetwork):
    """Linear part, sums over the CIN's feature maps (equations 6 to 8 of the paper), and perceptron, summed."""

    def __init__(self, features: FeatureMap, model: XDeepFM) -> None:
        super().__init__(features, model)
        self.linear = LogisticRegression(features, use_bias=False)  # the other parts have biases
        self.interactions = CompressedInteractionNet(features.num_fields, list(model.cin_units))
        self.deep = perceptron(features.num_fields * model.embedding_dim, model)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        columns = self.get_inputs(inputs)
        embedded = self.embedding(columns)  # (batch, fields, dim)
        logit = self.linear(columns) + self.interactions(embedded) + self.deep(embedded.flatten(1))
        return {"y_pred": self.output_activation(logit)}
