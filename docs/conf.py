"""How `make docs` builds the site: Sphinx reads the Markdown of this folder, and what the plug-ins say of themselves.

In: `docs/`, the installed plug-ins, the command line. Out: HTML; whatever Sphinx warns of is an error.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
import _plugin_pages

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "ctrbench"
author = "the authors of ctrbench"
copyright = author
release = version = version_of("ctrbench")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ctrbench {version}"
html_copy_source = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # links to headings are checked, as GitHub names them
suppress_warnings = ["misc.highlighting_failure"]  # grammars such as "SPLITS(…)" are no Python

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
smartquotes = False  # `--all` is to be copied as it is
default_role = "code"  # docstrings write `name` for code

linkcheck_timeout = 20
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]


def _as_written(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: a star in one is a star."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def _as_code(app: Sphinx, context: object, lines: list[str]) -> None:
    """Examples of a command keep their columns: sphinx-click makes lines of verse of them."""
    shown: list[str] = []
    for line in lines:
        if line.startswith("| ") and line != "| Examples:":
            shown += [] if shown and shown[-1].startswith("   ") else ["", ".. code-block:: console", ""]
            shown.append(f"   {line[2:].strip()}")
        elif line == "| Examples:":
            shown.append("Examples:")
        else:
            shown += ["", line] if shown and shown[-1].startswith("   ") else [line]
    lines[:] = shown


def _outside(app: Sphinx, page: str, source: list[str]) -> None:
    """What lies in the repository and not on the site is named instead of linked."""

    def named(link: re.Match[str]) -> str:
        target = (DOCS / page).parent.joinpath(link[2]).resolve()
        inside = target.is_relative_to(DOCS) or not target.exists()  # one that is nowhere is for Sphinx to refuse
        return link[0] if inside else f"{link[1]} (`{target.relative_to(DOCS.parent)}` in the repository)"

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)", named, source[0])


def setup(app: Sphinx) -> None:
    """Write the pages of plug-ins before Sphinx looks which pages there are."""
    _plugin_pages.write(DOCS / "reference" / "plugins")
    app.connect("source-read", _outside)
    for part in ("description", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _as_code)
    app.connect("autodoc-process-docstring", _as_written)
