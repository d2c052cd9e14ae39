"""What a suite names becomes plug-ins with their parameters set: data sets, generators, models, metrics, scenarios.

In: a suite and the registry. Out: `Chosen` plug-ins and scenarios; UserError for a name or value that cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast, overload

from ctrbench import _state, contract, digests, params
from ctrbench.asking import NoAnswer, ask
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset, Generator, Metric, Missing, Model, Plugin, Ready
from ctrbench.jobs import PluginCall
from ctrbench.registry import KINDS, PluginKind, load_registry
from ctrbench.scenarios import Scenario, doses
from ctrbench.suite import ALL
from ctrbench.text import did_you_mean, encodable, exact, plain

if TYPE_CHECKING:
    from ctrbench.registry import Registered, Registry
    from ctrbench.suite import DatasetSettings, Suite

P = TypeVar("P", bound=Plugin)
P_co = TypeVar("P_co", bound=Plugin, covariant=True)
T = TypeVar("T")
_MethodKind = Literal["dataset", "generator", "model", "metric"]


@dataclass(frozen=True)
class Chosen(Generic[P_co]):
    """A plug-in as it was chosen: its parameters set, and the label under which tables show it."""

    registered: Registered
    plugin: P_co
    label: str
    train_share: float = 1.0  # of a data set: how much of its train is seen

    @cached_property
    def call(self) -> PluginCall:
        """How any process makes it."""
        return PluginCall.of(self.registered, self.plugin)

    def ask(self, question: Callable[[P_co], T], seconds: float | None = None) -> T | NoAnswer:
        """What the plug-in says, where it can do no harm; in so many seconds, or those of `asking.patience`."""
        return ask(lambda: question(self.plugin), apart=self.registered.apart, seconds=seconds)


def choose_datasets(suite: Suite, registry: Registry, *, may_download: bool) -> tuple[list[Chosen[Dataset]], list[str]]:
    """The data sets of a run, and the reasons why "all" left some out; UserError for one that cannot be loaded."""
    chosen, left_out = [], []
    for found in choose(suite, registry, "dataset"):
        state = availability(found)
        if isinstance(state, Missing):
            if not is_named(found, suite):
                left_out.append(f"{found.registered.name}: {state.reason}")
                continue
            if not (state.download and may_download):
                raise UserError(f"data set {found.registered.name}: {state.reason}")
        chosen.append(found)
    if not chosen:
        raise UserError(f"no data set is ready: {'; '.join(left_out)}")
    names = [_title(found) for found in chosen]
    taken = [*names, *(found.label for found, name in zip(chosen, names, strict=True) if found.label != name)]
    labels = [name if taken.count(name) == 1 else found.label for found, name in zip(chosen, names, strict=True)]
    whole = [
        Chosen(found.registered, found.plugin, label if share == 1 else f"{label} at {exact(100 * share)} %", share)
        for found, label in zip(chosen, labels, strict=True)
        for share in sorted(suite.train_shares, reverse=True)
    ]
    _expect_distinct([each.label for each in whole], "data sets")
    return whole, left_out


def _expect_distinct(names: Sequence[str], what: str) -> None:
    """UserError where two have one name: results are told apart by it."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{what}: two are called {twice!r}; give one of them another name")


def is_named(dataset: Chosen[Dataset], suite: Suite) -> bool:
    """Whether somebody asked for a data set by its name, rather than for all."""
    return dataset.registered.name.casefold() in {_name(named).casefold() for named in suite.datasets}


def availability(dataset: Chosen[Dataset]) -> Ready | Missing:
    """Whether a data set is at hand; one that cannot even tell is not."""
    told = dataset.ask(lambda plugin: contract.check_availability(plugin.availability()))
    return Missing(f"its availability() {told.says}") if isinstance(told, NoAnswer) else told


def _title(dataset: Chosen[Dataset]) -> str:
    told = dataset.ask(lambda plugin: contract.shown_name(plugin.title))
    return dataset.registered.name if isinstance(told, NoAnswer) else told or dataset.registered.name


def choose_scenarios(suite: Suite, registry: Registry) -> list[Scenario]:
    """The scenarios of a suite, its own among them; `original` always comes first, as all else is compared with it.

    Its doses come last, but for those that a scenario among the others already is, as S1 is a quarter of the positives.
    """
    installed = {entry.name: cast(Scenario, entry.thing) for entry in registry.of_kind("scenario")}
    for scenario in suite.own_scenarios:
        if scenario.name in installed:
            raise UserError(f"suite {plain(suite.name)}: the scenario name {scenario.name!r} is taken; choose another")
        installed[scenario.name] = scenario
    by_form = {name.casefold(): name for name in installed}
    names = ["original"]
    for name in _expand(suite.scenarios, installed):
        found = name if name in installed else by_form.get(name.casefold())
        if found is None:
            params.refuse_several(name, "scenarios")
            raise UserError(f"scenarios: no scenario {name!r}; {did_you_mean(name, installed, 'there are')}")
        names.append(found)
    chosen = {name: installed[name] for name in names}
    known = {scenario.dose for scenario in chosen.values()}
    scenarios = [*chosen.values(), *(scenario for scenario in doses(suite.doses) if scenario.dose not in known)]
    _expect_distinct([scenario.name for scenario in scenarios], "scenarios and doses")
    return scenarios


def check_pools(suite: Suite, registry: Registry) -> None:
    """UserError where a scenario is named that draws from a pool, and there is no generator to make one."""
    drawing = [s.name for s in choose_scenarios(suite, registry) if s.needs_pool]
    if drawing and (ALL not in suite.scenarios or suite.doses):
        names = ", ".join(drawing)
        raise UserError(
            f"scenarios {names}: with generators none there are no rows for them; name a generator, or leave them out"
        )


def check_settings(suite: Suite, registry: Registry) -> None:
    """UserError where a suite names something that is not installed or not at hand, before there is a store."""
    choose_scenarios(suite, registry)
    _all(suite, registry)
    if suite.datasets:  # frames may join later
        choose_datasets(suite, registry, may_download=True)
    for dataset, on in suite.on.items():
        registry.get("dataset", dataset, f"suite {plain(suite.name)}: on")
        for kinds, by_name in on.parameters.items():
            for name in by_name:
                registry.get(_kind(kinds), name, f"suite {plain(suite.name)}: on.{dataset}.{kinds}")


def imports(suite: Suite, registry: Registry) -> tuple[str, ...]:
    """The heavy modules that plug-ins of a suite import when they are used; what others name is theirs to import."""
    ours = (found for found in _all(suite, registry) if not found.registered.apart)
    return tuple(dict.fromkeys(module for found in ours for module in found.plugin.imports))


def _all(suite: Suite, registry: Registry) -> list[Chosen[Plugin]]:
    return [
        *choose(suite, registry, "dataset"),
        *choose(suite, registry, "generator"),
        *choose(suite, registry, "model"),
        *choose(suite, registry, "metric"),
    ]


@overload
def choose(suite: Suite, registry: Registry, kind: Literal["dataset"]) -> list[Chosen[Dataset]]: ...
@overload
def choose(
    suite: Suite, registry: Registry, kind: Literal["generator"], on: DatasetSettings | None = None
) -> list[Chosen[Generator]]: ...
@overload
def choose(
    suite: Suite, registry: Registry, kind: Literal["model"], on: DatasetSettings | None = None
) -> list[Chosen[Model]]: ...
@overload
def choose(suite: Suite, registry: Registry, kind: Literal["metric"]) -> list[Chosen[Metric]]: ...
def choose(
    suite: Suite, registry: Registry, kind: _MethodKind, on: DatasetSettings | None = None
) -> Sequence[Chosen[Plugin]]:
    """The plug-ins of a kind, with their parameters; the same one under the same label only once."""
    named: Sequence[str | Plugin] = getattr(suite, f"{kind}s")
    wanted = _expand(named, [registered.name for registered in registry.of_kind(kind)])
    chosen: dict[str, Chosen[Plugin]] = {}
    aliases: set[str] = set()
    for named_or_made in wanted:
        if isinstance(named_or_made, Plugin):
            registered = registry.of_object(kind, named_or_made, f"{kind}s")
            plugin = params.rebuilt(named_or_made, str(registered))
            given, alias = params.changed(plugin), ""
        else:
            spec = params.parse(named_or_made, f"{kind}s")
            registered = registry.get(kind, spec.name, f"{kind}s")
            settings = (on or suite.settings(registered.name)).of(kind, registered.name)
            plugin, given = build(registered, settings, spec.values), [*spec.values]
            alias = spec.alias
        label = alias or encodable(params.label(plugin, given, whole=False))
        if not alias and label in chosen and params.values(chosen[label].plugin) != params.values(plugin):
            label = encodable(params.label(plugin, given))
        if label in chosen and (alias or label in aliases):
            raise UserError(f"{kind}s: two {kind}s are called {label!r}; give one of them another name")
        aliases |= {alias} - {""}
        scaled = plugin if suite.budget == 1 else _guarded(registered, partial(params.scaled, plugin, suite.budget))
        chosen[label] = Chosen(registered, scaled, label)
    return list(chosen.values())


def build(registered: Registered, *layers: Mapping[str, object]) -> Plugin:
    """A plug-in with the parameters of all layers, a later one before an earlier; UserError for a bad value."""

    def make() -> Plugin:
        plugin = params.build(registered.plugin, str(registered), *layers)
        params.values(plugin)  # what it has made of them must be such that others can be told
        return plugin

    return _guarded(registered, make)


def _guarded(registered: Registered, make: Callable[[], T]) -> T:
    """What a plug-in's own code has a part in making; UserError that names it where that fails.

    Somebody else's is tried where it can do no harm before it is done here.
    """
    tried = ask(lambda: make() and None, apart=True) if registered.apart else None
    with _state.put_back() if registered.apart else nullcontext():
        done = tried if isinstance(tried, NoAnswer) else ask(make)
    if isinstance(done, NoAnswer):
        raise done.mistake or UserError(f"{registered}: it cannot be made with these parameters: it {done.says}")
    return done


def model_within(text: str) -> tuple[Model, str]:
    """For a model that is made of another: the installed one that a text names, "dnn[dropout=0.1]", and its version.

    The version is a digest of all that changes its results, for the outer one's `version()`. UserError where there is
    no such model.
    """
    spec = params.parse(text, "model")
    registered = load_registry().get("model", spec.name, "model")
    model = build(registered, spec.values)
    return cast(Model, model), digests.digest(PluginCall.of(registered, model).identity())


_N = TypeVar("_N", bound=str | Plugin)


def _expand(names: Sequence[_N | str], installed: Iterable[str]) -> list[_N | str]:
    """The names given, with "all" replaced by those of the installed ones that are not among them."""
    named = {_name(name).casefold() for name in names if name != ALL}
    others = [name for name in installed if name.casefold() not in named]
    return [name for given in names for name in (others if given == ALL else [given])]


def _name(named_or_made: str | Plugin) -> str:
    """The name in "ctgan[epochs=5]"; of what cannot be read, which is refused where its parameters are, all of it."""
    if isinstance(named_or_made, Plugin):
        return named_or_made.name
    try:
        return params.parse(named_or_made).name
    except UserError:
        return named_or_made


def _kind(kinds: str) -> PluginKind:
    return next(kind for kind in KINDS if kinds == f"{kind}s")
