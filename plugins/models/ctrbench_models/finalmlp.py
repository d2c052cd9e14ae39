"""FinalMLP: two perceptrons that read the embeddings through gates of their own, joined by a bilinear form.

In: a training table of coded fields. Out: click probabilities from a FuxiCTR network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, MinLen
from ctrbench import Model, Register, UserError, hookimpl

from ctrbench_models._deep import DeepModel, Dropout, Widths, dense

if TYPE_CHECKING:
    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.models import BaseModel


@dataclass(frozen=True)
class FinalMLP(DeepModel):
    """FinalMLP, two gated perceptrons joined (Mao et al. 2023), on FuxiCTR, at BARS's Frappe settings.

    The gates of one perceptron read the user's id, those of the other the item's; where a log has no field of that
    role, or with `gates=learned`, they are the same for every row, as in the paper.
    """

    name: ClassVar[str] = "finalmlp"

    hidden_units: Widths = (400,)
    dropout: Dropout = 0.4
    other_hidden_units: Annotated[tuple[Annotated[int, Ge(1)], ...], "widths of the second perceptron", MinLen(1)] = (
        100,
    )
    gates: Annotated[Literal["user_item", "learned", "none"], "what the gates on the embeddings depend on"] = (
        "user_item"
    )
    gate_units: Annotated[int, "width of a gate's hidden layer", Ge(1)] = 400
    heads: Annotated[int, "parts of the perceptrons' outputs that are multiplied with each other", Ge(1)] = 5

    def __post_init__(self) -> None:
        if not self.hidden_units:
            raise UserError(f"{self.name}: hidden_units=() leaves no first perceptron; give at least one width")
        for widths in (self.hidden_units, self.other_hidden_units):
            if widths[-1] % self.heads:
                raise UserError(f"{self.name}: heads={self.heads} must divide the last width, {widths[-1]}")

    def a_row(self, fields: int) -> int:
        """Weights of both perceptrons, their gates and the bilinear form."""
        inputs = fields * self.embedding_dim
        gates = 0 if self.gates == "none" else 2 * dense([self.embedding_dim, self.gate_units, inputs])
        joined = self.hidden_units[-1] * self.other_hidden_units[-1] // self.heads
        return dense([inputs, *self.hidden_units]) + dense([inputs, *self.other_hidden_units]) + gates + joined

    def network(self, features: FeatureMap) -> BaseModel:
        """Two gated perceptrons on the embeddings, and a bilinear form of their outputs."""
        from ctrbench_models._finalmlp import FinalMLPNetwork

        return FinalMLPNetwork(features, self)


@hookimpl
def register_models(register: Register[type[Model]]) -> None:
    """Register `finalmlp`."""
    register(FinalMLP)
