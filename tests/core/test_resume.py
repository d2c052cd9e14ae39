"""What runs again, and why: the same command after a change of a metric, a plug-in's source, a parameter, a limit."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

PLUGINS = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar
import numpy as np
from annotated_types import Ge
from ctrbench import Generator, Model, Predictor, PredictionMetric, Sampler, Score, hookimpl

@dataclass(frozen=True)
class Drawn(Sampler):
    train: object
    def sample(self, rows, *, seed):
        return self.train.take(np.random.default_rng(seed).integers(0, len(self.train), rows))

@dataclass(frozen=True)
class Draws(Generator):
    """Real rows again."""
    name: ClassVar[str] = "draws"
    fails: Annotated[bool, "whether to fail"] = False
    def fit(self, train, *, seed, context):
        if self.fails:
            raise ValueError("no luck today")
        return Drawn(train.take(np.random.default_rng(seed).permutation(len(train))))

@hookimpl
def register_generators(register):
    register(Draws)
'''
MODEL = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ctrbench import Model, Predictor, hookimpl

@dataclass(frozen=True)
class Constant(Predictor):
    rate: float
    def predict(self, rows):
        return np.full(len(rows), self.rate) + rows.rows.iloc[:, 0].to_numpy() / 1e6

@dataclass(frozen=True)
class Mean(Model):
    """The click rate."""
    name: ClassVar[str] = "mean"
    def fit(self, train, valid, *, seed, context):
        return Constant(float(train.targets.mean()))

@hookimpl
def register_models(register):
    register(Mean)
'''
METRIC = '''
from dataclasses import dataclass
from typing import ClassVar
from ctrbench import PredictionMetric, Score, hookimpl

@dataclass(frozen=True)
class Middle(PredictionMetric):
    """The mean probability."""
    name: ClassVar[str] = "middle"
    better: ClassVar = "higher"
    unit: ClassVar[str] = ""
    def score(self, predictions):
        return Score(float(predictions.probabilities.mean()))

@hookimpl
def register_metrics(register):
    register(Middle)
'''
SMALL = "simulated[train_rows=2000, valid_rows=1000, test_rows=1000]"
GRID = [
    "run",
    "-d",
    SMALL,
    "-g",
    "draws",
    "-m",
    "mean",
    "-k",
    "middle",
    "-s",
    "S5",
    "--executor",
    "inline",
    "--repeats",
    "1",
]


class Home:
    """A folder with a store and plug-ins whose source can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        info = site / "homemade-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: homemade\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ctrbench]\n" + "".join(f"{n} = {n}\n" for n in ("hg", "hm", "hk")))
        for name, text in (("hg", PLUGINS), ("hm", MODEL), ("hk", METRIC)):
            (site / f"{name}.py").write_text(text)
        self.path = os.pathsep.join([os.fspath(site), os.environ.get("PYTHONPATH", "")])

    def change(self, module: str, old: str, new: str) -> None:
        path = self.folder / "site" / f"{module}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def __call__(self, *words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": self.path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "ctrbench", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=environment)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def done(self, *words: str) -> list[str]:
        """The expensive tasks that a run did, and how many tasks it did in all."""
        said = self(*GRID, *words)
        counts = re.search(r"(\d+) tasks? done", said)
        assert counts, said
        with closing(sqlite3.connect(self.folder / "ctrbench.db")) as store:
            latest = "SELECT run FROM runs ORDER BY started DESC LIMIT 1"
            kinds = store.execute(f"SELECT kind FROM tasks WHERE run = ({latest}) ORDER BY finished").fetchall()
        return [*(kind for (kind,) in kinds if kind != "score"), counts[1]]

    def said_anew(self, *words: str) -> list[str]:
        """Why a run says that it does something anew."""
        return re.findall(r"^done anew: (.*)", self(*GRID, *words), re.M)

    def why(self, *words: str) -> list[str]:
        """What a dry run says of reasons."""
        said = self(*GRID, "--dry-run", *words)
        return re.findall(r"^(?:runs|does not run): .*", said, re.M)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_change_runs_just_what_depends_on_it_and_a_dry_run_says_so(home: Home) -> None:
    [why] = home.why()
    assert why.startswith("runs: no result yet: ")
    assert home.done() == ["data", "pool", "train", "train", "6"]
    assert home.done() == ["0"]

    home.change("hk", "probabilities.mean()", "probabilities.max()")
    [why] = home.why()
    assert re.match(r"runs: the source of middle \(homemade 1.0\) changed since \d{8}-\S+: 2 tasks: score/middle/", why)
    assert home.said_anew() == ["the source of middle (homemade 1.0) changed"]
    home.change("hk", "probabilities.max()", "probabilities.min()")
    assert home.done() == ["2"], "a metric that changes trains nothing"

    home.change("hg", "rng(seed).permutation(len(train))", "rng(seed + 1).permutation(len(train))")
    made, follows = home.why()
    assert "the source of draws (homemade 1.0) changed" in made
    assert "1 task: pool/" in made
    assert "what it reads is made again: 2 tasks: train/" in follows
    assert home.done() == ["pool", "train", "3"], "original does not depend on the generator"

    home.change("hm", '"""The click rate."""', '"""The rate of clicks."""')
    assert home.why() == [], "words change no result"
    home.change("hm", "/ 1e6", "/ 2e6")
    assert any("the source of mean (homemade 1.0) changed" in line for line in home.why())
    assert home.done()[:2] == ["train", "train"]


def test_a_dry_run_tells_failures_lost_artefacts_limits_and_fresh_runs_apart(home: Home) -> None:
    bad = ["-g", "draws[fails=true]"]
    assert "no luck today" in home(*GRID, *bad)
    [line] = home.why(*bad)
    assert line.startswith("does not run: draws (homemade 1.0): failed in fit: ValueError: no luck today; --retry-fail")
    retried = home.why(*bad, "--retry-failed")
    assert any("runs: failed before, --retry-failed: 1 task: pool/" in line for line in retried)
    assert home.said_anew(*bad, "--retry-failed") == ["failed before, --retry-failed"]
    home(*GRID)
    assert any(line.startswith("runs: --fresh: 3 tasks: data/") for line in home.why("--fresh"))
    for path in (home.folder / "ctrbench-artefacts").rglob("*.parquet"):
        path.unlink()
    assert any("an artefact is lost or damaged" in line for line in home.why())


def test_a_parameter_that_a_suite_changes_is_named_with_its_values(home: Home) -> None:
    suite = home.folder / "s.toml"
    suite.write_text("[on.simulated]\n")
    home(*GRID, "--suite", "s.toml")
    suite.write_text("[on.simulated.generators]\ndraws = { fails = true }\n")
    assert any(
        "the parameters of draws (homemade 1.0) changed (fails False → True) since" in line
        for line in home.why("--suite", "s.toml")
    )
    assert any("the seed is different since" in line for line in home.why("--suite", "s.toml", "--seed", "9"))
