"""TabDDPM's network, its training, and how rows are drawn from it.

In: encoded rows and labels. Out: a trainer for `_fitting.run`, and with its weights encoded rows for given labels.

A categorical field enters the network as the logarithm of its one-hot row, with log 1e-30 for 0. Except for one column
per field that is a constant for each weight column, so these rows are never built.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate, count, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ctrbench_generators._diffusion import (
    Schedule,
    cells,
    decide,
    field_columns,
    moves,
    multinomial_loss,
    noise_codes,
    noise_numbers,
    step_back_numbers,
    uniform_codes,
)
from ctrbench_generators._precision import Precision, dtype_of
from ctrbench_generators._random_state import seeded

COLD = math.log(1e-30)
"""What the network reads where a one-hot row holds 0; where it holds 1 it reads 0. `shift_input` adds -COLD to both."""
EMA = 0.999
"""The share of the weights' average that each step keeps."""
BATCH = 8192
"""Rows drawn at once; each timestep asks the network about only some of them."""


@dataclass(frozen=True)
class Rows:
    """Encoded rows."""

    codes: Tensor  # int64 (rows, fields), each below its field's size
    numbers: Tensor  # float32 (rows, numbers), normal scores
    labels: Tensor  # int64 (rows,)


@dataclass(frozen=True)
class Settings:
    """How a network is built and trained."""

    hidden: tuple[int, ...]
    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    precision: Precision
    shift_input: bool


class Network(nn.Module):
    """Noisy row, timestep and label → logits of the original codes, and the noise in its numbers."""

    def __init__(
        self, sizes: Sequence[int], numbers: int, hidden: Sequence[int], shift_input: bool, width: int = 128
    ) -> None:
        super().__init__()
        self.width = width
        self.cold = 0.0 if shift_input else COLD
        offsets = list(accumulate(sizes, initial=0))
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor(offsets[:-1], dtype=torch.int64), persistent=False)
        inputs = numbers + offsets[-1]
        self.code_rows = nn.Parameter(_uniform(offsets[-1], width, fan_in=inputs))
        self.number_rows = nn.Parameter(_uniform(numbers, width, fan_in=inputs))
        self.bias = nn.Parameter(_uniform(width, fan_in=inputs))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(2, width)
        widths = [width, *hidden]
        self.layers = nn.ModuleList(nn.Linear(*ends) for ends in pairwise(widths))
        outputs = {"codes": offsets[-1], "numbers": numbers}
        self.heads = nn.ModuleDict({part: nn.Linear(widths[-1], out) for part, out in outputs.items() if out})

    def conditions(self, timesteps: int) -> Tensor:
        """What every timestep and label add to the projected row, its biases included: (timesteps, labels, width)."""
        half = self.width // 2
        rates = torch.exp(-math.log(10_000) / half * torch.arange(half, device=self.bias.device))
        angles = torch.arange(timesteps, device=self.bias.device)[:, None] * rates
        time = self.time(torch.cat([angles.cos(), angles.sin()], 1).to(self.bias.dtype))
        cold = self.bias + self.cold * self.code_rows.sum(0)
        return (time + cold)[:, None] + functional.silu(self.label.weight)

    def project(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """The noisy row projected to the network's width, without what `conditions` holds, (rows, width)."""
        projected = numbers @ self.number_rows
        if codes.shape[1]:
            projected = projected - COLD * functional.embedding_bag(codes + self.offsets, self.code_rows, mode="sum")
        return projected

    def forward(self, codes: Tensor, numbers: Tensor, t: Tensor, labels: Tensor, timesteps: int) -> Tensor:
        """The last hidden layer, (rows, hidden[-1])."""
        conditions = self.conditions(timesteps).flatten(0, 1)
        hidden = self.project(codes, numbers) + functional.embedding(2 * t + labels, conditions)
        for layer in self.layers:
            hidden = layer(hidden).relu_()
        return hidden


class Trainer:
    """Trains a network on encoded rows, one batch per step, for `_fitting.run`."""

    def __init__(
        self, rows: Rows, sizes: Sequence[int], schedule: Schedule, settings: Settings, seed: int, device: str
    ) -> None:
        self._rows, self._sizes, self._schedule, self._settings = rows, tuple(sizes), schedule, settings
        with seeded(seed):
            self.network = Network(sizes, rows.numbers.shape[1], settings.hidden, settings.shift_input).to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        self._generator = torch.Generator(device).manual_seed(seed)
        self._size_of = torch.tensor(self._sizes, device=device)
        self._done = 0
        self._order = torch.empty(0, dtype=torch.int64, device=device)  # rows of this epoch yet to be seen

    def step(self) -> Mapping[str, Tensor]:
        """One step of AdamW on the sum of both losses."""
        batch = self._next_batch()
        losses = self._losses(batch)
        self._optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.lr * (1 - self._done / self._settings.steps)
        self._optimizer.step()
        with torch.no_grad():
            for average, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
                average.lerp_(weight, 1 - EMA)
        self._done += 1
        return losses

    def state(self) -> dict[str, Any]:
        """Weights, their average, the optimizer, the random generator, and the rows left in this epoch."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "done": self._done,
            "order": self._order.clone(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._done = state["done"]
        self._order = state["order"].to(self._order.device)

    def _next_batch(self) -> Rows:
        """The next rows of shuffled train; each is seen once before any is seen again."""
        size, rows = self._settings.batch_size, self._rows
        if len(self._order) < size:
            fresh = torch.randperm(len(rows.labels), generator=self._generator, device=self._order.device)
            self._order = torch.cat([self._order, fresh])
        batch, self._order = self._order[:size], self._order[size:]
        return Rows(rows.codes[batch], rows.numbers[batch], rows.labels[batch])

    def _losses(self, batch: Rows) -> dict[str, Tensor]:
        schedule, device = self._schedule, batch.labels.device
        t = torch.randint(schedule.timesteps, batch.labels.shape, generator=self._generator, device=device)
        codes = noise_codes(batch.codes, t, self._size_of, schedule, self._generator)
        noise = torch.randn(batch.numbers.shape, generator=self._generator, device=device)
        numbers = noise_numbers(batch.numbers, t, noise, schedule)
        with _matmuls_in(self._settings.precision, device):
            hidden = self.network(codes, numbers, t, batch.labels, schedule.timesteps)
            guesses = {part: head(hidden) for part, head in self.network.heads.items()}
        losses = {}
        if "codes" in guesses:
            losses["multinomial"] = multinomial_loss(guesses["codes"], batch.codes, codes, t, self._sizes, schedule)
        if "numbers" in guesses:
            losses["gaussian"] = functional.mse_loss(guesses["numbers"].float(), noise)
        return losses


@torch.inference_mode()
def draw(
    network: Network,
    labels: Tensor,
    sizes: Sequence[int],
    bounds: tuple[Tensor, Tensor],
    schedule: Schedule,
    precision: Precision,
    generator: torch.Generator,
    tick: Callable[[int, int], None],
) -> Rows:
    """Rows for these labels, made from noise one timestep after another, a limited number at once.

    `bounds` are the least and the greatest number of each numeric field in train; `tick(step, total)` is called after
    each timestep of each part.
    """
    reverse = _Reverse(network, sizes, bounds, schedule, precision, generator)
    parts = labels.split(BATCH)
    done, total = count(1), len(parts) * schedule.timesteps
    drawn = [reverse.rows(part, lambda: tick(next(done), total)) for part in parts]
    return Rows(torch.cat([rows.codes for rows in drawn]), torch.cat([rows.numbers for rows in drawn]), labels)


class _Reverse:
    """The chain from noise to rows, with the network's weights in the form that its matrix products need."""

    def __init__(
        self,
        network: Network,
        sizes: Sequence[int],
        bounds: tuple[Tensor, Tensor],
        schedule: Schedule,
        precision: Precision,
        generator: torch.Generator,
    ) -> None:
        self._network, self._bounds, self._schedule, self._generator = network, bounds, schedule, generator
        self._dtype = dtype_of(precision)
        self._conditions = network.conditions(schedule.timesteps)
        self._layers = [self._weights(layer) for layer in network.layers]
        heads = {part: self._weights(head) for part, head in network.heads.items()}
        self._code_heads = [
            (heads["codes"][0][:, span].contiguous(), heads["codes"][1][span]) for span in field_columns(sizes)
        ]
        self._number_head = heads.get("numbers")
        device = self._conditions.device
        self._sizes = torch.tensor(sizes, dtype=torch.int64, device=device)
        widest = max((weight.shape[1] for weight, _ in self._layers), default=0)
        self._buffers = [torch.empty(BATCH * widest, dtype=self._dtype, device=device) for _ in range(2)]

    def rows(self, labels: Tensor, tick: Callable[[], None]) -> Rows:
        """Rows for these labels. At each timestep the network is asked only about rows with numbers or an open code."""
        codes = uniform_codes(self._sizes, len(labels), self._generator)
        shape = len(labels), len(self._bounds[0])
        numbers = torch.randn(shape, generator=self._generator, device=labels.device)
        place = torch.empty_like(labels)  # of a row among those that ask
        for t in reversed(range(self._schedule.timesteps)):
            move = moves(codes, t, self._sizes, self._schedule, self._generator)
            asking = (move.open.any(1) | (self._number_head is not None)).nonzero()[:, 0]
            place[asking] = torch.arange(len(asking), device=labels.device)
            hidden = self._hidden(codes[asking], numbers[asking], labels[asking], t)
            noisy, codes = codes, move.codes
            for field, (weight, bias) in enumerate(self._code_heads):
                for part in move.open[:, field].nonzero()[:, 0].split(max(1, cells(labels.device) // weight.shape[1])):
                    logits = torch.addmm(bias, hidden[place[part]], weight).float()
                    here = part, field
                    codes[here] = decide(
                        logits, noisy[here], codes[here], move.draws[here], t, self._schedule, self._generator
                    )
            if self._number_head is not None:
                weight, bias = self._number_head
                noise = torch.addmm(bias, hidden, weight).float()
                numbers = step_back_numbers(noise, numbers, t, self._schedule, self._bounds, self._generator)
            tick()
        return Rows(codes, numbers, labels)

    def _hidden(self, codes: Tensor, numbers: Tensor, labels: Tensor, t: int) -> Tensor:
        hidden = (self._network.project(codes, numbers) + self._conditions[t][labels]).to(self._dtype)
        for position, (weight, bias) in enumerate(self._layers):
            shape = len(hidden), weight.shape[1]
            out = self._buffers[position % 2][: math.prod(shape)].view(shape)
            hidden = torch.addmm(bias, hidden, weight, out=out).relu_()
        return hidden

    def _weights(self, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """A layer's weights, (inputs, outputs), and biases."""
        assert isinstance(layer, nn.Linear)
        return layer.weight.to(self._dtype).T.contiguous(), layer.bias.to(self._dtype)


def _matmuls_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """A linear layer's usual initial weights."""
    return torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in)
