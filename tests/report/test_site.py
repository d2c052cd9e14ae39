"""The site of several runs: what it shows of whom, and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import pytest
from click.testing import CliRunner
from ctrbench.cli import main
from ctrbench.errors import UserError
from ctrbench.interfaces import MethodRole, Score
from ctrbench.registry import Registry
from ctrbench.report.site import Source, _sections, over_all, write
from ctrbench.report.tables import Grid
from ctrbench.results import Environment, GeneratorInfo
from ctrbench.store import transfer
from ctrbench.store.store import Store
from ctrbench.verdict import verdicts
from handmade import FAILED, INFO, cell, results
from recording import SUITE, Bench


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, toy_registry: Registry) -> tuple[Path, Path, list[str]]:
    """A folder with a store, an archive of another store, and the names of the runs in them."""
    mine, theirs = (Bench(tmp_path_factory.mktemp(name), toy_registry) for name in ("mine", "theirs"))
    few = replace(SUITE, generators=("bootstrap",), models=("rate",), repeats=2)
    names = [mine.run(few)[1].run, theirs.run(replace(few, seed=7, generators=("bootstrap", "twin")))[1].run]
    archive = tmp_path_factory.mktemp("sent") / "theirs.zip"
    with closing(Store.open(str(theirs.folder / "results.db"))) as store:
        transfer.export(store, archive)
    return mine.folder, archive, names


def test_a_site_has_a_leaderboard_for_each_data_set_and_every_runs_report(
    places: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    folder, archive, names = places
    assert write([folder, archive], tmp_path / "site") == names
    text = (tmp_path / "site" / "index.html").read_text()
    headings = re.findall('<h2 id="data-.">(.*?)</h2>', text)
    assert [each[: len("toy_log: hits (data ")] for each in headings] == ["toy_log: hits (data "] * 2, "two draws of it"
    for file in re.findall('href="(runs/.*?)"', text):
        assert "Does synthetic data help?" in (tmp_path / "site" / file).read_text()
    assert all(text.count(f">{name}</a>") == 2 for name in names), "beside its leaderboard, and in the list of runs"
    assert "from theirs.zip" in text
    assert text.count("<caption>Where each candidate does best in hits, by the run with most repeats</caption>") == 1
    first = (tmp_path / "site" / "index.html").read_bytes()
    write([folder, archive], tmp_path / "site", force=True)
    assert (tmp_path / "site" / "index.html").read_bytes() == first


def test_runs_without_an_answer_are_named(
    places: tuple[Path, Path, list[str]], tmp_path: Path, toy_registry: Registry
) -> None:
    bench = Bench(tmp_path, toy_registry)
    silent = bench.run(replace(SUITE, generators=(), models=("rate",), scenarios=("original",), repeats=1))[1].run
    assert silent not in write([places[0], tmp_path], tmp_path / "site")
    text = (tmp_path / "site" / "index.html").read_text()
    assert f"<li>{silent}: suite toys, 1 repeat" in text.partition("Without an answer, and so without a report")[2]
    write([places[0]], tmp_path / "site", force=True)
    assert "Without an answer" not in (tmp_path / "site" / "index.html").read_text()


_CUT_CAPTIONS = """[...document.querySelectorAll("caption")].filter(caption => {
    const box = caption.closest(".scroll");
    box.scrollLeft = 1000;
    const [said, seen] = [caption, box].map(each => each.getBoundingClientRect());
    return said.left < seen.left || said.right > seen.right;
}).map(caption => caption.textContent)"""


@pytest.mark.skipif(not browser.PROGRAM, reason="no chromium: pages are not opened in a browser")
def test_a_site_stands_in_a_window_and_on_a_phone(places: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    write(places[:2], tmp_path)
    with browser.chromium() as running:
        for name in ("wide", "phone"):
            running.render(browser.RENDERINGS[name])
            running.open(tmp_path / "index.html")
            found = running.measure()
            assert not {kind: found[kind] for kind in ("wide", "out", "small", "overlaps") if found[kind]}
            assert running.evaluate(_CUT_CAPTIONS) == [], name
        assert not running.console


ROLES = {"vae": "candidate", "gan": "candidate", "noise": "control"}


def source(metric: str, dataset: str, fingerprint: str, *generators: str, repeats: int = 1, **changes: Any) -> Source:
    """A run of some generators on a data set, of which S3 changes the metric by 0.1, or by less with more repeats."""
    auc = {"original": 0.7, "S3": 0.7 + 0.1 / repeats}
    cells = [
        replace(cell(generator, scenario, "dnn", auc[scenario], repeat), dataset=dataset)
        for repeat in range(repeats)
        for generator, scenario in [("", "original"), *((each, "S3") for each in generators)]
    ]
    made = results(
        cells,
        [],
        repeats=repeats,
        datasets={dataset: replace(INFO.datasets["log"], fingerprint=fingerprint, **changes)},
        prediction_metrics={metric: INFO.prediction_metrics[metric]},
        generators={each: GeneratorInfo(MethodRole(role)) for each, role in ROLES.items() if each in generators},
    )
    return Source(made, "hand.db", verdicts(made))


def over(*sources: Source) -> dict[str, list[list[str]]]:
    """The tables over all data sets by their metrics: the columns' names, then the rows."""

    def shown(grid: Grid) -> list[list[str]]:
        names = [name for head in grid.heads for name, _ in head.columns]
        return [names, *([each.full for each in row.cells] for row in grid.rows)]

    return {metric: shown(*overall.table) for metric, overall in over_all(_sections(sources)).items()}


def test_over_all_data_sets_each_metric_has_a_table_of_those_on_which_candidates_were_tried() -> None:
    one_log_in_two_metrics = source("auc", "log", "1" * 64, "vae"), source("logloss", "log", "1" * 64, "vae")
    assert over(*one_log_in_two_metrics) == {}
    assert over(source("auc", "log", "1" * 64, "vae"), source("auc", "the same log", "1" * 64, "gan")) == {}
    assert over(*(source("auc", "log", number * 64, "noise") for number in "12")) == {}, "controls are in no ranking"
    assert over(
        *one_log_in_two_metrics,
        source("auc", "log", "1" * 64, "vae", repeats=2),
        source("auc", "log", "2" * 64, "vae", "gan"),
        source("auc", "other", "3" * 64, "noise"),
    ) == {
        "auc": [
            ["generator", "helps in", "hurts in", "log (data 111111111111)", "log (data 222222222222)"],
            ["gan", "0 of 1", "0 of 1", "—", "+0.10000"],
            ["vae", "0 of 2", "0 of 2", "+0.05000", "+0.10000"],
        ]
    }


def test_over_all_data_sets_a_log_counts_once_at_its_largest_share_of_train() -> None:
    def thin(share: float, *generators: str, plugin: str = "log (x 1)") -> Source:
        name, fingerprint = f"log at {share:.0%}", str(share)[-1] * 64
        return source("auc", name, fingerprint, *generators, train_share=share, plugin=plugin)

    log, other = (source("auc", name, name[0] * 64, "vae", plugin=f"{name} (x 1)") for name in ("log", "other"))
    assert over(log, thin(0.5, "vae"), thin(0.1, "vae")) == {}
    alone = over(log, other)
    assert over(log, thin(0.5, "vae", "gan"), other, thin(0.1, "vae")) == alone
    assert over(log, thin(0.5, "vae", plugin="log (x 0.9)"), other) == alone, "another version is no other log"
    [found] = over_all(_sections([log, thin(0.5, "vae"), other, thin(0.1, "vae")])).values()
    [note] = found.notes
    assert note == "left out, as smaller shares of a log are no data sets of their own: log at 10%, log at 50%"
    assert not over_all(_sections([log, other]))["auc"].notes
    controls = source("auc", "log", "9" * 64, "noise", plugin="log (x 1)")
    [head, *_] = over(controls, thin(0.5, "vae"), thin(0.1, "vae"), other)["auc"]
    assert head[3:] == ["log at 50%", "other"], "the largest on which candidates were tried"


def test_a_run_is_listed_with_the_versions_of_ctrbench_and_of_what_brought_plug_ins() -> None:
    of = source("auc", "log", "1" * 64, "vae")
    machines = [
        Environment(plugins={"ctrbench": "1", "a-gan": version}, libraries={"ctrbench": "1"}) for version in "32"
    ]
    made = replace(of, results=replace(of.results, machines=machines))
    assert "UTC, ctrbench 1, a-gan 2, a-gan 3, from hand.db" in made.about


def test_a_candidate_that_failed_stands_last_in_the_leaderboard_and_in_no_gain_over_all() -> None:
    def without(generator: str, made: Source) -> Source:
        cells = [replace(c, result=FAILED, scores={}) if c.generator == generator else c for c in made.results.cells]
        failed = replace(made.results, cells=cells)
        return Source(failed, made.origin, verdicts(failed))

    both = without("gan", source("auc", "log", "1" * 64, "gan", "vae", "noise"))
    [section] = _sections([both])
    rows = [[cell.full for cell in row.cells] for _, table in section.tables for row in table[0].rows]
    assert [row[0] for row in rows] == ["vae", "gan", "noise"]
    assert rows[1][1:4] == ["scores are missing", "—", "—"]
    other = source("auc", "other", "2" * 64, "vae")
    assert [row[0] for row in over(both, other)["auc"]] == ["generator", "vae"]


def test_a_gain_that_is_shown_stands_before_a_larger_one_that_may_be_luck() -> None:
    gains = {"vae": (0.020, 0.021, 0.019, 0.020, 0.020), "gan": (0.2, -0.1, 0.1, 0.0, 0.1)}
    made = source("auc", "log", "1" * 64, "gan", "vae", repeats=5).results
    cells = [
        replace(c, scores={"auc": Score(0.7 + gains[c.generator][c.repeat])}) if c.generator else c for c in made.cells
    ]
    lucky = replace(made, cells=cells)
    [section] = _sections([Source(lucky, "hand.db", verdicts(lucky))])
    assert [place.said.generator for place in section.places] == ["vae", "gan"]
    assert [place.said.generator for place in section.places] == [
        g.generator for g in section.places[0].verdict.generators
    ]


def copy_early(store: Path, copy: Path, lacks: int | None = None) -> None:
    """Copy a store as if its run were still going on, and the tasks of one repeat not yet done."""
    shutil.copy(store, copy)
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("update runs set finished = null")
        database.execute("delete from run_tasks where task glob ?", [f"*/{lacks}/*"])


def test_of_several_copies_of_a_run_the_most_complete_is_shown(
    places: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    folder, archive, _ = places
    with closing(Store.open(str(tmp_path / "theirs.db"))) as store:
        transfer.import_(store, archive)
    sent = tmp_path / "sent"
    sent.mkdir()
    copy_early(folder / "results.db", sent / "a_without_an_answer.db", lacks=0)
    copy_early(folder / "results.db", sent / "b_one_repeat.db", lacks=1)
    copy_early(folder / "results.db", sent / "c_two_repeats.db")
    copy_early(tmp_path / "theirs.db", sent / "d_two_repeats.db")
    shutil.copy(archive, sent / "e_finished.zip")
    write([sent], tmp_path / "site")
    text = (tmp_path / "site" / "index.html").read_text()
    found = re.findall("suite toys, (.*), 20.* from (.*)</li>", text)
    assert found == [("2 repeats, unfinished", "c_two_repeats.db"), ("2 repeats", "e_finished.zip")]
    assert len(re.findall("</a>, 2 repeats, unfinished: ", text)) == 1, "beside its leaderboard too"


def test_of_an_earlier_site_no_page_is_lost_unsaid_and_with_force_none_is_left(
    places: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    folder, archive, (mine, theirs) = places
    index, reports = tmp_path / "index.html", tmp_path / "runs"
    write([folder], tmp_path)
    page = (reports / f"{mine}.html").read_text()
    index.unlink()
    for place in (folder, archive):
        with pytest.raises(UserError, match=rf"{mine}\.html: exists already; .* --force"):
            write([place], tmp_path)
    others = {"mine.html": page, f"{theirs[:-1]}.html": "not a report", "notes.txt": page}
    for name, text in others.items():
        (reports / name).write_text(text)
    assert not index.exists()
    write([archive], tmp_path, force=True)
    assert {file.name for file in reports.iterdir()} == {f"{theirs}.html", *others}
    for file in (index, reports / f"{theirs}.html"):
        ours = file.read_text()
        file.write_text("my own page")
        with pytest.raises(UserError, match=f"{file.name}: is no page of an earlier site"):
            write([archive], tmp_path, force=True)
        assert file.read_text() == "my own page"
        file.write_text(ours)


def test_a_run_that_cannot_be_read_is_not_passed_over(places: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    copied = tmp_path / "copied.db"
    shutil.copy(places[0] / "results.db", copied)
    with sqlite3.connect(copied) as database:
        database.execute("update runs set about = json_set(about, '$.datasets', 1)")
    with pytest.raises(UserError, match=r"run \S+ cannot be read"):
        write([copied], tmp_path / "site")


def test_what_is_no_store_is_refused_in_one_line(places: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "site")]
    (tmp_path / "empty").mkdir()

    def said(*words: str) -> str:
        result = CliRunner().invoke(main, ["site", *words, *out])
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        return result.stderr

    assert "there is no such file or folder" in said(str(tmp_path / "nowhere"))
    assert "there is no such file or folder" in said("long" * 100)
    assert "no store (*.db) and no archive (*.zip) is in it" in said(str(tmp_path / "empty"))
    for name in ("pipe.db", "pipe.zip"):
        (tmp_path / name[-3:]).mkdir()
        os.mkfifo(tmp_path / name[-3:] / name)
        assert f"{name}: " in (told := said(str(tmp_path / name[-3:])))
        assert "a pipe or a device" in told
    done = CliRunner().invoke(main, ["site", str(places[0]), *out])
    assert done.output == f"{tmp_path / 'site' / 'index.html'}: 1 run\n"
    assert "<title>ctrbench: 1 run</title>" in (tmp_path / "site" / "index.html").read_text()
    assert "exists already" in said(str(places[0]))
