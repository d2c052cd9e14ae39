"""FuxiCTR's side of a comparison: its optimizer, and its loaders on our tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import ray
from ctrbench import Table, resources
from ctrbench_models._deep import DeepModel
from ctrbench_models.training import columns, fuxictr_feature_map
from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
from fuxictr.pytorch.dataloaders.parquet_dataloader import ParquetDataLoader
from fuxictr.pytorch.models import BaseModel


def as_fuxictr_compiles_it(network: BaseModel, model: DeepModel) -> BaseModel:
    network.compile("adam", "binary_crossentropy", model.learning_rate)
    network._max_gradient_norm = 10.0
    return network


def npz_loader(table: Table, path: Path, batch_size: int, *, shuffle: bool) -> NpzDataLoader:
    np.savez(f"{path}.npz", **named_columns(table))
    return NpzDataLoader(fuxictr_feature_map(table.schema), f"{path}.npz", batch_size=batch_size, shuffle=shuffle)


def parquet_loader(table: Table, path: Path, batch_size: int, *, shuffle: bool) -> ParquetDataLoader:
    pd.DataFrame(named_columns(table)).to_parquet(f"{path}.parquet")
    features = fuxictr_feature_map(table.schema)
    if not ray.is_initialized():  # FuxiCTR would join any cluster that runs on this machine
        ray.init("local", num_cpus=resources.cores(), include_dashboard=False, log_to_driver=False)
    return ParquetDataLoader(features, f"{path}.parquet", batch_size=batch_size, shuffle=shuffle)


def named_columns(table: Table) -> dict[str, np.ndarray]:
    return {**dict(zip(columns(table.schema), table.codes.T, strict=True)), table.schema.label: table.targets}
