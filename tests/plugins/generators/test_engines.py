"""Our engines beside the libraries', and bf16 beside float32: what they make is of one quality, over three seeds.

The steps are held together number by number elsewhere; here nothing is shared but the table and the settings.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ctrbench import Context, Generator, Splits, Table
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators.argn import Argn
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.smoten import Smoten
from ctrbench_generators.tabddpm import TabDdpm
from ctrbench_generators.tvae import Tvae
from ctrbench_models.logistic import Logistic
from scipy.stats import ttest_ind
from sklearn.metrics import roc_auc_score

SEEDS = 1, 2, 3
ARGN = Argn(batch_size=256)
DIFFUSION = TabDdpm(steps=2000, batch_size=1024, hidden=(256, 256))
PAIRS = {
    "ctgan": (Ctgan(epochs=60), Ctgan(epochs=60, engine="sdv")),
    "ctgan in bf16": (Ctgan(epochs=60, precision="bf16"), Ctgan(epochs=60, engine="sdv")),
    "tvae": (Tvae(epochs=60), Tvae(epochs=60, engine="sdv")),
    "tvae in bf16": (Tvae(epochs=60, precision="bf16"), Tvae(epochs=60, engine="sdv")),
    "tabddpm in bf16": (replace(DIFFUSION, precision="bf16"), DIFFUSION),
    "argn in bf16": (replace(ARGN, precision="bf16"), ARGN),
    "smoten": (Smoten(), Smoten(engine="imblearn")),
}
MEASURES = "1-way total variation", "2-way total variation", "S5 AUC"


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Simulated(users=60, items=40, train_rows=4000, valid_rows=1000, test_rows=10_000).load(
        seed=1, context=Context()
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("pair", PAIRS)
def test_quality_of_native_and_reference_engines_agrees(pair: str, splits: Splits, tmp_path: Path) -> None:
    native, reference = (
        np.array([quality(engine, splits, seed, tmp_path / f"{side}{seed}") for seed in SEEDS])
        for side, engine in enumerate(PAIRS[pair])
    )
    for place, measure in enumerate(MEASURES):
        ours, theirs = native[:, place], reference[:, place]
        print(f"{pair}, {measure}: native {ours.round(4)}, reference {theirs.round(4)}")
        assert np.array_equal(ours, theirs) or ttest_ind(ours, theirs).pvalue > 0.01, measure
        assert abs(ours.mean() - theirs.mean()) < 0.03, measure


def quality(generator: Generator, splits: Splits, seed: int, folder: Path) -> tuple[float, float, float]:
    """Mean total variation of single and of paired columns from train's, and the AUC of a model trained on the pool."""
    train = splits.train
    sampler = generator.fit(train, seed=seed, context=Context(checkpoints=folder))
    pool = sampler.sample(len(train), seed=seed)
    predictor = Logistic().fit(pool, splits.valid, seed=seed, context=Context())
    return (
        total_variation(train, pool, 1),
        total_variation(train, pool, 2),
        float(roc_auc_score(splits.test.targets, predictor.predict(splits.test.without_labels()))),
    )


def total_variation(real: Table, made: Table, ways: int) -> float:
    """Of each choice of so many columns, the label among them: half the sum of |share in real - share in made|."""
    tables = [np.column_stack([table.codes, table.targets]).astype(np.int64) for table in (real, made)]
    sizes = np.maximum(*(table.max(0) for table in tables)) + 1
    distances = []
    for columns in combinations(range(len(sizes)), ways):
        shape = tuple(sizes[list(columns)])
        shares = [
            np.bincount(np.ravel_multi_index(table[:, columns].T, shape), minlength=np.prod(shape)) / len(table)
            for table in tables
        ]
        distances.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(distances))
