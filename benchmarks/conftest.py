"""Benchmarks run as ctrbench's workers do, and end with our times next to the others of their group, as ratios."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from ctrbench import resources
from tabulate import tabulate

OURS = "ctrbench"


def pytest_configure() -> None:
    """What workers do once, for both sides: memory that a step frees is kept for the next."""
    resources.keep_freed_memory()


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Print the ratios."""
    groups: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for each in output_json["benchmarks"]:
        groups[each["group"]][each["params"]["engine"]] = each
    rows = [row for group, engines in sorted(groups.items()) for row in _rows(group, engines)]
    header = ["", "ours", "", "theirs", "theirs / ours", "our peak MB"]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reporter.write_line("\n" + tabulate(rows, header, "pipe", disable_numparse=True) + "\n")


def _rows(group: str, engines: dict[str, dict[str, Any]]) -> list[list[str]]:
    """One row for each other engine of a group, by the least time of several."""
    ours = [name for name in engines if name.startswith(OURS)]
    others = [name for name in engines if name not in ours] or [""]
    return [
        [
            f"{group}{name.removeprefix(OURS)}",
            _seconds(engines[name]),
            other,
            _seconds(engines[other]) if other else "",
            f"{engines[other]['stats']['min'] / engines[name]['stats']['min']:.2f}" if other else "",
            f"{megabytes:,.0f}" if (megabytes := engines[name]["extra_info"].get("megabytes")) else "",
        ]
        for name in ours
        for other in others
    ]


def _seconds(measured: dict[str, Any]) -> str:
    return f"{measured['stats']['min']:.3g} s"
