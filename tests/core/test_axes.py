"""How much, how little, for whom: curves and slices of runs made by hand, as boards, frames and pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import ctrbench
import numpy as np
import pandas as pd
import pytest
from ctrbench import Better, PredictionMetric, Predictions, Score, leaderboard, tidy
from ctrbench.axes import dose_curves, share_curves
from ctrbench.effects import Arm, Effects
from ctrbench.report import page
from ctrbench.report.pictures import pictures
from ctrbench.results import CellResult, DatasetInfo, MetricInfo, ScenarioInfo
from ctrbench.store.runs import RunResults
from handmade import cell, results

DOSES = {0.25: (0.010, 0.012, 0.014), 1.0: (0.030, 0.028, 0.032), 2.0: (0.01, 0.01, 0.04)}
SCENARIOS = {"original": ScenarioInfo("", True)} | {
    f"both-{dose:g}": ScenarioInfo("", True, adds="both", dose=dose) for dose in DOSES
}


def of(gains: dict[str, tuple[float, ...]], dataset: str = "log") -> list[CellResult]:
    """`original` at .8, and the generator `gan` in scenarios that gain so much in each repeat."""
    made = [cell("", "original", "dnn", 0.8, repeat) for repeat in range(3)]
    made += [cell("gan", name, "dnn", 0.8 + gain, r) for name, found in gains.items() for r, gain in enumerate(found)]
    return [replace(each, dataset=dataset, training=f"{dataset} {each.training}") for each in made]


DOSED = results(of({f"both-{dose:g}": gains for dose, gains in DOSES.items()}), [], scenarios=SCENARIOS, repeats=3)


def test_the_best_dose_comes_with_an_interval_for_all_doses_and_with_what_a_blind_choice_gains() -> None:
    [curve] = dose_curves(Effects(DOSED, "log", "auc"))
    assert [point.x for point in curve.points] == [0.25, 1, 2]
    assert curve.best is curve.points[1]
    effect, wide = curve.best.effect, curve.bounds(curve.best)
    assert effect is not None
    assert wide is not None
    assert wide[0] < effect.low < effect.high < wide[1]
    assert [curve.sign(point) for point in curve.points] == [1, 1, 0]
    # Without the third repeat dose 1 is the best, and so it is without the first or the second: by .030 to .025.
    assert curve.chosen is not None
    assert curve.chosen.mean == pytest.approx((0.030 + 0.028 + 0.032) / 3)


def test_a_blind_choice_does_not_see_the_repeat_that_it_is_told_on() -> None:
    lucky = results(of({"A": (0.09, 0.0, 0.0), "B": (0.0, 0.09, 0.0), "C": (0.0, 0.0, 0.09)}), [], repeats=3)
    effects = Effects(lucky, "log", "auc")
    chosen = effects.chosen([[Arm("gan", name, "dnn")] for name in "ABC"])
    assert chosen is not None
    assert chosen.mean == pytest.approx(0.0), "each is the best in one repeat alone, by luck"
    assert effects.chosen([[Arm("gan", "A", "dnn")], [Arm("gan", "no such", "dnn")]]) is None


def test_where_lower_is_better_the_best_dose_is_the_lowest() -> None:
    [curve] = dose_curves(Effects(DOSED, "log", "logloss"))
    assert (curve.best is curve.points[1], curve.sign(curve.points[1])) == (True, 1)


def test_two_doses_are_no_curve_and_a_curve_that_lacks_a_score_has_no_best() -> None:
    two = {name: told for name, told in SCENARIOS.items() if name != "both-2"}
    plain = {**two, "both-2": ScenarioInfo("", True)}
    assert dose_curves(Effects(replace(DOSED, info=replace(DOSED.info, scenarios=plain)), "log", "auc")) == []
    cells = [c for c in DOSED.cells if c.scenario != "both-2"] + [cell("gan", "both-2", "dnn", None)]
    [curve] = dose_curves(Effects(replace(DOSED, cells=cells), "log", "auc"))
    assert (curve.best, curve.chosen) == (None, None)


def thinned() -> RunResults:
    datasets = {
        f"log{name}": DatasetInfo(
            "log (x 1)", {"rows": 1}, "f" * 64, {"train": rows}, {"train": 0.2}, train_share=share
        )
        for name, rows, share in (("", 1000, 1.0), (" at 10 %", 100, 0.1))
    }
    datasets["other"] = DatasetInfo("other (x 1)", {}, "f" * 64, {"train": 10}, {"train": 0.2})
    cells = of({"S3": (-0.01, 0.0, 0.01)}) + of({"S3": (0.05, 0.051, 0.052)}, "log at 10 %") + of({}, "other")
    return results(cells, [], datasets=datasets, repeats=3)


def test_shares_of_one_data_set_are_a_curve_that_belongs_to_the_largest() -> None:
    run = thinned()
    curves = {name: share_curves(Effects(run, name, "auc")) for name in run.info.datasets}
    assert (curves["log at 10 %"], curves["other"]) == ([], [])
    [curve] = curves["log"]
    assert [(point.x, point.name, curve.sign(point)) for point in curve.points] == [
        (0.1, "log at 10 %", 1),
        (1.0, "log", 0),
    ]
    [board] = leaderboard.boards(run, ["shares"])
    assert [[entry.text for entry in row] for row in board.rows] == [
        ["none", "original", "0.80000", "0.80000", ""],
        ["gan", "S3", "+0.05100 ±0.00248▲", "+0.00000 ±0.02484", "10 %"],
    ]


def test_a_model_that_has_no_original_on_one_share_is_named_there() -> None:
    run = thinned()
    bad = replace(cell("", "original", "fm", None), dataset="log at 10 %")
    more = [bad, replace(cell("", "original", "fm", 0.7), dataset="log", training="fm on log")]
    [board] = leaderboard.boards(replace(run, cells=[*run.cells, *more]), ["shares"])
    assert "fm has no score on original at 10 % and is left out there" in board.notes
    assert not any("at 100 %" in note for note in board.notes)


def test_generators_are_not_ranked_over_shares_of_one_data_set() -> None:
    assert [board.dataset for board in leaderboard.boards(thinned(), ["generators"])] == ["log", "log at 10 %"]
    run = thinned()
    cells = [c for c in run.cells if c.dataset != "other"]
    cells += [replace(c, dataset="other") for c in cells if c.dataset == "log"]
    *_, overall = leaderboard.boards(replace(run, cells=cells), ["generators"])
    assert overall.columns[3:] == ("log", "other")
    assert "left out, as smaller shares of a log are no data sets of their own: log at 10 %" in overall.notes


def test_slices_are_the_metrics_that_say_so() -> None:
    metrics = {
        "auc": MetricInfo("higher", "AUC"),
        "auc_cold": MetricInfo("higher", "AUC", slice_of="auc"),
        "auc_weighted": MetricInfo("higher", "AUC"),
        "pr_auc": MetricInfo("higher", "AUC"),
    }
    sliced = [
        replace(
            c, scores={"auc": c.scores["auc"], "auc_cold": Score(c.scores["auc"].value / 2, details={"rows": 40.0})}
        )
        for c in DOSED.cells
    ]
    run = replace(DOSED, cells=sliced, info=replace(DOSED.info, prediction_metrics=metrics))
    assert run.info.slices_of("auc") == ["auc_cold"]
    [board] = leaderboard.boards(run, ["slices"])
    assert [[entry.text for entry in row] for row in board.rows[:2]] == [
        ["none", "original", "0.80000", "0.40000"],
        ["gan", "both-0.25", "+0.01200 ±0.00497▲", "+0.00600 ±0.00248▲"],
    ]
    assert "test rows of the slices: auc_cold 40" in board.notes
    frame = tidy.slices(run, "auc")
    assert frame["delta"].tolist() == pytest.approx([0.006, 0.015, 0.01])
    told = [record for record in board.records if record["metric"] == "Δauc_cold"]
    assert [frame[name].tolist() for name in ("holm", "bh")] == [[one[name] for one in told] for name in ("holm", "bh")]
    assert (frame["holm"] > frame["p"]).all()  # of a family of six
    assert tidy.slices(run, "").empty
    assert dict(tidy.slices(run, "").dtypes) == dict(tidy.slices(run, "auc").dtypes)
    assert leaderboard.boards(DOSED, ["slices"]) == []


def test_boards_frames_and_pictures_tell_the_same() -> None:
    [board] = leaderboard.boards(DOSED, ["doses"])
    frame = tidy.doses(DOSED, "auc")
    [picture] = pictures(Effects(DOSED, "log", "auc"), ["doses"])
    for record, row in zip(board.records, frame.to_dict("records"), strict=True):
        assert {name: record[name] for name in ("dose", "scenario", "best", "low_of_all", "delta")} == {
            name: row[name] for name in ("dose", "scenario", "best", "low_of_all", "delta")
        }
    assert [row[2:4] for row in picture.rows] == [["0.25", "+0.01200"], ["1", "+0.03000"], ["2", "+0.02000"]]
    assert picture.render("png").startswith(b"\x89PNG")
    [shares] = pictures(Effects(thinned(), "log", "auc"), ["shares"])
    assert [row[2] for row in shares.rows] == ["0.1", "1"]
    assert tidy.shares(thinned(), "auc")["train_share"].tolist() == [0.1, 1.0]
    for made, run, other in ((tidy.doses, DOSED, thinned()), (tidy.shares, thinned(), DOSED)):
        full, empty = made(run, "auc"), made(other, "auc")
        assert (len(full) > 0, len(empty), dict(full.dtypes)) == (True, 0, dict(empty.dtypes))


def test_nothing_is_said_of_marks_on_a_curve_where_no_side_of_a_metric_is_better() -> None:
    info = replace(DOSED.info, prediction_metrics={"auc": MetricInfo("neither", "AUC")})
    for run, marked in ((DOSED, True), (replace(DOSED, info=info), False)):
        [board] = leaderboard.boards(run, ["doses"])
        assert any("better" in note for note in board.notes) == marked
        [picture] = pictures(Effects(run, "log", "auc"), ["doses"])
        assert any("filled" in note for note in picture.notes) == marked


def test_a_report_leads_to_its_doses() -> None:
    assert '<a href="#data-0-doses">Doses</a>' in page(DOSED)


def test_runs_of_before_metrics_said_so_have_the_slices_that_there_were() -> None:
    metrics = dict.fromkeys(("auc", "auc_new_pairs", "auc_weighted"), MetricInfo("higher", "AUC"))
    assert replace(DOSED.info, prediction_metrics=metrics).slices_of("auc") == ["auc_new_pairs"]


@dataclass(frozen=True)
class AucOfEven(PredictionMetric):
    """AUC on every other test row."""

    name: ClassVar[str] = "even"
    better: ClassVar[Better] = "higher"
    unit: ClassVar[str] = "AUC"
    slice_of: ClassVar[str] = "auc"

    def score(self, predictions: Predictions) -> Score:
        return Score(float(np.mean(predictions.probabilities[::2])))


def test_the_slices_of_a_strangers_metric_are_shown(tmp_path: Path) -> None:
    log = pd.DataFrame({"who": np.arange(200) % 7, "what": np.arange(200) % 5, "click": (np.arange(200) % 5 > 2) * 1})
    results = ctrbench.run(
        datasets=ctrbench.from_frames(log, label="click", user="who", item="what"),
        generators="independent", models="item_rate", scenarios="S3", metrics=["auc", AucOfEven()], repeats=1,
        store=tmp_path / "r.db", executor="inline", progress=False,
    )  # fmt: skip
    assert set(results.frame("slices")["slice"]) == {"even"}
