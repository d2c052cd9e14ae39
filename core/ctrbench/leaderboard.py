"""Turns the results of a run into leaderboards: scenarios, privacy, generators, cost.

In: a `RunResults`. Out: `Board`s, tables of text beside the bare numbers; a reporter prints them. A mean never passes
over a missing value: a cell that failed shows as a footnote.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ctrbench.results import CellResult, PoolResult, Status, TaskResult
from ctrbench.store import RunResults
from ctrbench.text import counted

View = Literal["scenarios", "privacy", "generators", "cost"]
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True)
class Entry:
    """One place of a table."""

    text: str
    best: bool = False


@dataclass
class Board:
    """A table for people, and the same as records for machines."""

    view: View
    dataset: str
    title: str
    columns: tuple[str, ...]
    rows: list[list[Entry]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def boards(results: RunResults, views: Iterable[View] = VIEWS, metric: str = "") -> list[Board]:
    """The leaderboards of a run; `metric` names the prediction metric, by default the first of the run."""
    made: list[Board] = []
    for view in views:
        for dataset in results.about["datasets"]:
            made += _VIEWS[view](_Part.of(results, dataset, metric))
    for board in made:
        board.records = [record | {"budget": results.about["budget"]} for record in board.records]
    return made


def remarks(results: RunResults) -> list[str]:
    """What holds for all tables of a run: how it was made, and what is missing from it."""
    about = results.about
    versions = _merged(environment["libraries"] for environment in results.environments)
    lines = [
        f"run {results.run}: suite {about['suite']}, seed {about['seed']}, repeats {about['repeats']}, "
        f"ctrbench {versions['ctrbench']}, torch {versions.get('torch', '-')}"
    ]
    if about["budget"] != 1:
        lines.append(
            f"budget {about['budget']:g}: every epoch and step count was multiplied by it; not the full settings"
        )
    if results.finished is None:
        lines.append("the run did not come to its end: what is missing was not yet run; the same command goes on")
    mixed = [name for name, found in versions.items() if "," in found]
    if mixed:
        lines.append(
            "results of different versions stand side by side: " + "; ".join(f"{n} {versions[n]}" for n in mixed)
        )
    for name, data in about["datasets"].items():
        rows = ", ".join(f"{split} {count:,}" for split, count in data["rows"].items())
        lines.append(f"data {name}: fingerprint {data['fingerprint'][:12]}, rows {rows}")
        lines += [f"data {name}: {note}" for note in data["notes"]]
    lines += [f"left out: {reason}" for reason in about["left_out"]]
    lines += [f"data set that could not be loaded: {error}" for error in about["failed_data"]]
    lines += [f"broken plug-in: {error}" for error in about["broken"]]
    return lines


def failures(results: RunResults) -> list[str]:
    """Each failed task of a run in one line that names the plug-in, with how many cells it cost."""
    count: dict[str, int] = defaultdict(int)
    for cell in results.cells:
        for result in [cell.result, *(cell.failed_scores.values() if cell.ok else ())]:
            if not result.ok and result.status is not Status.SKIPPED:
                count[result.describe()] += 1
    for pool in results.pools:
        for result in pool.failed_scores.values() if pool.result.ok else ():
            if result.status is not Status.SKIPPED:
                count[result.describe()] += 1
    return [f"{text} ({counted(n, 'cell')})" for text, n in count.items()]


@dataclass
class _Part:
    """The results of one data set, indexed as the views need them."""

    results: RunResults
    dataset: str
    metric: str
    cells: dict[tuple[str, str, str], list[CellResult]]  # generator, scenario, model → repeats
    pools: dict[str, list[PoolResult]]  # generator → repeats
    models: list[str]
    footnotes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, results: RunResults, dataset: str, metric: str) -> _Part:
        cells: dict[tuple[str, str, str], list[CellResult]] = defaultdict(list)
        pools: dict[str, list[PoolResult]] = defaultdict(list)
        for cell in results.cells:
            if cell.dataset == dataset:
                cells[cell.generator, cell.scenario, cell.model].append(cell)
        for pool in results.pools:
            if pool.dataset == dataset:
                pools[pool.generator].append(pool)
        metric = metric or next(iter(results.about["prediction_metrics"]), "")
        return cls(results, dataset, metric, dict(cells), dict(pools), list(dict.fromkeys(m for _, _, m in cells)))

    @property
    def better(self) -> str:
        better: str = self.results.about["prediction_metrics"].get(self.metric, {}).get("better", "neither")
        return better

    def board(self, view: View, title: str, columns: Sequence[str]) -> Board:
        return Board(view, self.dataset, f"{self.dataset}: {title}", tuple(columns))

    def score(self, cell: CellResult) -> float | None:
        score = cell.scores.get(self.metric)
        return score.value if score else None

    def entry(
        self, values: Sequence[float | None], causes: Iterable[TaskResult], style: str, best: bool = False
    ) -> Entry:
        """The mean of all repeats, or the footnote of what is missing."""
        good = [value for value in values if value is not None]
        if values and len(good) == len(values):
            spread = f" ±{format(statistics.stdev(good), style.replace('+', ''))}" if len(good) > 1 else ""
            return Entry(format(statistics.fmean(good), style) + spread, best)
        cause = next((c for c in causes if not c.ok), None)
        return Entry(self.footnote(cause.describe() if cause else "not run"))

    def footnote(self, text: str) -> str:
        return f"— [{self.footnotes.setdefault(text, len(self.footnotes) + 1)}]"

    def finish(self, board: Board, *notes: str) -> Board:
        board.notes += [f"[{number}] {text}" for text, number in self.footnotes.items()]
        board.notes += notes
        self.footnotes.clear()
        return board

    def mean(self, generator: str, scenario: str, model: str) -> float | None:
        """The mean score over repeats; None unless every repeat has one."""
        values = [self.score(cell) for cell in self.cells.get((generator, scenario, model), [])]
        good = [value for value in values if value is not None]
        return statistics.fmean(good) if good and len(good) == len(values) else None

    @property
    def compared(self) -> list[str]:
        """The models that `original` has a score of, in every repeat: for all generators the same."""
        return [model for model in self.models if self.mean("", "original", model) is not None]

    def gains(self, generator: str, scenario: str) -> list[float | None]:
        """The gain over `original` of every such model and repeat, paired by the model seed."""
        return [
            None if (a := self.score(cell)) is None or (b := self.score(base)) is None else a - b
            for model in self.compared
            for cell, base in zip(
                self.cells.get((generator, scenario, model), []),
                self.cells.get(("", "original", model), []),
                strict=False,
            )
        ]


def _scenarios(part: _Part) -> list[Board]:
    """As the paper's Table 2: for every generator the scenarios, a column a model, the best of each column marked."""
    if not part.metric:
        return []
    repeats = part.results.about["repeats"]
    spread = f", mean ± sd of {repeats} repeats" if repeats > 1 else ""
    board = part.board("scenarios", f"test {part.metric} by scenario{spread}", ["generator", "scenario", *part.models])
    for generator in ["", *part.pools]:
        mine = list(dict.fromkeys(s for g, s, _ in part.cells if g == generator))
        for scenario in mine:
            row = [Entry(generator or "none"), Entry(scenario)]
            for model in part.models:
                cells = part.cells[generator, scenario, model]
                rivals = {("", "original"), *((generator, s) for s in mine)}
                column = [part.mean(g, s, model) for g, s in rivals]
                best = _is_best(part.mean(generator, scenario, model), column, part.better)
                causes = [c.failed_scores.get(part.metric, c.result) if c.ok else c.result for c in cells]
                row.append(part.entry([part.score(cell) for cell in cells], causes, ".5f", best))
            board.rows.append(row)
    for cell in (cell for cells in part.cells.values() for cell in cells):
        board.records.append(
            {**_names(cell), "metric": part.metric, "value": part.score(cell), "status": str(cell.result.status)}
        )
    if part.better == "neither":
        return [part.finish(board)]
    return [part.finish(board, "bold: the best of a generator and model, where it is better than original")]


def _privacy(part: _Part) -> list[Board]:
    """As the paper's Table 1: each metric of synthetic rows, beside what it is for real rows of the holdout."""
    made = []
    for metric, about in part.results.about["synthetic_metrics"].items():
        scores = [p.scores[metric] for pools in part.pools.values() for p in pools if metric in p.scores]
        details = list(dict.fromkeys(name for score in scores for name in score.details))
        columns = ["generator", "click rate", f"{metric} ({about['unit']})", "expected of real rows", *details]
        board = part.board("privacy", metric, columns)
        for generator, pools in part.pools.items():
            causes = [p.result if not p.result.ok else p.failed_scores.get(metric, p.result) for p in pools]
            found = [p.scores.get(metric) for p in pools]
            rates = [p.result.values.get("click_rate") for p in pools]
            row = [Entry(generator), part.entry(rates, causes, ".3f")]
            row.append(part.entry([s.value if s else None for s in found], causes, ",.10g"))
            if any(s is not None and s.baseline is None for s in found):
                row.append(Entry(""))
            else:
                row.append(part.entry([s.baseline if s else None for s in found], causes, ",.6g"))
            row += [part.entry([s.details.get(d) if s else None for s in found], causes, ",.6g") for d in details]
            board.rows.append(row)
            board.records += [_pool_record(p, metric) for p in pools]
        if board.rows:
            made.append(part.finish(board, *_shared_pools(part)))
    return made


def _generators(part: _Part) -> list[Board]:
    """Generators by their mean gain over `original`, over all models and repeats, in scenarios that keep real rows."""
    about = part.results.about["scenarios"]
    scenarios = list(dict.fromkeys(s for g, s, _ in part.cells if g))
    if not scenarios or not part.metric:
        return []
    kept = [s for s in scenarios if about[s]["keeps_real"]]
    title = f"mean Δ{part.metric} against original, over {', '.join(part.compared)}"
    board = part.board("generators", title, ["rank", "generator", "Δ real + synthetic", "cells better", *scenarios])
    ranked: list[tuple[float, list[Entry]]] = []
    sign = -1 if part.better == "lower" else 1
    for generator in part.pools:
        gains = {s: part.gains(generator, s) for s in scenarios}
        mine = [c for (g, _, m), cells in part.cells.items() if g == generator and m in part.compared for c in cells]
        causes = [c.failed_scores.get(part.metric, c.result) for c in mine]
        of_kept = [gain for s in kept for gain in gains[s]]
        good = [gain for gain in of_kept if gain is not None]
        whole = bool(good) and len(good) == len(of_kept)
        mean = statistics.fmean(good) if whole else None
        wins = f"{sum(sign * gain > 0 for gain in good)} of {len(of_kept)}"
        row = [Entry(generator), part.entry([mean] if of_kept else [], causes, "+.5f"), Entry(wins)]
        for s in scenarios:
            found = [gain for gain in gains[s] if gain is not None]
            complete = bool(found) and len(found) == len(gains[s])
            row.append(part.entry([statistics.fmean(found) if complete else None], causes, "+.5f"))
            board.records.append(
                {"dataset": part.dataset, "generator": generator, "scenario": s, "metric": f"Δ{part.metric}",
                 "value": statistics.fmean(found) if complete else None, "cells": len(gains[s])}
            )  # fmt: skip
        ranked.append((float("-inf") if mean is None else sign * mean, row))
    ranked.sort(key=lambda pair: -pair[0])
    for place, (value, row) in enumerate(ranked, 1):
        rank = Entry(str(place) if value > float("-inf") else "—")
        board.rows.append([rank, row[0], Entry(row[1].text, best=place == 1 and value > float("-inf")), *row[2:]])
    left_out = [f"{m} failed on original and is left out for all" for m in part.models if m not in part.compared]
    left_out += _without_pool(part)
    advice = "gains as small as the noise of seeds mean nothing: see the spread over --repeats"
    return [part.finish(board, *_shared_pools(part), *left_out, advice)]


def _without_pool(part: _Part) -> list[str]:
    """The gains of scenarios that use no pool, which a generator's should be seen beside."""
    scenarios = dict.fromkeys(s for g, s, _ in part.cells if not g and s != "original")
    said = []
    for scenario in scenarios:
        gains = [gain for gain in part.gains("", scenario) if gain is not None]
        if gains:
            gain = f"Δ{part.metric} {statistics.fmean(gains):+.5f} over {counted(len(gains), 'cell')}"
            said.append(f"{scenario}: {gain} ({part.results.about['scenarios'][scenario]['help']})")
    return said


def _cost(part: _Part) -> list[Board]:
    """What pools and trainings cost: seconds a stage and peak resident memory, means over tasks."""
    columns = ["kind", "plug-in", "tasks", "fit s", "sample / predict s", "peak memory MB", "facts"]
    board = part.board("cost", "time and memory of a task", columns)
    trained: dict[str, dict[str, TaskResult]] = defaultdict(dict)
    for cell in (cell for cells in part.cells.values() for cell in cells):
        trained[cell.model][cell.training] = cell.result
    groups = [("generator", name, [p.result for p in pools]) for name, pools in part.pools.items()]
    groups += [("model", name, list(trained[name].values())) for name in part.models]
    for kind, name, results in groups:
        causes = [result for result in results if not result.ok]
        second = "sample" if kind == "generator" else "predict"
        done = [result for result in results if result.ok]
        row = [Entry(kind), Entry(name), Entry(str(len(done)))]
        for stage in ("fit", second):
            row.append(part.entry([r.seconds.get(stage) for r in done], causes, ".2f"))
        row.append(part.entry([r.peak_memory / 1e6 for r in done], causes, ",.0f"))
        board.rows.append([*row, Entry(_facts(done))])
        board.records += [
            {"dataset": part.dataset, "kind": kind, "plugin": name, "seconds": dict(r.seconds),
             "peak_memory": r.peak_memory, "facts": dict(r.values.get("facts", {})), "status": str(r.status)}
            for r in results
        ]  # fmt: skip
    memory = "peak memory is that of the worker process, the libraries of the whole run included"
    return [part.finish(board, *_shared_pools(part), memory)]


_VIEWS: dict[View, Callable[[_Part], list[Board]]] = {
    "scenarios": _scenarios,
    "privacy": _privacy,
    "generators": _generators,
    "cost": _cost,
}


def _shared_pools(part: _Part) -> list[str]:
    shared = dict.fromkeys((name, p.same_as) for name, pools in part.pools.items() for p in pools if p.same_as)
    return [f"{name} equals {other} on this data and shares its pool" for name, other in shared]


def _is_best(value: float | None, column: Iterable[float | None], better: str) -> bool:
    good = [other for other in column if other is not None]
    if value is None or better == "neither" or len(good) < 2:
        return False
    return value == (max(good) if better == "higher" else min(good))


def _facts(results: Sequence[TaskResult]) -> str:
    """The facts that all tasks agree on."""
    facts = [dict(result.values.get("facts", {})) for result in results]
    if not facts:
        return ""
    agreed = {name: value for name, value in facts[0].items() if all(other.get(name) == value for other in facts)}
    return ", ".join(f"{name} {_short(value)}" for name, value in agreed.items())


def _short(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _names(cell: CellResult) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "generator": cell.generator,
        "scenario": cell.scenario,
        "model": cell.model,
        "repeat": cell.repeat,
    }


def _pool_record(pool: PoolResult, metric: str) -> dict[str, Any]:
    score = pool.scores.get(metric)
    record = {
        "dataset": pool.dataset,
        "generator": pool.generator,
        "repeat": pool.repeat,
        "metric": metric,
        "value": score.value if score else None,
        "baseline": score.baseline if score else None,
        "status": str(pool.result.status),
    }
    return dict(score.details if score else {}) | record  # what a plug-in calls "value" is not the value


def _merged(versions: Iterable[dict[str, str]]) -> dict[str, str]:
    """For each library all its versions, in the order of their appearance."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for each in versions:
        for name, version in each.items():
            found[name][version] = None
    return {name: ", ".join(all_) for name, all_ in found.items()}
