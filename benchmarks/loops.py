"""Our training loop beside FuxiCTR's own, on the same rows: test AUC over seeds.

In: Frappe's folder. Out: a row a training as it ends, then means and standard deviations. FuxiCTR's side is its `fit`
with its loader for .npz files, the optimizer of its `compile` and the weights of its best epoch. Both train our
networks, which tests hold to the formulas of their papers and to FuxiCTR's zoo: what is compared is the loops.

    python benchmarks/loops.py ../shared/data/Frappe_x1 --seeds 5
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
import torch
from ctrbench import Context, Splits, resources
from ctrbench_datasets.frappe import Frappe
from ctrbench_models._deep import DeepModel
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.training import fuxictr_feature_map
from fuxictr_side import as_fuxictr_compiles_it, npz_loader
from sklearn.metrics import roc_auc_score
from tabulate import tabulate

MODELS: dict[str, DeepModel] = {model.name: model for model in (DCNv2(), FinalMLP(), FinalNet())}


@click.command(help=__doc__)
@click.argument("frappe", type=click.Path(exists=True, file_okay=False))
@click.option("-m", "--model", "models", multiple=True, type=click.Choice(list(MODELS)), help="default: all")
@click.option("--loop", "loops", multiple=True, type=click.Choice(["ctrbench", "fuxictr"]), help="default: both")
@click.option("--seeds", default=5, show_default=True)
def main(frappe: str, models: tuple[str, ...], loops: tuple[str, ...], seeds: int) -> None:
    """Train and tell."""
    resources.keep_freed_memory()
    torch.set_num_threads(1)
    splits = Frappe(path=frappe).load(seed=1, context=Context())
    click.echo(f"data {splits.fingerprint[:12]}, torch {torch.__version__}")
    found = defaultdict(list)
    for seed in range(1, seeds + 1):
        for name in models or MODELS:
            for loop in loops or ("ctrbench", "fuxictr"):
                start = time.process_time()
                train = ours if loop == "ctrbench" else theirs
                auc = float(roc_auc_score(splits.test.targets, train(MODELS[name], splits, seed)))
                found[name, loop].append(auc)
                click.echo(f"{name} {loop} seed {seed}: {auc:.6f}, {time.process_time() - start:.0f} s")
    rows = [
        (*key, f"{np.mean(aucs):.5f}", f"{np.std(aucs, ddof=1):.5f}" if seeds > 1 else "", seeds)
        for key, aucs in found.items()
    ]
    click.echo(tabulate(rows, ["model", "loop", "mean", "sd", "seeds"], "github", disable_numparse=True))


def ours(model: DeepModel, splits: Splits, seed: int) -> np.ndarray:
    """Test predictions of ctrbench's loop."""
    predictor = model.fit(splits.train, splits.valid, seed=seed, context=Context())
    return predictor.predict(splits.test.without_labels())


def theirs(model: DeepModel, splits: Splits, seed: int) -> np.ndarray:
    """Test predictions of FuxiCTR's loop."""
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        network = as_fuxictr_compiles_it(model.network(fuxictr_feature_map(splits.train.schema)), model)
        network.checkpoint = str(Path(folder, "best.model"))
        train, valid, test = (
            npz_loader(table, Path(folder, name), model.batch_size, shuffle=name == "train")
            for name, table in (("train", splits.train), ("valid", splits.valid), ("test", splits.test))
        )
        network.fit(train, epochs=model.epochs, validation_data=valid)
        return network.predict(test)


if __name__ == "__main__":
    main()
