from __future__ import annotations

import numpy as np
import pytest
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
