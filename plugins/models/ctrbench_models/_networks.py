"""The networks of the deep models, on FuxiCTR's layers and its `BaseModel`.

In: a feature map and a model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from fuxictr.pytorch.layers import FeatureEmbedding, InnerProductInteraction, LogisticRegression, MLP_Block
from fuxictr.pytorch.models import BaseModel
from torch import Tensor, nn

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models._deep import DeepModel
    from ctrbench_models.masknet import MaskNet


class Network(BaseModel):
    """What all of them share: separate L2 regularisers for embeddings and for all else, and initialisation."""

    def __init__(self, features: FeatureMap, embedding_regularizer: float, net_regularizer: float = 0.0) -> None:
        super().__init__(
            features,
            embedding_regularizer=embedding_regularizer,
            net_regularizer=net_regularizer,
            verbose=0,
            metrics=["AUC"],
            model_root="",
        )

    def start(self, learning_rate: float) -> None:
        """FuxiCTR's initial weights, and Adam; the last line of a constructor."""
        self.reset_parameters()
        self.optimizer = torch.optim.Adam(self.parameters(), lr=learning_rate, fused=True)
        self.loss_fn = nn.functional.binary_cross_entropy


class DeepNetwork(Network):
    """One embedding table per field."""

    def __init__(self, features: FeatureMap, model: DeepModel) -> None:
        super().__init__(features, model.embedding_regularizer)
        self.embedding = FeatureEmbedding(features, model.embedding_dim)


class DnnNetwork(DeepNetwork):
    """Embeddings, side by side, through a perceptron."""

    def __init__(self, features: FeatureMap, model: DeepModel) -> None:
        super().__init__(features, model)
        self.deep = perceptron(features.num_fields * model.embedding_dim, model)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        embedded = self.embedding(self.get_inputs(inputs), flatten_emb=True)  # (batch, fields · dim)
        return {"y_pred": self.output_activation(self.deep(embedded))}


class DeepFMNetwork(DeepNetwork):
    """The sum of a factorisation machine and a perceptron over the same embeddings."""

    def __init__(self, features: FeatureMap, model: DeepModel) -> None:
        super().__init__(features, model)
        self.linear = LogisticRegression(features, use_bias=False)  # the perceptron's last layer has the bias
        self.pairs = InnerProductInteraction(features.num_fields, output="product_sum")
        self.deep = perceptron(features.num_fields * model.embedding_dim, model)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        columns = self.get_inputs(inputs)
        embedded = self.embedding(columns)  # (batch, fields, dim)
        logit = self.linear(columns) + self.pairs(embedded) + self.deep(embedded.flatten(1))
        return {"y_pred": self.output_activation(logit)}


class MaskNetNetwork(DeepNetwork):
    """Mask blocks over the embeddings, in parallel or in series, and a perceptron over their outputs."""

    def __init__(self, features: FeatureMap, model: MaskNet) -> None:
        super().__init__(features, model)
        width, self.chained = features.num_fields * model.embedding_dim, model.structure == "serial"
        inputs = [width] + [model.block_dim if self.chained else width] * (model.blocks - 1)
        self.norms = nn.ModuleList(
            nn.LayerNorm(model.embedding_dim) for _ in range(features.num_fields * model.embedding_layer_norm)
        )
        self.blocks = nn.ModuleList(MaskBlock(each, width, model) for each in inputs)
        self.deep = perceptron(model.block_dim * (1 if self.chained else model.blocks), model)
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1)."""
        embedded = self.embedding(self.get_inputs(inputs))  # (batch, fields, dim)
        instance = embedded.flatten(1)  # (batch, fields · dim)
        if self.norms:
            embedded = torch.stack([norm(embedded[:, at]) for at, norm in enumerate(self.norms)], dim=1)
        hidden = embedded.flatten(1)
        if self.chained:
            for block in self.blocks:
                hidden = block(hidden, instance)
        else:
            hidden = torch.cat([block(hidden, instance) for block in self.blocks], dim=1)
        return {"y_pred": self.output_activation(self.deep(hidden))}


class MaskBlock(nn.Module):
    """A hidden layer whose input is multiplied by a mask computed from the instance's embeddings."""

    def __init__(self, input_dim: int, instance_dim: int, model: MaskNet) -> None:
        super().__init__()
        wider = max(1, int(input_dim * model.reduction_ratio))
        self.mask = nn.Sequential(nn.Linear(instance_dim, wider), nn.ReLU(), nn.Linear(wider, input_dim))
        self.hidden = nn.Sequential(
            nn.Linear(input_dim, model.block_dim, bias=False),  # as in the zoo, with the norm or without
            nn.LayerNorm(model.block_dim) if model.layer_norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(model.dropout),
        )

    def forward(self, hidden: Tensor, instance: Tensor) -> Tensor:
        """(batch, input_dim) and (batch, instance_dim) to (batch, block_dim)."""
        output: Tensor = self.hidden(hidden * self.mask(instance))
        return output


def perceptron(input_dim: int, model: DeepModel) -> MLP_Block:
    """ReLU layers of the model's widths down to one logit."""
    return MLP_Block(
        input_dim,
        hidden_units=list(model.hidden_units),
        output_dim=1,
        dropout_rates=model.dropout,
        batch_norm=model.batch_norm,
    )


def hidden_layers(input_dim: int, widths: Sequence[int], model: DeepModel) -> MLP_Block:
    """ReLU layers of these widths, with the model's dropout and batch norm, and no output layer."""
    return MLP_Block(input_dim, hidden_units=list(widths), dropout_rates=model.dropout, batch_norm=model.batch_norm)
