"""First and second neighbours among rows of Frappe's shape, compared with blocks of rows compared pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from ctrbench_metrics import _nearest
from ctrbench_metrics._nearest import find_nearest

SIZES = (957, 4082, 7, 7, 2, 3, 2, 9, 80, 233)  # those of Frappe's fields
ROWS = 200_000
ASKED = 4_000  # as many as pairwise comparison does in a few seconds


def rows(seed: int) -> np.ndarray:
    """Codes of rows in which a few distinct values of each field are frequent, (rows, fields)."""
    rng = np.random.default_rng(seed)
    return np.column_stack([(1 + size * rng.random(ROWS) ** 6).astype(np.int32) for size in SIZES])


@pytest.mark.parametrize("engine", ["ctrbench", "pairs"])
def test_nearest(benchmark, engine: str, monkeypatch) -> None:
    """The reference cannot use subsets: no table is narrow enough to be numbered."""
    benchmark.group = "nearest two, 4,000 × 200,000"
    asked, others = rows(1)[:ASKED], rows(2)
    expected = find_nearest(asked, others)
    if engine == "pairs":
        monkeypatch.setattr(_nearest, "LARGEST", 1)
    found = benchmark.pedantic(lambda: find_nearest(asked, others), rounds=2)
    assert (found.first == expected.first).all()
    assert (found.second == expected.second).all()


@pytest.mark.parametrize("engine", ["ctrbench"])
def test_nearest_of_all(benchmark, engine: str) -> None:
    """Without a reference."""
    benchmark.group = "nearest two, 200,000 × 200,000"
    asked, others = rows(1), rows(2)
    found = benchmark.pedantic(lambda: find_nearest(asked, others), rounds=1)
    assert (found.first <= found.second).all()
