"""A headless Chromium from Debian's packages, told what to do over its DevTools protocol: how a page stands and looks.

In: a page, and the renderings in which it is to be seen. Out: what is measured of it, and its console.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PAPER = 718
"""Width of an A4 sheet between margins of a centimetre, in pixels of CSS."""


@dataclass(frozen=True)
class Rendering:
    """A window, or a sheet of paper."""

    width: int
    dark: bool = False
    printed: bool = False


RENDERINGS = {
    "wide": Rendering(1440),
    "tablet": Rendering(768),
    "phone": Rendering(390),
    "print": Rendering(PAPER, printed=True),
    "dark": Rendering(1440, dark=True),
}

_MEASURE = Path(__file__).with_name("measure.js").read_text()


class Browser:
    """One page of a running Chromium."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = os.fdopen(send, "wb", 0), os.fdopen(receive, "rb")
        self._number, self._session = 0, ""
        self._buffer = b""
        self.console: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; what it gives back."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        self._send.write(json.dumps(asked).encode() + b"\0")
        while (heard := self._next()).get("id") != self._number:
            pass
        if "error" in heard:
            raise RuntimeError(f"{method}: {heard['error']}")
        found: dict[str, Any] = heard["result"]
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._receive.fileno(), 1 << 20)
            if not piece:
                raise RuntimeError("chromium has ended")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        about = heard.get("params", {})
        if heard.get("method") == "Runtime.exceptionThrown":
            self.console.append(about["exceptionDetails"].get("exception", {}).get("description", str(about)))
        elif heard.get("method") == "Log.entryAdded":
            self.console.append(about["entry"]["text"])
        elif heard.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(each.get("value")) for each in about["args"]))
        return heard

    def open(self, page: str | Path) -> None:
        """Show a page, a text of HTML or a file."""
        if isinstance(page, str):
            self("Page.navigate", url="about:blank")
            frame = self("Page.getFrameTree")["frameTree"]["frame"]["id"]
            self("Page.setDocumentContent", frameId=frame, html=page)
        else:
            self("Page.navigate", url=page.as_uri())
        while self.evaluate("document.readyState") != "complete":
            pass

    def render(self, how: Rendering, height: int = 900) -> None:
        """Stand in a window of that kind."""
        self("Emulation.setDeviceMetricsOverride", width=how.width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if how.dark else "light"}
        self("Emulation.setEmulatedMedia", media="print" if how.printed else "screen", features=[scheme])

    def evaluate(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def measure(self) -> dict[str, Any]:
        """What is wrong with the page as it stands: see measure.js."""
        found: dict[str, Any] = self.evaluate(_MEASURE)
        return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium that ends with the block."""
    assert PROGRAM, "there is no chromium here"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()

        os.set_inheritable(theirs_in, True)
        os.set_inheritable(theirs_out, True)
        words = shlex.join([PROGRAM, *_FLAGS, f"--user-data-dir={folder}"])
        running = subprocess.Popen(  # the protocol speaks through the files 3 and 4
            ["bash", "-c", f"exec {words} 3<&{theirs_in} 4>&{theirs_out}"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            running.terminate()
            running.wait(20)
