"""Makes libraries that draw from the global random generators repeatable, without side effects.

In: a seed. Out: a `with` block in which Python's, numpy's and torch's generators follow it; afterwards they are as
before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators for the block, the GPUs' included, and restore them after it."""
    import torch

    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = [generator.get_state() for generator in torch.cuda.default_generators]  # none before CUDA is first used
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        for generator, state in zip(torch.cuda.default_generators, gpus, strict=False):
            generator.set_state(state)
