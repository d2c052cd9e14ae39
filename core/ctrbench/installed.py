"""What other distributions bring, by metadata that may be missing, malformed or hostile.

In: a group of entry points. Out: those that can be read, with names and versions that a terminal can show, and beside
them whatever cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, distributions, version
from typing import NamedTuple

from ctrbench.text import one_line, plain

_LONGEST = 100  # letters of a name or version that are shown
_HOME = "ctrbench"
_OURS = re.compile(r"^\s*\[\s*ctrbench\b", re.MULTILINE)
_GROUPS = (_HOME, f"{_HOME}.commands")


class Brought(NamedTuple):
    """An entry point, and the distribution that brings it; its version is empty where it is not known."""

    entry: EntryPoint
    distribution: str
    version: str

    @property
    def shown(self) -> str:
        """The entry point's name, as it can be shown."""
        return plain(self.entry.name)[:_LONGEST]


class Unreadable(NamedTuple):
    """A distribution that has something for ctrbench, which cannot be read, and why."""

    distribution: str
    error: str


def brought(group: str) -> tuple[list[Brought], list[Unreadable]]:
    """The entry points of a group, and the distributions of which nobody can tell; the first on the path counts."""
    found: dict[tuple[str, str], Brought] = {}
    unreadable: dict[str, Unreadable] = {}
    for distribution in distributions():
        try:
            if _OURS.search(distribution.read_text("entry_points.txt") or ""):
                entries = [entry for entry in distribution.entry_points if _OURS.match(f"[{entry.group}")]
                if not entries:
                    raise ValueError("it has a section of ctrbench's, and no entry point in it")
                name, said = _who(distribution)  # once: metadata are parsed anew at each look
                for entry in entries:
                    if entry.group == group:
                        found.setdefault((name, entry.name), Brought(entry, name, said))
                    elif entry.group not in _GROUPS:
                        wrong = f"its entry points are in the group {plain(entry.group)[:_LONGEST]!r}, which nothing"
                        unreadable.setdefault(name, Unreadable(name, f"{wrong} reads: plug-ins belong in {_HOME!r}"))
        except Exception as error:
            if not isinstance(error, UnicodeDecodeError) or b"[ctrbench" in error.object:
                name = shown_name(distribution)
                unreadable.setdefault(name, Unreadable(name, f"its metadata cannot be read: {one_line(error)}"))
    return list(found.values()), list(unreadable.values())


def of(entry: EntryPoint, distribution: Distribution | None) -> Brought:
    """An entry point with what its distribution says of itself; without one, its module says who it is."""
    if distribution is None:
        return Brought(entry, plain(entry.value.split(":")[0].split(".")[0])[:_LONGEST], "")
    return Brought(entry, *_who(distribution))


def _who(distribution: Distribution) -> tuple[str, str]:
    """Its name and version."""
    return shown_name(distribution), _shown(distribution, "Version")


def shown_name(distribution: Distribution) -> str:
    """A distribution's name; that of its folder where it has none, or has one that is not its own."""
    folder = plain(getattr(getattr(distribution, "_path", None), "name", ""))[:_LONGEST]  # private: what installed it
    name = _shown(distribution, "Name")
    if name.casefold() == _HOME and not folder.casefold().startswith(_HOME):
        name = ""
    return name or folder or "a distribution without a name"


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those of the distributions that are installed and say theirs."""
    found = {}
    for name in names:
        try:
            said = version(name)
        except Exception:  # not there, or its metadata are not readable
            continue
        if isinstance(said, str):
            found[name] = plain(said)[:_LONGEST]
    return found


def needs(name: str) -> list[str]:
    """The names of what a distribution requires, as far as it can be read."""
    try:
        required = Distribution.from_name(name).requires or []
    except Exception:
        return []
    return [match[0] for need in required if (match := re.match(r"[\w.-]+", need))]


def _shown(distribution: Distribution, field: str) -> str:
    """A field of its metadata on one line; empty where it cannot be read."""
    try:
        return re.sub(r"[\s()]+", "_", plain(distribution.metadata[field] or ""))[:_LONGEST]
    except Exception:
        return ""
