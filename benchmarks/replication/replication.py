"""The page of the replication: the paper's tables, and the same question on other logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby, product

import numpy as np
import telling
from ctrbench.effects import Arm, Effects
from ctrbench.intervals import ALPHA
from ctrbench.reading import Results
from ctrbench.report import canvas, drawing
from ctrbench.results import most_flagged
from ctrbench.significance import friedman, ranks_of
from fits import TITLES, long_fits
from telling import MODELS
from together import Place, Together

PAPER = ("gaussian_copula", "smoten[chunks=4]")
CONTROLS = ("smoten", "random_oversampling", "independent", "negative_sampling")
SIMULATED = ("simulated", "simulated_scaled")  # as planned first, and with networks for its size
EVERYWHERE = ("gaussian_copula", "smoten", "random_oversampling", "independent")
SCENARIOS = ("S1", "S2", "S3", "S4", "S5")
GROUPS = {"negatives: S3, S4": ("S3", "S4"), "positives: S1, S2": ("S1", "S2"), "pool alone: S5": ("S5",)}


class Replication:
    """The paper's tables, and the same question on other logs."""

    def __init__(self, runs: Sequence[Results]) -> None:
        of_suite = telling.by_suite(runs)
        self.runs = {suite: of_suite[suite] for suite in ("frappe", "logs", *SIMULATED)}
        self.frappe = Effects(of_suite["frappe"].stored, "frappe", "auc")
        self.long = long_fits(of_suite)
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
        self.privacy = telling.effects(runs, "frappe_privacy")

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
            rows = [
                (TITLES.get(name, name), [telling.estimate(telling.mean(of, [name], scenario))]) for of, name in places
            ]
            again = self.frappe.average([Arm("", "original_again", model) for model in MODELS])
            rows.append(("real rows, other seeds", [telling.estimate(again)]))
            recipe = self.frappe.results.info.scenarios[scenario].help
            panels.append(drawing.Forest(f"{scenario}: {recipe}", "one", rows))
        return canvas.render(partial(drawing.forest, panels, [""], "difference of test AUC to original"), "svg")

    def _runs(self) -> str:
        of_pools = {of.results.run: of.results for of in (*(fit.of for fit in self.long), *self.privacy)}
        return telling.runs([*(run.stored for run in self.runs.values()), *of_pools.values()])

    def _claims(self) -> str:
        """The mean over the paper's generators, models and both doses, and the least difference that can be seen."""
        rows = []
        for (name, scenarios), who in product(GROUPS.items(), self.whose):
            places = self._places(who, scenarios)
            effect = self.together.contrast(places)
            judged = [told.effect.mean for _, arm in places if (told := self.judged[arm]) and told.certain]
            cells = f"{sum(mean > 0 for mean in judged)} and {sum(mean < 0 for mean in judged)} of {len(places)}"
            paper = telling.units(float(np.mean([self._published(arm) for _, arm in places])))
            rows.append((name, who, telling.said(effect), paper, telling.units(effect.detectable)[1:], cells))
        heads = ["what is added", "by", "difference to original", "the paper's", "detectable"]
        return telling.table(rows, [*heads, "cells better, worse (Holm)"])

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
            rows.append((scenario, *(telling.said(telling.mean(of, group, scenario)) for group in groups)))
        noise = [
            telling.said(of.average([Arm("", "original_again", model) for model in MODELS])),
            *[""] * len(CONTROLS),
        ]
        rows.append(("original_again", *noise))
        return telling.table(rows, ["scenario", "the paper's two", *CONTROLS])

    def _probabilities(self) -> str:
        """What is added to real rows, in logloss, and how many clicks are predicted for each that came."""
        columns: dict[str, tuple[Effects, Sequence[str]]] = {"the paper's two": (self.frappe, PAPER)}
        columns |= {TITLES[name]: (of, (name,)) for of, name in self.repeated if of is not self.frappe}
        columns |= {name: (self.frappe, (name,)) for name in CONTROLS}
        rows = {scenario: [scenario] for scenario in ("original", *SCENARIOS[:-1])}
        for of, names in columns.values():
            logloss, ratio = (Effects(of.results, "frappe", name) for name in ("logloss", "calibration_ratio"))
            rows["original"].append(
                ", ".join(f"{telling.over_models(each, [''], 'original'):.3f}" for each in (logloss, ratio))
            )
            for scenario in SCENARIOS[:-1]:
                clicks = telling.over_models(ratio, names, scenario)
                rows[scenario].append(f"{telling.said(telling.mean(logloss, names, scenario))}, {clicks:.3f}")
        return telling.table(list(rows.values()), ["scenario", *columns])

    def _generators(self) -> str:
        """The paper's generators against each control, in each scenario and in those of H4 together."""
        rows = []
        places = [*((scenario,) for scenario in SCENARIOS), ("S3", "S4")]
        for who, control in product(self.whose, ("independent", "negative_sampling", "random_oversampling")):
            told = []
            for scenarios in places:
                less = [(self.frappe, Arm(control, *each)) for each in product(scenarios, MODELS)]
                told.append(telling.said(self.together.contrast(self._places(who, scenarios), less)))
            rows.append((who, control, *told))
        return telling.table(rows, ["generator", "less control", *SCENARIOS, "S3 and S4"])

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
                    row += [f"{paper:.5f}", f"{telling.level(of, arm):.5f}{self._mark(arm)}"]
                for name, fits in groupby(self.long, lambda fit: fit.name):
                    row.append(f"{figures[(name, scenario, model)]:.5f}")
                    for fit in fits:
                        arm = Arm("" if scenario == "original" else fit.generator, scenario, model)
                        row.append(f"{telling.level(fit.of, arm):.5f}{self._mark(arm)}")
                rows.append(row)
        heads = [f"{TITLES[name]}, {whose}" for name in PAPER for whose in ("paper", "ours")]
        for name, fits in groupby(self.long, lambda fit: fit.name):
            heads += [f"{TITLES[name]}, paper", *(fit.said(f"{TITLES[name]}, ours") for fit in fits)]
        return telling.table(rows, ["", "", *heads])

    def _mark(self, arm: Arm) -> str:
        """Whether a cell is better or worse than `original`, as far as the plan's family tells."""
        tested = self.judged.get(arm)
        return "" if tested is None or not tested.certain else ("▲" if tested.effect.mean > 0 else "▼")

    def _long(self) -> str:
        """The differences of what has a long fit; of a pool that stands alone, nothing that holds for another."""
        rows = []
        for fit, scenario in product(self.long, SCENARIOS):
            cells = (fit.of.cell(Arm(fit.generator, scenario, model)) for model in MODELS)
            paper = (telling.units(self._published(Arm(fit.name, scenario, model))) for model in MODELS)
            rows.append((fit.said(), scenario, *map(telling.said, cells), ", ".join(paper)))
        return telling.table(rows, ["pool", "scenario", *MODELS, "the paper's"])

    def _identical(self) -> str:
        """Table 1 of the paper next to ours."""
        of = self.frappe
        figures = self._paper("Table 1")
        rows = []
        for generator in (*PAPER, *CONTROLS):
            pools = [pool for pool in of.results.pools if pool.generator == generator]
            figure = f"{figures[(generator.partition('[')[0], '', '')]:,.0f}" if generator in PAPER else ""
            rows.append((TITLES.get(generator, generator), figure, *telling.copies(pools)))
        for fit in self.long:
            figure = f"{figures[(fit.name, '', '')]:,.0f}"
            rows.append((fit.said(), figure, *telling.copies(telling.pools(fit.of, fit.generator))))
        return telling.table(
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
                scores = telling.scores(of, name, metric)
                value, real = (np.mean([getattr(score, part) for score in scores]) for part in ("value", "baseline"))
                flag = " !" if most_flagged(scores) else ""
                row.append(f"{telling.number(value)} ({telling.number(real)}){flag}")
            rows.append(row)
        return telling.table(rows, ["", *(TITLES.get(name, name) for _, name in shown)])

    def _log(self, suite: str, dataset: str) -> str:
        of = Effects(self.runs[suite].stored, dataset, "auc")
        rows = [
            (generator, *(telling.said(of.generator(generator, [scenario])) for scenario in SCENARIOS))
            for generator in of.applicable
        ]
        rows.append(("mean of the candidates", *(telling.said(of.scenario(scenario)) for scenario in SCENARIOS)))
        return telling.table(rows, ["generator", *SCENARIOS])

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
        return telling.table(rows, ["log", "model", "at Frappe's settings", "at those of `quick`"])

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
        return telling.table(rows, ["what is added", *EVERYWHERE, "Friedman, p", "not told apart (Nemenyi)"])
