"""Identical rows of 200,000 × 200,000, ten fields and the label, compared with a merge by pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import Field, Schema, Table
from ctrbench_metrics.identical import Identical

ROWS = 200_000
SIZES = (957, 4082, 7, 7, 2, 3, 2, 9, 80, 233)  # those of Frappe's fields
SCHEMA = Schema(tuple(Field(f"f{at}", vocabulary=tuple(map(str, range(size)))) for at, size in enumerate(SIZES)))


def rows(seed: int) -> Table:
    """Rows many of which occur in another table of the same kind: a few distinct users and items are frequent."""
    rng = np.random.default_rng(seed)
    codes = {f"f{at}": (1 + size * rng.random(ROWS) ** 6).astype(np.int32) for at, size in enumerate(SIZES)}
    return Table(pd.DataFrame(codes), SCHEMA, rng.integers(0, 2, ROWS, np.int8))


@pytest.mark.parametrize("engine", ["ctrbench", "pandas"])
def test_identical(benchmark, engine: str) -> None:
    benchmark.group = "identical, 200,000 × 200,000"
    train, pool, holdout = rows(1), rows(2), rows(3)

    def ours() -> int:
        return int(Identical().score(pool, train=train, holdout=holdout, reference=holdout, seed=1).value)

    def merged() -> int:
        known = train.rows.assign(label=train.labels).drop_duplicates()
        return len(pool.rows.assign(label=pool.labels).merge(known, how="inner"))

    count = benchmark.pedantic(ours if engine == "ctrbench" else merged, rounds=3, warmup_rounds=1)
    assert count == merged()
