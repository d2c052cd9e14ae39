from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ctrbench import Skip
from ctrbench.scenarios import BUILT_IN, ClassShares, Scenario, compose, doses, plausible
from toys import log

TRAIN, POOL = log(400, 1), log(600, 2)
BY_NAME = {scenario.name: scenario for scenario in BUILT_IN}


def added(scenario: str, seed: int = 5) -> np.ndarray:
    """The synthetic rows of a training table, with the label, as one array."""
    table = compose(TRAIN, POOL, BY_NAME[scenario], seed=seed)
    return table.rows.assign(label=table.labels).iloc[len(TRAIN) :].to_numpy()


def test_original_is_real_train_itself() -> None:
    assert compose(TRAIN, None, BY_NAME["original"], seed=1) is TRAIN


@pytest.mark.parametrize(("name", "label", "share"), [("S1", 1, 0.25), ("S2", 1, 0.5), ("S3", 0, 0.25), ("S4", 0, 0.5)])
def test_rows_of_one_class_are_added_as_a_share_of_real_rows_of_that_class(name: str, label: int, share: float) -> None:
    table = compose(TRAIN, POOL, BY_NAME[name], seed=5)
    assert table.rows.iloc[: len(TRAIN)].equals(TRAIN.rows)
    extra = table.targets[len(TRAIN) :]
    assert (extra == label).all()
    assert len(extra) == round(share * (TRAIN.targets == label).sum())


def test_s5_is_the_first_rows_of_the_pool() -> None:
    table = compose(TRAIN, POOL, BY_NAME["S5"], seed=5)
    assert table.rows.equals(POOL.rows.iloc[: len(TRAIN)])


@pytest.mark.parametrize(("small", "large"), [("S1", "S2"), ("S3", "S4")])
def test_the_smaller_share_is_a_prefix_of_the_larger(small: str, large: str) -> None:
    few, many = added(small), added(large)
    assert 0 < len(few) < len(many)
    assert (few == many[: len(few)]).all()


def test_another_seed_draws_other_rows() -> None:
    assert not (added("S3", 5) == added("S3", 6)).all()


def test_a_pool_that_lacks_rows_is_named() -> None:
    with pytest.raises(Skip, match="the pool has 0 positives, S1 needs"):
        compose(TRAIN, POOL.take(POOL.targets == 0), BY_NAME["S1"], seed=1)


@pytest.mark.parametrize("positives", [1, 2])
def test_a_scenario_that_adds_no_row_is_skipped_with_the_reason(positives: int) -> None:
    few = TRAIN.take(np.concatenate([np.flatnonzero(TRAIN.targets == 0), np.flatnonzero(TRAIN.targets)[:positives]]))
    with pytest.raises(Skip, match=f"S1 adds no row: 25% of {positives} positives rounds to 0"):
        compose(few, POOL, BY_NAME["S1"], seed=1)
    both = Scenario("both", synthetic=ClassShares(0.25, 0.25))
    with pytest.raises(Skip, match=f"both adds rows of one class alone: 25% of {positives} positives rounds to 0"):
        compose(few, POOL, both, seed=1)


def test_undersampling_and_class_weights_are_scenarios_too() -> None:
    under = Scenario("under", real=ClassShares(1, 0.5), class_weight="balanced")
    table = compose(TRAIN, None, under, seed=1)
    assert (table.targets == 1).sum() == (TRAIN.targets == 1).sum()
    assert (table.targets == 0).sum() == round(0.5 * (TRAIN.targets == 0).sum())
    assert table.weights is not None
    assert table.weights[table.targets == 1].sum() == pytest.approx(table.weights[table.targets == 0].sum(), rel=1e-5)


@pytest.mark.parametrize("share", [-0.1, 11, float("nan"), "1", None])
def test_shares_have_a_range(share: Any) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 10"):
        ClassShares(positives=share)


@pytest.mark.parametrize(
    "odd", [{"real": "all"}, {"synthetic": 1.0}, {"help": b"x"}, {"role": "control"}, {"class_weight": None}]
)
def test_a_scenario_of_other_types_is_refused_where_it_is_made(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(odd))}=.*must be"):
        Scenario("mine", **odd)


def test_undersampling_cuts_the_larger_class_to_the_smaller() -> None:
    table = compose(TRAIN, None, BY_NAME["undersample"], seed=1)
    assert (np.bincount(table.targets) == np.bincount(TRAIN.targets).min()).all()


def test_class_weights_leave_the_rows_as_they_are() -> None:
    table = compose(TRAIN, None, BY_NAME["class_weight"], seed=1)
    assert table.rows.equals(TRAIN.rows)
    assert table.weights is not None
    assert table.weights.sum() == pytest.approx(len(TRAIN), rel=1e-5)


def test_rows_of_one_class_have_no_weights_by_which_both_count_the_same() -> None:
    clicks = TRAIN.take(TRAIN.targets == 1)
    with pytest.raises(Skip, match="only one class is among the rows"):
        compose(clicks, None, BY_NAME["class_weight"], seed=1)


def test_the_same_data_again_is_trained_under_other_seeds() -> None:
    again = compose(TRAIN, None, BY_NAME["original_again"], seed=1)
    assert again.digest() == TRAIN.digest()
    assert BY_NAME["original_again"].model_seeds == "other"
    with pytest.raises(ValueError, match="model_seeds='mine' must be"):
        Scenario("mine", model_seeds="mine")


def test_synthetic_rows_count_by_their_weight_and_classes_may_weigh_the_same_beside() -> None:
    table = compose(TRAIN, POOL, Scenario("light", synthetic=ClassShares(negatives=0.5), synthetic_weight=0.5), seed=5)
    assert table.weights is not None
    assert set(table.weights[: len(TRAIN)]) == {1.0}
    assert set(table.weights[len(TRAIN) :]) == {0.5}
    both = Scenario("both", synthetic=ClassShares(negatives=0.5), synthetic_weight=0.5, class_weight="balanced")
    weights = compose(TRAIN, POOL, both, seed=5).weights
    assert weights is not None
    assert weights[table.targets == 1].sum() == pytest.approx(weights[table.targets == 0].sum(), rel=1e-5)
    assert weights[-1] == pytest.approx(weights[len(TRAIN) :][0])
    assert weights[table.targets == 0].max() == pytest.approx(2 * weights[table.targets == 0].min())


def test_the_most_plausible_rows_of_each_class_are_kept_in_their_order() -> None:
    clicks = np.linspace(0, 1, len(POOL))
    kept = plausible(POOL, clicks, 0.5)
    assert (np.bincount(kept.targets) == np.ceil(0.5 * np.bincount(POOL.targets))).all()
    late, early = np.flatnonzero(POOL.targets == 1), np.flatnonzero(POOL.targets == 0)
    wanted = np.sort([*late[-(len(late) + 1) // 2 :], *early[: (len(early) + 1) // 2]])
    assert kept.rows.equals(POOL.rows.iloc[wanted].reset_index(drop=True))


def test_a_pool_has_to_hold_more_where_some_of_it_is_put_aside() -> None:
    half = Scenario("half", synthetic=ClassShares(positives=0.3), plausible=0.5)
    assert (half.drawn.positives, half.drawn.negatives) == (0.6, 0)
    assert replace(half, plausible=1.0).drawn == half.synthetic
    assert Scenario("pool", synthetic="pool", plausible=0.5).drawn == ClassShares(2, 2)
    with pytest.raises(Skip, match="the pool has 399 rows, S5 needs 400"):
        compose(TRAIN, POOL.take(np.arange(399)), BY_NAME["S5"], seed=1)


def test_doses_are_scenarios_of_each_class_and_of_both_and_s1_is_one_of_them() -> None:
    made = {scenario.name: scenario for scenario in doses([0.5, 0.25])}
    assert list(made) == [f"{adds}-{dose}" for adds in ("positives", "negatives", "both") for dose in (0.25, 0.5)]
    assert made["both-0.5"].synthetic == ClassShares(0.5, 0.5)
    assert {made["positives-0.25"].identity, made["negatives-0.5"].identity} == {
        BY_NAME["S1"].identity,
        BY_NAME["S4"].identity,
    }
    assert {name: scenario.dose for name, scenario in BY_NAME.items() if scenario.dose} == {
        "S1": ("positives", 0.25), "S2": ("positives", 0.5), "S3": ("negatives", 0.25), "S4": ("negatives", 0.5),
    }  # fmt: skip
    assert made["both-0.25"].dose == ("both", 0.25)
    others = ("plausible", 0.5), ("synthetic_weight", 0.5), ("order", "synthetic first"), ("model_seeds", "other")
    assert [replace(BY_NAME["S1"], **{name: value}).dose for name, value in others] == [None] * 4


def test_what_scenarios_have_learnt_since_counts_only_in_those_that_use_it() -> None:
    assert BY_NAME["S1"].identity == (
        "Scenario(name='', real=ClassShares(positives=1, negatives=1), synthetic=ClassShares(positives=0.25, "
        "negatives=0.0), class_weight='none', model_seeds='common', help='')"
    ), "a store of the first day knows it so"
    others = [("plausible", 0.5), ("synthetic_weight", 0.5), ("order", "synthetic first")]
    assert len({replace(BY_NAME["S1"], **dict([other])).identity for other in others} | {BY_NAME["S1"].identity}) == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"synthetic": "pool", "plausible": 0}, "plausible=0 must be a number between 0.1 and 1"),
        ({"synthetic": "pool", "synthetic_weight": "1"}, "synthetic_weight='1' must be a number between 0.001 and 100"),
        ({"synthetic": "pool", "order": "first"}, "order='first' must be 'mixed' or 'synthetic first'"),
        ({"synthetic": "pool", "order": "synthetic first", "synthetic_weight": 2}, "takes no weights"),
        (
            {"synthetic": "pool", "real": ClassShares(), "order": "synthetic first"},
            "needs real rows and synthetic ones",
        ),
        ({"plausible": 0.5}, "are for synthetic rows, of which it has none"),
        ({"synthetic": ClassShares(2, 2), "plausible": 0.1}, "takes 20 times the rows of train, and no pool has more"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(values: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Scenario("odd", **values)


def test_a_recipe_is_one_however_its_numbers_are_written() -> None:
    whole, decimal = (
        Scenario("all", synthetic=ClassShares(one, one), synthetic_weight=2 * one, plausible=one) for one in (1, 1.0)
    )
    assert whole.identity == decimal.identity
    said, unsaid = Scenario("one", synthetic=ClassShares(0, 1)), Scenario("one", synthetic=ClassShares(negatives=1))
    assert said.identity == unsaid.identity
    assert "0.5" in Scenario("half", synthetic=ClassShares(0.5, 1.0)).identity


def test_no_model_is_trained_on_a_share_of_train_that_rounds_away() -> None:
    few = Scenario("few", real=ClassShares(0.001, 0.001))
    positives = int(TRAIN.targets.sum())
    lost = f"0.1% of {positives} positives and 0.1% of {len(TRAIN) - positives} negatives"
    with pytest.raises(Skip, match=f"few takes of train no row: {lost} rounds to 0"):
        compose(TRAIN, None, few, seed=1)


def test_a_scenario_without_rows_is_no_scenario() -> None:
    with pytest.raises(ValueError, match="it has no rows"):
        Scenario("nothing", real=ClassShares(0, 0))
