"""Links in Markdown lead somewhere: to a file of this repository, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import ROOT

PAGES = [
    *ROOT.glob("*.md"),
    *(
        page
        for page in ROOT.glob("docs/**/*.md")
        if "plugins" not in page.parts[-3:-1] or page.parts[-3] != "reference"
    ),
    *ROOT.glob("benchmarks/**/*.md"),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and Sphinx make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        if "reference/plugins" in path:  # written when the site is built
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} is not there"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_of_the_documentation_stands_in_its_contents() -> None:
    listed = set(re.findall(r"^[\w/]+$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.MULTILINE))
    written = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in ROOT.glob("docs/**/*.md")}
    assert {name for name in written if not name.startswith("reference/plugins/")} - {"index"} <= listed
