from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ctrbench.intervals import Effect, Spread, combined
from ctrbench.significance import benjamini_hochberg, friedman, holm


def test_methods_that_are_all_alike_are_not_told_apart() -> None:
    found = friedman(np.zeros((3, 6)))
    assert (found.p, found.groups) == (1.0, ((0, 1, 2),))


def test_adjusted_p_values_worked_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]) == []
    assert benjamini_hochberg([0.2]) == [0.2]


def test_the_mean_over_data_sets_rests_on_the_least_of_their_bases() -> None:
    known = Effect(0.1, 0.01, 4.0, 5, "seeds and test rows", Spread(0.01, 0.01))
    unknown = replace(known, variance=math.inf, df=math.inf, basis="nothing")
    rows_only = replace(known, basis="test rows only")
    for effects in ([unknown, rows_only, known], [rows_only, unknown], [known, unknown]):
        mean = combined(effects)
        assert mean.basis == "nothing"
        assert mean.interval is None
        assert not math.isnan(mean.df)
    assert combined([known, rows_only]).basis == "test rows only"
