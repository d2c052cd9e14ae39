"""A suite for a log that nobody has described: what a data set makes of it, and as many methods as the time allows.

In: the path of a log, what its owner says of it, and minutes. Out: the text of a suite, and what to say beside it; or
a UserError where nothing can be made of the log, or where its owner has to say more.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import product
from types import MappingProxyType
from typing import Any, cast

from ctrbench import choices, plan, resources
from ctrbench.asking import NoAnswer, ask
from ctrbench.costs import Costs
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset, Proposal
from ctrbench.jobs import Compute
from ctrbench.limits import NO_LIMITS
from ctrbench.plan import Task
from ctrbench.registry import Registry
from ctrbench.results import DataOutput, TaskResult
from ctrbench.suite import Suite, parse_suite
from ctrbench.text import counted, plain

OVERHEAD = 0.1
"""Seconds that any task takes."""

ONE_CLASS = "AUC needs both classes"
"""What `encode_splits` says of such a split."""


@dataclass(frozen=True)
class Trial:
    """A suite, the seconds that it will take, and what it was made from."""

    text: str
    seconds: float
    repeats: int
    proposal: Proposal
    notes: Sequence[str]


def make_trial(path: str, given: Mapping[str, str], minutes: float, registry: Registry, name: str) -> Trial:
    """Look at a log, load it once, and choose methods and repeats that fit the time."""
    offered = tomllib.loads(files(__package__).joinpath("trial.toml").read_text(encoding="utf-8"))
    dataset, proposal = _proposed(path, given, registry)
    proposal, loaded, seconds = _loaded(dataset, proposal, registry)
    settings = _settings(offered, loaded.output_as(DataOutput).rows["train"])
    for step, repeats in product(offered["step"], offered["repeats"]):
        generators = _able(step["generators"], offered["least"], loaded)
        head = {"datasets": [dataset], "generators": generators, "models": step["models"]}
        head |= {"metrics": offered["metrics"], "scenarios": offered["scenarios"], "repeats": repeats, "seed": 1}
        tables = {dataset: {"datasets": {dataset: proposal.parameters}, **_only(settings, head)}}
        cost, memory = _cost(parse_suite(_toml(head, tables), name, path), loaded, registry)
        if cost <= 60 * minutes:
            break
    told = _told(proposal, loaded, seconds, cost, memory)
    if cost > 60 * minutes:
        told.insert(3, f"that is more than {minutes:g} minutes, but there is nothing smaller to offer")
    text = _toml(head, tables, {dataset: proposal.reasons}, told)
    return Trial(text, cost, repeats, proposal, loaded.output_as(DataOutput).notes)


# The data set


def _proposed(path: str, given: Mapping[str, str], registry: Registry) -> tuple[str, Proposal]:
    """The first data set that makes something of the file."""
    failed = []
    for registered in registry.of_kind("dataset"):
        dataset = cast(type[Dataset], registered.plugin)
        told = ask(lambda dataset=dataset: dataset.propose(path, given), apart=registered.apart)  # type: ignore[misc]
        if isinstance(told, NoAnswer):
            if told.mistake:
                raise told.mistake
            failed.append(f"{registered}: its propose() {told.says}")
        elif told is not None:
            return registered.name, replace(told, notes=[*told.notes, *failed])
    raise UserError("; ".join([f"{path}: no data set that is installed reads such a file", *failed]))


def _loaded(dataset: str, proposal: Proposal, registry: Registry) -> tuple[Proposal, TaskResult, float]:
    """The proposal, its split changed if it left one with one class only; what came of it, and in how many seconds."""
    for changes in ({}, *proposal.fallbacks):
        parameters = {**proposal.parameters, **changes}
        text = _toml({"datasets": [dataset]}, {dataset: {"datasets": {dataset: parameters}}})
        suite = parse_suite(text, "try", "try")
        [chosen], _ = choices.choose_datasets(suite, registry, download=False)
        job = ask(lambda chosen=chosen, suite=suite: plan.data_task(chosen, suite, NO_LIMITS).job({}))  # type: ignore[misc]
        if isinstance(job, NoAnswer):
            raise job.mistake or UserError(f"{chosen.registered}: {job.error}")
        started = time.perf_counter()
        found = plan.load_aside(chosen, job)
        if found.ok:
            reasons = {**proposal.reasons, **dict.fromkeys(changes, "otherwise a split holds one class only")}
            return replace(proposal, parameters=parameters, reasons=reasons), found, time.perf_counter() - started
        if ONE_CLASS not in found.reason:
            raise UserError(found.reason if found.users_mistake else found.describe())
    raise UserError(f"{found.reason}; no way to split the log was found that leaves both classes in each split")


# What fits


def _able(generators: Sequence[str], least: Mapping[str, int], loaded: TaskResult) -> list[str]:
    """Those that have enough rows of either class to learn from."""
    rows, rate = loaded.output_as(DataOutput).rows["train"], loaded.output_as(DataOutput).click_rate["train"]
    fewest = round(rows * min(rate, 1 - rate))
    return [name for name in generators if fewest >= least.get(name, 0)]


def _settings(offered: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    fitting = [settings for settings in offered["settings"] if rows <= settings["rows"]]
    return fitting[0] if fitting else {}


def _only(settings: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the methods that a step has."""
    found = {
        kind: {name: values for name, values in settings.get(kind, {}).items() if name in step[kind]}
        for kind in ("generators", "models")
    }
    return {kind: by_name for kind, by_name in found.items() if by_name}


def _cost(suite: Suite, loaded: TaskResult, registry: Registry) -> tuple[float, float]:
    """Seconds that a suite takes on this machine, roughly, and bytes of its largest task."""
    [chosen], _ = choices.choose_datasets(suite, registry, download=False)
    grid = plan.grid(suite, registry, [(chosen, loaded)], Compute(), NO_LIMITS)
    rows, fields = (
        loaded.output_as(DataOutput).rows["train"],
        len(json.loads(loaded.output_as(DataOutput).schema)["fields"]),
    )
    costs = Costs({})
    told = [(each, costs.of(each)) for each in grid.tasks.values()]
    seconds = sum(cost.seconds if cost else _usual(each, rows, fields) for each, cost in told)
    seconds += OVERHEAD * len(told)
    return seconds / resources.cores(), max((cost.memory for _, cost in told if cost), default=0)


def _usual(task: Task, rows: int, fields: int) -> float:
    """Seconds of a task that does not tell: what slow ones of its kind took, on Frappe and on MovieLens 100K."""
    if task.kind == "score":
        return 3e-9 * rows**2 if task.after[0].startswith("pool/") else 1e-6 * rows
    return (1e-5 if task.kind == "pool" else 2e-6) * rows * fields


# The text


def _told(proposal: Proposal, loaded: TaskResult, load: float, cost: float, memory: float) -> list[str]:
    """What stands above the suite."""
    rows, rates = loaded.output_as(DataOutput).rows, loaded.output_as(DataOutput).click_rate
    parts = [f"{split} {rows[split]:,} rows, {rates[split]:.2%} clicks" for split in ("train", "valid", "test")]
    time_ = f"the run takes about {counted(max(1, round(cost / 60)), 'minute')} on {counted(resources.cores(), 'core')}"
    lines = [
        "Written by `ctrbench try` from names and values alone: read it before you believe its results.",
        "; ".join(parts),
        f"loading took {load:.1f} s; {time_}, and up to {memory / 1e9:.1f} GB in a worker",
    ]
    lines += [f"{name} might also be {', or '.join(map(str, others))}" for name, others in proposal.others.items()]
    return [*lines, *proposal.notes, *loaded.output_as(DataOutput).notes]


def _toml(
    head: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]],
    reasons: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    told: Sequence[str] = (),
) -> str:
    """A suite as TOML, a comment above each parameter for which there is a reason."""
    lines = [f"# {plain(line)}" for line in told] + [""] * bool(told)
    lines += [f"{key} = {_value(value)}" for key, value in head.items()]
    for dataset, kinds in tables.items():
        for kind, by_name in kinds.items():
            for name, parameters in by_name.items():
                lines += ["", f"[on.{dataset}.{kind}.{name}]"]
                why = reasons.get(dataset, {}) if kind == "datasets" else {}
                for key, value in parameters.items():
                    lines += [f"# {plain(why[key])}"] if why.get(key) else []
                    lines.append(f"{key} = {_value(value)}")
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    """A TOML value; JSON writes texts, numbers, lists and truth as TOML does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False).replace("\x7f", "\\u007f")
