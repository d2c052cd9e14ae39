"""Attribute inference: one field of a row, guessed from all its others.

In: the pool, real train and a real holdout. Out: how often an attacker who knows a row except for one field guesses
that field right with the pool, for rows of train and for rows that the pool's generator has never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE, Estimate, mean_of, sample_of
from ctrbench_metrics._matched import Matched, only
from ctrbench_metrics._nearest import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALIKE = 0.02
"""With real rows as the pool, a difference this close to 0 still counts as none."""

WORST = 5


@dataclass(frozen=True)
class AttributeInference(SyntheticMetric):
    """Share of fields that an attacker guesses right from a row's other fields and the pool, for rows of train.

    After Giomi et al. (Anonymeter, 2023): for each field in turn, the label included but not the user's id, the
    attacker looks up the pool's rows that agree on all other fields and takes their most frequent value; if there are
    none, the one with most rows that agree on all but one and the same field, whichever that is; then that of the same
    user's rows, then of all. The baseline is the same share for as many rows of the holdout: what a pool teaches about
    people in general applies to them too. `excess`, with its 95 % interval over users, is the share minus the baseline;
    `without_pool` is the attacker's share for train's rows with the rest of train in place of the pool; `excess of
    FIELD` are the five fields furthest from 0. Flagged where the mean or a single field differs from its baseline,
    above or below (Bonferroni, 5 % for all together), and from what real rows as the pool give. A field that is guessed
    better on one side with these (the label, where the click rate has changed) is not judged, nor is then the mean; no
    verdict where the mean differs with these.

    It shows that someone who knows most of a row of train learns the rest from the pool. It does not show what can be
    learned from less: an attacker with half of a row, or with several rows of a person, is a different one. Fields that
    follow from others (the country from the city) are guessed right on both sides and dilute the mean.
    """

    name: ClassVar[str] = "attribute_inference"
    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "share"
    targets: Annotated[int, "at most this many rows of train, and as many others, drawn by the seed", Ge(100)] = 25_000
    rows: Annotated[int, "at most this many rows of the pool, and of the rest of train", Ge(100)] = 200_000
    fields: Annotated[int, "at most this many fields are guessed, drawn by the seed", Ge(1)] = 12

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The share in [0, 1]; Skip where nothing can be compared, or nothing tells the holdout's users apart."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.targets, rng)
        pool = sample_of(only(synthetic, matched.fields), self.rows, rng)
        real = sample_of(matched.rest, len(pool), rng)
        user = matched.members.schema.identifier("user")
        names = (*matched.fields, matched.members.schema.label)
        secrets = [at for at, name in enumerate(names) if user is None or name != user.name]
        secrets = sorted(rng.permutation(secrets)[: self.fields])
        tables = (matched.rest, matched.members, matched.others, pool, real)
        _, members, others, *known = (
            np.column_stack([codes, table.targets]) for codes, table in zip(encode(*tables), tables, strict=True)
        )
        own = names.index(user.name) if user is not None else None
        keys = np.random.default_rng(0).integers(1, 2**63, len(names), np.uint64) | np.uint64(1)
        found = [_guesses((members, others), each, secrets, own, keys) for each in known]

        def estimates(hits: Sequence[NDArray[np.bool_]]) -> tuple[Estimate, Estimate]:
            """The share of members, and of others, over the columns of hits."""
            return tuple(  # type: ignore[return-value]
                mean_of(side.mean(axis=1), people, matched.count)
                for side, people in zip(hits, matched.people, strict=True)
            )

        of_members, of_others = estimates(found[0])
        excess, control = ([_difference(estimates(hits))] for hits in found)
        for at in range(len(secrets)):
            for differences, hits in zip((excess, control), found, strict=True):
                differences.append(_difference(estimates([side[:, [at]] for side in hits])))
        level = SIGNIFICANCE / len(excess)  # Bonferroni
        alike = [other.low < ALIKE and other.high > -ALIKE for other in control]
        told = any(
            fair and one.side(level) != 0 and (one - other).side(level) == one.side(level)
            for fair, one, other in zip([all(alike), *alike[1:]], excess, control, strict=True)
        )
        details = {
            **of_members.interval,
            "excess": excess[0].value,
            "excess_low": excess[0].low,
            "excess_high": excess[0].high,
            "without_pool": float(found[1][0].mean()),
            "targets": float(len(members)),
        }
        for at in np.argsort([-abs(each.value) for each in excess[1:]], kind="stable")[:WORST]:
            details[f"excess of {names[secrets[at]]}"] = excess[1 + at].value
        return Score(of_members.value, of_others.value, details, told if alike[0] else None)


def _difference(sides: tuple[Estimate, Estimate]) -> Estimate:
    return sides[0] - sides[1]


def _guesses(
    targets: Sequence[NDArray[np.int32]],
    known: NDArray[np.int32],
    secrets: Sequence[int],
    user: int | None,
    keys: NDArray[np.uint64],
) -> list[NDArray[np.bool_]]:
    """Whether each secret field of each target is guessed right, (targets, secrets) for each table of targets.

    A row's number is the sum of its fields times `keys`, modulo 2⁶⁴: different rows almost never have equal numbers,
    and a collision would cost only one guess.
    """
    rows = np.concatenate(targets)
    parts, known_parts = (each.astype(np.uint64) * keys for each in (rows, known))  # (rows, fields)
    whole, known_whole = parts.sum(axis=1, dtype=np.uint64), known_parts.sum(axis=1, dtype=np.uint64)
    right = np.zeros((len(rows), len(secrets)), bool)
    for at, secret in enumerate(secrets):
        values = known[:, secret]
        guess = np.full(len(rows), np.bincount(values).argmax())
        others = [field for field in range(rows.shape[1]) if field != secret]
        if user is not None:
            _look_up(guess, np.full(len(rows), 0), parts[:, user], known_parts[:, user], values)
        votes = np.zeros(len(rows), np.int64)
        rest, known_rest = whole - parts[:, secret], known_whole - known_parts[:, secret]
        for dropped in others:
            _look_up(guess, votes, rest - parts[:, dropped], known_rest - known_parts[:, dropped], values)
        _look_up(guess, np.zeros(len(rows), np.int64), rest, known_rest, values)
        right[:, at] = guess == rows[:, secret]
    return np.split(right, [len(targets[0])])


def _look_up(
    guess: NDArray[np.int64],
    votes: NDArray[np.int64],
    asked: NDArray[np.uint64],
    known: NDArray[np.uint64],
    values: NDArray[np.int32],
) -> None:
    """Set each guess to the most frequent value among known rows with the same number, where that has more votes."""
    order = np.lexsort((values, known))
    known, values = known[order], values[order]
    starts = np.flatnonzero(np.concatenate([[True], (known[1:] != known[:-1]) | (values[1:] != values[:-1])]))
    counts, numbers, values = np.diff(starts, append=len(known)), known[starts], values[starts]
    best = np.lexsort((counts, numbers))  # the last entry of each number has the most rows
    best = best[np.concatenate([numbers[best][1:] != numbers[best][:-1], [True]])]
    counts, numbers, values = counts[best], numbers[best], values[best]
    places = np.minimum(np.searchsorted(numbers, asked), len(numbers) - 1)
    better = (numbers[places] == asked) & (counts[places] > votes)
    guess[better], votes[better] = values[places[better]], counts[places[better]]


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `attribute_inference`."""
    register(AttributeInference)
