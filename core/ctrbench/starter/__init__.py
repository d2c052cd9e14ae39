"""A package to begin a plug-in with: it installs, keeps the contract, and has tests.

In: what is to be made, its name, and a folder. Out: the folder of a distribution with one plug-in; its files are
`templates/`, in which `$name` and the like stand for what the author chose.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal, get_args

from ctrbench.errors import UserError
from ctrbench.files import refuse_existing, whole_file
from ctrbench.text import encodable, fault

StarterKind = Literal["generator", "model", "metric", "synthetic-metric", "dataset"]
KINDS: tuple[StarterKind, ...] = get_args(StarterKind)
"""What a package can be made for; a metric judges predictions, a synthetic-metric the rows of a generator."""

_NAME = re.compile(r"[a-z][a-z0-9_]*(?<!_)")
_RESERVED = {"none": "stands for no plug-in", "all": "stands for every plug-in"}  # where a plug-in is named
_COMMON = {"pyproject.toml": "pyproject.toml", "README.md": "README.md", "package.py": "{package}/__init__.py"}
_DATA = {"dataset": {"log.csv": "{package}/log.csv"}}


@dataclass(frozen=True)
class Starter:
    """A package that is to be written."""

    kind: StarterKind
    name: str

    @property
    def distribution(self) -> str:
        """What `pip list` calls it, and the name of its folder."""
        return f"ctrbench-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What Python imports."""
        return f"ctrbench_{self.name}"

    @property
    def class_name(self) -> str:
        """What its class is called."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    def files(self) -> dict[str, str]:
        """Its files by their paths within its folder."""
        words = {
            "kind": self.kind.replace("-", " "),
            "flag": {"dataset": "-d", "generator": "-g", "model": "-m"}.get(self.kind, "-k"),
            "name": self.name,
            "Class": self.class_name,
            "distribution": self.distribution,
            "package": self.package,
        }
        kind = self.kind.replace("-", "_")
        wanted = {
            **_COMMON,
            f"{kind}.py": "{package}/{name}.py",
            f"test_{kind}.py": "tests/test_{name}.py",
            **_DATA.get(self.kind, {}),
        }
        folder = files("ctrbench.starter").joinpath("templates")
        return {
            path.format(**words): Template(folder.joinpath(f"{source}.txt").read_text("utf-8")).substitute(words)
            for source, path in wanted.items()
        }


def write_starter(kind: StarterKind, name: str, taken: Collection[str], parent: Path) -> Path:
    """Write the package into a new folder below `parent`; that folder. UserError for a name that cannot be."""
    if name in _RESERVED:
        raise UserError(f"new {kind}: the name {name!r} {_RESERVED[name]} on the command line; choose another")
    if keyword.iskeyword(name) or keyword.iskeyword(name.capitalize()):  # of the module, and of the class
        raise UserError(f"new {kind}: the name {name!r} is a word of Python; choose another")
    if not _NAME.fullmatch(name):
        meant = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
        hint = f", as in {meant}" if _NAME.fullmatch(meant) and not keyword.iskeyword(meant) else ""
        raise UserError(
            f"new {kind}: the name {name!r} must be lower-case letters, digits and _, beginning with a letter and not "
            f"ending with _{hint}"
        )
    if name in taken:
        raise UserError(f"new {kind}: the name {name!r} is taken by an installed plug-in; choose another")
    starter = Starter(kind, name)
    if importlib.util.find_spec(starter.package):
        raise UserError(
            f"new {kind}: the name {name!r} makes a package {starter.package}, and one of that name is installed; "
            f"choose another, such as my_{name}"
        )
    if starter.class_name in _imported(starter.files()[f"{starter.package}/{name}.py"]) | set(dir(builtins)):
        raise UserError(
            f"new {kind}: the name {name!r} makes a class {starter.class_name}, as one is called that the package "
            f"imports or Python has; choose another, such as my_{name}"
        )
    folder = parent / starter.distribution
    refuse_existing(folder, "remove it", "choose another name, or another folder by --in")
    for path, text in starter.files().items():
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{encodable(str(target.parent))}: cannot be made: {fault(error)}") from None
        with whole_file(target) as file:
            file.write(text.encode())
    return folder


def _imported(module: str) -> set[str]:
    """The names that a module imports."""
    found = (node for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name for node in found for alias in node.names}
