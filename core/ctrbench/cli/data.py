"""`ctrbench data`: which data sets are at hand, what is in them, and how to get the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ctrbench.cli._common import echo_table

if TYPE_CHECKING:
    from ctrbench.interfaces import Splits

EXAMPLES = """
\b
Examples:
  ctrbench data list
  ctrbench data describe "frappe[path=data/Frappe_x1]"
  ctrbench data fetch frappe
"""


@click.group(epilog=EXAMPLES)
def data() -> None:
    """Data sets: what is at hand, what is in one, and downloading."""


@data.command("list")
def list_() -> None:
    """List the data sets and whether they are at hand."""
    from ctrbench.interfaces import Missing
    from ctrbench.plan import availability
    from ctrbench.registry import load_registry

    rows = []
    for plugin in load_registry().of_kind("dataset"):
        state = availability(plugin.thing())
        rows.append([plugin.name, state.reason if isinstance(state, Missing) else "ready", plugin.help])
    echo_table(rows, ["data set", "state", "what it is"])


@data.command()
@click.argument("name")
@click.option("--seed", type=int, default=1, show_default=True, help="The suite's seed.")
def describe(name: str, seed: int) -> None:
    """Load a data set that is at hand and say what is in it: rows, click rate, values of each field."""
    import numpy as np

    from ctrbench.table import UNSEEN

    splits = _load(name, seed, download=False)
    tables = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    echo_table([[n, f"{len(t):,}", f"{t.click_rate:.4f}"] for n, t in tables.items()], ["split", "rows", "click rate"])
    click.echo()
    rows = []
    for field in splits.train.schema.fields:
        values = "" if field.vocabulary is None else f"{len(field.vocabulary):,}"
        unseen = [
            "" if field.vocabulary is None else f"{np.mean(t.rows[field.name] == UNSEEN):.4f}"
            for t in (splits.valid, splits.test)
        ]
        rows.append([field.name, field.role, field.kind, values, *unseen])
    echo_table(rows, ["field", "role", "kind", "values in train", "unseen in valid", "unseen in test"])
    click.echo(f"\nfingerprint {splits.fingerprint}")
    for note in splits.notes:
        click.echo(f"note: {note}")


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download a data set, or find that it is at hand."""
    splits = _load(name, 1, download=True)
    click.echo(
        f"{name} is at hand: {len(splits.train):,} train, {len(splits.valid):,} valid, {len(splits.test):,} test rows"
    )


def _load(name: str, seed: int, *, download: bool) -> Splits:
    from ctrbench import keys, params
    from ctrbench.errors import UserError
    from ctrbench.interfaces import Context, Dataset, Missing
    from ctrbench.plan import availability
    from ctrbench.registry import load_registry

    spec = params.parse(name, "data")
    registered = load_registry().get("dataset", spec.name, "data")
    dataset = params.build(registered.plugin, str(registered), spec.values)
    assert isinstance(dataset, Dataset)
    state = availability(dataset)
    if isinstance(state, Missing) and not (download and state.download):
        fix = f"; `ctrbench data fetch {name}` downloads it" if state.download else ""
        raise UserError(f"{name}: {state.reason}{fix}")
    return dataset.load(seed=keys.seed(seed, "data", dataset.name), context=Context(progress=_say_progress))


def _say_progress(done: int, total: int | None, _values: Mapping[str, float]) -> None:
    """Bytes of a download, on one line of a terminal that is written again and again."""
    if sys.stderr.isatty():
        of = f" of {total / 1e6:.1f}" if total else ""
        click.echo(f"\r{done / 1e6:.1f}{of} MB", nl=done == total, err=True)
