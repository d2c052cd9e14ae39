"""Seeds and cache keys: from the names of things to the numbers that make a result repeatable.

In: names, parameters, digests. Out: 32-bit seeds, and SHA-256 keys that change exactly when a result may.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

RESULTS_REVISION = 4
"""Raised whenever the harness's own arithmetic (composition, pools, metrics' inputs) gives other results."""


def seed(suite_seed: int, role: str, *names: str | int) -> int:
    """The first 32 bits of SHA-256 over the suite's seed, a role and the names it is for."""
    return int(digest([suite_seed, role, *names])[:8], 16)


def data_seed(suite_seed: int, dataset: str) -> int:
    """Which rows a data set of that name draws."""
    return seed(suite_seed, "data", dataset)


def digest(value: Any) -> str:
    """SHA-256, in hex, of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


RARELY_CALLED = frozenset({"fit_after"})
"""Methods that few jobs call: whether a class has one does not change what the others find."""


def source_digest(module: str, *, whole: bool = False) -> str | None:
    """SHA-256 over a module and all that it imports of its author's; None where there is no Python source.

    That is its own package, and what lies beside it in a folder that is no library's. Comments, formatting and
    docstrings that nobody reads do not count, but where a file is no Python of this version; nor do methods of
    `RARELY_CALLED`, unless something else names one, or it is to be `whole`. It is read once, and again after the
    module was loaded anew (`importlib.reload`): an edit that was not loaded is not what runs.
    """
    return _source_digest(module, whole, _times_loaded(module))


_loaded: dict[str, tuple[Any, int]] = {}  # by module: its spec, of which each load makes a new one, and how many


def _times_loaded(module: str) -> int:
    """How many times, as far as was seen."""
    spec, times = getattr(sys.modules.get(module), "__spec__", None), 0
    if module in _loaded:
        known, times = _loaded[module]
        times += known is not spec
    _loaded[module] = spec, times
    return times


@cache
def _source_digest(module: str, whole: bool, times_loaded: int) -> str | None:
    package = module.split(".")[0]
    found: dict[str, _Source] = {}
    seen, pending, named = set[str](), [module], {module}
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            path = _source_path(name)
            source = path.read_bytes() if path else None
        except Exception:  # it is gone, or the module says nonsense of itself
            continue
        if path is None or source is None:
            continue
        read = _read(source, whole or not any(each.encode() in source for each in RARELY_CALLED))
        if read.calls and not whole:
            return _source_digest(module, True, times_loaded)
        found[name] = read
        imported = [other for other in _names(read.imports, name, path) if _is_authors(other.split(".")[0], package)]
        named.update(imported)
        for parts in (other.split(".") for other in (name, *imported)):
            pending += [".".join(parts[:n]) for n in range(1, len(parts) + 1)]  # importing one runs all of these
    counts = {name: read.counts for name, read in found.items() if name in named or not read.empty}
    return digest(counts) if counts else None


def source_digests(module: str) -> tuple[str, str]:
    """A module's digest, and the whole one where that is another; "" for what there is not."""
    source, whole = (source_digest(module, whole=whole) or "" for whole in (False, True))
    return source, whole if whole != source else ""


_Import = tuple[int, str, tuple[str, ...]]
"""Of an `import` its level, 0 where it is absolute, the module that it names, and what it takes of that."""


class _Source(NamedTuple):
    """What counts of a module's source, and all that its functions and itself import."""

    counts: str
    imports: tuple[_Import, ...] = ()
    empty: bool = False
    calls: bool = False  # whether it names a method of `RARELY_CALLED` that it does not define


@cache
def _read(source: bytes, whole: bool) -> _Source:
    """A module as it is read; many modules share the same."""
    try:
        tree = ast.parse(source)
        if b"__doc__" not in source:
            _drop_docstrings(tree)
        if not whole:
            _drop_rarely_called(tree)
        return _Source(ast.dump(tree), tuple(_imports(tree)), not tree.body, not whole and _names_rarely_called(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # beside what is used, or nested too deeply
        return _Source(hashlib.sha256(source).hexdigest())


def _drop_docstrings(tree: ast.Module) -> None:
    """Take what only people read out of a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]


def _drop_rarely_called(tree: ast.Module) -> None:
    """Take the methods of `RARELY_CALLED` out of all classes of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.body = [
                each for each in node.body if not isinstance(each, ast.FunctionDef) or each.name not in RARELY_CALLED
            ]


def _names_rarely_called(tree: ast.Module) -> bool:
    """Whether a module looks up a method of `RARELY_CALLED`, by whatever way."""
    words = (getattr(node, name, None) for node in ast.walk(tree) for name in ("attr", "value"))
    return any(isinstance(word, str) and word in RARELY_CALLED for word in words)


_typed: dict[type, str] = {}


def typed_source(kind: type) -> str:
    """What stands for the source of a class that was typed in a notebook: no other class has it, in no other session.

    So such a plug-in's results are found again while the class lives, and never taken for those of an edited one.
    """
    return _typed.setdefault(kind, uuid4().hex)


def _source_path(module: str) -> Path | None:
    """Where a module's source stands, found without importing anything below its top package."""
    top, *rest = module.split(".")
    if module == "__main__":  # a script's own module has no spec; what is typed in a notebook or at a prompt, no file
        script = getattr(sys.modules[module], "__file__", None)
        return Path(script) if script and script.endswith(".py") and not sys.flags.interactive else None
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *rest)
        for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _is_authors(top: str, package: str) -> bool:
    """Whether a top-level module is a package, or lies in the same folder, if libraries are not installed there."""
    if top == package:
        return True
    home = _home(package)
    return top != "ctrbench" and home is not None and home.name not in _LIBRARIES and _home(top) == home


_LIBRARIES = ("site-packages", "dist-packages")


@cache
def _home(top: str) -> Path | None:
    """The folder in which a top-level module or package lies."""
    try:
        if path := _source_path(top):
            return path.parent.parent if path.name == "__init__.py" else path.parent
        spec = importlib.util.find_spec(top)
        return Path(next(iter(spec.submodule_search_locations))).parent if spec else None  # type: ignore[arg-type]
    except Exception:  # Python's own, compiled, or nowhere
        return None


def _imports(tree: ast.AST) -> Iterator[_Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            name = getattr(node.args[0], "value", None) if node.args else None
            if isinstance(name, str):
                yield len(name) - len(name.lstrip(".")), name.lstrip("."), ()


def _called(call: ast.Call) -> str:
    """The last name of what is called."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _names(imports: Iterable[_Import], module: str, path: Path) -> list[str]:
    """All modules that a module's imports may mean."""
    here = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: list[str] = []
    for level, named, taken in imports:
        above = here[: len(here) - level + 1] if level else []
        base = ".".join([*above, *([named] if named else [])])
        names += [base, *(f"{base}.{each}" for each in taken)]
    return names
