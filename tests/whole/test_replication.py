"""The published results are those of the archive that lies beside their page."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from places import ROOT

FOLDER = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "benchmarks" / "replication" / "results.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def replication(script: ModuleType) -> Iterator[Any]:
    with script.opened(FOLDER) as runs:
        yield script.Replication(runs)


def test_the_pages_tables_are_made_from_the_archive(script: ModuleType, replication: Any) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert script.renewed(page, replication.tables()) == page, "make results renews the page"


def test_the_pages_picture_is_made_from_the_archive(replication: Any) -> None:
    assert replication.picture() == (FOLDER / "scenarios.svg").read_bytes(), "make results renews the picture"


def test_the_archive_holds_no_rows(replication: Any) -> None:
    artefacts = replication.frappe.results.artefacts
    for digest in artefacts.digests():
        assert set(artefacts.get_arrays(digest)) == {"values"}, "a table, or predictions beside each other"
