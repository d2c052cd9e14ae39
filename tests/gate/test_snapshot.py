"""The file of `ctrbench export`: what it holds of a run, and what is none."""

from __future__ import annotations

from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctrbench.errors import UserError
from ctrbench.gate import snapshot
from ctrbench.store.artefacts import Artefacts
from handmade import cell, pool, results
from test_compare import at, snap


def test_a_snapshot_survives_its_file_which_is_never_overwritten(tmp_path: Path) -> None:
    taken = snap(at("m", auc=[0.7, None]), at("n", auc=[0.1, 1 / 3]))
    file = tmp_path / "baseline.json"
    snapshot.write(taken, file)
    assert snapshot.read(file) == taken
    assert sum('"model"' in line for line in file.read_text().splitlines()) == 2  # a place a line
    with pytest.raises(UserError, match="exists already"):
        snapshot.write(taken, file)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: text[:-20], "did not make it"),
        (lambda text: text.replace("0.7", "NaN"), "finite"),
        (lambda text: text.replace("0.7", '"0.7"'), "valid number"),
        (lambda text: text.replace("0.7", "1e80"), "less than or equal to"),
        (lambda text: text.replace("[0.7, 0.7]", "[0.7]"), "not every value"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "a newer ctrbench"),
        (lambda text: text.replace('"suite"', '"sweet"'), "suite"),
        (lambda text: text.replace('"log": {', '"dog": {'), "no data set 'log'"),
        (lambda text: "[" * 10**6, "did not make it"),
        (lambda text: "\x00\xff", "did not make it"),
        (lambda text: "{}", "format"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused_in_a_line(tmp_path: Path, damage: Any, complaint: str) -> None:
    file = tmp_path / "baseline.json"
    snapshot.write(snap(at("m", auc=[0.7, 0.7])), file)
    file.write_text(damage(file.read_text()), "latin-1")
    with pytest.raises(UserError, match=complaint) as refusal:
        snapshot.read(file)
    assert "\n" not in str(refusal.value)


def test_a_snapshot_holds_every_repeat_and_why_one_is_missing() -> None:
    run = results(
        [cell("", "original", "dnn", 0.8), cell("", "original", "dnn", None, 1), cell("gan", "S5", "dnn", 0.7)],
        [pool("gan", 40.0), pool("gan", None)],
    )
    run = with_changes(
        run, info=with_changes(run.info, repeats=2), cells=[*run.cells, cell("gan", "S5", "dnn", 0.6, 1)]
    )
    places = {place.scenario: place for place in snapshot.take(run).places}
    original, synthetic, made = places["original"], places["S5"], places[""]
    assert original.values["auc"] == [0.8, None]
    assert "ValueError" in original.lacking["auc"]
    huge = results([cell("", "original", "dnn", 1e80)], [])
    assert snapshot.take(huge).places[0].lacking["auc"] == "no number that can be used"
    assert synthetic.scores("auc") == [0.7, 0.6]
    assert synthetic.values["fit_seconds"] == [2.0, 2.0]
    assert made.values["identical"] == [40.0, None]
    assert made.values["sample_seconds"] == [1.0, None]
    with pytest.raises(UserError, match="did not finish"):
        snapshot.take(with_changes(run, finished=None))


def test_what_several_share_is_counted_once_and_what_failed_is_not() -> None:
    original, made = cell("", "original", "dnn", 0.8), cell("gan", "S5", "dnn", 0.7)
    mine, theirs = (with_changes(original.result, run=run) for run in ("run1", "an earlier one"))
    cells = [with_changes(original, result=theirs), with_changes(made, result=mine), cell("gan", "S3", "dnn", None)]
    cells.append(with_changes(cells[1], generator="twin"))
    pools = [with_changes(pool("gan", 40.0), result=theirs), with_changes(pool("twin", 40.0, "gan"), result=theirs)]
    taken = snapshot.take(results(cells, pools))
    assert (taken.fits, taken.found) == (3, 2)


def test_the_test_variance_is_what_repeats_share(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 0.01, 50)
    digests = [artefacts.put_array(shared + rng.normal(0, 0.002, 50)) for _ in range(3)]
    cells = [
        with_changes(cell("", "original", "dnn", 0.8, repeat), contributions={"auc": digest})
        for repeat, digest in enumerate(digests)
    ]
    run = with_changes(results(cells, [], repeats=3), artefacts=artefacts)
    parts = np.stack([artefacts.get_array(digest) for digest in digests])
    products = parts @ parts.T
    [place] = snapshot.take(run).places
    assert place.test_variance["auc"] == pytest.approx(products[~np.eye(3, dtype=bool)].mean())
    assert "logloss" not in place.test_variance


@pytest.mark.parametrize("last", [[0.1] * 49, [1e60] * 50, [float("nan")] * 50])
def test_a_test_variance_that_cannot_be_told_is_unknown(tmp_path: Path, last: list[float]) -> None:
    artefacts = Artefacts(tmp_path)
    digests = [artefacts.put_array(np.array(each)) for each in ([0.1] * 50, [0.2] * 50, last)]
    cells = [
        with_changes(cell("", "original", "dnn", 0.8, repeat), contributions={"auc": digest})
        for repeat, digest in enumerate(digests)
    ]
    [place] = snapshot.take(with_changes(results(cells, [], repeats=3), artefacts=artefacts)).places
    assert place.test_variance == {}
