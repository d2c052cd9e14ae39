"""SMOTEN: neighbours by k-d tree, compared with imbalanced-learn's matrix of distances: fit, and as many new rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Table, resources
from ctrbench_generators.smoten import Smoten
from threadpoolctl import threadpool_limits

VALUES = (955, 4083, 8, 8, 3, 4, 3, 10, 81, 234)
"""Codes of each field of Frappe."""

ROWS, WHOLE = 20_000, 202_027
"""What both can do, and as many as Frappe has."""


@pytest.mark.parametrize("engine", ["ctrbench", "imbalanced-learn"])
def test_smoten(benchmark, engine: str) -> None:
    benchmark.group = f"smoten, {ROWS:,} rows"
    import imblearn.over_sampling  # before the clock starts

    assert imblearn.over_sampling.SMOTEN
    spec = Smoten() if engine == "ctrbench" else Smoten(engine="imblearn")
    pool = benchmark.pedantic(new_rows, (spec, log(ROWS)), rounds=5 if engine == "ctrbench" else 1)
    assert len(pool) == ROWS


@pytest.mark.parametrize("engine", ["ctrbench"])
def test_smoten_on_a_whole_log(benchmark, engine: str) -> None:
    benchmark.group = f"smoten, {WHOLE:,} rows"
    train = log(WHOLE)
    resources.reset_peak_memory()
    before = resources.peak_memory()
    pool = benchmark.pedantic(new_rows, (Smoten(), train), rounds=3)
    benchmark.extra_info["megabytes"] = (resources.peak_memory() - before) / 1e6
    assert len(pool) == WHOLE


def log(rows: int) -> Table:
    """Frappe's width and click rate; few items and places make up most of the log, and items differ in clicks."""
    rng = np.random.default_rng(0)
    columns = [
        rng.choice(size, rows, p=1 / np.arange(1, size + 1) / (1 / np.arange(1, size + 1)).sum()) for size in VALUES
    ]
    odds = rng.normal(-1, 2, VALUES[1])[columns[1]] + rng.normal(0, 0.3, VALUES[0])[columns[0]]
    labels = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    names = [f"field{n}" for n in range(len(VALUES))]
    fields = tuple(
        Field(name, vocabulary=tuple(map(str, range(size)))) for name, size in zip(names, VALUES, strict=True)
    )
    frame = pd.DataFrame(dict(zip(names, (column.astype(np.int32) + 1 for column in columns), strict=True)))
    return Table(frame, Schema(fields), labels)


def new_rows(spec: Smoten, train: Table) -> Table:
    with threadpool_limits(1):
        return spec.fit(train, seed=1, context=Context()).sample(len(train), seed=2)
