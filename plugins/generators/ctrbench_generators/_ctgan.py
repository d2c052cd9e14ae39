"""Our engine for CTGAN: the same arithmetic as ctgan 0.12, at a tenth of its cost or less on wide tables.

In: a training table and CTGAN's settings. Out: a sampler of rows. `_ctgan_networks` explains how a step is made cheap;
a test compares its losses with ctgan's, step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from ctrbench import Context, Sampler, Table, UserError
from torch import Tensor

from ctrbench_generators import _fitting
from ctrbench_generators._columns import Columns, Encoded
from ctrbench_generators._ctgan_draws import Conditions, Draws
from ctrbench_generators._ctgan_networks import Critic, Generator, Rows, activate
from ctrbench_generators._precision import dtype_of

if TYPE_CHECKING:
    from ctrbench_generators.ctgan import Ctgan


def fit(spec: Ctgan, train: Table, *, seed: int, context: Context) -> CtganSampler:
    """Train generator and critic for `spec.epochs`; only the generator is kept."""
    columns = Columns.of(train, seed)
    _check_memory(spec, columns, context.device)
    trainer = Trainer(spec, columns, columns.encode(train), seed=seed, device=context.device)
    steps = spec.epochs * max(len(train) // spec.batch_size, 1)
    losses = _fitting.run(trainer, steps, context)
    facts = {**losses, "steps": steps, "parameters": weights(spec, columns)}
    return CtganSampler(spec, columns, trainer.generator, trainer.conditions.without_rows(), facts)


def weights(spec: Ctgan, columns: Columns) -> int:
    """The number of weights of the generator and the critic."""
    conditions = sum(span.width for span in columns.one_hot if span.kind == "value")
    number, into = 0, spec.embedding_dim + conditions
    for width in spec.generator_dim:
        number += (into + 3) * width  # with a bias, and the batch norm's scale and shift
        into += width
    number += (into + 1) * columns.width
    into = spec.pac * (columns.width + conditions)
    for width in (*spec.discriminator_dim, 1):
        number += (into + 1) * width
        into = width
    return number


class Trainer:
    """Both networks between two steps. A step is `discriminator_steps` of the critic, then one of the generator."""

    def __init__(self, spec: Ctgan, columns: Columns, encoded: Encoded, *, seed: int, device: str) -> None:
        randomness = torch.Generator(device).manual_seed(seed)
        self._spec, self._columns = spec, columns
        self.conditions = Conditions(columns, encoded, log_frequency=spec.log_frequency, device=device)
        dtype = dtype_of(spec.precision)
        self.generator = Generator(
            spec.embedding_dim, len(self.conditions), spec.generator_dim, columns.width, randomness, dtype
        )
        self.critic = Critic(columns.width, len(self.conditions), spec.discriminator_dim, spec.pac, randomness, dtype)
        self.draws = Draws(
            self.conditions, randomness, batch=spec.batch_size, noise=spec.embedding_dim, width=columns.width
        )
        self._generator_adam = _adam(self.generator, spec.generator_lr, spec.generator_decay)
        self._critic_adam = _adam(self.critic, spec.discriminator_lr, spec.discriminator_decay)
        starts = torch.tensor([span.start for span in (*columns.one_hot, *columns.scalar)])
        places = torch.cat([encoded.hot, torch.zeros(encoded.scalars.shape, dtype=torch.int64)], dim=1)
        self._places = (places + starts).to(device)  # (rows, one-hot spans + scalars)
        self._scalars = encoded.scalars.to(device) if columns.scalar else None
        self._widths = [span.width for span in columns.spans]
        self._are_scalars = [span.kind == "scalar" for span in columns.spans]

    def step(self) -> Mapping[str, Tensor]:
        """One round of both; the critic's loss is that of its last step, without the gradient penalty."""
        for _ in range(self._spec.discriminator_steps):
            loss, _ = self.critic_step()
        return {"generator loss": self.generator_step(), "discriminator loss": loss}

    def critic_step(self) -> tuple[Tensor, Tensor]:
        """One step of the critic: its loss and its gradient penalty."""
        draws, widths = self.draws, self._spec.discriminator_dim
        groups = self._spec.batch_size // self._spec.pac
        drawn = draws.made()
        with torch.no_grad():
            logits = self.generator(drawn.noise, drawn.conditions)
            made = activate(logits, drawn.gumbel, self._widths, self._are_scalars)
        real = self._real(*draws.real(drawn.conditions))
        keeps = [draws.keeps(groups, widths), draws.keeps(groups, widths)]
        mix = draws.mix(groups)
        keeps.append(draws.keeps(groups, widths))
        layers = [torch.cat(layer) for layer in zip(*keeps, strict=True)]
        losses = self.critic.learn(made, drawn.conditions, real, layers, mix)
        self._critic_adam.step()
        self.critic.changed()
        return losses

    def generator_step(self) -> Tensor:
        """One step of the generator: to deceive the critic, and to make rows that meet their conditions."""
        drawn = self.draws.made()
        keeps = self.draws.keeps(self._spec.batch_size // self._spec.pac, self._spec.discriminator_dim)
        self.generator.forget()
        logits = self.generator(drawn.noise, drawn.conditions)
        made = activate(logits, drawn.gumbel, self._widths, self._are_scalars)
        verdict = self.critic.judge(made, drawn.conditions, keeps)
        loss = self._unmet(logits, drawn.conditions) - verdict.mean()
        loss.backward(inputs=list(self.generator.parameters()))
        self._generator_adam.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Weights, moments and the state of the random generator."""
        return {
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
            "generator_adam": self._generator_adam.state_dict(),
            "critic_adam": self._critic_adam.state_dict(),
            "randomness": self.draws.randomness.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.critic.changed()
        self._generator_adam.load_state_dict(state["generator_adam"])
        self._critic_adam.load_state_dict(state["critic_adam"])
        self.draws.randomness.set_state(state["randomness"])

    def _real(self, conditions: Tensor, rows: Tensor) -> Rows:
        places = self._places[rows]
        if self._scalars is None:
            return Rows(places, None, conditions)
        ones = torch.ones(len(rows), len(self._columns.one_hot), device=rows.device)
        return Rows(places, torch.cat([ones, self._scalars[rows]], dim=1), conditions)

    def _unmet(self, logits: Tensor, conditions: Tensor) -> Tensor:
        """The mean cross-entropy between the column that a condition is about and the condition's value."""
        parts = zip(logits.split(self._widths, 1), self._are_scalars, strict=True)
        normalisers = torch.stack(
            [part.logsumexp(1) for part, scalar in parts if not scalar], dim=1
        )  # (batch, one-hot spans)
        of_span = normalisers.gather(1, self.conditions.spans[conditions][:, None])
        return (of_span - logits.gather(1, self.conditions.places[conditions][:, None])).mean()


class CtganSampler(Sampler):
    """A trained generator; equal seeds give equal rows, whatever was sampled before."""

    def __init__(
        self,
        spec: Ctgan,
        columns: Columns,
        generator: Generator,
        conditions: Conditions,
        facts: Mapping[str, float | str],
    ) -> None:
        self._spec, self._columns = spec, columns
        self._generator, self._conditions = generator, conditions
        self._facts = facts
        for weight in generator.parameters():
            weight.grad = None

    @torch.no_grad()
    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows in whole batches, since a row depends on its batch's mean and spread; the surplus is dropped."""
        columns, batch = self._columns, self._spec.batch_size
        draws = self._draws(seed)
        hot = torch.empty(rows, len(columns.one_hot), dtype=torch.int64)
        scalars = torch.empty(rows, len(columns.scalar))
        for begin in range(0, rows, batch):
            drawn = draws.made()
            logits = self._generator(drawn.noise, drawn.conditions)
            noisy = logits + drawn.gumbel  # its largest number is also the Gumbel softmax's
            here = slice(begin, min(begin + batch, rows))
            chosen = [noisy[:, span.start : span.start + span.width].argmax(1) for span in columns.one_hot]
            hot[here] = torch.stack(chosen, dim=1)[: rows - begin].cpu()
            if columns.scalar:
                values = [logits[:, span.start] for span in columns.scalar]
                scalars[here] = torch.stack(values, dim=1).tanh()[: rows - begin].cpu()
        return columns.decode(Encoded(hot, scalars))

    @property
    def details(self) -> Mapping[str, float | str]:
        """The last losses, the number of steps and of weights."""
        return self._facts

    def _draws(self, seed: int) -> Draws:
        """Random draws for sampling. Conditions are drawn as in training, by log frequency if training did so."""
        randomness = torch.Generator(self._conditions.places.device).manual_seed(seed)
        batch, noise = self._spec.batch_size, self._spec.embedding_dim
        return Draws(self._conditions, randomness, batch=batch, noise=noise, width=self._columns.width)


def _check_memory(spec: Ctgan, columns: Columns, device: str) -> None:
    """UserError where the weights, their gradients and their two moments do not fit into memory."""
    needed = 4 * torch.float32.itemsize * weights(spec, columns)
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
    else:
        import psutil

        free = psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"{spec.name}: networks for {columns.width} one-hot columns take {needed / 2**30:.0f} GiB, and "
            f"{free / 2**30:.0f} GiB are free; leave out or coarsen the fields with the most values"
        )


def _adam(network: torch.nn.Module, rate: float, decay: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.9), weight_decay=decay, fused=True)
