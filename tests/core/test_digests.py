import importlib
import sys
from pathlib import Path

import pytest
from ctrbench import digests


def test_a_seed_depends_on_everything_that_it_is_derived_from() -> None:
    seeds = [
        digests.seed(1, "model", "simulated", "dnn", 0),
        digests.seed(2, "model", "simulated", "dnn", 0),
        digests.seed(1, "pool", "simulated", "dnn", 0),
        digests.seed(1, "model", "simulated", "dnn", 1),
        digests.seed(1, "model", "simulated", "deepfm", 0),
    ]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_seeds_are_the_same_on_every_machine_and_in_every_version() -> None:
    assert digests.seed(1, "model", "simulated", 0, "dnn") == 4009413209


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / f"pkg_{tmp_path.name}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text("def fit():\n    from . import _helper\n    return _helper.VALUE\n")
    (folder / "_helper.py").write_text("import json\nVALUE = 1\n")
    (folder / "other.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def digest(package: Path) -> str | None:
    digests._source_digest.cache_clear()
    return digests.source_digest(f"{package.name}.method")


def test_the_source_of_a_helper_counts_even_when_it_is_imported_inside_a_function(package: Path) -> None:
    before = digest(package)
    (package / "_helper.py").write_text("import json\nVALUE = 2\n")
    assert digest(package) != before


def test_a_module_that_says_nonsense_of_itself_or_is_gone_has_no_source(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(package.name)
    for odd in (None, "hello"):
        monkeypatch.setattr(module, "__spec__", odd)
        assert digest(package) is None
    assert digests.source_digest("") is None


def test_an_edit_counts_once_it_was_loaded(package: Path) -> None:
    name = f"{package.name}.method"
    module = importlib.import_module(name)
    found = [digests.source_digest(name)]
    for body in ("    return 2\n", "    return 3\n", "    return 2\n"):
        (package / "method.py").write_text("def fit():\n" + body)
        assert digests.source_digest(name) == found[-1], "what runs is what was loaded"
        module = importlib.reload(module)
        found.append(digests.source_digest(name))
    assert found[1] == found[3]
    assert len(set(found)) == 3


def test_comments_and_modules_that_are_not_imported_do_not_count(package: Path) -> None:
    before = digest(package)
    (package / "_helper.py").write_text("import json  # of no use\n\n\nVALUE = 1\n")
    (package / "other.py").write_text("X = 2\n")
    assert digest(package) == before


def test_docstrings_do_not_count_but_other_strings_do(package: Path) -> None:
    source = '"""{0}"""\nclass Model:\n    """{0}"""\n    def fit(self):\n        """{0}"""\n        return "{1}"\n'
    (package / "method.py").write_text(source.format("one", "value"))
    before = digest(package)
    (package / "method.py").write_text(source.format("two", "value"))
    assert digest(package) == before
    (package / "method.py").write_text(source.format("two", "other"))
    assert digest(package) != before


def test_a_method_that_few_jobs_call_counts_only_in_the_whole(package: Path) -> None:
    plain = "class Model:\n    def fit(self):\n        return 1\n"
    (package / "method.py").write_text(plain)
    before = digest(package)
    more = "    def fit_after(self):\n        from . import _helper\n        return _helper.VALUE\n"
    (package / "method.py").write_text(plain + more)
    assert digest(package) == before == digests.source_digest(f"{package.name}.method")
    whole = digests.source_digest(f"{package.name}.method", whole=True)
    (package / "_helper.py").write_text("VALUE = 2\n")
    assert digest(package) == before
    assert digests.source_digest(f"{package.name}.method", whole=True) not in (whole, before)
    (package / "method.py").write_text("def fit_after():\n    return 1\n")
    assert digest(package) != before, "a function of that name is another thing"


@pytest.mark.parametrize(
    ("method", "edited", "text"),
    [
        ("def fit():\n    import beside_it\n", "../beside_it.py", "VALUE = {}\n"),
        ("import importlib\nhelper = importlib.import_module('{package}._helper')\n", "_helper.py", "VALUE = {}\n"),
        ("def fit():\n    import {package}.sub.deep\n", "sub/__init__.py", "VALUE = {}\n"),
        ("from . import _helper\n", "__init__.py", "VALUE = {}\n"),
        ("", "method.py", "def fit():\n    '{}'\n    return fit.__doc__\n"),
        ("", "method.py", "class M:\n    def fit(self):\n        self.fit_after()\n    def fit_after(self): {}\n"),
        ("", "method.py", "class M:\n    def fit_after(self): {}\ndef fit(x):\n    getattr(x, 'fit_after')()\n"),
    ],
    ids=[
        "a module beside it",
        "a module by its name",
        "a parent of what it imports",
        "its own parent",
        "a docstring that is read",
        "a rare method that is called",
        "a rare method that is called by its name",
    ],
)
def test_whatever_else_of_its_authors_it_reads_counts(package: Path, method: str, edited: str, text: str) -> None:
    (package / "sub").mkdir()
    for name in ("sub/__init__.py", "sub/deep.py"):
        (package / name).write_text("")
    (package / "method.py").write_text(method.format(package=package.name))
    found = []
    for value in (1, 2, 1):
        (package / edited).write_text(text.format(value))
        digests._home.cache_clear()
        found.append(digest(package))
    assert found[0] == found[2] != found[1]


def test_a_package_without_an_init_has_a_source(package: Path) -> None:
    (package / "__init__.py").unlink()
    before = digest(package)
    (package / "_helper.py").write_text("VALUE = 2\n")
    assert digest(package) not in (None, before)


def test_libraries_are_not_its_authors(package: Path) -> None:
    assert not any(digests._is_authors(name, package.name) for name in ("ctrbench", "json", "numpy"))
    assert digests._is_authors(package.name, package.name)


def test_reading_the_source_imports_nothing(package: Path) -> None:
    (package / "_helper.py").write_text("raise RuntimeError('imported')\n")
    assert digest(package) is not None
    assert f"{package.name}._helper" not in sys.modules


@pytest.mark.parametrize(
    "helper",
    [
        "# -*- coding: latin-1 -*-\nVALUE = 'ä'\n".encode("latin-1"),
        b"print 'of another Python', VALUE\n",
        b"VALUE = " + b"-" * 100_000 + b"1\n",
        b"VALUE = '\0'\n",
    ],
    ids=["another encoding", "another Python", "nested too deeply", "a null byte"],
)
def test_a_source_that_cannot_be_parsed_as_it_is_counts_by_its_bytes(package: Path, helper: bytes) -> None:
    (package / "_helper.py").write_bytes(helper)
    before = digest(package)
    assert before == digest(package)
    (package / "_helper.py").write_bytes(helper.replace(b"VALUE", b"OTHER"))
    assert digest(package) != before


def test_a_text_that_is_no_utf_8_has_a_digest_of_its_own() -> None:
    assert len({digests.digest(text) for text in ("a\udc80", "a\udc81", r"a\udc80")}) == 3


def test_a_module_without_python_source_has_no_digest() -> None:
    assert digests.source_digest("itertools") is None
    assert digests.source_digest("no_such_module_at_all") is None
