"""TVAE at the paper's settings and Frappe's width: the steps of a fit, beside ctgan's whole fit of the same length and
beside the bare matrix products."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from ctrbench import Context
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators import _tvae
from ctrbench_generators._columns import Columns
from ctrbench_generators.tvae import Tvae

STEPS = 160
LOG = Simulated(users=950, items=4000, train_rows=80_000, valid_rows=1000, test_rows=1000)
SETTINGS = Tvae()


@pytest.mark.parametrize("engine", ["matrix products", "ctrbench", "ctrbench, bf16", "ctgan"])
def test_tvae_steps(benchmark, engine: str, monkeypatch) -> None:
    benchmark.group = f"an epoch of {STEPS} steps, tvae"
    train = LOG.load(seed=1, context=Context()).train
    columns = Columns.of(train, seed=1)
    torch.manual_seed(1)
    if engine == "ctgan":
        fit = theirs(columns, train, monkeypatch)
    elif engine == "matrix products":
        fit = products(columns.width)
    else:
        fit = ours(columns, train, "bf16" if "bf16" in engine else "float32")
    benchmark.pedantic(fit, rounds=2)


def ours(columns, rows, precision):
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
        precision=precision,
    )
    return lambda: [trainer.step() for _ in range(STEPS)]


def products(width):
    """The matrix products of all layers except the first, whose rows we gather, and nothing else."""
    latent, batch = SETTINGS.embedding_dim, SETTINGS.batch_size
    encoder, decoder = (*SETTINGS.compress_dims, 2 * latent), (latent, *SETTINGS.decompress_dims, width)
    tensors = []
    for before, after in (*pairwise(encoder), *pairwise(decoder)):
        made = torch.empty(batch, -(-after // _tvae.ALIGNED) * _tvae.ALIGNED)[:, :after]
        tensors.append((torch.randn(batch, before), torch.randn(after, before) / before, made))

    def run() -> None:
        for inputs, weight, made in STEPS * tensors:
            torch.mm(inputs, weight.T, out=made)
            torch.mm(made, weight)
            torch.mm(made.T, inputs)

    return run


def theirs(columns, rows, monkeypatch):
    """`ctgan.TVAE.fit`, with the table encoded beforehand."""
    import ctgan.synthesizers.tvae as reference
    from ctgan.data_transformer import SpanInfo

    encoded = columns.encode(rows)
    hot = torch.zeros(len(rows), columns.width)
    hot.scatter_(1, encoded.hot + torch.tensor([span.start for span in columns.one_hot]), 1.0)

    ready = SimpleNamespace(
        output_info_list=[[SpanInfo(span.width, "softmax")] for span in columns.spans],
        output_dimensions=columns.width,
        fit=lambda *_: None,
        transform=lambda _: hot.numpy(),
    )
    monkeypatch.setattr(reference, "DataTransformer", lambda: ready)
    spec = reference.TVAE(epochs=1, enable_gpu=False)
    return lambda: spec.fit(rows.rows)
