"""Checks of data sets and scenarios: whether their tables can be trained on and compared.

In: a data set, or a scenario and a small log. Out: results in the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ctrbench import contract
from ctrbench.conformance._recorder import Recorder
from ctrbench.contract import expect
from ctrbench.interfaces import Context, Dataset, Missing, Ready, Splits
from ctrbench.scenarios import ClassShares, Scenario, compose
from ctrbench.table import Table

if TYPE_CHECKING:
    from ctrbench.conformance._small_logs import Log


def check_dataset(report: Recorder, plugin: Dataset, context: Context) -> None:
    """Ask whether it is there, and load it twice where it is."""

    def load() -> Splits:
        with report.watch():
            return plugin.load(seed=1, context=context)

    availability = report.check("availability answered", lambda: contract.check_availability(plugin.availability()))
    if isinstance(availability, Missing):
        report.add("loads", "skipped", f"not available here: {availability.reason}")
    if not isinstance(availability, Ready):
        return
    splits = report.check("loads", lambda: _expect_splits(load()))
    if splits is None:
        return

    def check_codes() -> None:
        for name, table in contract.tables(splits).items():
            contract.check_table(table, name, lowest=1 if name == "train" else 0)

    def check_seed() -> None:
        again = load()
        expect(again.fingerprint == splits.fingerprint, "two loads with one seed differ")
        chosen = [made.ranking and made.ranking.digest() for made in (splits, again)]
        expect(chosen[0] == chosen[1], "two loads with one seed choose other queries")

    report.check("values in range", check_codes)
    report.check("vocabularies sorted", lambda: contract.check_vocabularies(splits.train))
    report.check("both classes in every split", lambda: contract.check_classes(splits))
    if splits.true_probabilities:
        report.check("true probabilities fit", lambda: contract.checked_truth(splits))
    if splits.ranking is not None:
        report.check("queries can be ranked", lambda: contract.check_ranking(splits))
    report.check("the rest of the contract", lambda: contract.check_splits(splits))
    report.check("figures of others", lambda: contract.checked_tables(plugin.published()))
    report.check("the same under a seed", check_seed)
    report.check_untouched()


def _expect_splits(splits: object) -> Splits:
    contract.expect_type(splits, Splits, "load")
    assert isinstance(splits, Splits)
    for name, table in contract.tables(splits).items():
        contract.expect_type(table, Table, f"load's {name}")
        expect(table.labels is not None, f"{name} has no labels")
    return splits


def check_scenario(report: Recorder, scenario: Scenario, log: Log) -> None:
    """Compose a training table from a pool that has plenty of rows."""
    train = log.splits.train
    pool = Table.concat([train] * 10)

    def made() -> Table:
        with report.watch(train, pool):
            return compose(train, pool if scenario.needs_pool else None, scenario, seed=1)

    report.check("one line of help", lambda: expect(scenario.help.strip(), "the scenario's `help` is empty"))
    table = report.check("composes", made)
    if table is None:
        return

    def check_shares() -> None:
        have = np.bincount(table.targets, minlength=2).tolist()
        wanted = [a + b for a, b in zip(_rows(scenario.real, train), _rows(scenario.synthetic, train), strict=True)]
        expect(have == wanted, f"{have[0]} negatives and {have[1]} positives, not {wanted[0]} and {wanted[1]}")
        expect(min(have), "the training table has one class only")

    def check_seed() -> None:
        expect(made().digest() == table.digest(), "two tables of one seed differ")

    report.check("shares kept", check_shares)
    report.check("schema kept", lambda: contract.check_schema(table, train, "the table"))
    report.check("the same under a seed", check_seed)
    report.check_untouched()


def _rows(shares: ClassShares | str, train: Table) -> tuple[int, int]:
    """Negatives and positives that a scenario takes; the whole pool begins with a copy of train here."""
    positives = int(train.targets.sum())
    negatives = len(train) - positives
    if isinstance(shares, ClassShares):
        return round(shares.negatives * negatives), round(shares.positives * positives)
    return (min(negatives, positives),) * 2 if shares == "balanced" else (negatives, positives)
