"""The precision of an engine's widest matrix products; all else is float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from ctrbench import UserError

if TYPE_CHECKING:
    import torch

Precision = Annotated[
    Literal["float32", "bf16"],
    "precision of the widest matrix products; bf16 rounds to 3 digits, in less time where a processor has it",
]


def dtype_of(precision: Precision) -> torch.dtype:
    """The type of the matrix products' inputs at this precision."""
    import torch

    return torch.float32 if precision == "float32" else torch.bfloat16


def check_precision(precision: Precision, engine: str, name: str) -> None:
    """UserError where a library's engine is asked for a precision that it has not."""
    if precision != "float32" and engine != "native":
        raise UserError(f"{name}: precision={precision} is ours alone; leave out engine={engine}")
