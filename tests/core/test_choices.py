"""From names to plug-ins: parameters from three places, "all", labels, data sets that are not at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from ctrbench import UserError
from ctrbench.choices import build, check_settings, choose, choose_datasets, choose_scenarios, imports, is_named
from ctrbench.registry import Registered, Registry, load_registry
from ctrbench.scenarios import ORIGINAL, Scenario
from ctrbench.suite import DatasetSettings, Suite
from toys import Bootstrap, ToyLog

SUITE = Suite("s", "", ("toy_log",), ("bootstrap",), ("rate",), ("hits",), ("S1",))


def suite(**changes: Any) -> Suite:
    return replace(SUITE, **changes)


def chosen(registry: Registry, *names: str | Bootstrap, **changes: Any) -> list[tuple[str, object]]:
    found = choose(suite(generators=names, **changes), registry, "generator")
    return [(each.label, each.plugin) for each in found]


def test_the_user_overrides_the_suite_which_overrides_the_default(toy_registry: Registry) -> None:
    settings = DatasetSettings(parameters={"generators": {"bootstrap": {"steps": 5}}})

    def steps(name: str, on: DatasetSettings | None = None) -> int:
        [found] = choose(suite(generators=(name,)), toy_registry, "generator", on)
        return found.plugin.steps  # type: ignore[attr-defined, no-any-return]

    assert (steps("bootstrap"), steps("bootstrap", settings), steps("bootstrap[steps=3]", settings)) == (10, 5, 3)


def test_a_label_shows_what_the_user_chose_and_the_budget_comes_on_top(toy_registry: Registry) -> None:
    assert chosen(toy_registry, "bootstrap[steps=20]", budget=0.1) == [("bootstrap[steps=20]", Bootstrap(2))]


def test_all_stands_for_what_is_not_named_and_one_label_is_there_once(toy_registry: Registry) -> None:
    labels = [label for label, _ in chosen(toy_registry, "bootstrap[steps=2]", "all", "bootstrap[steps = 2]")]
    assert labels[0] == "bootstrap[steps=2]"
    assert sorted(labels[1:]) == ["confused", "misbehaves", "negatives", "twin"]


def test_an_object_is_the_same_choice_as_its_name(toy_registry: Registry) -> None:
    assert chosen(toy_registry, Bootstrap(3)) == chosen(toy_registry, "bootstrap[steps=3]")
    [found] = choose(suite(generators=(Bootstrap(3),)), toy_registry, "generator")
    [named] = choose(suite(generators=("bootstrap[steps=3]",)), toy_registry, "generator")
    assert found.call == named.call


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bootsrap", "generators: no generator 'bootsrap'; did you mean 'bootstrap'"),
        ("bootstrap[stpes=3]", "did you mean 'steps'"),
        ("bootstrap[steps=0]", "steps=0 should be greater than or equal to 1"),
        ("bootstrap[steps", "bootstrap"),
        ("rate", "generators: "),
    ],
)
def test_a_name_or_value_that_cannot_be_is_one_line(toy_registry: Registry, name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(toy_registry, name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_original_comes_first_once_and_a_suites_own_scenario_is_found(toy_registry: Registry) -> None:
    mine = Scenario("mine", synthetic="pool")
    some = choose_scenarios(suite(scenarios=("mine", "original", "S1"), own_scenarios=(mine,)), toy_registry)
    assert [scenario.name for scenario in some] == ["original", "mine", "S1"]
    every = choose_scenarios(suite(scenarios=("all",), own_scenarios=(mine,)), toy_registry)
    assert every[0] == ORIGINAL
    assert mine in every
    for bad, said in (
        (suite(scenarios=("S11",)), "scenarios: no scenario 'S11'; did you mean 'S1'"),
        (suite(own_scenarios=(Scenario("S1"),)), "the scenario name 'S1' is taken"),
    ):
        with pytest.raises(UserError, match=said):
            choose_scenarios(bad, toy_registry)


def test_doses_come_last_and_a_scenario_that_is_one_stands_for_it(toy_registry: Registry) -> None:
    some = choose_scenarios(suite(scenarios=("S1",), doses=(0.5, 0.25)), toy_registry)
    assert [scenario.name for scenario in some] == [
        "original", "S1", "positives-0.5", "negatives-0.25", "negatives-0.5", "both-0.25", "both-0.5",
    ]  # fmt: skip


def test_each_share_of_train_is_a_data_set_by_itself(toy_registry: Registry) -> None:
    found, _ = choose_datasets(suite(datasets=("toy_log",), train_shares=(0.05, 1.0)), toy_registry, may_download=False)
    assert [(each.label, each.train_share) for each in found] == [("toy_log", 1.0), ("toy_log at 5 %", 0.05)]


def test_a_data_set_that_is_not_at_hand_is_left_out_of_all_and_refused_by_name(toy_registry: Registry) -> None:
    every = suite(datasets=("all",))
    found, left_out = choose_datasets(every, toy_registry, may_download=False)
    assert "toy_log" in [each.label for each in found]
    assert left_out == ["absent_log: not on this machine"]
    assert not is_named(found[0], every)
    assert is_named(found[0], suite(datasets=("toy_log[rows=50]",))) is (found[0].registered.name == "toy_log")
    with pytest.raises(UserError, match="data set absent_log: not on this machine"):
        choose_datasets(suite(datasets=("absent_log",)), toy_registry, may_download=False)
    fetched, _ = choose_datasets(suite(datasets=("absent_log",)), toy_registry, may_download=True)
    assert [each.label for each in fetched] == ["absent_log"]


def test_two_data_sets_of_one_title_are_told_apart_by_their_parameters(toy_registry: Registry) -> None:
    found, _ = choose_datasets(
        suite(datasets=("toy_log[rows=50]", "toy_log[rows=60]")), toy_registry, may_download=False
    )
    assert [each.label for each in found] == ["toy_log[rows=50]", "toy_log[rows=60]"]


def test_a_title_that_is_the_label_of_another_data_set_is_not_taken(
    toy_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyLog, "title", property(lambda self: "toy_log" if self.rows > 55 else "toy_log[rows=60]"))
    named = ("toy_log[rows=50]", "toy_log[rows=60]", "toy_log[rows=70]")
    found, _ = choose_datasets(suite(datasets=named), toy_registry, may_download=False)
    assert [each.label for each in found] == list(named)


def test_two_of_one_label_are_compared_by_their_parameters_alone(
    toy_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bootstrap, "__eq__", lambda self, other: 1 / 0)
    assert len(chosen(toy_registry, "bootstrap[steps=2]", "bootstrap[steps=2]")) == 1


@dataclass(frozen=True)
class Unspeakable(Bootstrap):
    """Makes of its steps what no file can hold."""

    def __post_init__(self) -> None:
        vars(self).update(steps={self.steps})


def test_what_a_plug_in_makes_of_its_parameters_must_be_such_that_others_can_be_told() -> None:
    with pytest.raises(UserError, match=r"odd \(x 1\): it cannot be made with these parameters: .* not JSON"):
        build(Registered("generator", "odd", Unspeakable, "x", "1"), {"steps": 3})


def test_settings_for_what_is_not_installed_are_refused(toy_registry: Registry) -> None:
    good = {"toy_log": DatasetSettings(parameters={"models": {"rate": {"noise": 0}}})}
    check_settings(suite(on=good), toy_registry)
    for on, said in (
        ({"toy_lgo": DatasetSettings()}, "suite s: on: no dataset 'toy_lgo'"),
        ({"toy_log": DatasetSettings(parameters={"models": {"rat": {}}})}, "on.toy_log.models: no model 'rat'"),
    ):
        with pytest.raises(UserError, match=said):
            check_settings(suite(on=on), toy_registry)


def test_the_heavy_modules_of_a_suite_are_those_of_its_plug_ins() -> None:
    registry = load_registry()
    light = Suite("s", "", ("simulated",), ("independent",), ("item_rate",), ("auc",))
    heavy = replace(light, models=("dnn", "deepfm"))
    assert "torch._dynamo" not in imports(light, registry)
    assert imports(heavy, registry).count("torch._dynamo") == 1
    others = Registry([replace(plugin, apart=True) for plugin in registry.plugins])
    assert imports(heavy, others) == (), "what others name may end every worker, or change it for all"


# Names that would mean two things


def test_shares_and_doses_that_differ_have_names_that_differ(toy_registry: Registry) -> None:
    shares = (0.3333333, 0.33333333, 0.07, 1.0)
    found, _ = choose_datasets(suite(train_shares=shares), toy_registry, may_download=False)
    assert [each.label.removeprefix("toy_log") for each in found] == [
        "", " at 33.333333 %", " at 33.33333 %", " at 7 %",
    ]  # fmt: skip
    names = [each.name for each in choose_scenarios(suite(scenarios=(), doses=(1.0, 1 + 1e-12)), toy_registry)]
    assert len(set(names)) == len(names) == 7


def test_two_things_of_one_name_are_refused_before_any_work(
    toy_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Scenario("both-1", synthetic="pool")
    with pytest.raises(UserError, match="scenarios and doses: two are called 'both-1'; give one of them another name"):
        choose_scenarios(suite(scenarios=("both-1",), own_scenarios=(own,), doses=(1.0,)), toy_registry)
    monkeypatch.setattr(ToyLog, "title", property(lambda self: "x" if self.rows > 55 else "x at 50 %"))
    two = suite(datasets=("toy_log", "toy_log[rows=50]"), train_shares=(0.5, 1.0))
    with pytest.raises(UserError, match="data sets: two are called 'x at 50 %'"):
        choose_datasets(two, toy_registry, may_download=False)
