"""Tidy frames of runs made by hand: their columns, and their numbers beside the leaderboard's."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from ctrbench import UserError, leaderboard, tidy
from ctrbench.interfaces import Score
from ctrbench.reading import Results
from ctrbench.results import MetricInfo
from handmade import FAILED, GRID, INFO, cell, pool, results

EFFECT = ["delta", "low", "high", "p", "holm", "bh", "detectable", "repeats"]
SYNTHETIC = ["dataset", "generator", "metric", "pools", "value", "baseline", "flagged", "without_verdict"]
THREE = results(
    [
        cell(generator, scenario, model, 0.8 + gain, repeat)
        for model in ("dnn", "fm")
        for generator, scenario, gains in [("", "original", (0, 0, 0)), ("gan", "S3", (0.010, 0.011, 0.012))]
        for repeat, gain in enumerate(gains)
    ],
    [replace(pool("gan", 40.0), repeat=repeat) for repeat in range(3)],
    repeats=3,
)


def records(view: str, of: Results, number: int = 0) -> list[leaderboard.Record]:
    return leaderboard.boards(of.stored, [view])[number].records


def test_scenarios_have_the_differences_of_the_family() -> None:
    frame = Results(THREE).frame("scenarios")
    assert list(frame) == ["dataset", "scenario", "role", "metric", "uses_pool", *EFFECT]
    [record] = [each for each in records("scenarios", Results(THREE), 1) if each["scenario"] == "S3"]
    [row] = frame.to_dict("records")
    assert row["delta"] == pytest.approx(0.011)
    for name in ("delta", "low", "high", "holm"):
        assert row[name] == record[name], name


def test_generators_have_their_mean_gain_and_interval() -> None:
    frame = Results(THREE).frame("generators")
    assert list(frame) == ["dataset", "generator", "role", "metric", *EFFECT]
    assert frame["generator"].tolist() == ["gan"]
    assert frame["delta"].tolist() == [pytest.approx(0.011)]
    assert (frame["low"] < frame["delta"]).all()
    assert (frame["delta"] < frame["high"]).all()
    [record] = [each for each in records("generators", Results(THREE)) if each["scenario"] is None]
    [row] = frame.to_dict("records")
    assert {name: record[name] for name in EFFECT[:-1]} == {name: row[name] for name in EFFECT[:-1]}
    assert (record["value"], record["mean_rank"]) == (row["delta"], 1.0)


def test_a_generator_that_lacks_a_score_has_no_mean_in_the_records() -> None:
    lacking = Results(results([*THREE.cells[:-1], replace(THREE.cells[-1], scores={})], list(THREE.pools), repeats=3))
    [record] = [each for each in records("generators", lacking) if each["scenario"] is None]
    assert (record["value"], record["delta"], record["mean_rank"]) == (None, None, None)


@pytest.mark.parametrize("aspect", ["privacy", "fidelity"])
def test_metrics_of_synthetic_rows_stand_under_their_aspect(aspect: str) -> None:
    metrics = {"identical": MetricInfo("lower", "rows", "privacy"), "odd": MetricInfo("lower", "", "fidelity")}
    scores = [{"identical": Score(v, 3.0, flagged=v > 20), "odd": Score(v / 2)} for v in (10.0, 20.0, 60.0)]
    pools = [replace(pool("gan", 1.0), repeat=i, scores=each) for i, each in enumerate(scores)]
    [row] = Results(results([], pools, synthetic_metrics=metrics)).frame(aspect).to_dict("records")
    assert list(row) == SYNTHETIC
    expected = {"privacy": ("identical", 30.0, 1, 0), "fidelity": ("odd", 15.0, 0, 3)}[aspect]
    assert (row["metric"], row["value"], row["flagged"], row["without_verdict"]) == expected
    assert row["pools"] == 3


def test_a_mean_never_passes_over_a_pool_without_a_score() -> None:
    of = results([], [pool("gan", 40.0), replace(pool("gan", None), repeat=1)])
    [row] = Results(of).frame("privacy").to_dict("records")
    assert pd.isna(row["value"])
    assert row["without_verdict"] == 2


def test_cost_counts_each_training_once() -> None:
    frame = Results(GRID).frame("cost").set_index(["kind", "plugin"])
    assert frame.loc[("generator", "vae"), ["tasks", "fit_seconds", "sample_seconds"]].tolist() == [1, 9.0, 1.0]
    assert frame.loc[("model", "dnn"), ["tasks", "fit_seconds", "predict_seconds"]].tolist() == [5, 2.0, 0.5]
    assert frame.loc[("model", "fm"), "tasks"] == 4, "one failed"
    assert frame.loc[("model", "dnn"), "peak_memory"] == 50_000_000


def test_cells_have_a_column_a_metric_and_say_why_one_is_missing() -> None:
    frame = Results(GRID).frame("cells")
    assert len(frame) == len(GRID.cells)
    assert list(frame)[-2:] == list(INFO.prediction_metrics)
    board = {(r["generator"], r["scenario"], r["model"]): r["value"] for r in records("scenarios", Results(GRID))}
    for row in frame.to_dict("records"):
        shown = board[row["generator"], row["scenario"], row["model"]]
        assert row["auc"] == shown if shown is not None else pd.isna(row["auc"])
    [bad] = frame[frame["auc"].isna()].to_dict("records")
    assert (bad["status"], bad["reason"]) == ("failed", FAILED.reason)


def test_what_a_metric_did_not_score_is_named_beside_a_good_cell_or_pool() -> None:
    lost = replace(FAILED, reason="no luck")
    cell = replace(GRID.cells[0], scores={}, failed_scores={"auc": lost})
    pool = replace(GRID.pools[0], scores={}, failed_scores={"identical": lost})
    of = Results(results([cell], [pool]))
    assert of.frame("cells")[["status", "reason"]].to_numpy().tolist() == [["ok", "auc: no luck"]]
    assert of.frame("pools")[["status", "reason"]].to_numpy().tolist() == [["ok", "identical: no luck"]]


def test_a_cell_without_a_pool_has_not_the_seconds_that_the_pool_took() -> None:
    waited = replace(FAILED, seconds={"fit": 60.0})
    cells = [*THREE.cells[:-1], replace(THREE.cells[-1], result=waited, scores={})]
    seconds = Results(replace(THREE, cells=cells)).frame("cells")["fit_seconds"].tolist()
    assert seconds[:-1] == [2.0] * (len(cells) - 1)
    assert pd.isna(seconds[-1])


def test_pools_have_value_baseline_and_verdict_of_each_metric() -> None:
    frame = Results(GRID).frame("pools")
    assert list(frame)[-3:] == ["identical", "identical_baseline", "identical_flagged"]
    assert frame["identical"].tolist() == [40.0, 10.0]
    assert frame["identical_baseline"].tolist() == [3.0, 3.0]
    assert frame["click_rate"].tolist() == [0.25, 0.25]


def test_a_table_or_metric_that_is_none_is_refused_with_a_hint() -> None:
    with pytest.raises(UserError, match="no table 'scenario'; did you mean 'scenarios'"):
        Results(GRID).frame("scenario")
    with pytest.raises(UserError, match="metric 'acu': did you mean 'auc'"):
        Results(GRID).frame("scenarios", "acu")


@pytest.mark.parametrize("what", sorted(tidy.FRAMES.keys() - {"doses", "shares", "slices"}))  # see test_axes.py
def test_a_frame_without_rows_has_the_columns_of_one_with_rows(what: str) -> None:
    metrics = {"identical": MetricInfo("lower", "rows", "privacy"), "odd": MetricInfo("lower", "", "fidelity")}
    of = replace(THREE, info=replace(THREE.info, synthetic_metrics=metrics))
    full, empty = Results(of).frame(what), Results(replace(of, cells=[], pools=[])).frame(what)
    assert len(full)
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(full.dtypes)


def test_a_column_of_numbers_that_are_all_missing_is_one_of_nan() -> None:
    frame = Results(results([], [pool("gan", None)])).frame("pools")
    assert frame["identical"].dtype == float
    assert frame["identical"].isna().all()
    assert frame["identical_flagged"].dtype == "boolean"


def test_results_say_which_run_they_are_of_where_it_lies_and_how_much_is_in_it() -> None:
    told = repr(Results(GRID, "shop.db"))
    assert GRID.run in told
    assert "shop.db" in told
    assert f"{len(GRID.cells)} cells" in told
