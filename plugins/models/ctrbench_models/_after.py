"""A network that continues from another training of it: synthetic rows first, then real ones.

In: a model, a table of synthetic rows, one of real rows. Out: a predictor, trained last on the real rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ctrbench import Context, Predictor, Table

from ctrbench_models.training import Training, fit_network

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel

    from ctrbench_models._deep import NetworkModel


def fit_after(
    model: NetworkModel, pool: Table, train: Table, valid: Table, training: Training, *, seed: int, context: Context
) -> Predictor:
    """Train on the pool as on any table, then on train, from the pool's weights and with a new optimizer.

    Numbers are scaled by the rows of the table being learned.
    """
    aside = replace(context, progress=lambda step, total, values: None)  # the learning curve is that of the real rows
    first = fit_network(model.network, pool, valid, training, seed=seed, context=aside)

    def gone_on(features: FeatureMap) -> BaseModel:
        network = model.network(features)
        network.load_state_dict(first.network.state_dict())
        return network

    return fit_network(gone_on, train, valid, training, seed=seed, context=context)
