"""The autoregressive network of `argn` and its training (after Tiwald et al. 2025, arXiv 2501.12012).

In: rows as bins of each field, and labels. Out: P(field | label, the fields before it) in any order, and rows drawn
from it. Earlier fields enter as their embeddings, later ones as zeros; a row's loss is the sum of -ln P over its
fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding

from ctrbench_generators._precision import Precision, dtype_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDEST = 2**24
"""Probabilities held at once in sampling."""
CELLS = 2**22
"""Drawn values' logits in one piece: 16 MiB, which the C library keeps for the next, as it would not do with 32."""
SMOOTHING = 0.5
"""Rows added to each value's count for the initial softmax, which gives train's shares."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows on the device."""

    bins: Tensor  # int64 (rows, fields)
    labels: Tensor  # int64 (rows,)

    @classmethod
    def of(cls, bins: NDArray[np.int32], labels: NDArray[np.int8], which: NDArray[np.intp], device: str) -> Rows:
        """Some of the rows."""
        return cls(
            torch.from_numpy(bins[which].astype(np.int64)).to(device),
            torch.from_numpy(labels[which].astype(np.int64)).to(device),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: Tensor) -> Rows:
        """Some of the rows, by their positions."""
        return Rows(self.bins[which], self.labels[which])


class Network(nn.Module):
    """For each field an embedding, also used for its softmax, and a perceptron on the label and earlier fields."""

    def __init__(
        self,
        bins: NDArray[np.int32],
        sizes: Sequence[int],
        dim: int,
        hidden: int,
        left_out: float,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        fields = len(sizes)
        self.sizes, self.left_out, self._dtype = list(sizes), left_out, dtype_of(precision)
        self.tables = nn.ParameterList(0.1 * torch.randn(size, dim) for size in sizes)
        counts = (np.bincount(bins[:, at], minlength=size) + SMOOTHING for at, size in enumerate(sizes))
        self.biases = nn.ParameterList(torch.from_numpy(np.log(each / each.sum())).float() for each in counts)
        self.label = nn.Parameter(0.1 * torch.randn(2, dim))
        inputs = (fields + 1) * dim
        self.first = nn.Parameter(torch.randn(fields, inputs, hidden) * (2 / inputs) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(fields, 1, hidden))
        self.second = nn.Parameter(torch.randn(fields, hidden, dim) * hidden**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(fields, 1, dim))

    def embedded(self, rows: Rows) -> Tensor:
        """The label's embedding and each field's, (batch, 1 + fields, dim)."""
        return self._joined(rows, self._values(rows, {}))

    def _values(self, rows: Rows, drawn: Mapping[int, Tensor]) -> list[Tensor]:
        """Each field's embeddings of the rows' values, then of the drawn ones, (batch + drawn, dim)."""
        # an embedding and no index: on a GPU its gradient is added up in one order
        return [embedding(_with(rows, at, drawn), table) for at, table in enumerate(self.tables)]

    def _joined(self, rows: Rows, values: Sequence[Tensor]) -> Tensor:
        return torch.stack([embedding(rows.labels, self.label), *(each[: len(rows)] for each in values)], dim=1)

    def states(self, embedded: Tensor, before: Tensor, which: Sequence[int]) -> Tensor:
        """The output of the perceptrons of some fields, (fields asked for, batch, dim).

        `before`, (batch, fields asked for, fields), is 1 where a field comes before the one asked for.
        """
        shown = torch.cat([torch.ones_like(before[:, :, :1]), before], dim=2).to(self._dtype)  # the label always
        seen = embedded.to(self._dtype)[:, None] * shown[:, :, :, None]  # (batch, asked, 1 + fields, dim)
        inputs = seen.flatten(2).transpose(0, 1)  # (asked, batch, inputs)
        first, first_bias, second = (
            whole[list(which)].to(self._dtype) for whole in (self.first, self.first_bias, self.second)
        )
        hidden = torch.relu(torch.bmm(inputs, first) + first_bias)
        if self.training:  # torch's own dropout takes ten times as long on a CPU
            hidden = hidden * (torch.rand(hidden.shape, device=hidden.device) >= self.left_out) / (1 - self.left_out)
        return torch.bmm(hidden, second).float() + self.second_bias[list(which)]

    def logits(self, state: Tensor, field: int) -> Tensor:
        """Logits of all values of a field, (batch, values)."""
        return torch.addmm(self.biases[field], state, self.tables[field].T)

    def losses(self, rows: Rows, ranks: Tensor, drawn: Mapping[int, Tensor]) -> Tensor:
        """-ln P of each field of the rows given those of lower rank, (fields, batch).

        `ranks`, (batch, fields), is the position of each field in a row's order. For a field of which values are
        `drawn`, (values,), uniformly with replacement, the softmax's sum over the other values is estimated from these.
        """
        before = (ranks[:, None, :] < ranks[:, :, None]).float()
        values, batch = self._values(rows, drawn), len(rows)
        states = self.states(self._joined(rows, values), before, range(len(self.sizes)))
        parts = []
        for at, state in enumerate(states):
            truth = rows.bins[:, at]
            if at not in drawn:
                parts.append(cross_entropy(self.logits(state, at), truth, reduction="none"))
                continue
            biases = embedding(_with(rows, at, drawn), self.biases[at][:, None])[:, 0]
            right = (state * values[at][:batch]).sum(dim=1) + biases[:batch]
            # each of V values is equally likely, so n draws estimate n/V of the sum
            shift = biases[batch:] + math.log(self.sizes[at] / len(drawn[at]))
            told = zip(*(each.split(max(1, CELLS // len(drawn[at]))) for each in (state, right, truth)), strict=True)
            some = values[at][batch:], shift, drawn[at]
            parts.append(torch.cat([_DrawnSoftmax.apply(*each, *some) for each in told]))
        return torch.stack(parts)


def _with(rows: Rows, field: int, drawn: Mapping[int, Tensor]) -> Tensor:
    """The rows' values of a field, then the drawn ones."""
    own = rows.bins[:, field]
    return torch.cat([own, drawn[field]]) if field in drawn else own


class _DrawnSoftmax(torch.autograd.Function):
    """-ln of the true value's share, (batch,), from its logit and those of drawn values; one large buffer serves all.

    In: states (batch, dim), the true values' logits and these values (batch,), then the drawn values' embeddings
    (drawn, dim), what is added to their logits, and these values (drawn,). A drawn value that is the true one does not
    count.
    """

    @staticmethod
    def forward(
        ctx: Any, state: Tensor, right: Tensor, truth: Tensor, values: Tensor, shift: Tensor, drawn: Tensor
    ) -> Tensor:
        state = torch.cat([state, torch.ones_like(state[:, :1])], dim=1)  # the last product adds the shift
        values = torch.cat([values, shift[:, None]], dim=1)
        weights = (state @ values.T).masked_fill_(drawn == truth[:, None], -torch.inf)
        top = torch.maximum(weights.amax(dim=1), right)
        weights.sub_(top[:, None]).exp_()
        own = (right - top).exp()
        total = weights.sum(dim=1) + own
        ctx.save_for_backward(state, values)
        ctx.weights, ctx.own, ctx.total = weights, own, total
        return total.log() + (top - right)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None, Tensor, Tensor, None]:
        state, values = ctx.saved_tensors
        weights, ctx.weights = ctx.weights, None  # it is large: used once
        weights.mul_((outer[0] / ctx.total)[:, None])
        by_state, by_values = (weights @ values)[:, :-1], weights.T @ state
        return by_state, outer[0] * (ctx.own / ctx.total - 1), None, by_values[:, :-1], by_values[:, -1], None


class Trainer:
    """The network between two steps; once held-out rows have ended the training, further steps change nothing."""

    def __init__(
        self,
        network: Network,
        rows: Rows,
        held_out: Rows,
        *,
        batch_size: int,
        learning_rate: float,
        patience: int,
        any_order: bool,
        most_values: int,
        seed: int,
    ) -> None:
        self.network, self._rows, self._held_out = network, rows, held_out
        self._batch_size, self._patience, self._any_order = batch_size, patience, any_order
        self._most_values, self._seed = most_values, seed
        self._adam = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
        self.best, self.epochs, self._strikes, self._step = math.inf, 0, 0, 0
        self._best_weights = self._weights()
        self._last: Mapping[str, Tensor] = {}
        self._order: Tensor | None = None  # of the rows in this epoch

    @property
    def finished(self) -> bool:
        """Whether `patience` epochs in a row were no better."""
        return self._strikes >= self._patience

    def step(self) -> Mapping[str, Tensor]:
        """One step of Adam, and after an epoch's last step a look at the held-out rows; the mean loss per row."""
        if self.finished:
            return self._last
        steps = -(-len(self._rows) // self._batch_size)  # of an epoch
        epoch, at = divmod(self._step, steps)
        # all that is random follows from the epoch and the step, so a checkpoint needs no generator's state
        if at == 0 or self._order is None:
            order = torch.randperm(len(self._rows), generator=torch.Generator().manual_seed(self._of(epoch, 0)))
            self._order = order.to(self._rows.labels.device)
        batch = self._rows.take(self._order[at * self._batch_size : (at + 1) * self._batch_size])
        self.network.train()
        self._adam.zero_grad()
        with torch.random.fork_rng(devices=self._gpus):
            torch.manual_seed(self._of(self._step, 1))
            loss = self.network.losses(batch, *self._draws(len(batch), self._of(self._step, 2))).sum(dim=0).mean()
        loss.backward()
        self._adam.step()
        self._step += 1
        self._last = {"loss": loss.detach()}
        if at == steps - 1:
            self._look()
        return self._last

    def finish(self) -> None:
        """Restore the weights with the least held-out loss."""
        if math.isinf(self.best):
            self._look()
        self.network.load_state_dict(self._best_weights)

    def state(self) -> dict[str, Any]:
        """Weights, the best weights, Adam's moments, and the progress so far."""
        return {
            "weights": self._weights(),
            "best_weights": self._best_weights,
            "adam": self._adam.state_dict(),
            "counts": [self.epochs, self._strikes, self._step],
            "best": self.best,
            "last": dict(self._last),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state."""
        device = self._rows.labels.device
        self.network.load_state_dict(state["weights"])
        self._best_weights = {name: value.to(device) for name, value in state["best_weights"].items()}
        self._adam.load_state_dict(state["adam"])
        self.epochs, self._strikes, self._step = state["counts"]
        self._order = None
        self.best, self._last = state["best"], {name: value.to(device) for name, value in state["last"].items()}

    def _look(self) -> None:
        """The mean loss of the held-out rows, always in the same orders; a strike where it is no better."""
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            for part in torch.arange(len(self._held_out), device=self._rows.labels.device).split(self._batch_size):
                batch = self._held_out.take(part)
                draws = self._draws(len(batch), self._of(int(part[0]), 3))
                total += float(self.network.losses(batch, *draws).sum())
        loss = total / len(self._held_out)
        self.epochs += 1
        if loss < self.best:
            self.best, self._strikes, self._best_weights = loss, 0, self._weights()
        else:
            self._strikes += 1
            for group in self._adam.param_groups:
                group["lr"] /= 2

    def _draws(self, rows: int, seed: int) -> tuple[Tensor, dict[int, Tensor]]:
        """The ranks of the fields of each row, and the values drawn to stand for all of a large field."""
        generator = torch.Generator().manual_seed(seed)
        sizes, device = self.network.sizes, self._rows.labels.device
        ranks = torch.arange(len(sizes)).expand(rows, -1)
        if self._any_order:
            ranks = torch.rand(rows, len(sizes), generator=generator).argsort(dim=1)
        drawn = {
            at: torch.randint(size, (self._most_values,), generator=generator).to(device)
            for at, size in enumerate(sizes)
            if size > self._most_values
        }
        return ranks.to(device), drawn

    def _of(self, count: int, use: int) -> int:
        return int(np.random.SeedSequence([self._seed, count, use]).generate_state(1)[0])

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    @property
    def _gpus(self) -> list[int]:
        return list(range(torch.cuda.device_count())) if self._rows.labels.is_cuda else []


@torch.no_grad()
def sample(network: Network, labels: NDArray[np.int8], any_order: bool, seed: int) -> NDArray[np.int32]:
    """A row of bins for each label, (rows, fields); rows are drawn in parts, each in a field order of its own."""
    network.eval()
    device = network.label.device
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that pools hardly depend on the device
    made = np.empty((len(labels), len(network.sizes)), np.int32)
    part = max(1, min(4096, WIDEST // max(network.sizes)))
    for start in range(0, len(labels), part):
        told = torch.from_numpy(labels[start : start + part].astype(np.int64)).to(device)
        rows = Rows(torch.zeros(len(told), len(network.sizes), dtype=torch.int64, device=device), told)
        fields = len(network.sizes)
        order = torch.randperm(fields, generator=generator).tolist() if any_order else range(fields)
        before = torch.zeros(len(told), 1, fields, device=device)
        for at in order:
            state = network.states(network.embedded(rows), before, [at])[0]
            # float64, since a GPU sums in any order
            upto = network.logits(state, at).softmax(dim=1).double().cumsum(dim=1)  # (batch, values)
            point = torch.rand(len(told), 1, generator=generator, dtype=torch.float64).to(device) * upto[:, -1:]
            rows.bins[:, at] = torch.searchsorted(upto, point, right=True)[:, 0].clamp(max=network.sizes[at] - 1)
            before[:, 0, at] = 1
        made[start : start + part] = rows.bins.cpu().numpy()
    return made
