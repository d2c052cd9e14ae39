"""Numbers and texts for which no database, JSON or archive has a form: the store stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import toys
from ctrbench import Budgeted, Context, Forecast, Published, Sampler, Schema, Score, Table
from ctrbench.registry import Registered, Registry
from ctrbench.store import transfer, upkeep
from ctrbench.store.store import Store
from ctrbench.suite import Suite
from recording import run_on

NAN, HUGE = float("nan"), 10**5000
FIGURES = {("bootstrap", "S5", "rate"): NAN}


@dataclass(frozen=True)
class OddLog(toys.ToyLog):
    """A log whose parameter and figures are not numbers."""

    name: ClassVar[str] = "odd_log"
    bound: float = float("inf")
    title: Any = "a\udc80\n" * 1000

    def published(self) -> Sequence[Published]:
        return [Published("t", "s", "auc", FIGURES)]


@dataclass(frozen=True)
class OddPool(toys.Bootstrap):
    """A generator with parameters, reports, facts and a forecast that are not numbers."""

    name: ClassVar[str] = "odd_pool"
    word: str = "a\udc80"
    limits: tuple[float, ...] = (1.0, NAN)
    passes: Annotated[float, Budgeted()] = NAN

    def forecast(self, schema: Schema, rows: int) -> Forecast | None:
        told: Any = "many"
        return Forecast(told, told)

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        for step in (HUGE, float("inf"), NAN, -HUGE, 2**70):
            context.progress(step, None, {"loss": 1.0})  # type: ignore[arg-type]
        context.progress(1, HUGE, {"loss": HUGE})
        context.progress(1, 2, {"loss": NAN, "\udc80": 1.0})
        return OddRows(train)


@dataclass(frozen=True)
class OddRows(toys.Rows):
    @property
    def details(self) -> Any:
        return {"nan": NAN, "huge": HUGE, "\udc80": b"\xff", None: Path("x"), "a\0b": np.float32("inf")}


@dataclass(frozen=True)
class OddHits(toys.Hits):
    """A metric whose baseline is 0/0, as a detail is."""

    name: ClassVar[str] = "odd_hits"

    def score(self, predictions: Any) -> Score:
        return Score(0.5, np.float64(NAN), {"share": NAN, "odds": float("inf"), "good": 1})


def test_what_is_no_number_leaves_every_store_and_archive_whole(
    store: Store, toy_registry: Registry, tmp_path: Path
) -> None:
    kinds: dict[Any, Any] = {"dataset": OddLog, "generator": OddPool, "metric": OddHits}
    odd = [Registered(kind, what.name, what, "odd", "1.0") for kind, what in kinds.items()]
    registry = Registry([*toy_registry.plugins, *odd])
    suite = Suite("odd", "", ("odd_log",), ("odd_pool",), ("rate",), ("odd_hits",), ("original", "S1"))
    recorder, run = run_on(store, registry, suite)
    assert [note for note in recorder.notes if "its published() raised" in note and "is nan" in note]
    assert upkeep.check(store).wrong == []
    transfer.export(store, tmp_path / "all.zip")
    other = Store.open(str(tmp_path / "other.db"))
    assert transfer.import_(other, tmp_path / "all.zip").results["new"] == len(recorder.done)
    found = other.load_run(run)
    assert all(cell.ok for cell in found.cells)
    assert [cell.scores["odd_hits"] for cell in found.cells] == [Score(0.5, None, {"good": 1.0})] * 2
    assert found.pools[0].result.curves == {r"\udc80": [(1, 1.0)]}
    assert found.pools[0].result.facts["nan"] == "nan"
    assert run_on(store, registry, suite)[0].done == [], "what was stored is found again"
