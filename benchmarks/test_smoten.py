"""SMOTEN: neighbours by k-d tree beside imbalanced-learn's matrix of distances: fit, and as many new rows as train."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Table
from ctrbench_generators.smoten import Smoten
from threadpoolctl import threadpool_limits

VALUES = (955, 4083, 8, 8, 3, 4, 3, 10, 81, 234)
"""Codes of each field of Frappe."""

ROWS = 20_000


@pytest.fixture(scope="module")
def train() -> Table:
    """Frappe's width and click rate; few items and places make up most of the log, and items differ in clicks."""
    rng = np.random.default_rng(0)
    columns = [
        rng.choice(size, ROWS, p=1 / np.arange(1, size + 1) / (1 / np.arange(1, size + 1)).sum()) for size in VALUES
    ]
    odds = rng.normal(-1, 2, VALUES[1])[columns[1]] + rng.normal(0, 0.3, VALUES[0])[columns[0]]
    labels = (rng.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    names = [f"field{n}" for n in range(len(VALUES))]
    fields = tuple(
        Field(name, vocabulary=tuple(map(str, range(size)))) for name, size in zip(names, VALUES, strict=True)
    )
    rows = pd.DataFrame(dict(zip(names, (column.astype(np.int32) + 1 for column in columns), strict=True)))
    return Table(rows, Schema(fields), labels)


def new_rows(spec: Smoten, train: Table) -> Table:
    with threadpool_limits(1):
        return spec.fit(train, seed=1, context=Context()).sample(len(train), seed=2)


@pytest.mark.benchmark(group="smoten")
def test_native(benchmark, train):
    pool = benchmark.pedantic(new_rows, (Smoten(chunks=1), train), rounds=5, warmup_rounds=1)
    assert len(pool) == ROWS


@pytest.mark.benchmark(group="smoten")
def test_imbalanced_learn(benchmark, train):
    import imblearn.over_sampling  # imported before the clock starts

    assert imblearn.over_sampling.SMOTEN
    pool = benchmark.pedantic(new_rows, (Smoten(chunks=1, engine="imblearn"), train), rounds=1)
    assert len(pool) == ROWS
