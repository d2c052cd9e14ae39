"""The process that does one job in an environment of a plug-in's own.

In: a job, over a line to the worker that has it. Out: over the same line, what it is at and what came of it.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from ctrbench.perform import Workspace, perform
from ctrbench.store.artefacts import Artefacts


def main(number: int) -> None:
    """Do the job that comes over a line, which is an open file of that number."""
    line = Connection(number)
    job, settings = line.recv()
    workspace = Workspace(
        Artefacts(Path(settings["artefacts"])),
        Path(settings["checkpoints"]),
        settings["budget"],
        settings["deadline"],
        lambda *said: line.send(("progress", *said)),
        lambda stage: line.send(("stage", stage)),
    )
    line.send(("done", perform(job, workspace)))
