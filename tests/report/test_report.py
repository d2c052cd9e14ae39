"""The report and its figures: what they say, that they say it safely, and how a browser shows them."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import browser
import matplotlib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from ctrbench import MISSING, PRESENT, Field
from ctrbench.cli import main
from ctrbench.effects import Arm, Effects
from ctrbench.encoding import encode_splits
from ctrbench.findings import findings, headline
from ctrbench.interfaces import Better, Published, Score
from ctrbench.learning_curves import POINTS, Curves
from ctrbench.registry import Registry
from ctrbench.report import canvas, drawing, page
from ctrbench.report.marginals import _columns
from ctrbench.report.pictures import NAMES, estimate, pictures
from ctrbench.results import MetricInfo, ScenarioInfo, TaskResult
from ctrbench.store.artefacts import Artefacts
from ctrbench.store.runs import RunResults
from ctrbench_datasets.frappe import Frappe
from handmade import DONE, FAILED, GRID, cell, pool, results
from hostile import HOSTILE, UNSAFE, hostile_run
from recording import SUITE, Bench
from toys import log

FIGURES = [name for name in NAMES if name != "shares"]  # the run that is shown sees all of train

needs_chromium = pytest.mark.skipif(not browser.PROGRAM, reason="no chromium: pages are not opened in a browser")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, toy_registry: Registry) -> Bench:
    return Bench(tmp_path_factory.mktemp("store"), toy_registry)


@pytest.fixture(scope="module")
def run(bench: Bench) -> RunResults:
    suite = replace(SUITE, generators=("bootstrap", "twin"), models=("rate", "nan_model"), doses=(0.5, 2.0), repeats=3)
    return bench.run(suite)[1]


@pytest.fixture(scope="module")
def html(run: RunResults) -> str:
    return page(run)


def repeated(gains: dict[str, Sequence[float]], better: Better = "higher") -> RunResults:
    """A run of one generator and model with so many repeats as gains."""
    cells = [
        cell(generator, scenario, "m", 0.8 + gain, repeat)
        for scenario, all_ in {"original": [0.0] * len(next(iter(gains.values()))), **gains}.items()
        for generator in ["" if scenario == "original" else "vae"]
        for repeat, gain in enumerate(all_)
    ]
    metrics = {"auc": MetricInfo(better, "AUC")}
    return results(cells, [pool("vae", 4.0)], repeats=len(cells) // (len(gains) + 1), prediction_metrics=metrics)


class Outline(HTMLParser):
    """The parts of a page that matter to those who do not see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# What it says


def test_the_page_holds_every_board_every_figure_failures_and_provenance(run: RunResults, html: str) -> None:
    said = " ".join(Outline(html).words)
    for text in (
        "What was run", "Δhits by scenario", "toy_log: same", "time and memory of a task",
        "S1", "nan_model (toys", "predict returned", "twin equals bootstrap", run.run, "fingerprint",
        "Learning curves", "Marginals", "Utility, privacy and cost",
    ):  # fmt: skip
        assert text in said, text
    assert len(Outline(html).all("figure")) == len(FIGURES)


def test_a_failure_is_placed_by_its_file_and_not_by_the_folders_of_whoever_ran_it() -> None:
    traceback = 'Traceback (most recent call last):\n  File "/home/ann/plugins/gan.py", line 7, in fit\nValueError\n'
    failed = replace(cell("gan", "S5", "m", None), result=replace(FAILED, traceback=traceback))
    said = " ".join(Outline(page(results([cell("", "original", "m", 0.8), failed], []))).words)
    assert "(gan.py:7) (1 cell)" in said
    assert "/home/ann" not in said


def test_findings_claim_no_more_than_their_intervals() -> None:
    of = repeated({"S3": [0.010, 0.011, 0.012], "S5": [-0.1, 0.1, 0.05]})
    good, open_ = findings(Effects(of, "log", "auc"))
    assert (good.conclusion, open_.conclusion) == ("better", "undecided")
    assert "+0.01100 (95 % interval" in good.says
    assert "more than chance" in good.says
    assert "may be chance" in open_.says
    assert "Four of five such runs" in open_.says
    said = headline(Effects(of, "log", "auc"))
    assert said.startswith("S3 seems better than original; S5 cannot be told apart from original (1 generator, 1 model")


def test_what_is_sure_with_five_repeats_only_seems_so_with_fewer() -> None:
    sure, few = (Effects(repeated({"S3": [0.010, 0.011, 0.012, 0.011, 0.010][:n]}), "log", "auc") for n in (5, 3))
    assert headline(sure).startswith("S3 is better than original (")
    assert headline(few).startswith("S3 seems better than original (")
    assert "This is more than chance" in findings(sure)[0].says
    assert "This seems, with fewer than 5 repeats, more than chance" in findings(few)[0].says


def test_a_gain_is_worse_where_lower_is_better_and_different_where_neither_is() -> None:
    gains = {"S3": [0.010, 0.011, 0.012]}
    assert findings(Effects(repeated(gains, "lower"), "log", "auc"))[0].conclusion == "worse"
    assert findings(Effects(repeated(gains, "neither"), "log", "auc"))[0].conclusion == "different"


def test_one_repeat_claims_nothing() -> None:
    of = repeated({"S3": [0.2]})
    assert findings(Effects(of, "log", "auc"))[0].conclusion == "undecided"
    assert "nothing is claimed" in page(of)


def test_one_repeat_of_a_metric_with_contributions_has_an_interval_of_test_noise_only(
    tmp_path: Path,
) -> None:
    artefacts = Artefacts(tmp_path)
    digests = [artefacts.put_array(np.array(parts)) for parts in ([0.1, -0.1], [0.2, -0.2])]
    cells = [
        replace(cell(generator, scenario, "m", value), contributions={"auc": digest})
        for (generator, scenario, value), digest in zip(
            [("", "original", 0.8), ("vae", "S3", 0.9)], digests, strict=True
        )
    ]
    of = replace(results(cells, []), artefacts=artefacts)
    assert "test noise only" in findings(Effects(of, "log", "auc"))[0].says


def test_a_missing_score_is_named_and_never_passed_over() -> None:
    [_, s5] = findings(Effects(GRID, "log", "auc"))
    assert s5.conclusion == "unknown"
    assert "1 of 4 cells have no auc" in s5.says
    assert "gan (third 1.0): failed in fit" in s5.says


def test_what_no_mean_is_over_does_not_count_as_missing_from_it() -> None:
    control = [cell("random_oversampling", "S5", model, None) for model in ("dnn", "fm")]
    with_control = results([*GRID.cells, *control], [*GRID.pools, pool("random_oversampling", 1.0)])
    [_, s5] = findings(Effects(with_control, "log", "auc"))
    assert "1 of 4 cells have no auc" in s5.says


def test_where_no_metric_gave_a_verdict_none_is_said_to_have_passed() -> None:
    told = repeated({"S3": [0.01, 0.02, 0.01, 0.02, 0.015]})
    assert "none gave a verdict" in page(told)
    judged = replace(told.pools[0], scores={"identical": Score(4.0, 3.0, flagged=False)})
    assert "none, which is no proof" in page(replace(told, pools=[judged]))


def test_large_numbers_are_written_out() -> None:
    told = repeated({"S3": [0.01, 0.02, 0.01, 0.02, 0.015]})
    made = replace(told.pools[0].result, seconds={"fit": 12_345.0}, curves={"loss": [(1, 67_890.0), (2, 54_321.0)]})
    large = replace(told.pools[0], result=made, scores={"identical": Score(1_234_567.0, 3.0)})
    text = page(replace(told, pools=[large]))
    assert all(number in text for number in ("12,345 s", "1,234,567", "67,890", "54,321"))
    assert not re.search(r"\de\+\d", text)


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(
            results([cell("", "original", "m", None), cell("gan", "S3", "m", None)], [pool("gan", None)]),
            id="failures only",
        ),
        pytest.param(results([], []), id="nothing"),
        pytest.param(replace(GRID, finished=None), id="unfinished"),
        pytest.param(results(list(GRID.cells), [], prediction_metrics={}, synthetic_metrics={}), id="no metric"),
        pytest.param(results([cell("", "original", "m", 0.8)], []), id="original alone"),
    ],
)  # fmt: skip
def test_a_run_without_much_has_a_page_too(of: RunResults) -> None:
    text = page(of)
    assert ("did not come to its end" in text) == (of.finished is None)
    assert ("A method that fails is a result" in text) == any(not each.ok for each in of.cells)


def test_a_run_whose_pools_no_scenario_uses_names_their_generators_and_judges_no_scenario() -> None:
    text = page(results([cell("", "original", "m", 0.8)], [pool("vae", 40.0)]))
    assert "this run has no scenario that uses a pool" in text
    assert "<dt>Generators</dt><dd>vae</dd>" in text
    assert "Each scenario is judged" not in text


def test_several_data_sets_stand_one_after_the_other() -> None:
    other = {**GRID.info.datasets, "second": replace(GRID.info.datasets["log"], fingerprint="e" * 64)}
    cells = [*GRID.cells, *(replace(each, dataset="second") for each in GRID.cells)]
    text = page(replace(GRID, cells=cells, info=replace(GRID.info, datasets=other)))
    assert re.findall('<h2 id="(data-.)">(.*?)</h2>', text) == [("data-0", "log"), ("data-1", "second")]
    identities = re.findall(' id="(.*?)"', text)
    assert len(identities) == len(set(identities))


def test_lost_artefacts_cost_the_marginals_only(run: RunResults, tmp_path: Path) -> None:
    effects = Effects(replace(run, artefacts=Artefacts(tmp_path)), "toy_log", "hits")
    assert [picture.name for picture in pictures(effects, NAMES)] == [name for name in FIGURES if name != "marginals"]


@pytest.mark.parametrize("wrong", ["pool too short", "pool without labels", "pool of odd codes", "train of odd codes"])
def test_tables_that_cannot_be_counted_cost_the_marginals_only(run: RunResults, wrong: str) -> None:
    table = log(2 if "short" in wrong else 400, 1)
    if "odd codes" in wrong:
        table.rows["user"] = np.int32(99)
    assert run.artefacts is not None
    digest = run.artefacts.put_table(table.without_labels() if "labels" in wrong else table)
    made = [replace(each, result=replace(each.result, artefacts={"pool": digest})) for each in run.pools]
    data = {name: replace(each, artefacts={"train": digest}) for name, each in run.data.items()}
    of = replace(run, data=data) if "train" in wrong else replace(run, pools=made)
    assert pictures(Effects(of, "toy_log", "hits"), ["marginals"]) == []


def test_a_field_whose_numbers_are_all_missing_has_one_bar() -> None:
    frame = pd.DataFrame({"y": [0, 1] * 4, "x": [np.nan] * 8})
    train = encode_splits(frame, frame, frame, label="y", fields=[Field("x", "numeric")], source="", keep=["x"]).train
    assert [(title, list(names)) for title, names, _ in _columns(train, [train])] == [
        ("y", ["0", "1"]), ("x", [PRESENT, MISSING]), ("x (missing)", [PRESENT, MISSING]),
    ]  # fmt: skip


def test_marginals_are_shares_and_distances(run: RunResults) -> None:
    [picture] = pictures(Effects(run, "toy_log", "hits"), ["marginals"])
    assert picture.columns == ("column", "bootstrap")
    assert [row[0] for row in picture.rows] == ["label", "user", "item", "hour"]
    assert all(0 < float(row[1]) < 0.2 for row in picture.rows), "real rows drawn again are near, but not equal"


def test_published_figures_stand_beside_the_runs_own() -> None:
    figures = {("gan", "original", "dnn"): 0.98, ("gan", "S3", "dnn"): 0.99, ("gan", "S3", "other"): 0.97}
    tables = [
        Published("Table 2", "a paper", "auc", figures),
        Published("Table 1", "another", "identical", {("gan", "", ""): 1234}),
    ]
    data = {"log": replace(GRID.info.datasets["log"], published=tables)}
    cells = [replace(each, model=f"{each.model}[epochs=2]") for each in GRID.cells]
    of = results(cells, list(GRID.pools), datasets=data)
    text = page(of)
    assert "<li>published in: a paper</li>" in text
    assert "<li>published in: another</li>" in text, "each table has its own source"
    digits = '<span class="short">{}</span><span class="full">{}</span>'
    for row in (
        f'>gan</th><td>S3</td><td class="n">{digits.format("0.990", "0.99000")}</td>',
        f'<td class="n">{digits.format("0.820", "0.82000")}</td>',
        ">1,234</td>",
    ):
        assert row in text
    found = estimate(Effects(of, "log", "auc"), Arm("gan", "S3", "dnn[epochs=2]"))
    assert found
    assert found.published == pytest.approx(0.01)


def test_where_there_is_no_interval_nothing_is_said_of_its_error() -> None:
    scenarios, picture = pictures(Effects(GRID, "log", "auc"), ["scenarios", "cells"])
    assert {row[-1] for row in scenarios.rows} == {"—"}
    assert picture.notes == ["filled: stands after Holm's correction over all cells"]


def test_published_figures_of_real_rows_alone_say_what_they_are_and_how_they_vary() -> None:
    figures = {("", "original", "dnn"): 0.98405, ("", "original", "absent"): 0.9}
    deviations = {("", "original", "dnn"): 0.00051}
    table = Published("A benchmark", "its pages", "auc", figures, "mean of five runs", deviations)
    absent = replace(table, title="Others", figures={("", "original", "absent"): 0.9})
    of = results(list(GRID.cells), list(GRID.pools))
    data = {"log": replace(of.info.datasets["log"], published=[table, absent])}
    text = page(replace(of, info=replace(of.info, datasets=data)))
    assert "></th><td>original</td><td" in text
    assert "0.98405 ±0.00051" in text
    assert "published: mean of five runs" in text
    assert "Others" not in text


def test_frappe_brings_the_papers_two_tables_and_the_benchmarks_means() -> None:
    first, second, means, single = Frappe().published()
    assert means.figures["", "original", "dnn"] == 0.984045
    assert means.deviations["", "original", "dnn"] == 0.00051004
    assert set(means.figures) == set(means.deviations)
    assert "five" in means.statistic
    assert single.figures["", "original", "finalmlp"] == 0.986072
    assert "finalmlp; their mean is .98485" in single.statistic
    assert (len(first.figures), len(second.figures)) == (6, 6 * 6 * 3)
    assert first.figures["smoten", "", ""] == 41272
    assert second.figures["smoten", "original", "deepfm"] == 0.9843
    assert second.figures["ctgan", "S5", "masknet"] == 0.79026
    gains = [
        value - second.figures[generator, "original", model]
        for (generator, scenario, model), value in second.figures.items()
        if scenario in ("S3", "S4")
    ]
    assert sum(gain < 0 for gain in gains) == 8, "of the paper's 36 cells"
    assert sum(gains) / 36 == pytest.approx(0.00034, abs=0.000005)


# What is recorded for it


def test_a_history_is_bounded_and_depends_on_steps_alone() -> None:
    sparse, dense, endless = Curves(), Curves(), Curves()
    for step in range(1, 3001):
        dense.add(step, 3000, {"loss": 1 / step})
        endless.add(step, None, {"loss": 1 / step})
        if step == 1 or step % 30 == 0:
            sparse.add(step, 3000, {"loss": 1 / step, "odd": float("inf")})
        sparse.add(step, 3000, {})
    assert dense.series() == sparse.series()
    assert len(dense.series()["loss"]) == POINTS + 1
    assert len(endless.series()["loss"]) <= 2 * POINTS


def test_curves_of_one_long_name_are_told_apart_by_their_titles() -> None:
    line = [(0, [(1.0, 0.5), (2.0, 0.4)])]
    names = ("loss", "critic_loss", "reconstruction_error")
    panels = [drawing.Lines("a_generator_of_a_long_name", name, line) for name in names]
    titles = [axis.get_title() for axis in drawing.curves(panels, ["fit"], "epoch", canvas.PAGE).axes[:3]]
    assert titles == ["a_generator_of_a_long…: loss", "a_generator_of…: critic_loss", "a_generator_…: reconstructi…"]


@pytest.mark.parametrize("room", [canvas.PAGE, canvas.PHONE])
def test_long_names_that_begin_alike_are_told_apart_in_figures(room: canvas.Room) -> None:
    copied = ("", ", reject_copies=true")
    names = ["smoten", *(f"bayes_net[smoothing={share}{more}]" for share in (0.1, 0.3) for more in copied)]
    found = drawing.Estimate(0.1, (0.0, 0.2))
    rows = drawing.forest([drawing.Forest("", "", [(name, [found]) for name in names])], [""], "Δauc", room)
    points = drawing.Scatter("rows", "lower", [(float(n), found) for n in range(len(names))])
    legend = drawing.scatter([points], names, [1.0] * len(names), "Δauc", "higher", room).legends[0].get_texts()
    for labels in (rows.axes[0].get_yticklabels(), legend):
        shown = [label.get_text() for label in labels]
        assert len(set(shown)) == len(names)
        assert max(map(len, shown)) <= 36


@pytest.mark.parametrize(("better", "joined"), [("higher", [1, 3]), ("lower", [1, 2]), ("neither", [])])
def test_the_line_joins_the_generators_that_none_excels_in_the_metrics_own_sense(
    better: str, joined: list[float]
) -> None:
    points = [(float(x), drawing.Estimate(y)) for x, y in ((1, 0.0), (2, -0.1), (3, 0.1), (4, 0.0))]
    figure = drawing.scatter([drawing.Scatter("rows", "lower", points)], "abcd", [1.0] * 4, "Δ", better, canvas.PAGE)
    dashed = [line.get_xdata() for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [list(x) for x in dashed] == ([joined] if joined else [])


def test_what_has_no_room_in_a_figure_is_in_its_table() -> None:
    several = [f"{number:02}" for number in range(34)]
    scenarios = {name: ScenarioInfo("", True) for name in ("original", *several[:17])}
    cells = [cell("", "original", f"m{number}", 0.8) for number in several[:17]]
    cells += [cell(f"g{number}", several[0], f"m{other}", 0.8) for number in several for other in several[:17]]
    cells += [replace(cell("g00", name, "m00", 0.8), result=with_curves(0)) for name in several[1:17]]
    of = results(cells, [pool(f"g{number}", 5.0) for number in several], scenarios=scenarios)
    names = ["answer", "cells", "heatmap", "curves"]
    found = {picture.name: picture for picture in pictures(Effects(of, "log", "auc"), names)}
    assert len(found["answer"].rows) == 34
    assert {(row[1], row[2]) for row in found["cells"].rows} >= {(f"g{n}", "m16") for n in several}
    assert {(row[0], row[1]) for row in found["heatmap"].rows} == {
        (f"m{m}", f"g{g}") for g in several for m in several[:17]
    }
    assert [row[2] for row in found["curves"].rows] == ["16", "16"]
    for picture in found.values():
        assert any(note.startswith("the first ") for note in picture.notes)
    simple = results([c for c in cells if c.scenario in ("original", several[0])], list(of.pools), scenarios=scenarios)
    [frontier] = pictures(Effects(simple, "log", "auc"), ["frontier"])
    assert len(frontier.rows) == 34
    lame = replace(simple.cells[0], result=FAILED, scores={})
    [of_others] = pictures(Effects(replace(simple, cells=[lame, *simple.cells[1:]]), "log", "auc"), ["frontier"])
    means = [note.partition(";")[0] for each in (frontier, of_others) for note in each.notes if "is the mean" in note]
    assert means == [f"Δauc is the mean over 00 and {count} models" for count in (17, 16)], "one has no original"
    assert frontier.render("svg")


def test_the_curve_of_a_fit_that_failed_is_its_own_and_no_models() -> None:
    lost = replace(FAILED, curves=with_curves(0).curves)
    pools = [replace(pool("gan", None), result=lost)]
    of = results([cell("", "original", "m", 0.8), replace(cell("gan", "S3", "m", None), result=lost)], pools)
    [picture] = pictures(Effects(of, "log", "auc"), ["curves"])
    assert {row[0] for row in picture.rows} == {"gan"}


def test_learning_curves_are_kept_with_results(run: RunResults) -> None:
    histories = [each.result.curves for each in run.pools if each.generator == "bootstrap"]
    assert [len(points) for history in histories for points in history.values()] == [10, 10, 10]
    assert histories[0]["loss"][:2] == [(1, 1.0), (2, 0.5)]


# Safety


@pytest.fixture(scope="module")
def harmless() -> Outline:
    return Outline(page(hostile_run("harmless")))


@pytest.mark.parametrize("kind", ["html", "quotes", "latex", "surrogate", "nul", "no letter", "all"])
def test_hostile_names_are_text_on_the_page(kind: str, harmless: Outline) -> None:
    text = page(hostile_run((HOSTILE | {"all": " ".join(HOSTILE.values())})[kind]))
    assert not UNSAFE.search(text)
    shown = Outline(text)
    assert {tag for tag, _ in shown.tags} <= {tag for tag, _ in harmless.tags}
    assert len(shown.all("script")) == 1
    assert {name for _, attributes in shown.tags for name in attributes} == {
        name for _, attributes in harmless.tags for name in attributes
    }


def test_each_number_of_a_grid_tells_whose_it_is() -> None:
    grid = drawing.Heat("dnn", ["gan", "vae"], ["S1"], [[0.5], [None]])
    drawn = ElementTree.fromstring(canvas.render(partial(drawing.heatmap, [grid], "higher", "Δauc"), "svg"))
    told = [title.text for title in drawn.iter(f"{canvas.SVG}title")]
    assert told == ["gan in S1, dnn: +0.50000", "vae in S1, dnn: no score"]


def test_a_dollar_in_a_name_is_no_mathematics_in_a_figure() -> None:
    run = hostile_run("a $x^2$ b $\\frac{1$")
    for picture in pictures(Effects(run, run.cells[0].dataset, run.cells[0].model), NAMES):
        drawn = ElementTree.fromstring(picture.render("svg"))
        texts = ["".join(each.itertext()) for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert any("$x^2$" in text for text in texts)


def test_nothing_on_the_page_asks_for_a_network_and_one_script_may_run(html: str) -> None:
    outline = Outline(html)
    assert {"link", "iframe", "img", "object", "embed", "base"}.isdisjoint(tag for tag, _ in outline.tags)
    for _, attributes in outline.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href", "srcset", "action"):
                assert value is not None
                assert value.startswith("#")
    assert not re.search(r"url\((?!#)|@import|javascript:", html)
    policy = next(each["content"] for each in outline.all("meta") if "http-equiv" in each)
    assert policy is not None
    [script] = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}';" in policy


# For everybody


def test_headings_are_in_order_and_figures_have_names(html: str) -> None:
    outline = Outline(html)
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(each["role"] == "img" and each["aria-label"] for each in outline.all("svg"))
    heads = [each.get("scope") for each in outline.all("th")]
    assert {"col", "row"} <= set(heads) <= {"col", "row", "colgroup"}
    boxes = [each for each in outline.all("div") if each.get("class") == "scroll"]
    assert len(boxes) == len(outline.all("table"))
    assert all(each["tabindex"] == "0" and each["aria-label"] and each["role"] == "region" for each in boxes)
    targets = {each["href"] for each in outline.all("a")}
    assert "#main" in targets
    assert targets <= {f"#{attributes['id']}" for _, attributes in outline.tags if "id" in attributes}


@pytest.mark.slow
def test_the_page_of_a_large_run_stays_small() -> None:
    names = [f"generator_{number}" for number in range(20)]
    cells = [
        replace(cell(generator, scenario, f"model_{m}", 0.8 + 0.01 * m, r), result=with_curves(r))
        for generator in ["", *names]
        for scenario in (["S3", "S5"] if generator else ["original"])
        for m in range(8)
        for r in range(2)
    ]
    text = page(results(cells, [pool(name, 5.0) for name in names], repeats=2))
    assert len(text.encode()) < 2e6


def with_curves(repeat: int) -> TaskResult:
    points = [(step, 1 / step + repeat) for step in range(1, 101)]
    return replace(DONE, curves={"loss": points, "valid_auc": points})


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.chromium() as running:
        yield running


OPEN = "document.querySelectorAll('details').forEach(each => { each.open = true; })"


@needs_chromium
@pytest.mark.parametrize("name", browser.RENDERINGS)
def test_every_text_stands_whole_apart_and_legible(chromium: browser.Browser, html: str, name: str) -> None:
    chromium.render(browser.RENDERINGS[name])
    chromium.open(html)
    for step in ("", f"{OPEN}; document.querySelector('#digits').click()"):
        chromium.evaluate(step)
        found = chromium.measure()
        faults = {kind: found[kind] for kind in ("wide", "out", "cut", "small", "overlaps") if found[kind]}
        assert not faults
        assert found["scrollWidth"] == found["width"]
        assert name == "phone" or not found["scrolling"], "tables are broken into parts that fit"
    assert len(found["figures"]) == len(FIGURES)
    assert len(found["ids"]) == len(set(found["ids"]))
    assert not found["fetched"]


@needs_chromium
@pytest.mark.parametrize("text", [f"{'x' * 300} {HOSTILE['html']}", " ".join(HOSTILE.values())], ids=["long", "all"])
def test_hostile_names_break_no_page(chromium: browser.Browser, text: str) -> None:
    chromium.console.clear()
    for name in ("wide", "phone"):
        chromium.render(browser.RENDERINGS[name])
        chromium.open(page(hostile_run(text)))
        chromium.evaluate(OPEN)
        found = chromium.measure()
        assert found["scrollWidth"] == found["width"], found["wide"]
        assert not found["wide"]
        assert not found["fetched"]
    assert not chromium.console


@needs_chromium
def test_the_script_sorts_and_filters_tables_and_figures_tell_their_numbers(
    chromium: browser.Browser, html: str
) -> None:
    chromium.render(browser.RENDERINGS["wide"])
    chromium.open(html)
    table = "[...document.querySelectorAll('.grid')].find(grid => grid.querySelector('input'))"
    rows = f"[...{table}.querySelector('tbody').rows]"
    shown = f"{rows}.filter(row => !row.hidden).map(row => row.cells[0].textContent)"
    before = chromium.evaluate(shown)
    click = f"{table}.querySelector('th button').click()"
    assert chromium.evaluate(f"{click}; {shown}") == sorted(before, key=str.casefold)
    assert chromium.evaluate(f"{click}; {shown}") == sorted(before, key=str.casefold, reverse=True)
    field = f"field = {table}.querySelector('input'); field.value = {before[0]!r}"
    assert set(chromium.evaluate(f"{field}; field.dispatchEvent(new Event('input')); {shown}")) == {before[0]}
    key = "figure.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
    chromium.evaluate(f"figure = document.querySelector('figure'); {key}")
    told = chromium.evaluate("figure.querySelector('output').textContent")
    assert re.fullmatch(r"\S+ bootstrap: [+−]0\.\d{5} \(.* to .*\)", told)


@needs_chromium
def test_on_each_sheet_of_a_printed_table_its_columns_have_names(chromium: browser.Browser, html: str) -> None:
    boxes = "[...document.querySelectorAll('th button')].map(button => button.getClientRects().length)"
    for name, count in (("wide", 1), ("print", 0)):  # a repeated head shows texts, and leaves buttons out
        chromium.render(browser.RENDERINGS[name])
        chromium.open(html)
        found = chromium.evaluate(f"{OPEN}; {boxes}")
        assert found == [count] * len(found) != []


@needs_chromium
def test_paper_tells_what_was_closed_and_by_which_words_rows_were_left_out(
    chromium: browser.Browser, html: str
) -> None:
    chromium.render(browser.RENDERINGS["print"])
    chromium.open(html)
    closed = "[...document.querySelectorAll('summary')].filter(each => !each.closest('details details'))"
    assert chromium.evaluate(f"{closed}.length > 5 && {closed}.every(each => each.checkVisibility())")
    seen = (
        "[...document.querySelectorAll('.grid input')].filter(each => each.checkVisibility()).map(each => each.value)"
    )
    assert chromium.evaluate(f"{OPEN}; {seen}") == []
    assert chromium.evaluate(f"document.querySelector('.grid input').value = 'vae'; {seen}") == ["vae"]


@needs_chromium
def test_the_browser_test_can_fail(chromium: browser.Browser) -> None:
    chromium.console.clear()
    chromium.render(browser.RENDERINGS["phone"])
    chromium.open(
        '<p style="width: 500px">wide</p><p style="font-size: 9px">small</p><p>one</p><p style="margin-top: -2em">two'
        "</p><script>missing()</script>"
    )
    found = chromium.measure()
    assert found["scrollWidth"] > 390
    assert found["wide"]
    assert "small" in found["small"][0]
    assert "one" in found["overlaps"][0]
    assert "missing is not defined" in chromium.console[0]


# The commands


@pytest.fixture
def command(bench: Bench, run: RunResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--store", str(bench.folder / "results.db")])

    return invoke


def test_the_report_is_the_same_each_time_and_replaces_a_file_only_by_force(
    command: Any, tmp_path: Path, html: str
) -> None:
    assert command("report", "--html", "r.html").exit_code == 0
    assert Path("r.html").read_text(encoding="utf-8") == html
    Path("r.html").write_text("mine")
    refused = command("report", "--html", "r.html")
    assert refused.exit_code == 2
    assert refused.stderr == "ctrbench: r.html: exists already; name a new file, or say --force\n"
    assert Path("r.html").read_text() == "mine"
    assert command("report", "--html", "r.html", "--force").exit_code == 0
    assert Path("r.html").read_text(encoding="utf-8") == html
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"], "nothing half-written is left"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plot", "scenarios", "--out", "no/such/folder.svg"), "there is no folder no/such; make it"),
        (("report", "--html", "r.html", "--metric", "hit"), "did you mean 'hits'?"),
        (("report", "--html", "r.html", "--run", "never"), "no run 'never'"),
        (("plot", "heat", "--out", "f"), "did you mean 'heatmap'?"),
        (("plot", "--out", "all.svg"), "name one figure, or a folder"),
        (("plot", "cells", "--out", "c.svg", "--format", "png"), "is no png"),
        (("plot", "cells", "--out", "c.pdf"), "figures are .svg or .png"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(command: Any, words: tuple[str, ...], said: str) -> None:
    result = command(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_plots_are_files_of_both_kinds_and_the_same_each_time(command: Any, tmp_path: Path) -> None:
    assert command("plot", "--out", "figures").exit_code == 0
    first = {path.name: path.read_bytes() for path in Path("figures").iterdir()}
    assert sorted(first) == sorted(f"{name}.svg" for name in FIGURES)
    assert command("plot", "scenarios", "--out", "figures").exit_code == 2
    assert command("plot", "--out", "figures", "--force").exit_code == 0
    assert {path.name: path.read_bytes() for path in Path("figures").iterdir()} == first
    assert command("plot", "scenarios", "--out", "one.PNG", "--metric", "HITS").exit_code == 0
    header = Path("one.PNG").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:])[0] == 1280


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    with matplotlib.rc_context({"font.size": 99, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        panel = drawing.Forest("a", "x", [("row", [drawing.Estimate(0.1, (0.0, 0.2))])])
        drawn = canvas.render(partial(drawing.forest, [panel], [""], "x"), "svg")
        assert dict(matplotlib.rcParams) == before
    assert b">row</text>" in drawn
    assert b"99px" not in drawn, "a figure is the same whatever the user's settings"


def test_a_legend_names_what_is_drawn_in_the_look_that_it_has_in_other_figures() -> None:
    panel = drawing.Scatter("flags", "lower", [None, (1.0, drawing.Estimate(0.1))])
    figure = drawing.scatter([panel], ["absent", "there"], [1.0, 2.0], "x", "higher", canvas.PAGE)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["there (2.0 s)"]
    assert [handle.get_color() for handle in legend.legend_handles] == [canvas.COLOURS[1]]


@pytest.mark.parametrize("room", [canvas.PAGE, canvas.PHONE], ids=["page", "phone"])
def test_the_colours_of_many_grids_are_explained_right_below_them(room: canvas.Room) -> None:
    grids = [
        drawing.Heat(f"model {at}", [f"generator {y}" for y in range(15)], ["S1", "S2"], [[0.1, -0.2]] * 15)
        for at in range(8)
    ]
    figure = drawing.heatmap(grids, "higher", "Δauc", room)
    figure.draw_without_rendering()
    *panels, bar = [axis.get_tightbbox() for axis in figure.axes]
    inch = figure.get_dpi()
    assert bar.y0 >= 0
    assert 0 < min(panel.y0 for panel in panels) - bar.y1 < 0.5 * inch
