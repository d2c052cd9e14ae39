"""What a run ends with: within the width, no number cut, the same whether or not it is a terminal."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from ctrbench import MethodRole, answer
from ctrbench.reading import Results
from ctrbench.results import GeneratorInfo, MetricInfo, ScenarioInfo
from handmade import cell, pool, results
from test_verdict import COPY, HELPING, HURTING, ROLES, arm, pools, run

LONG = "fuxictr[model=DCNv2, embedding_dim=16, hidden_units=(400, 400)]"
TOLD = ROLES | {LONG: GeneratorInfo(MethodRole.CANDIDATE)}
NOISY = arm(LONG, "S1", 0.0, 9.0), arm(LONG, "S3", 0.0, 9.0)
RUN = run(*HELPING, *HURTING, *COPY, *NOISY, made=[*pools("vae", True), *pools("copy")], generators=TOLD)


@pytest.mark.parametrize("width", [64, 80, 110])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, answer.answer(RUN, width=width).splitlines())) <= width


def test_numbers_are_whole_however_narrow_it_is() -> None:
    numbers = re.findall(r"[+-]0\.\d{4} ±0\.\d{4}", answer.answer(RUN, width=110))
    assert len(numbers) == 4
    assert re.findall(r"[+-]0\.\d{4} ±0\.\d{4}", answer.answer(RUN, width=64)) == numbers


def test_a_bound_has_the_digits_in_the_board_that_the_verdict_gives_it() -> None:
    known = run(arm("vae", "S1", 0.0, 0.1), arm("vae", "S3", 0.0, 0.1))
    [bound] = re.findall(r"no effect > ±(0\.\d+)", answer.answer(known, width=110))
    [verdict] = Results(known).verdict
    assert verdict.generators[0].says == f"no effect larger than ±{bound}"
    assert float(bound) > 0


def test_a_terminal_sees_the_same_letters() -> None:
    bold = answer.answer(RUN, colour=True)
    assert bold != answer.answer(RUN)
    assert re.sub(r"\x1b\[\d+m", "", bold) == answer.answer(RUN)


def test_controls_stand_below_candidates() -> None:
    said = answer.answer(RUN, width=110).splitlines()
    place = [line.split()[0] for line in said if line.strip()]
    assert place.index("vae") < place.index("gan") < place.index("controls:") < place.index("copy")


def test_a_label_is_shortened_where_it_is_unique() -> None:
    assert "fuxictr[" not in answer.answer(RUN, width=110)
    two = TOLD | {"fuxictr": GeneratorInfo(MethodRole.CANDIDATE)}
    both = run(*HELPING, arm(LONG, "S1", 0.0), arm("fuxictr", "S1", 0.0), generators=two)
    assert "fuxictr[" in answer.answer(both, width=110)


def test_a_row_of_a_collapsed_generator_says_what_it_does_all_the_same() -> None:
    made = [*pools("vae", click_rate=0.0), *pools("gan", click_rate=0.0)]
    said = answer.answer(run(*HELPING, *HURTING, made=made), width=110)
    assert re.findall(r"^(\w+) +(\w+, collapsed) ", said, re.MULTILINE) == [
        ("vae", "helps, collapsed"),
        ("gan", "hurts, collapsed"),
    ]


def test_in_brief_many_generators_take_forty_lines_at_most() -> None:
    names = [f"generator_{number}" for number in range(22)]
    told = {name: GeneratorInfo(MethodRole.CONTROL if name > "generator_2" else MethodRole.CANDIDATE) for name in names}
    parts = [arm(name, s, 0.001 * n * (-1) ** len(s)) for n, name in enumerate(names) for s in ("S1", "S3")]
    made = [each for name in names for each in pools(name, True, variety=0.01)]
    of = run(*parts, *COPY, made=made, generators=ROLES | told)
    brief, whole = (answer.answer(of, brief=short) for short in (True, False))
    assert brief.count("\n") <= 40
    assert "9 more behind them" in brief
    assert all(f"\n{name} " in whole for name in names)
    controls = brief.partition("\ncontrols:")[2].partition("\n±")[0]
    assert len(re.findall(r"^\w", controls, re.MULTILINE)) == 5, "candidates take the room"


def test_in_brief_the_best_control_is_among_the_leading_however_few_places_there_are() -> None:
    few = run(*HELPING, *COPY, made=[*pools("vae"), *pools("copy")], generators=TOLD)
    for of in (few, RUN):
        leading = answer.answer(of, brief=True).partition("\nleading")[2]
        assert re.search(r"^copy in S\d", leading, re.MULTILINE), leading


def test_in_brief_several_data_sets_have_their_verdicts_alone() -> None:
    two = RUN.info.datasets | {"other": RUN.info.datasets["log"]}
    cells = [*RUN.cells, *(replace(each, dataset="other") for each in RUN.cells)]
    of = replace(RUN, cells=cells, info=replace(RUN.info, datasets=two))
    assert "other: synthetic rows help" in answer.answer(of, brief=True)
    assert "leading" not in answer.answer(of, brief=True)
    assert answer.answer(of).count("leading") == 2


def test_python_and_json_have_the_same_verdict() -> None:
    results = Results(RUN)
    [found] = results.verdict
    told = json.loads(results.leaderboards(style="json"))["verdicts"]
    assert told[0]["lines"] == list(found.lines)
    assert told[0]["outcome"] == "helps"
    assert told[0]["generators"][0]["role"] == "candidate"
    assert all(line in results._repr_html_() for line in found.lines)
    assert found.lines[0][:40] in results.answer()


def test_a_notebook_shows_small_p_values_and_nothing_where_nothing_is_known() -> None:
    gains = [0.03 + repeat * 1e-4 for repeat in range(5)]
    cells = [cell("", "original", "m", 0.8, repeat) for repeat in range(5)]
    cells += [cell("gan", "S3", "m", 0.8 + gain, repeat) for repeat, gain in enumerate(gains)]
    cells += [cell("gan", "S5", "m", None if repeat else 0.7, repeat) for repeat in range(5)]
    shown = Results(results(cells, [pool("gan", 1.0)], repeats=5))._repr_html_()
    assert re.search(r"<td>\d(\.\d)?e-\d\d</td>", shown)
    assert "<td>0.00000</td>" not in shown
    assert "NA" not in shown
    equal = [cell("", "again", "m", 0.8 - 1e-9, repeat) for repeat in range(5)]
    known = {name: ScenarioInfo("", True) for name in ("original", "again")}
    assert "-0.00000" not in Results(results([*cells[:5], *equal], [], repeats=5, scenarios=known))._repr_html_()


def test_a_run_that_did_not_end_says_so() -> None:
    assert "it did not finish" in answer.answer(replace(RUN, finished=None))


def test_a_run_of_pools_alone_ends_with_what_was_found_of_them() -> None:
    of = results([], [pool("vae", 4.0)], prediction_metrics={})
    said = Results(of, "x.db").answer()
    assert "vae" in said
    assert "privacy" in said


def test_a_run_that_scored_nothing_ends_with_what_it_cost() -> None:
    trained = results([cell("", "original", "m", 0.8)], [], prediction_metrics={})
    for of in (trained, results([], [])):
        assert Results(of).answer().startswith("log: time and memory of a task")


def test_without_a_metric_of_predictions_nothing_is_found() -> None:
    of = results([cell("", "original", "m", 0.8), cell("vae", "S3", "m", 0.8)], [], prediction_metrics={})
    assert Results(of, "x.db").findings == []


def test_where_no_side_of_a_metric_is_better_another_one_is_named() -> None:
    metrics = {"auc": MetricInfo("higher", ""), "calibration_ratio": MetricInfo("neither", "")}
    said = answer.answer(run(*HELPING, prediction_metrics=metrics), "calibration_ratio", width=110)
    assert said.startswith(
        "no verdict in calibration_ratio, of which neither more nor less is better; this run has auc\n"
    )
    leading = run(*HELPING, prediction_metrics=dict(reversed(metrics.items())))
    assert answer.answer(leading).startswith("no verdict in calibration_ratio, of which ")
    alone = run(*HELPING, prediction_metrics={"calibration_ratio": MetricInfo("neither", "")})
    assert answer.answer(alone, "calibration_ratio", width=110).startswith(
        "no verdict: this run has no metric for which"
    )


def test_the_last_line_of_a_run_counts_model_seeds_as_its_tables_do() -> None:
    several = run(*HELPING, model_seeds=3)
    stated = f"{several.info.repeats} repeats of 3 model seeds"
    assert stated in " ".join(answer.answer(several, width=110).split())
    assert "model seeds" not in answer.answer(run(*HELPING), width=110).splitlines()[-2]
