"""A training step of TVAE at the paper's settings and Frappe's width, beside ctgan's own step, its loader included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ctrbench import Context
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators import _tvae
from ctrbench_generators._columns import Columns
from ctrbench_generators.tvae import Tvae
from torch.utils.data import DataLoader, TensorDataset

STEPS = 3
LOG = Simulated(users=950, items=4000, train_rows=60_000, valid_rows=1000, test_rows=1000)
SETTINGS = Tvae()


@pytest.mark.parametrize("engine", ["ctrbench", "ctgan"])
def test_tvae_step(benchmark, engine: str) -> None:
    benchmark.group = "training step, tvae"
    train = LOG.load(seed=1, context=Context()).train
    columns = Columns.of(train, seed=1)
    rows = train.take(np.random.default_rng(1).choice(len(train), 10 * SETTINGS.batch_size))
    torch.manual_seed(1)
    step = ours(columns, rows) if engine == "ctrbench" else theirs(columns, rows)

    def steps() -> None:
        for _ in range(STEPS):
            step()

    benchmark.pedantic(steps, rounds=7, warmup_rounds=2)


def ours(columns, rows):
    draws = _tvae.Shuffled(len(rows), SETTINGS.batch_size, 1, "cpu")
    encoder = _tvae.Encoder(columns, SETTINGS.compress_dims, SETTINGS.embedding_dim)
    decoder = _tvae.Decoder(columns, SETTINGS.decompress_dims, SETTINGS.embedding_dim)
    trainer = _tvae.Trainer(
        encoder,
        decoder,
        columns,
        columns.encode(rows),
        draws,
        l2scale=SETTINGS.l2scale,
        loss_factor=SETTINGS.loss_factor,
    )
    return trainer.step


def theirs(columns, rows):
    """What `ctgan.TVAE.fit` does with each batch; the fit has no step of its own to call."""
    from ctgan.data_transformer import SpanInfo
    from ctgan.synthesizers.tvae import Decoder, Encoder, _loss_function

    encoded = columns.encode(rows)
    hot = torch.zeros(len(rows), columns.width)
    hot.scatter_(1, encoded.hot + torch.tensor([span.start for span in columns.one_hot]), 1.0)
    loader = DataLoader(TensorDataset(hot), batch_size=SETTINGS.batch_size, shuffle=True)
    spans = [[SpanInfo(span.width, "softmax")] for span in columns.spans]
    encoder = Encoder(columns.width, SETTINGS.compress_dims, SETTINGS.embedding_dim)
    decoder = Decoder(SETTINGS.embedding_dim, SETTINGS.decompress_dims, columns.width)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], weight_decay=SETTINGS.l2scale)
    batches = iter(loader)

    def step() -> None:
        nonlocal batches
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        adam.zero_grad()
        mean, deviation, log_variance = encoder(batch[0])
        made, sigmas = decoder(torch.randn_like(deviation) * deviation + mean)
        parts = _loss_function(made, batch[0], sigmas, mean, log_variance, spans, SETTINGS.loss_factor)
        loss = parts[0] + parts[1]
        loss.backward()
        adam.step()
        decoder.sigma.data.clamp_(0.01, 1.0)
        loss.detach().cpu().item()

    return step
