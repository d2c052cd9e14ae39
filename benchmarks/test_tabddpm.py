"""TabDDPM at Frappe's width: a training step beside its bare matrix products and beside dense one-hot rows with plain
autograd, and drawing rows beside the bare matrix products of all its timesteps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from ctrbench import Context
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators._diffusion import Schedule, cosine_schedule, field_columns, noise_codes
from ctrbench_generators._precision import Precision
from ctrbench_generators._tabddpm import COLD, Network, Settings, Trainer, draw
from ctrbench_generators.tabddpm import Coding, TabDdpm
from torch import Tensor
from torch.nn import functional

LOG = Simulated(users=950, items=4000, train_rows=60_000, valid_rows=1000, test_rows=1000)
SPEC = TabDdpm()
ROWS, TIMESTEPS = 2048, 20  # drawn; both the draw and the bare products take this many timesteps, not 100


def coded(precision: Precision = "float32") -> tuple[Coding, Settings]:
    settings = Settings(SPEC.hidden, SPEC.steps, SPEC.batch_size, SPEC.lr, SPEC.weight_decay, precision, False)
    return Coding(LOG.load(seed=1, context=Context()).train), settings


def products(rows: int, width: int, *, backward: bool) -> Callable[[], None]:
    """The matrix products of the layers and the head, and nothing else."""
    shapes = [*pairwise((128, *SPEC.hidden, width))]
    tensors = [(torch.randn(rows, a), torch.randn(b, a), torch.randn(rows, b)) for a, b in shapes]

    def run() -> None:
        for inputs, weight, gradient in tensors:
            torch.mm(inputs, weight.T)
            if backward:
                torch.mm(gradient, weight)
                torch.mm(gradient.T, inputs)

    return run


def plain_step(network: Network, codes: Tensor, labels: Tensor, sizes: Sequence[int], schedule: Schedule) -> None:
    """A step from dense rows, each distribution written out."""
    generator = torch.Generator().manual_seed(1)
    t = torch.randint(schedule.timesteps, (len(codes),), generator=generator)
    noisy = noise_codes(codes, t, torch.tensor(sizes), schedule, generator)
    hots = [[functional.one_hot(each[:, n], size).float() for n, size in enumerate(sizes)] for each in (codes, noisy)]
    read = torch.log(torch.cat(hots[1], 1).clamp(min=1e-30))
    hidden = (
        read @ network.code_rows + (network.conditions(schedule.timesteps) - COLD * network.code_rows.sum(0))[t, labels]
    )
    for layer in network.layers:
        hidden = functional.relu(layer(hidden))
    logits = network.heads["codes"](hidden)
    alpha, beta, _, before = (part[t, None].float() for part in schedule)
    loss = torch.zeros(())
    for size, span, start, now in zip(sizes, field_columns(sizes), *hots, strict=True):
        step = torch.log(alpha * now + beta / size)
        logarithms = []
        for each in (start, logits[:, span].softmax(1)):
            joint = step + torch.log((before * each + (1 - before) / size).clamp(min=1e-30))
            logarithms.append(joint - joint.logsumexp(1, keepdim=True))
        truth, model = logarithms
        loss = loss + schedule.timesteps * (truth.exp() * (truth - model)).sum(1).mean() / len(sizes)
    loss.backward()


@pytest.mark.parametrize("engine", ["matrix products", "ctrbench", "ctrbench, bf16", "dense rows"])
def test_training_step(benchmark, engine: str) -> None:
    benchmark.group = "training step, tabddpm"
    coding, settings = coded("bf16" if "bf16" in engine else "float32")
    schedule = cosine_schedule(SPEC.num_timesteps)
    rows = coding.encode(LOG.load(seed=1, context=Context()).train, "cpu")
    trainer = Trainer(rows, coding.sizes, schedule, settings, 1, "cpu")
    optimizer = torch.optim.AdamW(trainer.network.parameters(), lr=SPEC.lr)
    part = slice(0, SPEC.batch_size)

    def dense() -> None:
        optimizer.zero_grad()
        plain_step(trainer.network, rows.codes[part], rows.labels[part], coding.sizes, schedule)
        optimizer.step()

    bare = products(SPEC.batch_size, sum(coding.sizes), backward=True)
    run = {"matrix products": bare, "dense rows": dense}.get(engine, trainer.step)
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("engine", ["matrix products", "ctrbench", "ctrbench, bf16"])
def test_drawing_rows(benchmark, engine: str) -> None:
    benchmark.group = f"drawing {ROWS} rows of {TIMESTEPS} timesteps, tabddpm"
    coding, settings = coded("bf16" if "bf16" in engine else "float32")
    schedule = cosine_schedule(TIMESTEPS)
    network = Network(coding.sizes, 0, SPEC.hidden, settings.shift_input)
    labels = torch.arange(ROWS) % 2
    empty = torch.empty(0), torch.empty(0)
    forward = products(ROWS, sum(coding.sizes), backward=False)

    def bare() -> None:
        for _ in range(TIMESTEPS):
            forward()

    def ours() -> None:
        generator = torch.Generator().manual_seed(1)
        draw(network, labels, coding.sizes, empty, schedule, settings.precision, generator, lambda step, total: None)

    benchmark.pedantic(bare if engine == "matrix products" else ours, rounds=3, warmup_rounds=1)
