"""Plug-ins that live in an environment of their own: found, chosen, and their jobs done there, whatever they do."""

from __future__ import annotations

import platform
import sys
import time
import venv
from pathlib import Path

import ctrbench
import pytest
from commands import SMALL
from ctrbench.errors import UserError
from ctrbench.interpreters import joined
from ctrbench.jobs import PluginCall
from ctrbench.plan import Task
from ctrbench.registry import load_registry
from ctrbench.suite import parse_suite
from toy_jobs import gone

PLUGINS = '''
"""Plug-ins that need a library which this interpreter alone has."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from ctrbench import Generator, MethodRole, Model, Predictor, Sampler, Skip, hookimpl


@dataclass(frozen=True)
class Far(Generator):
    """Rows of train once more."""

    name: ClassVar[str] = "far"
    role: ClassVar[MethodRole] = MethodRole.CONTROL
    ends: Annotated[str, "raise, skip, exit, kill, hold, mute, fork or well"] = "well"
    times: Annotated[int, "how often", Ge(1)] = 1

    def fit(self, train, *, seed, context):
        import needed_there

        context.progress(1, 2, {"loss": 0.5})
        if self.ends == "raise":
            raise ValueError("no such luck")
        if self.ends == "skip":
            raise Skip("not for this log")
        if self.ends == "exit":
            print("farewell", flush=True)
            os._exit(3)
        if self.ends == "hold" and not os.fork():
            time.sleep(300)
        if self.ends == "mute":
            os.closerange(3, 1000)
            time.sleep(300)
        if self.ends in ("kill", "hold"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ends == "fork" and not os.fork():
            sys.exit("a copy says so")
        elif self.ends == "fork":
            os.wait()
        return Again(train, needed_there.VERSION)


class Again(Sampler):
    def __init__(self, train, version):
        self.train, self.version = train, version

    def sample(self, rows, *, seed):
        return self.train.take(np.random.default_rng(seed).permutation(len(self.train))[:rows])

    @property
    def details(self):
        return {"needed": self.version, "python": sys.prefix}


@dataclass(frozen=True)
class FarRate(Model):
    """The click rate, for everybody."""

    name: ClassVar[str] = "far_rate"

    def fit(self, train, valid, *, seed, context):
        return Rate(train.click_rate)

    def fit_after(self, first, train, valid, *, seed, context):
        return Rate(first.click_rate)


class Rate(Predictor):
    def __init__(self, rate):
        self.rate = rate

    def predict(self, rows):
        return np.full(len(rows), self.rate)


class Mode(StrEnum):
    FAST = "fast"


@dataclass(frozen=True)
class Typed(Generator):
    """Has a parameter of a type that no other interpreter has."""

    name: ClassVar[str] = "typed"
    mode: Annotated[Mode, "how"] = Mode.FAST

    def fit(self, train, *, seed, context):
        raise Skip("never asked")


@dataclass(frozen=True)
class Versioned(Generator):
    """Reads a file, so that somebody must ask it for a version."""

    name: ClassVar[str] = "versioned"

    def fit(self, train, *, seed, context):
        raise Skip("never asked")

    def version(self):
        return "1"


@hookimpl
def register_generators(register):
    register(Far)
    register(Versioned)
    register(Typed)


@hookimpl
def register_models(register):
    register(FarRate)
'''


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return interpreter(tmp_path_factory.mktemp("elsewhere"), PLUGINS)


def interpreter(folder: Path, plugins: str) -> str:
    """An interpreter that has the libraries of this one, plug-ins and their library, and no ctrbench."""
    venv.create(folder, symlinks=True, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text("\n".join(each for each in sys.path if each.endswith("site-packages")))
    (site / "needed_there.py").write_text("VERSION = '0.9'\n")
    (site / "far_away.py").write_text(plugins)
    for name, version, more in [
        ("needed-there", "0.9", ""),
        ("far-away", "1.2", "Requires-Dist: numpy<1\nRequires-Dist: needed-there\n"),
    ]:
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
    (metadata / "entry_points.txt").write_text("[ctrbench]\nfar = far_away\n")
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def suite(python: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("suite") / "far.toml"
    file.write_text(
        f'datasets = ["{SMALL}"]\ngenerators = ["far"]\nmodels = ["item_rate"]\nmetrics = ["auc"]\n'
        f'scenarios = ["original", "S5"]\n[environments.modern]\npython = "{python}"\n'
    )
    return str(file)


def test_jobs_of_a_plugin_elsewhere_are_done_there_and_found_again(suite: str, python: str, tmp_path: Path) -> None:
    store = tmp_path / "far.db"
    found = ctrbench.run(suite=suite, models=["item_rate", "far_rate"], store=store, progress=False)
    [pool] = found.stored.pools
    assert pool.ok, pool.result.reason
    assert pool.result.output.facts == {"needed": "0.9", "python": str(Path(python).parents[1])}
    scores = {(cell.model, cell.scenario): cell.scores["auc"].value for cell in found.stored.cells}
    assert scores["item_rate", "S5"] == pytest.approx(scores["item_rate", "original"], abs=1e-9)  # the rows are train's
    assert scores["far_rate", "S5"] == 0.5
    assert "far_away" not in sys.modules
    [machine] = found.stored.machines
    there = {name: version for name, version in machine.libraries.items() if ":" in name}
    assert there["modern: python"] == platform.python_version()
    assert there["modern: numpy"] == machine.libraries["numpy"], "which the plug-in requires, as much else"
    assert there["modern: needed-there"] == "0.9", "which only that interpreter has"
    assert "modern: ctrbench" not in there, "that is ours"
    again = ctrbench.run(suite=suite, models=["item_rate", "far_rate"], store=store, progress=False)
    assert [each.result.run for each in again.stored.pools] == [found.run]


@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        ("raise", "failed", "no such luck"),
        ("skip", "skipped", "not for this log"),
        ("exit", "crashed", "died (exit status 3)"),
        ("kill", "crashed", "died (killed by SIGKILL, not by ctrbench"),
    ],
)
def test_however_a_plugin_elsewhere_ends_is_told(ends: str, status: str, said: str, suite: str, tmp_path: Path) -> None:
    found = ctrbench.run(
        suite=suite, generators=f"far[ends={ends}]", store=tmp_path / "far.db", executor="inline", progress=False
    )
    [pool] = found.stored.pools
    assert pool.result.status == status
    assert said in pool.result.reason
    assert pool.result.plugin == "far (far-away 1.2)"
    assert pool.result.stage == "fit"
    assert ("no such luck" in pool.result.traceback) == (ends == "raise")


def test_a_crash_elsewhere_names_what_was_printed(suite: str, tmp_path: Path) -> None:
    found = ctrbench.run(suite=suite, generators="far[ends=exit]", store=tmp_path / "far.db", progress=False)
    place = found.stored.pools[0].result.reason.partition("; what it printed is in ")[2]
    assert "farewell" in Path(place).read_text()


def test_a_copy_that_a_plugin_elsewhere_forks_speaks_for_nobody(suite: str, tmp_path: Path) -> None:
    store = tmp_path / "far.db"
    found = ctrbench.run(suite=suite, generators="far[ends=fork]", store=store, executor="inline", progress=False)
    assert found.sound, found.failures


@pytest.mark.parametrize(("ends", "said"), [("hold", "killed by SIGKILL"), ("mute", "closed its line to the worker")])
def test_the_end_of_a_plugin_elsewhere_is_noticed_though_something_of_it_lives_on(
    ends: str, said: str, suite: str, tmp_path: Path
) -> None:
    started = time.monotonic()
    store = tmp_path / "far.db"
    found = ctrbench.run(
        suite=suite, generators=f"far[ends={ends}]", store=store, executor="inline", progress=False
    ).stored.pools[0]
    assert found.result.status == "crashed"
    assert said in found.result.reason
    assert time.monotonic() - started < 250


class Removing(ctrbench.Watcher):
    """Removes a file when the first task begins."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def begun(self, task: Task) -> None:
        self.file.unlink(missing_ok=True)


def test_what_was_no_methods_doing_elsewhere_is_tried_again(suite: str, python: str, tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    text = Path(suite).read_text().replace(python, str(wrapper))
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('["far"]', '["far", "far[ends=kill]"]'))
    before: set[str] = set()
    for removed in (True, False, False):
        wrapper.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        wrapper.chmod(0o755)
        progress = Removing(wrapper) if removed else False
        found = ctrbench.run(suite=str(mine), store=tmp_path / "far.db", executor="inline", progress=progress)
        gone_or_whole, killed = (pool.result for pool in found.stored.pools)
        assert killed.run == found.run, "somebody else may have killed it"
        assert gone_or_whole.status == ("failed" if removed else "ok"), gone_or_whole.reason
        assert (gone_or_whole.stage == "hand over") == removed
        before.add(gone_or_whole.run)
    assert len(before) == 2, "the whole one is found again"


def test_parameters_are_checked_here_and_what_cannot_live_elsewhere_is_broken(suite: str, python: str) -> None:
    registry = joined(load_registry([]), {"modern": python})
    assert registry.get("generator", "far").help == "Rows of train once more."
    broken = {each.name: each.error for each in registry.broken}
    assert broken.keys() == {"versioned", "typed"}
    assert "version() is asked before anything runs" in broken["versioned"]
    assert "No module named 'far_away'" in broken["typed"]
    twice = joined(registry, {"again": python})
    assert any("taken by far (far-away 1.2)" in each.error for each in twice.broken)
    for name in ("versioned", "nowhere"):
        with pytest.raises(UserError, match="broken") as caught:
            registry.get("generator", name)
        assert "ctrbench plugins" not in str(caught.value), "which knows no environments"
    with pytest.raises(UserError, match=r"far \(far-away 1\.2\): times=0"):
        ctrbench.run(suite=suite, generators="far[times=0]", progress=False)


def test_a_method_that_few_jobs_call_counts_for_these(python: str) -> None:
    registered = joined(load_registry([]), {"modern": python}).get("model", "far_rate")
    call = PluginCall.of(registered, registered.plugin())
    assert call.source
    assert call.whole_source not in ("", call.source)


@pytest.mark.parametrize("said", ["", 'for last; do :; done; head -c 24 /dev/zero | tr "\\0" x > /dev/fd/"$last"'])
def test_a_wrapper_that_says_nothing_whole_is_waited_for_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f"#!/bin/sh\n{said}\nsleep 60\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("CTRBENCH_PLUGIN_SECONDS", "1")
    started = time.monotonic()
    with pytest.raises(UserError, match="cannot tell what is installed there") as caught:
        joined(load_registry([]), {"modern": str(wrapper)})
    assert "longer than 1 s and was stopped (CTRBENCH_PLUGIN_SECONDS gives it more)" in str(caught.value)
    assert time.monotonic() - started < 50, "the sleep is ended with it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('python = "no/such/python"', "no/such/python' is no program; make the environment first"),
        ('python = "{broken}"', "cannot be started: Exec format error; name a Python interpreter"),
        ('python = "/bin/true"', "'/bin/true' cannot tell what is installed there"),
        ("pyton = 'x'", "unknown key 'pyton'; did you mean 'python'"),
        ("", "it needs python ="),
    ],
)
def test_an_environment_that_cannot_be_asked_is_the_users_mistake(text: str, said: str, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("no program")
    broken.chmod(0o755)
    text = text.replace("{broken}", str(broken))
    with pytest.raises(UserError) as caught:
        joined(load_registry([]), parse_suite(f"[environments.modern]\n{text}", "s", "s.toml").environments)
    assert said in str(caught.value)
    assert "environments.modern" in str(caught.value)


def test_packages_are_named_where_one_is_missing_and_nowhere_else(tmp_path: Path) -> None:
    bare = tmp_path / "bare" / "bin" / "python"
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    ends = interpreter(tmp_path / "ends", "import os\nos._exit(3)\n")
    said = {}
    for python in (str(bare), ends, "/bin/true"):
        with pytest.raises(UserError) as caught:
            joined(load_registry([]), {"modern": python})
        said[python] = str(caught.value).partition("there: ")[2]
    assert "No module named" in said[str(bare)]
    assert said[str(bare)].endswith(
        "it needs numpy, pandas, pyarrow, pluggy, psutil, threadpoolctl and annotated-types"
    )
    assert (said[ends], said["/bin/true"]) == ("exit status 3", "exit status 0")


def test_a_plugin_that_cannot_be_imported_there_is_told_with_its_line(tmp_path: Path) -> None:
    registry = joined(load_registry([]), {"modern": interpreter(tmp_path, "import numpy\nnothing\n")})
    with pytest.raises(
        UserError, match=r"'far' is broken \(modern: far-away:far\): NameError: .* \(\S+far_away\.py:2\)$"
    ):
        registry.get("generator", "far")


def test_a_python_that_is_too_old_is_told_as_that(tmp_path: Path) -> None:
    wrapper = tmp_path / "python"  # $4 is the program that an interpreter is given
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = 3, 8, 18\n$4"\n')
    wrapper.chmod(0o755)
    with pytest.raises(UserError, match=r"there: it is Python 3\.8\.18, and must be 3\.11 or newer$"):
        joined(load_registry([]), {"modern": str(wrapper)})


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_what_an_import_elsewhere_starts_is_ended_with_the_question(tmp_path: Path) -> None:
    started = tmp_path / "started"
    plugins = f"""
import pathlib, subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
pathlib.Path({str(started)!r}).write_text(str(child.pid))
"""
    registry = joined(load_registry([]), {"modern": interpreter(tmp_path / "starts", PLUGINS + plugins)})
    assert registry.get("generator", "far")
    assert gone(int(started.read_text()))
