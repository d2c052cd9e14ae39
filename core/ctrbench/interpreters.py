"""Plug-ins that are installed elsewhere: an interpreter of their own does their jobs, as their pins conflict with ours.

In: the interpreters that a suite names. Out: what is installed there, registered as if it were here; and the results of
jobs done there. It is lent this package's own source, needs numpy, pandas, pyarrow, pluggy, psutil, threadpoolctl
and annotated-types, and shares with us the files of the store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import pickle
import platform
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from ctrbench import asking, digests, environment
from ctrbench.errors import UserError
from ctrbench.hookspecs import PROJECT
from ctrbench.interfaces import Generator, Model, Plugin, PredictionMetric, SyntheticMetric
from ctrbench.registry import HOME, Broken, PluginKind, Registered, Registry, load_registry
from ctrbench.text import how_it_ended, listed, one_line

KINDS: Mapping[PluginKind, tuple[type[Plugin], ...]] = {
    "generator": (Generator,),
    "model": (Model,),
    "metric": (PredictionMetric, SyntheticMetric),
}
"""What may live elsewhere. A data set may not: it is asked for too much before anything runs."""

_TOLD = ("name", "cpus", "gpus", "role", "supports_weights", "better", "unit", "aspect", "slice_of")
"""What a class declares."""
_NOT_ASKED = ("version", "equivalent")  # methods that would be needed here, before a job

_NEEDS = ("numpy", "pandas", "pyarrow", "pluggy", "psutil", "threadpoolctl", "annotated-types")
"""What this package's source imports where it is lent."""

_PARTING = 5.0  # seconds that an interpreter which says no more has to end

_LEND = """
import sys
if sys.version_info < (3, 11):
    sys.exit("it is Python %d.%d.%d, and must be 3.11 or newer" % sys.version_info[:3])
import importlib.util
folder, module, line = sys.argv[1:]
spec = importlib.util.spec_from_file_location("ctrbench", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["ctrbench"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
importlib.import_module(module).main(int(line))
"""
"""Imports our `ctrbench` and nothing else of ours, whatever lies beside it."""


@dataclass(frozen=True)
class Told:
    """What is to be known here of a plug-in that is installed there; its class is not."""

    kind: PluginKind
    base: str
    module: str
    qualname: str
    help: str
    fields: list[tuple[str, Any, Any]]  # name, annotation, default
    declared: dict[str, str | float]
    distribution: str
    version: str
    source: str
    whole_source: str

    @classmethod
    def of(cls, registered: Registered) -> Told:
        """What this process, which is the interpreter there, tells of a plug-in; ValueError where that cannot be."""
        thing = registered.plugin
        base = next(each for each in KINDS[registered.kind] if issubclass(thing, each))
        for method in _NOT_ASKED:
            if getattr(thing, method, None) is not getattr(base, method, None):
                raise ValueError(f"its {method}() is asked before anything runs, which another environment is not")
        hints = get_type_hints(thing, include_extras=True)
        defaults = thing()
        source, whole_source = digests.source_digests(thing.__module__)
        return cls(
            registered.kind,
            base.__name__,
            thing.__module__,
            thing.__qualname__,
            inspect.getdoc(thing) or "",
            [(each.name, hints[each.name], getattr(defaults, each.name)) for each in dataclasses.fields(thing)],
            {name: getattr(thing, name) for name in _TOLD if hasattr(thing, name)},
            registered.distribution,
            registered.version,
            source or registered.version,
            whole_source,
        )

    def registered(self, python: str) -> Registered:
        """The plug-in as it is known here: its parameters, and a promise that the interpreter there does its jobs."""
        base = next(each for each in KINDS[self.kind] if each.__name__ == self.base)
        abstract = (name for name in dir(base) if getattr(getattr(base, name), "__isabstractmethod__", False))
        absent = dict.fromkeys(abstract, _absent)
        fields = [(name, hint, field(default=default)) for name, hint, default in self.fields]
        body = {"__doc__": self.help, "__module__": self.module, **self.declared, **absent}
        thing = dataclasses.make_dataclass(
            self.qualname.rpartition(".")[2], fields, bases=(base,), namespace=body, frozen=True
        )
        thing.__module__, thing.__qualname__ = self.module, self.qualname
        return Registered(
            self.kind,
            str(self.declared["name"]),
            thing,
            self.distribution,
            self.version,
            python=python,
            source=self.source,
            whole_source=self.whole_source,
        )


@dataclass(frozen=True)
class Inventory:
    """What is installed there."""

    plugins: Sequence[tuple[Broken, bytes]]  # each pickled `Told`, and what to list where that cannot be read here
    broken: Sequence[Broken]
    versions: Mapping[str, str]  # of Python, and of libraries on which results may depend


def joined(registry: Registry, environments: Mapping[str, str]) -> Registry:
    """The registry with what is installed for these interpreters, by name; UserError where one cannot be asked."""
    both = Registry([*registry.plugins], [*registry.broken], [*registry.listeners], {**registry.elsewhere})
    for name, python in environments.items():
        there = _asked(name, python)
        both.elsewhere |= {f"{name}: {library}": version for library, version in there.versions.items()}
        both.broken += [_elsewhere(broken, name) for broken in there.broken]
        for fallen, pickled in there.plugins:
            try:
                both.take_in(pickle.loads(pickled).registered(python))
            except Exception as error:  # a parameter's type or default is a class that is only there
                both.broken.append(_elsewhere(dataclasses.replace(fallen, error=one_line(error)), name))
    return both


def _elsewhere(broken: Broken, environment: str) -> Broken:
    return dataclasses.replace(broken, source=f"{environment}: {broken.source}", elsewhere=True)


class EndedError(Exception):
    """An interpreter ended during a task: its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(how_it_ended(status))
        self.status = status


class MuteError(Exception):
    """An interpreter lives on, and can say nothing of its task any more."""


def perform(python: str, job: object, **settings: Any) -> Iterator[tuple[Any, ...]]:
    """Have a job done there; what is said of it, ("stage", …), ("progress", …) and at last ("done", its result).

    The process ends with this iterator. EndedError where it ended before, MuteError where it can say no more, OSError
    where it cannot be started.
    """
    with _started(python, "ctrbench.perform") as (line, process):
        try:
            line.send((job, settings))
            while True:
                words = _next_words(line, process)
                yield words
                if words[0] == "done":
                    return
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise EndedError(process.wait(_PARTING)) from None
            raise MuteError("the interpreter closed its line to the worker") from None


def _next_words(line: Connection, process: subprocess.Popen[bytes]) -> tuple[Any, ...]:
    """What it says next; EOFError where it has ended, though something that it started may hold the line open."""
    while not line.poll(1):
        if process.poll() is not None and not line.poll():
            raise EOFError
    words: tuple[Any, ...] = line.recv()
    return words


def main(line: int) -> None:
    """Tell of what is installed here; the process that was started to be asked."""
    entries = [each for each in entry_points(group=PROJECT) if each.dist and each.dist.name != HOME]
    found = load_registry(entries)
    plugins, broken = [], [*found.broken]
    for registered in found.plugins:
        if registered.distribution == HOME:  # a scenario that every registry has
            continue
        source = f"{registered.distribution}:{registered.name}"
        fallen = Broken(source, registered.distribution, registered.version, "", name=registered.name)
        try:
            if registered.kind not in KINDS:
                raise ValueError(f"a {registered.kind} cannot live in an environment of its own")
            plugins.append((fallen, pickle.dumps(Told.of(registered), protocol=4)))
        except Exception as error:
            broken.append(dataclasses.replace(fallen, error=one_line(error)))
    libraries = environment.libraries(sorted({registered.distribution for registered in found.plugins}))
    libraries.pop(HOME, None)  # ours is lent
    Connection(line).send(Inventory(plugins, broken, {"python": platform.python_version(), **libraries}))


def _absent(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("this plug-in lives in another environment, where its jobs are done")


def _asked(name: str, python: str) -> Inventory:
    """What an environment tells of itself, whose plug-ins may do anything meanwhile."""
    where = f"environments.{name}: python={python!r}"
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        raise UserError(f"{where} is no program; make the environment first, as in `python3.12 -m venv FOLDER`")
    told = asking.ask(lambda: _inventory(python), apart=True)
    if isinstance(told, asking.NoAnswer):
        raise UserError(f"{where} {told.mistake or f'cannot tell what is installed there: it {told.says}'}")
    return told


def _inventory(python: str) -> Inventory:
    """What an interpreter tells of itself; UserError where it is none, or ends before."""
    try:
        with _started(python, __name__, stderr=subprocess.PIPE) as (line, process):
            with contextlib.suppress(Exception):  # half an answer, or no pickle
                told = line.recv()
                if isinstance(told, Inventory):
                    return told
            _kill(process)
            said = ""
            with contextlib.suppress(subprocess.TimeoutExpired):  # another process may hold it open
                said = process.communicate(timeout=5)[1].decode(errors="replace").strip().rpartition("\n")[2]
    except OSError as error:
        raise UserError(f"cannot be started: {error.strerror or error}; name a Python interpreter") from None
    needs = f"; it needs {listed(_NEEDS)}" if said.startswith("ModuleNotFoundError") else ""
    raise UserError(f"cannot tell what is installed there: {said or how_it_ended(process.returncode)}{needs}")


@contextlib.contextmanager
def _started(
    python: str, module: str, stderr: int | None = None
) -> Iterator[tuple[Connection, subprocess.Popen[bytes]]]:
    """The other interpreter at the `main` of a module of ours, with a line to it; it ends with the context."""
    ours, theirs = socket.socketpair()
    folder = os.fspath(Path(__file__).parent)
    with theirs:
        process = subprocess.Popen(
            [python, "-I", "-B", "-c", _LEND, folder, module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    line = Connection(ours.detach())
    try:
        yield line, process
    finally:
        line.close()
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
