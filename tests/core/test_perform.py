"""Tasks done one by one in this process: what they keep, how they end, and whom a failure names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
import toys
from ctrbench import Context, Generator, Sampler, SyntheticMetric, Table, environment
from ctrbench.contract import ContractError
from ctrbench.driver import Redo, why_again
from ctrbench.endings import failure
from ctrbench.errors import Skip, UserError
from ctrbench.interfaces import Missing, Score
from ctrbench.jobs import Compute, DataJob, DataRef, Job, PluginCall, PoolJob, PoolRef, ScorePoolJob, TrainJob, key
from ctrbench.limits import Limits
from ctrbench.perform import Stages, Workspace, perform
from ctrbench.registry import Registered, Registry, load_registry
from ctrbench.results import CONSTANT, LACKS, DataOutput, PoolOutput, Stage, Status, TaskResult, TrainOutput
from ctrbench.scenarios import BUILT_IN, ORIGINAL, ClassShares, Scenario
from ctrbench.store.artefacts import Artefacts
from ctrbench_models.logistic import Logistic

S1, S3, S5 = BUILT_IN[1], BUILT_IN[3], BUILT_IN[5]


class Bench:
    """A folder in which toy tasks are done."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.artefacts, self.checkpoints, self.registry = Artefacts(folder / "artefacts"), folder / "points", registry
        self.entered: list[Stage] = []
        self.loaded = self.do(DataJob(self.call("dataset", "toy_log"), "", 1))
        self.data = DataRef(self.loaded.output_as(DataOutput).fingerprint, self.loaded.artefacts)

    def call(self, kind: Any, name: str, **parameters: object) -> PluginCall:
        registered = self.registry.get(kind, name)
        return PluginCall.of(registered, registered.plugin(**parameters))

    def do(self, job: Job) -> TaskResult:
        self.entered.clear()
        return perform(job, Workspace(self.artefacts, self.checkpoints, entered=self.entered.append))

    def pool(self, name: str = "bootstrap", **parameters: object) -> TaskResult:
        return self.do(PoolJob(self.call("generator", name, **parameters), self.data, 7, Compute(), (0.5, 0.5)))

    def train(self, scenario: Scenario, pool: TaskResult | None = None, model: str = "rate") -> TaskResult:
        made = self.ref(pool) if pool else None
        return self.do(TrainJob(self.call("model", model), self.data, made, scenario, 3, 4, Compute()))

    @staticmethod
    def ref(pool: TaskResult) -> PoolRef:
        return PoolRef(pool.output_as(PoolOutput).fingerprint, pool.artefacts["pool"], pool.plugin)


@pytest.fixture
def bench(tmp_path: Path, toy_registry: Registry) -> Bench:
    return Bench(tmp_path, toy_registry)


def test_loading_keeps_the_splits_and_says_what_they_are(bench: Bench) -> None:
    output = bench.loaded.output_as(DataOutput)
    assert output.rows == {"train": 200, "valid": 80, "test": 100}
    train = bench.artefacts.get_table(bench.loaded.artefacts["train"])
    assert output.click_rate["train"] == train.click_rate
    assert bench.loaded.inputs.seed == 1


def test_a_pool_has_as_many_rows_as_train_and_repeats_bit_for_bit(bench: Bench) -> None:
    first, again = bench.pool(), bench.pool()
    output = first.output_as(PoolOutput)
    assert (output.rows, output.top_ups) == (200, 0)
    assert first.artefacts == again.artefacts
    assert first.curves["loss"][0] == (1, 1.0)
    assert bench.entered == [Stage.IMPORT, Stage.READ, Stage.FIT, Stage.SAMPLE, Stage.KEEP]
    assert first.seconds.keys() == {str(stage) for stage in bench.entered}
    assert first.peak_memory > 10e6


def test_a_pool_that_lacks_a_class_is_extended_to_ten_times_train_and_no_further(bench: Bench) -> None:
    output = bench.pool("negatives").output_as(PoolOutput)
    assert (output.rows, output.top_ups, output.click_rate) == (2000, 1800, 0.0)
    positives = bench.artefacts.get_table(bench.loaded.artefacts["train"]).targets.sum()
    assert output.facts[LACKS] == f"{round(positives / 2)} positives"
    assert LACKS not in bench.pool().facts


def test_a_pool_that_is_short_of_a_few_rows_draws_few_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrbench.perform.LEAST_TOP_UP", 5)
    call = bench.call("generator", "bootstrap")
    found = [bench.do(PoolJob(call, bench.data, seed, Compute(), (1.0, 1.0))) for seed in range(8)]
    train = bench.artefacts.get_table(bench.loaded.artefacts["train"]).targets
    for each in found:
        pool = bench.artefacts.get_table(each.artefacts["pool"]).targets
        assert all(np.bincount(pool) >= np.bincount(train))
        assert each.output_as(PoolOutput).top_ups == len(pool) - 200 < 200
    assert any(each.output_as(PoolOutput).top_ups for each in found), "by chance some class is short"


@pytest.mark.parametrize(
    ("how", "status", "stage", "reason"),
    [
        ("raise", Status.FAILED, Stage.FIT, "ValueError: no luck today"),
        ("skip", Status.SKIPPED, Stage.FIT, "not for logs of fruit"),
        ("exit", Status.FAILED, Stage.FIT, "SystemExit: 3"),
        ("memory", Status.OUT_OF_MEMORY, Stage.FIT, "MemoryError: too much fruit"),
        ("flawed message", Status.FAILED, Stage.FIT, "FlawedError"),
        ("code 0", Status.FAILED, Stage.SAMPLE, "holds codes of 'user' outside 1 … 6"),
        ("details", Status.FAILED, Stage.SAMPLE, "RuntimeError: not for you"),
    ],
)
def test_whatever_a_plug_in_does_is_a_result_that_names_it_and_its_stage(
    bench: Bench, how: str, status: Status, stage: Stage, reason: str
) -> None:
    result = bench.pool("misbehaves", how=how)
    assert (result.status, result.stage, result.artefacts) == (status, stage, {})
    assert reason in result.reason
    assert result.plugin.startswith("misbehaves (toys")
    assert bool(result.traceback) == (how not in ("skip", "code 0")), "what the contract says needs no traceback"


def test_a_working_directory_that_somebody_removes_is_nobodys_failure(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert bench.pool("bootstrap").ok
    assert bench.pool("misbehaves", how="wander").ok
    assert environment.describe("cpu", 1, {}).working_directory == ""


def test_ctrl_c_passes_through(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.pool("misbehaves", how="interrupt")


def test_a_plug_in_that_is_not_to_be_found_any_more_fails_at_its_import(bench: Bench) -> None:
    gone = replace(bench.call("generator", "bootstrap"), module="no_such_module")
    result = bench.do(PoolJob(gone, bench.data, 7, Compute(), (0.5, 0.5)))
    assert (result.status, result.stage) == (Status.FAILED, Stage.IMPORT)
    assert "no_such_module" in result.reason


def test_training_keeps_probabilities_of_valid_and_test_and_the_size_of_its_table(bench: Bench) -> None:
    result = bench.train(S1, bench.pool())
    train = bench.artefacts.get_table(bench.loaded.artefacts["train"])
    extra = round(0.25 * int(train.targets.sum()))
    output = result.output_as(TrainOutput)
    assert output.rows == 200 + extra
    assert output.click_rate == pytest.approx((train.targets.sum() + extra) / (200 + extra))
    assert [len(bench.artefacts.get_array(result.artefacts[name])) for name in ("valid", "test")] == [80, 100]
    assert bench.train(S5, bench.pool()).output_as(TrainOutput).rows == 200
    assert bench.train(ORIGINAL).artefacts == bench.train(ORIGINAL).artefacts


def test_a_pool_without_positives_is_skipped_by_what_needs_some_and_serves_where_none_are_drawn(bench: Bench) -> None:
    pool = bench.pool("negatives")
    skipped = bench.train(S1, pool)
    assert (skipped.status, skipped.stage) == (Status.SKIPPED, Stage.COMPOSE)
    assert skipped.plugin.startswith("negatives (toys")
    assert "the pool has 0 positives" in skipped.reason
    assert bench.train(S3, pool).ok


def test_a_method_that_replaces_the_clock_does_not_change_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages()
    with stages(Stage.FIT):
        monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    assert 0 <= stages.seconds["fit"] < 60


@pytest.mark.parametrize("kind", [Skip, UserError, ContractError])
def test_an_exception_that_says_nothing_is_told_by_its_class_and_line(kind: type[Exception]) -> None:
    told = []
    for said in ("mend it", " \n"):
        try:
            raise kind(said)
        except Exception as error:
            told.append(failure(error, Stage.FIT))
    assert [result.reason for result in told] == ["mend it", kind.__name__]
    assert [result.users_mistake for result in told] == [kind is UserError, False]
    assert [bool(result.traceback) for result in told] == [False, True]


def test_predictions_that_are_no_probabilities_are_the_models_failure(bench: Bench) -> None:
    failed = bench.train(ORIGINAL, model="nan_model")
    assert (failed.status, failed.stage) == (Status.FAILED, Stage.PREDICT)
    assert failed.plugin.startswith("nan_model (toys")
    assert not failed.artefacts


def test_a_model_without_weights_skips_a_scenario_that_asks_for_them(bench: Bench) -> None:
    skipped = bench.train(Scenario("weighted", class_weight="balanced"))
    assert (skipped.status, skipped.reason) == (
        Status.SKIPPED, "rate cannot weight rows, as scenario weighted asks",
    )  # fmt: skip


def test_a_model_that_cannot_go_on_skips_a_scenario_that_asks_for_it(bench: Bench) -> None:
    first = bench.train(Scenario("first", synthetic="pool", order="synthetic first"), bench.pool())
    assert (first.status, first.stage) == (Status.SKIPPED, Stage.FIT)
    assert first.reason == "rate cannot be trained on synthetic rows first, and on real ones then"


def test_the_model_itself_chooses_among_the_pools_rows(bench: Bench) -> None:
    scenario = Scenario("curated", real=ClassShares(), synthetic=ClassShares(0.25, 0.25), plausible=0.5)
    made = bench.train(scenario, bench.pool())
    plain = bench.train(replace(scenario, plausible=1.0), bench.pool())
    assert made.output_as(TrainOutput) == plain.output_as(TrainOutput)
    assert made.seconds["fit"] > 0
    too_many = replace(scenario, synthetic=ClassShares(1, 1))
    skipped = bench.train(too_many, bench.pool())
    assert (skipped.status, skipped.stage) == (Status.SKIPPED, Stage.COMPOSE)
    assert "the pool has" in skipped.reason


def test_what_a_model_learns_of_the_click_rate_counts_the_weights(bench: Bench) -> None:
    train = bench.artefacts.get_table(bench.loaded.artefacts["train"])
    heavy = Scenario("heavy", synthetic=ClassShares(positives=0.5), synthetic_weight=3)
    assert bench.train(heavy, bench.pool()).reason == "rate cannot weight rows, as scenario heavy asks"
    call = PluginCall.of(load_registry().get("model", "logistic"), Logistic())
    job = TrainJob(call, bench.data, bench.ref(bench.pool()), heavy, 3, 4, Compute())
    positives, extra = train.targets.sum(), round(0.5 * train.targets.sum())
    rate = (positives + 3 * extra) / (len(train) + 3 * extra)
    assert bench.do(job).output_as(TrainOutput).click_rate == pytest.approx(rate)


def test_of_a_share_of_train_nobody_sees_the_rest(bench: Bench) -> None:
    few = bench.do(DataJob(bench.call("dataset", "toy_log"), "", 1, 0.1))
    output = few.output_as(DataOutput)
    assert output.rows == {"train": 20, "valid": 80, "test": 100}
    bench.data = DataRef(output.fingerprint, few.artefacts)
    assert bench.pool().output_as(PoolOutput).rows == 20
    assert bench.train(S5, bench.pool()).output_as(TrainOutput).rows == 20


def test_a_metric_of_a_pool_sees_as_many_of_its_rows_as_train_has(bench: Bench) -> None:
    made = bench.pool("negatives")
    pool = PoolRef(made.output_as(PoolOutput).fingerprint, made.artefacts["pool"], made.plugin)
    job = ScorePoolJob(bench.call("metric", "same"), bench.data, pool, 5)
    assert bench.do(job).output_as(Score).value == 200


@dataclass(frozen=True)
class Late(Generator):
    """Shows its first rows to whoever looks, and writes into rows that it has returned."""

    name: ClassVar[str] = "late"
    spoils: Annotated[bool, "whether its details do"] = False

    def fit(self, train: Table, *, seed: int, context: Context) -> LateSampler:
        """Fit it."""
        return LateSampler(train, self.spoils)


class LateSampler(Sampler):
    def __init__(self, train: Table, spoils: bool) -> None:
        self.train, self.spoils, self.made = train, spoils, []

    def sample(self, rows: int, *, seed: int) -> Table:
        table = self.train.take(np.arange(rows) % len(self.train))
        table.labels[:] = 0
        table.rows["user"] = np.int32(2 if self.made else 1)
        self.made.append(table)
        return table

    @property
    def details(self) -> dict[str, float]:
        if self.spoils:
            self.made[-1].labels[:] = 7
        return {}


@dataclass(frozen=True)
class Later(SyntheticMetric):
    """The share of rows that were drawn later."""

    name: ClassVar[str] = "later"
    aspect: ClassVar[Any] = "privacy"

    def score(self, synthetic: Table, **_: Any) -> Score:
        """Score it."""
        return Score(float((synthetic.rows["user"] == 2).mean()))


def other(kind: Any, plugin: Any) -> PluginCall:
    return PluginCall.of(Registered(kind, plugin.name, type(plugin), "toys", "1"), plugin)


def test_a_metric_of_a_pool_sees_all_that_scenarios_draw_from(bench: Bench) -> None:
    made = bench.do(PoolJob(other("generator", Late()), bench.data, 7, Compute(), (0.5, 0.5)))
    assert made.output_as(PoolOutput).rows == 2000
    job = ScorePoolJob(other("metric", Later()), bench.data, bench.ref(made), 5)
    assert bench.do(job).output_as(Score).value == pytest.approx(0.9, abs=0.07)


def test_rows_are_checked_after_the_sampler_was_last_asked(bench: Bench) -> None:
    made = bench.do(PoolJob(other("generator", Late(spoils=True)), bench.data, 7, Compute(), (0.5, 0.5)))
    assert (made.status, made.stage) == (Status.FAILED, Stage.SAMPLE)


def test_a_plug_in_that_is_edited_while_a_run_goes_on_is_kept_under_no_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = PoolJob(other("generator", Late()), bench.data, 7, Compute(), (0.0, 0.0))
    assert bench.do(job).ok
    monkeypatch.setattr("ctrbench.digests.source_digests", lambda module: ("edited", ""))
    result = bench.do(job)
    assert (result.status, result.stage, result.artefacts) == (Status.FAILED, Stage.IMPORT, {})
    assert "its source was edited after this run had begun" in result.reason
    assert why_again(result, Redo.NONE, Limits())


def test_an_artefact_that_is_lost_is_a_failure_to_read(bench: Bench) -> None:
    lost = replace(bench.data, artefacts={**bench.data.artefacts, "train": "0" * 64})
    result = bench.do(PoolJob(bench.call("generator", "bootstrap"), lost, 7, Compute(), (0.5, 0.5)))
    assert (result.status, result.stage) == (Status.FAILED, Stage.READ)


def test_what_is_edited_while_a_run_goes_on_is_kept_under_no_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "as planned"
    monkeypatch.setattr(toys.Bootstrap, "version", lambda self: text)
    job = PoolJob(bench.call("generator", "bootstrap"), bench.data, 7, Compute(), (0.5, 0.5))
    assert bench.do(job).ok
    folder = bench.checkpoints / key(job)[:16]
    folder.mkdir(parents=True)
    text = "edited"
    result = bench.do(job)
    assert (result.status, result.artefacts) == (Status.FAILED, {})
    assert "edited after this run had begun" in result.reason
    assert not folder.exists()  # what it holds may be of the edited file
    assert why_again(result, Redo.NONE, Limits()), "a failure that would stay under the key of what is there again"


def test_a_log_that_is_edited_before_it_is_loaded_is_kept_under_no_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "as planned"
    monkeypatch.setattr(toys.ToyLog, "version", lambda self: text)
    job = DataJob(bench.call("dataset", "toy_log"), text, 7)
    assert bench.do(job).ok
    text = "edited"
    result = bench.do(job)
    assert (result.status, result.artefacts) == (Status.FAILED, {})
    assert "edited after this run had begun" in result.reason
    monkeypatch.setattr(toys.ToyLog, "availability", lambda self: Missing("not here", download=True))
    assert bench.do(job).ok, "planned by what is published, and downloaded in between"


def test_what_a_plug_in_reads_is_asked_for_where_the_run_began(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = toys.Bootstrap.fit
    monkeypatch.setattr(toys.Bootstrap, "version", lambda self: str(Path.cwd()))
    monkeypatch.setattr(toys.Bootstrap, "fit", lambda self, *a, **k: os.chdir("/") or fit(self, *a, **k))
    assert bench.do(PoolJob(bench.call("generator", "bootstrap"), bench.data, 7, Compute(), (0.5, 0.5))).ok


def test_checkpoints_go_with_a_task_that_ends_well_and_stay_otherwise(bench: Bench) -> None:
    for name, left in (("bootstrap", False), ("misbehaves", True)):
        job = PoolJob(bench.call("generator", name), bench.data, 7, Compute(), (0.5, 0.5))
        folder = bench.checkpoints / key(job)[:16]
        folder.mkdir(parents=True)
        (folder / "kept").touch()
        bench.do(job)
        assert folder.exists() is left


def test_a_plug_in_finds_the_folder_for_its_checkpoints_and_none_stays_that_is_empty(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not bench.pool("misbehaves").ok
    assert not list(bench.checkpoints.iterdir())
    fit = toys.Bootstrap.fit

    def kept(self: toys.Bootstrap, train: Table, *, seed: int, context: Context) -> Sampler:
        (context.checkpoints / "half").write_text("half of a fit")
        return fit(self, train, seed=seed, context=context)

    monkeypatch.setattr(toys.Bootstrap, "fit", kept)
    assert bench.pool().ok
    assert not list(bench.checkpoints.iterdir())


def test_a_clock_of_stages_adds_up_and_knows_where_it_stopped() -> None:
    stages = Stages()
    with stages(Stage.READ), pytest.raises(ValueError, match="stop"), stages(Stage.FIT):
        raise ValueError("stop")
    with stages(Stage.READ):
        np.ones(10)
    assert stages.current is Stage.READ
    assert stages.seconds.keys() == {"read", "fit"}
    assert all(seconds > 0 for seconds in stages.seconds.values())


@pytest.fixture
def mapped(tmp_path: Path, toy_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Where every table counts as large, and every vocabulary as long."""
    monkeypatch.setattr("ctrbench.store.artefacts.MAPPED_FROM", 0)
    monkeypatch.setattr("ctrbench.table.SPELT_OUT", 1)
    return Bench(tmp_path / "mapped", toy_registry)


@pytest.mark.parametrize("scenario", [ORIGINAL, S1, S3, S5], ids=lambda scenario: scenario.name)
def test_mapped_tables_give_the_results_of_those_that_are_copied(
    bench: Bench, mapped: Bench, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mapped.artefacts.path(mapped.data.artefacts["train"]).suffix == ".arrow"
    assert set(mapped.data.artefacts) - set(bench.data.artefacts) == {"words"}
    pool = mapped.pool()
    there = mapped.train(scenario, pool if scenario.needs_pool else None)
    monkeypatch.undo()
    plain = bench.pool()
    assert mapped.data.fingerprint == bench.data.fingerprint
    assert pool.output == plain.output
    assert there.artefacts == bench.train(scenario, plain if scenario.needs_pool else None).artefacts


def test_a_task_whose_input_changed_while_it_ran_has_failed(mapped: Bench) -> None:
    path = mapped.artefacts.path(mapped.data.artefacts["train"])
    good = path.read_bytes()

    def spoil(stage: Stage) -> None:
        if stage is Stage.FIT:
            path.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])

    job = TrainJob(mapped.call("model", "rate"), mapped.data, None, ORIGINAL, 3, 4, Compute())
    spoilt = perform(job, Workspace(mapped.artefacts, mapped.checkpoints, entered=spoil))
    assert spoilt.status is Status.FAILED
    assert "was changed while it was in use" in spoilt.reason
    assert (spoilt.plugin, spoilt.stage) == ("the store", Stage.READ), "not the model's doing, and tried again"
    assert "corrupt and has been set aside" in mapped.do(job).reason
    path.write_bytes(good)
    assert mapped.do(job).ok


def test_a_prediction_that_is_the_same_for_every_row_is_a_fact(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONSTANT not in bench.train(ORIGINAL).facts
    monkeypatch.setattr(toys.RatePredictor, "predict", lambda self, rows: np.full(len(rows), 0.3))
    assert bench.train(ORIGINAL).facts[CONSTANT] == 0.3


def test_a_pool_is_measured_by_train_as_it_was_whatever_the_fit_did_to_its_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, honest = toys.Bootstrap.fit, bench.pool().output_as(PoolOutput)

    def spoil(self: Any, train: Any, **more: Any) -> Any:
        sampler = fit(self, train.take(np.arange(len(train))), **more)
        for name in train.schema.names:
            train.column(name)[:] = 1
        return sampler

    monkeypatch.setattr(toys.Bootstrap, "fit", spoil)
    assert bench.pool().output_as(PoolOutput) == honest


@pytest.mark.parametrize("scenario", [ORIGINAL, S3, S5])
def test_a_training_is_told_by_its_tables_as_they_were_whatever_the_fit_did_to_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    fit, pool = toys.Rate.fit, bench.pool()
    honest = bench.train(scenario, pool)

    def spoil(self: Any, train: Any, valid: Any, **more: Any) -> Any:
        predictor = fit(self, train, valid, **more)
        for table in (train, valid):
            with suppress(ValueError):  # what is mapped is read-only
                table.labels[:] = 1 - table.labels
            table.rows.drop(table.rows.index[:10], inplace=True)
        return predictor

    monkeypatch.setattr(toys.Rate, "fit", spoil)
    spoilt = bench.train(scenario, pool)
    assert (spoilt.output, spoilt.artefacts) == (honest.output, honest.artefacts)


MAPS = """
import os, sys
import numpy as np
from ctrbench import resources
from ctrbench.perform import Stages
from ctrbench.results import Stage

stages, before = Stages(), resources.own_memory(os.getpid())
with stages(Stage.FIT):
    mapped = np.memmap(sys.argv[1], np.int8, "r")
    assert not mapped.any()
    own = np.ones(2**25, np.int8)
del mapped
with stages(Stage.KEEP):
    pass
print(stages.peak_memory - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a process holds")
def test_what_a_task_mapped_is_none_of_its_memory_though_it_is_gone_at_the_end(tmp_path: Path) -> None:
    large = tmp_path / "large"
    np.zeros(2**28, np.int8).tofile(large)
    done = subprocess.run([sys.executable, "-c", MAPS, large], capture_output=True, text=True, check=True)
    assert 2**24 < int(done.stdout) < 2**27
