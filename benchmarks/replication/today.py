"""The page of today's generators: what a pool is worth, what it gives away, and what a budget buys."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import telling
from ctrbench.effects import Arm, Effects
from ctrbench.reading import Results
from ctrbench.report import canvas, drawing
from ctrbench.verdict import verdict
from fits import long_fits


class Today:
    """Generators of today beside the paper's: what a pool is worth, what it gives away, and what a budget buys."""

    def __init__(self, runs: Sequence[Results]) -> None:
        of_suite = telling.by_suite(runs)
        self.frontier = [
            Effects(of_suite[suite].stored, "frappe", "auc")
            for suite in ("frappe_frontier", "frappe_modern", "frappe_cdtd")
        ]
        self.budget = {name: of for of in telling.effects(runs, "frappe_budget") for name in of.generators}
        self.long = long_fits(of_suite)
        metrics = self.frontier[0].results.info.synthetic_metrics
        self.attacks = [name for name, told in metrics.items() if told.aspect == "privacy"]
        self.generators = [(of, told) for of in self.frontier for told in verdict(of).generators]

    def tables(self) -> dict[str, str]:
        """The page's tables by the name of their mark."""
        runs = telling.runs([of.results for of in dict.fromkeys((*self.frontier, *self.budget.values()))])
        return {"frontier": self._frontier(), "budget": self._budget(), "runs": runs}

    def picture(self) -> bytes:
        """What `dnn` learns from a pool alone, against the privacy metrics that flag most of a generator's pools."""
        points = []
        for of, told in self.generators:
            gain = telling.estimate(of.cell(Arm(told.generator, "S5", "dnn")))
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
            worth, pools = telling.level(of, Arm(name, "S5", "dnn")), len(telling.pools(of, name))
            differences = [telling.said(of.cell(Arm(name, scenario, "dnn"))) for scenario in shown]
            flags = f"{len(told.flagged)} of {told.judged}"
            some = sum(any(score.flagged for score in telling.scores(of, name, attack)) for attack in self.attacks)
            means = [telling.score(of, name, metric) for metric in ("identical", "interaction_disclosure", "detection")]
            row = (pools, flags, some, f"{means[0]:,.0f}", *(f"{value:.3f}" for value in means[1:]))
            rows.append((-worth, (name, f"{worth:.4f}", *differences, *row, f"{told.seconds or 0.0:,.1f}")))
        heads = ["S5, AUC", *(f"{scenario} − original" for scenario in shown), "pools", "flags", "of any pool"]
        heads += ["identical", "interaction_disclosure", "detection", "seconds"]
        return telling.table([row for _, row in sorted(rows)], ["generator", *heads])

    def _budget(self) -> str:
        """A row a generator and budget, the pools of the paper's tables among them; a whole fit comes last."""
        parts = [(of, name, name) for name, of in self.budget.items()]
        for fit in self.long:
            if fit.name != "copulagan":  # which is CTGAN here
                tells = fit.generator.startswith(f"{fit.name}[")
                parts.append((fit.of, fit.generator, fit.generator if tells else fit.said("tvae, its whole fit")))
        rows = []
        for of, name, shown in sorted(parts, key=lambda part: _budget_of(part[2])):
            identical, detection = (telling.score(of, name, metric) for metric in ("identical", "detection"))
            worth = telling.level(of, Arm(name, "S5", "dnn"))
            rows.append((shown, f"{worth:.4f}", f"{detection:.3f}", f"{identical:,.0f}"))
        return telling.table(rows, ["generator", "S5, AUC", "detection", "identical"])


def _budget_of(shown: str) -> tuple[str, float]:
    """A generator's name, and its number of epochs or steps, which alone tell budgets apart."""
    told = re.search(r"(?:epochs|steps)=(\d+)", shown)
    return re.split(r"[\[,]", shown)[0], int(told[1]) if told else math.inf
