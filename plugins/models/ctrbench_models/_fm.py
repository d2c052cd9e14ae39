"""The network of a factorisation machine, on FuxiCTR's layers.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding
from torch import Tensor

from ctrbench_models._networks import Network

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.fm import FM


class FMNetwork(Network):
    """b + Σ wᵢ + Σ over pairs ⟨vᵢ, vⱼ⟩, of the values of a row."""

    def __init__(self, features: FeatureMap, model: FM) -> None:
        super().__init__(features, model.regularizer, model.regularizer)
        self.embedding = FeatureEmbedding(features, model.embedding_dim)
        self.machine = FactorizationMachine(features)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        columns = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.machine(columns, self.embedding(columns)))}
