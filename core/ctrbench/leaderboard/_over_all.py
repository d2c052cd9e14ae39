"""What generators gain over `original` on several data sets: side by side, the mean, and their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from ctrbench.axes import about_smaller
from ctrbench.effects import numbers
from ctrbench.intervals import ALPHA, combined
from ctrbench.leaderboard._board import Board, Entry
from ctrbench.leaderboard._part import Part, interval
from ctrbench.significance import BLOCKS, friedman, ranks_of
from ctrbench.text import counted


def over_all(parts: Sequence[Part], smaller: Sequence[str]) -> list[Board]:
    """Generators over several data sets: their gain on each, the mean, and from five data sets on a rank test.

    `smaller` are the shares of a log that are not among them.
    """
    parts = [part for part in parts if part.metric and part.effects.kept_scenarios]
    if len(parts) < 2:
        return []
    first = parts[0]
    if first.effects.better == "neither":
        return []
    everywhere = [
        name
        for name in first.effects.applicable
        if all(part.effects.same.get(name) in part.effects.averaged for part in parts)
    ]
    twins = {tuple(part.effects.same[name] for part in parts): name for name in reversed(everywhere)}
    names = sorted(twins.values(), key=everywhere.index)  # equal on every data set: the first of them
    columns = ["generator", "mean Δ", "mean rank", *(part.dataset for part in parts)]
    board = Board("generators", "", f"mean Δ{first.metric} over {counted(len(parts), 'data set')}", tuple(columns))
    gains = {name: [part.effects.generator(name, part.effects.kept_scenarios) for part in parts] for name in names}
    whole = {name: [e for e in effects if e] for name, effects in gains.items() if all(effects)}
    table = np.array([[first.gain(effect.mean) for effect in effects] for effects in whole.values()])
    table = table.reshape(-1, len(parts))
    ranks = dict(zip(whole, ranks_of(table).mean(axis=1), strict=True))
    for name in sorted(names, key=lambda name: ranks.get(name, inf)):
        row = [Entry(name)]
        if name in whole:
            mean = combined(whole[name])
            row += [Entry(interval(mean)), Entry(f"{ranks[name]:.2f}")]
            board.records.append({"generator": name, "metric": f"Δ{first.metric}", **numbers(mean)})
        else:
            row += [Entry("—"), Entry("—")]
        row += [Entry(interval(effect) if effect else "—") for effect in gains[name]]
        board.rows.append(row)
    if left_out := sorted({name for part in parts for name in part.pools} - set(everywhere)):
        board.notes.append(f"left out, as they are controls or do not apply to every data set: {', '.join(left_out)}")
    if equal := [name for name in everywhere if name not in names]:
        board.notes.append(f"left out, as another generator equals them on every data set: {', '.join(equal)}")
    board.notes += about_smaller(smaller)
    board.notes.append("the interval of the mean is for these data sets and no others")
    board.notes += _rank_test(list(whole), table)
    return [board]


def _rank_test(names: list[str], table: Any) -> list[str]:
    """What Friedman's test says of (generators, data sets), data sets being the blocks."""
    if table.shape[1] < BLOCKS:
        return [f"a rank test over data sets takes at least {BLOCKS} of them"]
    if len(names) < 3:
        return []
    found = friedman(table)
    said = [f"Friedman's test over {table.shape[1]} data sets: p = {found.p:.3g}"]
    if found.p >= ALPHA:
        return [*said, "no generator is told from another at .05"]
    groups = ["{" + ", ".join(names[i] for i in group) + "}" for group in found.groups]
    if groups:
        said.append(f"not told apart at .05 (Nemenyi's critical difference): {'; '.join(groups)}")
    return said
