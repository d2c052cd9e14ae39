"""What pytest gains where ctrbench is installed: fixtures for the authors of plug-ins.

In: the name of a plug-in, or a suite and what to change in it. Out: a test that fails with what the plug-in breaks of
its contract, or a finished run to look at. Nothing is loaded before a test asks for it; `-p no:ctrbench` leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from ctrbench.conformance import CheckResult
    from ctrbench.conformance.apart import Checker
    from ctrbench.reading import Results
    from ctrbench.registry import Registry

TIMEOUT = 300.0
"""Seconds that one check of a plug-in may take."""


@dataclass(frozen=True)
class Check:
    """Puts plug-ins through the checks of `ctrbench check`."""

    registry: Registry
    checker: Checker

    def __call__(self, name: str) -> list[CheckResult]:
        """The results of all plug-ins of that name; the test fails where one of them breaks its contract."""
        results = []
        for registered in self.registry.named(name, "ctrbench_check"):
            found = self.checker.check(registered)
            results += found
            wrong = [f"  {each.name}: {each.message}" for each in found if each.status == "failed"]
            if wrong:
                said = "\n".join([f"{registered.kind} {registered} breaks its contract:", *wrong])
                pytest.fail(said, pytrace=False)
        return results


@dataclass(frozen=True)
class Run:
    """Does what `ctrbench run` does, each time in a new store."""

    folders: pytest.TempPathFactory

    def __call__(
        self,
        suite: str = "quick",
        *,
        datasets: Sequence[str] | None = None,
        generators: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
        scenarios: Sequence[str] | None = None,
        repeats: int | None = None,
        model_seeds: int | None = None,
        seed: int | None = None,
        budget: float | None = None,
        executor: Literal["inline", "local"] = "inline",
    ) -> Results:
        """Run a suite, by its name or file, with what is given in place of its own; no generators: `()`.

        `inline` does all work in the test's own process, where a debugger and coverage see it; `local` in worker
        processes, which may hang or die. UserError where a name or a number cannot be used.
        """
        from ctrbench import running

        return running.run(
            suite=suite,
            datasets=datasets,
            generators=generators,
            models=models,
            metrics=metrics,
            scenarios=scenarios,
            repeats=repeats,
            model_seeds=model_seeds,
            seed=seed,
            budget=budget,
            executor=executor,
            workers=1,
            device="cpu",
            store=self.folders.mktemp("ctrbench") / "ctrbench.db",
            progress=False,
        )


@pytest.fixture(scope="session")
def ctrbench_check() -> Iterator[Check]:
    """Put an installed plug-in through the conformance checks: `ctrbench_check("my_generator")`.

    They run in a process of their own, which may hang or die.
    """
    from ctrbench.conformance.apart import Checker
    from ctrbench.registry import load_registry

    with Checker(TIMEOUT) as checker:
        yield Check(load_registry(), checker)


@pytest.fixture
def ctrbench_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a suite or a selection in a store of its own: `ctrbench_run(generators=["mine"], models=["logistic"])`."""
    return Run(tmp_path_factory)
