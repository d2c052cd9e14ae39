"""Exact nearest neighbours among coded rows, without a matrix of distances.

In: codes and labels. Out: each row's nearest rows by value difference, block by block, and the vote of several rows.

With two labels the value difference metric (Stanfill and Waltz 1986; both norms as in imbalanced-learn) is four times
the squared Euclidean distance between the rows' vectors of P(label = 1 | value), so a k-d tree finds the nearest. Rows
of a log often share a vector; such a point is searched once, however many rows lie on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 2**16
"""Rows whose neighbours are held at once."""


class Near(NamedTuple):
    """The nearest rows of some rows, starting with themselves; by position."""

    rows: NDArray[np.intp]  # (block,)
    neighbours: NDArray[np.intp]  # (block, number)
    squares: NDArray[np.float64]  # (block, number), squared Euclidean distances, ascending


def click_shares(codes: NDArray[np.int32], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """P(label = 1 | value) of every field of every row, (rows, fields), estimated from these rows."""
    shares = np.empty(codes.shape)
    for field, column in enumerate(codes.T):
        clicks = np.bincount(column[labels == 1], minlength=column.max() + 1)
        shares[:, field] = (clicks / np.maximum(np.bincount(column), 1))[column]
    return shares


def nearest(points: NDArray[np.float64], number: int, *, threads: int = 1) -> Iterator[Near]:
    """The `number` nearest of each row, at most as many as there are rows; every row occurs in one block.

    Among rows at equal distance the choice is free. It rotates with the row that asks, so that rows on one point do not
    all ask the same few.
    """
    from scipy.spatial import cKDTree

    place = _places(points)  # (rows,)
    rows = np.argsort(place, kind="stable")  # grouped by place
    sizes = np.bincount(place)
    starts = np.cumsum(sizes) - sizes
    locations = points[rows[starts]]  # (places, fields)
    tree = cKDTree(locations, balanced_tree=False)
    ranks = np.arange(1, min(number, len(locations)) + 1)
    for begin in range(0, len(rows), BLOCK):
        asking = rows[begin : begin + BLOCK]
        home = place[asking]
        distances, places = tree.query(locations[home[0] : home[-1] + 1], ranks, workers=threads)
        distances, places = distances[home - home[0]], places[home - home[0]]  # (block, ranks)
        turn = np.arange(begin, begin + len(asking)) - starts[home]
        until = np.cumsum(sizes[places], axis=1)  # rows on the nearest 1, 2, … places
        near = Near(asking, np.empty((len(asking), number), np.intp), np.empty((len(asking), number)))
        every = np.arange(len(asking))
        for slot in range(number):
            rank = (until <= slot).sum(axis=1)
            there = places[every, rank]
            step = slot - until[every, rank] + sizes[there]  # how many of that place are already taken
            near.neighbours[:, slot] = rows[starts[there] + (turn + step) % sizes[there]]
            near.squares[:, slot] = distances[every, rank] ** 2
        yield near


def vote(ballots: NDArray[np.int32]) -> NDArray[np.int32]:
    """The most frequent code along the first axis, the smallest in a tie: (voters, …) to (…)."""
    ballots = np.sort(ballots, axis=0)
    winner = ballots[0].copy()
    run = np.ones(winner.shape, np.int32)
    longest = run.copy()
    for before, now in pairwise(ballots):
        run = np.where(now == before, run + 1, 1)
        winner = np.where(run > longest, now, winner)
        longest = np.maximum(run, longest)
    return winner


def _places(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """A number for each row, (rows,), from 0 without gaps: equal if and only if the points are."""
    place = np.zeros(len(points), np.intp)
    for column in points.T:
        values, rank = np.unique(column, return_inverse=True)
        _, place = np.unique(place * len(values) + rank, return_inverse=True)  # below rows², far from overflow
    return place
