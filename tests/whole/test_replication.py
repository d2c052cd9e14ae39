"""The published results are those of the archive that lies beside their page."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest
from ctrbench.reading import Results
from places import ROOT

FOLDER = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "replication"))
        yield importlib.import_module("results")


@pytest.fixture(scope="module")
def made(script: ModuleType) -> Iterator[dict[str, Any]]:
    """What makes the tables and the picture of each page."""
    with script.opened(FOLDER) as runs:
        yield {page: maker(runs) for page, (_, maker) in script.PAGES.items()}


@pytest.mark.parametrize("page", ["README.md", "frontier.md"])
def test_a_pages_tables_are_made_from_the_archives(page: str, script: ModuleType, made: dict[str, Any]) -> None:
    text = (FOLDER / page).read_text(encoding="utf-8")
    assert script.renewed(text, made[page].tables()) == text, "make results renews the page"


@pytest.mark.skipif(
    f"matplotlib=={version('matplotlib')}\n" not in (ROOT / "constraints.txt").read_text(encoding="utf-8"),
    reason="not the matplotlib of constraints.txt, which draws the published pictures",
)
@pytest.mark.parametrize("page", ["README.md", "frontier.md"])
def test_a_pages_picture_is_made_from_the_archives(page: str, script: ModuleType, made: dict[str, Any]) -> None:
    picture, _ = script.PAGES[page]
    assert made[page].picture() == (FOLDER / picture).read_bytes(), "make results renews the picture"


def test_the_readme_quotes_the_answer_of_the_archive(made: dict[str, Any]) -> None:
    answer, _, _ = Results(made["README.md"].frappe.results).answer(width=80, brief=True).partition("\n\n")
    assert f"```text\n{answer}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_archives_hold_no_rows(made: dict[str, Any]) -> None:
    artefacts = made["README.md"].frappe.results.artefacts
    for digest in artefacts.digests():
        assert set(artefacts.get_arrays(digest)) == {"values"}, "a table, or predictions beside each other"


def test_a_single_run_read_together_says_what_it_says_by_itself(script: ModuleType, made: dict[str, Any]) -> None:
    page = made["README.md"]
    places = page._places("both", ("S3", "S4"))
    alone = page.frappe.average([arm for _, arm in places])
    both = page.together.contrast(places)
    assert (both.mean, both.variance, both.df) == pytest.approx((alone.mean, alone.variance, alone.df))


def test_a_mean_over_runs_is_over_the_repeats_that_all_of_them_have(script: ModuleType, made: dict[str, Any]) -> None:
    page = made["README.md"]
    found = page.together.contrast(page._places("all", ("S5",)))
    assert found.repeats == min(of.results.info.repeats for of, _ in page.repeated)
