"""A headless Chromium from Debian's packages: how a page stands in windows of some widths, and its complaints."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--log-level=0",
    "--hide-scrollbars",
)  # fmt: skip
# The page stands unchanged in frames of the wanted widths; the script is the page's around them.
_FRAME = '<iframe width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>'
_MEASURE = """<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const wide = [...page.querySelectorAll("body *")].filter(element => {
      if (element.closest("svg") && element.tagName !== "svg") return false;
      const box = element.parentElement.closest(".scroll");
      return !box && element.getBoundingClientRect().right > root.clientWidth + 1;
    });
    return {
      width: root.clientWidth, scrollWidth: root.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 200)),
      figures: [...page.querySelectorAll("figure svg")].map(e => e.getBoundingClientRect().width),
      fetched: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
      text: page.body.innerText.length, ids: [...page.querySelectorAll("[id]")].map(e => e.id),
    };
  });
  document.title = JSON.stringify(found);
});
</script>"""


def look(page: str, widths: Sequence[int]) -> tuple[list[dict[str, Any]], list[str]]:
    """What is measured of a page at each width, and all lines of its console."""
    assert PROGRAM, "there is no chromium here"
    frames = "".join(_FRAME.format(width=width, page=html.escape(page)) for width in widths)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "frames.html")
        file.write_text(f'<!DOCTYPE html><meta charset="utf-8"><title></title>{frames}{_MEASURE}', encoding="utf-8")
        done = subprocess.run(
            [PROGRAM, *_FLAGS, f"--user-data-dir={folder}/profile", "--dump-dom", file.as_uri()],
            capture_output=True, text=True, timeout=90,
        )  # fmt: skip
    title = re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, f"chromium shows nothing: {done.stderr[-800:]}"
    return json.loads(html.unescape(title[1])), re.findall(r".*:CONSOLE.*", done.stderr)
