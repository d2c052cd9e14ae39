"""What `import ctrbench` offers: one list of names, nothing heavy, types that say what they hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import ctrbench
import pytest
from places import ROOT

CORE = Path(ctrbench.__file__).parent
REFERENCE = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
KINDS = ("datasets", "generators", "metrics", "models")
HEAVY = {"torch", "sdv", "fuxictr", "pandas", "numpy", "sklearn", "sqlalchemy", "pydantic", "pyarrow", "ray", "rich"}


def test_importing_ctrbench_loads_nothing_heavy() -> None:
    code = "import sys, ctrbench; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "ctrbench" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("package", ["ctrbench", *(f"ctrbench_{kind}" for kind in KINDS)])
def test_type_checkers_of_others_read_our_annotations(package: str) -> None:
    assert files(package).joinpath("py.typed").is_file()


def imports_for_checkers() -> dict[str, str]:
    """Name → module, of the imports that only type checkers see."""
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom)
            for alias in node.names}  # fmt: skip


def test_the_three_lists_of_public_names_are_one() -> None:
    homes = {name: f"ctrbench.{home}" for home, names in ctrbench._HOMES.items() for name in names}
    assert homes == imports_for_checkers()
    assert sorted(homes) == sorted(ctrbench.__all__)
    assert len(set(ctrbench.__all__)) == len(ctrbench.__all__)


@pytest.mark.parametrize("name", ctrbench.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ctrbench, name) is not None


@pytest.mark.parametrize("name", ctrbench.__all__)
def test_every_public_name_is_on_the_reference_page(name: str) -> None:
    directive = rf"^(\.\. (auto\w+|py:data):: +| {{13}}){name}$"
    assert re.search(directive, REFERENCE, re.MULTILINE)


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ctrbench' has no attribute 'Driver'"):
        ctrbench.Driver  # noqa: B018


def annotations(tree: ast.Module) -> list[tuple[str, ast.expr]]:
    """Every annotation of a public function, method or field, by the name of what has it."""
    found: list[tuple[str, ast.expr]] = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                given = [
                    *node.args.posonlyargs,
                    *node.args.args,
                    *node.args.kwonlyargs,
                    node.args.vararg,
                    node.args.kwarg,
                ]
                all_ = [each.annotation for each in given if each] + [node.returns]
                found.extend((prefix + node.name, each) for each in all_ if each)
            elif isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                found.append((prefix + ast.unparse(node.target), node.annotation))

    visit(tree.body, "")
    return found


def says_anything(annotation: ast.expr) -> bool:
    """Whether a mapping of whatever there may be stands in it."""
    texts = {ast.unparse(node) for node in ast.walk(annotation) if isinstance(node, ast.Subscript)}
    return bool(texts & {"Mapping[str, Any]", "dict[str, Any]"})


MODULES = sorted(path for path in CORE.rglob("*.py") if "store" not in path.relative_to(CORE).parts)


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "suite.py"], ids=lambda path: path.stem)
def test_no_mapping_of_anything_crosses_a_wall(path: Path) -> None:
    found = [name for name, each in annotations(ast.parse(path.read_text(encoding="utf-8"))) if says_anything(each)]
    assert found == []


def test_the_check_for_mappings_of_anything_can_fail() -> None:
    tree = ast.parse("def f(x: Sequence[Mapping[str, Any]]) -> None: ...\ndef _g(x: dict[str, Any]) -> None: ...")
    assert [name for name, each in annotations(tree) if says_anything(each)] == ["f"]
