"""The toys keep their contract, and work together: `pytest` in this folder, with ctrbench and the toybox installed."""

import pytest


@pytest.mark.parametrize("name", ["toy_log", "toy_swap", "toy_rates", "toy_brier"])
def test_it_keeps_its_contract(ctrbench_check, name):
    ctrbench_check(name)


def test_the_toys_work_together(ctrbench_run):
    done = ctrbench_run(
        datasets=["toy_log"],
        generators=["toy_swap"],
        models=["toy_rates"],
        metrics=["toy_brier", "identical"],
        scenarios=["S1", "S5"],
        repeats=2,
    )
    assert not done.failures
    assert all(0 < cell.scores["toy_brier"].value < 0.25 for cell in done.stored.cells)
    assert all(pool.scores["identical"].value > 100 for pool in done.stored.pools)  # it draws real rows


def test_exchanging_all_values_leaves_nothing_to_learn(ctrbench_run):
    cell = {
        "datasets": ["toy_log"],
        "models": ["toy_rates"],
        "metrics": ["toy_brier"],
        "scenarios": ["S5"],
        "repeats": 1,
    }
    some, all_ = (ctrbench_run(generators=[f"toy_swap[share={share}]"], **cell) for share in (0, 1))
    assert _brier(some) < _brier(all_)


def _brier(done):
    (cell,) = (cell for cell in done.stored.cells if cell.scenario == "S5")
    return cell.scores["toy_brier"].value
