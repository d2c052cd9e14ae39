"""CTGAN: two steps of critic and generator at the paper's settings and Frappe's width, compared with ctgan 0.12's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ctrbench import Context, Table
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators import _ctgan
from ctrbench_generators._columns import Columns
from ctrbench_generators.ctgan import Ctgan

LOG = Simulated(users=950, items=4000, train_rows=60_000, valid_rows=1000, test_rows=1000)
STEPS = 2


@pytest.mark.parametrize("engine", ["ctrbench", "ctrbench, bf16", "ctgan"])
def test_ctgan_steps(benchmark, engine: str, monkeypatch) -> None:
    benchmark.group = f"{STEPS} training steps, ctgan"
    train = every_value()
    if engine != "ctgan":
        columns = Columns.of(train, 1)
        spec = Ctgan(precision="bf16" if "bf16" in engine else "float32")
        trainer = _ctgan.Trainer(spec, columns, columns.encode(train), seed=1, device="cpu")
        benchmark.pedantic(lambda: [trainer.step() for _ in range(STEPS)], rounds=5, warmup_rounds=1)
    else:
        theirs(benchmark, train, monkeypatch)


def every_value() -> Table:
    """As many rows as it takes to have every value: ctgan holds dense one-hots, and a step does not depend on rows."""
    rows = LOG.load(seed=1, context=Context()).train
    firsts = [np.unique(rows.rows[name], return_index=True)[1] for name in rows.schema.names]
    return rows.take(np.unique(np.concatenate(firsts)))


def theirs(benchmark, train: Table, monkeypatch) -> None:
    """ctgan's whole fit on as many batches of rows, with the table encoded and the networks made beforehand."""
    import ctgan.synthesizers.ctgan as reference
    from joblib import parallel_config

    spec = Ctgan()
    settings = {**spec.settings(Context()), "epochs": 1}
    frame = train.rows.assign(label=train.targets)
    ready = reference.DataTransformer()
    with parallel_config(backend="sequential"), warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        ready.fit(frame, list(frame.columns))
        matrix = ready.transform(frame)[: STEPS * spec.batch_size]
        width = matrix.shape[1]
        assert width == Columns.of(train, 1).width
        generator = reference.Generator(spec.embedding_dim + width, spec.generator_dim, width)
        critic = reference.Discriminator(2 * width, spec.discriminator_dim, spec.pac)
        monkeypatch.setattr(reference.DataTransformer, "fit", lambda self, *_: vars(self).update(vars(ready)))
        monkeypatch.setattr(reference.DataTransformer, "transform", lambda self, rows: matrix)
        monkeypatch.setattr(reference, "Generator", lambda *_: generator)
        monkeypatch.setattr(reference, "Discriminator", lambda *_, **__: critic)
        benchmark.pedantic(lambda: reference.CTGAN(**settings).fit(frame, list(frame.columns)), rounds=1)
