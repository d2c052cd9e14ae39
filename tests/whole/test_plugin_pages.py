"""The pages on plug-ins do what they say: each step is a module that passes every check, each command is one."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ctrbench import Results, Table
from ctrbench.cli import main
from ctrbench.conformance import check_plugin
from ctrbench.registry import Registry, load_registry
from places import ROOT

PAGES = ROOT / "docs" / "plugins"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
STEPS = [
    (page.stem, number, source)
    for page in sorted(PAGES.glob("*.md"))
    for number, source in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    if "@hookimpl" in source
]
FILMS = "user,film,liked\n" + "".join(f"u{i % 7},f{i % 5},{int(i % 3 == 0)}\n" for i in range(300))


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the modules of a page importable, here and in other processes, and loads one step of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def load(page: str, number: int, source: str) -> Registry:
        for block in BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")):
            if named := re.match(r"# (\w+\.py)\n", block):
                (tmp_path / named[1]).write_text(block, encoding="utf-8")
        module = f"step_{page}_{number}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        sys.modules.pop(module, None)
        return load_registry([EntryPoint(f"step{number}", module, "ctrbench")])

    return load


@pytest.mark.parametrize(("page", "number", "source"), STEPS, ids=lambda value: str(value)[:12])
def test_each_step_keeps_the_contract(registered, page: str, number: int, source: str) -> None:
    registry = registered(page, number, source)
    assert not registry.broken, registry.broken
    [plugin] = [each for each in registry.plugins if each.kind != "scenario"]
    checked = check_plugin(plugin)
    assert [f"{each.name}: {each.message}" for each in checked if each.status == "failed"] == []


def test_each_page_is_built_up_in_steps() -> None:
    steps = [page for page, _, _ in STEPS]
    assert {page: steps.count(page) for page in steps} == {"dataset": 2, "generator": 2, "metric": 3, "model": 3}


def test_the_data_set_of_a_file_reads_one(registered, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text(FILMS)
    page, number, source = next(step for step in STEPS if "class Films" in step[2])
    [films] = registered(page, number, source).of_kind("dataset")
    splits = films.plugin(path="films.csv").load(seed=1, context=None)
    assert isinstance(splits.train, Table)
    assert [len(table) for table in (splits.train, splits.valid, splits.test)] == [180, 60, 60]


def test_hidden_classes_keep_what_independent_fields_lose(registered, tmp_path: Path) -> None:
    import ctrbench

    page, number, source = next(step for step in STEPS if "class LatentClasses" in step[2])
    [found] = registered(page, number, source).of_kind("generator")
    results: Results = ctrbench.run(
        datasets="simulated[train_rows=6000, valid_rows=2000, test_rows=4000]",
        generators=[found.plugin(), "independent[given=nothing]"],
        models="logistic",
        metrics="auc",
        scenarios=["S5"],
        repeats=1,
        store=tmp_path / "r.db",
        executor="inline",
        progress=False,
    )
    assert not results.failures
    auc = results.frame("cells").set_index("generator")["auc"]
    assert auc["latent_classes"] > auc["independent[given=nothing]"] + 0.05


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_commands_of_the_pages_are_commands(page: Path) -> None:
    for line in re.findall(r"^ctrbench .*$", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert shlex.split(line)[1] in main.commands
