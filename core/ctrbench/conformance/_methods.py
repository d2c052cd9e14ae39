"""Checks of generators and models: whether fitting keeps the contract that results are compared under.

In: a plug-in and a small log. Out: results in the report.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctrbench import contract, params
from ctrbench.conformance._recorder import Recorder
from ctrbench.contract import expect
from ctrbench.errors import Skip, UserError
from ctrbench.interfaces import Context, Generator, Model, Plugin, Predictor, Sampler
from ctrbench.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench.conformance._small_logs import Log

CLOSE = 1e-6
"""So far a row's probability may move with the rows beside it: float32 sums in another order."""


def check_generator(report: Recorder, plugin: Generator, log: Log, context: Context) -> None:
    """Fit and sample: rows, schema, values, seeds."""
    train, before = log.splits.train, _parameters(plugin)
    count = len(train) - 7

    def fit(table: Table = train) -> Sampler:
        with report.watch(table):
            sampler = plugin.fit(table, seed=1, context=_of_a_task(context))
        contract.expect_type(sampler, Sampler, "fit")
        return sampler

    def sample(sampler: Sampler, rows: int = count, seed: int = 1) -> Table:
        with report.watch(train):
            pool = sampler.sample(rows, seed=seed)
        contract.expect_type(pool, Table, "sample")
        return pool

    sampler = report.check("fits", fit)
    if sampler is None:
        return
    pool = report.check("samples", lambda: sample(sampler))
    if pool is None:
        return
    first = pool.digest()

    def check_rows() -> None:
        pools = {count: pool, 3: sample(sampler, 3), 999: sample(sampler, 999)}
        for wanted, got in pools.items():
            expect(wanted == len(got), f"asked for {wanted} rows, it gave {len(got)}")

    def check_seed() -> None:
        expect(sample(sampler).digest() == first, "asked again with the same seed it gives other rows")
        anew = sample(fit()).digest() == first
        expect(anew, "two fits with one seed give different rows: does it draw from a global generator?")

    def check_other_seed() -> None:
        expect(sample(sampler, seed=2).digest() != first, "another seed gives the same rows")

    def check_learning() -> None:
        flipped = dataclasses.replace(train, labels=1 - train.targets)
        with suppress(Skip, UserError):  # what it refuses it has looked at
            expect(sample(fit(flipped)).digest() != first, "it makes the same rows whatever it was fitted to")

    def check_equivalent() -> None:
        other = plugin.equivalent(train.schema)
        expect(isinstance(other, Generator), f"equivalent returned {other!r}, not a Generator")

    def check_forecast() -> None:
        contract.check_forecast(plugin.forecast(train.schema, len(train)))

    report.check("as many rows as asked for", check_rows)
    report.check("schema kept", lambda: contract.check_schema(pool, train, "sample"))
    report.check("values in range", lambda: contract.check_pool(pool, train, count))
    report.check("the same under a seed", check_seed)
    report.check("another seed, other rows", check_other_seed)
    # What reads its rows from a file learns nothing, and rows without labels tell nothing of what was learned.
    if not params.locations(plugin) and pool.labels is not None:
        report.check("learns what it is given", check_learning)
    report.check("equivalent is a generator", check_equivalent)
    report.check("forecast is possible or none", check_forecast)
    report.check("details are numbers or texts", lambda: _expect_details(sampler.details))
    report.check("no state in the unfitted object", lambda: _expect_stateless(plugin, before, "sample"))
    report.check_untouched()


def check_model(report: Recorder, plugin: Model, log: Log, context: Context) -> None:
    """Fit and predict: probabilities, seeds, each row by itself, weights."""
    train, valid, rows = log.splits.train, log.splits.valid, log.splits.test.without_labels()
    before = _parameters(plugin)

    def fit(table: Table = train) -> Predictor:
        with report.watch(table, valid):
            predictor = plugin.fit(table, valid, seed=1, context=_of_a_task(context))
        contract.expect_type(predictor, Predictor, "fit")
        return predictor

    def predict(predictor: Predictor, table: Table = rows) -> NDArray[np.float64]:
        with report.watch(table):
            probabilities = predictor.predict(table)
        return contract.check_probabilities(probabilities, len(table))

    def weighted(positive: float, negative: float) -> NDArray[np.float64]:
        weights = np.where(train.targets == 1, positive, negative).astype(np.float32)
        return predict(fit(dataclasses.replace(train, weights=weights)))

    predictor = report.check("fits", fit)
    if predictor is None:
        return
    first = report.check("predicts probabilities", lambda: predict(predictor))
    if first is None:
        return

    def check_seed() -> None:
        expect(np.array_equal(predict(predictor), first), "the same rows predicted again differ")
        anew = np.array_equal(predict(fit()), first)
        expect(anew, "two fits with one seed predict differently: does it draw from a global generator?")

    def check_rows() -> None:
        order = np.random.default_rng(5).permutation(len(rows))
        moved = np.abs(predict(predictor, rows.take(order)) - first[order]).max()
        expect(moved <= CLOSE, f"probabilities move by {moved:.2g} with the order of the rows")
        moved = np.abs(predict(predictor, rows.take(np.arange(3))) - first[:3]).max()
        expect(moved <= CLOSE, f"probabilities move by {moved:.2g} with the rows beside them")

    def check_weights() -> None:
        expect(np.allclose(weighted(1, 1), first, rtol=0, atol=1e-3), "weights of 1 are not the same as no weights")
        expect(not np.array_equal(weighted(4, 0.25), first), "weights change nothing")

    def check_learning() -> None:
        flipped = dataclasses.replace(train, labels=1 - train.targets)
        expect(not np.array_equal(predict(fit(flipped)), first), "it predicts the same whatever it was fitted to")

    def check_going_on() -> None:
        def after() -> NDArray[np.float64]:
            with report.watch(train, valid):
                gone_on = plugin.fit_after(train, train, valid, seed=1, context=_of_a_task(context))
            contract.expect_type(gone_on, Predictor, "fit_after")
            return predict(gone_on)

        expect(np.array_equal(after(), after()), "two trainings of one seed, on two tables each, predict differently")

    def check_forecast() -> None:
        contract.check_forecast(plugin.forecast(train.schema, len(train)))

    report.check("the same under a seed", check_seed)
    report.check("each row by itself", check_rows)
    if type(plugin).fit_after is not Model.fit_after:
        report.check("goes on from another table", check_going_on)
    if plugin.supports_weights:
        report.check("weights count", check_weights)
    else:
        report.check("learns what it is given", check_learning)
    report.check("forecast is possible or none", check_forecast)
    report.check("details are numbers or texts", lambda: _expect_details(predictor.details))
    report.check("no state in the unfitted object", lambda: _expect_stateless(plugin, before, "predict"))
    report.check_untouched()


def _of_a_task(context: Context) -> Context:
    """The same with an empty folder for checkpoints: a fit finds none that another fit left."""
    return dataclasses.replace(context, checkpoints=Path(tempfile.mkdtemp(dir=context.checkpoints)))


def _expect_details(details: Mapping[str, float | str]) -> None:
    json.dumps(dict(details))
    odd = [name for name, value in details.items() if not isinstance(value, int | float | str)]
    expect(not odd, f"neither numbers nor texts: {', '.join(odd)}")


def _parameters(plugin: Plugin) -> Mapping[str, object]:
    return {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)}  # which may stand in slots


def _expect_stateless(plugin: Plugin, before: Mapping[str, object], verb: str) -> None:
    now = _parameters(plugin)
    # A cached property stands in the class too: it follows from the parameters and is no state.
    kept = sorted(name for name in vars(plugin) if name not in now and not hasattr(type(plugin), name))
    changed = sorted(name for name, value in now.items() if value != before[name])
    expect(not kept, f"fit keeps {', '.join(kept)} in the plug-in itself: return it in the artefact")
    expect(not changed, f"fit changes the parameters {', '.join(changed)}")
    able = verb not in now and hasattr(plugin, verb)  # a parameter may be called so
    expect(not able, f"the plug-in itself can {verb}: that belongs to what fit returns")
