"""Generators that count, and an epoch of `argn`: fit, and as many new rows, on a log of Frappe's size."""

from __future__ import annotations

import pytest
from ctrbench import resources
from ctrbench_generators.argn import Argn
from ctrbench_generators.bayes_net import BayesNet
from ctrbench_generators.mst import Mst
from test_smoten import WHOLE, log, new_rows

SPECS = {
    "bayes_net": BayesNet(),
    "bayes_net, two parents, no copies": BayesNet(parents=2, backoff=3, reject_copies=True),
    "mst": Mst(),
    "argn, one epoch": Argn(epochs=1),
    "argn, one epoch, bf16": Argn(epochs=1, precision="bf16"),
}


@pytest.mark.parametrize("engine", ["ctrbench"])
@pytest.mark.parametrize("name", SPECS)
def test_counting(benchmark, name: str, engine: str) -> None:
    benchmark.group = f"{name}, {WHOLE:,} rows"
    train, spec = log(WHOLE), SPECS[name]
    resources.reset_peak_memory()
    before = resources.peak_memory()
    pool = benchmark.pedantic(new_rows, (spec, train), rounds=3)
    benchmark.extra_info["megabytes"] = (resources.peak_memory() - before) / 1e6
    assert len(pool) == WHOLE
