"""What of a process outlives a task, or an import: whatever one plug-in changes there, the next one would suffer.

In: a worker that is about to begin its first task, or a copy of the driver that is about to import something. Out:
afterwards what is not as it was, in words; a worker of which anything is said is replaced.
"""

from __future__ import annotations

import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import operator
import os
import re
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import tracemalloc
import types
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from typing import Any

_LEAVE = 0.3  # seconds that a thread has to end after its task
_FILES = 64  # open files that a task may leave: libraries that it loaded keep some
_PR_GET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_GET_CHILD_SUBREAPER = 2, 3, 37
_LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_")]
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_STANDARD = (
    "builtins|bisect|collections|contextlib|copy|csv|dataclasses|datetime|decimal|functools|glob|gzip|hashlib|heapq|html"
    "|importlib|io|itertools|json|logging|math|multiprocessing|operator|os|pathlib|pickle|posixpath|queue|random|re|shutil"
    "|signal|sqlite3|statistics|string|struct|subprocess|tempfile|threading|time|traceback|uuid|zipfile"
)  # not inspect and types, of which compiled libraries replace parts as they load
_LIBRARIES = (
    "copulas|fuxictr|imblearn|joblib|lightgbm|numpy|optuna|pandas|pooch|pyarrow|requests|scipy|sdmetrics|sdv|sklearn"
    "|yaml"
)
_WATCHED = re.compile(
    rf"({_STANDARD}|{_LIBRARIES}|click|ctgan|ctrbench\w*|jinja2|pluggy|psutil|pydantic|rdt|rich"
    r"|sqlalchemy|tabulate|threadpoolctl)(\.(?!_).*)?"
    r"|pandas\.core\..*|torch(\.nn|\.nn\.(functional|init)|\.nn\.modules\.\w+|\.optim(\.\w+)?|\.autograd|\.linalg)?"
)
"""Modules whose functions and classes must stay what they are: what the harness and built-in plug-ins use."""

_OURS = re.compile(r"ctrbench\w*(\..*)?")
"""Modules whose constants must stay what they are, too."""

_POLARS = "_RJEM_MALLOC_CONF"
"""A variable to which polars, which fuxictr loads, adds as it is imported, whatever is there already."""

_CONSTANTS = (bool, int, float, str, bytes, tuple, frozenset, re.Pattern)

_Entry = tuple[Mapping[str, Any], str, tuple[str, ...], tuple[Any, ...]]
"""A module or class and its name; names in it, and their values."""


class Watch:
    """The state of this process as it was; libraries that a task loads join it as they are when it ends."""

    def __init__(self) -> None:
        self._before = {what: _look(look) for what, look in _PARTS.items()}
        self._threads = set(sys._current_frames())
        self._environment = dict(os.environ)
        self._path, self._finders = list(sys.path), list(sys.meta_path)
        self._modules: dict[str, Any] = {}
        self._classes: dict[type, tuple[int, tuple[str, ...]]] = {}  # how much stands in each, and its methods
        self._code: list[_Entry] = []
        self._bodies: dict[types.FunctionType, tuple[Any, ...]] = {}
        self._learn()

    def changes(self, *, patches: bool = True, but: Collection[str] = ()) -> list[str]:
        """What is not as it was, but for some parts; `patches` of functions take the longest to look for."""
        faulthandler.cancel_dump_traceback_later()  # it may end this process, and nobody can ask whether it will
        parts = {what: look for what, look in _PARTS.items() if what not in but}
        found = [what for what, look in parts.items() if not _equal(self._before[what], _look(look))]
        found += self._environment_and_path() + (self._patches() if patches else []) + self._left_threads()
        self._learn()
        return found

    def _environment_and_path(self) -> list[str]:
        """Where libraries leave something as they are loaded: new variables are taken out, folders of theirs stay."""
        found = (
            []
            if all(os.environ.get(name) == value for name, value in self._environment.items() if name != _POLARS)
            else ["the environment"]
        )
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        known = tuple(f"{folder}{os.sep}" for folder in self._path if folder)
        paths = [path for path in sys.path if path in self._path or not str(path).startswith(known)]
        finders = sys.meta_path[: len(self._finders)]
        if paths[: len(self._path)] != self._path or finders != self._finders:  # what is added behind them harms nobody
            found.append("the path of imports")
        return found

    def _patches(self) -> list[str]:
        """Functions, classes and methods that others have taken the place of, and modules that are gone."""
        found = []
        for at, (where, place, names, values) in enumerate(self._code):
            if not all(map(operator.is_, map(where.get, names), values)):
                now = tuple(map(where.get, names, values))
                pairs = zip(names, values, now, strict=True)
                new = [name for name, old, value in pairs if old is not value and not _is_at_home(value, place)]
                found += [f"{place}.{name}" for name in new]
                self._code[at] = where, place, names, now
        for function, body in self._bodies.items():
            if not all(map(operator.is_, _body(function), body)):
                found.append(f"{function.__module__}.{function.__qualname__}")
                self._bodies[function] = _body(function)
        found += [name for name, module in self._modules.items() if sys.modules.get(name) is not module]
        return (found + self._overrides() + self._stubs())[:3]

    def _overrides(self) -> list[str]:
        """New methods of classes, in the place of those that they inherit."""
        found = []
        for cls, (size, known) in self._classes.items():
            if len(vars(cls)) != size:
                new = {word: value for word, value in _methods(cls).items() if word not in known}
                self._classes[cls] = len(vars(cls)), (*known, *new)
                place = f"{cls.__module__}.{cls.__qualname__}"
                inherited = [word for word in new if any(word in vars(base) for base in cls.__mro__[1:])]
                found += [f"{place}.{word}" for word in inherited if not _is_at_home(new[word], place)]
        return found

    def _stubs(self) -> list[str]:
        """What was put in the place of libraries that are not loaded, so that nobody else can load them."""
        odd = [
            name
            for name, module in list(sys.modules.items())
            if module is None or (getattr(module, "__spec__", None) is None and not _is_part(name, module))
        ]
        return [name for name in odd if name not in self._modules and _WATCHED.fullmatch(name)]

    def _left_threads(self) -> list[str]:
        give_up = time.monotonic() + _LEAVE
        while (left := self._foreign_threads()) and time.monotonic() < give_up:
            time.sleep(0.01)
        return [f"the thread {name}" for name in left[:3]]

    def _foreign_threads(self) -> list[str]:
        """The names of Python's threads that a task has started, but for the one by which tqdm looks after its bars."""
        known = {thread.ident: thread for thread in threading.enumerate()}
        found = [known.get(number) for number in set(sys._current_frames()) - self._threads]
        return [thread.name if thread else "without a name" for thread in found if not _is_harmless(thread)]

    def _learn(self) -> None:
        """Take in the libraries that were loaded since the last look."""
        for name, module in list(sys.modules.items()):
            if name not in self._modules and module is not None and _WATCHED.fullmatch(name):
                self._modules[name] = module
                self._take_in(vars(module), name)
        for what, look in _PARTS.items():
            if self._before[what] is _UNLOADED:
                self._before[what] = _look(look)

    def _take_in(self, module: Mapping[str, Any], name: str) -> None:
        """The callables of a module, some of its constants, and what the classes among them have for methods."""
        ours = bool(_OURS.fullmatch(name))
        values = list(module.items())
        kept = {word: value for word, value in values if callable(value) or _is_constant(word, value, ours=ours)}
        self._code.append((module, name, tuple(kept), tuple(kept.values())))
        self._take_bodies(kept.values())
        for value in kept.values():
            if isinstance(value, type) and value not in self._classes:
                methods = _methods(value)
                self._classes[value] = len(vars(value)), tuple(methods)
                place = f"{value.__module__}.{value.__qualname__}"
                self._code.append((vars(value), place, tuple(methods), tuple(methods.values())))
                self._take_bodies(methods.values())

    def _take_bodies(self, values: Iterable[Any]) -> None:
        """What functions do: another's code can be put into one that stays where it is."""
        for value in values:
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if type(function) is types.FunctionType and function not in self._bodies:
                self._bodies[function] = _body(function)


def _methods(cls: type) -> dict[str, Any]:
    """What a class has of its own for methods, properties and the like."""
    return {word: what for word, what in list(vars(cls).items()) if hasattr(type(what), "__get__")}


def _body(function: types.FunctionType) -> tuple[Any, ...]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _is_constant(word: str, value: Any, *, ours: bool) -> bool:
    """Such as math.pi, or one of ours, which are written in capitals."""
    return type(value) is float or (ours and word.lstrip("_").isupper() and isinstance(value, _CONSTANTS))


def _is_at_home(value: Any, place: str) -> bool:
    """Whether a new function is its package's own, or a library's.

    torch puts other ones in place as it loads, and so does ray, which fuxictr loads.
    """
    file = getattr(getattr(value, "__code__", None), "co_filename", "")
    homes = filter(None, (place.partition(".")[0], "torch", "ray", *_LIBRARIES.split("|")))
    return any(f"{os.sep}{home}{os.sep}" in file for home in homes)


def _strange(hook: Any) -> Any:
    """A hook, unless it is Python's or a library's."""
    return None if isinstance(hook, types.BuiltinFunctionType) or _is_at_home(hook, "") else hook


def _is_part(name: str, module: Any) -> bool:
    """Whether it is what libraries put below themselves: a class of their own, or a part of what was compiled."""
    return "." in name and (type(module) is not types.ModuleType or "._" in name)


def _is_harmless(thread: threading.Thread | None) -> bool:
    return type(thread).__module__.startswith("tqdm")


_UNLOADED = object()
"""What is said of a library that is not loaded."""


def _look(part: Callable[[], Any]) -> Any:
    try:
        return part()
    except Exception as error:  # it may have been taken apart
        return f"cannot be read: {type(error).__name__}"


def _equal(before: Any, now: Any) -> bool:
    """A library that was loaded meanwhile must be as it comes, so far as that is known."""
    return bool(
        now == before or (before is _UNLOADED and (not isinstance(now, tuple) or now == _FRESH.get(now[0], now)))
    )


def _signals() -> Any:
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    timers = [signal.getitimer(which)[1] for which in _TIMERS] + [signal.getitimer(which)[0] > 0 for which in _TIMERS]
    return handlers, timers, signal.pthread_sigmask(signal.SIG_BLOCK, ())


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def _rights() -> Any:
    return os.getresuid(), os.getresgid(), os.getpgrp(), os.getsid(0), os.getgroups(), _kernel()


def _share() -> Any:
    """Of the machine's time: what only makes it slower, and others may change from outside."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return os.getpriority(os.PRIO_PROCESS, 0), processors


def _kernel() -> Any:
    """What the kernel keeps of this process beside."""
    if sys.platform != "linux":
        return None
    prctl, answer = ctypes.CDLL(None).prctl, ctypes.c_int()
    asked = [prctl(what, ctypes.byref(answer)) or answer.value for what in (_PR_GET_PDEATHSIG, _PR_GET_CHILD_SUBREAPER)]
    return asked, prctl(_PR_GET_DUMPABLE)


def _umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before


def _surroundings() -> Any:
    return os.getcwd(), tempfile.tempdir or _usual_tempdir(), time.tzname, time.timezone


@cache
def _usual_tempdir() -> str:
    """Where temporary files go; it is found out and not remembered, as a task may say so itself by TMPDIR."""
    try:
        return tempfile.gettempdir()
    finally:
        tempfile.tempdir = None


def _interpreter() -> Any:
    return (
        sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), gc.isenabled(),
        gc.get_threshold(), gc.get_debug(), [*filter(_strange, gc.callbacks)], sys.gettrace(), sys.getprofile(),
        threading.gettrace(), threading.getprofile(), threading.stack_size(), tracemalloc.is_tracing(),
        *map(_strange, (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook)), [*sys.path_hooks],
        [(stream, getattr(stream, "closed", None)) for stream in (sys.stdout, sys.stderr)],
        multiprocessing.get_start_method(allow_none=True), socket.getdefaulttimeout(),
    )  # fmt: skip


def _arithmetic() -> Any:
    """Rounding, and numbers too small to be normal: a processor's modes, which any library may set."""
    tiny, one, three = sys.float_info.min, float("1"), float("3")
    context = decimal.getcontext()
    decimals = context.prec, context.rounding, context.Emin, context.Emax, dict(context.traps)
    return tiny / 2 > 0, one / three, -one / three, decimals, locale.setlocale(locale.LC_ALL)


def _warnings() -> Any:
    """Those that are errors; libraries add many others as they are loaded."""
    return [entry for entry in warnings.filters if entry[0] == "error"]


def _open_files() -> Any:
    return len(os.listdir("/proc/self/fd")) // _FILES if os.path.isdir("/proc/self/fd") else 0


def _numpy() -> Any:
    numpy = sys.modules.get("numpy")
    return ("numpy", numpy.geterr(), numpy.geterrcall(), numpy.getbufsize()) if numpy else _UNLOADED


def _scipy() -> Any:
    """Which of its errors are raised, but for want of memory."""
    special = sys.modules.get("scipy.special")
    if not special:
        return _UNLOADED
    return "scipy", {what for what, how in special.geterr().items() if how == "raise"} - {"memory"}


def _pandas() -> Any:
    """Its options, but for those of how it shows tables."""
    pandas = sys.modules.get("pandas")
    if not pandas:
        return _UNLOADED
    options = sys.modules["pandas._config.config"]._global_config
    return {name: repr(value) for name, value in options.items() if name != "display"}


def _sklearn() -> Any:
    sklearn = sys.modules.get("sklearn")
    return sklearn.get_config() if sklearn else _UNLOADED


def _torch() -> Any:
    torch = sys.modules.get("torch")
    if not torch or not hasattr(torch, "is_grad_enabled"):
        return _UNLOADED
    return (
        "torch", torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled(),
        str(torch.get_default_dtype()), str(torch.get_default_device()), torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda"),
        torch.backends.mkldnn.enabled, _meddlers(torch),
    )  # fmt: skip


def _meddlers(torch: Any) -> int:
    """Hooks of all modules or optimisers, and modes, through which every call would go."""
    count = (
        getattr(torch._C, "_len_torch_function_stack", int)() + getattr(torch._C, "_len_torch_dispatch_stack", int)()
    )
    return int(count) + sum(map(len, _global_hooks()))


@cache
def _global_hooks() -> list[Collection[Any]]:
    """The places where torch keeps hooks of all modules and optimisers."""
    places = [vars(sys.modules[f"torch.{name}"]) for name in ("nn.modules.module", "optim.optimizer")]
    return [place[name] for place in places for name in place if re.fullmatch(r"_global_\w+_hooks\w*", name)]


_FRESH: Mapping[str, Any] = {
    "scipy": ("scipy", set()),
    "torch": ("torch", True, False, False, "torch.float32", "cpu", False, "highest", False, False, True, 0),
}
"""A library's state as it comes, for one that a task has loaded."""

_PARTS: Mapping[str, Callable[[], Any]] = {
    "signals or timers": _signals,
    "the process's limits": lambda: [resource.getrlimit(getattr(resource, name)) for name in _LIMITS],
    "the process's rights": _rights,
    "the process's priority or processors (if nobody did so from outside)": _share,
    "the mask of new files": _umask,
    "the working directory, that of temporary files or the time zone": _surroundings,
    "the interpreter": _interpreter,
    "arithmetic": _arithmetic,
    "warnings that are errors": _warnings,
    "open files": _open_files,
    "numpy's handling of errors or size of buffers": _numpy,
    "scipy's handling of errors": _scipy,
    "pandas's options": _pandas,
    "scikit-learn's settings": _sklearn,
    "torch's settings": _torch,
}

OF_WORKERS = (
    "the process's priority or processors (if nobody did so from outside)", "warnings that are errors", "open files",
    "numpy's handling of errors or size of buffers", "scipy's handling of errors", "pandas's options",
    "scikit-learn's settings", "torch's settings",
)  # fmt: skip
"""Parts that matter where arithmetic is done, and not where modules are only imported."""


@contextmanager
def put_back() -> Iterator[None]:
    """What modules like to set as they are imported is afterwards as it was, and what they print goes nowhere."""
    environment, recursion, log = dict(os.environ), sys.getrecursionlimit(), logging.root
    level, disabled, handlers = log.level, log.manager.disable, list(log.handlers)
    numpy = sys.modules.get("numpy")
    with _silent(), _same_folder(), warnings.catch_warnings(), numpy.errstate() if numpy else nullcontext():
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            time.tzset()
            sys.setrecursionlimit(recursion)
            log.setLevel(level)
            log.manager.disable, log.handlers = disabled, handlers


@contextmanager
def _same_folder() -> Iterator[None]:
    """The working directory stays what it is, if it is still there."""
    try:
        here = os.open(os.curdir, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is printed, by whatever means."""
    flush()
    before = {}
    for number in (1, 2):
        with suppress(OSError):  # it is closed
            before[number] = os.dup(number)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in before:
            os.dup2(nothing, number)
        yield
        flush()
    finally:
        for number, file in before.items():
            os.dup2(file, number)
        for file in (*before.values(), nothing):
            os.close(file)


def flush() -> None:
    """Write out what was printed so far, as far as there is somewhere to write it."""
    for name in ("stdout", "stderr"):
        with suppress(Exception):  # there is none, or it is closed
            getattr(sys, name).flush()
