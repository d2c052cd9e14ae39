"""A suite says what to run: plug-ins, scenarios, repeats, and settings that suit a data set.

In: the name of a packaged suite or a TOML file. Out: a `Suite`; `UserError` for anything in it that is not understood.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from ctrbench import arguments
from ctrbench.arguments import shown
from ctrbench.errors import UserError
from ctrbench.interfaces import Dataset, Generator, MethodRole, Metric, Model
from ctrbench.limits import NO_LIMITS, Limits, limits_of
from ctrbench.scenarios import ClassShares, Scenario
from ctrbench.text import did_you_mean, fault

ALL = "all"
"""Stands in a list of names for every installed plug-in that the list does not name."""

_T = TypeVar("_T")

SECTIONS = ("datasets", "generators", "models", "metrics", "scenarios")
AXES = ("doses", "train_shares")
"""Lists of numbers, each of which multiplies the scenarios or the data sets."""


@dataclass(frozen=True)
class DatasetSettings:
    """What a suite says of one data set: what a task may use, and parameters by kind and plug-in name."""

    limits: Limits = NO_LIMITS
    parameters: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)

    def of(self, kind: str, name: str) -> Mapping[str, object]:
        """The parameters that a plug-in gets on this data set, unless the user gives others."""
        return _of_name(self.parameters.get(f"{kind}s", {}), name, {})


@dataclass(frozen=True)
class Suite:
    """What to run.

    Plug-ins are named as on the command line, "ctgan[epochs=5]", or are objects; "all" takes all others.
    """

    name: str
    description: str = ""
    datasets: tuple[str | Dataset, ...] = ("simulated",)
    generators: tuple[str | Generator, ...] = (ALL,)
    models: tuple[str | Model, ...] = (ALL,)
    metrics: tuple[str | Metric, ...] = (ALL,)
    scenarios: tuple[str, ...] = (ALL,)
    doses: tuple[float, ...] = ()  # of synthetic rows, a scenario each for positives, for negatives and for both
    train_shares: tuple[float, ...] = (1.0,)  # of train, each a data set by itself
    repeats: int = 1
    model_seeds: int = 1  # of each pool, nested in a repeat
    seed: int = 1
    data_seed: int | None = None  # of the data sets' rows, where they are to stay as they are under another seed
    budget: float = 1.0
    on: Mapping[str, DatasetSettings] = field(default_factory=dict)
    own_scenarios: tuple[Scenario, ...] = ()
    environments: Mapping[str, str] = field(default_factory=dict)  # interpreters with plug-ins of their own, by name

    def settings(self, dataset: str) -> DatasetSettings:
        """What the suite says of a data set; nothing for one that it does not know."""
        return _of_name(self.on, dataset, DatasetSettings())


def _of_name(by_name: Mapping[str, _T], name: str, otherwise: _T) -> _T:
    """What stands under a name, whatever its case."""
    return next((value for key, value in by_name.items() if key.casefold() == name.casefold()), otherwise)


def packaged_suites() -> list[str]:
    """The names of the suites that come with ctrbench."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("ctrbench").joinpath("suites").iterdir()
        if entry.name.endswith(".toml")
    )


def suite_text(name: str) -> str:
    """The file of a packaged suite."""
    return files("ctrbench").joinpath("suites", f"{name}.toml").read_text(encoding="utf-8")


def load_suite(name_or_file: str | os.PathLike[str]) -> Suite:
    """A packaged suite by its name, whatever its case, or a suite file by its path."""
    name_or_file = arguments.path("name_or_file", name_or_file, "the name of a suite, or a file, as in 'my.toml'")
    name = name_or_file.casefold()
    if name in packaged_suites():
        return parse_suite(suite_text(name), name, f"suite {name}")
    path = Path(name_or_file)
    if path.suffix != ".toml" and not os.path.exists(path):  # nor a name that no system takes
        hint = did_you_mean(name_or_file, packaged_suites(), "there are")
        raise UserError(f"suite: there is none called {name_or_file!r}, and no file; {hint}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # the latter of a name that no system takes, and of what is no UTF-8
        why = fault(error) if isinstance(error, OSError) else error
        raise UserError(f"suite {name_or_file}: cannot be read: {why}") from None
    return parse_suite(text, path.stem, os.fspath(path))


def parse_suite(text: str, name: str, source: str) -> Suite:
    """The suite that a TOML text describes."""
    try:
        raw = tomllib.loads(text)
        str(raw)  # what cannot be shown, such as a hexadecimal number of thousands of digits, could not be named either
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits, and what is too deep
        raise UserError(f"{source}: not TOML: {error}{_hint_at_pasted(text, error)}") from None
    if not raw:
        raise UserError(
            f"{source}: it is empty, and would run everything; `ctrbench show quick` prints a suite to begin with"
        )
    own = tuple(_scenario(item, source) for item in _typed(raw, "scenario", list, source, []))
    known = {f.name for f in fields(Suite)} - {"own_scenarios"} | {"scenario"}
    _refuse_unknown(raw, known, source)
    values: dict[str, Any] = {"name": _typed(raw, "name", str, source, name), "own_scenarios": own}
    for section in SECTIONS:
        if section in raw:
            values[section] = _names(raw[section], section, source)
    if not values.get("datasets", True):
        raise UserError(f"{source}: datasets=[] leaves nothing to run on; name one, or leave it out")
    numbers = dict.fromkeys(("repeats", "model_seeds", "seed", "data_seed"), int)
    for key, kind in {"description": str, **numbers, "budget": float}.items():
        if key in raw:
            values[key] = _typed(raw, key, kind, source)
    for key in AXES:
        if key in raw:
            values[key] = tuple(_typed(raw, key, list, source))
    if "doses" in raw:
        if not raw["doses"]:
            raise UserError(f"{source}: doses=[] names no share; leave it out")
        values.setdefault("scenarios", ())
    on = _typed(raw, "on", dict, source, {})
    environments = _typed(raw, "environments", dict, source, {})
    values["environments"] = {
        name: _python(table, f"{source}: environments.{name}") for name, table in environments.items()
    }
    values["on"] = {dataset: _settings(table, f"{source}: on.{dataset}") for dataset, table in on.items()}
    return checked(Suite(**values), source)


def _hint_at_pasted(text: str, error: Exception) -> str:
    """What to do about quotes that no program reads, if the error is in a line that has them."""
    place = re.search(r"at line (\d+)", str(error))
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    odd = re.search("[“”„‘’‚«»]", line)
    return f'; {odd[0]} was pasted from a page: type "' if odd else ""


def checked(suite: Suite, source: str) -> Suite:
    """The suite, its numbers in their ranges; UserError otherwise."""
    for name in ("repeats", "model_seeds", "seed", "data_seed"):
        number = getattr(suite, name)
        if isinstance(number, bool) or not isinstance(number, int | None if name == "data_seed" else int):
            raise UserError(f"{source}: {name}={number!r} must be a whole number")
    if isinstance(suite.budget, bool) or not isinstance(suite.budget, int | float):
        raise UserError(f"{source}: budget={suite.budget!r} must be a number")
    if not 1 <= suite.repeats <= 10_000:
        raise UserError(f"{source}: repeats={shown(suite.repeats)} must lie between 1 and 10000")
    if not 1 <= suite.model_seeds <= 1000:
        raise UserError(f"{source}: model_seeds={shown(suite.model_seeds)} must lie between 1 and 1000")
    if not 0 < suite.budget <= 100:
        raise UserError(f"{source}: budget={shown(suite.budget)} must lie above 0 and be at most 100")
    for key, most in (("doses", 10), ("train_shares", 1)):
        for share in getattr(suite, key):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= most:
                raise UserError(f"{source}: {key}={shown(share)} must be numbers above 0 and at most {most}")
    doses, shares = (tuple(dict.fromkeys(map(float, numbers))) for numbers in (suite.doses, suite.train_shares))
    suite = replace(suite, doses=doses, train_shares=shares)
    if not suite.train_shares:
        raise UserError(f"{source}: train_shares=[] leaves no data set; leave it out for all of train")
    for key, seed in (("seed", suite.seed), ("data_seed", suite.data_seed)):
        if seed is not None and not 0 <= seed < 2**32:
            raise UserError(f"{source}: {key}={shown(seed)} must lie between 0 and {2**32 - 1}")
    return suite


def check_scenario_name(name: object, source: str) -> None:
    """UserError where a scenario of a suite's own cannot be called so."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise UserError(f"{source}: each scenario needs a name of letters, digits, . _ -, not {name!r}")
    if name in (ALL, "none"):
        raise UserError(f"{source}: a scenario cannot be called {name!r}")


def _settings(table: Any, source: str) -> DatasetSettings:
    if not isinstance(table, dict):
        raise UserError(f"{source}: {table!r} is not a table")
    kinds = {"datasets", "generators", "models"}
    if "metrics" in table:
        raise UserError(
            f"{source}: metrics are the same on every data set; give their parameters where they are named, as in "
            'metrics = ["dcr_share[rows=1000]"]'
        )
    _refuse_unknown(table, kinds | {"timeout", "memory"}, source)
    limits = limits_of(table.get("timeout"), table.get("memory"), source)
    for kind in kinds & set(table):
        for name, values in _typed(table, kind, dict, source).items():
            if not isinstance(values, dict):
                raise UserError(f"{source}: {kind}.{name}={values!r} is not a table of parameters")
    return DatasetSettings(limits, {kind: table[kind] for kind in kinds & set(table)})


def _python(table: Any, source: str) -> str:
    if not isinstance(table, dict):
        raise UserError(f'{source}: {table!r} is not a table such as {{python = "FOLDER/bin/python"}}')
    _refuse_unknown(table, {"python"}, source)
    python: str = _typed(table, "python", str, source, "")
    if not python or "\0" in python:
        raise UserError(f'{source}: it needs python = "FOLDER/bin/python", the interpreter that its plug-ins are for')
    return os.path.abspath(os.path.expanduser(python))


def _scenario(item: Any, source: str) -> Scenario:
    if not isinstance(item, dict):
        raise UserError(f"{source}: {item!r} is not a table [[scenario]]")
    check_scenario_name(item.get("name", ""), source)
    where = f"{source}: scenario {item['name']!r}"
    _refuse_unknown(item, {f.name for f in fields(Scenario)}, where)
    real, synthetic = item.get("real", {"positives": 1, "negatives": 1}), item.get("synthetic", {})
    try:
        read = {
            "real": "balanced" if real == "balanced" else _shares(real),
            "synthetic": "pool" if synthetic == "pool" else _shares(synthetic),
            "role": MethodRole(item.get("role", MethodRole.CANDIDATE)),
        }
        return Scenario(**{**item, **read})
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from None


def _shares(raw: Any) -> ClassShares:
    numbers = isinstance(raw, dict) and all(isinstance(value, int | float) for value in raw.values())
    if not numbers or not set(raw) <= {f.name for f in fields(ClassShares)}:
        raise TypeError(f"{raw!r} is not shares such as {{positives = 0.25, negatives = 1}}")
    return ClassShares(**raw)


def wanted_names(names: Iterable[_T]) -> tuple[_T | str, ...]:
    """What a section is to hold: the words all and none however they are written, nothing where none stands alone."""
    words = (ALL, "none")
    found = tuple(name.lower() if isinstance(name, str) and name.lower() in words else name for name in names)
    if "none" in found and len(found) > 1:
        raise UserError(f"{', '.join(map(str, found))}: none stands for nothing at all; name it alone, or leave it out")
    return () if found == ("none",) else found


def _names(raw: Any, section: str, source: str) -> tuple[str, ...]:
    if raw == ALL:
        return (ALL,)
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise UserError(f'{source}: {section} must be "all" or a list of names, not {raw!r}')
    return wanted_names(raw)


_KINDS = {int: "a whole number", float: "a number", str: "a text in quotes", list: "a list", dict: "a table"}


def _typed(raw: Mapping[str, Any], key: str, kind: type, source: str, default: Any = None) -> Any:
    if key not in raw:
        return default
    value = raw[key]
    if kind is float and type(value) is int:
        with suppress(OverflowError):
            value = float(value)
    if type(value) is not kind:
        raise UserError(f"{source}: {key}={raw[key]!r} must be {_KINDS[kind]}")
    return value


def _refuse_unknown(raw: Mapping[str, Any], known: set[str], source: str) -> None:
    for key in raw:
        if key not in known:
            raise UserError(f"{source}: unknown key {key!r}; {did_you_mean(key, sorted(known), 'known are')}")
