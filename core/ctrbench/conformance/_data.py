"""Checks of data sets and scenarios: whether their tables can be trained on and compared.

In: a data set, or a scenario and a small log. Out: results in the report.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from ctrbench.conformance._report import Report, expect
from ctrbench.conformance._values import expect_probabilities, expect_schema, expect_values
from ctrbench.interfaces import Context, Dataset, Missing, Ready, Splits
from ctrbench.ranking import check_queries
from ctrbench.scenarios import ClassShares, Scenario, compose
from ctrbench.table import MISSING, RARE, Table

if TYPE_CHECKING:
    from ctrbench.conformance._logs import Log


def check_dataset(report: Report, plugin: Dataset, context: Context) -> None:
    """Ask whether it is there, and load it twice where it is."""

    def load() -> Splits:
        with report.watch():
            return plugin.load(seed=1, context=context)

    availability = report.check("availability answered", lambda: _expect_availability(plugin))
    if isinstance(availability, Missing):
        report.add("loads", "skipped", f"not available here: {availability.reason}")
    if not isinstance(availability, Ready):
        return
    splits = report.check("loads", lambda: _expect_splits(load()))
    if splits is None:
        return

    def check_codes() -> None:
        for name, table in _tables(splits).items():
            expect_values(table, lowest=1 if name == "train" else 0, what=name)

    def check_classes() -> None:
        for name, table in _tables(splits).items():
            expect(0 < table.click_rate < 1, f"{name} has one class only")

    def check_truth() -> None:
        for name, probabilities in splits.true_probabilities.items():
            expect(name in _tables(splits), f"true_probabilities names {name!r}, not train, valid or test")
            expect_probabilities(probabilities, len(_tables(splits)[name]))

    def check_seed() -> None:
        again = load()
        expect(again.fingerprint == splits.fingerprint, "two loads with one seed differ")
        chosen = [made.ranking and made.ranking.digest() for made in (splits, again)]
        expect(chosen[0] == chosen[1], "two loads with one seed choose other queries")

    def check_ranking(queries: Table) -> None:
        try:
            check_queries(queries, splits.train.schema)
        except ValueError as error:
            expect(False, str(error))

    report.check("values in range", check_codes)
    report.check("both classes in every split", check_classes)
    if splits.true_probabilities:
        report.check("true probabilities fit", check_truth)
    if (queries := splits.ranking) is not None:
        report.check("queries can be ranked", lambda: check_ranking(queries))
    report.check("the same under a seed", check_seed)
    report.check_untouched()


def _expect_availability(plugin: Dataset) -> Ready | Missing:
    answer = plugin.availability()
    expect(isinstance(answer, Ready | Missing), f"availability returned {answer!r}, not Ready or Missing")
    return answer


def _expect_splits(splits: Splits) -> Splits:
    expect(isinstance(splits, Splits), f"load returned {type(splits).__name__}, not Splits")
    for name, table in _tables(splits).items():
        expect(isinstance(table, Table) and len(table), f"{name} has no rows")
        expect(table.labels is not None, f"{name} has no labels")
        expect(table.schema == splits.train.schema, f"the schema of {name} is not train's")
    for column in splits.train.schema.categorical:
        expect(_in_order(column.vocabulary or ()), f"the vocabulary of {column.name!r} is not sorted or repeats itself")
    return splits


def _in_order(vocabulary: tuple[str, ...]) -> bool:
    """Whether the values rise, as numbers or as text; (missing) and (rare) stand where their author likes."""
    values = [value for value in vocabulary if value not in (MISSING, RARE)]
    if len(set(vocabulary)) < len(vocabulary):
        return False
    with suppress(ValueError):
        numbers = [float(value) for value in values]
        if numbers == sorted(numbers):
            return True
    return values == sorted(values)


def _tables(splits: Splits) -> dict[str, Table]:
    return {"train": splits.train, "valid": splits.valid, "test": splits.test}


def check_scenario(report: Report, scenario: Scenario, log: Log) -> None:
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
    report.check("schema kept", lambda: expect_schema(table, train))
    report.check("the same under a seed", check_seed)
    report.check_untouched()


def _rows(shares: ClassShares | str, train: Table) -> tuple[int, int]:
    """Negatives and positives that a scenario takes; the whole pool begins with a copy of train here."""
    positives = int(train.targets.sum())
    negatives = len(train) - positives
    if isinstance(shares, ClassShares):
        return round(shares.negatives * negatives), round(shares.positives * positives)
    return (min(negatives, positives),) * 2 if shares == "balanced" else (negatives, positives)
