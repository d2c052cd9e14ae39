from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from ctrbench import Context
from ctrbench_generators import _fitting
from torch import Tensor


class Walk:
    """A random walk of a weight: its trainer draws from its own generator."""

    def __init__(self) -> None:
        self.weight = torch.zeros(3, dtype=torch.float64)
        self.noise = torch.Generator().manual_seed(1)
        self.steps = 0
        self.killed_at: int | None = None

    def step(self) -> Mapping[str, Tensor]:
        if self.steps == self.killed_at:
            raise KeyboardInterrupt
        self.steps += 1
        self.weight = self.weight * 0.9 + torch.randn(3, generator=self.noise, dtype=torch.float64)
        return {"loss": self.weight.square().sum()}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight, "noise": self.noise.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]
        self.noise.set_state(state["noise"])


@pytest.fixture
def context(tmp_path) -> Context:
    return Context(checkpoints=tmp_path / "job")


def test_a_killed_fit_goes_on_where_it_was_and_ends_with_the_same_numbers(context, monkeypatch) -> None:
    whole = Walk()
    losses = _fitting.run(whole, 50, Context(checkpoints=context.checkpoints / "other"))
    monkeypatch.setattr(_fitting, "SAVE_EVERY", 0.0)
    killed = Walk()
    killed.killed_at = 30
    with pytest.raises(KeyboardInterrupt):
        _fitting.run(killed, 50, context)
    again = Walk()
    assert _fitting.run(again, 50, context)["loss"] == pytest.approx(losses["loss"], rel=1)
    assert again.steps == 20
    assert torch.equal(again.weight, whole.weight)


def test_a_fit_beyond_its_deadline_keeps_a_checkpoint_and_a_longer_limit_goes_on(context) -> None:
    late = Context(checkpoints=context.checkpoints, deadline=time.time() - 1)
    with pytest.raises(TimeoutError, match="after step 1 of 50; a longer one goes on"):
        _fitting.run(Walk(), 50, late)
    again = Walk()
    _fitting.run(again, 50, context)
    assert again.steps == 49


def test_a_damaged_checkpoint_is_set_aside(context) -> None:
    context.checkpoints.mkdir()
    (context.checkpoints / "fit.pt").write_bytes(b"PK\x03\x04 half a file")
    again = Walk()
    _fitting.run(again, 5, context)
    assert again.steps == 5
    assert [path.name for path in context.checkpoints.iterdir()] == ["fit.damaged"]


@pytest.mark.parametrize("damage", ["flipped", "cut short", "empty"])
def test_a_checkpoint_that_is_not_what_was_written_is_set_aside(context, monkeypatch, damage: str) -> None:
    monkeypatch.setattr(_fitting, "SAVE_EVERY", 0.0)
    killed = Walk()
    killed.killed_at = 3
    with pytest.raises(KeyboardInterrupt):
        _fitting.run(killed, 5, context)
    path = context.checkpoints / "fit.pt"
    data = path.read_bytes()
    changed = bytes(byte ^ (place == len(data) // 2) for place, byte in enumerate(data))
    path.write_bytes({"flipped": changed, "cut short": data[:-1], "empty": b""}[damage])
    again = Walk()
    _fitting.run(again, 5, context)
    assert again.steps == 5


def test_a_checkpoint_holds_nothing_that_could_run_code(context, monkeypatch) -> None:
    monkeypatch.setattr(_fitting, "SAVE_EVERY", 0.0)
    _fitting.run(Walk(), 3, context)
    assert torch.load(context.checkpoints / "fit.pt", weights_only=True)["done"] == 3


def test_a_full_disk_does_not_end_the_fit(context, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fitting, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(_fitting.os, "fsync", full)
    fit = Walk()
    lost = r"could not be written: \[Errno 28\] No space left on device"
    with pytest.warns(RuntimeWarning, match=rf"^the checkpoint of step \d {lost}$"):
        _fitting.run(fit, 5, context)
    assert fit.steps == 5
    assert not list(context.checkpoints.iterdir())
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(TimeoutError, match=f"^the time limit was reached after step 1 of 5; but its checkpoint {lost}$"),
    ):
        _fitting.run(Walk(), 5, Context(checkpoints=context.checkpoints, deadline=time.time() - 1))


def test_a_loss_that_is_no_number_ends_the_fit(context) -> None:
    fit = Walk()
    fit.weight = torch.full((3,), float("nan"), dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="not finite at step 1 of 2"):
        _fitting.run(fit, 2, context)


def test_losses_and_steps_are_reported(context) -> None:
    said = []
    quiet = Context(checkpoints=context.checkpoints, progress=lambda *report: said.append(report))
    losses = _fitting.run(Walk(), 7, quiet)
    assert said[-1] == (7, 7, losses)
