"""The autoregressive network: its probabilities are a distribution, its rows follow them, and it learns a joint one."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench_generators import _argn
from ctrbench_generators.argn import Argn
from numpy.typing import NDArray

QUICK = Argn(epochs=12, batch_size=128, embedding_dim=8, hidden=32, learning_rate=5e-3, dropout=0.0)
SIZES = (3, 2, 4)


def table(codes: NDArray[np.int32], labels: NDArray[np.int8], sizes: tuple[int, ...] = SIZES) -> Table:
    fields = [
        Field(f"f{at}", "categorical", "context", tuple(f"{value:06}" for value in range(size)))
        for at, size in enumerate(sizes)
    ]
    frame = pd.DataFrame({f"f{at}": codes[:, at].astype(np.int32) + 1 for at in range(len(sizes))})
    return Table(frame, Schema(tuple(fields)), labels.astype(np.int8))


def joint_log(rows: int, seed: int) -> tuple[Table, NDArray[np.float64]]:
    """Rows of a joint distribution in which all hangs on all: P(label, f0, f1, f2), a draw from a Dirichlet."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(2 * 24, 0.3))
    cells = np.random.default_rng(seed).choice(48, rows, p=shares)
    label, *codes = np.unravel_index(cells, (2, *SIZES))
    return table(np.column_stack(codes), label), shares


def cells_of(rows: Table) -> NDArray[np.float64]:
    """The share of each cell, (48,)."""
    places = np.ravel_multi_index((rows.targets, *(rows.codes.T - 1)), (2, *SIZES))
    return np.bincount(places, minlength=48) / len(rows)


def random_network(sizes: tuple[int, ...] = SIZES) -> _argn.Network:
    torch.manual_seed(1)
    network = _argn.Network(np.zeros((1, len(sizes)), np.int32), sizes, 6, 10, 0.0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.7)
    return network.eval()


def probabilities(network: _argn.Network, label: int, order: tuple[int, ...]) -> NDArray[np.float64]:
    """P(row | label) of every row there can be, the fields in this order, (24,)."""
    every = torch.tensor(list(product(*map(range, network.sizes))))
    ranks = torch.tensor(order).argsort().expand(len(every), -1)
    with torch.no_grad():
        rows = _argn.Rows(every, torch.full((len(every),), label))
        told: NDArray[np.float64] = (-network.losses(rows, ranks, {}).double().sum(dim=0)).exp().numpy()
    return told


@pytest.mark.parametrize("label", [0, 1])
def test_in_every_order_the_probabilities_of_all_rows_sum_to_one(label: int) -> None:
    network = random_network()
    for order in permutations(range(3)):
        assert probabilities(network, label, order).sum() == pytest.approx(1, abs=1e-5)


def test_bf16_rounds_the_perceptrons_products_alone() -> None:
    networks = []
    for precision in "float32", "bf16":
        torch.manual_seed(1)
        networks.append(_argn.Network(np.zeros((1, 3), np.int32), SIZES, 32, 64, 0.0, precision))
    rows = _argn.Rows(torch.tensor([[1, 1, 2], [0, 1, 3]]), torch.tensor([0, 1]))
    ranks = torch.tensor([[1, 0, 2], [2, 1, 0]])
    exact, rounded = (network.losses(rows, ranks, {}).detach() for network in networks)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.02)
    embedded = [network.embedded(rows) for network in networks]
    assert torch.equal(*embedded)
    states = [network.states(embedded[0], torch.ones(2, 1, 3), [2])[0] for network in networks]
    assert not torch.equal(*states)
    assert torch.equal(*(network.logits(states[0], 2) for network in networks))


def test_the_label_and_all_fields_before_count_and_none_after() -> None:
    network = random_network()
    rows = _argn.Rows(torch.tensor([[1, 1, 2]]), torch.tensor([0]))
    ranks = torch.tensor([[1, 0, 2]])  # f1, f0, f2

    def losses(bins: list[int], label: int) -> list[float]:
        told = network.losses(_argn.Rows(torch.tensor([bins]), torch.tensor([label])), ranks, {})[:, 0]
        return [float(each) for each in told.detach()]

    first, second, third = losses([1, 1, 2], 0)
    assert losses([1, 1, 2], 0) == [first, second, third]
    assert losses([1, 1, 3], 0)[:2] == [first, second]  # f2 comes last: nobody sees it
    assert losses([2, 1, 2], 0)[1] == second  # nor does f1 see f0
    assert losses([2, 1, 2], 0)[2] != third
    assert losses([1, 0, 2], 0)[0] != first
    assert all(a != b for a, b in zip(losses([1, 1, 2], 1), (first, second, third), strict=True))
    assert len(rows) == 1


def test_rows_are_drawn_with_the_networks_own_probabilities() -> None:
    network, rows = random_network(), 40_000
    for label in (0, 1):
        made = _argn.sample(network, np.full(rows, label, np.int8), False, seed=label)
        shares = np.bincount(np.ravel_multi_index(made.T, SIZES), minlength=24) / rows
        expected = probabilities(network, label, (0, 1, 2))
        assert np.ptp(expected) > 0.05
        error = np.sqrt(expected * (1 - expected) / rows)
        assert (np.abs(shares - expected) < 4.5 * error + 1e-4).all()


@pytest.mark.parametrize("order", ["any", "schema"])
def test_it_learns_a_joint_distribution_within_sampling_error(order: str, tmp_path: Path) -> None:
    train, shares = joint_log(6000, 1)
    sampler = replace(QUICK, order=order, epochs=30).fit(train, seed=1, context=Context(checkpoints=tmp_path))
    made = sampler.sample(20_000, seed=2)
    distance = np.abs(cells_of(made) - shares).sum() / 2
    fields_alone = np.ones(1)
    for at, size in enumerate((2, *SIZES)):
        column = [train.targets, *(train.codes.T - 1)][at]
        fields_alone = np.outer(fields_alone, np.bincount(column, minlength=size) / len(train)).ravel()
    chance = np.sqrt(2 / np.pi) * np.sqrt(shares * (1 - shares) / 6000).sum() / 2  # of train itself
    assert np.abs(fields_alone - shares).sum() / 2 > 0.3
    assert distance < chance + 0.03
    assert made.targets.mean() == pytest.approx(train.targets.mean(), abs=1e-4)


def test_a_sum_over_drawn_values_stands_for_the_whole_softmax() -> None:
    network = random_network((40, 3))
    rows = _argn.Rows(torch.tensor([[7, 1], [39, 0]]), torch.tensor([0, 1]))
    ranks = torch.tensor([[0, 1], [1, 0]])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        exact = network.losses(rows, ranks, {})
        near = network.losses(rows, ranks, {0: torch.randint(40, (200_000,), generator=generator)})
        # what is unbiased is the sum itself, e^loss, of few draws too
        few = torch.stack(
            [
                network.losses(rows, ranks, {0: torch.randint(40, (4,), generator=generator)})[0].exp()
                for _ in range(20_000)
            ]
        )
    torch.testing.assert_close(near, exact, atol=0.02, rtol=0)
    assert float((few.mean(dim=0) / exact[0].exp() - 1).abs().max()) < 0.05


def test_every_value_drawn_once_is_the_whole_softmax_and_its_gradient() -> None:
    network = random_network((40, 3))
    rows = _argn.Rows(torch.tensor([[7, 1], [39, 0], [7, 2]]), torch.tensor([0, 1, 1]))
    ranks = torch.tensor([[0, 1], [1, 0], [0, 1]])
    found = []
    for drawn in ({}, {0: torch.randperm(40, generator=torch.Generator().manual_seed(0))}):
        network.zero_grad()
        losses = network.losses(rows, ranks, drawn)
        (losses * torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
        found.append([losses.detach(), *(weight.grad.clone() for weight in network.parameters())])
    for whole, drawn_whole in zip(*found, strict=True):
        assert whole.any()
        torch.testing.assert_close(drawn_whole, whole, rtol=1e-4, atol=1e-5)


def test_training_ends_when_held_out_rows_are_no_longer_better_told() -> None:
    rng = np.random.default_rng(0)
    noise = table(rng.integers(0, [50, 50], (600, 2)), rng.integers(0, 2, 600), (50, 50))
    eager = replace(QUICK, epochs=200, learning_rate=2e-2)
    details = eager.fit(noise, seed=1, context=Context()).details
    assert 3 < int(details["epochs"]) < 40
    assert float(details["held-out loss"]) < 2 * np.log(50) + 0.5  # best weights: later ones tell noise by heart
    assert float(details["loss"]) < float(details["held-out loss"]) - 0.2


def test_equal_seeds_give_equal_rows_and_others_others() -> None:
    train, _ = joint_log(500, 1)
    one, again, other = (replace(QUICK, epochs=2).fit(train, seed=seed, context=Context()) for seed in (1, 1, 2))
    assert one.sample(300, seed=5).digest() == again.sample(300, seed=5).digest()
    assert one.sample(300, seed=5).digest() != one.sample(300, seed=6).digest()
    assert one.sample(300, seed=5).digest() != other.sample(300, seed=5).digest()


def test_a_fit_that_was_stopped_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    train, _ = joint_log(1000, 1)
    spec = replace(QUICK, epochs=3, dropout=0.2)
    whole = spec.fit(train, seed=1, context=Context(checkpoints=tmp_path / "whole"))
    parts = Context(checkpoints=tmp_path / "parts")
    for _ in range(3):  # each stops after a step of its own
        with pytest.raises(TimeoutError, match="a longer one goes on from there"):
            spec.fit(train, seed=1, context=replace(parts, deadline=time.time() - 1))
    resumed = spec.fit(train, seed=1, context=parts)
    assert resumed.sample(500, seed=3).digest() == whole.sample(500, seed=3).digest()
    assert resumed.details == whole.details


def test_numbers_are_trains_and_hang_on_the_other_fields() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, 3000)
    price = np.where(codes == 0, rng.normal(0, 1, 3000), rng.normal(10, 1, 3000))
    schema = Schema((Field("kind", "categorical", "context", ("a", "b")), Field("price", "numeric")))
    frame = pd.DataFrame({"kind": codes.astype(np.int32) + 1, "price": price})
    train = Table(frame, schema, rng.integers(0, 2, 3000).astype(np.int8))
    made = replace(QUICK, bins=16).fit(train, seed=1, context=Context()).sample(2000, seed=1)
    assert np.isin(made.rows["price"], price).all()
    assert len(np.unique(made.rows["price"])) > 800  # any number of a bin, not one for each
    assert ((made.rows["price"] > 5) == (made.rows["kind"] == 2)).mean() > 0.95  # one bin of 16 lies across the gap


def test_a_field_of_a_hundred_thousand_values_fits_and_samples() -> None:
    values = 100_000
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.permutation(values), rng.integers(0, 4, values)])
    train = table(codes, rng.integers(0, 2, values), (values, 4))
    spec = replace(QUICK, epochs=1, batch_size=4096, sampled_values=256)
    made = spec.fit(train, seed=1, context=Context()).sample(200, seed=1)
    assert len(np.unique(made.rows["f0"])) > 190
    assert made.rows["f0"].max() > 90_000


def test_too_few_rows_to_hold_some_out_are_a_skip() -> None:
    train, _ = joint_log(3, 1)
    with pytest.raises(Skip, match="none to learn from or none to stop by"):
        QUICK.fit(train, seed=1, context=Context())
