"""Identical rows, the paper's Table 1.

In: the pool, real train and a real holdout. Out: how many pool rows are exact copies of train rows, and how many would
be expected if the pool were as new as the holdout is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctrbench import Better, Register, Score, SyntheticMetric, Table, hookimpl

from ctrbench_metrics._chance import SIGNIFICANCE
from ctrbench_metrics._rows import count_matches, number_rows, with_labels


@dataclass(frozen=True)
class Identical(SyntheticMetric):
    """Pool rows equal to a real train row in every field and the label (arXiv 2406.18286, Table 1).

    The value counts with multiplicity. Details: `share` of the pool's rows, `distinct` matching rows, `fields_only` and
    `fields_only_distinct` with the label ignored, and `validation_share`, the share of the holdout's rows that occur in
    train; the baseline is that share of the pool's size. A common row is no secret: compare the value with the
    baseline, not with 0.

    Of all rows of train and holdout, the pool contains some. Flagged where more of these are train's than chance would
    choose, by the one-sided exact hypergeometric test at 2.5 % (details `train_rows_held`, `holdout_rows_held`,
    `chance`): a generator meets rows it never saw only by luck. It shows copies. It does not show near copies: a row
    that differs in one field is not counted, and finding no copy is not privacy.
    """

    name: ClassVar[str] = "identical"
    imports: ClassVar[tuple[str, ...]] = ("scipy.stats",)
    better: ClassVar[Better] = "lower"
    unit: ClassVar[str] = "rows"

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        """The number of such rows; `reference` and `seed` are not needed."""
        pool_rows, train_rows, holdout_rows = number_rows(synthetic, train, holdout)
        fields_only = count_matches(pool_rows, train_rows)
        labelled_train = with_labels(train_rows, train)
        labelled_pool = with_labels(pool_rows, synthetic)
        matches = count_matches(labelled_pool, labelled_train)
        details = {
            "share": matches.rows / max(len(synthetic), 1),
            "distinct": float(matches.distinct),
            "fields_only": float(fields_only.rows),
            "fields_only_distinct": float(fields_only.distinct),
        }
        if not len(holdout):
            return Score(float(matches.rows), details=details)
        labelled_holdout = with_labels(holdout_rows, holdout)
        seen = count_matches(labelled_holdout, labelled_train).rows / len(holdout)
        held, unseen_held = (count_matches(rows, labelled_pool).rows for rows in (labelled_train, labelled_holdout))
        chance = _chance(held, len(train), unseen_held, len(holdout))
        details |= {
            "validation_share": seen,
            "train_rows_held": float(held),
            "holdout_rows_held": float(unseen_held),
            "chance": chance,
        }
        return Score(float(matches.rows), seen * len(synthetic), details, chance <= SIGNIFICANCE)


def _chance(held: int, train: int, unseen_held: int, holdout: int) -> float:
    """The probability that at least this many of the rows that the pool contains are train's."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(held - 1, train + holdout, train, held + unseen_held))


@hookimpl
def register_metrics(register: Register[type[SyntheticMetric]]) -> None:
    """Register `identical`."""
    register(Identical)
