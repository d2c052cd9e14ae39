"""What a suite names becomes plug-ins with their parameters set: data sets, generators, models, metrics, scenarios.

In: a suite and the registry. Out: `Chosen` plug-ins and scenarios; UserError for a name or value that cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ctrbench import params
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset, Missing, Ready
from ctrbench.jobs import PluginCall
from ctrbench.registry import KINDS, Kind
from ctrbench.scenarios import Scenario
from ctrbench.suite import ALL
from ctrbench.text import did_you_mean, one_line

if TYPE_CHECKING:
    from ctrbench.registry import Registered, Registry
    from ctrbench.suite import On, Suite


@dataclass(frozen=True)
class Chosen:
    """A plug-in as it was chosen: its parameters set, and the label under which tables show it."""

    registered: Registered
    plugin: Any
    label: str

    @cached_property
    def call(self) -> PluginCall:
        """How any process makes it."""
        return PluginCall.of(self.registered, self.plugin)


def choose_datasets(suite: Suite, registry: Registry, *, download: bool) -> tuple[list[Chosen], list[str]]:
    """The data sets of a run, and the reasons why "all" left some out; UserError for one that cannot be loaded."""
    chosen, left_out = [], []
    for found in choose(suite, registry, "dataset"):
        state = availability(found.plugin)
        if isinstance(state, Missing):
            if not is_named(found, suite):
                left_out.append(f"{found.registered.name}: {state.reason}")
                continue
            if not (state.download and download):
                raise UserError(f"-d {found.registered.name}: {state.reason}")
        chosen.append(found)
    if not chosen:
        raise UserError(f"no data set is ready: {'; '.join(left_out)}")
    names = [found.plugin.name for found in chosen]  # a log may have a name of its own
    return [
        Chosen(found.registered, found.plugin, name if names.count(name) == 1 else found.label)
        for found, name in zip(chosen, names, strict=True)
    ], left_out


def is_named(dataset: Chosen, suite: Suite) -> bool:
    """Whether somebody asked for a data set by its name, rather than for all."""
    return dataset.registered.name in [params.parse(name).name for name in suite.datasets]


def availability(plugin: Dataset) -> Ready | Missing:
    """Whether a data set is at hand; one that cannot even tell is not."""
    try:
        state: object = plugin.availability()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a third party's, which may even call sys.exit
        return Missing(f"its availability() raised {one_line(error)}")
    return state if isinstance(state, Ready | Missing) else Missing(f"its availability() returned {state!r}")


def choose_scenarios(suite: Suite, registry: Registry) -> list[Scenario]:
    """The scenarios of a suite, its own among them; `original` always comes first, as all else is compared with it."""
    installed = {entry.name: entry.thing for entry in registry.of_kind("scenario")}
    for scenario in suite.own_scenarios:
        if scenario.name in installed:
            raise UserError(f"suite {suite.name}: the scenario name {scenario.name!r} is taken; choose another")
        installed[scenario.name] = scenario
    names = _expand(suite.scenarios, installed)
    for name in names:
        if name not in installed:
            raise UserError(f"-s: no scenario {name!r}; {did_you_mean(name, installed, 'there are')}")
    return [installed[name] for name in dict.fromkeys(["original", *names])]


def check_settings(suite: Suite, registry: Registry) -> None:
    """UserError where a suite's settings name a data set or plug-in that is not installed."""
    for dataset, on in suite.on.items():
        registry.get("dataset", dataset, f"suite {suite.name}: on")
        for kinds, by_name in on.parameters.items():
            for name in by_name:
                registry.get(_kind(kinds), name, f"suite {suite.name}: on.{dataset}.{kinds}")


def imports(suite: Suite, registry: Registry) -> tuple[str, ...]:
    """The heavy modules that the plug-ins of a suite import when they are used."""
    kinds = ("dataset", "generator", "model", "metric")
    chosen = [found for kind in kinds for found in choose(suite, registry, kind)]
    return tuple(dict.fromkeys(module for found in chosen for module in found.plugin.imports))


def choose(suite: Suite, registry: Registry, kind: Any, on: On | None = None) -> list[Chosen]:
    """The plug-ins of a kind, with their parameters; the same one under the same label only once."""
    wanted = _expand(getattr(suite, f"{kind}s"), [registered.name for registered in registry.of_kind(kind)])
    chosen: dict[str, Chosen] = {}
    for text in wanted:
        spec = params.parse(text, _flag(kind))
        registered = registry.get(kind, spec.name, _flag(kind))
        settings = (on or suite.settings(spec.name)).of(kind, spec.name)
        plugin = params.build(registered.plugin, str(registered), settings, spec.values)
        label = params.label(plugin, spec.values)
        chosen[label] = Chosen(registered, params.scaled(plugin, suite.budget), label)
    return list(chosen.values())


def _expand(names: tuple[str, ...], installed: Iterable[str]) -> list[str]:
    """The names given, with "all" replaced by those of the installed ones that are not among them."""
    named = [params.parse(name).name for name in names if name != ALL]
    others = [name for name in installed if name not in named]
    return [name for given in names for name in (others if given == ALL else [given])]


def _kind(kinds: str) -> Kind:
    return next(kind for kind in KINDS if kinds == f"{kind}s")


def _flag(kind: str) -> str:
    return "-k" if kind == "metric" else f"-{kind[0]}"
