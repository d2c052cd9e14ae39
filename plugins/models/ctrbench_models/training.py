"""The training loop of the deep models: FuxiCTR's rule, run on tables that are already in memory.

In: a FuxiCTR network, a training table and real valid rows. Out: a predictor with the weights of the best epoch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from ctrbench import Context, Predictor, Schema, Skip, Table
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FeatureEmbeddingDict
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import get_regularizer
from numpy.typing import NDArray
from torch import Tensor

from ctrbench_models._deep import MAPPED_ABOVE, Precision
from ctrbench_models._quick import quicken
from ctrbench_models._scaling import Scaling

MIN_GAIN = 1e-6  # of valid AUC, for an epoch to count as better
MAX_NORM = 10.0  # of the gradient
PREDICT_BATCH = 16_384


@dataclass(frozen=True)
class Training:
    """When to stop, how many rows make a step, and how precise the wide layers' products are."""

    batch_size: int = 4096
    epochs: int = 100
    patience: int = 2
    precision: Precision = "float32"


def fit_network(
    build: Callable[[FeatureMap], BaseModel],
    train: Table,
    valid: Table,
    training: Training,
    *,
    seed: int,
    context: Context,
    embedding_dim: int | None = None,
    as_named: bool = False,
) -> NetworkPredictor:
    """Train any FuxiCTR model class; `build` makes it from the feature map of the table's schema.

    `embedding_dim` becomes the map's `default_emb_dim`, which `sum_emb_out_dim()` of many classes reads; `as_named`
    gives the fields the log's names, where torch accepts them.

    Each epoch permutes the rows and ends with the AUC on valid. Without a gain of 1e-6 the learning rate falls to a
    tenth (at least 1e-6; not if `reduce_lr_on_plateau` is false) and the epoch is a strike; `patience` strikes in a
    row end the training, and the weights of the best epoch are restored. Gradients of loss and regulariser together
    are clipped to norm 10. Sample weights multiply the rows' losses. A class of FuxiCTR's model zoo is given
    `optimizer="adam", loss="binary_crossentropy", verbose=0, metrics=["AUC"], model_root=""` beside its own
    arguments; nothing is written. Some layers are replaced by faster ones, see `_quick.py`. Global random states and
    the number of threads are restored afterwards.
    Raises TimeoutError at an epoch's end beyond the deadline.
    """
    if len(train) < 2:
        raise Skip(f"a network needs at least 2 training rows, not {len(train)}")
    if valid.targets.all() or not valid.targets.any():
        raise Skip("early stopping by AUC needs valid rows of both classes")
    init_seed, order_seed = map(int, np.random.SeedSequence(seed).generate_state(2))
    with _sealed(init_seed, context):
        network = build(fuxictr_feature_map(train.schema, embedding_dim, as_named=as_named))
        network.device = torch.device(context.device)
        network.model_to_device()
        quicken(network, training.precision)
        scaling = Scaling.of(train)
        names = columns(train.schema, as_named=as_named)
        epochs, best = _train(network, scaling, names, train, valid, training, order_seed, context)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    facts = {"parameters": parameters, "epochs": epochs, "valid_auc": best}
    return NetworkPredictor(network, scaling, names, context.threads, facts)


def fuxictr_feature_map(schema: Schema, embedding_dim: int | None = None, *, as_named: bool = False) -> FeatureMap:
    """FuxiCTR's description of the fields, filled in memory: one feature per field, in order, its source the role."""
    features = FeatureMap(dataset_id="", data_dir="")
    features.default_emb_dim = embedding_dim
    names = columns(schema, as_named=as_named)
    for column, one in zip(names, schema.fields, strict=True):
        if one.kind == "categorical":
            spec = {"type": "categorical", "padding_idx": 0, "vocab_size": one.vocab_size}
            features.total_features += one.vocab_size
        else:
            spec = {"type": "numeric"}
            features.total_features += 1
        features.features[column] = {"source": one.role, **spec}
    features.labels = [schema.label]
    features.num_fields = features.input_length = len(schema.fields)
    # set_column_index() does this, but also gives the root logger a handler
    features.column_index = {column: at for at, column in enumerate([*names, schema.label])}
    return features


def columns(schema: Schema, *, as_named: bool = False) -> list[str]:
    """FuxiCTR's names of the fields: `3_city` is `city`, the fourth; torch refuses names such as `items` or `a.b`.

    With `as_named` only those are numbered, and what would have the name of another one that is.
    """
    numbered = [f"{at}_{name.replace('.', '_')}" for at, name in enumerate(schema.names)]
    taken = torch.nn.ModuleDict()
    return [
        name if as_named and name and "." not in name and not hasattr(taken, name) and name not in numbered else number
        for name, number in zip(schema.names, numbered, strict=True)
    ]


@dataclass(frozen=True)
class NetworkPredictor(Predictor):
    """A FuxiCTR network and the scaling of its numeric inputs."""

    network: BaseModel
    scaling: Scaling
    names: Sequence[str]  # of the fields, as the network knows them
    threads: int
    facts: Mapping[str, float | str]

    def predict(self, rows: Table) -> NDArray[np.float64]:
        """P(label = 1) of each row, (rows,)."""
        with _threads(self.threads):
            return _probabilities(self.network, _inputs(rows, self.scaling, self.names, self.network.device))

    @property
    def details(self) -> Mapping[str, float | str]:
        """Trainable parameters, epochs run, best AUC on valid."""
        return self.facts


def train_step(
    network: BaseModel, batch: dict[str, Tensor], labels: Tensor, weights: Tensor | None, penalty: Penalty
) -> Tensor:
    """One step of the network's optimizer; the loss before it, without the regulariser where `penalty` is given."""
    network.optimizer.zero_grad()
    plain_loss = network.loss_fn
    if weights is not None:
        network.loss_fn = lambda y, truth, reduction: plain_loss(y, truth, weight=weights, reduction=reduction)
    output = network.forward(batch)
    loss = network.compute_loss(output, labels) if penalty is None else network.add_loss(output, labels)
    network.loss_fn = plain_loss
    loss.backward()
    for parameter, strength in penalty or ():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.add_(parameter.detach(), alpha=strength)
    torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
    network.optimizer.step()
    before: Tensor = loss.detach()
    return before


Penalty = list[tuple[torch.nn.Parameter, float]] | None


def l2_penalty(network: BaseModel) -> Penalty:
    """Each parameter with its λ, if the network's regulariser is FuxiCTR's Σ λ/2·‖W‖²; None if it is another.

    Its gradient is λ·W, which costs less to add than having autograd compute it over whole embedding tables.
    """
    cls = type(network)
    own = cls.regularization_loss, cls.compute_loss
    in_tables = get_regularizer(network._embedding_regularizer)
    elsewhere = get_regularizer(network._net_regularizer)
    if own != (BaseModel.regularization_loss, BaseModel.compute_loss):
        return None
    if any(norm != 2 for norm, _ in in_tables + elsewhere):
        return None
    tables = [module for module in network.modules() if type(module) is FeatureEmbeddingDict]
    embeddings = {id(parameter) for table in tables for parameter in table.parameters()}
    return [
        (parameter, strength)
        for parameter in network.parameters()
        for _, strength in (in_tables if id(parameter) in embeddings else elsewhere)
        if parameter.requires_grad and strength
    ]


@dataclass(frozen=True)
class _Inputs:
    """A table's rows as tensors on the device, from which any batch is one gather."""

    codes: Tensor  # (categorical fields, rows), int32
    numbers: Tensor  # (numeric fields, rows), float32
    names: list[str]  # the columns of codes, then those of numbers

    @classmethod
    def of(cls, table: Table, scaling: Scaling, names: list[str], device: torch.device) -> _Inputs:
        numbers = scaling.apply(table).astype(np.float32)
        codes = np.ascontiguousarray(table.codes.T)
        return cls(torch.from_numpy(codes).to(device), torch.from_numpy(numbers).to(device), names)

    @property
    def rows(self) -> int:
        return self.codes.shape[1]

    def batch(self, index: Tensor) -> dict[str, Tensor]:
        codes = self.codes.index_select(1, index).long()
        numbers = self.numbers.index_select(1, index)
        return dict(zip(self.names, [*codes, *numbers], strict=True))


@dataclass(frozen=True)
class _Mapped:
    """The same for a table that is too large to be copied: a batch is gathered from where its columns lie."""

    table: Table
    scaling: Scaling
    names: list[str]  # as of `_Inputs`

    @property
    def rows(self) -> int:
        return len(self.table)

    def batch(self, index: Tensor) -> dict[str, Tensor]:
        values, schema = self.table.gathered(index.numpy()), self.table.schema
        codes = [torch.from_numpy(values[field.name]).long() for field in schema.categorical]
        numbers = np.empty((len(schema.numeric), len(index)))
        for row, field in zip(numbers, schema.numeric, strict=True):
            row[:] = values[field.name]
        scores = torch.from_numpy(self.scaling.scores(numbers).astype(np.float32))
        return dict(zip(self.names, [*codes, *scores], strict=True))


def _inputs(table: Table, scaling: Scaling, names: Sequence[str], device: torch.device) -> _Inputs | _Mapped:
    kinds = [one.kind for one in table.schema.fields]
    named = [column for _, column in sorted(zip(kinds, names, strict=True), key=lambda pair: pair[0])]
    if device.type == "cpu" and 4 * len(table) * len(names) > MAPPED_ABOVE:
        return _Mapped(table, scaling, named)
    return _Inputs.of(table, scaling, named, device)


def _train(
    network: BaseModel,
    scaling: Scaling,
    names: Sequence[str],
    train: Table,
    valid: Table,
    training: Training,
    order_seed: int,
    context: Context,
) -> tuple[int, float]:
    """Run the epochs and restore the best weights; the number of epochs run, and the best AUC."""
    from sklearn.metrics import roc_auc_score

    device = network.device
    inputs, held_out = (_inputs(table, scaling, names, device) for table in (train, valid))
    labels = torch.from_numpy(train.targets.astype(np.float32)).to(device)[:, None]  # (rows, 1)
    weights = None if train.weights is None else torch.from_numpy(train.weights.copy()).to(device)[:, None]
    order = torch.Generator().manual_seed(order_seed)
    penalty = l2_penalty(network)
    best, best_weights, strikes, epoch = -np.inf, network.state_dict(), 0, 0
    for epoch in range(1, training.epochs + 1):
        network.train()
        total = torch.zeros((), device=device)
        for index in _batches(len(train), training.batch_size, order, device):
            weight = None if weights is None else weights[index]
            batch = inputs.batch(index)
            try:
                loss = train_step(network, batch, labels[index], weight, penalty)
            except RuntimeError:  # torch's cross-entropy refuses what is no probability
                if _finite(network, batch):
                    raise
                raise FloatingPointError(f"predictions are not finite in epoch {epoch}: lower learning_rate") from None
            total += loss * len(index)
        probabilities = _probabilities(network, held_out)
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(f"predictions are not finite after epoch {epoch}: lower learning_rate")
        auc = float(roc_auc_score(valid.targets, probabilities))
        context.progress(epoch, training.epochs, {"loss": float(total) / len(train), "valid_auc": auc})
        if context.seconds_left <= 0:
            raise TimeoutError(f"the time limit was reached after epoch {epoch} of {training.epochs}")
        if auc < best + MIN_GAIN:
            strikes += 1
            if network._reduce_lr_on_plateau:
                network.lr_decay()
        else:
            best, strikes = auc, 0
            best_weights = {name: value.clone() for name, value in network.state_dict().items()}
        if strikes >= training.patience:
            break
    network.load_state_dict(best_weights)
    return epoch, best


def _finite(network: BaseModel, batch: dict[str, Tensor]) -> bool:
    with torch.no_grad():
        return bool(network.forward(batch)["y_pred"].isfinite().all())


def _probabilities(network: BaseModel, inputs: _Inputs | _Mapped) -> NDArray[np.float64]:
    network.eval()
    # one array: a small one of each batch would lie between the large ones, whose memory could then not be used again
    found = torch.empty(inputs.rows, device=network.device)
    with torch.no_grad():
        for index in torch.split(torch.arange(inputs.rows, device=network.device), PREDICT_BATCH):
            found[index] = network.forward(inputs.batch(index))["y_pred"].flatten()
    return found.cpu().numpy().astype(np.float64)


def _batches(rows: int, size: int, order: torch.Generator, device: torch.device) -> list[Tensor]:
    """All rows once, in a new order; a single last row, which batch norm cannot take, joins the batch before it."""
    # one copy to the device an epoch
    batches = list(torch.split(torch.randperm(rows, generator=order).to(device), size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@contextmanager
def _sealed(seed: int, context: Context) -> Iterator[None]:
    """Seed every global random state, and restore it afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if context.device.startswith("cuda") else ()
    with torch.random.fork_rng(devices=devices), _threads(context.threads):
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
