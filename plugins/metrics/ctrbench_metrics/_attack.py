"""Membership inference: an attacker scores real rows and takes those with the highest scores for rows of train.

In: matched rows of train and of the holdout, the pool, and real rows that no generator has seen. Out: how well the
attacker tells the two apart, compared with two pools that contain no member: other rows of train, and the pool with its
columns shuffled.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Better, Score, SyntheticMetric, Table

from ctrbench_metrics._chance import Estimate, auc_of, sample_of
from ctrbench_metrics._matched import Matched, only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Sides = tuple[NDArray[np.float64], NDArray[np.float64]]
    """A number for each member, and for each of the others (rows or people)."""
    People = tuple[NDArray[np.int64], NDArray[np.int64]]

FALSE_POSITIVES = 0.01
ALIKE = 0.02
"""With real rows as the pool, an AUC this close to .5 still counts as no difference."""


@dataclass(frozen=True)
class MembershipAttack(SyntheticMetric):
    """What all membership attacks share: which rows are tested, and when success is a leak."""

    imports: ClassVar[tuple[str, ...]] = ("scipy.special",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "AUC"
    both_ways: ClassVar[bool] = True
    suspects: Annotated[int, "at most this many members, and as many others, drawn by the seed", Ge(100)] = 25_000
    rows: Annotated[int, "at most this many rows of the pool, and of other tables", Ge(100)] = 200_000

    @abstractmethod
    def scores(
        self, matched: Matched, pools: Sequence[Table], unseen: Table, rng: np.random.Generator
    ) -> list[NDArray[np.float64]]:
        """How much each suspect looks like a member according to each pool, members before others, (suspects,) each."""

    def asked(self, scores: Sides, people: People) -> tuple[Sides, People]:
        """The scores to be judged, and the people they belong to: here each row by itself."""
        return scores, people

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The AUC in [0, 1]; Skip where nothing can be compared, or nothing tells the holdout's users apart."""
        rng = np.random.default_rng(seed)
        matched = Matched.drawn(train, holdout, self.suspects, rng)
        people = matched.people
        alike = min(self.rows, len(matched.rest))  # as many rows of each pool: a larger one reveals more
        pool, fresh, unseen = (
            sample_of(only(each, matched.fields), alike, rng) for each in (synthetic, matched.rest, reference)
        )
        found = self.scores(matched, (pool, fresh, _shuffled(pool, rng)), unseen, rng)
        size = len(matched.members)
        sides = [self.asked((each[:size], each[size:]), people) for each in found]
        return judge(*(scores for scores, _ in sides), people=sides[0][1], both_ways=self.both_ways)


def judge(pool: Sides, fresh: Sides, marginals: Sides, *, people: People, both_ways: bool) -> Score:
    """The attack's AUC on the pool, from the scores by the pool and by both control pools, and whose the suspects are.

    Flagged where the AUC is above .5, above that of fresh real rows and above that of the marginals, each by more than
    chance; with `both_ways` also where it is below all three by more than chance, since an attacker can just as well
    take the lowest scores. No verdict where fresh real rows already tell members from others: the attack then proves
    nothing; nor where the interval is as wide as all that an AUC can be.
    """
    count = max(int(each.max()) for each in people) + 1
    of_pool, of_fresh, of_marginals = (auc_of(*each, people, count) for each in (pool, fresh, marginals))
    details = {
        **of_pool.interval,
        "true_positives_at_1_percent": _caught(*pool),
        "auc_of_fresh_rows": of_fresh.value,
        "auc_of_marginals": of_marginals.value,
        "suspects": float(sum(map(len, pool))),
    }
    alike = of_fresh.low < 0.5 + ALIKE and of_fresh.high > 0.5 - ALIKE
    alike = alike and of_pool.high - of_pool.low < 1  # of so few people any AUC at all could be chance
    side = (of_pool - Estimate(0.5, np.zeros(count))).side()
    told = side in ((1, -1) if both_ways else (1,)) and all(
        (of_pool - other).side() == side for other in (of_fresh, of_marginals)
    )
    return Score(of_pool.value, 0.5, details, told if alike else None)


def _shuffled(pool: Table, rng: np.random.Generator) -> Table:
    """The pool with the values of each column shuffled among the rows of a class: what its marginals alone reveal."""
    import pandas as pd

    columns = {name: pool.rows[name].to_numpy().copy() for name in pool.schema.names}
    for label in (0, 1):
        chosen = np.flatnonzero(pool.targets == label)
        for values in columns.values():
            values[chosen] = values[rng.permutation(chosen)]
    return Table(pd.DataFrame(columns, copy=False), pool.schema, pool.labels)


def _caught(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Share of members above the threshold that 1 % of the others exceed; ties count in proportion."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    passed, caught = (
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(each), thresholds, "left") / len(each)])
        for each in (others, members)
    )
    return float(np.interp(FALSE_POSITIVES, passed, caught))
