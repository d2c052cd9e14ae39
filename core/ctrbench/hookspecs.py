"""The hooks that a plug-in may implement; all methods arrive through them, those of others and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from ctrbench.interfaces import Dataset, Generator, Model, PredictionMetric, SyntheticMetric
    from ctrbench.results import CellResult
    from ctrbench.scenarios import Scenario

PROJECT = "ctrbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

T_contra = TypeVar("T_contra", contravariant=True)


class Register(Protocol[T_contra]):
    """Call it once for each thing that a distribution provides; the thing is checked at once."""

    def __call__(self, thing: T_contra, /) -> None:
        """Take it into the registry, or raise with what is wrong with it."""


@hookspec
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register data sets."""


@hookspec
def register_generators(register: Register[type[Generator]]) -> None:
    """Register generators of synthetic rows."""


@hookspec
def register_models(register: Register[type[Model]]) -> None:
    """Register CTR models."""


@hookspec
def register_metrics(register: Register[type[PredictionMetric] | type[SyntheticMetric]]) -> None:
    """Register metrics of predictions or of synthetic rows."""


@hookspec
def register_scenarios(register: Register[Scenario]) -> None:
    """Register scenarios: how real train and a pool become a training table."""


@hookspec
def cell_finished(result: CellResult) -> None:
    """Called with each cell of the grid as it ends, in the driver process."""
