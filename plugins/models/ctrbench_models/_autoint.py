"""AutoInt's network: self-attention over the fields.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ctrbench_models._networks import DeepNetwork, perceptron

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.autoint import AutoInt


class AutoIntNetwork(DeepNetwork):
    """A linear layer on the fields after they have attended to each other, plus a perceptron on them before."""

    def __init__(self, features: FeatureMap, model: AutoInt) -> None:
        super().__init__(features, model)
        widths = [model.embedding_dim] + [model.attention_dim] * model.attention_layers
        self.attention = nn.Sequential(*(Attention(before, after, model) for before, after in pairwise(widths)))
        self.last = nn.Linear(features.num_fields * model.attention_dim, 1)
        self.deep = perceptron(features.num_fields * model.embedding_dim, model) if model.hidden_units else None
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        embedded = self.embedding(self.get_inputs(inputs))  # (batch, fields, dim)
        logit = self.last(self.attention(embedded).flatten(1))
        if self.deep is not None:
            logit = logit + self.deep(embedded.flatten(1))
        return {"y_pred": self.output_activation(logit)}


class Attention(nn.Module):
    """Equations 5 to 8 of the paper, scores scaled by 1/√d: heads of weighted values, a residual, ReLU."""

    def __init__(self, width: int, output: int, model: AutoInt) -> None:
        super().__init__()
        self.heads = model.heads
        self.query, self.key, self.value = (nn.Linear(width, output, bias=False) for _ in range(3))
        self.residual = nn.Identity() if width == output else nn.Linear(width, output, bias=False)
        self.dropout = nn.Dropout(model.dropout)
        self.norm = nn.LayerNorm(output) if model.layer_norm else nn.Identity()

    def forward(self, fields: Tensor) -> Tensor:
        """(batch, fields, width) to (batch, fields, output)."""
        query, key, value = (
            layer(fields).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (batch, heads, fields, part)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (batch, heads, fields, fields)
        attended = self.dropout(scores.softmax(dim=3)) @ value
        together: Tensor = attended.transpose(1, 2).flatten(2) + self.residual(fields)
        return self.norm(together).relu()
