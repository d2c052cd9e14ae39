"""FinalMLP's network: gates, two perceptrons, and the bilinear form that joins them.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from torch import Tensor, nn

from ctrbench_models._networks import DeepNetwork, hidden_layers

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.finalmlp import FinalMLP


class FinalMLPNetwork(DeepNetwork):
    """The bilinear form of two perceptrons' outputs, each reading the embeddings through gates of its own."""

    def __init__(self, features: FeatureMap, model: FinalMLP) -> None:
        super().__init__(features, model)
        width = features.num_fields * model.embedding_dim
        self.gates = nn.ModuleList(
            Gate(features, role if model.gates == "user_item" else "", model)
            for role in ("user", "item")
            if model.gates != "none"
        )
        self.perceptrons = nn.ModuleList(
            hidden_layers(width, widths, model) for widths in (model.hidden_units, model.other_hidden_units)
        )
        self.joined = Bilinear(model.hidden_units[-1], model.other_hidden_units[-1], model.heads)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        columns = self.get_inputs(inputs)
        embedded = self.embedding(columns, flatten_emb=True)  # (batch, fields · dim)
        seen = [embedded * gate(columns) for gate in self.gates] or [embedded, embedded]
        outputs = [perceptron(each) for perceptron, each in zip(self.perceptrons, seen, strict=True)]
        return {"y_pred": self.output_activation(self.joined(*outputs))}


class Gate(nn.Module):
    """A factor from 0 to 2 for every number of the embeddings, by the id of a role, or the same for all rows."""

    def __init__(self, features: FeatureMap, role: str, model: FinalMLP) -> None:
        super().__init__()
        of_role = [
            name for name, spec in features.features.items() if spec["source"] == role and spec["type"] == "categorical"
        ]
        if of_role:
            self.id = FeatureEmbedding(features, model.embedding_dim, required_feature_columns=of_role[:1])
        else:
            self.alike = nn.Parameter(torch.zeros(1, model.embedding_dim))
        self.gate = MLP_Block(
            model.embedding_dim,
            hidden_units=[model.gate_units],
            output_dim=features.num_fields * model.embedding_dim,
            output_activation="Sigmoid",
        )

    def forward(self, columns: dict[str, Tensor]) -> Tensor:
        """(batch, fields · dim), or (1, fields · dim) where all rows have the same."""
        told = self.id(columns, flatten_emb=True) if hasattr(self, "id") else self.alike
        gates: Tensor = 2 * self.gate(told)
        return gates


class Bilinear(nn.Module):
    """b + v·x + w·y + Σ over heads h of xₕᵀ Wₕ yₕ, where x and y are cut into heads."""

    def __init__(self, width: int, other: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self.other_linear = nn.Linear(other, 1)
        self.products = nn.Parameter(torch.empty(heads, width // heads, other // heads))
        # the paper's code initialises them as one matrix of all products and one output
        nn.init.normal_(self.products, std=(2 / (self.products.numel() + 1)) ** 0.5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, width) and (batch, other) to (batch, 1)."""
        heads = len(self.products)
        xs, ys = x.unflatten(1, (heads, -1)), y.unflatten(1, (heads, -1))  # (batch, heads, part)
        products = torch.einsum("bhi,hij,bhj->b", xs, self.products, ys)
        logit: Tensor = self.linear(x) + self.other_linear(y) + products[:, None]
        return logit
