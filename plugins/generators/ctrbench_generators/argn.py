"""An autoregressive network: a row is drawn field by field, each given the label and the earlier ones, in any order.

In: a training table. Out: a sampler; our own engine, made for fields of a hundred thousand values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt
from ctrbench import Budgeted, Context, Forecast, Generator, Register, Sampler, Schema, Skip, Table, hookimpl

from ctrbench_generators._classes import shares_of
from ctrbench_generators._costs import ADAM
from ctrbench_generators._values import Bins, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ctrbench_generators._argn import Network


@dataclass(frozen=True)
class Argn(Generator):
    """Autoregressive network over fields in any order, given the label (after TabularARGN, Tiwald et al. 2025).

    Each field has an embedding, and a perceptron of its own that reads the label and the fields drawn before it; the
    same embedding is used for its softmax, which training estimates from sampled values where a field has many.
    Training ends when the loss on held-out rows of train no longer falls. From the paper are the any-order training,
    teacher forcing and early stopping; the label as a condition, the shared embedding and the widths are ours.
    """

    name: ClassVar[str] = "argn"
    imports: ClassVar[tuple[str, ...]] = ("torch._dynamo",)
    epochs: Annotated[int, "passes over train, at most", Ge(1), Budgeted()] = 60
    patience: Annotated[int, "epochs in a row without a gain on held-out rows that end the training", Ge(1)] = 3
    batch_size: Annotated[int, "rows per step", Ge(1)] = 1024
    learning_rate: Annotated[float, "Adam's initial rate; halved after an epoch without a gain", Gt(0)] = 2e-3
    embedding_dim: Annotated[int, "numbers in the embedding of a value", Ge(1)] = 32
    hidden: Annotated[int, "width of each field's hidden layer", Ge(1)] = 256
    dropout: Annotated[float, "share of hidden units dropped in a step", Ge(0), Lt(1)] = 0.1
    holdout: Annotated[float, "share of train's rows held out to decide when to stop", Gt(0), Lt(1)] = 0.1
    order: Annotated[Literal["any", "schema"], "of the fields: a new one each time, or that of the log"] = "any"
    sampled_values: Annotated[
        int, "values up to which a training softmax is exact; of more, this many are sampled", Ge(2)
    ] = 8192
    bins: Annotated[int, "quantile bins of a numeric field", Ge(2)] = 64
    precision: Annotated[
        Literal["float32", "bf16"], "precision of the perceptrons' products; bf16 rounds to 3 digits"
    ] = "float32"

    def forecast(self, schema: Schema, rows: int) -> Forecast:
        """All epochs, though early stopping usually ends a fit sooner; 6 operations per weight and row."""
        sizes = [field.vocab_size if field.kind == "categorical" else self.bins for field in schema.fields]
        inputs = (len(sizes) + 1) * self.embedding_dim
        a_field = self.hidden * (inputs + self.embedding_dim)
        a_row = len(sizes) * a_field + self.embedding_dim * sum(min(size, self.sampled_values) for size in sizes)
        weights = len(sizes) * a_field + self.embedding_dim * sum(sizes)
        steps = self.epochs * -(-rows // self.batch_size)
        drawing = 2 * rows * (len(sizes) * a_field + self.embedding_dim * sum(sizes))
        wide = max((min(size, self.sampled_values) for size in sizes), default=0)
        memory = 20.0 * weights + 4.0 * self.batch_size * (len(sizes) * (inputs + 2 * self.hidden) + 4 * wide)
        return Forecast(
            6 * a_row * rows * self.epochs + steps * ADAM * weights + drawing, memory + 16 * rows * len(sizes)
        )

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        """Train until held-out loss no longer falls; Skip where train has too few rows to hold some out."""
        from ctrbench_generators import _argn, _fitting
        from ctrbench_generators._random_state import seeded

        held_out = round(self.holdout * len(train))
        if not 0 < held_out < len(train):
            raise Skip(f"holdout={self.holdout} of {len(train)} rows leaves none to learn from or none to stop by")
        split_seed, weight_seed, draw_seed = map(int, np.random.SeedSequence(seed).generate_state(3))
        values = Values.of(train, self.bins)
        places = values.encode(train)
        bins = values.binned(places)
        order = np.random.default_rng(split_seed).permutation(len(train))
        with seeded(weight_seed):
            network = _argn.Network(
                bins[order[held_out:]], values.sizes, self.embedding_dim, self.hidden, self.dropout, self.precision
            )
        trainer = _argn.Trainer(
            network.to(context.device),
            _argn.Rows.of(bins, train.targets, order[held_out:], context.device),
            _argn.Rows.of(bins, train.targets, order[:held_out], context.device),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience,
            any_order=self.order == "any",
            most_values=self.sampled_values,
            seed=draw_seed,
        )
        steps = self.epochs * -(-(len(train) - held_out) // self.batch_size)
        losses = _fitting.run(trainer, steps, context)
        trainer.finish()
        parameters = sum(weight.numel() for weight in network.parameters())
        facts = {**losses, "held-out loss": trainer.best, "epochs": trainer.epochs, "parameters": parameters}
        return ArgnSampler(network, values, Bins.of(values, places), train.targets, self.order == "any", facts)


@dataclass(frozen=True, eq=False)
class ArgnSampler(Sampler):
    """A trained network, and train's labels, whose click rate new rows have."""

    network: Network
    values: Values
    numbers: Bins
    labels: NDArray[np.int8]
    any_order: bool
    facts: Mapping[str, float | str]

    def sample(self, rows: int, *, seed: int) -> Table:
        """New rows at train's click rate, shuffled; a number is one of train's from the bin that was drawn."""
        from ctrbench_generators import _argn

        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.repeat(np.array([0, 1], np.int8), shares_of(self.labels, rows)))
        bins = _argn.sample(self.network, labels, self.any_order, seed)
        return self.values.decode(self.numbers.draw(bins, rng), labels)

    @property
    def details(self) -> Mapping[str, float | str]:
        """The last losses per row, in nats; the best held-out loss; epochs run and parameters."""
        return self.facts


@hookimpl
def register_generators(register: Register[type[Generator]]) -> None:
    """Register `argn`."""
    register(Argn)
