"""Several runs as one static site: leaderboards of each data set and over all of them, and each run's report behind.

In: stores, archives of stores, and folders of both. Out: a folder of pages that open offline and can be published.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctrbench.axes import about_smaller, smaller_shares
from ctrbench.errors import UserError
from ctrbench.files import refuse_existing, whole_file
from ctrbench.interfaces import MethodRole
from ctrbench.leaderboard import Entry
from ctrbench.report import clock, difference, filled, page, row_of
from ctrbench.report.tables import Grid, grids
from ctrbench.results import DatasetInfo
from ctrbench.store import transfer
from ctrbench.store.runs import RunResults
from ctrbench.store.store import NoRunError, Store
from ctrbench.text import encodable, fault
from ctrbench.verdict import GeneratorVerdict, Outcome, Verdict, verdicts

ARCHIVE, STORE = ".zip", ".db"
_MADE_BY = "<footer>Made by ctrbench."
"""What stands in each of our pages."""


@dataclass(frozen=True)
class Source:
    """A run, and where it was read."""

    results: RunResults
    origin: str
    verdicts: Sequence[Verdict]  # none where it has no answer

    @property
    def file(self) -> str:
        """The file of its report within the site."""
        return f"runs/{self.results.run}.html"  # letters, digits, _ and -: a store reads no other

    @property
    def finished(self) -> bool:
        """Whether the run had come to its end when it was copied."""
        return self.results.finished is not None

    @property
    def repeats(self) -> str:
        """How many are shown, and whether the run was to go on."""
        return self.results.info.repeated + ("" if self.finished else ", unfinished")

    @property
    def about(self) -> str:
        """Suite, repeats, date, and the versions of ctrbench and of what brought plug-ins, in a line."""
        info = self.results.info
        ours = {f"ctrbench {each.libraries.get('ctrbench', '-')}" for each in self.results.machines}
        theirs = {f"{name} {version}" for each in self.results.machines for name, version in each.plugins.items()}
        budget = f", budget {info.budget:g}" if info.budget != 1 else ""
        made = f"{self.repeats}{budget}, {clock(self.results.started)}"
        return f"suite {info.suite}, {made}, {', '.join([*sorted(ours), *sorted(theirs - ours)])}, from {self.origin}"


@dataclass(frozen=True)
class Place:
    """What a run says of a generator on a data set."""

    source: Source
    verdict: Verdict
    said: GeneratorVerdict


@dataclass(frozen=True)
class Section:
    """The leaderboard of one data set in one metric."""

    dataset: str
    metric: str
    fingerprint: str
    which: str  # tells it from other data sets of that name, as in " (data 0123456789ab)"
    places: Sequence[Place]  # candidates, the best first and those without a score last, then controls

    @property
    def title(self) -> str:
        """Its data set and metric."""
        return f"{self.dataset}: {self.metric}{self.which}"

    @property
    def label(self) -> str:
        """Its data set, among those of its metric."""
        return f"{self.dataset}{self.which}"

    @property
    def told(self) -> DatasetInfo:
        """What its first run says of its data set."""
        return self.places[0].source.results.info.datasets[self.dataset]

    @property
    def candidates(self) -> list[Place]:
        """Its places of candidates that have their scores."""
        return [place for place in self.places if place.said.role is MethodRole.CANDIDATE and place.said.best]

    @property
    def sources(self) -> list[tuple[Source, str]]:
        """Its runs, each with its answer."""
        mine = sorted({p.source.file: p for p in self.places}.values(), key=lambda place: place.source.results.started)
        return [(each.source, each.verdict.lines[0].removeprefix(f"{each.verdict.dataset}: ")) for each in mine]

    @property
    def tables(self) -> list[tuple[str, list[Grid]]]:
        """A table of candidates, and one of controls."""
        columns = ["generator", "verdict", "where it does best, Δ ± 95 %", "where it does best, in", "privacy flags"]
        columns.append("run")
        found, files = [], [source.file for source, _ in self.sources]
        for role in MethodRole:
            mine = [place for place in self.places if place.said.role is role]
            rows = [[*row_of(place.said), str(files.index(place.source.file) + 1)] for place in mine]
            found += [(f"{role.value.capitalize()}s", grids(columns, rows))] if rows else []
        return found


@dataclass(frozen=True)
class Overall:
    """Candidates on several data sets, in one metric."""

    table: list[Grid]
    notes: list[str]


def write(places: Sequence[Path], folder: Path, *, force: bool = False) -> list[str]:
    """Make the site; the names of its runs. `force` writes over an earlier one, of which no other page is left.

    UserError where a place is none, or holds no run with an answer.
    """
    index = folder / "index.html"
    with _opened(places) as stores:
        found = _sources(stores)
        sources = [source for source in found if source.verdicts]
        if not sources:
            raise UserError(f"{', '.join(map(str, places))}: no run with an answer; `ctrbench run` makes one")
        mine = [folder / source.file for source in sources]
        earlier = _earlier(folder / "runs")
        for file in (index, *mine, *earlier):
            if not force:
                refuse_existing(file, "say --force")
            elif os.path.exists(file) and _MADE_BY not in _text(file):
                name = encodable(str(file))
                raise UserError(f"{name}: is no page of an earlier site; remove it, or name another folder")
        try:
            (folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{encodable(str(folder))}: cannot be made ({fault(error)}); name a folder") from None
        pages = [(file, page(source.results)) for file, source in zip(mine, sources, strict=True)]
        sections = _sections(sources)
        shown = {"sections": sections, "sources": sources, "overall": over_all(sections)}
        pages.append((index, filled("site.html", **shown, silent=[source for source in found if not source.verdicts])))
    for file, text in pages:
        with whole_file(file) as target:
            target.write(text.encode())
    for file in set(earlier).difference(mine):
        _remove(file)
    return [source.results.run for source in sources]


def _earlier(folder: Path) -> list[Path]:
    """The reports of an earlier site: pages of ours that have the names of the runs in their titles."""
    if not os.path.isdir(folder):  # nor a name that no system takes
        return []
    pages = ((file, _text(file)) for file in sorted(folder.glob("*.html")))
    return [file for file, text in pages if _MADE_BY in text and f", {file.stem}</title>" in text]


def _text(file: Path) -> str:
    """What a file holds; nothing where it is none, or cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace") if os.path.isfile(file) else ""
    except OSError:
        return ""


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError as error:
        raise UserError(f"{encodable(str(file))}: of an earlier site, cannot be removed ({fault(error)})") from None


@contextmanager
def _opened(places: Sequence[Path]) -> Iterator[list[tuple[str, Store]]]:
    """The stores at some places, each with where it was found; archives are unpacked for as long as this lasts."""
    with ExitStack() as stack:
        unpacked = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = []
        for number, file in enumerate(_files(places)):
            archived = file.suffix == ARCHIVE
            store = Store.open(str(unpacked / f"{number}.db" if archived else file), create=archived)
            stack.callback(store.close)
            if archived:
                transfer.import_(store, file)
            found.append((file.name, store))
        yield found


def _files(places: Iterable[Path]) -> Iterator[Path]:
    """Stores and archives, of a folder all that lie in it."""
    for place in places:
        if os.path.isdir(place):  # nor a name that no system takes
            inside = sorted(file for file in place.iterdir() if file.suffix in (ARCHIVE, STORE))
            if not inside:
                raise UserError(f"{encodable(str(place))}: no store (*{STORE}) and no archive (*{ARCHIVE}) is in it")
            yield from inside
        elif os.path.exists(place):
            yield place
        else:
            raise UserError(f"{encodable(str(place))}: there is no such file or folder")


def _sources(stores: Iterable[tuple[str, Store]]) -> list[Source]:
    """Their runs, each once: of several copies the one that knows most of it."""
    found: dict[str, Source] = {}
    for origin, store in stores:
        for head in store.runs():
            known = found.get(head.run)
            if known and known.finished:
                continue
            try:
                results = store.load_run(head.run)
            except NoRunError:  # it was stopped before its grid was known
                continue
            source = Source(results, origin, [each for each in verdicts(results) if each.best])
            if known is None or _knows(source) > _knows(known):
                found[head.run] = source
    return list(found.values())


def _knows(source: Source) -> tuple[bool, bool, int]:
    """A finished run before one that was copied while it went on, then an answer before none, then more repeats."""
    return source.finished, bool(source.verdicts), source.results.info.repeats


def _sections(sources: Sequence[Source]) -> list[Section]:
    """A section for each data set and metric, data sets of one name told apart by their fingerprints."""
    found: dict[tuple[str, str, str], list[Place]] = defaultdict(list)
    for source in sources:
        for verdict in source.verdicts:
            fingerprint = source.results.info.datasets[verdict.dataset].fingerprint
            found[verdict.dataset, verdict.metric, fingerprint] += [
                Place(source, verdict, said) for said in verdict.generators
            ]
    names = [key[:2] for key in found]
    return [
        Section(
            name,
            metric,
            fingerprint,
            f" (data {fingerprint[:12]})" if names.count((name, metric)) > 1 else "",
            sorted(places, key=_order),
        )
        for (name, metric, fingerprint), places in sorted(found.items())
        if places
    ]


def _order(place: Place) -> tuple[bool, bool, float]:
    """As a run's own verdict has them: candidates before controls, what is shown to help before a luckier gain."""
    return place.said.role is MethodRole.CONTROL, place.said.outcome is not Outcome.HELPS, -_gain(place)


def over_all(sections: Sequence[Section]) -> dict[str, Overall]:
    """For each metric in which candidates were tried on several data sets, a table of these."""
    metrics = dict.fromkeys(section.metric for section in sections)
    found = {metric: _over_all([section for section in sections if section.metric == metric]) for metric in metrics}
    return {metric: overall for metric, overall in found.items() if overall}


def _over_all(sections: Sequence[Section]) -> Overall | None:
    """Candidates in one metric: where the run with most repeats says that they help, and their gains there.

    A data set is its rows, whatever a run calls it; of a log at several shares of train the largest is one.
    """
    tried = {section.label: section for section in sections if section.candidates}
    smaller = smaller_shares({label: section.told for label, section in tried.items()})
    datasets: dict[str, str] = {}
    best: dict[str, dict[str, Place]] = defaultdict(dict)
    for label, section in tried.items():
        if label in smaller:
            continue
        datasets.setdefault(section.fingerprint, label)
        for place in section.candidates:
            other = best[place.said.generator].get(section.fingerprint)
            if other is None or _weight(place) > _weight(other):
                best[place.said.generator][section.fingerprint] = place
    if len(datasets) < 2:
        return None
    rows: list[tuple[int, float, list[Entry | str]]] = []
    for generator, places in best.items():
        helps = sum(place.said.outcome is Outcome.HELPS for place in places.values())
        hurts = sum(place.said.outcome is Outcome.HURTS for place in places.values())
        cells = [difference(places[each].said.best if each in places else None) for each in datasets]
        row: list[Entry | str] = [generator, f"{helps} of {len(places)}", f"{hurts} of {len(places)}", *cells]
        rows.append((helps, statistics.fmean(map(_gain, places.values())), row))
    rows.sort(key=lambda each: (each[0], each[1]), reverse=True)
    table = grids(["generator", "helps in", "hurts in", *datasets.values()], [row for _, _, row in rows])
    return Overall(table, about_smaller(smaller))


def _weight(place: Place) -> tuple[int, float]:
    """More repeats before fewer, then later before earlier."""
    return place.source.results.info.repeats, place.source.results.started


def _gain(place: Place) -> float:
    """Its difference where it does best, for the better; less than any where scores are missing."""
    if place.said.best is None:
        return -math.inf
    better = place.source.results.info.prediction_metrics[place.verdict.metric].better
    return place.said.best.mean if better == "higher" else -place.said.best.mean
