"""The way in for Python and the command line alike: `run` does a suite.

In: plug-ins by their names, as on the command line, or as objects; data sets also as data frames. Out: a run in the
store, as `Results`.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from inspect import BoundArguments
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from ctrbench import arguments, choices, interpreters, params, resources
from ctrbench.driver import Driver, Redo, Watcher
from ctrbench.errors import UserError
from ctrbench.executors import EXECUTORS, Executor, WorkerSettings, make_executor
from ctrbench.frames import Frames
from ctrbench.interfaces import Dataset, Generator, Metric, Model, Plugin
from ctrbench.jobs import Compute
from ctrbench.limits import NO_LIMITS, Limits, limits_of
from ctrbench.reading import Results, Some, place_of
from ctrbench.registry import Registry, load_registry
from ctrbench.resources import interrupts_held
from ctrbench.scenarios import Scenario
from ctrbench.store.artefacts import FRAMES
from ctrbench.store.store import Store
from ctrbench.suite import ALL, SECTIONS, Suite, check_scenario_name, checked, load_suite, wanted_names
from ctrbench.text import did_you_mean, encodable, may_be_address

MOST_WORKERS = 1024
"""The most workers, and threads of each, that anybody may ask for."""

Named = str | Plugin | Scenario


def run(
    *,
    datasets: Some[str | Dataset | Frames] | None = None,
    generators: Some[str | Generator] | None = None,
    models: Some[str | Model] | None = None,
    scenarios: Some[str | Scenario] | None = None,
    metrics: Some[str | Metric] | None = None,
    suite: str | Suite = "quick",
    everything: bool = False,
    repeats: int | None = None,
    model_seeds: int | None = None,
    seed: int | None = None,
    budget: float | None = None,
    doses: Some[float] | None = None,
    train_shares: Some[float] | None = None,
    store: str | os.PathLike[str] | None = None,
    executor: str | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    threads: int = 1,
    device: str = "auto",
    timeout: float | Mapping[str, float] | None = None,
    memory: str | None = None,
    retry_failed: bool = False,
    fresh: bool = False,
    progress: bool | Watcher = True,
) -> Results:
    """Run a suite, as `ctrbench run` does, and return its results; what the store has already is not done again.

    Arguments replace what the suite says; `everything` adds all that is installed. A plug-in is a name with parameters,
    "ctgan[epochs=5]", or an object, `Ctgan(epochs=5)`; a data set may also be frames (`from_frames`);
    `generators="none"` runs without pools. `doses` are shares of synthetic rows, each added for positives, negatives
    and both; they replace the suite's scenarios unless some are named. `train_shares` are the shares of train that
    generators and models see. `store` is a path or a database URL, by default `CTRBENCH_STORE` or
    ./ctrbench.db. `executor` is local (worker processes, the default), inline (this process) or ray. `timeout` is in
    seconds, for a task or by stage; `memory` a size such as "8GB". `progress` shows how far the run is.

    UserError if a name or a value cannot be used, RunFailed where no data set loads. A method that fails raises
    nothing: see `Results.failures`. Ctrl-C loses nothing that was finished.
    """
    call = inspect.signature(run).bind(**locals())
    arguments.typed("progress", progress, (bool, Watcher), "True, False, or an object that is a ctrbench.Watcher")
    request, logs = asked(call)
    place = place_of(store)
    if not may_be_address(place) and not os.path.isdir(Path(place).absolute().parent):
        raise UserError(f"store {place}: there is no folder {Path(place).parent}; make it, or name another store")
    with closing(Store.open(place)) as opened:
        request = request.with_frames(logs, opened.artefacts.folder / FRAMES)
        name = request.execute(opened, _command(call), progress)
        return Results(opened.load_run(name), opened.database.shown)


@dataclass(frozen=True)
class RunRequest:
    """A suite and the plug-ins that are installed, and how the work is to be done."""

    suite: Suite
    registry: Registry
    compute: Compute = field(default_factory=Compute)
    limits: Limits = NO_LIMITS
    redo: Redo = Redo.NONE
    executor: str = "local"
    workers: int | None = None
    ray_address: str | None = None
    debug: bool = False  # in this process, with output shown, and the debugger where something fails

    def __post_init__(self) -> None:
        """UserError for numbers that the executor cannot use."""
        arguments.whole("threads", self.compute.threads, 1, MOST_WORKERS)
        if self.workers is not None:
            workers = arguments.whole("workers", self.workers, 1, MOST_WORKERS)
            if self.executor == "inline" and workers > 1:
                raise UserError(f"workers {workers}: the executor inline does one task at a time, in this process")

    def with_frames(self, logs: Sequence[str | Dataset | Frames], folder: Path) -> RunRequest:
        """With these data sets, the frames among them written into a folder; as it is where there are none."""
        taken = wanted_names(each.taken_in(folder) if isinstance(each, Frames) else each for each in logs)
        return replace(self, suite=replace(self.suite, datasets=taken)) if logs else self

    def execute(self, store: Store, command: str, progress: bool | Watcher = False) -> str:
        """Do the work; the run's name. `progress` is whether, or to whom, it is told how far it is."""
        settings = WorkerSettings(
            store.artefacts.folder,
            self.compute.threads,
            self.suite.budget,
            choices.imports(self.suite, self.registry),
            self.debug,
        )
        workers = make_executor(self.executor, self.workers, settings, self.ray_address)
        try:
            with self._watcher(store, workers, progress) as watcher:
                if self.loose_limits:
                    watcher.note(self.loose_limits)
                driver = Driver(
                    self.suite, self.registry, store, workers, self.compute, watcher, self.limits, self.redo
                )
                return driver.run(encodable(command))
        finally:
            with interrupts_held():  # a second Ctrl-C must not cut the cleaning short
                workers.close()

    @property
    def loose_limits(self) -> str:
        """What to tell the user of limits that nobody enforces; "" where there are none.

        A suite's timeout of whole tasks is no news: it is the guard of an unattended run.
        """
        by_suite = any(on.limits.memory or on.limits.stages for on in self.suite.on.values())
        if self.executor != "inline" or not (by_suite or self.limits.seconds):
            return ""
        return (
            "executor inline: nobody can stop a task there: limits of memory and of stages do not hold, and a task's "
            "timeout only where a plug-in keeps to it"
        )

    def _watcher(self, store: Store, workers: Executor, progress: bool | Watcher) -> Watcher:
        if isinstance(progress, Watcher):
            return progress
        if not progress:
            return Watcher()
        from ctrbench.costs import Costs
        from ctrbench.progress import PlainWatcher, make_watcher

        return (PlainWatcher if self.debug else make_watcher)(workers.slots, Costs(store.spent(), self.compute.threads))


def asked(call: BoundArguments) -> tuple[RunRequest, list[str | Dataset | Frames]]:
    """What a call of `run` asks for, and the data sets that it names; UserError where that cannot be done."""
    given = call.arguments
    for name in ("everything", "retry_failed", "fresh"):
        arguments.flag(name, given[name])
    named = {section: _several(section, given[section]) for section in SECTIONS if given[section] is not None}
    plain = {section: [each for each in some if not isinstance(each, Frames)] for section, some in named.items()}
    request = prepare(
        given["suite"],
        plain,
        {name: given[name] for name in ("repeats", "model_seeds", "seed", "budget")},
        {name: _numbers(name, given[name]) for name in ("doses", "train_shares")},
        everything=given["everything"],
        compute=compute_on(given["device"], given["threads"], given["executor"]),
        limits=limits_of(given["timeout"], given["memory"], "run"),
        redo=Redo.ALL if given["fresh"] else Redo.FAILED if given["retry_failed"] else Redo.NONE,
        **{name: given[name] for name in ("executor", "workers", "ray_address")},
    )
    # the plan refuses a plug-in of another kind by its name
    return request, cast("list[str | Dataset | Frames]", named.get("datasets", []))


def prepare(
    suite: str | Suite,
    selection: Mapping[str, Sequence[Named]],
    numbers: Mapping[str, int | float | None],
    axes: Mapping[str, Sequence[float]] = MappingProxyType({}),
    *,
    everything: bool = False,
    registry: Registry | None = None,
    compute: Compute | None = None,
    limits: Limits = NO_LIMITS,
    redo: Redo = Redo.NONE,
    executor: str | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
) -> RunRequest:
    """The request that a suite becomes with what a user says; UserError where that cannot be done.

    `selection` maps a suite's sections to what takes their place, `numbers` its numbers, None for the suite's own,
    `axes` its lists of numbers, empty for the suite's own.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(arguments.typed("suite", suite, str, "the name of a suite, a .toml file, or a Suite"))
    changes: dict[str, Any] = {section: (*getattr(suite, section), ALL) for section in SECTIONS if everything}
    own = [each for each in selection.get("scenarios", ()) if isinstance(each, Scenario)]
    for section, names in selection.items():
        changes[section] = wanted_names(each.name if isinstance(each, Scenario) else each for each in names)
    if selection.get("datasets") and not changes["datasets"]:
        raise UserError("datasets: none leaves nothing to run on; name one, or leave it out for the suite's own")
    for scenario in own:
        check_scenario_name(scenario.name, "scenarios")
    if own:
        changes["own_scenarios"] = (*suite.own_scenarios, *own)
    changes |= {name: arguments.native(number) for name, number in numbers.items() if number is not None}
    changes |= {name: tuple(shares) for name, shares in axes.items() if shares}
    if "doses" in changes:
        changes.setdefault("scenarios", ())
    wanted = checked(replace(suite, **changes), "run")
    registry = interpreters.joined(registry or load_registry(), wanted.environments)
    choices.check_settings(wanted, registry)
    if ("scenarios" in selection or wanted.doses) and not wanted.generators:
        choices.check_pools(wanted, registry)
    if executor is not None:
        arguments.typed("executor", executor, str, f"one of {', '.join(EXECUTORS)}")
    if ray_address is not None:
        arguments.typed("ray_address", ray_address, str, "HOST:PORT of a cluster's head, or 'auto'")
    place = executor or ("inline" if _lives_here(wanted) else "local")
    if place not in EXECUTORS:
        raise UserError(f"executor {place!r}: {did_you_mean(place, EXECUTORS, 'there are')}")
    if place != "inline" and _lives_here(wanted):
        raise UserError(f"executor {place!r}: a plug-in is defined in the main script, which workers cannot import")
    if place != "inline" and multiprocessing.current_process().daemon:
        raise UserError(
            f"executor {place!r}: this process may start no workers: it is a daemon of multiprocessing, as Pool's are; "
            "use concurrent.futures.ProcessPoolExecutor, or executor='inline'"
        )
    if place == "inline" and (limits.memory or limits.stages):
        raise UserError("executor inline: nobody can stop a task there; leave out memory and the timeouts of stages")
    if ray_address is not None and place != "ray":
        raise UserError(f"ray address {ray_address}: only with the executor ray")
    return RunRequest(wanted, registry, compute or Compute(), limits, redo, place, workers, ray_address)


def compute_on(device: str, threads: int, executor: str | None) -> Compute:
    """Where the arithmetic runs; UserError for a device that is not there, except on the nodes of a cluster."""
    arguments.typed("device", device, str, "auto, cpu, cuda or cuda:N")
    threads = arguments.whole("threads", threads, 1, MOST_WORKERS)
    if executor == "ray" and device.startswith("cuda:"):
        raise UserError(f"device {device}: on a Ray cluster each task is given its GPU; use cuda")
    elsewhere = executor == "ray" and device == "cuda"  # the nodes have it, not necessarily this machine
    return Compute(device if elsewhere else resources.resolve_device(device), threads)


_EMPTY = {"generators": "'none' for no pools", "scenarios": "'original' for real train alone"}
"""What an empty list may have been meant to say."""


def _several(section: str, value: object) -> list[Named | Frames]:
    """What is to stand in a section; UserError for what is nothing of the kind."""
    found: list[Named | Frames] = []
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, str | (Scenario if section == "scenarios" else Plugin)):
            found.append(each)
        elif isinstance(each, Frames) and section == "datasets":
            if any(isinstance(other, Frames) and other.name == each.name for other in found):
                raise UserError(f"datasets: two are called {each.name!r}; give from_frames a name= for each")
            found.append(each)
        elif isinstance(each, type) and issubclass(each, Plugin):
            raise UserError(f"{section}: {each.__name__} is a class; give {each.__name__}(), an object")
        else:
            hint = "; `ctrbench.from_frames` makes a data set of it" if hasattr(each, "columns") else ""
            kind = "scenario" if section == "scenarios" else "plug-in"
            raise UserError(f"{section}: {arguments.shown(each)} is neither a name nor a {kind}{hint}")
    if not found:
        instead = _EMPTY.get(section, "leave it out for the suite's own")
        raise UserError(f"{section}=[]: give at least one, or {instead}")
    return found


def _numbers(name: str, value: object) -> list[float]:
    """The numbers of an axis; none where it is not given."""
    some = () if value is None else value if isinstance(value, list | tuple) else (value,)
    if value is not None and not some:
        raise UserError(f"{name}=[]: give at least one number, or leave it out")
    return [arguments.number(name, each, "numbers, as in [0.25, 0.5, 1]") for each in some]


def _lives_here(suite: Suite) -> bool:
    """Whether a plug-in that was given as an object is defined in the main script or a notebook."""
    made = [each for section in SECTIONS for each in getattr(suite, section)]
    return any(isinstance(each, Plugin) and type(each).__module__ == "__main__" for each in made)


def _command(call: BoundArguments) -> str:
    """The call as it is recorded."""
    said = (
        f"{name}={_shown(value)}"
        for name, value in call.arguments.items()
        if name != "progress" and value is not None and value is not False
    )
    return f"ctrbench.run({', '.join(said)})"


def _shown(value: object) -> str:
    match value:
        case Plugin():
            return params.label(value, params.changed(value))
        case Frames() | Scenario() | Suite():
            return value.name
        case list() | tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case _:
            return repr(value)
