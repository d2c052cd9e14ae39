"""All that is random in CTGAN: noise, conditions, matching real rows, dropout, and how rows are mixed.

In: an encoded table and a random generator. Out: draws for one batch after another. A trainer asks for them in a fixed
order and draws nothing itself, so that a test can give it the draws of another program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ctrbench_generators._columns import Columns, Encoded


class Made(NamedTuple):
    """What a batch of rows is made of."""

    noise: Tensor  # (batch, embedding_dim)
    conditions: Tensor  # (batch,)
    gumbel: Tensor  # (batch, width of a row)


class Conditions:
    """Values of discrete columns, numbered in the layout's order, each with the rows that have it."""

    def __init__(self, columns: Columns, encoded: Encoded, *, log_frequency: bool, device: str) -> None:
        """Learn how frequent each value is; all columns are equally likely, a column's values by their frequency."""
        values = [(at, span) for at, span in enumerate(columns.one_hot) if span.kind == "value"]
        of_columns = []
        for number, (at, span) in enumerate(values):
            column = encoded.hot[:, at]
            counts = torch.bincount(column, minlength=span.width)
            weight = (counts + 1).double().log() if log_frequency else counts.double()
            upto = number + torch.cumsum(weight / weight.sum(), 0)
            upto[-1] = number + 1
            starts = number * len(column) + counts.cumsum(0) - counts
            rows = torch.argsort(column, stable=True).to(torch.int32)
            places = torch.arange(span.start, span.start + span.width)
            of_columns.append((upto, places, torch.full_like(places, at), starts, counts, rows))
        upto, places, spans, starts, counts, rows = (
            torch.cat(parts).to(device) for parts in zip(*of_columns, strict=True)
        )
        self.places = places  # (conditions,), in the network's layout
        self.spans = spans  # (conditions,), in the order of `Columns.one_hot`
        self._columns = len(values)
        self._upto = upto  # (conditions,), float64: the share of draws below each value, column after column
        self._starts, self._counts = starts, counts  # (conditions,)
        self._rows = rows  # (columns · rows,): of each column, its rows sorted by value

    def __len__(self) -> int:
        return len(self.places)

    def draw(self, number: int, randomness: torch.Generator) -> Tensor:
        """Random conditions, (number,)."""
        where = self._columns * torch.rand(number, generator=randomness, device=randomness.device, dtype=torch.float64)
        return torch.searchsorted(self._upto, where, right=True).clamp_max(len(self) - 1)

    def matching(self, conditions: Tensor, randomness: torch.Generator) -> Tensor:
        """For each condition one of the rows that meet it, (number,)."""
        share = torch.rand(len(conditions), generator=randomness, device=randomness.device, dtype=torch.float64)
        counts = self._counts[conditions]
        nth = (share * counts).long().clamp_max(counts - 1)
        return self._rows[self._starts[conditions] + nth].long()

    def without_rows(self) -> Conditions:
        """The same without real rows, as sampling needs it."""
        self._rows = self._rows.new_empty(0)
        return self


class Draws:
    """The draws of a fit or of a sampler."""

    def __init__(
        self, conditions: Conditions, randomness: torch.Generator, *, batch: int, noise: int, width: int
    ) -> None:
        self._conditions, self.randomness = conditions, randomness
        self._batch, self._noise, self._width = batch, noise, width

    def made(self) -> Made:
        """What a batch of rows is to be made of."""
        noise = self._empty(self._batch, self._noise).normal_(generator=self.randomness)
        conditions = self._conditions.draw(self._batch, self.randomness)
        # torch's own exponential_ takes six times as long on a CPU. No number is 0 or 1, so all results are finite.
        uniform = self._empty(self._batch, self._width).uniform_(generator=self.randomness).clamp_min_(2**-25)
        return Made(noise, conditions, uniform.neg_().log1p_().neg_().log_().neg_())

    def real(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """The same conditions in another order, and a real row that meets each, both (batch,)."""
        order = torch.randperm(len(conditions), generator=self.randomness, device=self.randomness.device)
        conditions = conditions[order]
        return conditions, self._conditions.matching(conditions, self.randomness)

    def keeps(self, groups: int, widths: Sequence[int]) -> list[Tensor]:
        """Dropout of one half: factors 0 and 2 for every hidden layer, (groups, width)."""
        return [self._empty(groups, width).bernoulli_(0.5, generator=self.randomness).mul_(2) for width in widths]

    def mix(self, groups: int) -> Tensor:
        """The share of the real row in each mixed one, (groups, 1)."""
        return torch.rand(groups, 1, generator=self.randomness, device=self.randomness.device)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.randomness.device)
