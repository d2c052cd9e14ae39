"""DCNv2's network, with FuxiCTR's cross layers.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from fuxictr.pytorch.layers import CrossNetV2
from torch import Tensor, nn

from ctrbench_models._networks import DeepNetwork, hidden_layers

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.dcnv2 import DCNv2


class DCNv2Network(DeepNetwork):
    """x₍l₊₁₎ = x₀ ⊙ (W₍l₎x₍l₎ + b₍l₎) + x₍l₎ beside a perceptron on x₀, the embeddings; one linear layer joins them."""

    def __init__(self, features: FeatureMap, model: DCNv2) -> None:
        super().__init__(features, model)
        width = features.num_fields * model.embedding_dim
        self.cross = CrossNetV2(width, model.cross_layers)
        self.deep = hidden_layers(width, model.hidden_units, model) if model.hidden_units else None
        self.joined = nn.Linear(width + (model.hidden_units[-1] if model.hidden_units else 0), 1)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        embedded = self.embedding(self.get_inputs(inputs), flatten_emb=True)  # (batch, fields · dim)
        crossed = self.cross(embedded)
        if self.deep is not None:
            crossed = torch.cat([crossed, self.deep(embedded)], dim=1)
        return {"y_pred": self.output_activation(self.joined(crossed))}
