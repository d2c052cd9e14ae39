"""Checking and pruning a store that a real run has filled."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import ctrbench
import numpy as np
import pandas as pd
import pytest
from ctrbench import UserError
from ctrbench.ids import TaskKind
from ctrbench.registry import Registry
from ctrbench.results import Environment, Status, TaskResult
from ctrbench.store import upkeep
from ctrbench.store.artefacts import FRAMES, Artefacts, LostArtefactError
from ctrbench.store.database import Database
from ctrbench.store.store import Store
from recording import fill

DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path, toy_registry: Registry) -> Iterator[Store]:
    opened = Store.open(str(tmp_path / "results.db"))
    fill(opened, toy_registry)
    yield opened
    opened.close()


def change(store: Store, statement: str) -> None:
    with sqlite3.connect(store.database.path or "") as database:
        database.execute(statement)


def pool_of(store: Store) -> str:
    return store.load_run().pools[0].result.artefacts["pool"]


def test_a_store_after_a_run_is_sound_and_nothing_in_it_is_left_over(store: Store) -> None:
    found = upkeep.check(store)
    assert found.wrong == []
    assert (found.runs, found.results) == (1, 6)
    assert upkeep.leftovers(store, -1) == []


MOMENTS = [
    (Artefacts, "intact", 1, "negatives"),
    *((Database, "read", n, f"bootstrap[steps={n}]") for n in range(1, 8)),
]
"""Of a check: a file has been verified; rows have been read. A run does what was not done before."""


def test_what_a_run_stores_during_a_check_is_neither_lost_nor_unknown(
    store: Store, toy_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, method, number, generator in MOMENTS:
        after_call(number, kind, method, partial(fill, store, toy_registry, generator), monkeypatch)
        assert upkeep.check(store).wrong == []
    assert len(store.runs()) == 1 + len(MOMENTS)


def after_call(
    number: int, kind: type, method: str, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have some work done right after the nth call of a method."""
    usual, calls = getattr(kind, method), count(1)

    def meanwhile(*given: Any, **named: Any) -> Any:
        found = usual(*given, **named)
        if next(calls) == number:
            monkeypatch.undo()
            work()
        return found

    monkeypatch.setattr(kind, method, meanwhile)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_artefact_is_found_and_the_next_run_makes_it_again(
    store: Store, toy_registry: Registry, damage: str
) -> None:
    digest = pool_of(store)
    path = store.artefacts.path(digest)
    whole = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(whole[:50] if damage == "truncate" else whole[:-1] + bytes([whole[-1] ^ 1]))
    said = "\n".join(upkeep.check(store).wrong)
    assert ("has been set aside" in said) == (damage != "remove")
    assert "lacks pool" in said
    assert path.with_suffix(".corrupt").exists() == (damage != "remove")
    fill(store, toy_registry)
    assert upkeep.check(store).wrong == []
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from tasks where kind = 'train'", "is not in the store"),
        ("delete from run_tasks where task like 'data/%'", "the result of data/toy_log is not in the store"),
        ("delete from run_tasks where task like 'pool/%'", "the result of pool/toy_log/"),
        ("delete from run_tasks where task like 'train/%'", "the result of train/toy_log/original/"),
        ("delete from run_tasks where task like 'score/%'", "the result of score/hits/train/toy_log/S1/"),
        ("update run_tasks set key = '' where task like 'pool/%'", "the result of pool/toy_log/"),
        ("update run_tasks set key = '', blocked_by = 'pool/x' where task like 'train/%'", "the result of pool/x is"),
        ("update tasks set run = 'gone'", "the run gone that did it is not in the store"),
        ("update tasks set status = 'fine' where kind = 'pool'", "status: Input should be 'ok'"),
        ("update tasks set outputs = '{' where kind = 'pool'", "cannot be read"),
        (
            "update tasks set outputs = '{\"pool\": \"../../etc/passwd\"}' where kind = 'pool'",
            "outputs.pool: String should match pattern",
        ),
        ("update tasks set seconds = 'null' where kind = 'pool'", "seconds: Input should be a valid dictionary"),
        ("update run_cells set fields = '{\"a\": 1}' where position = 0", "cannot be read"),
        ("update run_cells set fields = replace(fields, 'original', 'else')", "about.scenarios: there is no 'else'"),
        ("update run_tasks set run = 'gone'", "a row of run_tasks names no row of runs"),
    ],
)
def test_what_does_not_fit_together_is_listed(store: Store, statement: str, said: str) -> None:
    change(store, statement)
    assert any(said in text for text in upkeep.check(store).wrong)


def test_a_run_that_was_stopped_need_not_know_all_its_results(store: Store) -> None:
    change(store, "update runs set finished = null")
    change(store, "delete from run_tasks where task like 'score/%'")
    assert upkeep.check(store).wrong == []


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def age_all(store: Store, seconds: float) -> None:
    for path in [*store.artefacts.folder.rglob("*")]:
        aged(path, seconds)


def collect(store: Store, older_than: float = DAY) -> list[str]:
    found = upkeep.leftovers(store, older_than)
    return [leftover.kind for leftover in found if upkeep.remove(store, leftover, older_than)]


def test_what_nobody_needs_goes_and_what_is_new_or_needed_stays(store: Store, toy_registry: Registry) -> None:
    folder = store.artefacts.folder
    needed = set(store.artefacts.digests())
    unnamed = store.artefacts.put_array(np.arange(7.0))
    (folder / "logs").mkdir(exist_ok=True)
    (folder / unnamed[:2] / f".{unnamed[:8]}-1-2").write_bytes(b"half")
    (folder / unnamed[:2] / f"{unnamed}.corrupt").write_bytes(b"bad")
    (folder / "logs" / "0123456789abcdef.log").write_text("of a task that is gone")
    (folder / "logs" / ".0123456789abcdef-17.log").write_text("of a worker that was killed")
    (folder / "checkpoints" / "0123456789abcdef").mkdir(parents=True)
    (folder / "checkpoints" / "0123456789abcdef" / "state.npz").write_bytes(b"of a fit that was killed")
    (folder / "notes.txt").write_text("not ours")
    age_all(store, DAY / 2)
    assert collect(store) == []
    age_all(store, 2 * DAY)
    assert sorted(collect(store)) == [
        "artefact", "corrupt artefact", "half-written file", "half-written file", "log"
    ]  # fmt: skip
    assert (folder / "checkpoints" / "0123456789abcdef" / "state.npz").exists(), "the same command goes on from it"
    assert (folder / "notes.txt").exists()
    assert set(store.artefacts.digests()) == needed
    age_all(store, 31 * DAY)
    assert collect(store) == ["checkpoint"]
    assert upkeep.check(store).wrong == []


def test_the_checkpoint_of_a_finished_fit_goes(store: Store) -> None:
    [key] = [key for key in keys(store) if store.find(key).artefacts.keys() == {"pool"}]
    (store.artefacts.folder / "checkpoints" / key[:16]).mkdir(parents=True)
    age_all(store, 2 * DAY)
    assert collect(store) == ["checkpoint"]


@pytest.mark.parametrize("status", ["timed out", "failed"])
def test_the_checkpoint_of_a_fit_that_did_not_end_well_stays_for_a_month(store: Store, status: str) -> None:
    [key] = [key for key in keys(store) if store.find(key).artefacts.keys() == {"pool"}]
    kept = store.artefacts.folder / "checkpoints" / key[:16] / "fit.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half of it")
    change(store, f"update tasks set status = '{status}', stage = 'fit', outputs = '{{}}' where key = '{key}'")
    age_all(store, 29 * DAY)
    collect(store)
    assert kept.exists(), "a longer time limit, or --retry-failed, goes on from it"
    age_all(store, 31 * DAY)
    assert collect(store) == ["checkpoint"]


def keys(store: Store) -> list[str]:
    with sqlite3.connect(store.database.path or "") as database:
        return [row[0] for row in database.execute("select key from tasks")]


def test_an_artefact_that_a_run_or_an_import_has_just_found_in_place_is_spared(store: Store) -> None:
    values = np.arange(7.0)
    path = store.artefacts.path(store.artefacts.put_array(values))
    aged(path, 2 * DAY)
    [leftover] = upkeep.leftovers(store, DAY)
    store.artefacts.put_array(values)  # as a task does whose result is stored a moment later
    assert not upkeep.remove(store, leftover, DAY)
    aged(path, 2 * DAY)
    assert not store.artefacts.take_in(path.stem, BytesIO(path.read_bytes())), "it is there"  # as an import does
    assert not upkeep.remove(store, leftover, DAY)
    assert path.exists()


def test_the_artefacts_of_failed_results_and_their_logs_are_no_leftovers(store: Store, toy_registry: Registry) -> None:
    fill(store, toy_registry, "misbehaves[how=print]", "misbehaves")
    assert list((store.artefacts.folder / "logs").glob("*.log"))
    age_all(store, 2 * DAY)
    assert collect(store) == []


def test_a_run_that_never_knew_its_cells_goes_unless_others_use_its_work(store: Store) -> None:
    stopped, useful = (store.begin_run("ctrbench run", "toys", Environment()) for _ in range(2))
    store.link(stopped, "data/x")
    store.keep(useful, "data/y", TaskKind.DATA, "a" * 64, TaskResult(Status.SKIPPED, "d"))
    assert collect(store) == []
    change(store, f"update runs set started = started - {2 * DAY}")
    assert collect(store) == ["run that never began"]
    assert {head.run for head in store.runs()} == {store.load_run().run, useful}


def test_what_cannot_be_set_aside_is_not_said_to_have_been(store: Store) -> None:
    digest = pool_of(store)
    path = store.artefacts.path(digest)
    (path.with_suffix(".corrupt") / "in the way").mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(LostArtefactError, match="is corrupt and cannot be set aside"):
        store.artefacts.get_table(digest)
    [said] = [text for text in upkeep.check(store).wrong if text.startswith("artefact")]
    assert said == f"artefact {digest} is corrupt, or may not be read, and cannot be set aside"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that not even root can read")
def test_a_file_beside_a_store_that_cannot_be_read_is_named(store: Store) -> None:
    assert store.database.path
    store.database.path.with_suffix(".xlsx").symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match=r"results\.xlsx beside it cannot be read \(input/output error\), and may use"):
        upkeep.leftovers(store, DAY)


def test_artefacts_that_two_stores_share_are_left_alone(store: Store) -> None:
    path = store.database.path
    assert path
    shutil.copy(path, path.with_suffix(".bak"))
    with pytest.raises(UserError, match=r"results\.bak beside it uses the same artefacts"):
        upkeep.leftovers(store, DAY)


def test_a_database_file_that_is_damaged_is_found_out_in_one_line(store: Store) -> None:
    path = store.database.path
    assert path
    change(store, "pragma wal_checkpoint(truncate)")
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\x55" * (len(data) - 8192)
    path.write_bytes(data)
    try:
        said = "\n".join(upkeep.check(Store.open(str(path), create=False)).wrong)
    except UserError as error:
        said = str(error)
    assert said


BAD = [
    "update tasks set \"values\" = 'no JSON' where kind = 'pool'",
    "update tasks set \"values\" = json_set(\"values\", '$.alike', 7) where kind = 'train'",
    'update tasks set "values" = \'{"value": 1e999, "baseline": null, "details": {}}\' where kind = \'score\'',
    "update tasks set \"values\" = json_set(\"values\", '$.history', 'up') where kind = 'train'",
    "update tasks set \"values\" = json_set(\"values\", '$.schema', '{\"fields\": ') where kind = 'data'",
    "update tasks set \"values\" = json_set(\"values\", '$.schema', '[]') where kind = 'data'",
    "update tasks set seconds = '{\"fit\": \"long\"}' where kind = 'train'",
    "update tasks set finished = 'soon' where kind = 'pool'",
    "update tasks set peak_memory = x'00ff' where kind = 'train'",
    "update tasks set outputs = '{\"pool\": [1]}' where kind = 'pool'",
    "update tasks set key = x'00ff' where key = (select key from tasks where kind = 'train' limit 1)",
    "update tasks set reason = cast(x'ff' as text) where kind = 'train'",
    "update tasks set outputs = cast(x'ff' as text) where kind = 'train'",
    "update tasks set key = cast(x'ff' as text) where key = (select key from tasks where kind = 'train' limit 1)",
    "update tasks set stage = 'bed' where kind = 'train'",
    "update run_tasks set key = 'a key' where task like 'pool/%'",
    "update run_tasks set blocked_by = x'00ff' where task like 'train/%'",
    "update run_tasks set task = cast(x'ff' as text) where task = (select min(task) from run_tasks)",
    "update run_cells set fields = '{\"a\": 1}' where position = 0",
    "update run_cells set kind = 'door' where position = 1",
    "update runs set environment = '[]'",
    'update runs set environment = \'{"cores": "many"}\'',
    "update runs set started = 'soon'",
    "update runs set about = json_set(about, '$.datasets', 1)",
    "update runs set about = json_set(about, '$.scenarios', '{}')",
    "update runs set command = x'00ff'",
    "update runs set command = cast(x'ff' as text)",
    "; ".join(f"update {table} set run = cast(x'ff' as text)" for table in ("runs", "tasks", "run_tasks", "run_cells")),
]


@pytest.mark.parametrize("statement", BAD)
def test_a_row_that_cannot_be_read_is_named_removed_and_missed_by_nobody(
    store: Store, toy_registry: Registry, statement: str
) -> None:
    with sqlite3.connect(store.database.path or "") as database:
        assert all(database.execute(each).rowcount > 0 for each in statement.split("; "))
    assert any(" cannot be read: " in text for text in upkeep.check(store).wrong)
    assert len(store.runs()) == 1
    with suppress(UserError):  # one line; anything else would be a traceback
        store.load_run()
    fill(store, toy_registry)  # a run beside it, which makes a bad result anew
    removed = collect(store)
    made_anew = statement.startswith("update tasks") and "set key" not in statement
    assert set(removed) == (set() if made_anew else {"unreadable row"})
    assert [text for text in upkeep.check(store).wrong if "is not in the store" not in text] == []
    fill(store, toy_registry)
    assert all(cell.ok for cell in store.load_run().cells)
    assert collect(store) == []


def test_what_a_result_says_that_it_was_made_from_may_be_anything(store: Store) -> None:
    change(store, "update tasks set \"values\" = json_set(\"values\", '$.made_from.version', json('[1]'))")
    assert upkeep.check(store).wrong == []
    assert collect(store) == []


def test_nothing_is_forecast_from_a_memory_that_is_no_number(store: Store) -> None:
    change(store, "update tasks set peak_memory = 'much' where kind = 'train'")
    spent = [each for found in store.spent().values() for each in found]
    assert spent
    assert all(isinstance(each.memory, int) for each in spent)


def test_a_result_that_cannot_be_read_goes_before_it_is_made_anew(store: Store, toy_registry: Registry) -> None:
    change(store, BAD[0])
    assert collect(store) == ["unreadable row"]
    assert all("is not in the store" in text for text in upkeep.check(store).wrong)
    fill(store, toy_registry)
    assert upkeep.check(store).wrong == []


def test_a_result_that_was_made_anew_since_it_could_not_be_read_stays(store: Store, toy_registry: Registry) -> None:
    change(store, BAD[0])
    [leftover] = upkeep.leftovers(store, DAY)
    fill(store, toy_registry)
    assert not upkeep.remove(store, leftover, DAY)
    assert upkeep.check(store).wrong == []


@pytest.mark.parametrize("version", ["99.1", "0.0.9", "0.1.0.dev3", "no version", pytest.param("9" * 5000, id="long")])
@pytest.mark.parametrize(
    "statement",
    [
        "update tasks set kind = 'dream' where kind = 'score'",
        "update run_cells set fields = json_set(fields, '$.colour', 1)",
        "update runs set about = json_set(about, '$.seed', 'sesame')",
    ],
)
def test_rows_that_a_newer_ctrbench_wrote_are_left_to_it(store: Store, statement: str, version: str) -> None:
    change(store, f"update runs set environment = json_set(environment, '$.libraries.ctrbench', '{version}')")
    change(store, statement)
    said = {text.split("; ")[-1] for text in upkeep.check(store).wrong if " cannot be read: " in text}
    if version == "99.1":
        assert said == {"ctrbench 99.1 did that run: use that one"}
        with pytest.raises(UserError, match=r"ctrbench 99\.1 did that run: what it needs cannot be told"):
            upkeep.leftovers(store, DAY)
    else:
        assert said == {"`ctrbench store gc` removes it"}
        assert set(collect(store)) == {"unreadable row"}


@pytest.mark.parametrize("seed", range(20))
def test_bits_flipped_in_the_database_are_found_mended_or_said_in_one_line(
    store: Store, toy_registry: Registry, tmp_path: Path, seed: int
) -> None:
    """Whatever is done with the file afterwards, it ends well or as the user's own mistake would."""
    draw, damaged = Random(seed), tmp_path / "damaged.db"
    change(store, "pragma wal_checkpoint(truncate)")
    content = bytearray(Path(store.database.path or "").read_bytes())
    for _ in range(8 if seed % 2 else 1):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    assert len(content) > 40_000
    damaged.write_bytes(content)
    shutil.copytree(store.artefacts.folder, tmp_path / "damaged-artefacts")
    with suppress(UserError), closing(Store.open(str(damaged))) as opened:
        for use in (upkeep.check, Store.runs, Store.load_run, collect, partial(fill, registry=toy_registry)):
            with suppress(UserError):
                use(opened)


def test_data_frames_go_with_the_data_set_that_was_made_of_them(tmp_path: Path) -> None:
    log = pd.DataFrame({"who": [f"u{i % 7}" for i in range(60)], "click": [i % 2 for i in range(60)]})
    path = tmp_path / "r.db"
    ctrbench.run(
        datasets=ctrbench.from_frames(log, label="click", user="who"), generators="none", models="item_rate",
        scenarios="original", metrics="logloss", repeats=1, store=path, executor="inline", progress=False,
    )  # fmt: skip
    with closing(Store.open(str(path))) as store:
        [kept] = (store.artefacts.folder / FRAMES).iterdir()
        (store.artefacts.folder / FRAMES / "f00d").mkdir()
        (store.artefacts.folder / FRAMES / "f00d" / "train.parquet").write_bytes(b"of a run that was stopped")
        age_all(store, 2 * DAY)
        assert collect(store) == ["data frames"]
        assert list((store.artefacts.folder / FRAMES).iterdir()) == [kept]
