"""How a field is coded, and a coded field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctrbench.errors import UserError
from ctrbench.table import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTILES = re.compile(r"quantiles:(\d+)")


@dataclass(frozen=True)
class Coding:
    """How a field's values become codes or numbers; all of it is fitted on train.

    Categorical: values in fewer than `min_count` rows, or not among the `top` most frequent, become `(rare)`; `hash`
    puts all into so many buckets first. Numeric: `scale` is "", "standard" (mean 0, deviation 1) or "log" (sign · log
    of 1 + size); `bins` makes the field categorical, "quantiles:N" (a bin is called by its least number, and a number
    that fills two has one of its own) or "criteo" (⌊log²⌋ of numbers above 2, as the winners of Criteo's challenge
    did). `decimal` is the decimal point of texts.
    """

    min_count: int = 1
    top: int = 0
    hash: int = 0
    scale: str = ""
    bins: str = ""
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.scale not in ("", "standard", "log"):
            raise UserError(f"scale={self.scale} must be standard or log")
        found = _QUANTILES.fullmatch(self.bins)
        if self.bins not in ("", "criteo") and not (found and int(found[1]) > 1):
            raise UserError(f"bins={self.bins} must be criteo or quantiles:N, as in quantiles:20")
        if self.scale and self.bins:
            raise UserError(f"scale={self.scale} and bins={self.bins} exclude each other; leave one out")


@dataclass(frozen=True, eq=False)
class Coded:
    """A field of the tables, and its values in each split."""

    field: Field
    values: Mapping[str, NDArray[Any]]
