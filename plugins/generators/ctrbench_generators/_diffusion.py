"""Diffusion of coded rows: how noise is added, what the loss is, and how a reverse step is drawn.

In: a schedule, categorical codes and a network's logits, or numbers and its estimate of their noise. Out: noisy rows,
losses, and rows one step less noisy.

Multinomial diffusion (Hoogeboom et al. 2021) keeps a code with probability α_t and otherwise draws it uniformly;
Gaussian diffusion (Ho et al. 2020) scales a number and adds normal noise. With one code known to be x_t, the reverse
step is

    p(x_{t-1} = k) ∝ (α_t [k = x_t] + β_t / K) · m_k,    m = ᾱ_{t-1} p + (1 - ᾱ_{t-1}) / K,

p being the distribution of x_0: the network's softmax for the model, a single code for the truth. So the two differ
only in m, the divergence between them needs p only at x_t, at x_0 and in two sums, and a reverse step is a mixture of
three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

CELLS = 2**20
"""Logits that a loss or a draw processes at once on a CPU, so that they stay in its cache."""
GPU_CELLS = 2**26
"""The same on a GPU, where each further block waits for its kernels to be launched; 256 MiB a buffer."""


class Schedule(NamedTuple):
    """How much of a row survives to each timestep, (timesteps,) in float64; timestep 0 is the least noisy."""

    alpha: Tensor  # what one timestep keeps
    beta: Tensor  # 1 - alpha
    kept: Tensor  # ᾱ_t, what all timesteps up to this one keep
    kept_before: Tensor  # ᾱ_{t-1}, 1 at timestep 0

    @property
    def timesteps(self) -> int:
        """The number of timesteps."""
        return len(self.alpha)


def cosine_schedule(timesteps: int, device: str = "cpu") -> Schedule:
    """ᾱ falls as a squared cosine (Nichol and Dhariwal 2021), no β above 0.999."""
    ends = torch.arange(timesteps + 1, dtype=torch.float64, device=device) / timesteps
    wanted = torch.cos((ends + 0.008) / 1.008 * math.pi / 2) ** 2
    beta = (1 - wanted[1:] / wanted[:-1]).clamp(max=0.999)
    kept = torch.cumprod(1 - beta, 0)
    return Schedule(1 - beta, beta, kept, torch.cat([kept.new_ones(1), kept[:-1]]))


def noise_codes(start: Tensor, t: Tensor, sizes: Tensor, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """q(x_t | x_0): (rows, fields) of codes below `sizes` (fields,), each kept with ᾱ_t or drawn anew."""
    kept = torch.rand(start.shape, generator=generator, device=start.device, dtype=torch.float64)
    return torch.where(kept < schedule.kept[t, None], start, uniform_codes(sizes, len(start), generator))


def uniform_codes(sizes: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """Codes drawn uniformly, (rows, fields): the noisiest rows."""
    draws = torch.rand((rows, len(sizes)), generator=generator, device=sizes.device, dtype=torch.float64)
    return (draws * sizes).long()


def noise_numbers(start: Tensor, t: Tensor, noise: Tensor, schedule: Schedule) -> Tensor:
    """q(x_t | x_0) of numbers, (rows, numbers), with the given standard normal noise."""
    kept = schedule.kept[t, None]
    return kept.sqrt().to(start.dtype) * start + (1 - kept).sqrt().to(start.dtype) * noise


def multinomial_loss(
    logits: Tensor, start: Tensor, noisy: Tensor, t: Tensor, sizes: Sequence[int], schedule: Schedule
) -> Tensor:
    """The variational bound per row and field, as a mean: timesteps · KL (at t = 0 the code's NLL), and the prior's KL.

    `logits` (rows, sum of sizes) stand for p(x_0); `start` and `noisy` (rows, fields) are codes, `t` (rows,).
    """
    bound: Tensor = _MultinomialLoss.apply(logits, start, noisy, t, tuple(sizes), schedule)
    return bound + prior_divergence(sizes, schedule)


def prior_divergence(sizes: Sequence[int], schedule: Schedule) -> float:
    """KL from the noisiest timestep to uniform codes, mean over fields; it depends on no weight."""
    kept = float(schedule.kept[-1])
    total = 0.0
    for size in sizes:
        start = size * kept + 1 - kept  # relative to uniform
        total += (start * math.log(start) + (size - 1) * (1 - kept) * math.log1p(-kept)) / size
    return total / len(sizes)


class Moves(NamedTuple):
    """A reverse step of codes, as far as it needs no network, each (rows, fields)."""

    open: Tensor  # which codes the network decides
    codes: Tensor  # what the others become; where open, the candidate to move to, -1 for one from the network's p
    draws: Tensor  # uniform in [0, 1): whether an open code stays after all


def moves(noisy: Tensor, t: int, sizes: Tensor, schedule: Schedule, generator: torch.Generator) -> Moves:
    """Begin p(x_{t-1} | x_t) for codes (rows, fields); `decide` completes it where it is open.

    With ᾱ' = ᾱ_{t-1} it is a mixture, in α(1 - ᾱ') + β(1 - ᾱ') + βᾱ' + Kαᾱ'p(x_t) parts, of staying, a uniform code, a
    code from p, and staying. The first three sum to 1 - ᾱ_t whatever p is, so one of them is drawn here and the fourth
    later; a code that already stays, or that would move even if p(x_t) were 1, is settled. On a cosine schedule of 100
    timesteps about 12 codes in 100 remain open.
    """
    alpha, beta, kept, before = (float(part[t]) for part in schedule)
    parts = torch.rand(noisy.shape, generator=generator, device=noisy.device, dtype=torch.float64) * (1 - kept)
    draws = torch.rand(noisy.shape, generator=generator, device=noisy.device, dtype=torch.float64)
    stays, from_p = parts < alpha * (1 - before), parts >= 1 - kept - beta * before
    codes = uniform_codes(sizes, len(noisy), generator).masked_fill_(from_p, -1)
    most = sizes * alpha * before
    settled = stays | (~from_p & (draws * (1 - kept + most) >= most))
    return Moves(~settled, torch.where(stays, noisy, codes), draws)


def decide(
    logits: Tensor,
    noisy: Tensor,
    candidates: Tensor,
    draws: Tensor,
    t: int,
    schedule: Schedule,
    generator: torch.Generator,
) -> Tensor:
    """The outcome for open codes of one field (rows,), given logits (rows, size) for p."""
    alpha, _, kept, before = (float(part[t]) for part in schedule)
    weights = torch.exp(logits - logits.amax(1, keepdim=True))
    here = weights.gather(1, noisy[:, None])[:, 0].double() / weights.sum(1).double()
    staying = logits.shape[1] * alpha * before * here
    codes = torch.where(draws * (1 - kept + staying) < staying, noisy, candidates)
    from_p = (codes < 0).nonzero()[:, 0]
    upto = weights[from_p].cumsum(1, dtype=torch.float64)
    places = torch.rand((len(from_p), 1), generator=generator, device=logits.device, dtype=torch.float64) * upto[:, -1:]
    codes[from_p] = torch.searchsorted(upto, places, right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
    return codes


def step_back_numbers(
    noise: Tensor, noisy: Tensor, t: int, schedule: Schedule, bounds: tuple[Tensor, Tensor], generator: torch.Generator
) -> Tensor:
    """p(x_{t-1} | x_t) of numbers, (rows, numbers), from the network's estimate of their noise.

    The x_0 that the estimate implies is clipped to train's bounds: where ᾱ_t is small, its error is 1 / √ᾱ_t times as
    large.
    """
    alpha, beta, kept, before = (float(part[t]) for part in schedule)
    start = ((noisy - math.sqrt(1 - kept) * noise) / math.sqrt(kept)).clamp(*bounds)
    mean = (math.sqrt(before) * beta * start + math.sqrt(alpha) * (1 - before) * noisy) / (1 - kept)
    if t == 0:
        return mean
    fresh = torch.randn(noisy.shape, generator=generator, device=noisy.device, dtype=noisy.dtype)
    return mean + math.sqrt(beta) * fresh


def field_columns(sizes: Sequence[int]) -> list[slice]:
    """The columns of each field in a row of logits."""
    return [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]


def cells(device: torch.device) -> int:
    """How many logits are processed at once."""
    return CELLS if device.type == "cpu" else GPU_CELLS


class _MultinomialLoss(torch.autograd.Function):
    """timesteps · KL, mean over rows and fields; the gradient is computed in the same passes.

    With c = (1 - ᾱ') / K, r = (β / K) c / Z the truth's weight of a code that is neither x_t nor x_0, and Z' = β / K +
    α m(x_t), the divergence is Σ q log q' - r Σ log m - (q(x_t) - r) log m(x_t) - (q(x_0) - r) log m(x_0) + log Z' -
    log Z, q' being m of the truth. Everything about single codes is in float64.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, start: Tensor, noisy: Tensor, t: Tensor, sizes: tuple[int, ...], schedule: Schedule
    ) -> Tensor:
        rows, width = logits.shape
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        scale = schedule.timesteps / (rows * len(sizes))
        block = max(1, min(rows, cells(logits.device) // width))
        exact = torch.promote_types(logits.dtype, torch.float32)
        work = logits.new_empty(3, block, width, dtype=exact)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        for first in range(0, rows, block):
            part = slice(first, first + block)
            divergence, slopes = _divergence(
                logits[part].to(exact), start[part], noisy[part], t[part], sizes, schedule, work, scale
            )
            total += divergence
            if gradient is not None:
                gradient[part] = slopes
        ctx.gradient = gradient
        return (total * scale).to(exact)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        gradient, ctx.gradient = ctx.gradient, None  # it is large: computed once, used once
        return gradient.mul_(outer[0]), None, None, None, None, None


def _divergence(
    logits: Tensor,
    start: Tensor,
    noisy: Tensor,
    t: Tensor,
    sizes: tuple[int, ...],
    schedule: Schedule,
    work: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """The sum of the divergences of these rows; and their gradient times `scale`, which lies in `work`."""
    spans = field_columns(sizes)
    k = torch.tensor(sizes, dtype=torch.float64, device=logits.device)
    offsets = torch.tensor([span.start for span in spans], device=logits.device)
    alpha, beta, _, before = (part[t, None] for part in schedule)  # (rows, 1)
    same = (start == noisy).double()  # (rows, fields), like all below
    floor = (1 - before) / k
    truth_here = before * same + floor
    z = beta / k + alpha * truth_here
    rest = beta / k * floor / z
    here = (alpha + beta / k) * truth_here / z
    there = (1 - same) * beta / k * (before + floor) / z
    entropy = torch.xlogy(rest * (k - 2 + same), floor) + torch.xlogy(here, truth_here)
    entropy += torch.xlogy(there, before + floor) - z.log()

    # The passes over all logits, with w = exp(logit - top) = total · p and m = (w + offset) · ᾱ' / total. At t = 0,
    # where `floor` and `rest` are 0, a tiny floor keeps the logarithms finite.
    weights, inverses, logs = (buffer[: len(logits)] for buffer in work)
    tops, totals, log_sum, inverse_sum = (torch.empty_like(floor) for _ in range(4))
    offset = torch.empty_like(floor)
    for field, span in enumerate(spans):
        one = slice(field, field + 1)
        top = logits[:, span].amax(1, keepdim=True)
        weight = torch.sub(logits[:, span], top, out=weights[:, span]).exp_()
        total = weight.sum(1, keepdim=True)
        tops[:, one], totals[:, one] = top, total
        offset[:, one] = floor[:, one].clamp(min=1e-30) * totals[:, one] / before
        mixed = torch.add(weight, offset[:, one].to(weight.dtype), out=inverses[:, span])
        log_sum[:, field] = torch.log(mixed, out=logs[:, span]).sum(1)
        inverse_sum[:, field] = mixed.reciprocal_().sum(1)
    log_sum += k * (before / totals).log()
    log_total = tops + totals.log()

    places_t, places_0 = noisy + offsets, start + offsets
    log_t = logits.gather(1, places_t).double() - log_total
    log_0 = logits.gather(1, places_0).double() - log_total
    last = (t == 0)[:, None]
    part_t, part_0 = before * log_t.exp(), before * log_0.exp()
    mixed_t = torch.where(last, log_t, (part_t + floor).log())
    mixed_0 = torch.where(last, log_0, (part_0 + floor).log())
    model_z = beta / k + alpha * (part_t + floor)
    other = (there - rest) * (1 - same)
    divergence = entropy - rest * log_sum - (here - rest) * mixed_t - other * mixed_0 + model_z.log()

    # d/dlogit_j = [j = x_t] a_t + [j = x_0] a_0 - w_j · (r / (w_j + offset) + (the sum of all but this) / total)
    at_t = alpha * part_t / model_z - (here - rest) * torch.where(last, 1.0, part_t / (part_t + floor))
    at_0 = -other * torch.where(last, 1.0, part_0 / (part_0 + floor))
    whole = at_t + at_0 - rest * (k - offset * inverse_sum)
    curve, slope = (-(scale * each).to(logits.dtype) for each in (rest, whole / totals))
    for field, span in enumerate(spans):
        one = slice(field, field + 1)
        inverses[:, span].mul_(curve[:, one]).add_(slope[:, one])
    gradient = inverses.mul_(weights)
    gradient.scatter_add_(1, places_t, (scale * at_t).to(logits.dtype))
    gradient.scatter_add_(1, places_0, (scale * at_0).to(logits.dtype))
    return divergence.sum(), gradient
