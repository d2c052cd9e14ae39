"""Each attack on a pool of 200,000 rows and 200,000 rows of train, of Frappe's shape; without a reference."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest
from ctrbench import Field, Schema, Table
from ctrbench_metrics.attribute_inference import AttributeInference
from ctrbench_metrics.interaction_disclosure import InteractionDisclosure
from ctrbench_metrics.membership import Membership
from ctrbench_metrics.membership_classifier import MembershipClassifier
from ctrbench_metrics.membership_density import MembershipDensity
from ctrbench_metrics.membership_users import MembershipUsers

SIZES = (957, 4082, 7, 7, 2, 3, 2, 9, 80, 233)  # those of Frappe's fields
ROLES = ("user", "item", *["context"] * 8)
SCHEMA = Schema(
    tuple(
        Field(f"f{at}", role=role, vocabulary=tuple(map(str, range(size))))
        for at, (size, role) in enumerate(zip(SIZES, ROLES, strict=True))
    )
)


def rows(seed: int, count: int) -> Table:
    """Rows in which a few distinct values of each field are frequent."""
    rng = np.random.default_rng(seed)
    codes = {f"f{at}": (1 + size * rng.random(count) ** 6).astype(np.int32) for at, size in enumerate(SIZES)}
    return Table(pd.DataFrame(codes), SCHEMA, rng.integers(0, 2, count, np.int8))


@pytest.mark.parametrize("engine", ["ctrbench"])
@pytest.mark.parametrize(
    "metric",
    [
        InteractionDisclosure(),
        Membership(),
        MembershipDensity(),
        MembershipClassifier(),
        MembershipUsers(),
        AttributeInference(),
    ],
    ids=lambda metric: metric.name,
)
def test_attack(benchmark, engine: str, metric) -> None:
    benchmark.group = f"{metric.name}, 200,000 × 200,000"
    for module in metric.imports:
        importlib.import_module(module)
    train, pool, holdout, reference = rows(1, 200_000), rows(2, 200_000), rows(3, 60_000), rows(4, 60_000)

    def score():
        return metric.score(pool, train=train, holdout=holdout, reference=reference, seed=1)

    found = benchmark.pedantic(score, rounds=1)
    assert found.flagged is False
