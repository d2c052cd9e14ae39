"""Faster replacements for layers that most FuxiCTR networks have: the embedding of the fields, dropout, wide products.

In: a network that is about to be trained. Out: the same one; its parameters, their names and its optimizer stay.
"""

from __future__ import annotations

import torch
from fuxictr.pytorch.layers import FeatureEmbedding, FeatureEmbeddingDict
from fuxictr.pytorch.models import BaseModel
from torch import Tensor, nn

from ctrbench_models._deep import Precision

MOST_VALUES = 200_000  # of all fields together; up to this, copying their tables into one costs less than it saves
DRAWS = 2**16  # equally likely values of 16 random bits
WIDE = 32  # inputs and outputs from which a linear layer's products take longer than rounding what goes into them


def quicken(network: BaseModel, precision: Precision = "float32") -> None:
    """Replace layers that have a faster version; a layer of any other class, even a subclass, is left as it is."""
    on_cpu = network.device.type == "cpu"  # a GPU draws masks as fast as it multiplies by them
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is FeatureEmbedding and JoinedEmbedding.suits(layer):
                setattr(parent, name, JoinedEmbedding(layer))
            if type(layer) is nn.Dropout and 0 < layer.p < 1 and on_cpu:
                setattr(parent, name, Dropout(layer.p).train(layer.training))
            if precision == "bf16" and RoundedLinear.suits(layer):
                setattr(parent, name, RoundedLinear(layer))


class JoinedEmbedding(FeatureEmbedding):
    """FuxiCTR's embedding of categorical fields, with one look-up for all of them instead of one per field.

    The fields keep a table each, so parameters and gradients are those of the layer that it replaces.
    """

    def __init__(self, plain: FeatureEmbedding) -> None:
        nn.Module.__init__(self)
        self.embedding_layer = plain.embedding_layer
        self.tables = dict(plain.embedding_layer.embedding_layers.items())  # in the fields' order
        sizes = torch.tensor([table.num_embeddings for table in self.tables.values()])
        starts = sizes.cumsum(0) - sizes
        padding = [start + table.padding_idx for start, table in zip(starts, self.tables.values(), strict=True)
                   if table.padding_idx is not None]  # fmt: skip
        device = next(plain.parameters()).device
        self.register_buffer("starts", starts.to(device), persistent=False)
        self.register_buffer("padding", torch.tensor(padding, dtype=torch.int64, device=device), persistent=False)

    @staticmethod
    def suits(plain: FeatureEmbedding) -> bool:
        """Whether all fields are categorical, of one width, and have not too many values."""
        fields = plain.embedding_layer
        tables = list(fields.embedding_layers.values())
        return (
            type(fields) is FeatureEmbeddingDict
            and not fields.feature_encoders
            and all(type(table) is nn.Embedding for table in tables)
            and len({table.embedding_dim for table in tables}) == 1
            and sum(table.num_embeddings for table in tables) <= MOST_VALUES
        )

    def forward(
        self,
        inputs: dict[str, Tensor],
        feature_source: list[str] | None = None,
        feature_type: list[str] | None = None,
        flatten_emb: bool = False,
    ) -> Tensor:
        """(batch, fields, dim), or (batch, fields · dim) when flattened."""
        if feature_source or feature_type or not self.tables.keys() <= inputs.keys():
            some: Tensor = super().forward(inputs, feature_source or [], feature_type or [], flatten_emb)
            return some
        rows = torch.stack([inputs[name].long() for name in self.tables], dim=1) + self.starts  # (batch, fields)
        table = torch.cat([table.weight for table in self.tables.values()])
        if table.requires_grad:
            table.register_hook(lambda slope: slope.index_fill(0, self.padding, 0.0))
        # the gradient of index_select is faster than an embedding's, but on a GPU its order of addition varies
        if table.is_cuda:
            embedded = nn.functional.embedding(rows, table)
        else:
            embedded = table.index_select(0, rows.flatten()).view(*rows.shape, table.shape[1])
        return embedded.flatten(1) if flatten_emb else embedded


class RoundedLinear(nn.Linear):
    """A linear layer whose three products take and give bfloat16 numbers in training; predictions do not."""

    def __init__(self, plain: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight, self.bias = plain.weight, plain.bias
        self.train(plain.training)

    @staticmethod
    def suits(layer: nn.Module) -> bool:
        """Whether it is a wide linear layer, and no weight norm or the like computes its weights."""
        return type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter) and min(layer.weight.shape) >= WIDE

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_features) to (…, out_features), float32."""
        if not self.training:
            return super().forward(x)
        bias = None if self.bias is None else self.bias.bfloat16()
        return nn.functional.linear(x.bfloat16(), self.weight.bfloat16(), bias).float()


class Dropout(nn.Module):
    """Dropout by 16 random bits per unit: a tenth of the time that torch's Bernoulli draws take on a CPU."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped = min(round(share * DRAWS), DRAWS - 1)  # this many of the 65,536 values drop the unit

    def forward(self, hidden: Tensor) -> Tensor:
        """Units are dropped, and the kept ones scaled up so that the mean stays."""
        if not self.training:
            return hidden
        words = torch.empty(-(-hidden.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        draws = words.view(torch.int16)[: hidden.numel()].view(hidden.shape)
        mask = draws.float().ge_(self.dropped - DRAWS // 2).mul_(DRAWS / (DRAWS - self.dropped))
        return hidden * mask
