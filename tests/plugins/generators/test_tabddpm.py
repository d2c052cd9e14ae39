"""TabDDPM: losses and steps back equal the closed forms in float64, and rows have the marginals of train."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Context, Field, Schema, Table
from ctrbench_generators import _diffusion, _tabddpm
from ctrbench_generators._diffusion import (
    cosine_schedule,
    decide,
    field_columns,
    moves,
    multinomial_loss,
    noise_codes,
    step_back_numbers,
)
from ctrbench_generators._tabddpm import Network, Rows, Settings, Trainer
from ctrbench_generators.tabddpm import Coding, TabDdpm
from torch.nn import functional

SIZES = (3, 1, 5, 2)
SMALL = TabDdpm(steps=4, batch_size=64, num_timesteps=5, hidden=(16, 16))
THREE = ("a", "b", "c")


def log(rows: int = 300, *, categorical: bool = True, numeric: bool = False) -> Table:
    """b is a in seven of ten rows, the label follows a; `one` has a single value, and so has k."""
    rng = np.random.default_rng(1)
    a = rng.choice(6, rows, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05]) + 1
    b = np.where(rng.random(rows) < 0.7, a, rng.integers(1, 7, rows))
    labels = (rng.random(rows) < np.where(a > 3, 0.8, 0.1)).astype(np.int8)
    columns: dict[str, np.ndarray] = {}
    fields: list[Field] = []
    if categorical:
        codes = {"a": a, "b": b, "c": rng.choice(3, rows, p=[0.6, 0.3, 0.1]) + 1, "one": np.full(rows, 4)}
        columns |= {name: values.astype(np.int32) for name, values in codes.items()}
        fields += [Field(name, vocabulary=tuple("pqrstu")) for name in codes]
    if numeric:
        columns |= {"x": np.exp(rng.normal(size=rows) + a), "k": np.full(rows, 2.5)}
        fields += [Field("x", "numeric"), Field("k", "numeric")]
    return Table(pd.DataFrame(columns), Schema(tuple(fields)), labels)


def sampled(spec: TabDdpm, train: Table, folder: Path, *, rows: int = 100, seed: int = 2, fit_seed: int = 1) -> Table:
    return spec.fit(train, seed=fit_seed, context=Context(checkpoints=folder)).sample(rows, seed=seed)


def step_back(p: torch.Tensor, noisy: torch.Tensor, t: int, timesteps: int) -> torch.Tensor:
    """p(x_{t-1} | x_t) by Bayes's rule with the transition's matrix, in float64, (rows, size)."""
    schedule, size = cosine_schedule(timesteps), p.shape[1]
    transitions = [a * torch.eye(size, dtype=torch.float64) + b / size for a, b in zip(*schedule[:2], strict=True)]
    before = p
    for transition in transitions[:t]:
        before = before @ transition
    joint = before * transitions[t][:, noisy].T
    return joint / joint.sum(1, keepdim=True)


def plain_loss(logits: torch.Tensor, start: torch.Tensor, noisy: torch.Tensor, t: torch.Tensor, sizes, timesteps: int):
    """The loss a term at a time, on one-hot rows."""
    total = torch.zeros((), dtype=torch.float64)
    kept = float(cosine_schedule(timesteps).kept[-1])
    for field, span in enumerate(field_columns(sizes)):
        hot = functional.one_hot(start[:, field], sizes[field]).double()
        last = kept * hot + (1 - kept) / sizes[field]
        total = total + torch.xlogy(last, last * sizes[field]).sum(1).mean()
        p = logits[:, span].double().softmax(1)
        for row in range(len(logits)):
            one = slice(row, row + 1)
            truth = step_back(hot[one], noisy[one, field], int(t[row]), timesteps)
            model = step_back(p[one], noisy[one, field], int(t[row]), timesteps)
            there = truth > 0
            divergence = (truth[there] * (truth[there] / model[there]).log()).sum()
            total = total + timesteps * divergence / len(logits)
    return total / len(sizes)


def draws(rows: int, sizes=SIZES, timesteps: int = 7, scale: float = 3.0):
    """Logits, starts, noisy codes with some that equal the start, and every timestep."""
    generator = torch.Generator().manual_seed(3)
    limits = torch.tensor(sizes)
    start, noisy = ((torch.rand((rows, len(sizes)), generator=generator) * limits).long() for _ in range(2))
    noisy[::3] = start[::3]
    logits = scale * torch.randn((rows, sum(sizes)), generator=generator, dtype=torch.float64)
    return logits, start, noisy, torch.arange(rows) % timesteps


# Losses.


def test_the_schedule_is_the_squared_cosine_and_ends_in_noise():
    schedule = cosine_schedule(100)
    ends = np.arange(101) / 100
    wanted = np.cos((ends + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.kept[:-1], wanted[1:-1] / wanted[0], rtol=1e-12)
    assert float(schedule.beta[-1]) == 0.999
    assert schedule.kept_before[0] == 1
    assert (schedule.kept_before[1:] == schedule.kept[:-1]).all()


def test_the_loss_and_its_gradient_are_those_of_bayes_rule():
    logits, *rest = draws(63)
    logits.requires_grad_()
    ours, theirs = multinomial_loss(logits, *rest, SIZES, cosine_schedule(7)), plain_loss(logits, *rest, SIZES, 7)
    assert abs(ours.item() - theirs.item()) < 1e-12
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-14)


def test_the_gradient_is_that_of_finite_differences():
    logits, *rest = draws(14)
    schedule = cosine_schedule(7)
    direction, width = torch.randn_like(logits), 1e-6
    ahead, behind = (multinomial_loss(logits + way * direction, *rest, SIZES, schedule) for way in (width, -width))
    (gradient,) = torch.autograd.grad(multinomial_loss(logits.requires_grad_(), *rest, SIZES, schedule), logits)
    assert abs(float((ahead - behind) / (2 * width) - (gradient * direction).sum())) < 1e-7


def test_float32_is_as_good_as_its_digits():
    logits, *rest = draws(63)
    single = logits.float().requires_grad_()
    exact = single.detach().double().requires_grad_()
    schedule = cosine_schedule(7)
    losses = [multinomial_loss(values, *rest, SIZES, schedule) for values in (single, exact)]
    assert abs(losses[0].item() - losses[1].item()) < 1e-5
    gradients = [torch.autograd.grad(loss, on)[0].double() for loss, on in zip(losses, (single, exact), strict=True)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


def test_rounded_logits_lose_no_more_digits_in_the_loss():
    logits, *rest = draws(63)
    rounded = logits.bfloat16().requires_grad_()
    single = rounded.detach().float().requires_grad_()
    losses = [multinomial_loss(values, *rest, SIZES, cosine_schedule(7)) for values in (rounded, single)]
    assert losses[0].dtype == torch.float32
    assert losses[0].item() == losses[1].item()
    gradients = [torch.autograd.grad(loss, on)[0] for loss, on in zip(losses, (rounded, single), strict=True)]
    assert gradients[0].equal(gradients[1].bfloat16())


@pytest.mark.parametrize("block", [1, 70, 10**6])
def test_the_loss_does_not_depend_on_how_many_rows_are_worked_on_at_once(block, monkeypatch):
    logits, *rest = draws(63)
    schedule = cosine_schedule(7)
    whole = multinomial_loss(logits, *rest, SIZES, schedule)
    monkeypatch.setattr(_diffusion, "CELLS", block)
    assert abs(multinomial_loss(logits, *rest, SIZES, schedule).item() - whole.item()) < 1e-12


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_twenty_thousand_values_give_finite_losses_near_float64(scale):
    sizes = (20_000, 4_000, 2)
    logits, start, noisy, _ = draws(40, sizes, scale=scale)
    t = torch.arange(40) * 100 // 40
    t[1] = 99
    schedule = cosine_schedule(100)
    single = logits.float().requires_grad_()
    loss = multinomial_loss(single, start, noisy, t, sizes, schedule)
    (gradient,) = torch.autograd.grad(loss, single)
    exact = single.detach().double().requires_grad_()
    wanted = multinomial_loss(exact, start, noisy, t, sizes, schedule)
    (wanted_gradient,) = torch.autograd.grad(wanted, exact)
    assert torch.isfinite(gradient).all()
    assert abs(loss.item() - wanted.item()) < 1e-4 * max(1, abs(wanted.item()))
    torch.testing.assert_close(gradient.double(), wanted_gradient, rtol=0, atol=1e-6)


def test_one_value_costs_nothing():
    nothing = torch.zeros((5, 1), dtype=torch.int64)
    logits = torch.randn(5, 1, requires_grad=True)
    loss = multinomial_loss(logits, nothing, nothing, torch.arange(5), (1,), cosine_schedule(5))
    assert abs(loss.item()) < 1e-6
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-7


# The network.


def plain_hidden(network: Network, codes, numbers, t, labels, sizes) -> torch.Tensor:
    """The network's hidden layer from dense rows."""
    hot = torch.cat([functional.one_hot(codes[:, field], size) for field, size in enumerate(sizes)], 1)
    read = torch.log(hot.double().clamp(min=1e-30)).to(numbers.dtype) - (COLD if network.cold == 0 else 0)
    rates = torch.exp(-math.log(10_000) / 64 * torch.arange(64))
    angles = t[:, None] * rates
    time = network.time(torch.cat([angles.cos(), angles.sin()], 1).to(numbers.dtype))
    weights = torch.cat([network.number_rows, network.code_rows])
    hidden = torch.cat([numbers, read], 1) @ weights + network.bias + time + functional.silu(network.label(labels))
    for layer in network.layers:
        hidden = functional.relu(layer(hidden))
    return hidden


COLD = _tabddpm.COLD


@pytest.mark.parametrize("shift_input", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
def test_a_step_has_the_gradient_of_the_dense_formulation(dtype, tolerance, shift_input):
    torch.manual_seed(1)
    network = Network(SIZES, 2, (16, 24, 16), shift_input).to(dtype)
    _, start, noisy, t = draws(35)
    numbers, noise = torch.randn(2, 35, 2, dtype=dtype)
    labels = t % 2

    def gradients(hidden: torch.Tensor, dense: bool) -> list[torch.Tensor]:
        guess, logits = network.heads["numbers"](hidden), network.heads["codes"](hidden)
        loss = functional.mse_loss(guess, noise)
        if dense:
            loss = loss + plain_loss(logits, start, noisy, t, SIZES, 7)
        else:
            loss = loss + multinomial_loss(logits, start, noisy, t, SIZES, cosine_schedule(7))
        return [loss.detach().to(dtype), *torch.autograd.grad(loss, list(network.parameters()))]

    ours = gradients(network(noisy, numbers, t, labels, 7), dense=False)
    theirs = gradients(plain_hidden(network, noisy, numbers, t, labels, SIZES), dense=True)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


def test_the_paper_network_on_frappe_has_so_many_weights():
    sizes = (954, 4082, 7, 7, 2, 3, 2, 9, 80, 233)
    network = Network(sizes, 0, TabDdpm().hidden, shift_input=False)
    inputs = sum(sizes) * 128 + 128 + 2 * (128 * 128 + 128) + 2 * 128
    widths = (128, 512, 1024, 1024, 1024, 1024, 512, sum(sizes))
    layers = sum(a * b + b for a, b in pairwise(widths))
    assert sum(weights.numel() for weights in network.parameters()) == inputs + layers


# Noise and steps back.


def chi_square(counts: np.ndarray, wanted: np.ndarray) -> float:
    """Standard deviations by which counts exceed what chance explains; values that cannot occur must not."""
    assert not counts[wanted == 0].any()
    expected = counts.sum() * wanted[wanted > 0]
    freedom = max(1, len(expected) - 1)
    return float((((counts[wanted > 0] - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


def test_noise_keeps_a_code_or_draws_it_anew():
    schedule, rows = cosine_schedule(10), 200_000
    start = torch.full((rows, 1), 2)
    for t in (0, 4, 9):
        noisy = noise_codes(
            start, torch.full((rows,), t), torch.tensor([5]), schedule, torch.Generator().manual_seed(t)
        )
        wanted = np.full(5, float(1 - schedule.kept[t]) / 5)
        wanted[2] += float(schedule.kept[t])
        assert chi_square(np.bincount(noisy[:, 0], minlength=5), wanted) < 4


@pytest.mark.parametrize("size", [1, 2, 7, 300])
@pytest.mark.parametrize("t", [0, 1, 5, 8, 9])
def test_a_step_back_has_exactly_the_posterior_distribution(t, size):
    schedule, rows = cosine_schedule(10), 60_000
    generator = torch.Generator().manual_seed(size + t)
    logits = 2 * torch.randn((1, size), generator=generator)
    noisy = torch.full((rows, 1), size // 2)
    move = moves(noisy, t, torch.tensor([size]), schedule, generator)
    codes, chosen = move.codes[:, 0], move.open[:, 0]
    every = logits.expand(int(chosen.sum()), size)
    codes[chosen] = decide(every, noisy[chosen, 0], codes[chosen], move.draws[chosen, 0], t, schedule, generator)
    wanted = step_back(logits.double().softmax(1), noisy[:1, 0], t, 10)[0].numpy()
    assert chi_square(np.bincount(codes, minlength=size), wanted) < 5


def test_most_codes_ask_no_network():
    schedule = cosine_schedule(100)
    sizes = torch.tensor([4000, 2])
    noisy = torch.zeros((2000, 2), dtype=torch.int64)
    generator = torch.Generator().manual_seed(1)
    shares = [moves(noisy, t, sizes, schedule, generator).open.double().mean() for t in range(100)]
    assert shares[0] == 1
    assert np.mean(shares) < 0.13


def test_a_number_steps_back_to_the_gaussian_posterior():
    schedule, t, rows = cosine_schedule(10), 6, 200_000
    _, beta, kept, before = (float(part[t]) for part in schedule)
    start, noise = 0.7, -0.4
    noisy = math.sqrt(kept) * start + math.sqrt(1 - kept) * noise
    bounds = torch.tensor([-5.0]), torch.tensor([5.0])
    generator = torch.Generator().manual_seed(1)
    full = torch.full((rows, 1), noisy, dtype=torch.float64)
    back = step_back_numbers(torch.full_like(full, noise), full, t, schedule, bounds, generator)
    # q(x_{t-1} | x_t, x_0), by completing the square
    precision = (1 - beta) / beta + 1 / (1 - before)
    mean = (math.sqrt(1 - beta) * noisy / beta + math.sqrt(before) * start / (1 - before)) / precision
    assert abs(float(back.mean()) - mean) < 5 * math.sqrt(beta / rows)
    assert abs(float(back.var()) / beta - 1) < 0.02
    assert step_back_numbers(full * 0 + 0.0, full, 0, schedule, bounds, generator).std() < 1e-12


# Rows.


def variations(train: Table, pool: pd.DataFrame) -> dict[str, float]:
    """Total variation of all 1-way and 2-way marginals, the label's (y) among them."""
    real = train.rows[list(THREE)].assign(y=train.targets)
    return {
        "".join(names): float(
            real.value_counts(list(names), normalize=True)
            .sub(pool.value_counts(list(names), normalize=True), fill_value=0)
            .abs()
            .sum()
            / 2
        )
        for ways in (1, 2)
        for names in combinations((*THREE, "y"), ways)
    }


@pytest.mark.slow
def test_rows_have_the_marginals_of_train_and_their_pairs(tmp_path):
    train = log(6000)
    spec = TabDdpm(steps=1000, batch_size=512, lr=2e-3, num_timesteps=40, hidden=(64, 64))
    pool = sampled(spec, train, tmp_path, rows=50_000)
    found = variations(train, pool.rows[list(THREE)].assign(y=pool.targets))
    rng = np.random.default_rng(1)
    shuffled = {name: rng.permutation(train.rows[name]) for name in THREE}
    independent = variations(train, pd.DataFrame(shuffled).assign(y=rng.permutation(train.targets)))
    assert max(value for names, value in found.items() if len(names) == 1) < 0.03
    assert max(value for names, value in found.items() if len(names) == 2) < 0.05
    for pair in ("ab", "ay", "by"):
        assert found[pair] < independent[pair] / 3
    assert (pool.rows["one"] == 4).all()


def test_numbers_have_the_quantiles_of_train(tmp_path):
    train = log(3000, categorical=False, numeric=True)
    spec = TabDdpm(steps=500, batch_size=512, lr=2e-3, num_timesteps=50, hidden=(64, 64))
    pool = sampled(spec, train, tmp_path, rows=20_000)
    ranks = np.searchsorted(np.sort(train.rows["x"]), pool.rows["x"]) / len(train)
    np.testing.assert_allclose(np.quantile(ranks, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.06)
    assert np.allclose(pool.rows["k"], 2.5)
    assert pool.rows["x"].between(train.rows["x"].min(), train.rows["x"].max()).all()
    by_label = [table.rows["x"][table.targets == 1].median() > 2 * table.rows["x"].median() for table in (train, pool)]
    assert by_label == [True, True]


@pytest.mark.parametrize("kinds", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("rows", [1, 77])
def test_any_fields_and_exactly_so_many_rows(kinds, rows, tmp_path):
    train = log(200, categorical=kinds[0], numeric=kinds[1])
    before = train.digest()
    pool = sampled(replace(SMALL, batch_size=4096), train, tmp_path, rows=rows)
    assert (len(pool), pool.schema) == (rows, train.schema)
    for field in train.schema.categorical:
        assert set(pool.rows[field.name]) <= set(train.rows[field.name])
    assert train.digest() == before


def test_a_network_without_hidden_layers_makes_rows(tmp_path):
    train, spec = log(64), replace(SMALL, hidden=())
    assert spec.forecast(train.schema, len(train)).memory > 0
    assert len(sampled(spec, train, tmp_path, rows=10)) == 10


def test_labels_are_drawn_with_the_click_rate_of_train(tmp_path):
    train = log(300)
    pool = sampled(SMALL, train, tmp_path, rows=20_000)
    assert abs(pool.click_rate - train.click_rate) < 0.02


def test_rows_do_not_change_with_how_many_are_drawn_at_once_in_law(tmp_path, monkeypatch):
    train = log(200)
    sampler = SMALL.fit(train, seed=1, context=Context(checkpoints=tmp_path))
    monkeypatch.setattr(_tabddpm, "BATCH", 30)
    pool = sampler.sample(100, seed=1)
    assert len(pool) == 100
    assert pool.digest() == sampler.sample(100, seed=1).digest()


@pytest.mark.parametrize("numeric", [False, True])
def test_equal_seeds_give_equal_rows_and_others_others(numeric, tmp_path):
    train = log(numeric=numeric)

    def rows(**seeds: int) -> str:
        folder = tmp_path / str(random.random())
        return sampled(SMALL, train, folder, **seeds).digest()

    first = rows()
    assert rows() == first
    assert rows(seed=3) != first
    assert rows(fit_seed=2) != first


def test_the_average_of_the_weights_and_bf16_and_shifted_input_give_other_rows(tmp_path):
    train = log()
    specs = [SMALL, replace(SMALL, ema=True), replace(SMALL, precision="bf16"), replace(SMALL, shift_input=True)]
    pools = [sampled(spec, train, tmp_path / str(n), rows=3000) for n, spec in enumerate(specs)]
    assert len({pool.digest() for pool in pools}) == len(specs)


def test_global_random_states_stay_as_they_were(tmp_path):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    sampled(SMALL, log(numeric=True), tmp_path)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states


# Long fits.


def test_a_fit_that_was_killed_ends_with_the_same_weights(tmp_path):
    train = log(numeric=True)
    spec = replace(SMALL, steps=12)
    unbroken = sampled(spec, train, tmp_path / "unbroken")
    told: list[int] = []
    late = Context(
        checkpoints=tmp_path / "broken", deadline=0.0, progress=lambda step, total, values: told.append(step)
    )
    for done in range(1, 12):
        with pytest.raises(TimeoutError, match=f"after step {done} of 12"):
            spec.fit(train, seed=1, context=late)
    assert told == list(range(1, 12))
    resumed = sampled(spec, train, tmp_path / "broken")
    assert resumed.digest() == unbroken.digest()


def test_every_row_is_seen_once_before_any_is_seen_again():
    rows = Rows(torch.arange(10)[:, None], torch.empty(10, 0), torch.zeros(10, dtype=torch.int64))
    settings = Settings((4,), 1, 4, 1e-3, 0.0, "float32", False)
    trainer = Trainer(rows, (10,), cosine_schedule(3), settings, 1, "cpu")
    seen = torch.cat([trainer._next_batch().codes[:, 0] for _ in range(5)]).tolist()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))


def test_progress_counts_training_steps_and_then_timesteps(tmp_path, monkeypatch):
    monkeypatch.setattr(_tabddpm, "BATCH", 40)
    told: list[tuple[int, int | None]] = []
    context = Context(checkpoints=tmp_path, progress=lambda step, total, values: told.append((step, total)))
    sampler = SMALL.fit(log(), seed=1, context=context)
    assert told[-1] == (4, 4)
    told.clear()
    sampler.sample(100, seed=1)
    assert told == [(step, 15) for step in range(1, 16)]


def test_sampling_obeys_the_deadline(tmp_path):
    context = Context(checkpoints=tmp_path, deadline=time.time() + 3600)
    sampler = SMALL.fit(log(), seed=1, context=context)
    sampler._context = replace(context, deadline=time.time() - 1)
    with pytest.raises(TimeoutError, match=r"^the time limit was reached after step 1 of 5 of sampling$"):
        sampler.sample(100, seed=1)


def test_losses_and_weights_are_recorded(tmp_path):
    details = SMALL.fit(log(numeric=True), seed=1, context=Context(checkpoints=tmp_path)).details
    assert set(details) == {"multinomial loss", "gaussian loss", "parameters"}
    assert all(np.isfinite(value) for value in details.values())


def test_codes_survive_the_way_there_and_back():
    train = log(numeric=True)
    coding = Coding(train)
    back = coding.decode(coding.encode(train, "cpu"))
    assert (back.codes == train.codes).all()
    assert (back.targets == train.targets).all()
    np.testing.assert_allclose(back.rows["x"], train.rows["x"], rtol=1e-3)
