"""The two networks of CTGAN (Xu et al. 2019), without a dense one-hot vector wherever the 1 is known.

In: noise and conditions, or rows as the positions of their ones. Out: rows with a gradient, and the critic's verdict on
them. A one-hot vector times a matrix is a row of the matrix, so conditions and real rows are look-ups; only rows that
the generator made are dense.

The critic is piecewise linear, and dropout and signs fix the piece. So the gradient of its output by a row has a closed
form, `v · W`, with W the first layer and v computed from the further ones, and the gradient penalty is computed from `v
· W` without a second pass through autograd. The first layer's gradient, the largest object of all, is written once.

With `dtype` bfloat16 the products of the widest layers, the generator's last and the critic's first, take and give
rounded numbers; the weights, what they are updated by and all else are float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 0.2
LEAK = 0.2
PENALTY = 10.0

MULTIPLE = 16
"""Wide matrices are padded to multiples of this, with weights that stay 0: MKL takes half as long again for an odd
number."""

MOST_PARTS = 256
"""The most parts of a long product on a GPU: about two for each of its processors."""


class Rows(NamedTuple):
    """Rows of a table by their nonzero entries, and the condition that each was drawn for."""

    places: Tensor  # (batch, one-hot spans + scalars), columns of the network's layout
    values: Tensor | None  # as many numbers; None where all are 1
    conditions: Tensor  # (batch,)


class Generator(nn.Module):
    """Noise and a condition to the logits of a row; each layer sees all earlier layers and the condition."""

    def __init__(
        self,
        noise: int,
        conditions: int,
        widths: Sequence[int],
        out: int,
        randomness: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        before = [noise + sum(widths[:at]) for at in range(len(widths) + 1)]
        dtypes = [torch.float32] * len(widths) + [dtype]
        self.layers = nn.ModuleList(
            Conditioned(into, conditions, width, randomness, kind)
            for into, width, kind in zip(before, (*widths, out), dtypes, strict=True)
        )
        self.scales = nn.ParameterList(torch.ones(width, device=randomness.device) for width in widths)
        self.shifts = nn.ParameterList(torch.zeros(width, device=randomness.device) for width in widths)

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """Logits, (batch, width of a row). Batches are normalised by their own mean and spread, in sampling too."""
        *hidden, last = self.layers
        known = noise
        for layer, scale, shift in zip(hidden, self.scales, self.shifts, strict=True):
            new = functional.batch_norm(layer(known, conditions), None, None, scale, shift, training=True)
            known = torch.cat([new.relu(), known], dim=1)
        logits: Tensor = last(known, conditions)
        return logits

    def forget(self) -> None:
        """Set all gradients to zero."""
        for module in self.modules():
            if isinstance(module, Table):
                module.forget()
        for name, parameter in self.named_parameters():
            if not name.endswith("table.weight"):
                parameter.grad = None


class Conditioned(nn.Module):
    """A linear layer of `[x, one-hot condition]`."""

    def __init__(
        self, into: int, conditions: int, out: int, randomness: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.out, padded, self._dtype = out, _padded(out), dtype
        bound = 1 / math.sqrt(into + conditions)
        self.weight = nn.Parameter(_uniform((out, into), bound, randomness, (padded, into)))
        self.table = Table(_uniform((conditions, out), bound, randomness, (conditions, padded)))
        self.bias = nn.Parameter(_uniform((out,), bound, randomness, (padded,)))

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        added = self.table(conditions) + self.bias
        if self._dtype == torch.float32:
            return torch.addmm(added, x, self.weight.T)[:, : self.out]
        return (added + x.to(self._dtype) @ self.weight.to(self._dtype).T)[:, : self.out]


class Table(nn.Module):
    """Rows to look up. The gradient stays in one place and is cleared row by row, since most rows are not looked up."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self._asked: Tensor | None = None

    def forward(self, index: Tensor) -> Tensor:
        looked_up: Tensor = _LookUp.apply(self.weight, index)
        if looked_up.requires_grad:
            self._asked = index
        return looked_up

    def forget(self) -> None:
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        elif self._asked is not None:
            self.weight.grad.index_fill_(0, self._asked, 0)


class _LookUp(torch.autograd.Function):
    """Rows of a matrix; backward adds to rows of its gradient instead of allocating a new one."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> Tensor:
        ctx.weight, ctx.index = weight, index
        return weight[index]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        _add_rows(ctx.weight.grad, ctx.index, gradients[0])
        return None, None


def activate(logits: Tensor, gumbel: Tensor, widths: Sequence[int], scalars: Sequence[bool]) -> Tensor:
    """Rows from logits: tanh for a scalar, the Gumbel softmax for a one-hot span."""
    heated = (logits + gumbel).mul_(1 / TEMPERATURE)
    parts = [
        plain.tanh() if scalar else noisy.softmax(1)
        for plain, noisy, scalar in zip(logits.split(widths, 1), heated.split(widths, 1), scalars, strict=True)
    ]
    return torch.cat(parts, dim=1)


class Critic(nn.Module):
    """Tells real from made rows, judging `pac` rows together with their conditions."""

    def __init__(
        self,
        row: int,
        conditions: int,
        widths: Sequence[int],
        pac: int,
        randomness: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.pac, self.row, self.condition, self._dtype = pac, _padded(row), _padded(conditions), dtype
        first, *_ = sizes = [*widths, 1]
        # The first layer in two parts, with one row per number of the input: (pac · numbers, width).
        bound = 1 / math.sqrt(pac * (row + conditions))
        parts = ((row, self.row), (conditions, self.condition))
        self.of_rows, self.of_conditions = (
            nn.Parameter(_uniform((pac, real, first), bound, randomness, (pac, padded, first)).flatten(0, 1))
            for real, padded in parts
        )
        self.bias = nn.Parameter(_uniform((first,), bound, randomness))
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for into, out in pairwise(sizes):
            self.weights.append(_uniform((out, into), 1 / math.sqrt(into), randomness))
            self.biases.append(_uniform((out,), 1 / math.sqrt(into), randomness))
        self.changed()

    def judge(self, made: Tensor, conditions: Tensor, keeps: Sequence[Tensor]) -> Tensor:
        """The verdict on dense rows, (groups, 1); differentiable with respect to them."""
        first = self._dense(self._grouped(made)) + self._conditions(conditions)
        return self._further(first, keeps)[0]

    def learn(
        self, made: Tensor, conditions: Tensor, real: Rows, keeps: Sequence[Tensor], mix: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Set all gradients; the loss (made minus real) and the gradient penalty.

        `keeps` holds, for each hidden layer, the dropout factors (3 · groups, width) of made, real and mixed rows;
        `mix` (groups, 1) is the share of the real rows in the mixed ones.
        """
        for parameter in self.parameters():
            if parameter is not self.of_rows and parameter is not self.of_conditions:
                parameter.grad = None
        with torch.no_grad():
            made = self._grouped(made)
            of_made = self._dense(made) + self._conditions(conditions)
            of_real = self._sparse(real) + self._conditions(real.conditions)
            # The layer is linear, so the mixed rows need no product of their own.
            first = torch.cat([of_made, of_real, mix * of_real + (1 - mix) * of_made])
        groups = len(mix)
        first.requires_grad_()
        verdict, slopes = self._further(first, keeps)
        loss = verdict[:groups].mean() - verdict[groups : 2 * groups].mean()
        direction = verdict.new_ones(groups, 1)  # the verdict's gradient by the first layer's output, (groups, width)
        for weight, slope in zip(reversed(self.weights), reversed(slopes), strict=True):
            direction = (direction @ weight) * slope[2 * groups :]
        with torch.no_grad():
            by_rows, by_conditions = (direction.to(self._dtype) @ matrix.T for matrix in self._wide)
            norm = torch.hypot(*(by.norm(dim=1, keepdim=True, dtype=torch.float32) for by in (by_rows, by_conditions)))
            penalty = PENALTY * (norm - 1).square().mean()
            pull = 2 * PENALTY / groups * (norm - 1) / norm.clamp_min(1e-30)  # the penalty's gradient by v · W, over it
            back = pull * (_long_product(by_rows, self._wide[0]) + _long_product(by_conditions, self._wide[1]))
        if direction.requires_grad:
            torch.autograd.backward([loss, direction], [None, back])
        else:
            loss.backward()
        with torch.no_grad():
            self._first_gradient(first.grad, (made, conditions), real, pull * direction, by_rows, by_conditions)
        return loss.detach(), penalty

    def changed(self) -> None:
        """Take the first layer as its products do, rounded if they are; to be called whenever its weights changed."""
        self._wide = self.of_rows.detach().to(self._dtype), self.of_conditions.detach().to(self._dtype)

    def _grouped(self, made: Tensor) -> Tensor:
        """Rows side by side, (groups, pac · numbers of a row)."""
        return functional.pad(made, (0, self.row - made.shape[1])).view(-1, self.pac * self.row)

    def _dense(self, made: Tensor) -> Tensor:
        return _long_product(made, self._wide[0], self.bias)

    def _sparse(self, real: Rows) -> Tensor:
        places = self._seats(real.places, self.row)
        values = None if real.values is None else real.values.reshape(places.shape)
        return self.bias + functional.embedding_bag(places, self.of_rows, mode="sum", per_sample_weights=values)

    def _conditions(self, conditions: Tensor) -> Tensor:
        return functional.embedding_bag(
            self._seats(conditions[:, None], self.condition), self.of_conditions, mode="sum"
        )

    def _seats(self, places: Tensor, width: int) -> Tensor:
        """Positions within rows to positions within groups: (batch, n) to (groups, pac · n)."""
        seat = width * torch.arange(self.pac, device=places.device)
        return (places.reshape(-1, self.pac, places.shape[1]) + seat[:, None]).reshape(-1, self.pac * places.shape[1])

    def _further(self, first: Tensor, keeps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The verdict from the first layer's output, and the slope at every unit on the way."""
        x, slopes = first, []
        for weight, bias, keep in zip(self.weights, self.biases, keeps, strict=True):
            slope = keep * torch.where(x.detach() > 0, 1.0, LEAK)
            slopes.append(slope)
            x = functional.linear(x * slope, weight, bias)
        return x, slopes

    def _first_gradient(
        self,
        back: Tensor | None,
        made: tuple[Tensor, Tensor],
        real: Rows,
        pulled: Tensor,
        by_rows: Tensor,
        by_conditions: Tensor,
    ) -> None:
        """The gradient of loss and penalty by the first layer, from that by its output, (3 · groups, width)."""
        assert back is not None
        back_made, back_real, _ = back.chunk(3)  # the mixed rows only decide slopes, which have no gradient
        rows, conditions = made
        self.bias.grad = (back_made + back_real).sum(0)
        for parameter in (self.of_rows, self.of_conditions):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        assert self.of_rows.grad is not None
        assert self.of_conditions.grad is not None
        into = torch.cat([rows.to(self._dtype), by_rows]), torch.cat([back_made, pulled])
        for (inputs, slopes), parameter in zip(
            (into, (by_conditions, pulled)), (self.of_rows, self.of_conditions), strict=True
        ):
            _product_into(parameter.grad, inputs.T, slopes.to(self._dtype))
        places = self._seats(real.places, self.row)
        spread = back_real[:, None].expand(*places.shape, back_real.shape[1])
        if real.values is not None:
            spread = spread * real.values.reshape(places.shape)[:, :, None]
        _add_rows(self.of_rows.grad, places.flatten(), spread.flatten(0, 1))
        for given, gradient in ((conditions, back_made), (real.conditions, back_real)):
            seats = self._seats(given[:, None], self.condition)
            _add_rows(self.of_conditions.grad, seats.flatten(), gradient.repeat_interleave(self.pac, 0))


def _product_into(out: Tensor | None, left: Tensor, right: Tensor) -> None:
    """Write `left @ right` to `out`, which is float32."""
    assert out is not None
    if left.dtype == out.dtype:
        torch.mm(left, right, out=out)
    else:
        out.copy_(left @ right)


def _long_product(rows: Tensor, matrix: Tensor, bias: Tensor | None = None, split: bool | None = None) -> Tensor:
    """`rows @ matrix`, plus the bias, for few rows and an inner dimension of tens of thousands.

    A GPU gives a processor to each tile of the result, and this result has few tiles. So on a GPU, or where `split`
    asks for it, the inner dimension is cut into equal parts, whose products are computed in parallel and added up. The
    result of rounded numbers is float32.
    """
    rows, kind = rows.to(matrix.dtype), torch.promote_types(matrix.dtype, torch.float32)
    if rows.is_cuda if split is None else split:
        inner = len(matrix)
        parts = max(parts for parts in range(1, MOST_PARTS + 1) if inner % parts == 0)
        made = torch.bmm(
            rows.reshape(len(rows), parts, inner // parts).transpose(0, 1), matrix.view(parts, inner // parts, -1)
        ).sum(0, dtype=kind)
    elif bias is not None and kind == matrix.dtype:
        return torch.addmm(bias, rows, matrix)
    else:
        made = (rows @ matrix).to(kind)
    return made if bias is None else made + bias


def _padded(number: int) -> int:
    return -(-number // MULTIPLE) * MULTIPLE


def _uniform(
    shape: tuple[int, ...], bound: float, randomness: torch.Generator, padded: tuple[int, ...] | None = None
) -> Tensor:
    """A weight initialised as torch's linear layers are, with zeros where it is padded."""
    weight = torch.empty(shape, device=randomness.device).uniform_(-bound, bound, generator=randomness)
    if padded is None or padded == shape:
        return weight
    whole = torch.zeros(padded, device=randomness.device)
    whole[tuple(map(slice, shape))] = weight
    return whole


def _add_rows(matrix: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add rows to those named, which may repeat; on a GPU by the one of two ways that is deterministic."""
    if matrix.is_cuda:
        matrix.index_put_((index,), rows, accumulate=True)
    else:
        matrix.index_add_(0, index, rows)
