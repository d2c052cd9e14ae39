"""The checks that any plug-in can be put through.

In: a registered plug-in. Out: one result a check, on small logs made here; a plug-in of which nothing could be checked
fails.
"""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from ctrbench import params, resources
from ctrbench.conformance._data import check_dataset, check_scenario
from ctrbench.conformance._declaration import check_declaration
from ctrbench.conformance._methods import check_generator, check_model
from ctrbench.conformance._metrics import check_prediction_metric, check_synthetic_metric
from ctrbench.conformance._recorder import CheckResult, Recorder, restored_random_state
from ctrbench.conformance._small_logs import Log, small_logs
from ctrbench.interfaces import Context, Dataset, Generator, Model, Plugin, PredictionMetric, SyntheticMetric
from ctrbench.row_files import write_rows
from ctrbench.scenarios import Scenario

if TYPE_CHECKING:
    from ctrbench.registry import Registered

__all__ = ["CheckResult", "check_plugin"]

SMALLEST = 2_000
"""To so many rows the parameters `*_rows` of a data set are cut for the check."""


def check_plugin(registered: Registered, report: Recorder | None = None) -> list[CheckResult]:
    """Put a plug-in through all checks that fit its kind. No exception of the plug-in comes out, Ctrl-C does.

    It runs in this process; `ctrbench.conformance.apart` does it in one that may hang or die.
    """
    report = report or Recorder()
    with restored_random_state(), chdir("."), tempfile.TemporaryDirectory() as folder, resources.limited_threads(1):
        if isinstance(registered.thing, Scenario):
            report.about_behaviour = True
            check_scenario(report, registered.thing, small_logs()[0])
        else:
            plugin = check_declaration(report, registered)
            report.about_behaviour = True
            cheap = None if plugin is None else report.done("made at its cheapest", lambda: shrunk(plugin))
            if cheap is not None:
                _check_behaviour(report, cheap, Context(checkpoints=Path(folder)))
    if not report.checked:
        report.add("behaviour", "failed", "nothing could be checked: every check was skipped")
    return report.results


def shrunk(plugin: Plugin) -> Plugin:
    """The plug-in at its cheapest: one epoch, one step, few rows."""
    if not isinstance(plugin, Dataset):
        return params.cheapest(plugin)
    rows = {name: n for name, n in params.values(plugin).items() if name.endswith("_rows") and isinstance(n, int)}
    return params.cheapest(dataclasses.replace(plugin, **{name: min(n, SMALLEST) for name, n in rows.items()}))


def _with_file(plugin: Generator, log: Log, folder: Path) -> Generator:
    """A generator that reads a file, and was given none, gets the log's own rows as `data export` writes them."""
    unset = [name for name in params.locations(plugin) if not getattr(plugin, name)]
    if not unset:
        return plugin
    file = folder / f"rows of {log.remark or 'a log'}.csv"
    write_rows(log.splits.train, file)
    return dataclasses.replace(plugin, **dict.fromkeys(unset, str(file)))


def _check_behaviour(report: Recorder, plugin: Plugin, context: Context) -> None:
    if plugin.imports:
        report.check("imports found", lambda: [importlib.import_module(module) for module in plugin.imports])
    if isinstance(plugin, Dataset):
        check_dataset(report, plugin, context)
        return
    for log in small_logs():
        report.remark = log.remark
        match plugin:
            case Generator():
                check_generator(report, _with_file(plugin, log, context.checkpoints), log, context)
            case Model():
                check_model(report, plugin, log, context)
            case PredictionMetric():
                check_prediction_metric(report, plugin, log)
            case SyntheticMetric():
                check_synthetic_metric(report, plugin, log)
    report.remark = ""
