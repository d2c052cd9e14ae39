from __future__ import annotations

from dataclasses import replace

import pytest
from ctrbench import Forecast
from ctrbench.costs import LIBRARIES, Costs, warnings
from ctrbench.ids import PoolId
from ctrbench.plan import Task
from ctrbench.results import Cost, Spent


def task(effort: float = 10.0, forecast: Forecast | None = None) -> Task:
    return Task(
        PoolId("log", "0123", 0, "gan"),
        "gan (x 1)",
        lambda results: None,
        label="gan",
        cost_key="a",
        effort=effort,
        forecast=forecast,
    )


def test_like_tasks_foretell_a_cost_and_their_fits_are_scaled_to_the_budget() -> None:
    costs = Costs({"a": [Spent(100.0, 5.0, 1e9, 10.0), Spent(300.0, 7.0, 2e9, 10.0), Spent(1.0, 1.0, 9e9, 1.0)]})
    assert costs.of(task()) == Cost(206.0, 2e9)
    assert costs.basis(task()) == "earlier runs"
    assert costs.of(task(20.0)) == Cost(406.0, 2e9), "twice the epochs: twice the fit, the same sampling"
    assert costs.basis(task(20.0)) == "earlier runs, scaled"


def test_without_like_tasks_the_plug_in_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrbench.resources.speed", lambda threads: 1e9 * threads)
    assert Costs({}, threads=2).of(task(forecast=Forecast(6e9, 1e8))) == Cost(3.0, 1e8 + LIBRARIES)
    assert Costs({}).of(task()) is None
    assert (Costs({}).basis(task(forecast=Forecast(1, 1))), Costs({}).basis(task())) == ("forecast", "—")


def test_what_does_not_fit_into_the_machine_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrbench.resources.memory", lambda: 10**12)
    huge = task(forecast=Forecast(1.0, 1e15))
    [warning] = warnings([huge, huge, task()], Costs({}))
    assert warning.startswith("warning: pool gan needs about 1,000,001 GB, and this machine has 1,000 GB: ")


def test_what_takes_a_night_because_a_field_is_wide_is_said_with_the_field_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctrbench.resources.speed", lambda threads: 1e9)
    slow = replace(task(forecast=Forecast(3.6e13, 1.0)), widest=("uid", 131_000))
    [warning] = warnings([slow, replace(slow, cost_key="b", forecast=Forecast(1e13, 1.0))], Costs({}))
    assert warning == (
        "warning: pool gan needs about 10 hours; it grows with the values of a field, and 'uid' has 131,000: "
        "min_count, top or hash of the data set leave fewer"
    )
    [plain] = warnings([replace(slow, widest=("hour", 24))], Costs({}))
    assert plain == "warning: pool gan needs about 10 hours"
