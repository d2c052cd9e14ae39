"""What synthetic rows gain over `original` on one data set: by scenario and by generator."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from math import inf

import numpy as np

from ctrbench.effects import Arm, TestedEffect, numbers
from ctrbench.leaderboard._board import Board, Entry, Record
from ctrbench.leaderboard._part import Part, about_intervals, about_repeats, interval
from ctrbench.results import CellResult, TaskResult, whole_mean
from ctrbench.significance import ranks_of
from ctrbench.text import counted


def scenarios(part: Part) -> list[Board]:
    """As the paper's Table 2, and the scenarios' mean effects over candidates and models."""
    if not part.metric or not part.effects.cells:
        return []
    return [_cells(part), *_family(part)]


def _cells(part: Part) -> Board:
    """For every generator the differences of scenarios to `original`, a column a model, the best of each bold."""
    effects = part.effects
    runs = part.results.info.repeats * part.results.info.model_seeds
    mean = f", mean of {runs}" if runs > 1 else ""
    title = f"test {part.metric} of original, and Δ{part.metric} by scenario{mean}"
    board = part.board("scenarios", title, ["generator", "scenario", *effects.models])
    for generator in ["", *part.pools]:
        mine = list(dict.fromkeys(arm.scenario for arm in effects.cells if arm.generator == generator))
        for scenario in mine:
            row = [Entry(generator or "none"), Entry(scenario)]
            for model in effects.models:
                rivals = {Arm("", "original", model), *(Arm(generator, s, model) for s in mine)}
                row.append(_cell(part, board, Arm(generator, scenario, model), rivals))
            board.rows.append(row)
    for arm, cells in effects.cells.items():
        told = numbers(effects.tested.get(arm))
        for cell, score in zip(cells, effects.scores(arm), strict=True):
            record: Record = {**_names(cell), "metric": part.metric, "value": score}
            record["status"] = str(cell.cause(part.metric).status)
            board.records.append(record | {f"mean_{name}": value for name, value in told.items()})
    judged = [tested.effect for tested in effects.tested.values()]
    best = (
        [] if effects.better == "neither" else ["* or bold: the best of a generator and model, if better than original"]
    )
    constant = [f"predicts the same for every row: {said}" for said in effects.constant()]
    return board.finish(*best, *constant, *about_intervals(judged, marks=bool(best)))


def _cell(part: Part, board: Board, arm: Arm, rivals: Iterable[Arm]) -> Entry:
    """The mean difference to original with half of its interval and a mark; of original itself the mean score."""
    mean = _mean(part, arm)
    if mean is None:
        return board.missing(part.effects.causes([arm]))
    if arm.scenario == "original":
        return Entry(f"{mean:.5f}")
    base = _mean(part, Arm("", "original", arm.model))
    if base is None:  # a score by itself is no difference
        return board.missing(part.effects.causes([Arm("", "original", arm.model)]))
    tested = part.effects.tested.get(arm)
    text = f"{interval(tested.effect)}{part.mark(tested)}" if tested else f"{mean - base:+z.5f}"
    gains = [part.gain(value - mean) for rival in rivals if (value := _mean(part, rival)) is not None]
    return Entry(text, part.gain(mean - base) > 0 and max(gains) <= 0)


def _family(part: Part) -> list[Board]:
    """The confirmatory family: a scenario's effect, averaged over candidates and models, Holm over the scenarios."""
    effects = part.effects
    if not effects.pool_scenarios or not effects.compared:
        return []
    kind = "candidate" if effects.candidates else "control"
    over = f"{counted(len(effects.averaged), kind)} and {counted(len(effects.compared), 'model')}"
    columns = ["scenario", f"Δ{part.metric}", "95 % interval", "p (Holm)", "detectable", "what it is"]
    board = part.board("scenarios", f"mean Δ{part.metric} of each scenario, over {over}", columns)
    names = effects.pool_scenarios + effects.control_scenarios
    for scenario in names:
        tested = effects.judged_scenario(scenario)
        help_ = part.results.info.scenarios[scenario].help
        row = [Entry(scenario)]
        if tested is None:
            generators = effects.averaged if scenario in effects.pool_scenarios else [""]
            arms = [Arm(g, scenario, m) for g in generators for m in effects.compared]
            row += [board.missing(effects.causes(arms)), Entry(""), Entry(""), Entry("")]
        else:
            row.append(Entry(f"{tested.effect.mean:+z.5f}{part.mark(tested, certain_only=True)}"))
            row += [Entry(text) for text in _bounds(tested)]
        board.rows.append([*row, Entry(help_)])
        record: Record = {"dataset": part.dataset, "scenario": scenario, "metric": f"Δ{part.metric}"}
        board.records.append(record | numbers(tested))
    notes = ["detectable: the smallest true difference that such a run would show with a power of 80 %"]
    if effects.control_scenarios:
        notes.append("scenarios without a pool are controls: outside the family, not marked")
    if effects.candidates and effects.controls:
        notes.append(f"controls are in no mean: {', '.join(effects.controls)}")
    found = [one.effect for one in effects.tested_scenarios.values()]
    covers = [effect.covers for effect in found if effect.interval and not effect.testable]
    if covers:
        notes.append(f"one repeat: an interval covers {covers[0]}; five repeats or more show the noise of seeds")
    notes += about_repeats(found)
    left_out = [name for name in effects.generators if name not in effects.distinct]
    if left_out:
        notes.append(f"equal to another or not applicable here, so not counted: {', '.join(left_out)}")
    return [board.finish(*notes, *_variances(part))]


def _bounds(tested: TestedEffect) -> tuple[str, str, str]:
    """The interval, the adjusted p-value and the smallest detectable effect, as far as there are any."""
    found = tested.effect
    p = "" if tested.holm is None else f"{tested.holm:.2g}"
    if found.variance == inf:
        return "", p, ""
    return f"{found.low:+z.5f} … {found.high:+z.5f}", p, f"{found.detectable:.5f}"


def _variances(part: Part) -> list[str]:
    """Where the noise of one cell comes from, where model seeds tell."""
    spreads = [tested.effect.spread for tested in part.effects.tested.values()]
    split = [(s.generator, s.model, s.test) for s in spreads if s.generator is not None and s.model is not None]
    if not split:
        return []
    generator, model, test = (statistics.median(column) ** 0.5 for column in zip(*split, strict=True))
    return [
        f"standard deviation of a cell's difference (median): {generator:.5f} by the generator's seed, "
        f"{model:.5f} by the model's, {test:.5f} by the test rows"
    ]


def generators(part: Part) -> list[Board]:
    """Generators by their mean gain over `original`, over all models and repeats, in scenarios that keep real rows.

    The record of that mean names no scenario.
    """
    effects = part.effects
    if not effects.pool_scenarios or not part.metric:
        return []
    title = f"mean Δ{part.metric} against original, over {', '.join(effects.compared) or 'no model'}"
    columns = ["rank", "generator", "Δ real + synthetic", "mean rank", "cells better", *effects.pool_scenarios]
    board = part.board("generators", title, columns)
    judged = {name: effects.judged_generators.get(name) for name in part.pools}
    ranks = _mean_ranks(part)
    places: dict[str, int] = {}  # those of equal generators are one
    for generator in sorted(part.pools, key=lambda name: _order(part, name, judged[name])):
        tested = judged[generator]
        same = effects.same.get(generator, "")
        beside = same in effects.beside
        ranked = tested is not None and effects.better != "neither" and not beside
        place = str(places.setdefault(same, len(places) + 1)) if ranked else "control" if beside else "—"
        lacking = [] if tested else _causes(part, generator, effects.kept_scenarios)
        text = f"{interval(tested.effect)}{part.mark(tested)}" if tested else board.missing(lacking).text
        best = place == "1" and tested is not None and part.gain(tested.effect.mean) > 0
        row = [Entry(place), Entry(generator), Entry(text, best)]
        rank = ranks.get(same) if ranked else None
        row += [Entry("—" if rank is None else f"{rank:.2f}"), Entry(_wins(part, generator))]
        about: Record = {"dataset": part.dataset, "generator": generator}
        metric: Record = {"metric": f"Δ{part.metric}"}
        mean = tested.effect.mean if tested else None
        board.records.append({**about, "scenario": None, **metric, "value": mean, **numbers(tested), "mean_rank": rank})
        for scenario in effects.pool_scenarios:
            found = effects.generator(generator, [scenario])
            gain = whole_mean(_gains(part, generator, [scenario]))
            row.append(board.missing(_causes(part, generator, [scenario])) if gain is None else Entry(f"{gain:+z.5f}"))
            board.records.append({**about, "scenario": scenario, **metric, "value": gain, **numbers(found)})
        board.rows.append(row)
    left_out = [
        f"{m} has no score on original and is left out for all" for m in effects.models if m not in effects.compared
    ]
    found_effects = [tested.effect for tested in judged.values() if tested]
    over = f"the {'candidates' if effects.candidates else 'generators'} of this table"
    marks = effects.better != "neither"
    notes = about_intervals(found_effects, marks, over)
    if marks and effects.beside and any(tested.holm is not None for tested in judged.values() if tested):
        notes.append("controls are outside the family, not marked")
    return [board.finish(*part.shared_pools(), *left_out, *notes)]


def _mean_ranks(part: Part) -> dict[str, float]:
    """The mean rank of each generator among those that lack no cell, over scenarios, models, repeats; 1 is the best."""
    effects = part.effects
    places: dict[str, set[tuple[str, str]]] = {name: set() for name in effects.averaged}
    for arm in effects.cells:
        if arm.generator in places and arm.scenario in effects.kept_scenarios and arm.model in effects.compared:
            places[arm.generator].add((arm.scenario, arm.model))
    every = set().union(*places.values())
    gains = {name: _gains(part, name, effects.kept_scenarios) for name, mine in places.items() if mine == every}
    good = {name: [part.gain(gain) for gain in found if gain is not None] for name, found in gains.items()}
    whole = {name: found for name, found in good.items() if found and len(found) == len(gains[name])}
    if not whole:
        return {}
    table = np.array(list(whole.values()))
    return dict(zip(whole, (float(rank) for rank in ranks_of(table).mean(axis=1)), strict=True))


def _wins(part: Part, generator: str) -> str:
    """In how many cells and repeats the generator beats original, of those that have a score."""
    if part.effects.better == "neither":
        return "—"
    gains = [gain for gain in _gains(part, generator, part.effects.kept_scenarios) if gain is not None]
    return f"{sum(part.gain(gain) > 0 for gain in gains)} of {len(gains)}"


def _gains(part: Part, generator: str, scenarios: Iterable[str]) -> list[float | None]:
    """The gain over original of every model, repeat and model seed, paired by the model seed."""
    effects = part.effects
    return [
        None if score is None or base is None else score - base
        for scenario in scenarios
        for model in effects.compared
        if (arm := Arm(generator, scenario, model)) in effects.cells
        for score, base in zip(effects.scores(arm), effects.scores(Arm("", "original", model)), strict=True)
    ]


def _causes(part: Part, generator: str, scenarios: Iterable[str]) -> list[TaskResult]:
    """What explains the scores that a generator lacks in some scenarios."""
    return part.effects.causes(Arm(generator, scenario, m) for scenario in scenarios for m in part.effects.compared)


def _mean(part: Part, arm: Arm) -> float | None:
    """The mean score; None unless every repeat has one."""
    return whole_mean(part.effects.scores(arm))


def _order(part: Part, generator: str, tested: TestedEffect | None) -> tuple[bool, float]:
    """Candidates before controls, each by their gain."""
    beside = part.effects.same.get(generator, "") not in part.effects.averaged
    return beside, inf if tested is None else -part.gain(tested.effect.mean)


def _names(cell: CellResult) -> Record:
    return {
        "dataset": cell.dataset,
        "generator": cell.generator,
        "scenario": cell.scenario,
        "model": cell.model,
        "repeat": cell.repeat,
        "model_seed": cell.model_seed,
    }
