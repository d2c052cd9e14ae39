"""Effects on results made by hand, where the right numbers are plain; and one real run with nested model seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from ctrbench import Score
from ctrbench.effects import Arm, Effects
from ctrbench.registry import load_registry
from ctrbench.results import CellResult, MetricInfo, RunInfo, ScenarioInfo, Status, TaskResult
from ctrbench.significance import holm
from ctrbench.store.artefacts import Artefacts
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.suite import Suite
from recording import run_on
from toys import TOYS

OK, FAILED, SKIPPED = (TaskResult(status, "toy") for status in (Status.OK, Status.FAILED, Status.SKIPPED))
INFO = RunInfo(
    "toys", 1, 1.0, 3, 1,
    datasets={},
    scenarios={name: ScenarioInfo("", name != "S5") for name in ("original", "S3", "S5")},
    prediction_metrics={"auc": MetricInfo("higher", "")},
    synthetic_metrics={},
)  # fmt: skip
ORIGINAL = [0.80, 0.70, 0.75]  # of three repeats


def cells(generator: str, scenario: str, values: list[float | None], model: str = "dnn") -> list[CellResult]:
    """An arm of the grid: one cell a repeat."""
    return [
        CellResult("log", generator, scenario, model, repeat, FAILED if value is None else OK,
                   {} if value is None else {"auc": Score(value)}, training=f"{generator} {scenario} {model} {repeat}")
        for repeat, value in enumerate(values)
    ]  # fmt: skip


def raised(*gains: float) -> list[float | None]:
    return [base + gain for base, gain in zip(ORIGINAL, gains, strict=True)]


def results(*parts: list[CellResult], artefacts: Artefacts | None = None) -> RunResults:
    return RunResults("run1", 0.0, 1.0, "", INFO, [], [cell for part in parts for cell in part], [], artefacts)


def effects(*parts: list[CellResult]) -> Effects:
    return Effects(results(*parts), "log", "auc")


BASE = cells("", "original", ORIGINAL)
GAN = cells("gan", "S3", raised(0.01, 0.02, 0.03))
VAE = cells("vae", "S3", raised(0.05, 0.04, 0.06))


def mean(of: Effects, generator: str = "gan", scenario: str = "S3", model: str = "dnn") -> float | None:
    found = of.cell(Arm(generator, scenario, model))
    return None if found is None else pytest.approx(found.mean)


# Pairs


def test_a_repeat_is_compared_with_its_own_original() -> None:
    found = effects(BASE, GAN).cell(Arm("gan", "S3", "dnn"))
    assert found is not None
    assert found.mean == pytest.approx(0.02)
    assert found.spread.seeds == pytest.approx(1e-4), "the spread of the differences, not that of the scores"


def test_the_order_of_cells_does_not_matter() -> None:
    shuffled = effects(GAN[::-1], BASE[1:], BASE[:1]).cell(Arm("gan", "S3", "dnn"))
    assert shuffled is not None
    assert shuffled.spread.seeds == pytest.approx(1e-4)


def test_model_seeds_are_paired_within_their_repeat_and_averaged() -> None:
    def nested(generator: str, scenario: str, values: dict[tuple[int, int], float]) -> list[CellResult]:
        return [
            replace(cell, model_seed=seed, training=f"{cell.training}.{seed}")
            for (repeat, seed), value in values.items()
            for cell in cells(generator, scenario, [value] * (repeat + 1))[-1:]
        ]

    base = {(0, 0): 0.80, (0, 1): 0.70, (1, 0): 0.90, (1, 1): 0.60}
    gains = {(0, 0): 0.01, (0, 1): 0.02, (1, 0): 0.03, (1, 1): 0.04}
    made = {at: base[at] + gain for at, gain in gains.items()}
    found = effects(nested("", "original", base), nested("gan", "S3", made)).cell(Arm("gan", "S3", "dnn"))
    assert found is not None
    assert (found.mean, found.repeats) == (pytest.approx(0.025), 2)
    assert found.spread.seeds == pytest.approx(2e-4)  # of .015 and .035
    assert found.spread.model == pytest.approx(5e-5)
    assert found.spread.generator == pytest.approx(2e-4 - 5e-5 / 2)


# Averages


def test_a_scenario_is_averaged_over_generators_and_models_within_each_repeat() -> None:
    other = [
        cells("", "original", ORIGINAL, "fm"),
        cells("gan", "S3", ORIGINAL, "fm"),
        cells("vae", "S3", ORIGINAL, "fm"),
    ]
    found = effects(BASE, GAN, VAE, *other).scenario("S3")
    assert found is not None
    by_repeat = np.array([0.01 + 0.05, 0.02 + 0.04, 0.03 + 0.06]) / 4
    assert found.mean == pytest.approx(by_repeat.mean())
    assert found.spread.seeds == pytest.approx(by_repeat.var(ddof=1))


def test_generators_that_share_their_pools_count_once() -> None:
    twin = [replace(cell, generator="copulagan") for cell in GAN]
    of = effects(BASE, GAN, twin, VAE)
    assert of.distinct == ["gan", "vae"]
    assert of.scenario("S3") == effects(BASE, GAN, VAE).scenario("S3")
    assert mean(of, "copulagan") == mean(of, "gan")


def test_a_generator_that_skips_the_data_set_is_left_out() -> None:
    away = [replace(cell, result=SKIPPED) for cell in cells("smotenc", "S3", [None] * 3)]
    of = effects(BASE, GAN, away)
    assert (of.distinct, of.applicable) == (["gan"], ["gan"])
    assert of.scenario("S3") == effects(BASE, GAN).scenario("S3")


def test_scenarios_without_a_pool_have_an_effect_too() -> None:
    of = effects(BASE, cells("", "undersample", raised(-0.1, -0.1, -0.2)), GAN)
    assert of.control_scenarios == ["undersample"]
    found = of.scenario("undersample")
    assert found is not None
    assert found.mean == pytest.approx(-0.4 / 3)


# What is missing


def test_a_missing_cell_leaves_no_effect_rather_than_a_better_mean() -> None:
    holey = cells("vae", "S3", [0.9, 0.9, None])
    of = effects(BASE, GAN, holey)
    assert mean(of, "vae") is None
    assert of.scenario("S3") is None
    assert of.generator("vae", ["S3"]) is None
    assert of.generator("gan", ["S3"]) == of.cell(Arm("gan", "S3", "dnn"))
    assert set(of.tested) == {Arm("gan", "S3", "dnn")}
    assert of.tested_scenarios == {}


def test_an_arm_that_is_not_there_and_no_arms_have_no_effect() -> None:
    of = effects(BASE, GAN)
    assert (mean(of, "gan", "S5"), of.average([])) == (None, None)


def test_a_model_without_original_is_compared_nowhere() -> None:
    bad = cells("", "original", [0.9, None, 0.9], "bad"), cells("gan", "S3", [0.99] * 3, "bad")
    of = effects(BASE, GAN, *bad)
    assert of.compared == ["dnn"]
    assert of.scenario("S3") == effects(BASE, GAN).scenario("S3")
    assert set(of.tested) == {Arm("gan", "S3", "dnn")}


def test_other_data_sets_and_metrics_do_not_count() -> None:
    strangers = [replace(cell, dataset="other") for cell in VAE]
    assert effects(BASE, GAN, strangers).generators == ["gan"]
    assert Effects(results(BASE, GAN), "log", "logloss").compared == []


# Tests of many at once


def test_the_scenarios_are_one_family() -> None:
    alone = effects(BASE, GAN).tested_scenarios["S3"]
    assert alone.holm == alone.effect.p
    both = effects(BASE, GAN, cells("gan", "S5", raised(-0.3, -0.3, -0.31))).tested_scenarios
    assert [both[name].holm for name in ("S3", "S5")] == pytest.approx(holm([v.effect.p for v in both.values()]))
    assert both["S5"].certain
    assert both["S5"].holm == pytest.approx(2 * both["S5"].effect.p)
    assert not both["S3"].certain


def test_cells_that_read_the_same_trainings_are_one_claim() -> None:
    twin = [replace(cell, generator="copulagan") for cell in GAN]
    tested = effects(BASE, GAN, twin).tested
    assert len(tested) == 2
    assert all(each.holm == each.bh == each.effect.p for each in tested.values())


# Test rows


@pytest.fixture
def store(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path)


def scored(store: Artefacts, part: list[CellResult], parts: Callable[[int], list[float]]) -> list[CellResult]:
    """The cells with the contributions of each repeat."""
    return [replace(c, contributions={"auc": store.put_array(np.array(parts(c.repeat)))}) for c in part]


def test_what_repeats_owe_to_the_same_test_rows_is_the_mean_of_their_products(store: Artefacts) -> None:
    base = scored(store, BASE, lambda r: [0.0, 0.0, 0.0])
    made = scored(store, GAN, lambda r: [[0.01, 0.0, -0.01], [0.02, -0.02, 0.0], [0.01, 0.01, -0.02]][r])
    found = Effects(results(base, made, artefacts=store), "log", "auc").cell(Arm("gan", "S3", "dnn"))
    assert found is not None
    assert found.basis == "seeds and test rows"
    assert found.spread.test == pytest.approx((2e-4 + 3e-4 + 0) / 3)


def test_one_repeat_has_test_noise_only_and_is_never_marked(store: Artefacts) -> None:
    base = scored(store, BASE[:1], lambda r: [0.01, -0.01])
    made = scored(store, GAN[:1], lambda r: [0.02, -0.02])
    of = Effects(results(base, made, artefacts=store), "log", "auc")
    [tested] = of.tested.values()
    assert tested.effect.basis == "test rows only"
    assert tested.effect.variance == pytest.approx(2e-4)
    assert (tested.holm, tested.certain, tested.likely) == (None, False, False)


def test_a_lost_artefact_leaves_an_interval_over_seeds(store: Artefacts) -> None:
    made = scored(store, GAN, lambda r: [0.01, -0.01])
    whole = results(scored(store, BASE, lambda r: [0.0, 0.0]), made, artefacts=store)
    [lost] = {cell.contributions["auc"] for cell in made}
    next(path for path in store.folder.rglob("*") if lost in path.name).unlink()
    found = Effects(whole, "log", "auc").cell(Arm("gan", "S3", "dnn"))
    assert found is not None
    assert (found.basis, found.spread.test) == ("seeds only", 0.0)


@pytest.mark.parametrize("odd", [[0.01, -0.01, 0.0], [float("nan"), 0.0], [1e60, -1e60]])
def test_contributions_that_nothing_can_be_made_of_leave_an_interval_over_seeds(
    store: Artefacts, odd: list[float]
) -> None:
    made = scored(store, GAN, lambda r: odd if r == 2 else [0.01, -0.01])
    found = Effects(results(scored(store, BASE, lambda r: [0.0, 0.0]), made, artefacts=store), "log", "auc")
    assert (effect := found.cell(Arm("gan", "S3", "dnn"))) is not None
    assert (effect.basis, effect.spread.test) == ("seeds only", 0.0)


def test_a_metric_without_contributions_has_an_interval_over_seeds_or_none() -> None:
    assert effects(BASE, GAN).tested[Arm("gan", "S3", "dnn")].effect.basis == "seeds only"
    alone = effects(BASE[:1], GAN[:1]).tested[Arm("gan", "S3", "dnn")]
    assert (alone.effect.basis, alone.holm) == ("nothing", None)


# A real run


def test_a_run_with_model_seeds_has_effects_that_its_scores_bear_out(tmp_path: Path) -> None:
    registry = load_registry([*TOYS, EntryPoint(name="auc", value="ctrbench_metrics.auc", group="ctrbench")])
    suite = Suite(
        "toys",
        datasets=("toy_log",),
        generators=("bootstrap", "twin"),
        models=("rate[noise=0.2]",),
        metrics=("auc",),
        scenarios=("original", "S3", "S5"),
        repeats=3,
        model_seeds=2,
    )
    store = Store.open(str(tmp_path / "results.db"))
    run = store.load_run(run_on(store, registry, suite)[1])
    of = Effects(run, "toy_log", "auc")
    at = {(c.scenario, c.repeat, c.model_seed): c for c in run.cells if c.generator != "twin"}
    gains, parts = np.zeros((3, 2)), np.zeros((3, 6))  # repeats × model seeds; repeats × users
    for repeat, seed in np.ndindex(3, 2):
        for scenario, sign in (("S5", 1), ("original", -1)):
            cell = at[scenario, repeat, seed]
            gains[repeat, seed] += sign * cell.scores["auc"].value
            parts[repeat] += sign / 2 * store.artefacts.get_array(cell.contributions["auc"])
    found = of.scenario("S5")
    assert found is not None
    assert found.basis == "seeds and test rows"
    assert found.mean == pytest.approx(gains.mean())
    assert found.spread.seeds == pytest.approx(gains.mean(axis=1).var(ddof=1))
    assert found.spread.model == pytest.approx(gains.var(axis=1, ddof=1).mean())
    assert found.spread.model > 0
    products = (parts @ parts.T)[np.triu_indices(3, 1)]
    assert found.spread.test == pytest.approx(max(0, products.mean()))
    assert of.distinct == ["bootstrap"]
    assert len(of.tested) == 4, "two generators in two scenarios"
    store.close()
