"""FinalNet's network: stacks of factorised interaction layers, and the loss by which two of them teach each other.

In: a feature map and the model's parameters. Out: a network whose `forward` gives `{"y_pred": (batch, 1)}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ctrbench_models._networks import DeepNetwork

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap

    from ctrbench_models.finalnet import FinalNet


class FinalNetNetwork(DeepNetwork):
    """The mean of the stacks' logits; with two stacks, both also learn the joint probability."""

    def __init__(self, features: FeatureMap, model: FinalNet) -> None:
        super().__init__(features, model)
        width = features.num_fields * model.embedding_dim
        self.gate = FieldGate(features.num_fields) if model.field_gate else None
        self.stacks = nn.ModuleList([stack((2 if model.field_gate else 1) * width, model.hidden_units, model)])
        if model.other_hidden_units:
            self.stacks.append(stack(width, model.other_hidden_units, model))
        self.start(model.learning_rate)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities, (batch, 1), and those of each stack by itself, (batch, stacks)."""
        embedded = self.embedding(self.get_inputs(inputs))  # (batch, fields, dim)
        first = embedded if self.gate is None else self.gate(embedded)
        logits = torch.cat([part(each.flatten(1)) for part, each in zip(self.stacks, (first, embedded))], dim=1)  # noqa: B905, one stack or two
        return {
            "y_pred": self.output_activation(logits.mean(dim=1, keepdim=True)),
            "alone": self.output_activation(logits),
        }

    def add_loss(self, output: dict[str, Tensor], labels: Tensor) -> Tensor:
        """Cross-entropy with the labels, and with two stacks also that of each with the joint probability."""
        joint = output["y_pred"]
        loss: Tensor = self.loss_fn(joint, labels, reduction="mean")
        if len(self.stacks) > 1:
            for alone in output["alone"].split(1, dim=1):
                loss = loss + self.loss_fn(alone, joint.detach(), reduction="mean")
        return loss


class FieldGate(nn.Module):
    """The embeddings, and next to them the embeddings times a linear map over the fields, initially the identity."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(fields, fields)

    def init_weights(self) -> None:
        """Set all gates to 1; FuxiCTR calls it after its own initial weights."""
        nn.init.zeros_(self.weigh.weight)
        nn.init.ones_(self.weigh.bias)

    def forward(self, embedded: Tensor) -> Tensor:
        """(batch, fields, dim) to (batch, 2 · fields, dim)."""
        gates = self.weigh(embedded.transpose(1, 2)).transpose(1, 2)
        return torch.cat([embedded, embedded * gates], dim=1)


class Interaction(nn.Module):
    """A linear map in two halves: the one, and the product of both, side by side."""

    def __init__(self, width: int, output: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, output)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, width) to (batch, output)."""
        plain, other = self.linear(hidden).chunk(2, dim=1)
        return torch.cat([plain, plain * other], dim=1)


def stack(width: int, widths: Sequence[int], model: FinalNet) -> nn.Sequential:
    """Interaction layers, each with batch norm, ReLU and dropout, and a linear layer to one logit."""
    layers: list[nn.Module] = []
    for before, after in pairwise([width, *widths]):
        layers += [Interaction(before, after)]
        layers += [nn.BatchNorm1d(after)] if model.batch_norm else []
        layers += [nn.ReLU(), nn.Dropout(model.dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))
