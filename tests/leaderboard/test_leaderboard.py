"""Leaderboards on results made by hand, where the right numbers are plain."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ctrbench import UserError, formats, leaderboard
from ctrbench.effects import Effects
from ctrbench.failures import failures
from ctrbench.interfaces import Score
from ctrbench.reading import Results
from ctrbench.report.pictures import pictures
from ctrbench.results import (
    CellResult,
    Environment,
    MetricInfo,
    PoolOutput,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
)
from ctrbench.store.runs import NOT_RUN, RunResults
from ctrbench.verdict import verdicts
from handmade import ENVIRONMENT, FAILED, GRID, INFO, cell, pool, results


def board(view: Any, of: RunResults = GRID, metric: str = "") -> leaderboard.Board:
    return leaderboard.boards(of, [view], metric)[0]


def texts(of: leaderboard.Board) -> list[list[str]]:
    return [[entry.text + ("*" if entry.best else "") for entry in row] for row in of.rows]


def test_scenarios_stand_under_their_generator_with_the_best_of_each_column_marked() -> None:
    assert texts(board("scenarios")) == [
        ["none", "original", "0.80000", "0.70000"],
        ["vae", "S3", "+0.01000*", "-0.01000"],
        ["vae", "S5", "-0.20000", "-0.20000"],
        ["gan", "S3", "+0.02000*", "+0.02000*"],
        ["gan", "S5", "-0.30000", "— [1]"],
    ]


@pytest.mark.parametrize("style", formats.FORMATS)
def test_views_that_a_run_has_nothing_for_are_refused_with_what_would_fill_them(style: str) -> None:
    with pytest.raises(
        UserError, match=r"^run r has nothing to show in doses, slices: doses need `run --doses` with three"
    ):
        formats.leaderboards(replace(GRID, run="r"), ["doses", "slices"], style=style)
    assert formats.leaderboards(GRID, ["doses", "scenarios"], style=style)


def test_what_a_view_needs_is_what_the_run_lacks() -> None:
    pools_alone = replace(results([], list(GRID.pools)), run="r")
    with pytest.raises(UserError, match=r"^run r has nothing to show in scenarios: scenarios need a model and a"):
        formats.leaderboards(pools_alone, ["scenarios"])


def test_the_lowest_is_best_where_lower_is_better() -> None:
    assert texts(board("scenarios", metric="logloss"))[1] == ["vae", "S3", "-0.01000*", "+0.01000"]


def test_a_failed_cell_is_a_footnote_that_names_the_plug_in() -> None:
    [note] = [note for note in board("scenarios").notes if note.startswith("[1]")]
    assert "gan (third 1.0): failed in fit: ValueError" in note


def test_generators_are_ranked_by_their_mean_gain_where_real_rows_are_kept() -> None:
    assert [row[:4] for row in texts(board("generators"))] == [
        ["1", "gan", "+0.02000*", "1.00"],
        ["2", "vae", "+0.00000", "2.00"],
    ]


def test_marks_of_generators_are_told_to_be_over_candidates_where_controls_stand_beside_them() -> None:
    gains = {"gan": (0.020, 0.021, 0.022), "independent": (0.030, 0.031, 0.032)}
    cells = [cell("", "original", "m", 0.8, repeat) for repeat in range(3)]
    cells += [cell(name, "S3", "m", 0.8 + g, repeat) for name, gs in gains.items() for repeat, g in enumerate(gs)]
    both = board("generators", results(cells, [pool(name, 1.0) for name in gains], repeats=3))
    assert [row[:2] for row in texts(both)] == [["1", "gan"], ["control", "independent"]]
    assert ["▲" in row[2] for row in texts(both)] == [True, False]
    assert any("by Holm at .05 over the candidates of this table" in note for note in both.notes)
    assert "controls are outside the family, not marked" in both.notes
    told = {"auc": MetricInfo("neither", "AUC")}
    neither = results(cells, [pool(name, 1.0) for name in gains], repeats=3, prediction_metrics=told)
    assert not any("marked" in note for note in board("generators", neither).notes)
    for name, kind in (("gan", "candidates"), ("independent", "generators")):
        alone = board("generators", results([c for c in cells if c.generator in ("", name)], [pool(name, 1.0)]))
        assert any(f"by Holm at .05 over the {kind} of this table" in note for note in alone.notes)
        assert not any("outside the family" in note for note in alone.notes)


def test_only_generators_with_the_same_places_share_mean_ranks() -> None:
    cells = [cell("", "original", "m", 0.80), cell("a", "S3", "m", 0.82), cell("b", "S3", "m", 0.81)]
    more = [cell("a", "S4", "m", 0.81)]
    scenarios = {name: ScenarioInfo("", True) for name in ("original", "S3", "S4")}

    def ranks(*others: CellResult) -> dict[str, str]:
        of = results([*cells, *others], [pool("a", 1.0), pool("b", 1.0)], scenarios=scenarios)
        return {row[1]: row[3] for row in texts(board("generators", of))}

    assert ranks() == {"a": "1.00", "b": "2.00"}
    assert ranks(*more) == {"a": "1.00", "b": "—"}


def test_a_mean_never_passes_over_a_missing_value() -> None:
    row = {entry.text: entry for entry in board("generators").rows[0]}
    assert any(text.startswith("— [") for text in row), "gan has no mean for S5, as one of its cells failed"
    of = results([*GRID.cells[:6], cell("gan", "S3", "dnn", 0.9), cell("gan", "S3", "fm", None)], list(GRID.pools))
    assert [row[1].text for row in board("generators", of).rows] == ["vae", "gan"], (
        "the best of what is left is no mean"
    )


def test_scenarios_without_a_pool_stand_beside_the_gains_of_generators() -> None:
    again = [cell("", "again", "dnn", 0.803), cell("", "again", "fm", 0.702)]
    known = INFO.scenarios | {"again": ScenarioInfo("A/A", True)}
    of = results([*GRID.cells, *again], GRID.pools, scenarios=known)
    [family] = [made for made in leaderboard.boards(of, ["scenarios"]) if made.columns[0] == "scenario"]
    assert texts(family)[-1] == ["again", "+0.00250", "", "", "", "A/A"]
    assert texts(board("scenarios", of))[:2] == [
        ["none", "original", "0.80000", "0.70000"],
        ["none", "again", "+0.00300*", "+0.00200*"],
    ]


def test_a_model_that_failed_on_original_is_left_out_for_all_generators_alike() -> None:
    of = results([cell("", "original", "bad", None), cell("gan", "S3", "bad", 0.99), *GRID.cells], list(GRID.pools))
    assert board("generators", of).rows == board("generators").rows
    assert any(note.startswith("bad has no score on original") for note in board("generators", of).notes)
    [of_bad] = [row[-1].text for row in board("scenarios", replace(of, cells=of.cells[:2])).rows[1:]]
    assert of_bad == "— [1]", "a score without original's is no difference"
    alone = board("generators", results([*of.cells[:2]], list(GRID.pools)))
    assert alone.title == "log: mean Δauc against original, over no model"


def test_each_place_of_a_generator_has_a_footnote_of_its_own() -> None:
    lacks = TaskResult(Status.SKIPPED, "pool", Stage.COMPOSE, "too few positives")
    cells = [cell("", "original", "dnn", 0.8), replace(cell("gan", "S1", "dnn", None), result=lacks)]
    known = INFO.scenarios | {"S1": ScenarioInfo("", True)}
    of = results([*cells, cell("gan", "S3", "dnn", None)], [pool("gan", 1.0)], scenarios=known)
    made = board("generators", of)
    assert texts(made)[0][-2:] == ["— [1]", "— [2]"]
    assert ["too few positives" in made.notes[0], "failed in fit" in made.notes[1]] == [True, True]


def test_a_record_without_a_value_has_the_status_of_what_gave_none() -> None:
    failed = replace(GRID.cells[2], scores={}, failed_scores={"auc": FAILED})
    odd = replace(GRID.pools[0], scores={}, failed_scores={"identical": FAILED})
    of = results([*GRID.cells[:2], failed], [odd])
    for view, number in (("scenarios", 2), ("privacy", 0)):
        record = board(view, of).records[number]
        assert (record["value"], record["status"]) == (None, "failed")


def test_details_show_each_metric_beside_its_baseline_and_all_it_says() -> None:
    made = board("details")
    assert made.columns == ("generator", "click rate", "identical (rows)", "expected of real rows", "distinct")
    assert texts(made) == [["vae", "0.250", "40", "3", "20"], ["gan", "0.250", "10", "3", "5"]]
    assert "gan equals other on this data and shares its pool" in made.notes


def test_details_of_repeats_have_no_more_digits_than_can_be_read() -> None:
    values = ((0.6730368793, 1_234_567.0), (0.6770123456, 1_234_569.0))
    pools = [
        replace(pool("gan", 1.0), repeat=repeat, scores={"identical": Score(share, 0.5, {"rows": rows})})
        for repeat, (share, rows) in enumerate(values)
    ]
    made = board("details", results(list(GRID.cells), pools, repeats=2))
    assert texts(made)[0][2:] == ["0.675025 ±0.002811", "0.5 ±0", "1,234,568 ±1.414"]


def test_a_proof_of_privacy_stands_beside_what_the_pool_is_worth() -> None:
    proven = pool("mst", 1.0)
    facts = {"epsilon": 3.0, "delta": 1e-9}
    proven = replace(proven, result=replace(proven.result, output=replace(proven.result.output, facts=facts)))
    odd = pool("odd", 1.0)
    facts = {"epsilon": 1.0, "delta": "little"}
    odd = replace(odd, result=replace(odd.result, output=replace(odd.result.output, facts=facts)))
    cells = [cell("mst", "S5", "dnn", 0.7), cell("mst", "S5", "fm", 0.6)]
    made = results([*GRID.cells, *cells], [*GRID.pools, proven, odd])
    for view in ("privacy", "fidelity"):
        of = board(view, made)
        assert of.columns[1] == "ε (δ)"
        assert {row[0]: row[1] for row in texts(of)} == {
            "vae": "none",
            "gan": "none",
            "mst": "3 (1e-09)",
            "odd": "none",
        }
    assert {row[0]: row[-1] for row in texts(of)}["mst"] == "0.8667"
    told = {each["generator"]: (each["dp_epsilon"], each["dp_delta"]) for each in board("privacy", made).records}
    assert (told["mst"], told["odd"], told["vae"]) == ((3.0, 1e-9), (None, None), (None, None))
    frame = Results(made).frame("pools").set_index("generator")[["dp_epsilon", "dp_delta"]]
    assert frame.loc["mst"].tolist() == [3.0, 1e-9]
    assert frame.loc[["odd", "vae"]].isna().all(axis=None)
    assert "ε (δ)" not in board("privacy").columns


def test_a_pool_that_failed_has_no_numbers() -> None:
    for view in ("privacy", "details"):
        made = board(view, results(list(GRID.cells), [pool("gan", None)]))
        assert all("—" in text for text in texts(made)[0][1:])


def repeated(*gains: float, models: tuple[str, ...] = ("dnn",), dataset: str = "log") -> list[CellResult]:
    """`original` at .8, and the generator `gan` in S3 that gains so much in each repeat."""
    made = []
    for repeat, gain in enumerate(gains):
        for model in models:
            made += [cell("", "original", model, 0.8, repeat), cell("gan", "S3", model, 0.8 + gain, repeat)]
    return [replace(cell, dataset=dataset) for cell in made]


def test_repeats_give_an_interval_of_the_difference_and_a_mark_where_it_is_certain() -> None:
    of = results(repeated(0.010, 0.012, 0.014), [pool("gan", 1.0)], repeats=3)
    half = 4.302652729911275 * 0.002 / 3**0.5  # t(.975, 2) · s/√R
    assert texts(board("scenarios", of)) == [["none", "original", "0.80000"], ["gan", "S3", f"+0.01200 ±{half:.5f}▲*"]]
    assert any("seeds only" in note for note in board("scenarios", of).notes)
    two = results(repeated(0.010, 0.012, 0.014, models=("dnn", "fm")), [pool("gan", 1.0)], repeats=3)
    assert not any(" to " in note for note in board("scenarios", two).notes if note.startswith("smallest")), (
        "both alike"
    )
    worse = results(repeated(-0.010, -0.012, -0.014), [pool("gan", 1.0)], repeats=3)
    assert texts(board("scenarios", worse))[1][2] == f"-0.01200 ±{half:.5f}▼"
    noise = results(repeated(-0.010, 0.012, 0.002), [pool("gan", 1.0)], repeats=3)
    assert not set(texts(board("scenarios", noise))[1][2]) & set("▲△▼▽")


@pytest.mark.parametrize("gains", [(-1e-9,), (-1e-9, -2e-9, -4e-9)])
def test_no_zero_is_negative(gains: tuple[float, ...]) -> None:
    of = results(repeated(*gains), [pool("gan", 1.0)], repeats=len(gains))
    tables = [
        picture.rows
        for picture in pictures(Effects(of, *of.info.datasets, "auc"), ["answer", "scenarios", "cells", "heatmap"])
    ]
    shown = [formats.leaderboards(of, ["scenarios", "generators"]), Results(of).answer(), str(tables)]
    assert any("+0.0000" in text for text in shown)
    assert not any(re.search(r"[-−]0\.0+\b", text) for text in shown)


def test_nothing_is_said_of_what_an_interval_covers_where_there_is_none() -> None:
    cells = [cell(name, scenario, "m", 0.8, r) for name, scenario in (("", "original"), ("gan", "S3")) for r in (0, 1)]
    for repeats in (1, 2):
        boards = leaderboard.boards(results(cells[:: 3 - repeats], [], repeats=repeats), ["scenarios"])
        assert not any("covers" in note for board in boards for note in board.notes)


def test_one_repeat_is_never_marked() -> None:
    of = results(repeated(0.1), [pool("gan", 1.0)])
    assert texts(board("scenarios", of))[1] == ["gan", "S3", "+0.10000*"]
    assert any("one repeat" in note for note in board("scenarios", of).notes)


def test_the_family_of_scenarios_averages_generators_and_models_within_a_repeat() -> None:
    cells = repeated(0.010, 0.014, models=("dnn", "fm")) + [
        cell("vae", "S3", model, 0.8, repeat) for repeat in range(2) for model in ("dnn", "fm")
    ]
    family = leaderboard.boards(results(cells, [pool("gan", 1.0), pool("vae", 1.0)], repeats=2), ["scenarios"])[1]
    [row] = texts(family)
    assert row[:2] == ["S3", "+0.00600"]
    [record] = family.records
    half = 12.706204736174703 * 0.001  # t(.975, 1) · s/√R, of (.005, .007)
    assert record["high"] - record["delta"] == pytest.approx(half)
    assert record["holm"] == pytest.approx(record["p"]), "a family of one"


def test_a_failed_cell_leaves_its_scenario_without_a_mean() -> None:
    cells = [*repeated(0.01, 0.01), cell("vae", "S3", "dnn", 0.9, 0), cell("vae", "S3", "dnn", None, 1)]
    family = leaderboard.boards(results(cells, [pool("gan", 1.0), pool("vae", 1.0)], repeats=2), ["scenarios"])[1]
    assert texts(family)[0][1] == "— [1]"


def test_flags_need_more_than_half_of_the_repeats() -> None:
    def flagged(*verdicts: bool) -> str:
        scores = [{"identical": Score(9.0, 3.0, flagged=verdict)} for verdict in verdicts]
        pools = [replace(pool("gan", 9.0), scores=score, repeat=i) for i, score in enumerate(scores)]
        return texts(board("privacy", results(list(GRID.cells), pools)))[0][2]

    assert flagged(True, True, False) == "9 (3) !"
    assert flagged(True, False) == "9 (3)"


def test_fidelity_has_the_score_of_the_pool_alone_over_the_real_ones() -> None:
    made = board("fidelity")
    assert made.columns == ("generator", "click rate", "S5 / original auc")
    assert [row[2] for row in texts(made)] == ["0.7333", "— [1]"]


def several(count: int, gains: dict[str, float]) -> RunResults:
    """Data sets on which generators keep their order."""
    names = [f"log{i}" for i in range(count)]
    cells = [
        replace(c, dataset=name)
        for i, name in enumerate(names)
        for c in [
            cell("", "original", "dnn", 0.7),
            *(cell(g, "S3", "dnn", 0.7 + gain + i / 1e4) for g, gain in gains.items()),
        ]
    ]
    pools = [replace(pool(g, 1.0), dataset=name) for name in names for g in gains]
    told = dict.fromkeys(names, replace(INFO.datasets["log"], rows={}, notes=[]))
    return results(cells, pools, datasets=told)


def test_several_data_sets_have_a_table_over_all_and_from_five_on_a_rank_test() -> None:
    gains = {"good": 0.02, "fair": 0.019, "bad": -0.01}
    four, five = (leaderboard.boards(several(n, gains), ["generators"])[-1] for n in (4, 10))
    assert [row[0] for row in texts(four)] == ["good", "fair", "bad"]
    assert texts(four)[0][:3] == ["good", "+0.02015", "1.00"]
    assert any("takes at least 5" in note for note in four.notes)
    assert any(note.startswith("Friedman's test over 10 data sets: p = 4.54e-05") for note in five.notes)
    assert any(note.endswith("{good, fair}; {fair, bad}") for note in five.notes), "a step of 1 in rank is below 1.05"


def test_generators_that_no_rank_test_tells_apart_are_not_grouped() -> None:
    of = several(6, {"one": 0.01, "two": 0.01, "three": 0.01})
    notes = leaderboard.boards(of, ["generators"])[-1].notes
    assert "no generator is told from another at .05" in notes
    assert not any("Nemenyi" in note for note in notes)


@pytest.mark.parametrize("turned", [False, True])
def test_only_what_is_equal_everywhere_is_left_out_over_all_and_the_order_of_data_sets_changes_nothing(
    turned: bool,
) -> None:
    of = several(2, {"gan": 0.02, "twin": 0.02, "copy": 0.02, "bad": -0.01})

    def trained(cell: CellResult) -> CellResult:
        same = {"copy": "gan", "twin": "gan" if cell.dataset == "log0" else "twin"}.get(cell.generator, cell.generator)
        return replace(cell, training=f"{cell.dataset} {same} {cell.scenario}")

    told = of.info.datasets
    info = replace(of.info, datasets=dict(reversed(told.items())) if turned else told)
    table = leaderboard.boards(replace(of, cells=[trained(c) for c in of.cells], info=info), ["generators"])[-1]
    assert [(row[0], row[2]) for row in texts(table)] == [("gan", "1.50"), ("twin", "1.50"), ("bad", "3.00")]
    assert "left out, as another generator equals them on every data set: copy" in table.notes


def test_a_detail_that_only_some_repeats_have_is_a_dash_and_no_failure() -> None:
    pools = [
        pool("vae", 40.0),
        replace(pool("vae", 40.0), repeat=1, scores={"identical": Score(40.0, 3.0, {"odd": 1.0})}),
    ]
    table = board("details", results(list(GRID.cells), pools))
    assert texts(table)[0][-2:] == ["—", "—"]
    assert not any("not run" in note for note in table.notes)


def test_cost_counts_each_training_once() -> None:
    rows = {row[1]: row for row in texts(board("cost"))}
    assert rows["vae"][:6] == ["generator", "vae", "1", "9.00", "1.00", "0"]
    assert rows["dnn"][:6] == ["model", "dnn", "5", "2.00 ±0.00", "0.50 ±0.00", "50 ±0"]


def test_a_model_is_not_charged_with_the_pool_that_it_waited_for() -> None:
    slow = replace(FAILED, seconds={"fit": 3600.0}, peak_memory=9)
    pools = [replace(pool("gan", None), result=slow)]
    of = results([GRID.cells[0], replace(cell("gan", "S3", "dnn", None), result=slow)], pools)
    found = [(r["kind"], r["status"], r["seconds"], r["peak_memory"]) for r in board("cost", of).records]
    assert found[0] == ("generator", "failed", {"fit": 3600.0}, 9)
    assert found[2] == ("model", "failed", {}, 0)


def test_a_long_fact_is_whole_for_machines_and_bounded_for_people() -> None:
    long = "weekday+isweekend, " * 40
    output = PoolOutput("f" * 64, 1000, 0, 0.25, facts={"constraints": long, "private": True, "steps": 1200})
    made = pool("vae", 40.0)
    of = results([], [replace(made, result=replace(made.result, output=output))])
    table = board("cost", of)
    [[*_, told]] = texts(table)
    assert "letters …" in told
    assert told.endswith(", private true, steps 1,200")
    assert len(told) < 90
    assert table.records[0]["facts"] == {"constraints": long, "private": True, "steps": 1200}


def test_remarks_tell_seed_fingerprint_versions_and_what_is_missing() -> None:
    of = results(list(GRID.cells), [], budget=0.05, left_out=["frappe: not here"], broken=["x:y: no"])
    said = "\n".join(leaderboard.remarks(of))
    for part in ("seed 1", "ffffffffffff", "ctrbench 1", "budget 0.05", "a note", "frappe: not here", "x:y: no"):
        assert part in said


def test_mixed_versions_in_one_table_are_said() -> None:
    newer = Environment(libraries={"ctrbench": "1", "torch": "3"})
    of = RunResults("r", 0.0, None, "", GRID.info, [ENVIRONMENT, newer], GRID.cells, GRID.pools)
    said = "\n".join(leaderboard.remarks(of))
    assert "different versions stand side by side: torch 2, 3" in said
    assert "did not finish" in said


def test_of_a_run_that_was_stopped_the_whole_repeats_are_shown() -> None:
    waiting = replace(cell("vae", "S3", "dnn", None, 2), result=NOT_RUN)
    cells = [cell(name, s, "dnn", 0.8, n) for name, s in (("", "original"), ("vae", "S3")) for n in range(2)]
    last = cell("", "original", "dnn", 0.9, 2)
    stopped = replace(results([*cells, last, waiting], [pool("vae", 1.0)], repeats=3), finished=None)
    shown = stopped.of_whole_repeats()
    assert texts(board("scenarios", shown)) == [["none", "original", "0.80000"], ["vae", "S3", "+0.00000"]]
    assert len(shown.pools) == 1
    assert "of its 3 repeats the first 2 are complete and shown" in "\n".join(leaderboard.remarks(shown))
    nothing = replace(stopped, cells=[replace(each, result=NOT_RUN) for each in stopped.cells])
    assert nothing.of_whole_repeats() == nothing


def test_failures_are_counted_once_each() -> None:
    assert [str(each) for each in failures(GRID)] == [f"{FAILED.describe()} (1 cell)"]
    twice = {name: replace(FAILED, plugin="odd (third 1.0)") for name in ("odd", "odd[rows=100]")}
    found = failures(results([], [replace(GRID.pools[0], failed_scores=twice)]))
    assert [each.cost for each in found] == [("log / vae / repeat 1",)], "one plug-in, as two metrics"


def test_every_format_carries_the_numbers() -> None:
    for style in formats.FORMATS:
        assert "0.02" in formats.leaderboards(GRID, leaderboard.DEFAULT_VIEWS, style=style), style


def test_what_a_plug_in_says_is_escaped() -> None:
    made = [board("scenarios")]
    assert "\x1b" not in formats.render(made, [], "table")
    assert r"\| \*no\*" in formats.render(made, [], "markdown")
    bad = leaderboard.Board("cost", "d", "t", ("a",), [[leaderboard.Entry(r"50% of x_1 & \input{file} $")]])
    assert r"50\% of x\_1 \& \textbackslash{}input\{file\} \$" in formats.render([bad], [], "latex")
    signs = leaderboard.Board("privacy", "d", "t", ("ε (δ)",), [[leaderboard.Entry("< 3 ±1 > 2 | ▲△▼▽ Δ … —")]])
    text = formats.render([signs], [], "latex")
    assert r"$\varepsilon$ ($\delta$)" in text, "a letter without a command is refused by LaTeX"
    assert r"$<$ 3 $\pm$1 $>$ 2 $|$ $\blacktriangle$" in text
    assert text.isascii()


def test_the_best_is_bold_on_a_terminal_and_starred_elsewhere() -> None:
    made = [board("scenarios")]
    assert "\x1b[1m+0.02000*\x1b[0m" in formats.render(made, [], "table", colour=True)
    assert "+0.02000*" in formats.render(made, [], "table")
    assert "**+0.02000**" in formats.render(made, [], "markdown")
    assert r"\textbf{+0.02000}" in formats.render(made, [], "latex")


def test_csv_is_one_number_a_row_and_no_formula() -> None:
    cells = [cell("=cmd()", "S3", "dnn", 0.8), *GRID.cells]
    text = formats.leaderboards(results(cells, list(GRID.pools)), ["scenarios"], style="csv")
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["model"]]
    assert len(rows) == len(cells)
    assert {"dataset", "generator", "scenario", "model", "repeat", "metric", "value", "status"} <= set(rows[0])
    assert "'=cmd()" in {row["generator"] for row in rows}
    head = formats.leaderboards(GRID, ["privacy"], style="csv").splitlines()[0]
    assert head.startswith("view,dataset,generator,repeat,metric,value,"), "who it is of comes first, then what is said"
    assert ",distinct," in head
    odd = replace(GRID.pools[0], scores={"identical": Score(1.0, details={"view": 7.0})})
    text = formats.leaderboards(results(list(GRID.cells), [odd]), ["privacy"], style="csv")
    assert {row["view"] for row in csv.DictReader(io.StringIO(text))} == {"privacy"}, "whatever a metric calls so"


def test_json_has_the_bare_numbers() -> None:
    content = json.loads(formats.leaderboards(GRID, leaderboard.DEFAULT_VIEWS, style="json"))
    assert content["remarks"] == leaderboard.remarks(GRID)
    assert content["provenance"]["run"] == "run1"
    records = content["boards"][0]["records"]
    assert {"generator": "gan", "scenario": "S3", "model": "dnn", "value": 0.82}.items() <= records[6].items()


def test_a_run_without_metrics_or_pools_has_no_empty_tables() -> None:
    of = results([], [], prediction_metrics={}, synthetic_metrics={})
    assert [made.view for made in leaderboard.boards(of)] == ["cost"]


@pytest.mark.parametrize("style", ["table", "markdown", "latex"])
def test_an_empty_board_prints(style: str) -> None:
    assert "title" in formats.render([leaderboard.Board("cost", "d", "title", ("a", "b"))], [], style)


@pytest.mark.parametrize("style", formats.FORMATS)
def test_a_run_without_cells_and_pools_prints(style: str) -> None:
    text = formats.leaderboards(results([], []), leaderboard.VIEWS, style=style)
    assert "run1" in text or style == "csv"


def test_a_mark_of_the_family_stands_with_all_the_others() -> None:
    """Gains whose p-values are .02 to .05 each: Benjamini and Hochberg's marks do not belong there."""
    names = [f"S{n}" for n in range(1, 5)]
    known = dict.fromkeys(["original", *names], ScenarioInfo("", True))
    cells = [cell("", "original", "dnn", 0.8, repeat) for repeat in range(3)]
    cells += [
        cell("gan", name, "dnn", 0.8 + 0.01 * gain, repeat)
        for name in names
        for repeat, gain in enumerate((0.5, 0.8, 1.1))
    ]
    of = results(cells, [pool("gan", 1.0)], repeats=3, scenarios=known)
    cells_board, family = leaderboard.boards(of, ["scenarios"])
    assert all(row[2].text.endswith("△") for row in cells_board.rows[1:])
    assert not any("△" in row[1].text for row in family.rows)


def test_bold_is_for_what_beats_original_only() -> None:
    of = results([cell("", "original", "dnn", 0.8), cell("gan", "S3", "dnn", 0.8)], [pool("gan", 1.0)])
    assert not any(entry.best for row in board("scenarios", of).rows for entry in row)
    worse = results([cell("", "original", "dnn", 0.8), cell("gan", "S3", "dnn", 0.7)], [pool("gan", 1.0)])
    assert not any(entry.best for made in leaderboard.boards(worse) for row in made.rows for entry in row)


def test_a_metric_without_a_better_side_ranks_nobody() -> None:
    of = results(GRID.cells, GRID.pools, prediction_metrics={"auc": MetricInfo("neither", "AUC")})
    rows = texts(board("generators", of))
    assert [(row[0], row[3], row[4]) for row in rows] == [("—", "—", "—")] * 2
    assert not any("*" in text for row in rows for text in row)


def test_equal_generators_share_a_rank_and_count_once() -> None:
    twin = [replace(c, generator="twin") for c in GRID.cells if c.generator == "vae"]
    of = results([*GRID.cells, *twin], [*GRID.pools, pool("twin", 40.0, "vae")])
    assert [row[:4] for row in texts(board("generators", of))] == [
        ["1", "gan", "+0.02000*", "1.00"],
        ["2", "vae", "+0.00000", "2.00"],
        ["2", "twin", "+0.00000", "2.00"],
    ]


def test_a_metric_that_gives_no_verdict_is_no_pass() -> None:
    made = board("privacy")
    assert texts(made)[0][2] == "40 (3) ?"
    assert any(note.startswith("? no verdict") for note in made.notes)


def test_a_metric_that_judges_few_pools_passes_nobody_in_the_verdict_either() -> None:
    def privacy(*flags: bool | None) -> tuple[str, leaderboard.Board]:
        scores = [Score(4.0, 3.0, flagged=flag) for flag in flags]
        pools = [replace(pool("vae", 4.0), repeat=r, scores={"identical": each}) for r, each in enumerate(scores)]
        of = results(list(GRID.cells[:4]), pools)
        [verdict] = verdicts(of)
        return verdict.lines[2], board("privacy", of)

    said, made = privacy(True, None, None)
    assert said.startswith("No privacy metric gave a verdict on vae.")
    assert texts(made)[0][2].endswith(" ?")
    said, made = privacy(True, None, True)
    assert said.startswith("Privacy of vae: flagged by identical")
    assert texts(made)[0][2].endswith(" !")


def test_what_a_mark_means_is_told_where_it_stands() -> None:
    lost = replace(pool("vae", 4.0), repeat=1, scores={}, failed_scores={"identical": FAILED})
    flagged = replace(pool("vae", 4.0), scores={"identical": Score(4.0, 3.0, flagged=True)})
    notes = [board("privacy", results([], pools)).notes for pools in ([flagged], [flagged, lost])]
    assert [any(note.startswith("! ") for note in each) for each in notes] == [True, False]


def test_a_large_count_is_written_out_beside_its_baseline() -> None:
    many = pool("gan", 89_300.0)
    many = replace(many, scores={"identical": Score(89_300.0, 12_345.0), "gap": Score(67_890.5, 1e-7)})
    kinds = {"identical": MetricInfo("lower", "rows", "privacy"), "gap": MetricInfo("lower", "rows", "privacy")}
    made = board("privacy", results(list(GRID.cells), [many], synthetic_metrics=kinds))
    assert texts(made)[0][2:] == ["89,300 (12,345) ?", "67,890 (1e-07) ?"]


def test_a_pool_beside_an_original_that_scores_nothing_has_no_realism() -> None:
    of = results([cell("", "original", "dnn", 0.0), cell("gan", "S5", "dnn", 0.0)], [pool("gan", 1.0)])
    assert texts(board("fidelity", of))[0][2] == "—"
