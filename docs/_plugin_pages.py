"""Pages on what is installed, from the plug-ins' own docstrings and parameters.

In: the registry. Out: a Markdown page for each kind of plug-in, which say what `ctrbench show` says, for all of them.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from ctrbench import Generator, MethodRole, PredictionMetric, SyntheticMetric, params
from ctrbench.registry import PluginKind, Registered, load_registry
from ctrbench.scenarios import Scenario

INTRODUCTIONS: dict[PluginKind, tuple[str, str]] = {
    "dataset": (
        "Data sets",
        "`-d NAME` runs on one. [Your own log](../../data.md) and [the public logs](../../logs.md) say more of them.",
    ),
    "generator": (
        "Generators",
        "`-g NAME` makes its pools. [The methods](../../methods.md) says what stands behind each, and which of them "
        "are controls: they show what rows are worth that nobody would call synthetic data.",
    ),
    "model": ("CTR models", "`-m NAME` trains it on every scenario's table."),
    "metric": (
        "Metrics",
        "`-k NAME` asks for it. What each proves and what it does not stands in its text here, and with measurements "
        "in [the metrics](../../metrics.md). No number of one run proves that rows are private: a low value says that "
        "this attack found nothing.",
    ),
    "scenario": ("Scenarios", "`-s NAME`: which shares of real train and of a pool make a training table."),
}


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = load_registry()
    for kind, (title, text) in INTRODUCTIONS.items():
        parts = [f"# {title}\n", f"{text}\n", "What follows is what the installed plug-ins say of themselves.\n"]
        parts += [_section(plugin) for plugin in registry.of_kind(kind)]
        page, written = folder / f"{kind}s.md", "\n".join(parts)
        if not page.exists() or page.read_text(encoding="utf-8") != written:  # else Sphinx need not read it again
            page.write_text(written, encoding="utf-8")


def _section(plugin: Registered) -> str:
    lines = [f"## {plugin.name}\n"]
    if isinstance(plugin.thing, Scenario):
        lines += [f"{plugin.thing.help}\n", "| | |", "| --- | --- |"]
        lines += [f"| {name} | {_code(value)} |" for name, value in vars(plugin.thing).items() if name != "help"]
        return "\n".join(lines) + "\n"
    thing = plugin.plugin
    lines.append(f"{inspect.getdoc(thing)}\n")
    if issubclass(thing, Generator) and thing.role is MethodRole.CONTROL:
        lines.append("*A control: it shows what the rows of others are worth.*\n")
    if issubclass(thing, PredictionMetric | SyntheticMetric):
        about = f"of synthetic rows, {thing.aspect}" if issubclass(thing, SyntheticMetric) else "of predictions"
        better = "neither side is better" if thing.better == "neither" else f"{thing.better} is better"
        lines.append(f"*A metric {about}; in {thing.unit}; {better}.*\n")
    if found := params.parameters(thing):
        lines += ["| parameter | type | default | range | what it is |", "| --- | --- | --- | --- | --- |"]
        for each in found:
            scaled = " (scaled by `--budget`)" if each.budgeted else ""
            cells = (_code(each.name), _code(each.type), _code(each.default), each.limits, f"{each.help}{scaled}")
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _code(value: object) -> str:
    text = f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)
    return f"`{text}`" if text else "empty"
