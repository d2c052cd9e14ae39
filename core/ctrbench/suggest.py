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
from typing import cast

from pydantic import TypeAdapter

from ctrbench import choices, contract, loading, plan, resources
from ctrbench.asking import NoAnswer, ask
from ctrbench.costs import Costs
from ctrbench.errors import UserError
from ctrbench.ids import PoolId, ScoreId
from ctrbench.interfaces import Dataset, Proposal
from ctrbench.jobs import Compute
from ctrbench.limits import NO_LIMITS
from ctrbench.plan import Task
from ctrbench.registry import Registry
from ctrbench.results import DataOutput, TaskResult
from ctrbench.suite import DatasetSettings, Suite
from ctrbench.text import counted, encodable, in_bytes, plain, toml

OVERHEAD = 0.1
"""Seconds that any task takes."""

ONE_CLASS = "AUC needs both classes"
"""What `encode_splits` says of such a split."""


_Parameters = Mapping[str, Mapping[str, object]]
"""What plug-ins are given, by their names."""


@dataclass(frozen=True)
class _Step:
    """Methods that are offered together."""

    generators: tuple[str, ...]
    models: tuple[str, ...]


@dataclass(frozen=True)
class _Settings:
    """Parameters that suit a train of at most so many rows."""

    rows: int
    generators: _Parameters
    models: _Parameters


@dataclass(frozen=True)
class _Offer:
    """What `suggest.toml` holds, and says of itself."""

    metrics: tuple[str, ...]
    scenarios: tuple[str, ...]
    repeats: tuple[int, ...]
    steps: Sequence[_Step]
    least: Mapping[str, int]
    settings: Sequence[_Settings]


@dataclass(frozen=True)
class Suggestion:
    """A suite, the seconds that it will take, and what it was made from."""

    text: str
    seconds: float
    repeats: int
    proposal: Proposal
    notes: Sequence[str]


def suggest(path: str, given: Mapping[str, str], minutes: float, registry: Registry, name: str) -> Suggestion:
    """Look at a log, load it once, and choose methods and repeats that fit the time."""
    text = files(__package__).joinpath("suggest.toml").read_text(encoding="utf-8")
    offer = TypeAdapter(_Offer).validate_python(tomllib.loads(text))
    dataset, proposal = _proposed(path, given, registry)
    _check_can_be_written(path, proposal)
    proposal, loaded, seconds = _loaded(dataset, proposal, registry)
    data = loaded.output_as(DataOutput)
    for step, repeats in product(offer.steps, offer.repeats):
        step = replace(step, generators=_able(step.generators, offer.least, data))
        suite = Suite(
            name,
            datasets=(dataset,),
            generators=step.generators,
            models=step.models,
            metrics=offer.metrics,
            scenarios=offer.scenarios,
            repeats=repeats,
            on=_settings(offer, step, dataset, proposal, data.rows["train"]),
        )
        cost, memory = _cost(suite, loaded, registry)
        if cost <= 60 * minutes:
            break
    notes = [*proposal.notes, *data.notes]
    if cost > 60 * minutes:
        notes.insert(0, f"the run takes more than {minutes:g} minutes, but there is nothing smaller to offer")
    told = [*_told(proposal, data, seconds, cost, memory), *notes]
    return Suggestion(_text(suite, proposal.reasons, told), cost, repeats, proposal, tuple(dict.fromkeys(notes)))


# The data set


def _proposed(path: str, given: Mapping[str, str], registry: Registry) -> tuple[str, Proposal]:
    """The first data set that makes something of the file."""
    failed = []
    for registered in registry.of_kind("dataset"):
        dataset = cast(type[Dataset], registered.plugin)
        told = ask(
            lambda dataset=dataset: contract.check_proposal(dataset.propose(path, given)),  # type: ignore[misc]
            apart=registered.apart,
        )
        if isinstance(told, NoAnswer):
            if told.mistake:
                raise told.mistake
            failed.append(f"{registered}: its propose() {told.says}")
        elif told is not None:
            return registered.name, replace(told, notes=[*told.notes, *failed])
    raise UserError("; ".join([f"{path}: no installed data set can read such a file", *failed]))


def _check_can_be_written(path: str, proposal: Proposal) -> None:
    try:
        json.dumps(dict(proposal.parameters), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{encodable(path)}: its name, or that of a folder above it, is not UTF-8, so that no suite can name it; "
            "rename it, or make a link with another name"
        ) from None


def _loaded(dataset: str, proposal: Proposal, registry: Registry) -> tuple[Proposal, TaskResult, float]:
    """The proposal, its split changed if it left one with one class only; what came of it, and in how many seconds."""
    for changes in ({}, *proposal.fallbacks):
        parameters = {**proposal.parameters, **changes}
        on = {dataset: DatasetSettings(parameters={"datasets": {dataset: parameters}})}
        suite = Suite("try", datasets=(dataset,), on=on)
        [chosen], _ = choices.choose_datasets(suite, registry, may_download=False)
        started = time.perf_counter()
        found = loading.result_of(chosen, plan.data_task(chosen, suite, NO_LIMITS))
        if found.ok:
            reasons = {**proposal.reasons, **dict.fromkeys(changes, "otherwise a split holds one class only")}
            return replace(proposal, parameters=parameters, reasons=reasons), found, time.perf_counter() - started
        if ONE_CLASS not in found.reason:
            raise loading.mistake(found)
    raise UserError(f"{found.reason}; no way to split the log was found that leaves both classes in each split")


# What fits


def _able(generators: Sequence[str], least: Mapping[str, int], data: DataOutput) -> tuple[str, ...]:
    """Those that have enough rows of either class to learn from."""
    rate = data.click_rate["train"]
    fewest = round(data.rows["train"] * min(rate, 1 - rate))
    return tuple(name for name in generators if fewest >= least.get(name, 0))


def _settings(offer: _Offer, step: _Step, dataset: str, proposal: Proposal, rows: int) -> dict[str, DatasetSettings]:
    """How the log is read, and the parameters of those methods of a step that suit its size."""
    parameters: dict[str, _Parameters] = {"datasets": {dataset: proposal.parameters}}
    if fitting := next((settings for settings in offer.settings if rows <= settings.rows), None):
        parameters["generators"] = {
            name: fitting.generators[name] for name in step.generators if name in fitting.generators
        }
        parameters["models"] = {name: fitting.models[name] for name in step.models if name in fitting.models}
    return {dataset: DatasetSettings(parameters=parameters)}


def _cost(suite: Suite, loaded: TaskResult, registry: Registry) -> tuple[float, float]:
    """Seconds that a suite takes on this machine, roughly, and bytes of its largest task."""
    [chosen], _ = choices.choose_datasets(suite, registry, may_download=False)
    grid = plan.grid(suite, registry, [(chosen, loaded)], Compute(), NO_LIMITS)
    data = loaded.output_as(DataOutput)
    rows, fields = data.rows["train"], len(json.loads(data.schema)["fields"])
    costs = Costs({})
    told = [(each, costs.of(each)) for each in grid.tasks.values()]
    seconds = sum(cost.seconds if cost else _usual(each, rows, fields) for each, cost in told)
    seconds += OVERHEAD * len(told)
    return seconds / resources.cores(), max((cost.memory for _, cost in told if cost), default=0)


def _usual(task: Task, rows: int, fields: int) -> float:
    """Seconds of a task that does not tell: what slow ones of its kind took, on Frappe and on MovieLens 100K."""
    if task.kind == "score":
        of_pool = isinstance(task.id, ScoreId) and isinstance(task.id.subject, PoolId)
        return 3e-9 * rows**2 if of_pool else 1e-6 * rows
    return (1e-5 if task.kind == "pool" else 2e-6) * rows * fields


# The text


def _told(proposal: Proposal, data: DataOutput, load: float, cost: float, memory: float) -> list[str]:
    """What stands above the suite."""
    rows, rates = data.rows, data.click_rate
    parts = [f"{split} {rows[split]:,} rows, {rates[split]:.2%} clicks" for split in ("train", "valid", "test")]
    time_ = f"the run takes about {counted(max(1, round(cost / 60)), 'minute')} on {counted(resources.cores(), 'core')}"
    lines = [
        "Written by `ctrbench try` from names and values alone: read it before you believe its results.",
        "; ".join(parts),
        f"loading took {load:.1f} s; {time_}" + (f", and up to {in_bytes(memory)} in a worker" if memory else ""),
    ]
    lines += [f"{name} might also be {', or '.join(map(str, others))}" for name, others in proposal.others.items()]
    return lines


def _text(suite: Suite, reasons: Mapping[str, str], told: Sequence[str]) -> str:
    """The suite as TOML, and a comment above each of its data set's parameters for which there is a reason."""
    lines = [*(f"# {plain(line)}" for line in told), ""]
    keys = ("datasets", "generators", "models", "metrics", "scenarios", "repeats", "seed")
    lines += [f"{key} = {toml(getattr(suite, key))}" for key in keys]
    for dataset, settings in suite.on.items():
        for kind, by_name in settings.parameters.items():
            for name, parameters in by_name.items():
                lines += ["", f"[on.{_key(dataset)}.{kind}.{_key(name)}]"]
                why = reasons if kind == "datasets" else {}
                for key, value in parameters.items():
                    lines += [f"# {plain(why[key])}"] if why.get(key) else []
                    lines.append(f"{key} = {toml(value)}")
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    """A name as one part of a table's name in TOML, whatever dots it has."""
    return toml(name) if "." in name else name
