"""The way in for Python and the command line alike: `run` does a suite, `load` reads a run; both give `Results`.

In: plug-ins by their names, as on the command line, or as objects; data sets also as data frames. Out: a run, in the
store and as data frames, findings, a report.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from ctrbench import arguments, choices, params, resources
from ctrbench.driver import Driver, Redo, Watcher
from ctrbench.errors import UserError
from ctrbench.executors import EXECUTORS, Executor, WorkerSettings, interrupts_held, make_executor
from ctrbench.frames import Frames
from ctrbench.interfaces import Dataset, Generator, Metric, Model, Plugin
from ctrbench.jobs import Compute
from ctrbench.limits import NO_LIMITS, Limits, limits_of
from ctrbench.registry import Registry, load_registry
from ctrbench.scenarios import Scenario
from ctrbench.store.store import RunResults, Store
from ctrbench.suite import ALL, SECTIONS, Suite, check_scenario_name, checked, load_suite
from ctrbench.text import counted, did_you_mean, encodable, may_be_address

if TYPE_CHECKING:
    import pandas as pd

    from ctrbench.findings import Finding
    from ctrbench.verdict import Verdict

STORE = "ctrbench.db"
"""The store where none is named, beside which its artefacts lie."""

MOST_WORKERS = 1024
"""The most workers, and threads of each, that anybody may ask for."""

T = TypeVar("T")
Some: TypeAlias = T | Sequence[T]
"""One, or several in a list or tuple."""
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
    `generators="none"` runs without pools. `store` is a path or a database URL, by default `CTRBENCH_STORE` or
    ./ctrbench.db. `executor` is local (worker processes, the default), inline (this process) or ray. `timeout` is in
    seconds, for a task or by stage; `memory` a size such as "8GB". `progress` shows how far the run is.

    UserError if a name or a value cannot be used. A method that fails raises nothing: see `Results.failures`. Ctrl-C
    loses nothing that was finished.
    """
    given = {name: value for name, value in locals().items() if value is not None and name != "progress"}
    arguments.typed("progress", progress, (bool, Watcher), "True, False, or an object that is a ctrbench.Watcher")
    for flag in ("everything", "retry_failed", "fresh"):
        arguments.flag(flag, given[flag])
    named = {section: _several(section, given[section]) for section in SECTIONS if section in given}
    logs = named.get("datasets", [])
    plain = {section: [each for each in some if not isinstance(each, Frames)] for section, some in named.items()}
    request = prepare(
        suite,
        plain,
        {"repeats": repeats, "model_seeds": model_seeds, "seed": seed, "budget": budget},
        everything=everything,
        compute=compute_on(device, threads, executor),
        limits=limits_of(timeout, memory, "run"),
        redo=Redo.ALL if fresh else Redo.FAILED if retry_failed else Redo.NONE,
        executor=executor,
        workers=workers,
        ray_address=ray_address,
    )
    place = _place(store)
    if not may_be_address(place) and not Path(place).absolute().parent.is_dir():
        raise UserError(f"store {place}: there is no folder {Path(place).parent}; make it, or name another store")
    with closing(Store.open(place)) as opened:
        if logs:
            folder = opened.artefacts.folder / "frames"
            taken = [each.taken_in(folder) if isinstance(each, Frames) else each for each in logs]
            datasets = cast("list[str | Dataset]", taken)  # the plan refuses a plug-in of another kind by its name
            request = replace(request, suite=replace(request.suite, datasets=tuple(datasets)))
        name = request.execute(opened, _command(given), progress)
        return Results(opened.load_run(name), opened.database.shown)


def load(store: str | os.PathLike[str] | None = None, run: str | None = None) -> Results:
    """A run that a store holds, the latest where none is named; UserError where it, or the store, is not there."""
    if run is not None:
        arguments.typed("run", run, str, "the name of a run, or None for the latest")
    with closing(Store.open(_place(store), create=False)) as opened:
        return Results(opened.load_run(run), opened.database.shown)


def default_store() -> str:
    """The store that is used where none is named."""
    return os.environ.get("CTRBENCH_STORE") or STORE


@dataclass(frozen=True)
class Results:
    """A run, finished or not, and all that can be read from it."""

    stored: RunResults = field(repr=False)
    store: str = ""  # where it was read, without a password

    def __repr__(self) -> str:
        size = f"{counted(len(self.stored.cells), 'cell')}, {counted(len(self.stored.pools), 'pool')}"
        return f"<Results of run {self.run}{f' in {self.store}' if self.store else ''}: {size}>"

    @property
    def run(self) -> str:
        """The run's name in its store."""
        return self.stored.run

    def frame(self, what: str, metric: str = "") -> pd.DataFrame:
        """A tidy table: one row a thing, one column a number.

        `what` is scenarios, generators, privacy, fidelity, cost, cells or pools (`ctrbench.tidy` says what each holds).
        `metric` is the prediction metric of scenarios and generators, by default the run's first.
        """
        from ctrbench import tidy

        arguments.typed("frame", what, str, f"one of {', '.join(tidy.FRAMES)}")
        if what not in tidy.FRAMES:
            raise UserError(f"frame: no table {what!r}; {did_you_mean(what, tidy.FRAMES, 'there are')}")
        return tidy.FRAMES[what](self.stored, self._metric(metric))

    @cached_property
    def verdict(self) -> list[Verdict]:
        """What the run answers, for each data set, in its leading metric; `print(results.answer())` shows it."""
        from ctrbench.verdict import verdicts

        return verdicts(self.stored)

    def answer(self, metric: str = "", *, width: int = 80, colour: bool = False) -> str:
        """The verdict and one board for each data set, as `ctrbench run` ends with them.

        A run without generators has no verdict: its scores are its answer.
        """
        from ctrbench import reporters

        if not any(cell.generator for cell in self.stored.cells):
            return self.leaderboards("scenarios", metric, colour=colour)
        return reporters.answer(self.stored, self._metric(metric), width=width, colour=colour)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the run says of each scenario, for each data set, in its leading metric."""
        from ctrbench.effects import Effects
        from ctrbench.findings import findings

        info = self.stored.info
        return [each for name in info.datasets for each in findings(Effects(self.stored, name, info.leading_metric))]

    @property
    def failures(self) -> list[str]:
        """A line for each failed task, with how many cells it cost."""
        from ctrbench import leaderboard

        return leaderboard.failures(self.stored)

    @property
    def sound(self) -> bool:
        """Whether nothing failed: no task, no data set, no plug-in that was to be run."""
        return not (self.failures or self.stored.info.broken or self.stored.info.failed_data)

    def leaderboards(
        self, views: Some[str] = (), metric: str = "", style: str = "table", *, colour: bool = False
    ) -> str:
        """The leaderboards as text: as a table, markdown, csv, json or latex; `colour` is for terminals."""
        from ctrbench import leaderboard, reporters

        some = [views] if isinstance(views, str) else views
        for name in arguments.typed("views", some, (list, tuple), "names in a list"):
            arguments.typed("views", name, str, f"some of {', '.join(leaderboard.VIEWS)}")
        arguments.typed("style", style, str, f"one of {', '.join(reporters.FORMATS)}")
        return reporters.leaderboards(
            self.stored, some or leaderboard.DEFAULT_VIEWS, self._metric(metric), style, colour=colour
        )

    def report(self, file: str | os.PathLike[str], metric: str = "", *, force: bool = False) -> Path:
        """Write the run as one page of HTML that opens offline; `force` writes over a file that exists."""
        from ctrbench.files import refuse_existing, whole_file
        from ctrbench.report import page

        path = Path(arguments.path("file", file, "a path, as in 'report.html'"))
        if not arguments.flag("force", force):
            refuse_existing(path, "say force=True")
        text = page(self.stored, self._metric(metric)).encode()
        with whole_file(path) as target:
            target.write(text)
        return path

    def _metric(self, name: str) -> str:
        known = {metric.casefold(): metric for metric in self.stored.info.prediction_metrics}
        arguments.typed("metric", name, str, f"one of {', '.join(known.values())}")
        if name and name.casefold() not in known:
            raise UserError(f"metric {name!r}: {did_you_mean(name, known.values(), 'this run has')}")
        return known.get(name.casefold()) or self.stored.info.leading_metric

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and the scenarios' table."""
        from markupsafe import Markup

        said = Markup("").join(Markup("<li>{}</li>").format(line) for each in self.verdict for line in each.lines)
        table = self.frame("scenarios").to_html(index=False, float_format="{:.5f}".format, na_rep="", escape=True)
        return Markup("<p>ctrbench run {}</p><ul>{}</ul>").format(self.run, said) + Markup(table)


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
        """UserError for numbers that no executor could use."""
        arguments.whole("threads", self.compute.threads, 1, MOST_WORKERS)
        if self.workers is not None:
            arguments.whole("workers", self.workers, 1, MOST_WORKERS)

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
                driver = Driver(
                    self.suite, self.registry, store, workers, self.compute, watcher, self.limits, self.redo
                )
                return driver.run(encodable(command))
        finally:
            with interrupts_held():  # a second Ctrl-C must not cut the cleaning short
                workers.close()

    def _watcher(self, store: Store, workers: Executor, progress: bool | Watcher) -> Watcher:
        if isinstance(progress, Watcher):
            return progress
        if not progress:
            return Watcher()
        from ctrbench.costs import Costs
        from ctrbench.progress import PlainWatcher, make_watcher

        return (PlainWatcher if self.debug else make_watcher)(workers.slots, Costs(store.spent(), self.compute.threads))


def prepare(
    suite: str | Suite,
    selection: Mapping[str, Sequence[Named]],
    numbers: Mapping[str, int | float | None],
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

    `selection` maps a suite's sections to what takes their place, `numbers` its numbers, None for the suite's own.
    """
    if not isinstance(suite, Suite):
        suite = load_suite(arguments.typed("suite", suite, str, "the name of a suite, a .toml file, or a Suite"))
    changes: dict[str, Any] = {section: (*getattr(suite, section), ALL) for section in SECTIONS if everything}
    own = [each for each in selection.get("scenarios", ()) if isinstance(each, Scenario)]
    for section, names in selection.items():
        plain = tuple(_keyword(each.name if isinstance(each, Scenario) else each) for each in names)
        changes[section] = () if plain == ("none",) else plain
    for scenario in own:
        check_scenario_name(scenario.name, "scenarios")
    if own:
        changes["own_scenarios"] = (*suite.own_scenarios, *own)
    changes |= {name: arguments.native(number) for name, number in numbers.items() if number is not None}
    wanted = checked(replace(suite, **changes), "run")
    registry = registry or load_registry()
    choices.check_settings(wanted, registry)
    if "scenarios" in selection and not wanted.generators:
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
    if place == "inline" and (limits.memory or limits.stages):
        raise UserError("executor inline: nobody can stop a task there; leave out memory and the timeouts of stages")
    if ray_address is not None and place != "ray":
        raise UserError(f"ray address {ray_address}: only with the executor ray")
    return RunRequest(wanted, registry, compute or Compute(), limits, redo, place, workers, ray_address)


def _keyword(named: str | Plugin) -> str | Plugin:
    """The words all and none, however they are written; any other name as it is."""
    return named.lower() if isinstance(named, str) and named.lower() in (ALL, "none") else named


def compute_on(device: str, threads: int, executor: str | None) -> Compute:
    """Where the arithmetic runs; UserError for a device that is not there, except on the nodes of a cluster."""
    arguments.typed("device", device, str, "auto, cpu, cuda or cuda:N")
    threads = arguments.whole("threads", threads, 1, MOST_WORKERS)
    if executor == "ray" and device.startswith("cuda:"):
        raise UserError(f"device {device}: on a Ray cluster each task is given its GPU; use cuda")
    elsewhere = executor == "ray" and device == "cuda"  # the nodes have it, not necessarily this machine
    return Compute(device if elsewhere else resources.resolve_device(device), threads)


def _place(store: str | os.PathLike[str] | None) -> str:
    """The store that is meant."""
    wanted = "a path or the URL of a database, as in 'results.db'"
    return default_store() if store is None else arguments.path("store", store, wanted)


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


def _lives_here(suite: Suite) -> bool:
    """Whether a plug-in that was given as an object is defined in the main script or a notebook."""
    made = [each for section in SECTIONS for each in getattr(suite, section)]
    return any(isinstance(each, Plugin) and type(each).__module__ == "__main__" for each in made)


def _command(given: Mapping[str, object]) -> str:
    """The call as it is recorded."""
    said = (f"{name}={_shown(value)}" for name, value in given.items() if value is not False)
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
