"""Candidates and controls: what says it, how it is stored, and which numbers it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from ctrbench import ClassShares, Generator, MethodRole, Scenario, UserError, leaderboard, tidy
from ctrbench.effects import Effects
from ctrbench.registry import _complaint, load_registry
from ctrbench.results import GeneratorInfo, ScenarioInfo
from ctrbench.store import rows
from ctrbench.suite import parse_suite
from ctrbench_metrics.auc import Auc
from handmade import INFO, cell, pool, results

CONTROLS = ["independent", "label_shuffle", "negative_sampling", "oracle", "random_oversampling", "uniform"]
ROLES = {"vae": GeneratorInfo(MethodRole.CANDIDATE), "copy": GeneratorInfo(MethodRole.CONTROL)}
CELLS = [
    cell("", "original", "dnn", 0.80),
    cell("vae", "S3", "dnn", 0.81), cell("vae", "S5", "dnn", 0.70),
    cell("copy", "S3", "dnn", 0.89), cell("copy", "S5", "dnn", 0.78),
]  # fmt: skip
RUN = results(CELLS, [pool("vae", 1.0), pool("copy", 5.0)], generators=ROLES)


def test_built_in_generators_say_what_they_are() -> None:
    registry = load_registry()
    said = [found.name for found in registry.of_kind("generator") if found.plugin.role is MethodRole.CONTROL]  # type: ignore[attr-defined]
    assert sorted(said) == CONTROLS


def test_scenarios_without_synthetic_rows_are_controls() -> None:
    registry = load_registry()
    told = {found.name: found.thing.role for found in registry.of_kind("scenario")}
    assert [name for name, role in told.items() if role is MethodRole.CONTROL] == [
        "original_again", "undersample", "class_weight",
    ]  # fmt: skip


def test_a_mean_over_generators_leaves_controls_out() -> None:
    effect = Effects(RUN, "log", "auc").scenario("S3")
    assert effect is not None
    assert effect.mean == pytest.approx(0.01), "with the control it would be .05"


def test_a_run_of_controls_alone_has_means_over_them() -> None:
    effect = Effects(results([*CELLS[:1], *CELLS[3:]], [], generators=ROLES), "log", "auc").scenario("S3")
    assert effect is not None
    assert effect.mean == pytest.approx(0.09)


def test_a_control_has_no_rank_though_it_is_the_best() -> None:
    [board] = leaderboard.boards(RUN, ["generators"])
    assert [[entry.text for entry in row][:3] for row in board.rows] == [
        ["1", "vae", "+0.01000"],
        ["control", "copy", "+0.09000"],
    ]


def test_frames_say_who_is_a_control() -> None:
    assert tidy.generators(RUN, "auc").set_index("generator")["role"].to_dict() == {
        "vae": "candidate", "copy": "control",
    }  # fmt: skip


def test_a_scenario_that_is_a_control_is_in_no_family() -> None:
    known = {**INFO.scenarios, "S5": ScenarioInfo("", False, MethodRole.CONTROL)}
    effects = Effects(replace(RUN, info=replace(RUN.info, scenarios=known)), "log", "auc")
    assert effects.family_scenarios == ["S3"]
    assert list(effects.tested_scenarios) == ["S3"]


def test_roles_are_stored_with_the_run() -> None:
    assert rows.run_info(rows.run_json(RUN.info)).generators == ROLES


def test_a_store_from_before_roles_knows_the_controls_by_name() -> None:
    older = rows.run_json(RUN.info)
    del older["generators"]
    for told in older["scenarios"].values():
        del told["role"]
    info = rows.run_info(older)
    assert info.role("oracle") is info.role("independent[given=nothing]") is MethodRole.CONTROL
    assert info.role("tvae") is MethodRole.CANDIDATE


def test_a_suite_says_that_its_scenario_is_a_control() -> None:
    text = '[[scenario]]\nname = "less"\nreal = {{ positives = 1 }}\nrole = "{}"'
    [scenario] = parse_suite(text.format("control"), "s", "s.toml").own_scenarios
    assert scenario.role is MethodRole.CONTROL
    with pytest.raises(UserError, match="'judge' is not a valid MethodRole"):
        parse_suite(text.format("judge"), "s", "s.toml")


def test_a_role_changes_no_cache_key() -> None:
    one = Scenario("half", synthetic=ClassShares(positives=0.5))
    assert repr(one.recipe) == repr(replace(one, role=MethodRole.CONTROL).recipe)
    assert "role" not in repr(one.recipe), "results of earlier versions are found again"


def test_a_generator_with_another_role_is_broken() -> None:
    @dataclass(frozen=True)
    class Judge(Generator):
        """Neither."""

        name: ClassVar[str] = "judge"
        role: ClassVar[str] = "judge"  # type: ignore[assignment]

        def fit(self, train, *, seed, context):
            raise NotImplementedError

    assert _complaint("generator", Judge) == "Judge.role must be MethodRole.CANDIDATE or MethodRole.CONTROL"


@pytest.mark.parametrize("of", [1, None, "\ud800"])
def test_what_a_metric_is_a_slice_of_is_a_name_that_can_be_stored(of: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _complaint("metric", Auc) == ""
    monkeypatch.setattr(Auc, "slice_of", of)
    assert _complaint("metric", Auc) == "Auc.slice_of must be the name of a metric, or empty"
