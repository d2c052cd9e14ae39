"""Verdicts on results made by hand, where the right answer is plain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctrbench import MethodRole, Score
from ctrbench.effects import Effects
from ctrbench.intervals import Effect, Spread, enough, sees_at
from ctrbench.leaderboard import boards
from ctrbench.results import (
    CONSTANT,
    LACKS,
    CellResult,
    DatasetInfo,
    GeneratorInfo,
    MetricInfo,
    PoolOutput,
    PoolResult,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
    TrainOutput,
)
from ctrbench.store.artefacts import Artefacts
from ctrbench.store.runs import RunResults
from ctrbench.verdict import Outcome, Verdict, family, verdicts
from handmade import DONE, FAILED, results

BASE = (0.80, 0.79, 0.81, 0.80, 0.805)
NOISE = (0.0001, -0.0002, 0.0, 0.0002, -0.0001)  # sums to 0
SCENARIOS = {
    **{name: ScenarioInfo("", True) for name in ("original", "S1", "S3")},
    "S5": ScenarioInfo("", False),
    **{name: ScenarioInfo("", True, MethodRole.CONTROL) for name in ("original_again", "class_weight")},
}
ROLES = {name: GeneratorInfo(MethodRole.CANDIDATE) for name in ("vae", "gan")}
ROLES["copy"] = GeneratorInfo(MethodRole.CONTROL)
DATASETS = {"log": DatasetInfo("log (x 1)", {}, "f" * 64, {"train": 1000, "test": 5000}, {"train": 0.25})}


def arm(generator: str, scenario: str, gain: float, spread: float = 1.0, repeats: int = 5) -> list[CellResult]:
    """The cells of one model: original's scores, a gain, and some noise of each repeat."""
    values = [base + gain + spread * noise for base, noise in zip(BASE, NOISE, strict=True)][:repeats]
    return [
        CellResult(
            "log", generator, scenario, "dnn", repeat, DONE, {"auc": Score(v), "logloss": Score(1 - v)},
            training=f"{generator} {scenario} {repeat}",
        )
        for repeat, v in enumerate(values)
    ]  # fmt: skip


def pools(generator: str, flagged: bool | None = False, **changes: Any) -> list[PoolResult]:
    output = replace(PoolOutput("f" * 64, 1000, 0, 0.25, variety=0.9), **changes)
    made = TaskResult(Status.OK, generator, output=output, seconds={"fit": 9.0, "sample": 1.0})
    scores = {} if flagged is None else {"identical": Score(40.0, 3.0, flagged=flagged)}
    return [PoolResult("log", generator, repeat, made, "", scores) for repeat in range(5)]


def run(*parts: list[CellResult], made: list[PoolResult] | None = None, **changes: Any) -> RunResults:
    cells = [cell for part in (arm("", "original", 0.0, 0.0), *parts) for cell in part]
    settled = {"repeats": 5, "scenarios": SCENARIOS, "generators": ROLES, "datasets": DATASETS} | changes
    return results(
        [c for c in cells if c.repeat < settled["repeats"]], pools("vae") if made is None else made, **settled
    )


def judged(*parts: list[CellResult], metric: str = "", **more: Any) -> Verdict:
    [found] = verdicts(run(*parts, **more), metric)
    return found


def outcomes(of: Verdict) -> dict[str, Outcome]:
    return {each.generator: each.outcome for each in of.generators}


HELPING = arm("vae", "S1", 0.004), arm("vae", "S3", 0.0)
HURTING = arm("gan", "S1", -0.004), arm("gan", "S3", -0.003)
COPY = arm("copy", "S1", 0.005), arm("copy", "S3", 0.0)


def test_a_gain_beyond_the_noise_helps_and_a_loss_hurts() -> None:
    found = judged(*HELPING, *HURTING)
    assert outcomes(found) == {"vae": Outcome.HELPS, "gan": Outcome.HURTS}
    assert found.outcome is Outcome.HELPS
    assert found.generators[0].says == "helps in S1"
    assert found.generators[1].says == "hurts in S1 and S3"
    assert found.lines[0].startswith(
        "log: synthetic rows help. vae in S1, the best of 4 tried, changes auc by +0.00400 ("
    )
    assert found.lines[0].endswith("1 candidate of 2 hurts somewhere and helps nowhere.")


def test_a_larger_gain_that_may_be_luck_does_not_hide_one_that_is_shown() -> None:
    lucky = arm("gan", "S1", 0.006, 60.0), arm("gan", "S3", 0.0)
    found = judged(*HELPING, *lucky)
    assert outcomes(found) == {"vae": Outcome.HELPS, "gan": Outcome.UNDECIDED}
    assert found.lines[0].startswith("log: synthetic rows help. vae in S1, the best shown to help of 4 tried, changes ")
    assert [(each.generator, each.scenario) for each in found.leaders][1] == ("vae", "S1")
    both = judged(arm("vae", "S1", 0.004), arm("vae", "S3", 0.006, 60.0)).generators[0]
    assert both.best is not None
    assert (both.says, both.best.scenario) == ("helps in S1", "S1")


def test_fewer_than_five_repeats_make_no_sure_claim() -> None:
    found = judged(*HELPING, *HURTING, repeats=4)
    assert found.lines[0].startswith(
        "log: synthetic rows seem to help, but 4 repeats are too few to be sure. vae in S1"
    )
    assert found.lines[0].endswith("1 candidate of 2 seems to hurt somewhere.")
    assert [each.says for each in found.generators] == ["seems to help in S1", "seems to hurt in S1 and S3"]


def test_where_lower_is_better_a_fall_helps() -> None:
    assert outcomes(judged(*HELPING, *HURTING, metric="logloss")) == {"vae": Outcome.HELPS, "gan": Outcome.HURTS}


def test_a_small_effect_that_is_known_to_be_small_is_none() -> None:
    found = judged(arm("vae", "S1", 0.0), arm("vae", "S3", 0.00005))
    assert outcomes(found) == {"vae": Outcome.NO_EFFECT}
    assert found.generators[0].says.startswith("no effect larger than ±0.000")
    assert found.lines[0].startswith("log: no candidate is shown to help.")


def test_equal_predictions_are_known_to_have_no_effect(tmp_path: Path) -> None:
    store = Artefacts(tmp_path)

    def told(cells: list[CellResult]) -> list[CellResult]:
        parts = [store.put_array(np.array([0.01, -0.02, 0.01 + cell.repeat])) for cell in cells]
        return [replace(cell, contributions={"auc": part}) for cell, part in zip(cells, parts, strict=True)]

    made = run(told(arm("vae", "S1", 0.0, 0.0)), told(arm("vae", "S3", 0.0, 0.0)))
    original = told([cell for cell in made.cells if not cell.generator])
    cells = [*original, *(cell for cell in made.cells if cell.generator)]
    told_of = replace(made, cells=cells, artefacts=store)
    [found] = verdicts(told_of)
    assert outcomes(found) == {"vae": Outcome.NO_EFFECT}
    assert "changes auc by +0.0000 (+0.0000 to +0.0000)" in found.lines[0]
    assert "error is unknown" not in " ".join(found.lines)
    notes = [note for board in boards(told_of, ["generators"]) for note in board.notes]
    assert "±0: each predicts what original does, so there is no difference to tell" in notes


def test_noise_that_hides_a_large_effect_is_not_enough_evidence() -> None:
    found = judged(arm("vae", "S1", 0.002, 100.0), arm("vae", "S3", 0.0, 100.0))
    assert outcomes(found) == {"vae": Outcome.UNDECIDED}
    assert found.generators[0].says.startswith("not enough evidence: up to ±0.0")


def test_the_more_is_tried_the_wider_are_the_intervals() -> None:
    effects = Effects(run(*HELPING, *HURTING), "log", "auc")
    [one] = family(effects, ["vae"], ["S1"])
    four = family(effects, ["vae", "gan"], ["S1", "S3"])
    effect = effects.generator("vae", ["S1"])
    assert effect is not None
    assert (one.low, one.high) == pytest.approx((effect.low, effect.high))
    assert four[0].low == pytest.approx(effect.bound(-0.9875)), "Bonferroni over four claims"


def test_a_gain_that_would_stand_alone_may_not_stand_as_the_best_of_many() -> None:
    gain = 0.00025
    assert outcomes(judged(arm("vae", "S1", gain)))["vae"] is Outcome.HELPS
    others = [arm(f"g{i}", "S1", 0.0) for i in range(30)]
    told = ROLES | {f"g{i}": GeneratorInfo(MethodRole.CANDIDATE) for i in range(30)}
    found = judged(arm("vae", "S1", gain), *others, generators=told)
    assert outcomes(found)["vae"] is not Outcome.HELPS


def test_a_pool_alone_that_loses_does_not_make_a_generator_hurt() -> None:
    assert outcomes(judged(*HELPING, arm("vae", "S5", -0.2))) == {"vae": Outcome.HELPS}


def test_the_best_is_held_against_the_best_control_of_its_scenario() -> None:
    found = judged(*HELPING, *COPY, arm("", "class_weight", -0.01))
    assert found.against_control is not None
    assert (found.against_control.generator, found.against_control.scenario) == ("copy", "S1")
    assert found.against_control.mean == pytest.approx(-0.001)
    assert found.lines[1].startswith("The best control there is copy in S1: vae ")


@pytest.mark.parametrize(
    ("control", "beyond"),
    [(0.001, "and beat"), (0.0039, "but are not shown to beat"), (0.006, "but less than")],
)
def test_the_answer_begins_with_whether_a_control_does_as_much(control: float, beyond: str) -> None:
    found = judged(*HELPING, arm("copy", "S1", control, -1.0), arm("copy", "S3", 0.0))
    assert found.lines[0].startswith(f"log: synthetic rows help, {beyond} the best control. vae in S1, ")
    few = judged(*HELPING, arm("copy", "S1", control), arm("copy", "S3", 0.0), repeats=4)
    assert few.lines[0].startswith("log: synthetic rows seem to help, but 4 repeats are too few to be sure. vae in S1")


def test_a_control_is_never_the_answer() -> None:
    found = judged(arm("vae", "S1", 0.0), *COPY)
    assert found.outcome is Outcome.NO_EFFECT
    assert [each.generator for each in found.generators] == ["vae", "copy"], "candidates first"
    assert outcomes(found)["copy"] is Outcome.HELPS


def test_privacy_names_the_metrics_that_flag() -> None:
    flagged = judged(*HELPING, made=pools("vae", True))
    assert "Privacy of vae: flagged by identical, 1 of 1 metric." in flagged.lines[2]
    assert "flagged by none of 1 metric, which is no proof" in judged(*HELPING).lines[2]
    assert "No privacy metric gave a verdict on vae." in judged(*HELPING, made=pools("vae", None)).lines[2]
    assert "No privacy metric was run." in judged(*HELPING, synthetic_metrics={}).lines[2]


def test_cost_is_a_pool_beside_a_training() -> None:
    assert "A pool costs 10 s, a training on original 2 s." in judged(*HELPING).lines[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"click_rate": 0.0}, "one class only in 5 of 5 pools"),
        ({"variety": 0.01}, "hardly any distinct rows in 5 of 5"),
    ],
)
def test_a_collapsed_pool_is_said(changes: dict[str, float], said: str) -> None:
    found = judged(*HELPING, made=pools("vae", **changes))
    assert any(line.startswith("Collapsed: vae") and said in line for line in found.lines)
    assert said in found.generators[0].says


def test_pools_that_lack_a_class_are_said_and_are_no_collapse() -> None:
    found = judged(*HELPING, made=pools("vae", facts={LACKS: "714 positives"}))
    assert "Too few rows: vae (positives in 5 of 5 pools)." in " ".join(found.lines)
    assert found.generators[0].says.endswith("too few positives in 5 of 5 pools")
    assert not found.generators[0].collapsed
    one_class = judged(*HELPING, made=pools("vae", facts={LACKS: "714 positives"}, click_rate=0.0))
    assert "Too few" not in " ".join(one_class.lines), "which says it already"


def test_a_generator_whose_pools_serve_no_scenario_is_not_left_out() -> None:
    short = TaskResult(Status.SKIPPED, "vae (x 1)", Stage.COMPOSE, "the pool has 3 positives, S1 needs 40")
    cells = [replace(cell, scores={}, result=short) for cell in arm("vae", "S1", 0.0)]
    found = judged(cells)
    assert outcomes(found) == {"vae": Outcome.UNKNOWN}
    assert "no answer" in found.lines[0]


def test_where_all_pools_lack_rows_of_a_class_that_is_the_answer() -> None:
    cells = [
        replace(cell, scores={}, result=TaskResult(Status.SKIPPED, "vae", Stage.COMPOSE, "S1 needs 43 positives"))
        for part in HELPING
        for cell in part
    ]
    found = judged(cells, made=pools("vae", facts={LACKS: "10 positives"}))
    cause = "vae (too few positives in 5 of 5 pools)"
    assert found.lines == [f"log: no answer, as every generator lacks a score of auc: {cause}."]


def test_a_control_that_was_run_without_scores_is_not_called_missing() -> None:
    assert "No control was run beside it" in judged(*HELPING).lines[1]
    found = judged(*HELPING, lacking("copy", Status.FAILED, "no luck"))
    assert found.lines[1] == "No control beside it has every score of auc: copy (no luck)."
    roles = ROLES | {"other": GeneratorInfo(MethodRole.CONTROL)}
    found = judged(*HELPING, *COPY, lacking("other", Status.FAILED, "no luck"), generators=roles)
    assert found.lines[1].endswith(" Not beside it, as scores are missing: other (no luck).")


def test_models_that_lack_a_score_on_original_are_named() -> None:
    silent = [replace(cell, model="deepfm", scores={}, result=FAILED) for cell in arm("", "original", 0.0)]
    found = judged(*HELPING, silent)
    assert any(line.startswith("Left out, for want of a score on original: deepfm (") for line in found.lines)
    assert not any("Left out" in line for line in judged(*HELPING).lines)


def test_there_are_never_more_than_five_lines() -> None:
    assert len(judged(*HELPING, *HURTING, *COPY, made=pools("vae", True, click_rate=0.0)).lines) == 5


def test_one_repeat_is_measured_by_the_a_a_arm() -> None:
    parts = [arm("", "original_again", 0.001), arm("vae", "S1", 0.001), arm("vae", "S3", -0.0015)]
    found = judged(*parts, arm("vae", "S5", -0.023), repeats=1)
    assert outcomes(found) == {"vae": Outcome.UNDECIDED}
    assert found.lines[0].startswith(
        "log: nothing is claimed of one repeat. S1 and S3 moved no more than re-seeding did, S5 21 times as much."
    )
    loud = judged(parts[0], arm("vae", "S1", 0.01), arm("vae", "S3", 0.02), repeats=1)
    assert loud.lines[0].startswith(
        "log: nothing is claimed of one repeat. S1 moved 9 times as much, S3 18 times as much as re-seeding did. "
    )
    assert "The scenario original_again would tell" in judged(*parts[1:], repeats=1).lines[0]
    assert found.lines[-1].startswith("Five repeats tell")


def test_missing_scores_leave_a_generator_unknown() -> None:
    broken = [replace(cell, scores={}) if cell.repeat == 2 else cell for cell in arm("gan", "S1", 0.0)]
    found = judged(*HELPING, broken)
    assert outcomes(found) == {"vae": Outcome.HELPS, "gan": Outcome.UNKNOWN}


def test_a_generator_that_equals_another_is_counted_once() -> None:
    twin = [replace(cell, generator="twin", training=cell.training) for part in HURTING for cell in part]
    told = ROLES | {"twin": GeneratorInfo(MethodRole.CANDIDATE)}
    found = judged(*HELPING, *HURTING, twin, generators=told)
    assert list(outcomes(found)) == ["vae", "gan"]
    assert found.equal == {"twin": "gan"}
    assert "the best of 4 tried" in found.lines[0]


def test_leaders_stand_beside_original_in_several_metrics() -> None:
    found = judged(*HELPING, *COPY)
    assert found.leader_metrics == ["auc", "logloss"]
    assert [(each.generator, each.scenario) for each in found.leaders] == [
        ("", "original"), ("vae", "S1"), ("vae", "S3"), ("copy", "S1"),
    ]  # fmt: skip
    assert found.leaders[1].scores == pytest.approx([0.805, 0.195])


def test_a_run_without_generators_says_so() -> None:
    assert judged(made=[]).lines == ["log: this run has no generator, so it says nothing of synthetic data."]
    [said] = judged(made=pools("vae")).lines
    assert said == "log: this run has no scenario that uses a pool, so it says nothing of synthetic data."
    skipped = TaskResult(Status.SKIPPED, "gan", Stage.FIT, "gan is for nominal fields")
    found = judged(
        lacking("gan", skipped.status, skipped.reason),
        made=[replace(pool, result=skipped) for pool in pools("gan", flagged=None)],
    )
    assert found.lines == ["log: no answer, as no generator applies (gan is for nominal fields)."]


def test_a_metric_with_no_better_side_has_no_verdict() -> None:
    assert verdicts(run(*HELPING, prediction_metrics={"auc": MetricInfo("neither", "")})) == []


def effect(seeds: float, test: float, repeats: int = 5) -> Effect:
    variance = seeds / repeats + test
    return Effect(
        0.0, variance, 4 * (variance / (seeds / repeats)) ** 2, repeats, "seeds and test rows", Spread(seeds, test)
    )


def test_what_is_needed_is_enough_and_less_is_not() -> None:
    of = effect(1.0, 0.001)
    target = sees_at(of, 5, 1.0, 10) / 2
    repeats, rows = enough(of, target, 10)
    assert repeats is not None
    assert rows == 1
    assert sees_at(of, repeats, 1.0, 10) <= target < sees_at(of, repeats - 1, 1.0, 10)


def test_where_test_rows_are_the_limit_more_of_them_are_asked_for() -> None:
    of = effect(0.01, 1.0)
    repeats, rows = enough(of, sees_at(of, 5, 1.0, 10) / 2, 10)
    assert rows >= 4, "no number of repeats halves what four fifths of the variance is"
    assert repeats is not None


def test_a_seen_effect_is_found_in_four_of_five_runs() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    of, claims = effect(1.0, 0.0), 6
    size = sees_at(of, 5, 1.0, claims)
    draws = rng.normal(size, 1.0, (4000, 5))
    from scipy import stats

    error = draws.std(axis=1, ddof=1) / 5**0.5
    found = (draws.mean(axis=1) / error > stats.t.ppf(1 - 0.025 / claims, 4)).mean()
    assert 0.7 < found < 0.9


def test_a_model_whose_predictions_are_constant_is_named() -> None:
    spoilt = [
        replace(each, result=replace(DONE, output=TrainOutput(9, 0.2, {CONSTANT: 0.2} if each.repeat else {})))
        for each in arm("gan", "S3", -0.3)
    ]
    said = run(spoilt)
    named = "dnn in 4 of 10 trainings"
    assert f"Predicts the same for every row: {named}." in " ".join(verdicts(said)[0].lines)
    [board] = [each for each in boards(said, ["scenarios"]) if any(named in note for note in each.notes)]
    assert f"predicts the same for every row: {named}" in board.notes
    assert not any("same for every row" in line for line in verdicts(run(arm("gan", "S3", 0.0)))[0].lines)


def lacking(generator: str, status: Status, reason: str) -> list[CellResult]:
    return [
        replace(cell, scores={}, result=TaskResult(status, generator, Stage.FIT, reason))
        for scenario in ("S1", "S3")
        for cell in arm(generator, scenario, 0.0)
    ]


def test_a_candidate_that_was_not_measured_is_named_with_its_reason() -> None:
    found = judged(*HELPING, lacking("gan", Status.SKIPPED, "gan is for nominal fields"))
    assert "Not measured: gan (gan is for nominal fields)." in found.lines
    assert "Not measured" not in " ".join(judged(*HELPING).lines)


def test_a_scenario_that_a_model_skips_has_no_answer_and_the_verdict_says_why() -> None:
    skipped = [replace(cell, scenario="S1") for cell in lacking("vae", Status.SKIPPED, "dnn reads no weights")]
    [s3] = [arm("vae", "S3", 0.0)]
    assert "No answer in S1 (dnn reads no weights)." in judged(s3, skipped[: len(s3)]).lines
    assert "No answer" not in " ".join(judged(*HELPING).lines)


def test_where_no_candidate_applies_the_controls_do_not_answer_for_them() -> None:
    found = judged(*COPY, lacking("gan", Status.SKIPPED, "gan is for nominal fields"), made=pools("copy"))
    assert found.lines[0].startswith("log: no candidate applies; ")


def test_no_answer_says_why() -> None:
    found = judged(lacking("gan", Status.FAILED, "ValueError: no luck"))
    assert found.lines == ["log: no answer, as every generator lacks a score of auc: gan (ValueError: no luck)."]
    beside = judged(lacking("gan", Status.FAILED, "ValueError: no luck"), *COPY, made=pools("copy"))
    assert beside.lines == ["log: no answer, as every candidate lacks a score of auc: gan (ValueError: no luck)."]
    out_of_memory = TaskResult(Status.FAILED, "dnn", Stage.FIT, "no memory")
    original = [replace(cell, scores={}, result=out_of_memory) for cell in arm("", "original", 0)]
    told = {"repeats": 5, "scenarios": SCENARIOS, "generators": ROLES, "datasets": DATASETS}
    [broken] = verdicts(results([*original, *HELPING[0]], pools("vae"), **told))
    assert broken.lines == ["log: no answer, as no model has every score of auc on original (no memory)."]
