"""TVAE's networks and training (Xu et al. 2019), for tables whose one-hots are thousands of columns wide.

In: an encoded table. Out: the trained decoder. The encoder adds up rows of its first weights where the reference
multiplies by one-hots, and the reconstruction's gradient is written by hand, in one buffer: what remains is close to
the three dense products of the decoder's last layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from ctrbench_generators._columns import Columns, Encoded, Span
from ctrbench_generators._precision import Precision, dtype_of

SAMPLED = 2048
"""Rows decoded at once."""

ALIGNED = 16
"""Numbers that fill a cache line: where all rows start at one, MKL takes a third less time."""

LOG2_E = 1 / math.log(2)


class Encoder(nn.Module):
    """Rows to the mean and log-variance of their latent vectors."""

    def __init__(self, columns: Columns, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = [columns.width, *widths, 2 * latent]
        first, *rest = (nn.Linear(before, after) for before, after in pairwise(sizes))
        self.first = nn.Parameter(
            first.weight.detach().T.contiguous()
        )  # (columns, width): a column's weights are a row
        self.first_bias = first.bias
        self.rest = nn.ModuleList(rest)
        self.one_hot: Tensor
        self.scalar: Tensor
        self.register_buffer("one_hot", _starts(columns.one_hot), persistent=False)
        self.register_buffer("scalar", _starts(columns.scalar), persistent=False)

    def forward(self, rows: Encoded) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (batch, latent)."""
        place, weight = rows.hot + self.one_hot, None
        if len(self.scalar):
            place = torch.cat([place, self.scalar.expand(len(place), -1)], 1)
            weight = torch.cat([torch.ones_like(rows.hot, dtype=rows.scalars.dtype), rows.scalars], 1)
        hidden = embedding_bag(place, self.first, mode="sum", per_sample_weights=weight) + self.first_bias
        for layer in self.rest:
            hidden = layer(torch.relu(hidden))
        mean, log_variance = hidden.chunk(2, 1)
        return mean, log_variance


class Decoder(nn.Module):
    """Latent vectors to rows; `last` and `sigma`, a scalar's standard deviation, give the columns' distributions."""

    def __init__(self, columns: Columns, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        sizes = [latent, *widths]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.last = nn.Linear(sizes[-1], columns.width)
        self.sigma = nn.Parameter(torch.full((len(columns.scalar),), 0.1))
        self.one_hot: Tensor
        self.scalar: Tensor
        self.register_buffer("one_hot", _starts(columns.one_hot), persistent=False)
        self.register_buffer("scalar", _starts(columns.scalar), persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """The last hidden layer, (batch, width)."""
        for layer in self.layers:
            latent = torch.relu(layer(latent))
        return latent

    def columns(self, hidden: Tensor, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
        """The network columns times `scale`, (batch, columns)."""
        width = len(self.last.bias)
        made = hidden.new_empty(len(hidden), -(-width // ALIGNED) * ALIGNED, dtype=dtype)[:, :width]
        bias, scaled = (scale * self.last.bias).to(dtype), (scale * hidden).to(dtype)
        return torch.addmm(bias, scaled, self.last.weight.to(dtype).T, out=made).float()


class Draws(Protocol):
    """All that is random in training."""

    def rows(self) -> Tensor:
        """The positions of the next batch's rows."""

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers of this shape."""

    def state(self) -> dict[str, Any]:
        """All that decides the further draws."""

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state."""


class Shuffled(Draws):
    """Passes over the rows, each in a new order; the last batch of a pass is what remains."""

    def __init__(self, rows: int, batch_size: int, seed: int, device: str) -> None:
        self._rows, self._batch_size, self._device = rows, batch_size, device
        self._orders = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(device).manual_seed(seed + 1)
        self._before = self._orders.get_state()  # before the present order was drawn
        self._batches: list[Tensor] = []

    def rows(self) -> Tensor:
        """The positions of the next batch's rows, on the device."""
        if not self._batches:
            self._before = self._orders.get_state()
            order = torch.randperm(self._rows, generator=self._orders).to(self._device)
            self._batches = list(order.split(self._batch_size))[::-1]
        return self._batches.pop()

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal numbers of this shape, made on the device."""
        return torch.randn(like.shape, generator=self._noise, device=self._device)

    def state(self) -> dict[str, Any]:
        """The random generators, and how much of the present order is left."""
        before = self._before if self._batches else self._orders.get_state()
        return {"before": before, "left": len(self._batches), "noise": self._noise.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Draw the order of that time again, and go to the position in it."""
        self._orders.set_state(state["before"])
        self._batches = []
        if state["left"]:
            self.rows()
            del self._batches[state["left"] :]
        self._noise.set_state(state["noise"])


class Trainer:
    """Both networks between two steps; data and networks must be on one device."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        columns: Columns,
        data: Encoded,
        draws: Draws,
        *,
        l2scale: float,
        loss_factor: float,
        precision: Precision = "float32",
    ) -> None:
        self.encoder, self.decoder = encoder, decoder
        self._columns, self._data, self._draws = columns, data, draws
        self._loss_factor, self._dtype = loss_factor, dtype_of(precision)
        weights = [weight for weight in (*encoder.parameters(), *decoder.parameters()) if weight.numel()]
        self._adam = torch.optim.Adam(weights, weight_decay=l2scale, fused=True)

    def step(self) -> Mapping[str, Tensor]:
        """One step of Adam: the loss per row, and its two terms as they enter it."""
        self._adam.zero_grad()
        taken = self._draws.rows()
        rows = Encoded(self._data.hot[taken], self._data.scalars[taken])
        mean, log_variance = self.encoder(rows)
        deviation = torch.exp(log_variance / 2)
        hidden = self.decoder(mean + deviation * self._draws.noise(mean))
        divergence = (mean.square() + deviation.square() - 1 - log_variance).sum() / (2 * len(taken))
        weight = self._loss_factor / len(taken)
        reconstruction, slope = backward(self.decoder, hidden, rows, self._columns, weight, self._dtype)
        torch.autograd.backward((hidden, divergence), (slope, None))
        self._adam.step()
        with torch.no_grad():
            self.decoder.sigma.clamp_(0.01, 1)
        divergence = divergence.detach()
        return {"loss": reconstruction + divergence, "reconstruction": reconstruction, "divergence": divergence}

    def state(self) -> dict[str, Any]:
        """Weights, Adam's moments and the random generators."""
        return {
            "encoder": self.encoder.state_dict(),
            "decoder": self.decoder.state_dict(),
            "adam": self._adam.state_dict(),
            "draws": self._draws.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state."""
        self.encoder.load_state_dict(state["encoder"])
        self.decoder.load_state_dict(state["decoder"])
        self._adam.load_state_dict(state["adam"])
        self._draws.restore(state["draws"])


@torch.no_grad()
def backward(
    decoder: Decoder,
    hidden: Tensor,
    rows: Encoded,
    columns: Columns,
    weight: float,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """`weight` times the rows' negative log-likelihood, and its gradient by the hidden layer, (batch, width).

    The gradients of `last` and `sigma` are left in the decoder. Numbers are normal around tanh of their column, without
    the constant term; one-hots are softmaxes. The inputs of the three wide products are `dtype`.
    """
    # one buffer: first the logits to base 2, whose powers take a fraction of exp's time, then in place the gradient
    slope = decoder.columns(hidden, dtype, LOG2_E)
    made = torch.tanh(slope[:, decoder.scalar] / LOG2_E)
    parts = [slope[:, span.start : span.start + span.width] for span in columns.one_hot]  # each (batch, values)
    for part in parts:
        part -= part.amax(1, keepdim=True)
    place = rows.hot + decoder.one_hot
    true = slope.gather(1, place)
    slope.exp2_()
    totals = torch.stack([part.sum(1) for part in parts], 1)  # (batch, one-hots)
    loss = totals.log().sum() - true.sum() / LOG2_E
    for part, factor in zip(parts, (weight / totals).split(1, 1), strict=True):
        part *= factor
    slope.scatter_add_(1, place, slope.new_full((1, 1), -weight).expand_as(place))
    if columns.scalar:
        error = made - rows.scalars  # (batch, scalars)
        variance = decoder.sigma.square()
        squared = error.square() / variance
        loss += squared.sum() / 2 + len(rows.scalars) * decoder.sigma.log().sum()
        decoder.sigma.grad = weight * ((1 - squared) / decoder.sigma).sum(0)
        slope[:, decoder.scalar] = weight * error / variance * (1 - made.square())
    decoder.last.bias.grad = slope.sum(0)
    read = slope.to(dtype)
    decoder.last.weight.grad = (read.T @ hidden.to(dtype)).float()
    return weight * loss, (read @ decoder.last.weight.to(dtype)).float()


def seen(columns: Columns, data: Encoded) -> tuple[Tensor, ...]:
    """For each one-hot, the positions of its columns in ctgan's order: for values, that of their first rows."""
    return tuple(
        torch.arange(span.width)
        if span.kind == "mode"
        else torch.from_numpy(np.unique(hot.numpy(), return_index=True)[1].argsort())
        for span, hot in zip(columns.one_hot, data.hot.T.cpu(), strict=True)
    )


@torch.no_grad()
def sample(
    decoder: Decoder, columns: Columns, ties: tuple[Tensor, ...] | None, latent: int, rows: int, seed: int
) -> Encoded:
    """New rows: for each one-hot its most probable value, for each scalar a normal draw.

    With `ties`, which come from `seen`, the first value with the largest tanh: in float32 tanh is 1 from about 9 on.
    """
    device = decoder.sigma.device
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that pools hardly depend on the device
    hot = torch.empty(rows, len(columns.one_hot), dtype=torch.int64)
    scalars = torch.empty(rows, len(columns.scalar))
    for start in range(0, rows, SAMPLED):
        here = slice(start, min(start + SAMPLED, rows))
        noise = torch.randn(here.stop - here.start, latent, generator=generator)
        made = decoder.columns(decoder(noise.to(device)))
        for position, span in enumerate(columns.one_hot):
            part = made[:, span.start : span.start + span.width]  # (batch, values)
            if ties is None:
                hot[here, position] = part.argmax(1).cpu()
            else:
                order = ties[position]
                hot[here, position] = order[torch.tanh(part[:, order.to(device)]).argmax(1).cpu()]
        drawn = torch.randn(scalars[here].shape, generator=generator).to(device)
        scalars[here] = (torch.tanh(made[:, decoder.scalar]) + drawn * decoder.sigma).cpu()
    return Encoded(hot, scalars)


def _starts(spans: Sequence[Span]) -> Tensor:
    return torch.tensor([span.start for span in spans], dtype=torch.int64)
