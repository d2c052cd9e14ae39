"""A plug-in's dataclass fields, as text and back: "ctgan[epochs=5]" ↔ Ctgan(epochs=5).

Grammar: NAME, NAME[key=value, key=value], or ALIAS=NAME[…], which tables then call ALIAS. A value is a bare word
(anything without , [ ] ( ) and quotes: numbers, true, none, ./a/path; ` name=` within it is taken for a next key whose
comma is missing), a text in single or double quotes (inside, a backslash comes before such a quote or a backslash), or
a tuple of values in parentheses. Types and ranges come from the annotations, and pydantic checks them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ctrbench.errors import UserError
from ctrbench.interfaces import Budgeted, Location, Plugin, Searched, Shown
from ctrbench.results import Json
from ctrbench.text import did_you_mean, own, plain, shown_address


class Bare(str):
    """A word that a user wrote without quotes: where a parameter may be a number or a text, it may be the number."""


Raw = str | tuple["Raw", ...]
P = TypeVar("P", bound=Plugin)

_MOST_EFFORT = 1e30  # beyond it nobody can forecast anything

FLAGS = {"datasets": "-d", "generators": "-g", "models": "-m", "scenarios": "-s", "metrics": "-k"}
"""The options of the command line that name what a section of a suite names."""

_PASTED = "“”„‘’‚«»"
"""Quotes of word processors and web pages, which no shell and no grammar here takes for quotes."""
_BARE = re.compile(rf"(?![{_PASTED}])[^,\[\]()'\"]*")
_KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*")
_ALIAS = re.compile(r"\s*([A-Za-z][\w.-]*)\s*=")
_NAME = re.compile(r"\s*([A-Za-z][\w.-]*)\s*")
_NEXT_KEY = re.compile(r"\s([A-Za-z_]\w*)\s*=(?!=)")
_NUMBERS = {
    int: re.compile(r"[-+]?(0|[1-9]\d*)"),
    float: re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?"),
}
"""Words that are numbers; 007 and 2024_01 are texts, and so is nan."""
_WHOLE = re.compile(r"[A-Za-z][\w.-]*\s*(\[.*\])?", re.DOTALL)
BETWEEN = re.compile(r"\s*,\s*(?![^\[]*\])")
"""A comma that stands outside of brackets, as between labels."""


@dataclass(frozen=True)
class Spec:
    """A plug-in as a user names it: its name and the parameters given, unconverted."""

    name: str
    values: Mapping[str, object]
    alias: str = ""  # the label that the user gave it, as in "dcn=fuxictr[model=DCN]"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a plug-in, for help texts."""

    name: str
    type: str
    default: Any
    help: str
    limits: str
    budgeted: bool


def parse(text: str, source: str = "") -> Spec:
    """Read `name[key=value, …]`, or `alias=name[…]`; UserError with the position where it cannot be read."""
    aliased = _ALIAS.match(text)
    named = _NAME.match(text, aliased.end() if aliased else 0)
    if named is None:
        hint = "; `ctrbench try FILE` writes a suite for a log of your own" if os.path.exists(text) else ""
        raise UserError(f"{source or 'a plug-in'}: {text!r} does not begin with a name{hint}")
    at, values = named.end(), {}
    if at < len(text):
        if text[at] == "=" or (aliased and text[at] != "["):
            raise _parameters_alone(text, source)
        if text[at] != "[":
            refuse_several(text, source)
            raise _unreadable(text, at, source, "expected [ after the name")
        at += 1
        while True:
            key = _KEY.match(text, at)
            if key is None:
                if text[at:].strip() == "]":
                    break
                raise _unreadable(text, at, source, "expected key=value")
            if key[1] in values:
                raise _unreadable(text, at, source, f"{key[1]} is given twice")
            try:
                values[key[1]], at = _value(text, key.end(), source)
            except RecursionError:
                raise _unreadable(text, key.end(), source, "its value is nested too deeply") from None
            if text[at : at + 1] == ",":
                at += 1
            elif text[at:].strip() != "]":
                refuse_several(text, source)
                raise _unreadable(text, at, source, "expected , or ]; quote a value that has , [ ] ( ) or quotes in it")
    return Spec(named[1], values, aliased[1] if aliased else "")


def refuse_several(text: str, source: str = "") -> None:
    """UserError where a text is several names, with commas between: "smoten,ctgan"."""
    names = BETWEEN.split(text.strip())
    if len(names) > 1 and all(map(_WHOLE.fullmatch, names)):
        flag = f"{FLAGS[source]} " if source in FLAGS else ""
        apart = " ".join(flag + (shlex.quote(name) if flag else repr(name)) for name in names)
        hint = " (in Python a list)" if flag else ""
        raise UserError(
            f"{f'{source}: ' if source else ''}{text!r} is several names; give each by itself: {apart}{hint}"
        )


def build(cls: type[Plugin], who: str, *layers: Mapping[str, object]) -> Plugin:
    """The plug-in with the parameters of all layers, a later one before an earlier; UserError for a bad value.

    `who` names it in errors, as in "ctgan (ctrbench 0.1.0)".
    """
    given = {key: value for layer in layers for key, value in layer.items()}
    hints = _annotations(cls)
    for key in given:
        if key not in hints:
            raise UserError(f"{who}: no parameter {key!r}; " + did_you_mean(key, hints, "it has"))
    return cls(**{key: _convert(who, key, hints[key], value) for key, value in given.items()})


def rebuilt(plugin: P, who: str) -> P:
    """An object with its parameters checked as those of a text are; UserError for a bad value."""
    given = {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin) if f.init}
    return cast(P, build(type(plugin), who, given))


def scaled(plugin: P, budget: float) -> P:
    """The plug-in with every `Budgeted` parameter multiplied by the budget, rounded up."""
    changes = {
        name: max(_least(hint), math.ceil(round(getattr(plugin, name) * budget, 9)))  # 100 · 0.07 is not quite 7
        for name, hint in _annotations(type(plugin)).items()
        if budget != 1 and _metadata(hint, Budgeted)
    }
    return dataclasses.replace(plugin, **changes)


def cheapest(plugin: P) -> P:
    """The plug-in with every `Budgeted` parameter at the least that it may be: one epoch, one step."""
    changes = {
        name: type(value)(_least(hint))
        for name, hint in _annotations(type(plugin)).items()
        if _metadata(hint, Budgeted) and isinstance(value := getattr(plugin, name), int | float)
    }
    return dataclasses.replace(plugin, **changes)


def _least(hint: Any) -> int:
    """The least whole number above 0 that a parameter may be."""
    least = 1
    for extra in getattr(hint, "__metadata__", ()):
        if (bound := getattr(extra, "ge", None)) is not None:
            least = max(least, math.ceil(bound))
        if (bound := getattr(extra, "gt", None)) is not None:
            least = max(least, math.floor(bound) + 1)
    return least


def effort(plugin: Plugin) -> float:
    """The product of its `Budgeted` parameters, to which the time of a fit is in proportion; 1 where it is none."""
    hints = _annotations(type(plugin))
    found = [getattr(plugin, name) for name, hint in hints.items() if _metadata(hint, Budgeted)]
    try:
        product = float(math.prod(number for number in found if isinstance(number, int | float)))
    except OverflowError:
        return 1.0
    return product if 0 < product < _MOST_EFFORT else 1.0


def unbudgeted(plugin: Plugin) -> dict[str, Json]:
    """All parameters but the `Budgeted` ones, as JSON can hold them."""
    hints = _annotations(type(plugin))
    return {name: value for name, value in values(plugin).items() if not _metadata(hints[name], Budgeted)}


def locations(plugin: Plugin) -> tuple[str, ...]:
    """The names of its parameters that say where a file lies."""
    return tuple(name for name, hint in _annotations(type(plugin)).items() if _metadata(hint, Location))


def searched(plugin: Plugin) -> dict[str, Searched]:
    """The parameters that its author says are worth a search, and where."""
    marks = ((name, _metadata(hint, Searched)) for name, hint in _annotations(type(plugin)).items())
    return {name: found[0] for name, found in marks if found}


def values(plugin: Plugin) -> dict[str, Json]:
    """All parameters of a plug-in, tuples as lists, as JSON holds them; TypeError for what it cannot."""
    found: dict[str, Json] = json.loads(
        json.dumps({f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)})
    )
    return found


def recorded(values: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters as a store keeps them: no passwords of addresses; what JSON has no word for (nan, inf) as a text."""
    return {name: _storable(value) for name, value in values.items()}


def changed(plugin: Plugin) -> list[str]:
    """The names of the parameters that are not at their defaults."""
    standard = type(plugin)()
    return [f.name for f in dataclasses.fields(plugin) if getattr(plugin, f.name) != getattr(standard, f.name)]


def label(plugin: Plugin, given: Iterable[str], *, whole: bool = True) -> str:
    """The plug-in's name with the parameters a user gave and those that are `Shown`, in the grammar of `parse`.

    Unless it is to be the whole, of a location only the file's name.
    """
    short = () if whole else locations(plugin)
    hints = _annotations(type(plugin))
    named = {*given, *(name for name, hint in hints.items() if _metadata(hint, Shown))}
    found = {name: getattr(plugin, name) for name in hints if name in named}
    short_ones = {name: Path(str(value)).name if name in short else value for name, value in found.items()}
    shown = [
        f"{name}={_in_quotes(value) if _number_kind(hints[name], value) else written(value)}"
        for name, value in short_ones.items()
    ]
    return type(plugin).name + (f"[{', '.join(shown)}]" if shown else "")


def written(value: Any) -> str:
    """A value as the grammar takes it."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(written, value))})"
    if isinstance(value, str):
        return quoted(shown_address(value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def quoted(text: str) -> str:
    """A text as the grammar takes it: in quotes where it would be read otherwise."""
    if _BARE.fullmatch(text) and text.strip() == text and text and not _NEXT_KEY.search(text):
        return text
    return _in_quotes(text)


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parameters(cls: type[Plugin]) -> list[Parameter]:
    """The parameters of a plug-in class, in their order."""
    hints = _annotations(cls)
    return [
        Parameter(
            f.name,
            _type_text(hints[f.name]),
            f.default if f.default is not dataclasses.MISSING else None,
            own(next(iter(_metadata(hints[f.name], str)), "")),
            ", ".join(_limits(hints[f.name])),
            bool(_metadata(hints[f.name], Budgeted)),
        )
        for f in dataclasses.fields(cls)
    ]


_known: dict[type[Plugin], Mapping[str, Any]] = {}  # hints take a while to evaluate, and a plan asks for each task


def _annotations(cls: type[Plugin]) -> Mapping[str, Any]:
    if cls not in _known:
        hints = get_type_hints(cls, include_extras=True)
        _known[cls] = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    return _known[cls]


def _metadata(hint: Any, kind: type[Any]) -> list[Any]:
    return [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, kind)]


def _convert(who: str, key: str, hint: Any, value: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    base, value = _plain(hint), _meant(hint, value)
    if any(type(value) is type(choice) and value == choice for choice in _choices(hint)):
        return value
    try:
        return TypeAdapter(hint, config=ConfigDict(allow_inf_nan=False)).validate_python(value)
    except TypeError:  # a range that the annotation sets for texts, too
        raise UserError(f"{who}: {key}={_shown(value)} should be {_type_text(base)}") from None
    except ValidationError as error:
        errors = error.errors()
        wanted = _length(base)
        if isinstance(value, tuple | list) and wanted is not None and len(value) != wanted:
            what = next(iter(_metadata(hint, str)), _type_text(base))
            raise UserError(f"{who}: {key}={_shown(value)} has {len(value)} values, not {wanted}: {what}") from None
        inside = [each for each in errors if any(isinstance(part, int) for part in each["loc"])]
        if inside:  # what holds a value that cannot be taken is also said to be too short
            errors = [each for each in errors if each["type"] != "too_short"]
        ranges = [each for each in errors if each["type"].startswith(("greater_than", "less_than", "too_"))]
        if get_origin(base) in (Union, UnionType) and not ranges:
            raise UserError(f"{who}: {key}={_shown(value)} should be {_type_text(base)}") from None
        first = (ranges or errors)[0]
        where = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        complaint = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        raise UserError(f"{who}: {key}{where}={_shown(first['input'])} {complaint}") from None


def _plain(hint: Any) -> Any:
    """A type without its help and its range."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _choices(hint: Any) -> list[Any]:
    """The single values that a type names: the options of its literals, and None."""
    base = _plain(hint)
    if get_origin(base) is Literal:
        return list(get_args(base))
    if get_origin(base) in (Union, UnionType):
        return [choice for part in get_args(base) for choice in _choices(part)]
    return [None] if base is type(None) else []


def _meant(hint: Any, value: Any) -> Any:
    """What a word stands for where the type leaves no doubt: none, a choice, a number; those in a tuple alike."""
    base = _plain(hint)
    if isinstance(value, tuple | list) and get_origin(base) is tuple:
        parts = get_args(base)
        inner = parts[:1] * len(value) if Ellipsis in parts else parts
        return tuple(map(_meant, inner, value)) if len(inner) == len(value) else value
    if not isinstance(value, str):
        return value
    for choice in _choices(hint):
        if value.lower() == "none" if choice is None else isinstance(value, Bare) and value == written(choice):
            return choice
    return (_number_kind(hint, value) or str)(value) if isinstance(value, Bare) else value


def _number_kind(hint: Any, value: Any) -> type[int | float] | None:
    """The kind of number that a text is, where the parameter may be either; None where there is no doubt."""
    kinds = get_args(_plain(hint))
    if not isinstance(value, str) or str not in kinds:
        return None
    return next((kind for kind, pattern in _NUMBERS.items() if kind in kinds and pattern.fullmatch(value)), None)


def _length(hint: Any) -> int | None:
    """How many values a tuple of that type holds; None where it is none, or may be of any length."""
    parts = get_args(hint)
    return len(parts) if get_origin(hint) is tuple and Ellipsis not in parts else None


def _value(text: str, at: int, source: str) -> tuple[Raw, int]:
    if at < len(text) and text[at] in "'\"":
        return _quoted(text, at, source)
    if at < len(text) and text[at] == "(":
        return _tuple(text, at, source)
    if at < len(text) and text[at] in _PASTED:
        raise _unreadable(text, at, source, f"{text[at]} is no quote here, but was pasted from a page: type \" or '")
    bare = _BARE.match(text, at)
    if bare is None or not bare[0].strip():
        raise _unreadable(text, at, source, "expected a value")
    if key := _NEXT_KEY.search(bare[0]):
        raise _unreadable(text, at + key.start(), source, f"expected , before {key[1]}=; or quote a value with = in it")
    return Bare(bare[0].strip()), bare.end()


def _quoted(text: str, at: int, source: str) -> tuple[str, int]:
    quote, here, letters = text[at], at + 1, []
    while here < len(text) and text[here] != quote:
        here += text[here] == "\\" and text[here + 1 : here + 2] in ("\\", quote)
        letters.append(text[here : here + 1])
        here += 1
    if here >= len(text):
        raise _unreadable(text, at, source, f"the quote {quote} is not closed")
    return "".join(letters), _skip_space(text, here + 1)


def _tuple(text: str, at: int, source: str) -> tuple[tuple[Raw, ...], int]:
    items: list[Raw] = []
    here = _skip_space(text, at + 1)
    while text[here : here + 1] != ")":
        item, here = _value(text, here, source)
        items.append(item)
        if text[here : here + 1] == ",":
            here = _skip_space(text, here + 1)
        elif text[here : here + 1] != ")":
            raise _unreadable(text, here, source, "expected , or )")
    return tuple(items), _skip_space(text, here + 1)


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _parameters_alone(text: str, source: str) -> UserError:
    """What to write instead of "path=log.csv label=click"."""
    pairs = ", ".join(re.split(r"[\s,]+(?=[A-Za-z_]\w*\s*=(?!=))", text.strip()))
    written = shlex.quote(f"NAME[{pairs}]")
    where = f"{source}: " if source else ""
    example = "; your own log is csv_log[…]" if source == "datasets" else ""
    return UserError(f"{where}{text!r} has parameters, but no name before them: write {written}{example}")


def _unreadable(text: str, at: int, source: str, why: str) -> UserError:
    where = f"{source}: " if source else ""
    return UserError(f"{where}{text!r}, character {at + 1}: {why} (as in ctgan[epochs=5, generator_dim=(256, 256)])")


def _storable(value: Json) -> Json:
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return shown_address(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: Any) -> str:
    """A value as a message shows it: on one line."""
    return plain(written(value))


def _type_text(hint: Any) -> str:
    """A type as a user would write its values: "int | auto", "(int, …)"."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type_text(parts[0])
    if origin is Literal:
        return " | ".join(map(written, parts))
    if origin in (Union, UnionType):
        return " | ".join(map(_type_text, parts))
    if origin is tuple:
        return f"({', '.join('…' if part is Ellipsis else _type_text(part) for part in parts)})"
    return "none" if hint is type(None) else str(getattr(hint, "__name__", hint))


def _limits(hint: Any) -> list[str]:
    signs: dict[str, Callable[[Any], str]] = {
        "ge": "≥ {}".format,
        "gt": "> {}".format,
        "le": "≤ {}".format,
        "lt": "< {}".format,
        "min_length": "at least {} long".format,
        "max_length": "at most {} long".format,
    }
    return [
        write(getattr(extra, sign))
        for extra in getattr(hint, "__metadata__", ())
        for sign, write in signs.items()
        if getattr(extra, sign, None) is not None
    ]
