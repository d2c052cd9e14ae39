"""`ctrbench data`: which data sets are at hand, what is in them, and how to get the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import PluginName, echo_table

if TYPE_CHECKING:
    from ctrbench.dependencies import Pair
    from ctrbench.interfaces import Splits
    from ctrbench.table import Table

SHOWN_FROM = 0.1
"""`describe` shows the pairs of fields of which this share of combinations is missing."""

MOST_PAIRS = 12
"""How many pairs of fields `describe` shows."""

EXAMPLES = """
\b
Examples:
  ctrbench data list
  ctrbench data describe "frappe[path=data/Frappe_x1]"
  ctrbench data fetch frappe
  ctrbench data export frappe --split train train.csv
"""


@click.group(epilog=EXAMPLES)
def data() -> None:
    """List, describe, download and export data sets."""


@data.command("list")
def list_() -> None:
    """List the data sets and whether they are at hand."""
    from ctrbench.choices import Chosen, availability
    from ctrbench.interfaces import Missing
    from ctrbench.registry import load_registry

    rows, absent = [], False
    for plugin in load_registry().of_kind("dataset"):
        state = availability(Chosen(plugin, plugin.thing(), plugin.name))
        said = state.reason if isinstance(state, Missing) else "ready"
        if isinstance(state, Missing) and state.download:  # the same of all of them: it is said below, once
            said, absent = said.partition(": ")[0], True
        rows.append([plugin.name, said, plugin.help])
    echo_table(rows, ["data set", "state", "what it is"])
    if absent:
        click.echo(
            "\nWhat is not on this machine is downloaded when you name it with -d, or by `ctrbench data fetch NAME`."
        )
        click.echo("`ctrbench data describe NAME` says how to name a copy that you have.")


@data.command()
@click.argument("name", type=PluginName("dataset"))
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="The suite's seed.")
@click.option("--traceback", is_flag=True, help="If the plug-in fails, show its whole traceback.")
def describe(name: str, seed: int, traceback: bool) -> None:
    """Load a data set that is at hand and describe it: sizes, fields, which fields depend on each other."""
    from ctrbench.text import plain

    splits = _load(name, seed, download=False, trace=traceback)
    _say_splits(splits)
    click.echo()
    _say_fields(splits)
    click.echo()
    _say_sizes(splits.train)
    click.echo()
    _say_dependencies(splits.train)
    click.echo(f"\nfingerprint {splits.fingerprint}")
    for note in splits.notes:
        click.echo(plain(f"note: {note}"))


@data.command()
@click.argument("name", type=PluginName("dataset"))
def fetch(name: str) -> None:
    """Download a data set, unless it is at hand already."""
    splits = _load(name, 1, download=True)
    click.echo(
        f"{name} is at hand: {len(splits.train):,} train, {len(splits.valid):,} valid, {len(splits.test):,} test rows"
    )


@data.command()
@click.argument("name", type=PluginName("dataset"))
@click.argument("file", type=click.Path())
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="train", show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="The suite's seed, by which some data sets are made or split.",
)
def export(name: str, file: str, split: str, seed: int) -> None:
    """Write a split as CSV or Parquet, for a tool that makes rows for `from_file`."""
    import shlex
    from pathlib import Path

    from ctrbench.files import refuse_existing
    from ctrbench.row_files import write_rows
    from ctrbench.text import counted, plain

    target = Path(file)
    refuse_existing(target)
    splits = _load(name, seed, download=False)
    table = getattr(splits, split)
    write_rows(table, target)
    click.echo(
        plain(f"{file}: {counted(len(table), 'row')} of {split}, {len(table.schema.fields)} fields and the label")
    )
    if split == "train":
        click.echo(plain(f'rows made from it come back with -g "from_file[path=ROWS.csv]" -d {shlex.quote(name)}'))
    else:
        click.echo(f"{split} decides the results: never show it to a tool whose rows come back as a pool")
    for note in splits.notes:
        click.echo(plain(f"note: {note}"))


def _say_splits(splits: Splits) -> None:
    tables = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    rows = [[name, f"{len(table):,}", f"{table.click_rate:.4f}"] for name, table in tables.items()]
    echo_table(rows, ["split", "rows", "click rate"])


def _say_fields(splits: Splits) -> None:
    import numpy as np

    from ctrbench.table import UNSEEN

    rows = []
    for field in splits.train.schema.fields:
        values = "" if field.vocabulary is None else f"{len(field.vocabulary):,}"
        unseen = [
            "" if field.vocabulary is None else f"{np.mean(t.rows[field.name] == UNSEEN):.4f}"
            for t in (splits.valid, splits.test)
        ]
        rows.append([field.name, field.role, field.kind, values, *unseen])
    echo_table(rows, ["field", "role", "kind", "values in train", "unseen in valid", "unseen in test"])


def _say_sizes(train: Table) -> None:
    """Rows that occur again, and how large the table becomes for a method that wants it dense."""
    import pandas as pd

    from ctrbench.text import in_bytes

    rows = train.rows.copy(deep=False)
    for field in train.schema.numeric:
        rows[field.name] = rows[field.name] + 0.0  # -0.0 is 0.0
    hashes = pd.util.hash_pandas_object(rows, index=False).to_numpy() + train.targets.astype("uint64")
    repeats = len(hashes) - len(pd.unique(hashes))
    click.echo(f"{repeats:,} rows of train repeat an earlier row in all fields and the label")
    width = sum(len(field.vocabulary or ()) for field in train.schema.fields)
    click.echo(
        f"{width:,} values in all: one-hot, train is a table of {len(train):,} × {width:,}, "
        f"{in_bytes(8 * len(train) * width)}"
    )


def _say_dependencies(train: Table) -> None:
    """The pairs of which much is missing, taken ones first, and what `constraints=auto` makes of them."""
    from ctrbench.dependencies import LEAST_MISSING, MOST_NEW, find_dependencies
    from ctrbench.text import counted, plain

    found = find_dependencies(train)
    telling = [pair for pair in found.pairs if pair.missing >= SHOWN_FROM]
    telling.sort(key=lambda pair: (not pair.taken, -pair.missing))
    rows = []
    for pair in telling[:MOST_PAIRS]:
        seen = f"{pair.combinations:,} of {pair.possible:,}"
        rows.append([f"{pair.first}, {pair.second}", seen, f"{pair.missing:.4f}", f"{pair.new:.4f}", _verdict(pair)])
    if rows:
        echo_table(rows, ["pair in train", "combinations seen", "missing", "new", "belongs together"])
    if fewer := len(found.pairs) - len(rows):
        click.echo(f"not shown: {counted(fewer, 'pair')} of which less is missing")
    click.echo(
        "missing: share of combinations never seen, were both fields drawn independently; new: share of a\n"
        "half's rows whose combination the other half lacks. Two fields belong together if they have at least\n"
        f"{LEAST_MISSING:g} missing and at most {MOST_NEW:g} new."
    )
    groups = ", ".join(f"({', '.join(group)})" for group in found.groups)
    click.echo(plain(f"constraints=auto: {f'({groups})' if groups else 'none'}"))


def _verdict(pair: Pair) -> str:
    from ctrbench.dependencies import LEAST_MISSING

    if pair.taken:
        return "yes"
    if pair.passes:
        return "no: the user or the item"
    return "no: too few missing" if pair.missing < LEAST_MISSING else "no: too many new"


def _load(name: str, seed: int, *, download: bool, trace: bool = False) -> Splits:
    import math
    from typing import cast

    from ctrbench import contract, digests, params, resources
    from ctrbench.asking import NoAnswer
    from ctrbench.choices import Chosen, availability, build
    from ctrbench.errors import RunFailed, UserError
    from ctrbench.interfaces import Context, Dataset, Missing
    from ctrbench.registry import load_registry
    from ctrbench.text import plain, plain_lines, where

    resources.let_arrow_free_memory()
    spec = params.parse(name, "data")
    registered = load_registry().get("dataset", spec.name, "data")
    dataset = Chosen(registered, cast(Dataset, build(registered, spec.values)), name)
    state = availability(dataset)
    if isinstance(state, Missing) and not (download and state.download):
        fix = f"; `ctrbench data fetch {name}` downloads it" if state.download else ""
        raise UserError(f"{name}: {state.reason}{fix}")
    rows, context = digests.data_seed(seed, registered.name), Context(progress=_say_progress)
    told = dataset.ask(lambda plugin: contract.check_splits(plugin.load(seed=rows, context=context)), math.inf)
    if isinstance(told, NoAnswer):
        if told.mistake:
            raise told.mistake
        if trace:
            click.echo(plain_lines(told.traceback.rstrip()), err=True)
        raise RunFailed(plain(f"{registered}: failed in load: {told.error}{where(told.traceback)}"))
    return told


def _say_progress(done: int, total: int | None, _values: Mapping[str, float]) -> None:
    """Bytes of a download, on one line of a terminal that is written again and again."""
    if sys.stderr.isatty():
        of = f" of {total / 1e6:.1f}" if total else ""
        click.echo(f"\r{done / 1e6:.1f}{of} MB", nl=done == total, err=True)
