"""The tables and pictures of docs/results, made from the archives of results beside them.

In: `*.zip.xz` in a folder, packed archives of `ctrbench store export --without-rows`, and pages with marks. Out: the
pages with their tables updated, and the pictures; identical bytes each time.

    make results
    python benchmarks/replication/results.py --folder docs/results
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from itertools import groupby, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np
from ctrbench import UserError, intervals, load
from ctrbench.effects import Arm, Effects
from ctrbench.interfaces import Score
from ctrbench.intervals import ALPHA, Effect
from ctrbench.reading import Results
from ctrbench.report import canvas, drawing
from ctrbench.results import PoolResult, most_flagged
from ctrbench.significance import friedman, ranks_of
from ctrbench.store import transfer
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.verdict import verdict
from tabulate import tabulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results"
PAPER = ("gaussian_copula", "smoten[chunks=4]")
CONTROLS = ("smoten", "random_oversampling", "independent", "negative_sampling")
SIMULATED = ("simulated", "simulated_scaled")  # as planned first, and with networks for its size
EVERYWHERE = ("gaussian_copula", "smoten", "random_oversampling", "independent")
LONG = ("tvae", "ctgan", "copulagan", "tabddpm")
SCENARIOS = ("S1", "S2", "S3", "S4", "S5")
GROUPS = {"negatives: S3, S4": ("S3", "S4"), "positives: S1, S2": ("S1", "S2"), "pool alone: S5": ("S5",)}
MODELS = ("deepfm", "dnn", "masknet")
TITLES = {
    "smoten[chunks=4]": "SMOTEN, 4 chunks",
    "gaussian_copula": "Gaussian copula",
    "tvae": "TVAE",
    "ctgan": "CTGAN",
    "copulagan": "CopulaGAN",
    "tabddpm": "TabDDPM",
}


class Fit(NamedTuple):
    """What was made of a generator whose fit is long, by the paper's name, and what of it is not as planned."""

    name: str
    of: Effects
    generator: str
    but: str = ""

    def said(self, title: str = "") -> str:
        """A title that says so."""
        title = title or TITLES[self.name]
        return f"{title} ({self.but})" if self.but else title


Place = tuple[Effects, Arm]
"""An arm of a run."""


class Together:
    """Several runs of one suite seed, read as one: a repeat has the same model seeds and test rows in each.

    So a mean over their generators is taken within each repeat that all of them have, as within a run.
    """

    def __init__(self, runs: Sequence[Effects]) -> None:
        self.artefacts, self.metric = runs[0].results.artefacts, runs[0].metric
        cells = [(of, cell) for of in runs for arm in of.cells for cell in of.cells[arm] if self.metric in cell.scores]
        self.cells = {(of, cell.training): cell for of, cell in cells}  # another device trains another model

    def contrast(self, places: Sequence[Place], less: Sequence[Place] = ()) -> Effect:
        """The mean of some differences, each to its own run's `original`, less the mean of others."""
        repeats = min(of.results.info.repeats for of, _ in (*places, *less))
        number = {key: i for i, key in enumerate(self.cells)}
        weights = np.zeros((repeats, len(number)))
        for sign, group in ((1, places), (-1, less)):
            for of, arm in group:
                for way, each in ((sign, arm), (-sign, Arm("", "original", arm.model))):
                    for cell in (cell for cell in of.cells[each] if cell.repeat < repeats):
                        weights[cell.repeat, number[of, cell.training]] += way / len(group)
        values = np.array([cell.scores[self.metric].value for cell in self.cells.values()])
        return intervals.effect(weights @ values, weights @ self._shared @ weights.T)

    @cached_property
    def _shared(self) -> NDArray[np.float64]:
        """What any two trainings owe to the test rows that they share, (trainings, trainings)."""
        assert self.artefacts is not None
        return self.artefacts.products([cell.contributions[self.metric] for cell in self.cells.values()])


class Replication:
    """The paper's tables, and the same question on other logs."""

    def __init__(self, runs: Sequence[Results]) -> None:
        of_suite = _by_suite(runs)
        self.runs = {suite: of_suite[suite] for suite in ("frappe", "logs", *SIMULATED)}
        self.frappe = Effects(of_suite["frappe"].stored, "frappe", "auc")
        self.long = _long(of_suite)
        self.repeated = [(self.frappe, name) for name in PAPER]
        self.repeated += [(fit.of, fit.generator) for fit in self.long if fit.of.results.info.repeats > 1]
        family = [  # the plan's, in which no control is
            (of, Arm(generator, *each)) for of, generator in self.repeated for each in product(SCENARIOS, MODELS)
        ]
        judged = self.frappe.family([of.cell(arm) for of, arm in family])
        self.judged = {arm: tested for (_, arm), tested in zip(family, judged, strict=True)}
        self.together = Together(list(dict.fromkeys(of for of, _ in self.repeated)))
        self.whose = {"all": self.repeated, "both": self.repeated[: len(PAPER)]}
        self.whose |= {TITLES[name]: [(of, name)] for of, name in self.repeated}
        self.privacy = _effects(runs, "frappe_privacy")

    def tables(self) -> dict[str, str]:
        """The page's tables by the name of their mark."""
        return {
            "runs": self._runs(),
            "claims": self._claims(),
            "scenarios": self._scenarios(),
            "probabilities": self._probabilities(),
            "generators": self._generators(),
            "cells": self._cells(),
            "long": self._long(),
            "identical": self._identical(),
            "privacy": self._privacy(),
            "movielens": self._log("logs", "movielens"),
            "seeds": self._seeds(),
            "simulated": self._log(SIMULATED[-1], "simulated"),
            "rare": self._log(SIMULATED[-1], "simulated[click_rate=0.02]"),
            "ranks": self._ranks(),
        }

    def picture(self) -> bytes:
        """The difference that each generator makes in each scenario that keeps real rows, with intervals."""
        panels = []
        places = [*self.repeated, *((self.frappe, name) for name in CONTROLS)]
        for scenario in SCENARIOS[:-1]:
            rows = [(TITLES.get(name, name), [_estimate(_mean(of, [name], scenario))]) for of, name in places]
            again = self.frappe.average([Arm("", "original_again", model) for model in MODELS])
            rows.append(("real rows, other seeds", [_estimate(again)]))
            recipe = self.frappe.results.info.scenarios[scenario].help
            panels.append(drawing.Forest(f"{scenario}: {recipe}", "one", rows))
        return canvas.render(partial(drawing.forest, panels, [""], "difference of test AUC to original"), "svg")

    def _runs(self) -> str:
        of_pools = {of.results.run: of.results for of in (*(fit.of for fit in self.long), *self.privacy)}
        return _runs([*(run.stored for run in self.runs.values()), *of_pools.values()])

    def _claims(self) -> str:
        """The mean over the paper's generators, models and both doses, and the least difference that can be seen."""
        rows = []
        for (name, scenarios), who in product(GROUPS.items(), self.whose):
            places = self._places(who, scenarios)
            effect = self.together.contrast(places)
            judged = [told.effect.mean for _, arm in places if (told := self.judged[arm]) and told.certain]
            cells = f"{sum(mean > 0 for mean in judged)} and {sum(mean < 0 for mean in judged)} of {len(places)}"
            paper = _units(float(np.mean([self._published(arm) for _, arm in places])))
            rows.append((name, who, _said(effect), paper, _units(effect.detectable)[1:], cells))
        heads = ["what is added", "by", "difference to original", "the paper's", "detectable"]
        return _table(rows, [*heads, "cells better, worse (Holm)"])

    def _places(self, who: str, scenarios: Sequence[str]) -> list[Place]:
        """The cells of these generators in these scenarios."""
        return [(of, Arm(name, *each)) for of, name in self.whose[who] for each in product(scenarios, MODELS)]

    def _published(self, arm: Arm) -> float:
        """The difference to `original` that the paper prints."""
        of = self._paper("Table 2")
        name = arm.generator.partition("[")[0]
        return of[(name, arm.scenario, arm.model)] - of[(name, "original", arm.model)]

    def _paper(self, title: str) -> Mapping[tuple[str, str, str], float]:
        """A table of the paper: its figures by generator, scenario and model."""
        tables = self.frappe.results.info.datasets["frappe"].published
        return next(one for one in tables if title in one.title).figures

    def _scenarios(self) -> str:
        """The mean difference of each scenario: over the paper's generators, and over each control."""
        of = self.frappe
        rows = []
        for scenario in SCENARIOS:
            groups = (PAPER, *((name,) for name in CONTROLS))
            rows.append((scenario, *(_said(_mean(of, group, scenario)) for group in groups)))
        noise = [_said(of.average([Arm("", "original_again", model) for model in MODELS])), *[""] * len(CONTROLS)]
        rows.append(("original_again", *noise))
        return _table(rows, ["scenario", "the paper's two", *CONTROLS])

    def _probabilities(self) -> str:
        """What is added to real rows, in logloss, and how many clicks are predicted for each that came."""
        columns: dict[str, tuple[Effects, Sequence[str]]] = {"the paper's two": (self.frappe, PAPER)}
        columns |= {TITLES[name]: (of, (name,)) for of, name in self.repeated if of is not self.frappe}
        columns |= {name: (self.frappe, (name,)) for name in CONTROLS}
        rows = {scenario: [scenario] for scenario in ("original", *SCENARIOS[:-1])}
        for of, names in columns.values():
            logloss, ratio = (Effects(of.results, "frappe", name) for name in ("logloss", "calibration_ratio"))
            rows["original"].append(
                ", ".join(f"{_over_models(each, [''], 'original'):.3f}" for each in (logloss, ratio))
            )
            for scenario in SCENARIOS[:-1]:
                clicks = _over_models(ratio, names, scenario)
                rows[scenario].append(f"{_said(_mean(logloss, names, scenario))}, {clicks:.3f}")
        return _table(list(rows.values()), ["scenario", *columns])

    def _generators(self) -> str:
        """The paper's generators against each control, in each scenario and in those of H4 together."""
        rows = []
        places = [*((scenario,) for scenario in SCENARIOS), ("S3", "S4")]
        for who, control in product(self.whose, ("independent", "negative_sampling", "random_oversampling")):
            told = []
            for scenarios in places:
                less = [(self.frappe, Arm(control, *each)) for each in product(scenarios, MODELS)]
                told.append(_said(self.together.contrast(self._places(who, scenarios), less)))
            rows.append((who, control, *told))
        return _table(rows, ["generator", "less control", *SCENARIOS, "S3 and S4"])

    def _cells(self) -> str:
        """Table 2 of the paper next to ours."""
        of, figures = self.frappe, self._paper("Table 2")
        rows = []
        for scenario in ("original", *SCENARIOS):
            for model in MODELS:
                row = [scenario, model]
                for generator in PAPER:
                    arm = Arm("" if scenario == "original" else generator, scenario, model)
                    paper = figures[(generator.partition("[")[0], scenario, model)]
                    row += [f"{paper:.5f}", f"{_level(of, arm):.5f}{self._mark(arm)}"]
                for name, fits in groupby(self.long, lambda fit: fit.name):
                    row.append(f"{figures[(name, scenario, model)]:.5f}")
                    for fit in fits:
                        arm = Arm("" if scenario == "original" else fit.generator, scenario, model)
                        row.append(f"{_level(fit.of, arm):.5f}{self._mark(arm)}")
                rows.append(row)
        heads = [f"{TITLES[name]}, {whose}" for name in PAPER for whose in ("paper", "ours")]
        for name, fits in groupby(self.long, lambda fit: fit.name):
            heads += [f"{TITLES[name]}, paper", *(fit.said(f"{TITLES[name]}, ours") for fit in fits)]
        return _table(rows, ["", "", *heads])

    def _mark(self, arm: Arm) -> str:
        """Whether a cell is better or worse than `original`, as far as the plan's family tells."""
        tested = self.judged.get(arm)
        return "" if tested is None or not tested.certain else ("▲" if tested.effect.mean > 0 else "▼")

    def _long(self) -> str:
        """The differences of what has a long fit; of a pool that stands alone, nothing that holds for another."""
        rows = []
        for fit, scenario in product(self.long, SCENARIOS):
            cells = (fit.of.cell(Arm(fit.generator, scenario, model)) for model in MODELS)
            paper = (_units(self._published(Arm(fit.name, scenario, model))) for model in MODELS)
            rows.append((fit.said(), scenario, *map(_said, cells), ", ".join(paper)))
        return _table(rows, ["pool", "scenario", *MODELS, "the paper's"])

    def _identical(self) -> str:
        """Table 1 of the paper next to ours."""
        of = self.frappe
        figures = self._paper("Table 1")
        rows = []
        for generator in (*PAPER, *CONTROLS):
            pools = [pool for pool in of.results.pools if pool.generator == generator]
            figure = f"{figures[(generator.partition('[')[0], '', '')]:,.0f}" if generator in PAPER else ""
            rows.append((TITLES.get(generator, generator), figure, *_copies(pools)))
        for fit in self.long:
            figure = f"{figures[(fit.name, '', '')]:,.0f}"
            rows.append((fit.said(), figure, *_copies(_pools(fit.of, fit.generator))))
        return _table(
            rows,
            ["generator", "paper", "ours", "ours, distinct", "expected of real rows", "dcr_share", "detection"],
        )

    def _privacy(self) -> str:
        """What each metric says of the pools and, in brackets, of as many real rows; "!" where it flags most pools."""
        shown = dict.fromkeys((of, pool.generator) for of in self.privacy for pool in of.results.pools)
        rows = []
        for metric in self.privacy[0].results.info.synthetic_metrics:
            row = [metric]
            for of, name in shown:
                scores = _scores(of, name, metric)
                value, real = (np.mean([getattr(score, part) for score in scores]) for part in ("value", "baseline"))
                flag = " !" if most_flagged(scores) else ""
                row.append(f"{_number(value)} ({_number(real)}){flag}")
            rows.append(row)
        return _table(rows, ["", *(TITLES.get(name, name) for _, name in shown)])

    def _log(self, suite: str, dataset: str) -> str:
        of = Effects(self.runs[suite].stored, dataset, "auc")
        rows = [
            (generator, *(_said(of.generator(generator, [scenario])) for scenario in SCENARIOS))
            for generator in of.applicable
        ]
        rows.append(("mean of the candidates", *(_said(of.scenario(scenario)) for scenario in SCENARIOS)))
        return _table(rows, ["generator", *SCENARIOS])

    def _seeds(self) -> str:
        """How far seeds alone move the networks on the simulated log, by their settings."""
        rows = []
        for dataset, model in product(self.runs["simulated"].stored.info.datasets, ("dnn", "deepfm")):
            arms = [Arm("", name, model) for name in ("original", "original_again")]
            row = [dataset, model]
            for suite in SIMULATED:
                of = Effects(self.runs[suite].stored, dataset, "auc")
                found = [score for arm in arms for score in of.scores(arm) if score is not None]
                row.append(f"{min(found):.3f} … {max(found):.3f}")
            rows.append(row)
        return _table(rows, ["log", "model", "at Frappe's settings", "at those of `quick`"])

    def _ranks(self) -> str:
        """The mean rank of each generator over all logs, by what is added, with the test of Friedman."""
        suites = ("frappe", "logs", SIMULATED[-1])
        places = [
            (self.runs[suite].stored, dataset) for suite in suites for dataset in self.runs[suite].stored.info.datasets
        ]
        logs = [Effects(stored, dataset, "auc") for stored, dataset in places]
        rows = []
        for added, scenarios in GROUPS.items():
            gains = [[of.generator(name, scenarios) for of in logs] for name in EVERYWHERE]
            table = np.array([[effect.mean for effect in effects if effect] for effects in gains])  # of equal lengths
            ranks, found = ranks_of(table).mean(axis=1), friedman(table)
            groups = [", ".join(EVERYWHERE[i] for i in group) for group in found.groups]
            alike = "; ".join(groups) if found.p < ALPHA else "all"
            rows.append((added, *(f"{rank:.2f}" for rank in ranks), f"{found.p:.3f}", alike))
        return _table(rows, ["what is added", *EVERYWHERE, "Friedman, p", "not told apart (Nemenyi)"])


class Today:
    """Generators of today beside the paper's: what a pool is worth, what it gives away, and what a budget buys."""

    def __init__(self, runs: Sequence[Results]) -> None:
        of_suite = _by_suite(runs)
        self.frontier = [
            Effects(of_suite[suite].stored, "frappe", "auc")
            for suite in ("frappe_frontier", "frappe_modern", "frappe_cdtd")
        ]
        self.budget = {name: of for of in _effects(runs, "frappe_budget") for name in of.generators}
        self.long = _long(of_suite)
        metrics = self.frontier[0].results.info.synthetic_metrics
        self.attacks = [name for name, told in metrics.items() if told.aspect == "privacy"]
        self.generators = [(of, told) for of in self.frontier for told in verdict(of).generators]

    def tables(self) -> dict[str, str]:
        """The page's tables by the name of their mark."""
        runs = _runs([of.results for of in dict.fromkeys((*self.frontier, *self.budget.values()))])
        return {"frontier": self._frontier(), "budget": self._budget(), "runs": runs}

    def picture(self) -> bytes:
        """What `dnn` learns from a pool alone, against the privacy metrics that flag most of a generator's pools."""
        points = []
        for of, told in self.generators:
            gain = _estimate(of.cell(Arm(told.generator, "S5", "dnn")))
            points.append(None if gain is None else (float(len(told.flagged)), gain))
        panel = drawing.Scatter(f"privacy metrics that flag most pools, of {len(self.attacks)}", "lower", points)
        names = [told.generator for _, told in self.generators]
        seconds = [told.seconds or 0.0 for _, told in self.generators]
        return canvas.render(
            partial(drawing.scatter, [panel], names, seconds, "S5: difference of test AUC to original", "higher"), "svg"
        )

    def _frontier(self) -> str:
        """A row a generator, best in S5 first."""
        rows = []
        shown = [name for name in ("S5", "S4") if any(name in of.family_scenarios for of in self.frontier)]
        for of, told in self.generators:
            name = told.generator
            worth, pools = _level(of, Arm(name, "S5", "dnn")), len(_pools(of, name))
            differences = [_said(of.cell(Arm(name, scenario, "dnn"))) for scenario in shown]
            flags = f"{len(told.flagged)} of {told.judged}"
            some = sum(any(score.flagged for score in _scores(of, name, attack)) for attack in self.attacks)
            means = [_score(of, name, metric) for metric in ("identical", "interaction_disclosure", "detection")]
            row = (pools, flags, some, f"{means[0]:,.0f}", *(f"{value:.3f}" for value in means[1:]))
            rows.append((-worth, (name, f"{worth:.4f}", *differences, *row, f"{told.seconds or 0.0:,.1f}")))
        heads = ["S5, AUC", *(f"{scenario} − original" for scenario in shown), "pools", "flags", "of any pool"]
        heads += ["identical", "interaction_disclosure", "detection", "seconds"]
        return _table([row for _, row in sorted(rows)], ["generator", *heads])

    def _budget(self) -> str:
        """A row a generator and budget; the last are those of the paper's tables."""
        parts = [(of, name, name) for name, of in sorted(self.budget.items(), key=lambda item: _budget_of(item[0]))]
        for fit in self.long:
            if fit.name != "copulagan":  # which is CTGAN here
                tells = fit.generator.startswith(f"{fit.name}[")
                parts.append((fit.of, fit.generator, fit.generator if tells else fit.said("tvae, its whole fit")))
        rows = []
        for of, name, shown in parts:
            identical, detection = (_score(of, name, metric) for metric in ("identical", "detection"))
            worth = _level(of, Arm(name, "S5", "dnn"))
            rows.append((shown, f"{worth:.4f}", f"{detection:.3f}", f"{identical:,.0f}"))
        return _table(rows, ["generator", "S5, AUC", "detection", "identical"])


def _long(of_suite: Mapping[str, Results]) -> list[Fit]:
    """What was made of those whose fits are long, in the paper's order; a GPU's pool of TVAE was read from a file."""
    tvae, file, tenth = (
        Effects(of_suite[suite].stored, "frappe", "auc") for suite in ("frappe_tvae", "paper", "frappe_tenth")
    )
    found = [
        Fit("tvae", tvae, "tvae", f"{_done(tvae.results)} repeats"),
        Fit("tvae", file, file.generators[0], "one pool, of a GPU"),
    ]
    found += [Fit(name.partition("[")[0], tenth, name, "a tenth of its fit") for name in tenth.generators]
    copulagan = [fit._replace(name="copulagan", but=f"as CTGAN, {fit.but}") for fit in found if fit.name == "ctgan"]
    return sorted([*found, *copulagan], key=lambda fit: LONG.index(fit.name))


def _done(stored: RunResults) -> str:
    return f"{stored.info.repeats} of {stored.asked_repeats or stored.info.repeats}"


def _effects(runs: Sequence[Results], suite: str) -> list[Effects]:
    """Those of each whole run of a suite on Frappe."""
    whole = [each.stored for each in runs if each.stored.info.suite == suite and each.stored.finished]
    return [Effects(stored, "frappe", "auc") for stored in whole]


def _by_suite(runs: Sequence[Results]) -> dict[str, Results]:
    return {each.stored.info.suite: each for each in runs}


def _budget_of(generator: str) -> tuple[str, int]:
    """A generator's name, and its number of epochs or steps, which alone tell budgets apart."""
    return generator.partition("[")[0], int(re.findall(r"(?:epochs|steps)=(\d+)", generator)[0])


def _level(of: Effects, arm: Arm) -> float:
    """The mean score of an arm over its repeats."""
    return float(np.mean([score for score in of.scores(arm) if score is not None]))


def _over_models(of: Effects, generators: Sequence[str], scenario: str) -> float:
    """The mean score of some generators in a scenario, over repeats and models."""
    return float(np.mean([_level(of, Arm(name, scenario, model)) for name in generators for model in MODELS]))


def _pools(of: Effects, generator: str) -> list[PoolResult]:
    return [pool for pool in of.results.pools if pool.generator == generator and pool.result.ok]


def _scores(of: Effects, generator: str, metric: str) -> list[Score]:
    return [pool.scores[metric] for pool in _pools(of, generator) if metric in pool.scores]


def _score(of: Effects, generator: str, metric: str) -> float:
    """The mean of a metric over a generator's pools, NaN where it has none."""
    found = [score.value for score in _scores(of, generator, metric)]
    return float(np.mean(found)) if found else float("nan")


def _runs(runs: Sequence[RunResults]) -> str:
    """Where the numbers come from."""
    rows = []
    for stored in runs:
        libraries = stored.machines[-1].libraries
        data = ", ".join(f"{name.split('[')[0]} {one.fingerprint[:12]}" for name, one in stored.info.datasets.items())
        versions = f"{libraries['ctrbench']}, torch {libraries['torch']}"
        device = str(stored.machines[-1].gpu.get("name") or "CPU")
        rows.append((stored.run, stored.info.suite, stored.info.seed, _done(stored), data, versions, device))
    return _table(rows, ["run", "suite", "seed", "repeats", "data, fingerprint", "ctrbench", "device"])


def _copies(pools: Sequence[PoolResult]) -> tuple[str, ...]:
    """Identical rows, distinct ones, those expected of real rows; and two other metrics: means over pools."""

    def mean(metric: str, of: Callable[[Score], float | None]) -> float:
        found = [of(pool.scores[metric]) for pool in pools]
        return float(np.mean([value for value in found if value is not None]))

    return (
        f"{mean('identical', lambda score: score.value):,.0f}",
        f"{mean('identical', lambda score: float(score.details['distinct'])):,.0f}",
        f"{mean('identical', lambda score: score.baseline):,.0f}",
        f"{mean('dcr_share', lambda score: score.value):.3f}",
        f"{mean('detection', lambda score: score.value):.3f}",
    )


def _estimate(effect: Effect | None) -> drawing.Estimate | None:
    if effect is None:
        return None
    certain = effect.interval is not None and effect.interval[0] * effect.interval[1] > 0
    return drawing.Estimate(effect.mean, effect.interval, certain)


def _mean(of: Effects, generators: Sequence[str], scenario: str) -> Effect | None:
    return of.average([Arm(name, scenario, model) for name in generators for model in MODELS])


def _said(effect: Effect | None) -> str:
    if effect is None:
        return "not done"
    bounds = None if effect.basis == "test rows only" else effect.interval  # of one training nothing is known
    return _units(effect.mean) + ("" if bounds is None else f" ({_units(bounds[0])} … {_units(bounds[1])})")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value > 1 else f"{value:.3f}"


def _units(difference: float) -> str:
    """A difference of AUC in units of .00001."""
    return f"{round(1e5 * difference):+,}".replace("-", "−")


def _table(rows: Sequence[Sequence[object]], heads: Sequence[str]) -> str:
    assert all(len(row) == len(heads) for row in rows)  # tabulate would put nameless columns first
    return tabulate(rows, heads, "github", disable_numparse=True)


@contextmanager
def opened(folder: Path) -> Iterator[list[Results]]:
    """All runs of the archives that have cells; they can be read within the block."""
    with TemporaryDirectory() as place:
        where = str(Path(place) / "results.db")
        with closing(Store.open(where)) as store:
            for packed in sorted(folder.glob("*.zip.xz")):
                archive = Path(place) / packed.stem
                archive.write_bytes(lzma.decompress(packed.read_bytes()))
                transfer.import_(store, archive)
                archive.unlink()
            runs = sorted(each.run for each in store.runs())
        found = []
        for run in runs:
            with suppress(UserError):  # a run that only supplied results to another
                found.append(load(where, run))
        yield found


def renewed(page: str, tables: dict[str, str]) -> str:
    """The page with each table between its marks."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        block = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(block.findall(page)) != 1:
            raise click.ClickException(f"the page needs {begin} and {end}, once, to write between")
        page = block.sub(lambda _, text=f"{begin}\n\n{table}\n\n{end}": text, page)  # type: ignore[misc]
    return page


PAGES: dict[str, tuple[str, type[Replication] | type[Today]]] = {
    "README.md": ("scenarios.svg", Replication),
    "frontier.md": ("frontier.svg", Today),
}
"""Each page with its picture, and what makes both."""


@click.command(help=__doc__)
@click.option("--folder", type=click.Path(path_type=Path, exists=True), default=FOLDER, help="page and archives")
@click.option("--to", type=click.Path(path_type=Path), help="where to write instead, for a comparison")
def main(folder: Path, to: Path | None) -> None:
    """Update the pages and the reports."""
    to = to or folder
    to.mkdir(parents=True, exist_ok=True)
    with opened(folder) as runs:
        for page, (picture, maker) in PAGES.items():
            made = maker(runs)
            text = renewed((folder / page).read_text(encoding="utf-8"), made.tables())
            (to / page).write_text(text, encoding="utf-8")
            (to / picture).write_bytes(made.picture())
        for name in ("frappe", "logs", SIMULATED[-1]):
            _by_suite(runs)[name].report(to / f"{name}.html", force=True)


if __name__ == "__main__":
    main()
