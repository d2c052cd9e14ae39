"""Checks of what a plug-in says about itself, before it does anything.

In: a registered class. Out: results in the report, and the plug-in with its defaults, where they can be used.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from ctrbench import params
from ctrbench.conformance._recorder import Recorder
from ctrbench.contract import expect
from ctrbench.errors import Skip
from ctrbench.jobs import PluginCall

if TYPE_CHECKING:
    from ctrbench.interfaces import Plugin
    from ctrbench.registry import Registered

HEAVY = ("torch", "sdv", "ctgan", "fuxictr", "pandas", "sklearn", "imblearn", "scipy", "pyarrow", "ray")
IMPORT_SECONDS = 0.5
HELP_LENGTH = 110


def check_declaration(report: Recorder, registered: Registered) -> Plugin | None:
    """Check the class, its docstring, module and parameters."""
    cls = registered.plugin
    report.check("own dataclass", lambda: _expect_dataclass(cls))
    report.check("one line of help", lambda: _expect_docstring(cls))
    report.check("import cheap and without effects", lambda: _expect_cheap_import(cls.__module__))
    report.check("parameters explained", lambda: _expect_help(cls))
    plugin = report.check("defaults valid", lambda: _valid_defaults(registered))
    if plugin is not None:
        report.check("another process can make it", lambda: _expect_transportable(registered, plugin))
    return plugin


def _expect_dataclass(cls: type[Plugin]) -> None:
    own = vars(cls).get("__dataclass_params__")
    expect(own is not None and own.frozen, f"{cls.__name__} needs its own @dataclass(frozen=True)")


def _expect_docstring(cls: type[Plugin]) -> None:
    if sys.flags.optimize >= 2:
        raise Skip("python -OO drops docstrings")
    lines = inspect.cleandoc(vars(cls).get("__doc__") or "").split("\n")
    written = lines[0] and not lines[0].startswith(f"{cls.__name__}(")  # dataclass writes a signature there
    expect(written, "the docstring's first line is the help: write it")
    expect(lines[0].endswith((".", "?", "!")), f"the docstring's first line is not a sentence: {lines[0]!r}")
    expect(len(lines) == 1 or not lines[1], f"the docstring's first sentence runs on: {lines[1:2]}")
    expect(len(lines[0]) <= HELP_LENGTH, f"the docstring's first line has {len(lines[0])} letters, over {HELP_LENGTH}")


_IMPORT = """
import json, logging, os, random, sys, time, warnings
import numpy, ctrbench
def state():
    numbers = numpy.random.get_state()
    return {"the warning filters": len(warnings.filters), "the log handlers": len(logging.root.handlers),
            "the environment": sorted(os.environ.items()), "the working directory": os.getcwd(),
            "the random state": [repr(random.getstate()), repr(numbers[1].tolist()), numbers[2]]}
before, start = state(), time.process_time()
__import__(sys.argv[1])
seconds, after = time.process_time() - start, state()
print(json.dumps([seconds, sorted(name for name in before if before[name] != after[name]), sorted(sys.modules)]))
"""


def _expect_cheap_import(module: str) -> None:
    if module == "__main__":
        raise Skip("it stands in the main script, which cannot be imported by itself")
    status, output, complaint = _imported_alone(module)
    expect(status == 0, f"importing {module} by itself fails: {complaint}")
    seconds, changed, loaded = json.loads(output)
    heavy = [name for name in HEAVY if name in loaded]
    expect(not heavy, f"importing {module} imports {', '.join(heavy)}: do that inside the method that needs it")
    expect(not changed, f"importing {module} changes {' and '.join(changed)}")
    expect(seconds < IMPORT_SECONDS, f"importing {module} takes {seconds:.2f} s, over {IMPORT_SECONDS} s")


@cache
def _imported_alone(module: str) -> tuple[int, str, str]:
    """The exit status and the last lines of output and errors of a process that imports the module."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-c", _IMPORT, module]  # -P: nothing is imported from the working directory
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    output, errors = (text.strip().split("\n")[-1] for text in (done.stdout, done.stderr))
    return done.returncode, output, errors or "no message"


def _expect_help(cls: type[Plugin]) -> None:
    mute = [parameter.name for parameter in params.parameters(cls) if not parameter.help]
    expect(not mute, f'no help for {", ".join(mute)}: write Annotated[TYPE, "the help"]')


def _valid_defaults(registered: Registered) -> Plugin:
    plugin = registered.plugin()
    written = params.label(plugin, params.values(plugin))
    read = params.build(registered.plugin, str(registered), params.parse(written).values)
    expect(read == plugin, f"its defaults, written as {written}, are read back as other values: {read}")
    return plugin


def _expect_transportable(registered: Registered, plugin: Plugin) -> None:
    call = PluginCall.of(registered, plugin)
    json.dumps(call.parameters, allow_nan=False)
    expect(not (other := call.otherwise(plugin)), other)
