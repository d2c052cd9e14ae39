"""Toy plug-ins, registered through the public hooks: fast ones that work, and ones that misbehave in every way."""

from __future__ import annotations

import contextlib
import ctypes
import decimal
import errno
import gc
import hashlib
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
import psutil
from annotated_types import Ge
from ctrbench import (
    Budgeted,
    Context,
    Dataset,
    Field,
    Generator,
    Missing,
    Model,
    PredictionMetric,
    Predictions,
    Predictor,
    Ready,
    Sampler,
    Schema,
    Score,
    Skip,
    Splits,
    SyntheticMetric,
    Table,
    UserError,
    contract,
    hookimpl,
)

TOYS = [EntryPoint(name="toys", value="toys", group="ctrbench")]
SCHEMA = Schema(
    (
        Field("user", role="user", vocabulary=tuple("abcdef")),
        Field("item", role="item", vocabulary=tuple("uvwxyz")),
        Field("hour", vocabulary=("0", "1", "2")),
    )
)


def log(rows: int, seed: int) -> Table:
    """A small log in which some items are clicked more than others."""
    rng = np.random.default_rng(seed)
    codes = {f.name: rng.integers(1, f.vocab_size, rows).astype(np.int32) for f in SCHEMA.fields}
    labels = (rng.random(rows) < codes["item"] / 8).astype(np.int8)
    labels[:2] = 0, 1
    return Table(pd.DataFrame(codes), SCHEMA, labels)


@dataclass(frozen=True)
class ToyLog(Dataset):
    """A small log."""

    name: ClassVar[str] = "toy_log"
    rows: Annotated[int, "rows of train", Ge(10)] = 200

    def load(self, *, seed: int, context: Context) -> Splits:
        return Splits(log(self.rows, seed), log(80, seed + 1), log(100, seed + 2))


@dataclass(frozen=True)
class AbsentLog(Dataset):
    """A data set that is not here."""

    name: ClassVar[str] = "absent_log"

    leaves: Annotated[bool, "whether being asked makes it leave"] = False

    def availability(self) -> Ready | Missing:
        if self.leaves:
            sys.exit(4)
        return Missing("not on this machine", download=True)

    def load(self, *, seed: int, context: Context) -> Splits:
        raise UserError("absent_log: the download failed; give it by hand")


@dataclass(frozen=True)
class RottenLog(Dataset):
    """A data set with a bug."""

    name: ClassVar[str] = "rotten_log"
    early: Annotated[bool, "whether it shows before the load"] = False

    def version(self) -> str:
        if self.early:
            raise IndexError("a bug of its author")
        return ""

    def load(self, *, seed: int, context: Context) -> Splits:
        raise IndexError("a bug of its author")


@dataclass(frozen=True)
class Rows(Sampler):
    """Draws rows of a table, of both classes or of one."""

    table: Table

    def sample(self, rows: int, *, seed: int) -> Table:
        return self.table.take(np.random.default_rng(seed).integers(0, len(self.table), rows))

    @property
    def details(self) -> Mapping[str, float | str]:
        return {"source rows": np.int64(len(self.table)), "loss": float("nan")}


@dataclass(frozen=True)
class Bootstrap(Generator):
    """Real rows again."""

    name: ClassVar[str] = "bootstrap"
    steps: Annotated[int, "does nothing, slowly", Ge(1), Budgeted()] = 10

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        for step in range(self.steps):
            context.progress(step + 1, self.steps, {"loss": 1 / (step + 1)})
        return Rows(train.take(np.random.default_rng(seed).permutation(len(train))))


@dataclass(frozen=True)
class Twin(Generator):
    """The same as bootstrap, wherever it is used."""

    name: ClassVar[str] = "twin"

    def equivalent(self, schema: Schema) -> Generator:
        return Bootstrap()

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        raise AssertionError("the harness fits the equivalent")


@dataclass(frozen=True)
class Confused(Generator):
    """Real rows again; has no idea what it equals."""

    name: ClassVar[str] = "confused"
    exits: Annotated[bool, "whether being asked makes it leave"] = False

    def equivalent(self, schema: Schema) -> Generator:
        if self.exits:
            sys.exit(3)
        return None

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        return Rows(train)


@dataclass(frozen=True)
class Negatives(Generator):
    """Makes negatives only."""

    name: ClassVar[str] = "negatives"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        return Rows(train.take(train.targets == 0))


@dataclass(frozen=True)
class Misbehaves(Generator):
    """Fails in the way that it is told."""

    name: ClassVar[str] = "misbehaves"
    how: Annotated[str, "what to do"] = "raise"

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        match self.how:
            case "raise":
                raise ValueError("no luck\ntoday")
            case "skip":
                raise Skip("not for logs of fruit")
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "surrogate":
                raise ValueError("a file called \udc80")
            case "leave":
                os._exit(0)
            case "wander":
                os.chdir("/")
            case "report":
                context.progress("epoch 1", 7, {})
                context.progress(np.int64(1), 7, {"loss": "low"})
            case "die":
                os._exit(7)
            case "segfault":
                os.abort()
            case "hang":
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "a-toy's-child"])
                print(f"started {child.pid}", flush=True)
                time.sleep(600)
            case "stuck":
                ctypes.PyDLL(None).sleep(600)  # in C, with the interpreter's lock held
            case "null":
                ctypes.string_at(0)
            case "mute":
                os.closerange(3, 1000)
                time.sleep(600)
            case "babble":
                for file in range(3, 64):
                    with contextlib.suppress(OSError):
                        os.write(file, b"stray bytes!")
                time.sleep(600)
            case "fork":
                os.fork()
            case "wait for a copy":
                if not os.fork():
                    sys.exit(5)
                print("a copy ended with status", os.waitstatus_to_exitcode(os.wait()[1]))
            case "nap":
                context.progress(1, 2, {})
                time.sleep(3)
            case _ if self.how.startswith("until "):
                context.progress(1, 2, {})
                while not os.path.exists(self.how.removeprefix("until ")):
                    time.sleep(0.05)
            case "gpu":
                print("sees the GPUs", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
            case "keeper":
                os.kill(psutil.Process().parent().ppid(), signal.SIGKILL)  # its own is the worker's keeper
                time.sleep(600)
            case "orphan":
                leave_orphans()
                os.abort()
            case "orphan killed":
                leave_orphans()
                os.kill(os.getpid(), signal.SIGKILL)
            case "orphan hang":
                leave_orphans()
                time.sleep(600)
            case "flawed message":
                raise FlawedError
            case "long message":
                raise ValueError("x" * 5_000_000)
            case _ if self.how in CARELESS:
                CARELESS[self.how]()
            case "tell":
                raise ValueError(f"of {os.getsid(0)}: {hash('a text')}")
            case "trap":
                sys.toy_trap = True
            case "escape":
                escape()
                time.sleep(600)
            case "escape and be done":
                escape()
            case "bomb":
                fork = "import os, time; [os.fork() for _ in range(4)]; print(f'started {os.getpid()}', flush=True)"
                subprocess.Popen([sys.executable, "-c", f"{fork}; time.sleep(600)"])
                time.sleep(600)
            case "eat":
                eat = "import time; food = b'x' * 800_000_000; time.sleep(600)"
                subprocess.run([sys.executable, "-c", eat])
            case "flood":
                os.system("echo the beginning; head -c 30000000 /dev/zero | tr '\\0' x >&2")
                time.sleep(1)  # more than the time between two looks at a log
                os.system("head -c 30000000 /dev/zero | tr '\\0' x; echo; sleep 1; echo the end")
            case "memory":
                raise MemoryError("too much fruit")
            case "full disk":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "details":
                return Secretive(train)
            case "code 0":
                bad = train.rows.assign(user=np.zeros(len(train), np.int32))
                return Rows(Table(bad, train.schema, train.labels))
            case "schema":
                return Rows(Table(train.rows[["user"]], Schema(train.schema.fields[:1]), train.labels))
            case "print":
                os.system("echo a child speaks")
                print("\x1b[2Jloud" * 100_000)
        return Rows(train)


class Secretive(Rows):
    """Says nothing of its fit."""

    @property
    def details(self) -> Mapping[str, float | str]:
        raise RuntimeError("not for you")


class FlawedError(Exception):
    """One that cannot say what it is."""

    def __str__(self) -> str:
        raise AttributeError("no message")


def leave_orphans() -> None:
    """Start helpers that nothing ties to this process: no mark in their environment, sessions of their own."""
    wait = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    helper = subprocess.Popen(wait, env={}, start_new_session=True)
    read, write = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(write, str(os.getpid()).encode())
            os.execve(sys.executable, wait, {})
        os._exit(0)
    print(f"started {helper.pid}\nstarted {int(os.read(read, 100))}", flush=True)  # no time for anybody to look


def settings_of_torch() -> None:
    import torch

    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)


def patch_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    LogisticRegression.predict_proba = lambda self, rows: np.full((len(rows), 2), 0.5)


def hook_all_of_torch() -> None:
    import torch

    torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 0)


def enter_a_mode_of_torch() -> None:
    from torch.overrides import BaseTorchFunctionMode

    BaseTorchFunctionMode().__enter__()


def raise_what_scipy_ignores() -> None:
    import scipy.special

    scipy.special.seterr(all="raise")


def move_the_clocks() -> None:
    os.environ["TZ"] = "XYZ-7"
    time.tzset()


CARELESS: dict[str, Callable[[], object]] = {
    "torch": settings_of_torch,
    "hook of torch": hook_all_of_torch,
    "mode of torch": enter_a_mode_of_torch,
    "folder": lambda: os.chdir("/"),
    "time zone": move_the_clocks,
    "code": lambda: setattr(Table.digest, "__code__", (lambda self: "").__code__),
    "defaults": lambda: setattr(pd.DataFrame.duplicated, "__defaults__", (None, False)),
    "code of a property": lambda: setattr(Table.click_rate.fget, "__code__", (lambda self: 0.5).__code__),
    "alarm": lambda: signal.alarm(600),
    "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "file size": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    "few files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)),
    "recursion": lambda: sys.setrecursionlimit(150),
    "umask": lambda: os.umask(0o777),
    "priority": lambda: os.nice(1),
    "errors of numpy": lambda: np.seterr(all="raise"),
    "warnings": lambda: warnings.simplefilter("error"),
    "patch": lambda: setattr(np, "clip", lambda values, low, high, **more: values * 0),
    "method": lambda: setattr(pd.DataFrame, "reset_index", lambda *more: None),
    "property": lambda: setattr(Table, "click_rate", property(lambda self: 0.5)),
    "method of a library": patch_scikit_learn,
    "standard library": lambda: setattr(hashlib, "sha256", hashlib.sha1),
    "constant": lambda: setattr(math, "pi", 3.0),
    "constant of ours": lambda: setattr(contract, "LARGEST", 0),
    "finder of modules": lambda: sys.meta_path.insert(0, sys.meta_path[-1]),
    "garbage that calls": lambda: gc.callbacks.append(lambda *_: None),
    "closed output": lambda: sys.stdout.close(),
    "thread": lambda: threading.Thread(target=time.sleep, args=(600,), daemon=True).start(),
    "environment": lambda: os.environ.update(PATH="/nowhere"),
    "imports": lambda: sys.path.clear(),
    "more imports": lambda: sys.path.insert(0, "/tmp"),
    "options of pandas": lambda: pd.set_option("mode.chained_assignment", "raise"),
    "garbage": gc.disable,
    "standard output": lambda: setattr(sys, "stdout", None),
    "a module": lambda: sys.modules.pop("json"),
    "no module": lambda: sys.modules.update(lightgbm=None),
    "stub of a module": lambda: sys.modules.update(optuna=types.ModuleType("optuna")),
    "stub below a library": lambda: sys.modules.update({"scipy.odr": types.ModuleType("scipy.odr")}),
    "patience of sockets": lambda: socket.setdefaulttimeout(0.001),
    "inherited method": lambda: setattr(pd.DataFrame, "take", lambda *more: None),
    "errors of scipy": raise_what_scipy_ignores,
    "buffers of numpy": lambda: np.setbufsize(16),
    "traps of decimals": lambda: decimal.getcontext().traps.update({decimal.Inexact: True}),
    "temporary files": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "tracing memory": tracemalloc.start,
    "garbage that is kept": lambda: gc.set_debug(gc.DEBUG_SAVEALL),
    "profile of threads": lambda: threading.setprofile(lambda *_: None),
    "stack of threads": lambda: threading.stack_size(2**16),
}
"""What careless plug-ins do to the process they run in."""


def escape() -> None:
    """Start children in every way in which one can leave a family, and print their numbers."""
    say = "import os, time; print(f'started {os.getpid()}', flush=True); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", say], start_new_session=True)
    subprocess.Popen(["setsid", "--fork", "nohup", sys.executable, "-c", say])
    subprocess.Popen(["setsid", "--fork", "env", "-i", sys.executable, "-c", say])
    if not os.fork():
        os.setsid()
        if not os.fork():
            print(f"started {os.getpid()}", flush=True)
            time.sleep(600)
        os._exit(0)
    while Path("/proc/self/fd/1").read_text().count("started ") < 4:  # standard output is the task's log
        time.sleep(0.1)


@dataclass(frozen=True)
class Stuck(Misbehaves):
    """Hangs in native code."""

    name: ClassVar[str] = "stuck"
    how: Annotated[str, "what to do"] = "stuck"


@dataclass(frozen=True)
class Dead(Misbehaves):
    """Ends its process."""

    name: ClassVar[str] = "dead"
    how: Annotated[str, "what to do"] = "die"


@dataclass(frozen=True)
class Trapped(Misbehaves):
    """Fails where a neighbour has been whose trace nobody looks for."""

    name: ClassVar[str] = "trapped"
    always: Annotated[bool, "whether it fails by itself too"] = False

    def fit(self, train: Table, *, seed: int, context: Context) -> Sampler:
        print("tried", flush=True)
        if self.always or hasattr(sys, "toy_trap"):
            os._exit(5) if self.how == "die" else self.trip()
        return Rows(train)

    def trip(self) -> None:
        raise RuntimeError("trapped")


@dataclass(frozen=True)
class Careless(Misbehaves):
    """Leaves a setting of numpy changed."""

    name: ClassVar[str] = "careless"
    how: Annotated[str, "what to do"] = "errors of numpy"


@dataclass(frozen=True)
class Forking(Misbehaves):
    """Makes a copy of the process that it is fitted in."""

    name: ClassVar[str] = "forking"
    how: Annotated[str, "what to do"] = "fork"


@dataclass(frozen=True)
class Interrupting(Misbehaves):
    """Does as Ctrl-C does."""

    name: ClassVar[str] = "interrupting"
    how: Annotated[str, "what to do"] = "interrupt"


@dataclass(frozen=True)
class RatePredictor(Predictor):
    """Click rates by item code."""

    rates: np.ndarray

    def predict(self, rows: Table) -> np.ndarray:
        assert rows.labels is None, "labels must be withheld"
        return self.rates[rows.rows["item"].to_numpy()]


@dataclass(frozen=True)
class Rate(Model):
    """The item's click rate, with a little noise of the seed."""

    name: ClassVar[str] = "rate"
    noise: Annotated[float, "sd of what the seed adds", Ge(0)] = 0.01

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        size = train.schema.fields[1].vocab_size
        shown = np.bincount(train.rows["item"], minlength=size)
        clicked = np.bincount(train.rows["item"], weights=train.targets, minlength=size)
        noise = self.noise * np.random.default_rng(seed).standard_normal(size)
        return RatePredictor(np.clip((clicked + 1) / (shown + 2) + noise, 0, 1))


@dataclass(frozen=True)
class CachedRate(Rate):
    """Keeps what it has learned once for whatever it is to learn later."""

    name: ClassVar[str] = "cached_rate"

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        if "learned" not in vars(type(self)):
            type(self).learned = super().fit(train, valid, seed=seed, context=context)
        return self.learned


@dataclass(frozen=True)
class FiveSteps(Bootstrap):
    """Takes no fewer steps than five."""

    name: ClassVar[str] = "five_steps"
    steps: Annotated[int, "how often", Budgeted(), Ge(5)] = 50

    def __post_init__(self) -> None:
        if self.steps < 5:
            raise ValueError(f"steps={self.steps}")


@dataclass(frozen=True)
class NanModel(Model):
    """Predicts no numbers."""

    name: ClassVar[str] = "nan_model"

    def fit(self, train: Table, valid: Table, *, seed: int, context: Context) -> Predictor:
        return RatePredictor(np.full(7, np.nan))


@dataclass(frozen=True)
class Hits(PredictionMetric):
    """Mean probability of the clicked rows less that of the others."""

    name: ClassVar[str] = "hits"
    better: ClassVar = "higher"
    unit: ClassVar[str] = "probability"

    def score(self, predictions: Predictions) -> Score:
        clicked = predictions.rows.targets == 1
        return Score(float(predictions.probabilities[clicked].mean() - predictions.probabilities[~clicked].mean()))


@dataclass(frozen=True)
class Same(SyntheticMetric):
    """Rows of the pool; real rows of the holdout as baseline."""

    name: ClassVar[str] = "same"
    better: ClassVar = "lower"
    unit: ClassVar[str] = "rows"

    def score(self, synthetic: Table, *, train: Table, holdout: Table, reference: Table, seed: int) -> Score:
        return Score(len(synthetic), float(len(holdout)), {"users": float(synthetic.rows["user"].nunique())})


heard: list[object] = []


@hookimpl
def register_datasets(register) -> None:
    register(ToyLog)
    register(AbsentLog)
    register(RottenLog)


@hookimpl
def register_generators(register) -> None:
    for generator in (Bootstrap, Twin, Confused, Negatives, Misbehaves):
        register(generator)


@hookimpl
def register_models(register) -> None:
    register(Rate)
    register(NanModel)


@hookimpl
def register_metrics(register) -> None:
    register(Hits)
    register(Same)


@hookimpl
def cell_finished(result) -> None:
    heard.append(result)
