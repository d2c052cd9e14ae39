"""The gate's judgement: what is called a regression, what is fine, what cannot be told."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from ctrbench.errors import UserError
from ctrbench.gate.compare import ALARM_LEVEL, DOUBT, Answer, Comparison, Judgement, Margin, compare, parse_margins
from ctrbench.gate.snapshot import ArmScores, DatasetEntry, MadeWith, MetricEntry, Snapshot
from ctrbench.intervals import Unpaired, unpaired
from scipy import stats

FINE, THIN, LOST, REGRESSION = Judgement
NUMBERS = itertools.count(1)
SHARED = {"log": DatasetEntry(fingerprint="a" * 64, rows={"train": 1000, "valid": 100, "test": 100})}
OTHER = {"log": SHARED["log"].model_copy(update={"fingerprint": "b" * 64})}
METRICS = {
    "auc": MetricEntry(better="higher", unit="AUC", of="cells"),
    "logloss": MetricEntry(better="lower", unit="nats", of="cells"),
    "bias": MetricEntry(better="neither", unit="", of="cells"),
    "identical": MetricEntry(better="lower", unit="rows", of="pools"),
}


def snap(*places: ArmScores, **changes: Any) -> Snapshot:
    """A run of its own, under a seed of its own."""
    number = next(NUMBERS)
    made: dict[str, Any] = {
        "format": 1, "run": f"r{number}", "command": "ctrbench run", "started": 0.0, "finished": 1.0, "suite": "s",
        "seed": number, "repeats": len(next(iter(places[0].values.values()))) if places else 1, "model_seeds": 1,
        "budget": 1.0, "environments": [], "datasets": SHARED, "metrics": METRICS, "places": list(places),
    }  # fmt: skip
    return Snapshot(**{**made, **changes})


def at(model: str, generator: str = "", scenario: str = "original", **values: Any) -> ArmScores:
    return ArmScores(dataset="log", generator=generator, scenario=scenario, model=model, values=values)


def noisy(rng: np.random.Generator, mean: float, sd: float = 0.002, repeats: int = 6) -> list[float]:
    return list(rng.normal(mean, sd, repeats))


def only(made: Comparison) -> Answer:
    [answer] = made.answers
    return answer


def said(made: Comparison, subject: str, metric: str = "auc") -> Judgement:
    return next(a.judgement for a in made.answers if (a.metric, a.subject) == (metric, subject))


def test_unpaired_widens_each_part_by_its_own_quantile() -> None:
    rng = np.random.default_rng(1)
    new, old = rng.normal(0, 1, 5), rng.normal(0.5, 3, 9)
    apart = unpaired(new, old, 0.5)
    assert apart is not None
    widths = [half_width(stats.ttest_1samp(scores, 0)) for scores in (new, old)] + [stats.norm.ppf(0.975) * 0.5**0.5]
    assert apart.mean == pytest.approx(new.mean() - old.mean())
    assert apart.bound(0.95) == pytest.approx(apart.mean + math.hypot(*widths))
    assert apart.bound(-0.95) == pytest.approx(apart.mean - math.hypot(*widths))
    assert unpaired(new[:1], old) is None


def half_width(found: Any) -> float:
    low, high = found.confidence_interval()
    return float(high - low) / 2


@pytest.mark.parametrize(
    ("repeats", "longer", "share"), [(2, 24, 0.0), (3, 24, 0.0), (6, 24, 0.0), (6, 6, 0.0), (2, 24, 0.5)]
)
def test_both_promises_hold_with_few_repeats(repeats: int, longer: int, share: float) -> None:
    """Means are independent of variances: given how wide an interval came out, its error is a normal tail."""
    rng = np.random.default_rng(5)
    seeds = 1 / repeats + 1 / longer
    variance = seeds / (1 - share)  # of which test rows have their share
    alarm, clear = [], []
    for _ in range(2000):
        apart = unpaired(rng.normal(size=repeats), rng.normal(size=longer), variance - seeds)
        assert apart is not None
        alarm.append(apart.mean - apart.bound(-(1 - 2 * ALARM_LEVEL)))
        clear.append(apart.bound(1 - 2 * DOUBT) - apart.mean)
    assert stats.norm.sf(alarm, scale=math.sqrt(variance)).mean() <= ALARM_LEVEL
    assert stats.norm.sf(clear, scale=math.sqrt(variance)).mean() <= DOUBT


def test_rounding_is_no_difference_and_no_noise() -> None:
    old, new = np.array([0.7, 0.7 + 1e-16, 0.7]), np.array([0.7, 0.7 - 1e-16])
    assert unpaired(new, old) == Unpaired(0.0, ((0.0, 1), (0.0, 2)), 0.0)
    before, after = (snap(at("m", auc=list(scores))) for scores in (old, new))
    made = compare(before, after, ["auc"], {"auc": Margin()})
    assert made.judgement is Judgement.FINE
    assert not made.shifts


def test_unchanged_trees_are_fine_under_new_seeds_each_time() -> None:
    rng = np.random.default_rng(2)

    def tree(repeats: int) -> Snapshot:
        values = {f"m{i}": {"auc": noisy(rng, 0.7 + i / 100, repeats=repeats)} for i in range(6)}
        return snap(*(at(model, **each) for model, each in values.items()))

    baseline = tree(20)
    assert {compare(baseline, tree(5), ["auc"]).judgement for _ in range(200)} == {FINE}


def test_a_fault_in_one_model_of_six_is_found_though_the_mean_hides_it() -> None:
    rng = np.random.default_rng(3)

    def tree(fault: float) -> Snapshot:
        return snap(*(at(f"m{i}", auc=noisy(rng, 0.7 - (i == 2) * fault)) for i in range(6)))

    made = compare(tree(0), tree(0.04), ["auc"])
    assert said(made, "all") is FINE
    assert [a.subject for a in made.answers if a.judgement is REGRESSION] == ["log: model m2 on real rows"]
    assert made.judgement is REGRESSION
    assert compare(tree(0.04), tree(0), ["auc"]).judgement is FINE  # better is no regression


def test_a_model_is_also_asked_about_without_the_noise_of_pools() -> None:
    rng = np.random.default_rng(6)

    def tree(fault: float) -> Snapshot:
        return snap(at("m", auc=[0.7 - fault] * 6), at("m", "gan", "S5", auc=noisy(rng, 0.6 - fault, 0.02)))

    made = compare(tree(0), tree(0.03), ["auc"])
    assert said(made, "log: model m on real rows") is REGRESSION
    assert said(made, "log: generator gan") is not REGRESSION
    assert [a.subject for a in made.answers] == ["log: model m", "log: model m on real rows", "log: generator gan"]


def test_a_leak_in_one_generator_of_three_is_found_though_the_mean_hides_it() -> None:
    def tree(leaked: float) -> Snapshot:
        counts = {"copies": [1000.0, 1000.0], "sound": [1.0 + leaked, 3.0 + leaked], "other": [40.0, 44.0]}
        return snap(*(ArmScores(dataset="log", generator=g, values={"identical": v}) for g, v in counts.items()))

    assert compare(tree(0), tree(0), ["identical"]).judgement is FINE
    made = compare(tree(0), tree(5000), ["identical"], {"identical": Margin(least=100)})
    assert said(made, "log: generator sound", "identical") is REGRESSION
    assert said(made, "log: generator other", "identical") is FINE
    assert compare(tree(0), tree(-1), ["identical"]).judgement is FINE


@pytest.mark.parametrize(
    ("sd", "repeats", "worse", "judgement"),
    [
        (0.0, 3, 0.0, FINE),  # what has no noise is certain
        (0.0, 3, 0.0199, REGRESSION),
        (0.002, 6, 0.005, FINE),
        (0.002, 6, 0.06, REGRESSION),
        (0.03, 6, 0.0, THIN),  # the noise would hide any fault
        (0.01, 3, 0.03, THIN),  # it looks worse, but it might be chance
    ],
)
def test_judgements_follow_from_the_interval_and_the_margin(
    sd: float, repeats: int, worse: float, judgement: Judgement
) -> None:
    spread = sd * stats.norm.ppf((np.arange(repeats) + 0.5) / repeats)
    old, new = (snap(at("m", auc=list(mean + spread))) for mean in (0.7, 0.7 - worse))
    found = only(compare(old, new, ["auc"]))
    assert found.judgement is judgement
    assert found.difference == pytest.approx(-worse)
    assert bool(found.reason) == (judgement is THIN)


def test_one_repeat_is_too_thin() -> None:
    same = snap(at("m", auc=[0.7]))
    assert only(compare(same, same, ["auc"])).judgement is THIN
    assert "one repeat" in only(compare(same, same, ["auc"])).reason


def test_a_regression_beyond_twice_the_margin_passes_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(600):
        old, new = (snap(at("m", auc=noisy(rng, mean, 0.005, 4))) for mean in (0.7, 0.68))
        passed += compare(old, new, ["auc"]).judgement is FINE
    assert passed <= 600 * 0.05 + 3 * math.sqrt(600 * 0.05)


def test_what_is_lost_fails_and_what_is_new_is_left_out() -> None:
    old = snap(at("a", auc=[0.7, 0.7]), at("b", auc=[0.6, 0.6]), at("c", auc=[0.5, None]))
    broken = at("b", auc=[0.6, None]).model_copy(update={"lacking": {"auc": "b (x 1.0): crashed in fit"}})
    made = compare(
        old, snap(at("a", auc=[0.7, 0.7]), broken, at("c", auc=[0.1, 0.1]), at("d", auc=[0.1, 0.1])), ["auc"]
    )
    assert said(made, "log: model a on real rows") is FINE
    assert said(made, "log: model b on real rows") is LOST
    assert said(made, "all") is made.judgement is LOST
    assert any("crashed in fit" in a.reason for a in made.answers)
    assert any("left out" in note and "c" in note and "1 more" in note for note in made.notes)
    assert all("c" not in a.subject.split() for a in made.answers)
    gone = compare(old, snap(at("a", auc=[0.7, 0.7])), ["auc"])
    assert said(gone, "log: model b on real rows") is LOST
    worse = compare(old, snap(at("a", auc=[0.3, 0.3])), ["auc"])
    assert said(worse, "all") is worse.judgement is REGRESSION, "and a model is lost as well"
    assert any("not run" in note for note in gone.notes)


def test_a_run_says_nothing_beside_itself_and_less_under_the_same_seed() -> None:
    old = snap(at("a", auc=[0.7, 0.7]))
    assert compare(old, old, ["auc"]).judgement is THIN
    again = compare(old, snap(at("a", auc=[0.7, 0.7]), seed=old.seed, suite="other"), ["auc"])
    assert again.judgement is FINE
    assert f"both runs have seed {old.seed}: what holds may be its luck; give each build another --seed" in again.notes
    assert "the baseline is of suite s, HEAD of other" in again.notes


def test_what_head_found_in_the_store_says_nothing_whatever_it_did_beside() -> None:
    found, new = at("a", auc=[0.7, 0.7], fit_seconds=[1.25, 1.5]), at("b", auc=[0.6, 0.6], fit_seconds=[2.0, 2.25])
    made = compare(snap(found), snap(found, new), ["auc"])
    assert made.judgement is THIN
    assert "measured none of them" in only(made).reason
    slower = at("a", auc=[0.7, 0.7], fit_seconds=[1.25, 1.75])
    assert compare(snap(found), snap(slower, new), ["auc"]).judgement is FINE


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [(4, 2, "measured none of them"), (2, 4, "only the repeats beyond them are new")],
)
def test_what_head_found_in_the_store_is_told_among_other_numbers_of_repeats(before: int, after: int, new: str) -> None:
    def tree(seconds: list[float]) -> Snapshot:
        return snap(at("a", auc=[0.7] * len(seconds), fit_seconds=seconds))

    seconds = [1.25, 1.5, 2.0, 2.25]
    made = compare(tree(seconds[:before]), tree(seconds[:after]), ["auc"])
    assert made.judgement is THIN
    assert new in only(made).reason
    assert "another --seed" in only(made).reason
    assert compare(tree(seconds[:before]), tree([1.26, *seconds[1:after]]), ["auc"]).judgement is FINE


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (3, 1, "measured none of them"),
        (3, 3, "measured none of them"),
        (3, 2, "measured none of them"),
        (1, 3, "only the model seeds beyond them are new"),
        (2, 3, "only the model seeds beyond them are new"),
    ],
)
def test_what_head_found_in_the_store_is_told_among_other_numbers_of_model_seeds(
    before: int, after: int, new: str
) -> None:
    def tree(model_seeds: int, *fits: list[float]) -> Snapshot:
        """Two repeats, of whose trainings the first model seeds are seen, and their pools."""
        seen = [each[:model_seeds] for each in fits]
        place = at("a", "gan", "S5", auc=[0.7, 0.7], fit_seconds=[sum(each) / model_seeds for each in seen])
        place = place.model_copy(update={"by_seed": seen if model_seeds > 1 else []})
        made = ArmScores(dataset="log", generator="gan", values={"identical": [1.0, 1.0], "fit_seconds": [9.5, 9.25]})
        return snap(place, made, model_seeds=model_seeds)

    fits = [1.25, 1.5, 2.0], [1.75, 2.25, 2.5]
    made = compare(tree(before, *fits), tree(after, *fits), ["auc", "identical"])
    trained, pooled = made.answers
    assert [trained.judgement, pooled.judgement] == [THIN, THIN]
    assert new in trained.reason
    assert "measured none of them" in pooled.reason, "a pool has no model seeds"
    anew = compare(tree(before, *fits), tree(after, [1.26, 1.5, 2.0], fits[1]), ["auc"])
    assert only(anew).judgement is FINE
    assert not any("in the store" in note for note in anew.notes)


def test_costs_that_are_no_model_seeds_own_tell_nothing_among_other_numbers_of_them() -> None:
    place, made = at("a", "gan", "S5", auc=[0.7, 0.7], fit_seconds=[1.5, 2.0]), {"fit_seconds": [9.5, 9.25]}
    pools = ArmScores(dataset="log", generator="gan", values=made)
    found = compare(snap(place, pools, model_seeds=2), snap(place, pools), ["auc"])
    assert found.judgement is FINE
    assert not any("in the store" in note for note in found.notes)


@pytest.mark.parametrize(
    ("found", "note"), [(0, ""), (4, "HEAD found 4 of its 6 trainings and pools in the store, as earlier runs had")]
)
def test_what_head_found_of_earlier_runs_is_said_and_by_itself_no_fault(found: int, note: str) -> None:
    old, new = (snap(at("a", auc=[0.7, 0.7], fit_seconds=seconds)) for seconds in ([1.25, 1.5], [1.75, 2.0]))
    made = compare(old, new.model_copy(update={"fits": 6, "found": found}), ["auc"])
    assert made.judgement is FINE
    assert [said[: len(note)] for said in made.notes] == [note] * bool(note)
    same = compare(old, old.model_copy(update={"fits": 6, "found": 6, "run": "another"}), ["auc"])
    assert len(same.notes) == 1, "what is the baseline's is not said twice"


@pytest.mark.parametrize("change", [{"threads": 2}, {"device": "cuda"}, {"python": "3.13.1"}, {"cores": 64}])
def test_costs_that_were_measured_otherwise_are_noted(change: dict[str, Any]) -> None:
    usual = {"host": "h", "cpu": "c", "cores": 2, "device": "cpu", "threads": 1, "python": "3.11.4"}
    place = at("a", auc=[0.7, 0.71], fit_seconds=[1.25, 1.5])
    old, new = (snap(place, environments=[MadeWith(**(usual | more))]) for more in ({}, change))
    said = "costs were measured on another machine than the baseline's, or otherwise on it"
    assert said in compare(old, new, ["fit_seconds"]).notes
    assert said not in compare(old, snap(place, environments=old.environments), ["fit_seconds"]).notes


def test_other_rows_add_the_noise_of_test_rows_and_the_same_rows_do_not() -> None:
    def tree(datasets: dict[str, DatasetEntry], variance: float | None) -> Snapshot:
        known = {} if variance is None else {"auc": variance}
        places = [at(m, auc=[0.7, 0.701, 0.702]).model_copy(update={"test_variance": known}) for m in "ab"]
        return snap(*places, datasets=datasets)

    same = compare(tree(SHARED, 1e-4), tree(SHARED, 1e-4), ["auc"])
    other = compare(tree(SHARED, 1e-4), tree(OTHER, 1e-4), ["auc"])
    assert same.judgement is FINE
    assert not any("not the baseline's rows" in note for note in same.notes)
    assert other.judgement is THIN  # √2 · .01 of standard error beside a margin of .01
    assert any("not the baseline's rows" in note for note in other.notes)
    narrow, wide = same.answers[0].interval, other.answers[0].interval
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] - 0.01  # 1.64 · √2 · .01
    assert compare(tree(SHARED, 1e-4), tree(OTHER, None), ["auc"]).judgement is THIN


@pytest.mark.parametrize(
    ("variance", "sd", "worse", "reason"),
    [
        (1e-4, 0.001, 0.0, "excluded because of other test rows: keep the baseline's (`data_seed`"),
        (1e-4, 0.001, 0.03, "perhaps because of other test rows: keep the baseline's (`data_seed`"),
        (1e-6, 0.02, 0.0, "excluded because of seeds: use more repeats, or a wider margin"),
        (1e-6, 0.02, 0.03, "perhaps because of seeds: use more repeats"),
    ],
)
def test_more_repeats_are_advised_only_where_they_can_tell(
    variance: float, sd: float, worse: float, reason: str
) -> None:
    def tree(mean: float, datasets: dict[str, DatasetEntry]) -> Snapshot:
        place = at("m", auc=[mean - sd, mean, mean + sd]).model_copy(update={"test_variance": {"auc": variance}})
        return snap(place, datasets=datasets)

    found = only(compare(tree(0.7, SHARED), tree(0.7 - worse, OTHER), ["auc"]))
    assert found.judgement is THIN
    assert reason in found.reason


def test_costs_compare_as_ratios_and_short_ones_not_at_all() -> None:
    def tree(factor: float) -> Snapshot:
        slow, quick = ([s * f for f in (1.0, 1.02, 0.98, 1.01)] for s in (4.0 * factor, 0.004 * factor))
        return snap(at("slow", fit_seconds=slow), at("quick", fit_seconds=quick))

    made = compare(tree(1), tree(3), ["fit_seconds"])
    assert said(made, "log: model slow", "fit_seconds") is REGRESSION
    assert said(made, "log: model quick", "fit_seconds") is FINE
    slow = next(a for a in made.answers if "slow" in a.subject)
    assert slow.difference == pytest.approx(3)
    assert slow.margin == pytest.approx(1.5)
    wide = parse_margins(["fit_seconds=300%"], ["fit_seconds"])
    assert compare(tree(1), tree(3), ["fit_seconds"], wide).judgement is FINE


def test_costs_of_trainings_are_the_models_and_those_of_pools_the_generators() -> None:
    training = at("dnn", "gan", "S5", auc=[0.7, 0.7], fit_seconds=[2.0, 2.0])
    made = ArmScores(dataset="log", generator="gan", values={"fit_seconds": [9.0, 9.0], "sample_seconds": [1.0, 1.0]})
    same = snap(training, made)
    found = {(a.metric, a.subject): a.baseline for a in compare(same, same, ["fit_seconds", "sample_seconds"]).answers}
    assert found[("fit_seconds", "log: model dnn")] == pytest.approx(2)
    assert found[("fit_seconds", "log: generator gan")] == pytest.approx(9)
    assert found[("fit_seconds", "all")] == pytest.approx(math.sqrt(18))
    assert found[("sample_seconds", "log: generator gan")] == pytest.approx(1)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("auc", "a number as in auc=0.005"),
        ("auc=much", "a number"),
        ("auc=-1", "a number"),
        ("auc=nan", "a number"),
        ("ac=1", "did you mean 'auc'"),
        ("fit_seconds=2", "as in fit_seconds=50%"),
    ],
)
def test_a_margin_that_is_none_is_refused(word: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        parse_margins([word], ["auc", "fit_seconds"])


def test_a_label_with_parameters_has_a_margin_too() -> None:
    label = "detection[pairs=10, rows=1000]"
    assert parse_margins([f"{label}=5%"], [label]) == {label: Margin(share=0.05)}


def test_margins_replace_the_defaults() -> None:
    old, new = snap(at("m", auc=[0.7, 0.7])), snap(at("m", auc=[0.66, 0.66]))
    assert only(compare(old, new, ["auc"])).margin == pytest.approx(0.01)
    for word, judgement in (("auc=0.05", FINE), ("auc=0.03", REGRESSION), ("auc=10%", FINE), ("auc=5%", REGRESSION)):
        assert only(compare(old, new, ["auc"], parse_margins([word], ["auc"]))).judgement is judgement


@pytest.mark.parametrize(
    ("metric", "changes", "complaint"),
    [
        ("acu", {}, "the baseline has no such metric; did you mean 'auc'"),
        ("bias", {}, "neither higher nor lower is better"),
        ("auc", {"budget": 0.5}, "compare equal budgets"),
        ("auc", {"metrics": {}}, r"run r\d+ has no such metric"),
        (
            "auc",
            {"metrics": METRICS | {"auc": METRICS["logloss"].model_copy(update={"better": "higher"})}},
            "'nats' of",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(metric: str, changes: dict[str, Any], complaint: str) -> None:
    place = at("m", auc=[0.7, 0.7], bias=[0.0, 0.0])
    with pytest.raises(UserError, match=complaint):
        compare(snap(place), snap(place, **changes), [metric])
