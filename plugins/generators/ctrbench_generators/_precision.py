"""The precision of an engine's wide matrix products; all else is float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from ctrbench import UserError

if TYPE_CHECKING:
    import torch

Precision = Annotated[
    Literal["float32", "bf16"],
    "precision of the wide matrix products; bf16 takes about half the time and rounds to 3 digits",
]


def dtype_of(precision: Precision) -> torch.dtype:
    """The type of the matrix products' inputs at this precision."""
    import torch

    return torch.float32 if precision == "float32" else torch.bfloat16


def check_precision(precision: Precision, engine: str, name: str) -> None:
    """UserError where a library's engine is asked for a precision that it has not."""
    if precision != "float32" and engine != "native":
        raise UserError(f"{name}: precision={precision} is ours alone; leave out engine={engine}")
