"""How much, how little, for whom: differences to `original` by dose, by share of train, by slice of the test rows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ctrbench.axes import Curve, OnSlice, Point, dose_curves, share_curves
from ctrbench.axes import shares as shares_of
from ctrbench.axes import slices as slices_of
from ctrbench.effects import Arm, Effects, numbers
from ctrbench.leaderboard._board import Board, Entry, Record
from ctrbench.leaderboard._part import BETTER, WORSE, Part, about_intervals, interval
from ctrbench.results import DatasetInfo
from ctrbench.text import counted


def doses(part: Part) -> list[Board]:
    """How much: a row a generator and class of rows, a column a dose, and the best with the price of choosing it."""
    curves = dose_curves(part.effects)
    if not curves:
        return []
    doses = sorted({point.x for curve in curves for point in curve.points})
    columns = ["generator", "adds", *(f"{dose:g}" for dose in doses), "best", "for all doses at once", "chosen blindly"]
    title = f"Δ{part.metric} by dose of synthetic rows, over {_models(part.effects)}"
    board = part.board("doses", title, columns)
    for curve in curves:
        at = {point.x: point for point in curve.points}
        row = [Entry(curve.generator), Entry(curve.what)]
        row += [_place(board, part, curve, at[dose]) if dose in at else Entry("") for dose in doses]
        best = curve.best
        ends = curve.bounds(best) if best else None
        row += [Entry(f"{best.x:g}" if best else "—"), Entry(f"{ends[0]:+z.5f} … {ends[1]:+z.5f}" if ends else "—")]
        board.rows.append([*row, Entry(interval(curve.chosen) if curve.chosen else "—")])
        for point in curve.points:
            record: Record = {"generator": curve.generator, "adds": curve.what, "dose": point.x, "scenario": point.name}
            chosen = curve.chosen.mean if curve.chosen else None
            board.records.append(
                {
                    "dataset": part.dataset,
                    **record,
                    **_record(part, curve, point),
                    "best": point is best,
                    "chosen": chosen,
                }
            )
    return [
        board.finish(
            *_about(curves, "doses"),
            "for all doses at once: the interval of the best, widened for having been chosen from its row (Bonferroni)",
            "chosen blindly: in each repeat the dose that is best in the others: no luck of seeds is in its mean",
        )
    ]


def shares(part: Part) -> list[Board]:
    """How little: a row a generator and scenario, a column a share of train, and where it pays."""
    curves = share_curves(part.effects)
    if not curves:
        return []
    family = shares_of(part.effects)
    of = [part.results.info.datasets[each.dataset] for each in family]
    title = f"Δ{part.metric} by share of train that is seen, over {_models(part.effects)}"
    columns = ["generator", "scenario", *map(_share, of), "pays at"]
    board = part.board("shares", title, columns)
    board.rows.append([Entry("none"), Entry("original"), *map(_original, family), Entry("")])
    for curve in curves:
        pays = [f"{100 * point.x:g} %" for point in curve.points if curve.sign(point) > 0]
        row = [Entry(curve.generator), Entry(curve.what)]
        row += [_place(board, part, curve, point) for point in curve.points]
        board.rows.append([*row, Entry(", ".join(pays) or "—")])
        for point in curve.points:
            record: Record = {"generator": curve.generator, "scenario": curve.what, "train_share": point.x}
            board.records.append({"dataset": point.name, **record, **_record(part, curve, point)})
    rows = ", ".join(f"{told.rows['train']:,}" for told in of)
    return [
        board.finish(
            *_about(curves, "shares"),
            *(said for each, told in zip(family, of, strict=True) for said in _left_out(each, f"at {_share(told)}")),
            f"rows of train: {rows}; each share is one draw, the same for all repeats, and holds the smaller ones",
        )
    ]


def slices(part: Part) -> list[Board]:
    """For whom: a row a generator and scenario, a column a slice of the test rows."""
    rows = slices_of(part.effects)
    if not rows:
        return []
    effects = [each.effects for each in rows[0]]
    title = f"Δ{part.metric} by slice of the test rows, over {_models(part.effects)}"
    board = part.board("slices", title, ["generator", "scenario", *(each.metric for each in effects)])
    board.rows.append([Entry("none"), Entry("original"), *map(_original, effects)])
    for row in rows:
        place = [Entry(row[0].generator or "none"), Entry(row[0].scenario)]
        board.rows.append([*place, *(_on_slice(board, part, each) for each in row)])
    judged = [each.tested.effect for row in rows for each in row if each.tested]
    left_out = [said for each in effects for said in _left_out(each, f"in {each.metric}")]
    return [board.finish(*left_out, *_sizes(effects), *about_intervals(judged, marks=part.effects.better != "neither"))]


def _on_slice(board: Board, part: Part, each: OnSlice) -> Entry:
    """A slice's effect with half of its interval and its mark."""
    effect = each.tested.effect if each.tested else None
    record: Record = {"dataset": part.dataset, "generator": each.generator, "scenario": each.scenario}
    board.records.append({**record, "metric": f"Δ{each.effects.metric}", **numbers(each.tested)})
    if effect:
        return Entry(f"{interval(effect)}{part.mark(each.tested)}")
    arms = [Arm(each.generator, each.scenario, model) for model in each.effects.models]
    return board.missing(each.effects.causes(arms))


def _place(board: Board, part: Part, curve: Curve, point: Point) -> Entry:
    """A point's effect with half of its own interval, and a mark where it stands for all points at once."""
    if point.effect is None:
        return board.missing(point.causes)
    mark = {1: BETTER, -1: WORSE}.get(curve.sign(point), "")
    return Entry(f"{interval(point.effect)}{mark}", point is curve.best and curve.gain(point.effect) > 0)


def _record(part: Part, curve: Curve, point: Point) -> Record:
    low, high = curve.bounds(point) or (None, None)
    return {"metric": f"Δ{part.metric}", **numbers(point.effect), "low_of_all": low, "high_of_all": high}


def _about(curves: Sequence[Curve], points: str) -> list[str]:
    """How to read the places of a curve."""
    effects = [point.effect for curve in curves for point in curve.points if point.effect]
    if all(curve.better == "neither" for curve in curves):
        return about_intervals(effects, marks=False)
    star = "* or bold: the best of a row, if better than original"
    if not any(effect.testable for effect in effects):
        return [star, *about_intervals(effects, marks=False)]
    marks = f"{BETTER} better and {WORSE} worse where the interval for all {points} of its row at once excludes 0"
    return [star, *about_intervals(effects, marks=False), marks]


def _original(effects: Effects) -> Entry:
    """The mean score of original."""
    found = [score for model in effects.compared for score in effects.scores(Arm("", "original", model))]
    good = [score for score in found if score is not None]
    return Entry(f"{statistics.fmean(good):.5f}" if good else "—")


def _left_out(effects: Effects, where: str) -> list[str]:
    """The models that a mean is not over although others of its row are."""
    lacking = [model for model in effects.models if model not in effects.compared]
    return [f"{model} has no score on original {where} and is left out there" for model in lacking]


def _share(told: DatasetInfo) -> str:
    return f"{100 * told.train_share:g} %"


def _sizes(effects: Sequence[Effects]) -> list[str]:
    """How many test rows a slice has, where its metric says so."""
    said = []
    for each in effects:
        sizes = {c.scores[each.metric].details.get("rows") for c in each.results.cells
                 if c.dataset == each.dataset and each.metric in c.scores}  # fmt: skip
        said += [f"{each.metric} {size:,.0f}" for size in sizes if size is not None and len(sizes) == 1]
    return [f"test rows of the slices: {', '.join(said)}"] if said else []


def _models(effects: Effects) -> str:
    return counted(len(effects.compared), "model")
