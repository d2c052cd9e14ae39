"""Plug-ins of others that end or block whatever process they are asked in: each costs itself and nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ctrbench
import pytest
from ctrbench.asking import PATIENCE
from ctrbench.errors import UserError
from ctrbench.registry import load_registry
from ctrbench.results import Stage, Status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all is asked in this process")

MODULE = """
import ctypes, os, sys, time
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ctrbench import Dataset, Generator, Model, Predictor, PredictionMetric, Ready, Sampler, Score, hookimpl

def act(how):
    if how == "exit": os._exit(0)
    if how == "leave": sys.exit(0)
    if how == "hang": time.sleep(1e6)
    if how == "segfault": ctypes.string_at(0)
    if how == "raise": raise IndexError("bug")
    return how

act({at_import!r})

class Trap:
    def act(self, where): return act(self.how) if self.where == where else None
    def __post_init__(self): act({at_making!r}); self.act("post_init")
    def __eq__(self, other): self.act("eq"); return self is other
    def __hash__(self): self.act("hash"); return 1
    def version(self): return self.act("version") or ""
    def forecast(self, schema, rows): self.act("forecast")
    def equivalent(self, schema): self.act("equivalent"); return self
    def availability(self): self.act("availability"); return Ready()
    def published(self): self.act("published"); return []
    @property
    def title(self): return self.act("title") or self.name

class Rate(Predictor):
    def predict(self, rows): return np.full(len(rows), .4)

class Again(Sampler):
    def __init__(self, train): self.train = train
    def sample(self, rows, *, seed): return self.train.take(np.arange(rows) % len(self.train))

@dataclass(frozen=True, eq=False)
class TrapModel(Trap, Model):
    "A trap."
    name: ClassVar[str] = "trap"
    where: str = ""
    how: str = ""
    def fit(self, train, valid, *, seed, context): return Rate()

@dataclass(frozen=True, eq=False)
class TrapGenerator(Trap, Generator):
    "A trap."
    name: ClassVar[str] = "trap"
    where: str = ""
    how: str = ""
    def fit(self, train, *, seed, context): return Again(train)

@dataclass(frozen=True, eq=False)
class TrapData(Trap, Dataset):
    "A trap."
    name: ClassVar[str] = "trap"
    where: str = ""
    how: str = ""
    def load(self, *, seed, context):
        from ctrbench_datasets.simulated import Simulated
        self.act("load")
        return Simulated(train_rows=600, valid_rows=200, test_rows=200).load(seed=seed, context=context)

@dataclass(frozen=True, eq=False)
class TrapMetric(Trap, PredictionMetric):
    "A trap."
    name: ClassVar[str] = "trap"
    better: ClassVar[str] = "higher"
    unit: ClassVar[str] = "1"
    where: str = ""
    how: str = ""
    def score(self, predictions): return Score(.5)

@hookimpl
def register_models(register): register(TrapModel)
@hookimpl
def register_generators(register): register(TrapGenerator)
@hookimpl
def register_datasets(register): register(TrapData)
@hookimpl
def register_metrics(register): register(TrapMetric)
"""
SMALL = "simulated[train_rows=600, valid_rows=200, test_rows=200]"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv(PATIENCE, "60")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    def put(name: str = "traps", at_import: str = "", at_making: str = "", before: str = "") -> None:
        info = tmp_path / "site" / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ctrbench]\n{name} = {name}\n")
        text = MODULE.replace("{at_import!r}", repr(at_import)).replace("{at_making!r}", repr(at_making))
        (info.parent / f"{name}.py").write_text(f"{before}\n{text}")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


EXIT, SEGFAULT = "ended the process (exit status 0)", "ended the process (killed by SIGSEGV)"


@pytest.mark.parametrize(
    ("when", "how", "error"),
    [
        ("at_import", "exit", f"its import {EXIT}"),
        ("at_import", "segfault", f"its import {SEGFAULT}"),
        ("at_import", "hang", "its import took longer than 2 s"),
        ("at_import", "leave", "SystemExit: 0"),
        ("at_import", "raise", "IndexError: bug"),
        ("at_making", "exit", f"its import {EXIT}"),
        ("at_making", "segfault", f"its import {SEGFAULT}"),
        ("at_making", "hang", "its import took longer than 2 s"),
    ],
)
def test_what_ends_or_blocks_its_import_is_broken_and_all_others_work(install, monkeypatch, when, how, error):
    monkeypatch.setenv(PATIENCE, "2" if how == "hang" else "20")
    install("bad_traps", **{when: how})
    install("good_traps") if how != "hang" else None  # it might be slow too, on a busy machine
    registry = load_registry()
    [broken] = registry.broken
    assert broken.source == "bad_traps:bad_traps"
    assert broken.error.startswith(error)
    assert how == "hang" or registry.get("model", "trap").distribution == "good_traps"
    assert registry.get("model", "dnn").distribution == "ctrbench"


@pytest.mark.parametrize(
    ("deed", "left"),
    [
        ("import numpy; numpy.mean = max", "numpy.mean"),
        ("import ctrbench.text; ctrbench.text.LINE = 5", "ctrbench.text.LINE"),
        ("import threading, time; threading.Thread(target=time.sleep, args=(1e6,)).start()", "the thread"),
        ("import atexit, os; atexit.register(lambda: os._exit(3))", "what is done when the process ends"),
        ("import threading, time; threading._register_atexit(time.sleep, 1e6)", "what is done when the process ends"),
        ("from ctrbench import text; text.plain.__code__ = (lambda text: '').__code__", "ctrbench.text.plain"),
        (
            "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True, env={})",
            "programs run (sleep)",
        ),
        ("import sys; sys.stdout.close()", "the interpreter"),
        ("import signal; signal.signal(signal.SIGINT, lambda *_: None)", "signals or timers"),
        ("import sys; sys.path.insert(0, '/tmp')", "the path of imports"),
        ("import os; os.umask(0o777)", "the mask of new files"),
        ("import sys; sys.addaudithook(lambda name, about: 1 / (name != 'open'))", "ZeroDivisionError"),
        ("import os; os.register_at_fork(after_in_child=lambda: os._exit(0))", "a child of its process ends at once"),
    ],
)
def test_an_import_that_would_change_all_others_is_not_done_here(install, monkeypatch, deed, left):
    monkeypatch.setenv(PATIENCE, "60")
    install("greedy", before=deed)
    [broken] = load_registry().broken
    assert broken.source == "greedy:greedy"
    assert left in broken.error
    assert "greedy" not in sys.modules


def test_what_modules_like_to_set_and_say_as_they_are_imported_is_gone_afterwards(install, capfd, monkeypatch):
    deed = "import logging, os, sys; os.write(1, b'hello'); os.chdir('/'); os.environ['HOME'] = '/nowhere'"
    install("chatty", before=f"{deed}; sys.setrecursionlimit(70_000); logging.basicConfig(level=0, force=True)")
    monkeypatch.setenv(PATIENCE, "60")
    here, home, deep, log = os.getcwd(), os.environ["HOME"], sys.getrecursionlimit(), list(logging.root.handlers)
    registry = load_registry()
    assert registry.get("model", "trap").distribution == "chatty"
    assert (os.getcwd(), os.environ["HOME"], sys.getrecursionlimit()) == (here, home, deep)
    assert logging.root.handlers == log
    assert capfd.readouterr() == ("", "")


def run(tmp_path: Path, **more: list[str]) -> ctrbench.Results:
    """A run of good plug-ins and of traps."""
    wanted = {"datasets": [SMALL], "models": ["logistic"], "generators": ["random_oversampling"], "metrics": ["auc"]}
    wanted |= {section: [*wanted[section], *names] for section, names in more.items()}
    return ctrbench.run(**wanted, scenarios=["S1"], repeats=1, store=str(tmp_path / "s.db"), executor="inline")


def test_what_a_plug_in_does_when_it_is_asked_costs_itself_alone(install, tmp_path, monkeypatch):
    """One run of all traps: those without a version have failed under their names, the others run."""
    install()
    monkeypatch.setenv(PATIENCE, "10")
    silent = [f"trap[where=version, how={how}]" for how in ("exit", "hang", "segfault", "leave", "raise")]
    harmless = [f"trap[where={where}, how=exit]" for where in ("forecast", "equivalent", "eq", "hash")]
    models, generators, metrics = [*silent, harmless[0], *harmless[2:]], [silent[0], *harmless], [silent[2]]
    found = run(tmp_path, models=models, generators=generators, metrics=metrics).stored
    says = {
        "exit": f"its version() {EXIT}",
        "hang": "its version() took longer than 10 s and was stopped (CTRBENCH_PLUGIN_SECONDS gives it more)",
        "segfault": f"its version() {SEGFAULT}",
        "leave": "its version() raised SystemExit: 0",
        "raise": "its version() raised IndexError: bug",
    }
    assert {cell.model for cell in found.cells} == {"logistic", *models}
    assert {cell.generator for cell in found.cells} == {"", "random_oversampling", *generators}
    for cell in found.cells:
        culprits = {name for name in (cell.model, cell.generator) if name in silent}
        assert cell.ok == (not culprits), cell
        if culprits:
            assert cell.result.status is Status.FAILED
            assert cell.result.stage is Stage.PLAN
            assert cell.result.plugin == "trap (traps 1.0)"
            assert cell.result.reason in {says[how] for how in says for name in culprits if how in name}
        else:
            assert "auc" in cell.scores
            assert cell.failed_scores[silent[2]].reason == says["segfault"]


def test_a_failed_question_is_status_1_and_dry_run_names_it(install, tmp_path):
    install()
    command = [sys.executable, "-P", "-m", "ctrbench", "run", "-d", SMALL, "-g", "none", "-s", "original"]
    command += [
        "-m",
        "trap[where=version, how=exit]",
        "-m",
        "logistic",
        "-k",
        "auc",
        "--repeats",
        "1",
        "--workers",
        "1",
    ]
    command += ["--store", str(tmp_path / "s.db")]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr
    assert "does not run: trap (traps 1.0): failed in plan: its version() ended the process" in dry.stdout
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "trap (traps 1.0): failed in plan: its version() ended the process (exit status 0)" in done.stderr


@pytest.mark.parametrize("how", ["exit", "raise"])
def test_a_data_set_that_cannot_answer_is_named(install, tmp_path, how):
    install()
    says = {"exit": "ended the process (exit status 0)", "raise": "raised IndexError: bug"}[how]
    with pytest.raises(UserError) as told:
        run(tmp_path, datasets=[f"trap[where=availability, how={how}]"])
    assert str(told.value) == f"data set trap: its availability() {says}"
    with pytest.raises(UserError) as told:
        run(tmp_path, models=[f"trap[where=post_init, how={how}]"])
    assert str(told.value) == f"trap (traps 1.0): it cannot be made with these parameters: it {says}"
    datasets = [f"trap[where={where}, how={how}]" for where in ("version", "published", "title")]
    found = run(tmp_path, datasets=datasets).stored
    assert {cell.dataset for cell in found.cells} == {"simulated", *datasets[1:]}
    assert all(cell.ok for cell in found.cells)
    assert found.info.failed_data == [f"trap (traps 1.0): failed in plan: its version() {says}"]


def test_describe_ends_with_status_1_where_loading_ends_the_process(install):
    install()
    command = [sys.executable, "-P", "-m", "ctrbench", "data", "describe", "trap[where=load, how=exit]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ctrbench: trap (traps 1.0): failed in load: ended the process (exit status 0)\n"
