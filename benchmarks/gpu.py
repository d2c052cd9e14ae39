"""Every engine and deep model on an NVIDIA GPU: its numbers compared with the CPU's, its times, and a forecast.

In: a machine with a GPU that torch can use. Out: all comparisons, a table of times with a forecast of the paper's fits,
and status 1 where a bound is exceeded.

    make gpu                                    everything, some minutes
    python benchmarks/gpu.py --device cuda:1    another GPU

*The same numbers*: both devices start from the same weights and are given the same draws, so only the order of
additions differs. *Twice the same*: a fit with the same seed gives the same bits again, and so does one that resumes
from a checkpoint. *Alike*: pools of whole fits, whose draws differ between devices, differ no more than those of two
seeds on the CPU. Times are of steps at Frappe's width, with the GPU synchronised.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ctrbench import Context, Generator, Splits, Table
from ctrbench_datasets.simulated import Simulated
from ctrbench_generators import _ctgan, _tabddpm, _tvae
from ctrbench_generators._columns import Columns
from ctrbench_generators._diffusion import cosine_schedule, multinomial_loss, noise_codes
from ctrbench_generators._random_state import seeded
from ctrbench_generators.argn import Argn
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.tabddpm import Coding, TabDdpm
from ctrbench_generators.tvae import Tvae
from ctrbench_models._deep import DeepModel
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.masknet import MaskNet
from ctrbench_models.xdeepfm import XDeepFM
from tabulate import tabulate

SMALL = Simulated(users=200, items=300, train_rows=4000, valid_rows=2000, test_rows=2000)
FRAPPE = Simulated(users=950, items=4000, train_rows=202_027, valid_rows=57_722, test_rows=28_860)
STEPS, ROWS = 20, 4000
MODELS = (Dnn(), DeepFM(), MaskNet(), DCNv2(), FinalMLP(), FinalNet(), AutoInt(), XDeepFM())
GENERATORS = (Argn(epochs=3), Ctgan(epochs=10), Tvae(epochs=10), TabDdpm(steps=150, batch_size=512))
EPOCHS = 16
"""Of a training on Frappe, as early stopping leaves them."""


@dataclass(frozen=True)
class Check:
    """What was found, and its upper bound."""

    name: str
    what: str
    found: float
    bound: float

    @property
    def held(self) -> bool:
        return self.found <= self.bound


class Moved:
    """Draws made on the CPU and moved to the device."""

    def __init__(self, draws: Any, device: str) -> None:
        self._draws, self._device = draws, device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *asked: _to(self._device, getattr(self._draws, name)(*_to("cpu", asked)))


def _to(device: str, thing: Any) -> Any:
    if isinstance(thing, torch.Tensor):
        return thing.to(device)
    if isinstance(thing, (tuple, list)):
        parts = [_to(device, part) for part in thing]
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    return thing


def checks(device: str) -> Iterator[Check]:
    """All comparisons, as they are made."""
    splits = SMALL.load(seed=1, context=Context())
    for model in MODELS:
        yield from _model(replace(model, dropout=0.0, epochs=2), splits, device)
    yield Check("ctgan", f"losses of {STEPS} steps, CPU and GPU", _ctgan_losses(splits.train, device), 1e-3)
    yield Check("tvae", f"losses of {STEPS} steps, CPU and GPU", _tvae_losses(splits.train, device), 1e-3)
    yield Check("tabddpm", "loss and gradients of a step, CPU and GPU", _tabddpm_step(splits.train, device), 1e-3)
    for generator in GENERATORS:
        yield from _generator(generator, splits.train, device)


def _model(model: DeepModel, splits: Splits, device: str) -> Iterator[Check]:
    def predicted(device: str) -> np.ndarray:
        context = Context(device=device, threads=2)
        predictor = model.fit(splits.train, splits.valid, seed=1, context=context)
        return predictor.predict(splits.test)

    there = predicted(device)
    yield Check(model.name, "probabilities after 2 epochs, CPU and GPU", _far(predicted("cpu"), there), 1e-2)
    yield Check(model.name, "the same seed again", _far(there, predicted(device)), 0.0)


def _ctgan_losses(train: Table, device: str) -> float:
    spec, columns = Ctgan(), Columns.of(train, 1)
    here, donor, there = (
        _ctgan.Trainer(spec, columns, columns.encode(train), seed=1, device=one) for one in ("cpu", "cpu", device)
    )
    there.generator.load_state_dict(here.generator.state_dict())
    there.critic.load_state_dict(here.critic.state_dict())
    there.draws = Moved(donor.draws, device)  # type: ignore[assignment]
    return _losses(here, there)


def _tvae_losses(train: Table, device: str) -> float:
    spec, columns = Tvae(), Columns.of(train, 1)
    return _losses(*(_tvae_trainer(spec, columns, train, one, drawn_on="cpu") for one in ("cpu", device)))


def _tvae_trainer(spec: Tvae, columns: Columns, train: Table, device: str, drawn_on: str | None = None) -> Any:
    with seeded(1):
        encoder = _tvae.Encoder(columns, spec.compress_dims, spec.embedding_dim).to(device)
        decoder = _tvae.Decoder(columns, spec.decompress_dims, spec.embedding_dim).to(device)
    draws: Any = _tvae.Shuffled(len(train), spec.batch_size, 1, drawn_on or device)
    return _tvae.Trainer(
        encoder,
        decoder,
        columns,
        columns.encode(train).to(device),
        Moved(draws, device) if drawn_on else draws,
        l2scale=spec.l2scale,
        loss_factor=spec.loss_factor,
        precision=spec.precision,
    )


def _tabddpm_step(train: Table, device: str) -> float:
    """The largest difference of the loss or of a weight's gradient, relative to the gradient's largest number."""
    spec, coding, found = TabDdpm(), Coding(train), []
    generator = torch.Generator().manual_seed(1)
    rows, schedule = coding.encode(train, "cpu"), cosine_schedule(spec.num_timesteps, "cpu")
    t = torch.randint(schedule.timesteps, rows.labels.shape, generator=generator)
    noisy = noise_codes(rows.codes, t, torch.tensor(coding.sizes), schedule, generator)
    for one in ("cpu", device):
        with seeded(1):
            network = _tabddpm.Network(coding.sizes, rows.numbers.shape[1], spec.hidden, spec.shift_input).to(one)
        given = [part.to(one) for part in (noisy, rows.numbers, t, rows.labels, rows.codes)]
        hidden = network(*given[:4], schedule.timesteps)
        logits = network.heads["codes"](hidden)
        there = cosine_schedule(spec.num_timesteps, one)
        loss = multinomial_loss(logits, given[4], given[0], given[2], coding.sizes, there)
        loss.backward()
        found.append(
            [loss.detach().cpu(), *(p.grad.cpu() for p in network.parameters() if p.grad is not None and p.numel())]
        )
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True))


def _losses(here: Any, there: Any) -> float:
    """The largest relative difference of a loss over all steps."""
    return max(
        float((loss - there_losses[name].cpu()).abs() / (1 + loss.abs()))
        for losses, there_losses in ((here.step(), there.step()) for _ in range(STEPS))
        for name, loss in losses.items()
    )


def _generator(spec: Generator, train: Table, device: str) -> Iterator[Check]:
    def pool(device: str, seed: int = 1, again: Path | None = None) -> Table:
        context = Context(device=device, threads=2, **({"checkpoints": again} if again else {}))
        return spec.fit(train, seed=seed, context=context).sample(ROWS, seed=seed)

    here, other, there = pool("cpu"), pool("cpu", 2), pool(device)
    yield Check(
        spec.name, "a pool's marginals, CPU and GPU", _distance(here, there), 0.02 + 1.5 * _distance(here, other)
    )
    yield Check(spec.name, "the same seed again: rows that differ", _differing(there, pool(device)), 0.0)
    with TemporaryDirectory() as folder:
        _interrupted(spec, train, device, Path(folder))
        yield Check(
            spec.name,
            "stopped and resumed: rows that differ",
            _differing(there, pool(device, again=Path(folder))),
            0.0,
        )


def _interrupted(spec: Generator, train: Table, device: str, folder: Path) -> None:
    """Leave the checkpoint of a fit that had time for one step."""
    late = Context(device=device, threads=2, checkpoints=folder, deadline=time.time())
    try:
        spec.fit(train, seed=1, context=late)
    except TimeoutError:
        return
    raise AssertionError(f"{spec.name} outlived its time limit")


def _distance(one: Table, other: Table) -> float:
    """The mean of all columns' total variation distances; numbers by quintiles of the first table."""
    found = []
    for name in one.schema.names:
        a, b = (table.rows[name].to_numpy() for table in (one, other))
        if a.dtype.kind == "f":
            a, b = (np.searchsorted(np.quantile(a, [0.2, 0.4, 0.6, 0.8]), each) for each in (a, b))
        size = int(max(a.max(), b.max())) + 1
        found.append(
            np.abs(np.bincount(a, minlength=size) / len(a) - np.bincount(b, minlength=size) / len(b)).sum() / 2
        )
    return float(np.mean(found))


def _differing(one: Table, other: Table) -> float:
    same = (one.rows.to_numpy() == other.rows.to_numpy()).all(1) & (one.targets == other.targets)
    return float((~same).sum())


def _far(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def times(device: str) -> Iterator[tuple[str, float, int]]:
    """Name, seconds per step (or epoch with its evaluation), and how many of them the paper's settings require."""
    splits = FRAPPE.load(seed=1, context=Context())
    train, columns = splits.train, Columns.of(splits.train, 1)
    ctgan, tvae, tabddpm = Ctgan(), Tvae(), TabDdpm()
    trainer: Any
    for precision in ("float32", "bf16"):
        spec, encoded = replace(ctgan, precision=precision), columns.encode(train)
        trainer = _ctgan.Trainer(spec, columns, encoded, seed=1, device=device)
        steps = ctgan.epochs * (len(train) // ctgan.batch_size)
        yield f"ctgan {precision}, a step", _seconds(trainer.step, device), steps
    for precision in ("float32", "bf16"):
        trainer = _tvae_trainer(replace(tvae, precision=precision), columns, train, device)
        yield (
            f"tvae {precision}, a step",
            _seconds(trainer.step, device),
            tvae.epochs * -(-len(train) // tvae.batch_size),
        )
    coding, schedule = Coding(train), cosine_schedule(tabddpm.num_timesteps, device)
    rows = coding.encode(train, device)
    for precision in ("float32", "bf16"):
        settings = _tabddpm.Settings(
            tabddpm.hidden, tabddpm.steps, tabddpm.batch_size, tabddpm.lr, tabddpm.weight_decay, precision, False
        )
        trainer = _tabddpm.Trainer(rows, coding.sizes, schedule, settings, 1, device)
        yield f"tabddpm {precision}, a step", _seconds(trainer.step, device), tabddpm.steps
    for model in MODELS:
        context = Context(device=device, threads=2)
        begun = time.perf_counter()
        replace(model, epochs=2).fit(train, splits.valid, seed=1, context=context)
        middle = time.perf_counter()
        replace(model, epochs=6, patience=6).fit(train, splits.valid, seed=1, context=context)
        yield f"{model.name}, an epoch", (time.perf_counter() - middle - (middle - begun)) / 4, EPOCHS


def _seconds(step: Callable[[], object], device: str, at_least: float = 2.0) -> float:
    """Seconds per step, after the first ones."""
    for _ in range(10):
        step()
    torch.cuda.synchronize(device)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < at_least:
        for _ in range(20):
            step()
        torch.cuda.synchronize(device)
        done += 20
    return (time.perf_counter() - begun) / done


def main() -> int:
    """Print the tables; 1 where a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    parser.add_argument("--only", choices=["checks", "times"], help="one part alone")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu.py: torch sees no NVIDIA GPU here; run it on a machine that has one", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name(asked.device)}, torch {torch.__version__}, CUDA {torch.version.cuda}\n")
    broken = 0
    if asked.only != "times":
        for check in checks(asked.device):
            broken += not check.held
            said = "ok" if check.held else "BROKEN"
            print(f"{said:7}{check.name:9}{check.what:45}{check.found:10.2e}  at most {check.bound:.1e}", flush=True)
    if asked.only != "checks":
        found = list(times(asked.device))
        rows = [(name, 1000 * each, number, each * number / 60) for name, each, number in found]
        print(tabulate(rows, ["", "ms", "of them", "minutes in all"], floatfmt=("", ".2f", "", ".1f")))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
