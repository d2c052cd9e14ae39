"""Whole runs of toy plug-ins in this process: what is done once, what is kept, what a failure costs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
import sqlalchemy as sa
import toys
from ctrbench import Dataset, Published, UserError, leaderboard
from ctrbench.choices import Chosen
from ctrbench.driver import How, Redo, _published, why_again
from ctrbench.executors import Finished, inline
from ctrbench.executors.inline import InlineExecutor
from ctrbench.failures import failures
from ctrbench.ids import TaskKind
from ctrbench.jobs import TrainJob
from ctrbench.limits import Limits
from ctrbench.plan import Task
from ctrbench.registry import Registered, Registry
from ctrbench.results import KILLED_FROM_OUTSIDE, Bookkeeping, PoolOutput, Stage, Status, TaskResult
from ctrbench.running import RunRequest
from ctrbench.store.database import tasks
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.suite import Suite
from ctrbench_datasets.frappe import Frappe
from recording import SUITE, Bench, RunRecorder


@pytest.fixture
def bench(tmp_path: Path, toy_registry: Registry) -> Bench:
    return Bench(tmp_path, toy_registry)


def scores(results: RunResults) -> dict[tuple, float]:
    return {(c.generator, c.scenario, c.model, c.repeat): c.scores["hits"].value for c in results.cells if c.ok}


def with_(**changes) -> Suite:
    return dataclasses.replace(SUITE, **changes)


def test_a_run_fills_every_cell(bench: Bench) -> None:
    _, results = bench.run()
    assert [(c.generator, c.scenario) for c in results.cells] == [
        ("", "original"), ("bootstrap", "S1"), ("bootstrap", "S3"), ("bootstrap", "S5"),
    ]  # fmt: skip
    assert all(cell.ok and "hits" in cell.scores for cell in results.cells)
    assert results.pools[0].scores["same"].value == 200
    assert results.pools[0].scores["same"].baseline == 80
    assert results.pools[0].result.facts == {"source rows": 200, "loss": "nan"}
    assert results.finished is not None


def test_the_same_run_again_does_nothing_and_gives_the_same(bench: Bench) -> None:
    first, before = bench.run()
    second, after = bench.run()
    assert len(first.done) > 0
    assert second.done == []
    assert len(second.found) == len(first.done)
    assert scores(before) == scores(after)


def test_a_new_store_gives_the_same_numbers_bit_for_bit(bench: Bench, tmp_path: Path) -> None:
    _, first = bench.run()
    _, second = Bench(tmp_path / "other", bench.registry).run()
    assert scores(first) == scores(second)
    assert first.pools[0].result.artefacts == second.pools[0].result.artefacts


def test_another_seed_gives_other_numbers(bench: Bench) -> None:
    _, first = bench.run()
    _, second = bench.run(with_(seed=2))
    assert not set(scores(first).values()) & set(scores(second).values())


def test_only_what_is_missing_runs(bench: Bench) -> None:
    bench.run()
    watcher, _ = bench.run(with_(scenarios=("original", "S1", "S2", "S3", "S5")))
    assert watcher.done == [name for name in watcher.done if "/S2/" in name], (
        "the pool and the other scenarios are in the store"
    )
    assert len(watcher.done) == 2  # the training and its one score


def test_a_parameter_changes_only_what_depends_on_it(bench: Bench) -> None:
    bench.run()
    watcher, results = bench.run(with_(models=("rate", "rate[noise=0.5]")))
    assert all("noise" in name for name in watcher.done)
    assert {cell.model for cell in results.cells} == {"rate", "rate[noise=0.5]"}


def test_model_seeds_are_common_to_all_scenarios_and_repeats_differ(bench: Bench) -> None:
    suite = with_(generators=("bootstrap", "negatives"), models=("rate[noise=0]",), repeats=2)
    _, results = bench.run(suite)
    originals = [c.scores["hits"].value for c in results.cells if c.scenario == "original"]
    assert originals[0] == originals[1], "without noise the model seed does not matter"
    assert len(scores(results)) == 2 + 2 * 3 + 2 * 2  # negatives-only pools cannot serve S1


def test_the_same_data_under_other_model_seeds_shows_what_no_effect_looks_like(bench: Bench) -> None:
    _, results = bench.run(with_(scenarios=("original", "original_again"), models=("rate", "rate[noise=0]"), repeats=2))
    found = {(c.scenario, c.model, c.repeat): c.scores["hits"].value for c in results.cells}
    assert found["original", "rate[noise=0.0]", 0] == found["original_again", "rate[noise=0.0]", 0]
    noisy = [found[name, "rate", repeat] for name in ("original", "original_again") for repeat in (0, 1)]
    assert len(set(noisy)) == 4, "neither repeats nor the two arms share a model seed"
    [board] = leaderboard.boards(results, ["scenarios"])
    assert len(board.rows) == 2


def test_equivalent_generators_share_one_pool_and_its_trainings(bench: Bench) -> None:
    watcher, results = bench.run(with_(generators=("bootstrap", "twin")))
    assert len([name for name in watcher.done if name.startswith("pool/")]) == 1
    assert len([name for name in watcher.done if name.startswith("train/")]) == 4
    assert [pool.same_as for pool in results.pools] == ["", "bootstrap"]
    found = scores(results)
    assert found["bootstrap", "S3", "rate", 0] == found["twin", "S3", "rate", 0]


def test_a_twin_alone_gives_the_numbers_of_its_equivalent(bench: Bench, tmp_path: Path) -> None:
    _, alone = bench.run(with_(generators=("twin",)))
    _, other = Bench(tmp_path / "other", bench.registry).run(with_(generators=("bootstrap",)))
    assert scores(alone)["twin", "S3", "rate", 0] == scores(other)["bootstrap", "S3", "rate", 0]
    assert alone.pools[0].same_as == "bootstrap"


@pytest.mark.parametrize(
    ("how", "status", "stage", "reason"),
    [
        ("raise", Status.FAILED, "fit", "ValueError: no luck today"),
        ("surrogate", Status.FAILED, "fit", r"ValueError: a file called \udc80"),
        ("skip", Status.SKIPPED, "fit", "not for logs of fruit"),
        ("exit", Status.FAILED, "fit", "SystemExit: 3"),
        ("memory", Status.OUT_OF_MEMORY, "fit", "MemoryError: too much fruit"),
        ("code 0", Status.FAILED, "sample", "holds codes of 'user' outside 1 … 6"),
        ("schema", Status.FAILED, "sample", "differ in ['hour', 'item']"),
    ],
)
def test_a_failed_pool_is_one_failure_named_by_all_its_cells(
    bench: Bench, how: str, status: Status, stage: str, reason: str
) -> None:
    _, results = bench.run(with_(generators=("bootstrap", f'misbehaves[how="{how}"]')))
    bad = [cell for cell in results.cells if cell.generator.startswith("misbehaves")]
    assert len(bad) == 3
    for cell in bad:
        assert (cell.result.status, cell.result.stage) == (status, stage)
        assert reason in cell.result.reason
        assert cell.result.plugin.startswith("misbehaves (toys")
    assert len(scores(results)) == 4, "everything else ran"
    assert len(failures(results)) == (0 if status is Status.SKIPPED else 1)


def test_predictions_that_are_not_numbers_fail_their_cell_only(bench: Bench) -> None:
    _, results = bench.run(with_(models=("rate", "nan_model")))
    bad = [cell for cell in results.cells if cell.model == "nan_model"]
    assert all("not finite" in cell.result.reason and cell.result.stage == "predict" for cell in bad)
    assert len(scores(results)) == 4


def test_a_pool_that_lacks_a_class_is_topped_up_and_then_skips_the_scenarios_that_need_it(bench: Bench) -> None:
    _, results = bench.run(with_(generators=("negatives",)))
    assert results.pools[0].result.output_as(PoolOutput).top_ups == 9 * 200
    [skipped] = [cell for cell in results.cells if not cell.ok]
    assert (skipped.scenario, skipped.result.status) == ("S1", Status.SKIPPED)
    assert "the pool has 0 positives" in skipped.result.reason
    assert skipped.result.plugin.startswith("negatives"), "it is the generator's doing, not the model's"


@pytest.mark.parametrize("exits", ["false", "true"])
def test_a_generator_that_cannot_tell_what_it_equals_is_itself(bench: Bench, exits: str) -> None:
    _, results = bench.run(with_(generators=(f"confused[exits={exits}]",)))
    assert len(scores(results)) == 4
    assert results.pools[0].same_as == ""


def test_a_data_set_that_leaves_when_asked_is_refused_in_one_line(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"availability\(\) raised SystemExit: 4"):
        bench.run(with_(datasets=("absent_log[leaves=true]",)))


def test_reports_that_are_no_numbers_cost_nothing(bench: Bench) -> None:
    _, results = bench.run(with_(generators=("misbehaves[how=report]",)))
    assert len(scores(results)) == 4


def test_a_good_result_outlives_a_later_failure_of_the_same_task(bench: Bench) -> None:
    _, before = bench.run()
    store = Store.open(str(bench.folder / "results.db"))
    key = next(iter(store_keys(store)))
    store.keep(before.run, "x", TaskKind.TRAIN, key, TaskResult(Status.TIMED_OUT, "m"))
    assert store.find(key).ok


def store_keys(store: Store) -> list[str]:
    return [row["key"] for row in store.database.read(sa.select(tasks.c.key))]


def test_a_longer_limit_gives_a_timed_out_task_another_chance() -> None:
    late = TaskResult(Status.TIMED_OUT, "m", bookkeeping=Bookkeeping(time_limit=10.0))
    assert not why_again(late, Redo.NONE, Limits(10.0))
    assert not why_again(late, Redo.NONE, Limits(5.0))
    assert why_again(late, Redo.NONE, Limits(20.0))
    assert why_again(late, Redo.NONE, Limits())


def test_a_higher_limit_gives_a_stage_and_a_big_eater_another_chance() -> None:
    noted = Bookkeeping(time_limit=100.0, stage_limit=10.0, memory_limit=10**9)
    late = TaskResult(Status.TIMED_OUT, "m", Stage.FIT, bookkeeping=noted)
    assert not why_again(late, Redo.NONE, Limits(100.0, {Stage.FIT: 10.0, Stage.SAMPLE: 99.0}))
    assert why_again(late, Redo.NONE, Limits(100.0, {Stage.FIT: 20.0}))
    big = TaskResult(Status.OUT_OF_MEMORY, "m", Stage.FIT, bookkeeping=noted)
    assert not why_again(big, Redo.NONE, Limits(memory=10**9))
    assert why_again(big, Redo.NONE, Limits(memory=2 * 10**9))
    assert why_again(big, Redo.NONE, Limits())


def test_a_worker_that_somebody_else_killed_is_no_fault_of_the_method() -> None:
    killed = TaskResult(Status.CRASHED, "m", Stage.FIT, bookkeeping=KILLED_FROM_OUTSIDE)
    assert why_again(killed, Redo.NONE, Limits())
    assert not why_again(TaskResult(Status.CRASHED, "m", Stage.FIT), Redo.NONE, Limits())


def test_a_method_that_the_disk_had_no_room_for_is_tried_again(bench: Bench) -> None:
    for how, again in (("full disk", ["pool"]), ("raise", [])):
        suite = with_(generators=(f"misbehaves[how={how!r}]",))
        bench.run(suite)
        watcher, _ = bench.run(suite)
        assert [name.split("/")[0] for name in watcher.done] == again
        assert any("had no room" in note for note in watcher.notes) == bool(again)


def test_failures_are_kept_and_tried_again_only_on_request(bench: Bench) -> None:
    suite = with_(generators=("misbehaves",))
    bench.run(suite)
    watcher, _ = bench.run(suite)
    assert watcher.done == []
    watcher, _ = bench.run(suite, Redo.FAILED)
    assert [name.split("/")[0] for name in watcher.done] == ["pool"]


def test_an_equal_task_that_failed_is_not_done_twice_in_one_run(bench: Bench) -> None:
    suite = with_(generators=(), models=("a=nan_model", "b=nan_model"), scenarios=("original",))
    for redo in (Redo.FAILED, Redo.ALL):
        watcher, results = bench.run(suite, redo)
        assert [cell.result.status for cell in results.cells] == [Status.FAILED, Status.FAILED]
        assert sum(name.startswith("train/") for name in watcher.done) == 1


def test_a_repeat_is_whole_before_the_next_one_begins(bench: Bench) -> None:
    watcher, _ = bench.run(with_(repeats=3))
    repeats = [
        name.split("/")[4 if name.startswith("train/") else 3] for name in watcher.done if name[:4] in ("trai", "pool")
    ]
    assert repeats == sorted(repeats)
    assert {name.split("/")[0] for name in watcher.done[1:3]} == {"pool", "train"}


def test_what_is_finished_is_stored_before_another_task_begins(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run(with_(generators=("bootstrap", "misbehaves[how=interrupt]")))
    with closing(Store.open(str(bench.folder / "results.db"))) as store:
        [pool] = store.database.read(sa.select(tasks.c.plugin).where(tasks.c.kind == TaskKind.POOL))
    assert pool["plugin"].startswith("bootstrap")


def test_stored_results_however_many_keep_no_finished_one_waiting(bench: Bench) -> None:
    bench.run(with_(repeats=3))
    said: list[How] = []

    class Wide(InlineExecutor):
        """Takes all that there is."""

        slots = 100

    class Log(RunRecorder):
        """Keeps in which order results came."""

        def ended(self, task: Task, result: TaskResult, how: How) -> None:
            said.append(how)

    with (
        closing(Store.open(str(bench.folder / "results.db"))) as store,
        mock.patch.object(inline, "InlineExecutor", Wide),
    ):
        again = RunRequest(with_(repeats=3, models=("rate[noise=0.5]", "rate")), bench.registry, executor="inline")
        again.execute(store, "", Log())
    assert said.count("stored") > 20
    assert said.index("done") < 5, "the second task of the grid, behind its data, a pool and the pool's score"


def test_fresh_does_everything_anew(bench: Bench) -> None:
    first, _ = bench.run()
    again, _ = bench.run(redo=Redo.ALL)
    assert len(again.done) == len(first.done)


def test_a_lost_artefact_is_made_again(bench: Bench) -> None:
    _, before = bench.run()
    digest = before.pools[0].result.artefacts["pool"]
    next((bench.folder / "results-artefacts").rglob(f"{digest}.parquet")).write_bytes(b"damaged")
    watcher, after = bench.run()
    assert [name.split("/")[0] for name in watcher.done] == ["pool"]
    assert scores(before) == scores(after)


class Unlucky(InlineExecutor):
    """Every training crashes."""

    def submit(self, task, job, timeout) -> None:
        if isinstance(job, TrainJob):
            self._events.append(Finished(task, TaskResult(Status.CRASHED, "m", reason="killed")))
        else:
            super().submit(task, job, timeout)


def test_lost_predictions_that_cannot_be_made_again_are_a_failure_that_the_same_command_mends(
    bench: Bench,
) -> None:
    _, before = bench.run()
    for cell in before.cells:
        for digest in cell.result.artefacts.values():
            (bench.folder / "results-artefacts" / digest[:2] / f"{digest}.parquet").unlink(missing_ok=True)
    _, unlucky = dataclasses.replace(bench, executor=Unlucky).run()
    assert scores_or_failures(unlucky) == {"failed"}
    assert failures(unlucky)
    assert leaderboard.boards(unlucky)
    _, after = bench.run()
    assert scores(after) == scores(before)


def scores_or_failures(results: RunResults) -> set[str]:
    return {str(r.status) for cell in results.cells for r in cell.failed_scores.values()}


def test_the_budget_is_applied_and_stamped(bench: Bench) -> None:
    bench.run()
    watcher, results = bench.run(with_(budget=0.1))
    assert [name for name in watcher.done if name.startswith("pool/")], "one step is another pool than ten"
    assert any("budget 0.1" in line for line in leaderboard.remarks(results))


def test_a_data_set_that_cannot_be_loaded_is_the_users_to_mend(bench: Bench) -> None:
    with pytest.raises(UserError, match="the download failed; give it by hand"):
        bench.run(with_(datasets=("absent_log",)))


def test_all_leaves_out_what_is_not_at_hand_and_says_so(bench: Bench) -> None:
    watcher, results = bench.run(with_(datasets=("all",)))
    assert list(results.info.datasets) == ["toy_log"]
    assert any("absent_log: not on this machine" in line for line in leaderboard.remarks(results))
    assert any("absent_log" in note for note in watcher.notes)


@pytest.mark.parametrize("name", ["rotten_log", "rotten_log[early=true]"])
def test_a_data_set_with_a_bug_is_a_failure_that_stops_nothing_else(bench: Bench, name: str) -> None:
    _, results = bench.run(with_(datasets=(name, "toy_log")))
    assert list(results.info.datasets) == ["toy_log"]
    assert len(scores(results)) == 4
    [said] = [line for line in leaderboard.remarks(results) if "rotten_log (toys" in line]
    assert "IndexError: a bug of its author" in said


def test_listeners_hear_of_each_cell_once(bench: Bench) -> None:
    toys.heard.clear()
    bench.run(with_(generators=("bootstrap", "misbehaves")))
    assert sorted((c.generator, c.scenario) for c in toys.heard) == sorted(
        [("", "original"), *((g, s) for g in ("bootstrap", "misbehaves") for s in ("S1", "S3", "S5"))]
    )


def test_two_runs_on_one_store_keep_apart(bench: Bench) -> None:
    _, first = bench.run()
    bench.run(with_(seed=2))
    store = Store.open(str(bench.folder / "results.db"))
    assert len(store.runs()) == 2
    assert scores(store.load_run(first.run)) == scores(first)


def test_a_data_set_whose_published_figures_cannot_be_had_has_none() -> None:
    @dataclass(frozen=True)
    class Rotten(toys.ToyLog):
        """A log whose author's table of figures goes wrong."""

        name: ClassVar[str] = "rotten"
        table: Any = None

        def published(self) -> Sequence[Published]:
            return sys.exit(3) if self.table is None else [self.table]

    def said(plugin: Dataset) -> tuple[Sequence[Published], str]:
        notes: list[str] = []
        chosen = Chosen(Registered("dataset", "rotten", type(plugin), "toys", "1.0"), plugin, "rotten")
        return _published(chosen, notes.append), " ".join(notes)

    assert said(Rotten()) == ([], "rotten: no figures of others: its published() raised SystemExit: 3")
    three = ("g", "S5", "m")
    odd = {
        "(generator, scenario, model)": Published("t", "s", "auc", {("g",): 1.0}),
        "is nan": Published("t", "s", "auc", {three: float("nan")}),
        "is 1e+308": Published("t", "s", "auc", {three: 1e308}),
        "is inf": Published("t", "s", "auc", {three: 1.0}, deviations={three: float("inf")}),
        "its title is": Published(Path("t"), "s", "auc", {}),
        "has no attribute 'items'": Published("t", "s", "auc", None),
        "not a Published": {"title": "t"},
    }
    for what, table in odd.items():
        found, note = said(Rotten(table=table))
        assert found == []
        assert what in note
    [told], _ = said(Rotten(table=Published("a \udc80", "s", "auc", {("g", "S5", "\udc80"): np.float64(1)})))
    assert told == Published(r"a \udc80", "s", "auc", {("g", "S5", r"\udc80"): 1.0})
    assert len(said(Frappe())[0][1].figures) == 108


def test_a_pool_that_failed_is_told_of_where_no_cell_draws_from_it(bench: Bench) -> None:
    _, results = bench.run(with_(generators=("misbehaves", "bootstrap"), scenarios=("original",), repeats=2))
    [failed] = failures(results)
    assert (failed.unit, len(failed.cost)) == ("pool", 2)
    assert str(failed).endswith("(2 pools)")
    assert failed.cost[1] == "toy_log / misbehaves / repeat 2"


def test_the_cells_that_a_failure_cost_are_told_apart_by_their_model_seed(bench: Bench) -> None:
    _, results = bench.run(with_(models=("rate", "nan_model"), scenarios=("original",), model_seeds=2))
    [failed] = failures(results)
    assert [name.rpartition(" / ")[2] for name in failed.cost] == ["model seed 1", "model seed 2"]
