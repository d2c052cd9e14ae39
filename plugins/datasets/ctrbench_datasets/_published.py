"""Published figures, from a TOML table to what reports show beside a run's own.

In: tables of figures, either all means of several runs or all single runs. Out: `Published`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ctrbench import Published


def published_tables(tables: Iterable[Mapping[str, Any]]) -> list[Published]:
    """One `Published` per table; `figures` has, by model, values of models trained on real rows, or rows of generators.

    A figure of a model is a number, or (mean, standard deviation); a row of generators has a value for each of the
    table's `generators`, in their order.
    """
    return [
        Published(
            table["title"],
            table["source"],
            table["metric"],
            dict(_by_model(table, 0) if "models" in table else _by_generator(table)),
            table["statistic"],
            dict(_by_model(table, 1)),
        )
        for table in tables
    ]


def _by_model(table: Mapping[str, Any], part: int) -> Iterable[tuple[tuple[str, str, str], float]]:
    for model, told in table.get("models", {}).items():
        values = told if isinstance(told, list) else [told]
        if part < len(values):
            yield ("", "original", model), values[part]


def _by_generator(table: Mapping[str, Any]) -> Iterable[tuple[tuple[str, str, str], float]]:
    for row in table["figures"]:
        for generator, value in zip(table["generators"], row["values"], strict=True):
            yield (generator, row.get("scenario", ""), row.get("model", "")), value
