"""Finds, checks and names plug-ins; keeps the broken ones listed.

In: the entry points of the group "ctrbench". Out: a `Registry`; one bad plug-in never stops another.
"""

from __future__ import annotations

import atexit
import dataclasses
import inspect
import json
import math
import os
import re
import sys
import threading
from abc import ABCMeta
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import pluggy

from ctrbench import _guard, _state, hookspecs, installed, params
from ctrbench.asking import NoAnswer, ask
from ctrbench.errors import UserError
from ctrbench.installed import Brought
from ctrbench.interfaces import (
    Aspect,
    Dataset,
    Generator,
    MethodRole,
    Model,
    Plugin,
    PredictionMetric,
    SyntheticMetric,
)
from ctrbench.scenarios import BUILT_IN, Scenario
from ctrbench.text import LINE, bounded, class_name, closest, did_you_mean, encodable, listed, one_line, where

if TYPE_CHECKING:
    from ctrbench.results import CellResult

PluginKind = Literal["dataset", "generator", "model", "metric", "scenario"]
KINDS: tuple[PluginKind, ...] = get_args(PluginKind)
HOME = "ctrbench"

_BASES: dict[PluginKind, tuple[type, ...]] = {
    "dataset": (Dataset,),
    "generator": (Generator,),
    "model": (Model,),
    "metric": (PredictionMetric, SyntheticMetric),
    "scenario": (Scenario,),
}
_HOOKS = (*(f"register_{kind}s" for kind in KINDS), "cell_finished")
_MOST_COMPLAINTS = 20  # about one entry point
_MOST_PLUGINS = 1_000  # of one entry point
_LONGEST_UNIT = 100
_NAME = re.compile(r"[A-Za-z][\w.-]{0,99}", re.ASCII)
_WORDS = ("all", "none")  # which mean something else where a plug-in is named


@dataclass(frozen=True)
class Registered:
    """A plug-in that can be used: a class, or a scenario, and the distribution it came with."""

    kind: PluginKind
    name: str
    thing: Any
    distribution: str
    version: str
    apart: bool = False  # installed by somebody else: the driver asks it in a copy of itself
    python: str = ""  # the interpreter that it is installed for, where that is another one
    source: str = ""  # digest of its source there
    whole_source: str = ""  # with what only some jobs call, as `PluginCall` has it

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})".replace(" )", ")")

    @property
    def foreign(self) -> bool:
        """Whether somebody else wrote it."""
        return self.distribution != HOME

    @property
    def plugin(self) -> type[Plugin]:
        """The plug-in class; TypeError for a scenario, which is data."""
        if isinstance(self.thing, Scenario):
            raise TypeError(f"{self.name} is a scenario, not a plug-in class")
        cls: type[Plugin] = self.thing
        return cls

    @property
    def help(self) -> str:
        """One line of help."""
        text = self.thing.help if isinstance(self.thing, Scenario) else (inspect.getdoc(self.thing) or "")
        return bounded(text.strip().split("\n")[0], LINE)


@dataclass(frozen=True)
class Broken:
    """A plug-in that cannot be used, and why."""

    source: str  # distribution:entry
    distribution: str
    version: str
    error: str
    traceback: str = ""
    name: str = ""  # what it would be called, where that is known
    elsewhere: bool = False  # in an environment, which `ctrbench plugins` knows nothing of


@dataclass
class Registry:
    """What is installed: the usable plug-ins, the broken ones, and whoever listens to finished cells."""

    plugins: list[Registered] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    listeners: list[tuple[str, pluggy.PluginManager]] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)  # versions of other interpreters and their libraries

    def of_kind(self, kind: PluginKind) -> list[Registered]:
        """The plug-ins of one kind, built-in ones first, each in the order of its table of contents."""
        return [plugin for plugin in self.plugins if plugin.kind == kind]

    def get(self, kind: PluginKind, name: str, source: str = "") -> Registered:
        """The plug-in of that name, whatever its case; UserError with a suggestion where there is none."""
        found = _called(name, self.of_kind(kind))
        if not found:
            known = [plugin.name for plugin in self.of_kind(kind)]
            hint = did_you_mean(name, known, "there are")
            if kind == "dataset" and os.path.exists(name):
                hint = "`ctrbench try FILE` writes a suite for a log of your own"
            raise self._missing(kind, name, hint, source)
        return found[0]

    def of_object(self, kind: PluginKind, plugin: Plugin, source: str = "") -> Registered:
        """What a plug-in that was made by hand is: the registered one of its class, or one that is not installed."""
        thing = type(plugin)
        for known in self.of_kind(kind):
            if known.thing is thing:
                return known
            if known.name == getattr(thing, "name", None):
                raise UserError(f"{source}: {thing.__name__}.name is {known.name!r}, which is taken by {known}")
        if complaint := _complaint(kind, thing):
            raise UserError(f"{source}: {complaint}")
        return Registered(kind, thing.name, thing, thing.__module__.split(".")[0], "")

    def named(self, name: str, source: str = "") -> list[Registered]:
        """All plug-ins of that name, whatever their kind and its case; UserError where there is none."""
        found = _called(name, self.plugins)
        if not found:
            close = closest(name, [plugin.name for plugin in self.plugins])
            hint = f"did you mean {close!r}?" if close else "is it installed? `ctrbench list` names what is"
            raise self._missing("plug-in", name, hint, source)
        return found

    def _missing(self, what: str, name: str, hint: str, source: str) -> UserError:
        begin = f"{source}: " if source else ""
        fix = "`ctrbench plugins --traceback` shows where"
        for broken in self.broken:
            if name.casefold() in {broken.name.casefold(), broken.source.rpartition(":")[2].casefold()}:
                shown = where(broken.traceback) if broken.elsewhere else f"; {fix}"
                return UserError(f"{begin}the {what} {name!r} is broken ({broken.source}): {broken.error}{shown}")
        folder = f"ctrbench-{name.replace('_', '-')}"  # as `ctrbench new` calls it
        if name.isidentifier() and os.path.isdir(folder):
            hint = f"the one in {folder} is not installed: `pip install --editable {folder}` does that"
        if self.broken:
            hint += f"; or is it one of the broken plug-ins ({', '.join(b.source for b in self.broken[:3])})?"
        if not all(broken.elsewhere for broken in self.broken):
            hint += f" {fix}"
        return UserError(f"{begin}no {what} {name!r}; {hint}")

    def take_in(self, plugin: Registered) -> None:
        """Add a plug-in that was found elsewhere, unless its name is taken."""
        rivals = [other for other in self.of_kind(plugin.kind) if other.name.casefold() == plugin.name.casefold()]
        if not rivals:
            self.plugins.append(plugin)
            return
        self.broken.append(replace(_without_name(plugin, rivals), elsewhere=True))

    def announce(self, result: CellResult) -> None:
        """Call every `cell_finished`; one that raises is listed as broken and not called again."""
        for source, manager in list(self.listeners):
            heard = ask(lambda manager=manager: manager.hook.cell_finished(result=result))  # type: ignore[misc]
            if isinstance(heard, NoAnswer):
                self.listeners.remove((source, manager))
                self.broken.append(Broken(source, source.split(":")[0], "", heard.error, heard.traceback))


def load_registry(found: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every entry point by itself, check what it registers, and settle names.

    Of what is installed, the modules of others are imported in a copy of this process first, which they may end.
    """
    registry = Registry()
    candidates = [Registered("scenario", scenario.name, scenario, HOME, _version_of_home()) for scenario in BUILT_IN]
    if found is None:
        brought, unreadable = installed.brought(hookspecs.PROJECT)
        registry.broken += [Broken(name, name, "", error) for name, error in unreadable]
    else:
        given = [installed.of(entry, entry.dist) for entry in found]
        brought = list({(one.distribution, one.entry.name): one for one in reversed(given)}.values())[::-1]
    for one in sorted(brought, key=lambda one: (one.distribution != HOME, one.distribution)):
        candidates += _load(one, registry, apart=found is None and one.distribution != HOME)
    _settle_names(candidates, registry)
    return registry


def _called(name: str, plugins: Sequence[Registered]) -> list[Registered]:
    """Those of that name; where there is none, those whose names differ only in case."""
    exact = [plugin for plugin in plugins if plugin.name == name]
    return exact or [plugin for plugin in plugins if plugin.name.casefold() == name.casefold()]


def _load(brought: Brought, registry: Registry, *, apart: bool) -> list[Registered]:
    entry, distribution, version = brought
    source = f"{distribution}:{brought.shown}"
    taken: list[Registered] = []

    def refuse(error: str, details: str = "", name: str = "") -> None:
        said = len(registry.broken) - before
        if said < _MOST_COMPLAINTS:
            error = bounded(error, LINE) if said < _MOST_COMPLAINTS - 1 else "… and so on"
            registry.broken.append(Broken(source, distribution, version, error, details, name))

    before = len(registry.broken)
    if apart:
        tried = ask(lambda: _left_by_loading(brought), apart=True)
        if isinstance(tried, NoAnswer):
            refuse(f"its import {tried.says}", tried.traceback)
            return []
        if tried:
            refuse(f"its import leaves {listed(tried)} changed or running: move that to where it is used")
            return []

    def register(kind: PluginKind, thing: Any) -> None:
        if any(each.thing is thing for each in taken):
            return
        if len(taken) == _MOST_PLUGINS:
            raise ValueError(f"it registers more than {_MOST_PLUGINS:,} plug-ins")
        complaint = ask(lambda: _complaint(kind, thing))
        if isinstance(complaint, NoAnswer):
            refuse(f"{class_name(thing) if type(thing) is ABCMeta else kind}: {complaint.error}", complaint.traceback)
        elif complaint:
            name = getattr(thing, "name", "")
            refuse(complaint, name=name if isinstance(name, str) else "")
        else:
            taken.append(Registered(kind, thing.name, thing, distribution, version, apart))

    def load() -> None:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        loaded = entry.load()
        manager.register(loaded, name=source)
        marked = [name for name in dir(loaded) if manager.parse_hookimpl_opts(loaded, name) is not None]
        unknown = [name for name in marked if name not in _HOOKS]
        if unknown:
            hints = [f"{name!r}, {did_you_mean(name, _HOOKS, 'known are')}" for name in unknown]
            refuse(f"no such hook: {'; '.join(hints)}")
        for kind in KINDS:
            hook = getattr(manager.hook, f"register_{kind}s")
            hook(register=lambda thing, kind=kind: register(kind, thing))
        if manager.hook.cell_finished.get_hookimpls():
            registry.listeners.append((source, manager))
        elif not taken and len(registry.broken) == before:
            if not inspect.ismodule(loaded):
                refuse(f"its entry point names {entry.attr!r} in {entry.module}: name the module, {entry.module!r}")
            else:
                refuse("registers nothing: does it have a function marked @ctrbench.hookimpl?")

    with _state.put_back() if distribution != HOME else nullcontext():
        done = ask(load)
    if isinstance(done, NoAnswer):
        refuse(done.error, done.traceback)
    return taken


def _left_by_loading(brought: Brought) -> list[str]:
    """What an import changes in its process or leaves there, in words; it is done in a copy of this one."""
    watch, package = _state.Watch(), brought.entry.value.split(":")[0].split(".")[0]
    found: list[str] = []

    def noting(register: Callable[..., Any]) -> Callable[..., Any]:
        def note(deed: Any, *more: Any, **named: Any) -> Any:
            if str(sys._getframe(1).f_globals.get("__name__")).split(".")[0] == package:
                found.append("what is done when the process ends")
            return register(deed, *more, **named)

        return note

    places: list[tuple[Any, str]] = [(atexit, "register"), (threading, "_register_atexit")]
    before = [getattr(module, name) for module, name in places]
    for (module, name), register in zip(places, before, strict=True):
        setattr(module, name, noting(register))
    _load(brought, Registry(), apart=False)
    for (module, name), register in zip(places, before, strict=True):
        setattr(module, name, register)
    found += watch.changes(but=_state.OF_WORKERS)
    found += [f"which programs run ({name})" for name in _guard.programs_below(os.getpid())]
    _expect_sound()
    return found[:3]


def _expect_sound() -> None:
    """Raise where hooks that nobody can list keep this process from opening a file or from having a child."""
    with open(os.devnull):
        pass
    if not (child := os.fork()):
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 7:
        raise RuntimeError("a child of its process ends at once")


def _complaint(kind: PluginKind, thing: Any) -> str:
    """What is wrong with a thing that asks to be registered; empty where nothing is."""
    bases = _BASES[kind]
    if kind == "scenario":
        if type(thing) is not Scenario:  # one of its own kind could do anything where a plan is made
            return f"register_scenarios takes a Scenario, not {thing!r}"
        if not (isinstance(thing.name, str) and _NAME.fullmatch(thing.name)):
            return f"{thing.name!r} is not a name of letters, digits, . _ -"
        return f"a scenario cannot be called {thing.name!r}" if thing.name.casefold() in _WORDS else ""
    wanted = " or ".join(base.__name__ for base in bases)
    if not (isinstance(thing, type) and issubclass(thing, Plugin) and issubclass(thing, bases)):
        return f"register_{kind}s takes a subclass of {wanted}, not {thing!r}"
    who, metaclass = class_name(thing), type(thing)
    if metaclass is not ABCMeta:  # it could answer whatever is asked below as it likes
        return f"{who} has a metaclass of its own, {class_name(metaclass)}: it needs that of {wanted}"
    if type(thing.__module__) is not str or thing.__module__ not in sys.modules:
        return f"{who}.__module__ is {thing.__module__!r}, which is not where it stands"
    if "__dataclass_params__" not in vars(thing) or not vars(thing)["__dataclass_params__"].frozen:
        return f"{who} needs its own @dataclass(frozen=True), or its parameters would be lost"
    name = inspect.getattr_static(thing, "name", None)
    if type(name) is not str or not _NAME.fullmatch(name):
        return f"{who}.name is {name!r}: it needs a name of letters, digits, . _ -"
    if name.casefold() in _WORDS:
        return f"{who}.name is {name!r}, which the command line takes for something else: it needs another name"
    if inspect.isabstract(thing):
        return f"{who} lacks {', '.join(sorted(getattr(thing, '__abstractmethods__', ())))}"
    written = vars(thing).get("__doc__") or ""
    if type(written) is not str:
        return f"{who}.__doc__ is a {class_name(type(written))}: it must be a text"
    docstring = written.strip()
    stripped = sys.flags.optimize >= 2  # `python -OO` drops all docstrings
    if not stripped and (not docstring or docstring.startswith(f"{who}(")):  # what @dataclass writes
        return f"{who} needs a docstring: its first line is the help"
    for f in dataclasses.fields(thing):
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            return f"{who}.{f.name} needs a default"
    try:
        params.parameters(thing)
        standard = thing()
        json.dumps(params.values(standard))
        locations = params.locations(standard)
    except Exception as error:
        return f"{who}'s parameters cannot be used: {one_line(error)}"
    if locations and kind != "dataset" and thing.version is Plugin.version:
        return f"{who}.{locations[0]} only says where something lies, so {who} needs a version() that tells what it is"
    if not (_is_number(thing.cpus) and thing.cpus > 0):
        return f"{who}.cpus is {thing.cpus!r}: it must be a number above 0"
    if not (_is_number(thing.gpus) and (0 <= thing.gpus <= 1 or (thing.gpus > 1 and thing.gpus == int(thing.gpus)))):
        return f"{who}.gpus is {thing.gpus!r}: it must be a share of a GPU, from 0 to 1, or a whole number of them"
    if not (isinstance(thing.imports, tuple | list) and all(type(module) is str for module in thing.imports)):
        return f"{who}.imports is {thing.imports!r}: it must be a tuple of modules' names"
    if issubclass(thing, Model) and not isinstance(thing.supports_weights, bool):
        return f"{who}.supports_weights must be True or False"
    if kind == "generator" and not _is_among(getattr(thing, "role", None), list(MethodRole)):
        return f"{who}.role must be MethodRole.CANDIDATE or MethodRole.CONTROL"
    if kind == "metric" and not _is_among(getattr(thing, "better", None), ("higher", "lower", "neither")):
        return f"{who}.better must be 'higher', 'lower' or 'neither'"
    unit = getattr(thing, "unit", None)
    if kind == "metric" and not (type(unit) is str and encodable(unit) == unit and len(unit) <= _LONGEST_UNIT):
        return f"{who}.unit must say what its numbers are, in at most {_LONGEST_UNIT} letters"
    of = getattr(thing, "slice_of", "")
    if kind == "metric" and not (type(of) is str and encodable(of) == of):
        return f"{who}.slice_of must be the name of a metric, or empty"
    if issubclass(thing, SyntheticMetric) and not _is_among(thing.aspect, get_args(Aspect)):
        return f"{who}.aspect must be {' or '.join(map(repr, get_args(Aspect)))}"
    return ""


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast(float, value))


def _is_among(value: object, words: Sequence[str]) -> bool:
    """Whether a value is one of some words, whatever it says itself of being equal to them."""
    return type(value) in (str, MethodRole) and value in words


def _settle_names(candidates: list[Registered], registry: Registry) -> None:
    """A built-in keeps its name against a third party; between third parties neither gets it."""
    claims: dict[tuple[PluginKind, str], list[Registered]] = defaultdict(list)
    for candidate in candidates:
        claims[candidate.kind, candidate.name.casefold()].append(candidate)
    for claimants in claims.values():
        owners = [c for c in claimants if c.distribution == HOME] or claimants
        if len(owners) == 1:
            registry.plugins.append(owners[0])
        for loser in claimants:
            rivals = [other for other in claimants if other is not loser]
            if rivals and (len(owners) > 1 or loser is not owners[0]):
                registry.broken.append(_without_name(loser, rivals))


def _without_name(loser: Registered, rivals: Sequence[Registered]) -> Broken:
    """A plug-in whose name others have."""
    shown = bounded(", ".join(map(str, rivals[:_MOST_COMPLAINTS])), LINE)
    error = f"the {loser.kind} name {loser.name!r} is taken by {shown}"
    return Broken(f"{loser.distribution}:{loser.name}", loser.distribution, loser.version, error, name=loser.name)


def _version_of_home() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(HOME)
    except PackageNotFoundError:  # lent to another environment
        return ""
