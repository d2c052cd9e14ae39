"""TabDDPM: a diffusion model for tables.

In: a training table of categorical and numeric fields. Out: a sampler that turns noise into rows, for labels drawn at
train's click rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt
from ctrbench import Budgeted, Context, Forecast, Generator, Register, Sampler, Schema, Table, hookimpl

from ctrbench_generators._costs import ADAM, dense, one_hot_width
from ctrbench_generators._numbers import Rounding, magnifier, refuse_huge
from ctrbench_generators._precision import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.preprocessing import QuantileTransformer

    from ctrbench_generators._diffusion import Schedule
    from ctrbench_generators._tabddpm import Network, Rows

FEW_VALUES = 32
"""Up to this many whole values, new numbers are train's own."""

Widths = tuple[Annotated[int, Ge(1)], ...]


@dataclass(frozen=True)
class TabDdpm(Generator):
    """Multinomial and Gaussian diffusion on table rows, conditioned on the label (Kotelnikov et al. 2022)."""

    name: ClassVar[str] = "tabddpm"
    imports: ClassVar[tuple[str, ...]] = ("torch._dynamo", "sklearn.preprocessing")
    steps: Annotated[int, "training steps", Ge(1), Budgeted()] = 30_000
    batch_size: Annotated[int, "rows per step", Ge(1)] = 4096
    lr: Annotated[float, "learning rate at the first step; it falls linearly to 0", Gt(0)] = 8.057e-4
    weight_decay: Annotated[float, "weight decay", Ge(0)] = 0.0
    num_timesteps: Annotated[int, "steps between a row and pure noise, on a cosine schedule", Ge(2)] = 100
    hidden: Annotated[Widths, "widths of the network's layers"] = (512, 1024, 1024, 1024, 1024, 512)
    shift_input: Annotated[
        bool, "code one-hot 1 and 0 as 69 and 0, not as log 1 and log 1e-30 = -69: more stable with many values"
    ] = False
    ema: Annotated[bool, "sample from the weights' moving average (0.999 a step)"] = False
    precision: Precision = "float32"

    def forecast(self, schema: Schema, rows: int) -> Forecast:
        """In training six operations per weight and row; in sampling half of two per weight, row and timestep."""
        batch, width = min(self.batch_size, rows), one_hot_width(schema)
        weights = dense([128, *self.hidden, width])
        operations = self.steps * (6.6 * batch * weights + ADAM * weights) + 1.0 * rows * self.num_timesteps * weights
        return Forecast(operations, 24.0 * weights + 20 * batch * (width + max(self.hidden, default=0)))

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train the network; UserError for numbers whose squares are infinite."""
        from ctrbench_generators import _fitting
        from ctrbench_generators._diffusion import cosine_schedule
        from ctrbench_generators._tabddpm import Settings, Trainer

        refuse_huge(train, self.name)
        coding = Coding(train)
        schedule = cosine_schedule(self.num_timesteps, context.device)
        settings = Settings(
            hidden=self.hidden,
            steps=self.steps,
            batch_size=min(self.batch_size, len(train)),
            lr=self.lr,
            weight_decay=self.weight_decay,
            precision=self.precision,
            shift_input=self.shift_input,
        )
        rows = coding.encode(train, context.device)
        trainer = Trainer(rows, coding.sizes, schedule, settings, seed, context.device)
        losses = _fitting.run(trainer, self.steps, context)
        network = trainer.average if self.ema else trainer.network
        return TabDdpmSampler(self, network, schedule, coding, rows, losses, seed, context)


class Coding:
    """A table's rows as the network sees them: codes without gaps and normal scores."""

    def __init__(self, train: Table) -> None:
        self.schema = train.schema
        self.values = [np.unique(train.rows[field.name].to_numpy()) for field in train.schema.categorical]
        self.sizes = [len(values) for values in self.values]
        self._numbers = [field.name for field in train.schema.numeric]
        self._scales = np.array([magnifier(train.rows[name].to_numpy()) for name in self._numbers])
        self._quantiles = _quantiles(self._table_numbers(train)) if self._numbers else None
        self._roundings = {name: Rounding.of(train.rows[name].to_numpy()) for name in self._numbers}
        values = {name: np.unique(train.rows[name].to_numpy()) for name in self._numbers}
        self._few = {name: few for name, few in values.items() if len(few) <= FEW_VALUES and not (few % 1).any()}

    def encode(self, table: Table, device: str) -> Rows:
        """Train's rows."""
        import torch

        from ctrbench_generators._tabddpm import Rows

        codes = np.empty((len(table), len(self.sizes)), np.int64)
        for place, (field, values) in enumerate(zip(self.schema.categorical, self.values, strict=True)):
            codes[:, place] = np.searchsorted(values, table.rows[field.name].to_numpy())
        scores = np.empty((len(table), 0))
        if self._quantiles is not None:
            scores = self._quantiles.transform(self._table_numbers(table))
        return Rows(
            torch.from_numpy(codes).to(device),
            torch.from_numpy(scores.astype(np.float32)).to(device),
            torch.from_numpy(table.targets.astype(np.int64)).to(device),
        )

    def decode(self, rows: Rows) -> Table:
        """The table of such rows."""
        import pandas as pd

        codes = rows.codes.cpu().numpy()
        columns: dict[str, NDArray[Any]] = {
            field.name: values[codes[:, place]].astype(np.int32)
            for place, (field, values) in enumerate(zip(self.schema.categorical, self.values, strict=True))
        }
        if self._quantiles is not None:
            numbers = self._quantiles.inverse_transform(rows.numbers.double().cpu().numpy()) / self._scales
            for name, made in zip(self._numbers, numbers.T, strict=True):
                near = _nearest(made, self._few[name]) if name in self._few else made
                columns[name] = self._roundings[name].round(near)
        frame = pd.DataFrame({name: columns[name] for name in self.schema.names})
        return Table(frame, self.schema, rows.labels.cpu().numpy().astype(np.int8))

    def _table_numbers(self, table: Table) -> NDArray[np.float64]:
        return table.rows[self._numbers].to_numpy(np.float64) * self._scales


def _nearest(numbers: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest of these ascending values to each number, as TabDDPM takes it for few whole values."""
    return values[np.searchsorted((values[1:] + values[:-1]) / 2, numbers)]


def _quantiles(numbers: NDArray[np.float64]) -> QuantileTransformer:
    """Numbers to normal scores and back, with as many quantiles as TabDDPM takes; deterministic."""
    from sklearn.preprocessing import QuantileTransformer

    rows = len(numbers)
    number = min(max(min(rows // 30, 1000), 10), rows)
    return QuantileTransformer(n_quantiles=number, output_distribution="normal", subsample=None).fit(numbers)


class TabDdpmSampler(Sampler):
    """A trained network, and what turns its rows into a table."""

    def __init__(
        self,
        spec: TabDdpm,
        network: Network,
        schedule: Schedule,
        coding: Coding,
        rows: Rows,
        losses: Mapping[str, float],
        seed: int,
        context: Context,
    ) -> None:
        self._spec, self._network, self._schedule, self._coding = spec, network, schedule, coding
        self._click_rate = float(rows.labels.double().mean())
        self._bounds = rows.numbers.amin(0), rows.numbers.amax(0)
        self._losses, self._seed, self._context = losses, seed, context

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows, their labels drawn at train's click rate; TimeoutError beyond the deadline."""
        import torch

        from ctrbench_generators._tabddpm import draw

        device = self._context.device
        mixed = int(np.random.SeedSequence([self._seed, seed]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator(device).manual_seed(mixed)
        clicks = torch.rand(rows, generator=generator, device=device, dtype=torch.float64) < self._click_rate
        drawn = draw(
            self._network,
            clicks.long(),
            self._coding.sizes,
            self._bounds,
            self._schedule,
            self._spec.precision,
            generator,
            self._tick,
        )
        return self._coding.decode(drawn)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The last losses and the number of weights."""
        parameters = sum(weights.numel() for weights in self._network.parameters())
        return {**{f"{name} loss": loss for name, loss in self._losses.items()}, "parameters": parameters}

    def _tick(self, step: int, total: int) -> None:
        if self._context.seconds_left <= 0:
            raise TimeoutError(f"the time limit was reached after step {step} of {total} of sampling")
        self._context.progress(step, total, {})


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `tabddpm`."""
    register(TabDdpm)
