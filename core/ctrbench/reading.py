"""The way in for whoever reads a run: `load` finds it, and `Results` shows it.

In: a store and the name of a run. Out: its verdict, findings, data frames, leaderboards, a report.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ctrbench import arguments
from ctrbench.errors import UserError
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.text import counted, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from ctrbench.findings import Finding
    from ctrbench.verdict import Verdict

STORE = "ctrbench.db"
"""The store where none is named, beside which its artefacts lie."""

T = TypeVar("T")
Some: TypeAlias = T | Sequence[T]
"""One, or several in a list or tuple."""


def load(store: str | os.PathLike[str] | None = None, run: str | None = None) -> Results:
    """A run that a store holds, the latest where none is named; UserError where it, or the store, is not there."""
    if run is not None:
        named = arguments.typed("run", run, str, "the name of a run, or None for the latest")
        if not named:
            raise UserError("run='' names no run; name one, or leave it out for the latest")
    with closing(Store.open(place_of(store), create=False)) as opened:
        return Results(opened.load_run(run), opened.database.shown)


def place_of(store: str | os.PathLike[str] | None) -> str:
    """The store that is meant, the usual one where none is named."""
    if store is None:
        return os.environ.get("CTRBENCH_STORE") or STORE
    return arguments.path("store", store, "a path or the URL of a database, as in 'results.db'")


@dataclass(frozen=True)
class Results:
    """A run, finished or not, and all that can be read from it."""

    stored: RunResults = field(repr=False)
    store: str = ""  # where it was read, without a password

    def __repr__(self) -> str:
        size = f"{counted(len(self.stored.cells), 'cell')}, {counted(len(self.stored.pools), 'pool')}"
        return f"<Results of run {self.run}{f' in {self.store}' if self.store else ''}: {size}>"

    @property
    def run(self) -> str:
        """The run's name in its store."""
        return self.stored.run

    def frame(self, what: str, metric: str = "") -> pd.DataFrame:
        """A tidy table: one row a thing, one column a number.

        `what` is scenarios, generators, doses, shares, slices, privacy, fidelity, cost, cells or pools (`ctrbench.tidy`
        says what each holds).
        `metric` is the prediction metric that differences are in, by default the run's first.
        """
        from ctrbench import tidy

        arguments.typed("frame", what, str, f"one of {', '.join(tidy.FRAMES)}")
        if what not in tidy.FRAMES:
            raise UserError(f"frame: no table {what!r}; {did_you_mean(what, tidy.FRAMES, 'there are')}")
        return tidy.FRAMES[what](self.stored, self._metric(metric))

    @cached_property
    def verdict(self) -> list[Verdict]:
        """What the run answers, for each data set, in its leading metric; `print(results.answer())` shows it."""
        from ctrbench.verdict import verdicts

        return verdicts(self.stored)

    def answer(self, metric: str = "", *, width: int = 80, colour: bool = False, brief: bool = False) -> str:
        """The verdict and one board for each data set; `brief` cuts them to 40 lines, as `ctrbench run` ends.

        A run without generators has no verdict: its scores are its answer, or what it cost where nothing was scored. So
        are those of the pools, where no model was trained.
        """
        from ctrbench import answer

        if not self.stored.cells and self.stored.pools:
            return self.leaderboards(("privacy", "fidelity", "cost"), metric, colour=colour)
        if not any(cell.generator for cell in self.stored.cells):
            scored = self.stored.cells and self.stored.info.prediction_metrics
            return self.leaderboards("scenarios" if scored else "cost", metric, colour=colour)
        return answer.answer(self.stored, self._metric(metric), width=width, colour=colour, brief=brief)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the run says of each scenario, for each data set, in its leading metric."""
        from ctrbench.effects import Effects
        from ctrbench.findings import findings

        info = self.stored.info
        return [each for name in info.datasets for each in findings(Effects(self.stored, name, info.leading_metric))]

    @property
    def failures(self) -> list[str]:
        """A line for each failed task, with how many cells it cost."""
        from ctrbench.failures import failures

        return [str(failure) for failure in failures(self.stored)]

    @property
    def sound(self) -> bool:
        """Whether nothing failed: no task, no data set, no plug-in that was to be run."""
        return not (self.failures or self.stored.info.broken or self.stored.info.failed_data)

    def leaderboards(
        self, views: Some[str] = (), metric: str = "", style: str = "table", *, colour: bool = False
    ) -> str:
        """The leaderboards as text: as a table, markdown, csv, json or latex; `colour` is for terminals."""
        from ctrbench import formats, leaderboard

        some = [views] if isinstance(views, str) else views
        for name in arguments.typed("views", some, (list, tuple), "names in a list"):
            arguments.typed("views", name, str, f"some of {', '.join(leaderboard.VIEWS)}")
        arguments.typed("style", style, str, f"one of {', '.join(formats.FORMATS)}")
        return formats.leaderboards(
            self.stored, some or leaderboard.DEFAULT_VIEWS, self._metric(metric), style, colour=colour
        )

    def report(self, file: str | os.PathLike[str], metric: str = "", *, force: bool = False) -> Path:
        """Write the run as one page of HTML that opens offline; `force` writes over a file that exists."""
        from ctrbench.files import refuse_existing, whole_file
        from ctrbench.report import page

        path = Path(arguments.path("file", file, "a path, as in 'report.html'"))
        if not arguments.flag("force", force):
            refuse_existing(path, "say force=True")
        text = page(self.stored, self._metric(metric)).encode()
        with whole_file(path) as target:
            target.write(text)
        return path

    def _metric(self, name: str) -> str:
        info = self.stored.info
        arguments.typed("metric", name, str, f"one of {', '.join(info.prediction_metrics)}")
        found = info.prediction_metric(name) if name else info.leading_metric
        if found is None:
            raise UserError(f"metric {name!r}: {did_you_mean(name, info.prediction_metrics, 'this run has')}")
        return found

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and the scenarios' table."""
        from markupsafe import Markup

        said = Markup("").join(Markup("<li>{}</li>").format(line) for each in self.verdict for line in each.lines)
        frame = self.frame("scenarios")
        frame["repeats"] = frame["repeats"].astype(object).where(frame["repeats"].notna(), "")
        of_p = dict.fromkeys(("p", "holm", "bh"), "{:.2g}".format)  # below .00001, too
        table = frame.to_html(index=False, float_format="{:z.5f}".format, formatters=of_p, na_rep="", escape=True)
        return Markup("<p>ctrbench run {}</p><ul>{}</ul>").format(self.run, said) + Markup(table)
