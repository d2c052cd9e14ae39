"""Results go from store to store in an archive, and an archive may come from anybody."""

from __future__ import annotations

import json
import lzma
import random
import re
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from ctrbench import UserError, formats, leaderboard, run
from ctrbench.registry import Registry
from ctrbench.results import Status, TaskResult
from ctrbench.store import transfer, upkeep
from ctrbench.store.database import runs
from ctrbench.store.runs import NOT_RUN, RunResults
from ctrbench.store.store import Store
from recording import fill


def tables(results: RunResults) -> str:
    """All boards, the cost of each task included."""
    return formats.leaderboards(results, leaderboard.DEFAULT_VIEWS, style="csv")


@pytest.fixture
def store(tmp_path: Path, toy_registry: Registry) -> Store:
    opened = Store.open(str(tmp_path / "results.db"))
    fill(opened, toy_registry, "bootstrap", "misbehaves")
    return opened


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Path:
    transfer.export(store, tmp_path / "all.zip")
    return tmp_path / "all.zip"


def other(tmp_path: Path) -> Store:
    (tmp_path / "other").mkdir(exist_ok=True)
    return Store.open(str(tmp_path / "other" / "results.db"))


@pytest.mark.parametrize("times", [1, 2])
def test_a_store_comes_out_of_its_archive_as_it_was(store: Store, archive: Path, tmp_path: Path, times: int) -> None:
    def repeat_rows(content: Content) -> None:
        content.update({name: rows * times for name, rows in content.items() if name.endswith(".jsonl")})

    change(archive, repeat_rows)
    found = transfer.import_(other(tmp_path), archive)
    assert found.results == {"new": 7, "better": 0, "known": 7 * (times - 1)}
    assert found.runs == 1
    assert upkeep.check(other(tmp_path)).wrong == []
    assert tables(other(tmp_path).load_run()) == tables(store.load_run())
    assert other(tmp_path).artefacts.digests() == store.artefacts.digests()


def test_a_store_goes_to_a_server_and_back(store: Store, archive: Path, new_database: str, tmp_path: Path) -> None:
    transfer.import_(Store.open(new_database), archive)
    transfer.export(Store.open(new_database), tmp_path / "back.zip")
    transfer.import_(other(tmp_path), tmp_path / "back.zip")
    assert tables(other(tmp_path).load_run()) == tables(store.load_run())


@pytest.mark.parametrize("odd", ["\udcff", "\0"])
def test_results_under_a_label_that_is_no_utf8_are_found_and_can_be_carried_on(
    toy_registry: Registry, tmp_path: Path, odd: str
) -> None:
    store = Store.open(str(tmp_path / "results.db"))
    fill(store, toy_registry, f"misbehaves[how={odd}]")
    results = store.load_run()
    assert not [each for each in (*results.cells, *results.pools) if each.result == NOT_RUN]
    assert upkeep.check(store).wrong == []
    transfer.export(store, tmp_path / "all.zip")
    there = other(tmp_path)
    transfer.import_(there, tmp_path / "all.zip")
    assert tables(there.load_run()) == tables(results)


def test_the_same_import_again_changes_nothing(archive: Path, tmp_path: Path) -> None:
    transfer.import_(other(tmp_path), archive)
    again = transfer.import_(other(tmp_path), archive)
    assert again.results == {"new": 0, "better": 0, "known": 7}
    assert (again.runs, again.artefacts) == (0, 0)


def test_one_run_comes_with_all_that_it_uses(store: Store, toy_registry: Registry, tmp_path: Path) -> None:
    second = fill(store, toy_registry, "bootstrap", "twin")
    fill(store, toy_registry, "negatives")
    transfer.export(store, tmp_path / "one.zip", [second])
    transfer.import_(other(tmp_path), tmp_path / "one.zip")
    assert tables(other(tmp_path).load_run()) == tables(store.load_run(second))
    assert upkeep.check(other(tmp_path)).wrong == []
    assert fill(other(tmp_path), toy_registry, "bootstrap", "twin")
    assert not [head for head in other(tmp_path).runs() if head.run not in {head.run for head in store.runs()}][1:]


def test_results_that_the_store_has_are_kept_and_good_beats_bad(
    store: Store, archive: Path, tmp_path: Path, toy_registry: Registry
) -> None:
    mine = other(tmp_path)
    fill(mine, toy_registry, "bootstrap", "misbehaves")
    with sqlite3.connect(mine.database.path or "") as database:
        database.execute("update tasks set status = 'crashed' where kind = 'train'")
        database.execute("update tasks set peak_memory = 17 where kind = 'pool'")
    found = transfer.import_(mine, archive)
    assert found.results["better"] == 2
    assert found.runs == 1
    with sqlite3.connect(mine.database.path or "") as database:
        assert database.execute("select count(*) from tasks where status = 'crashed'").fetchone() == (0,)
        assert database.execute("select distinct peak_memory from tasks where kind = 'pool'").fetchall() == [(17,)]


def test_a_run_that_was_exported_before_its_end_is_completed_by_a_later_archive(
    store: Store, tmp_path: Path, toy_registry: Registry, archive: Path
) -> None:
    with sqlite3.connect(store.database.path or "") as database:
        database.execute("update runs set finished = null")
        database.execute("delete from run_tasks where task like 'score%'")
    transfer.export(store, tmp_path / "early.zip")
    transfer.import_(other(tmp_path), tmp_path / "early.zip")
    assert other(tmp_path).load_run().finished is None
    transfer.import_(other(tmp_path), archive)
    assert other(tmp_path).load_run().finished is not None
    assert all("hits" in cell.scores for cell in other(tmp_path).load_run().cells if cell.ok)


def test_an_import_that_was_interrupted_changes_no_result_and_is_finished_by_the_same_again(
    store: Store, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = other(tmp_path)
    whole = transfer._merge

    def stopped(*arguments: object) -> object:
        merged = whole(*arguments)  # type: ignore[arg-type]
        if mine.artefacts.digests():  # it is no rehearsal any more
            raise KeyboardInterrupt
        return merged

    monkeypatch.setattr(transfer, "_merge", stopped)
    with pytest.raises(KeyboardInterrupt):
        transfer.import_(mine, archive)
    assert mine.runs() == []
    monkeypatch.undo()
    assert transfer.import_(mine, archive).artefacts == 0
    assert tables(mine.load_run()) == tables(store.load_run())


def test_an_archive_without_rows_gives_the_same_tables_and_holds_no_table(tmp_path: Path) -> None:
    small = "simulated[users=60, items=40, train_rows=600, valid_rows=300, test_rows=300]"
    results = run(
        datasets=[small],
        generators=["random_oversampling"],
        models=["item_rate"],
        scenarios=["S3"],
        metrics=["auc", "logloss"],
        repeats=2,
        store=tmp_path / "results.db",
        executor="inline",
    )
    store = Store.open(str(tmp_path / "results.db"))
    transfer.export(store, tmp_path / "a.zip", rows_too=False)
    transfer.import_(other(tmp_path), tmp_path / "a.zip")
    assert tables(other(tmp_path).load_run()) == tables(results.stored)
    assert set(other(tmp_path).artefacts.digests()) == {cell.contributions["auc"] for cell in results.stored.cells}
    store.database.write(lambda connection: connection.execute(sa.update(runs).values(about='{"suite": 3}')))
    transfer.export(store, tmp_path / "unreadable.zip", rows_too=False)


def test_a_lost_artefact_is_said_and_its_results_come_all_the_same(store: Store, tmp_path: Path) -> None:
    digest = next(pool for pool in store.load_run().pools if pool.result.ok).result.artefacts["pool"]
    store.artefacts.path(digest).unlink()
    assert transfer.export(store, tmp_path / "a.zip").lacking == [digest]
    assert transfer.import_(other(tmp_path), tmp_path / "a.zip").results["new"] == 7


ODD = ["key = x'00ff'", "started = 9e999", '"values" = \'{"value": NaN}\'', "outputs = '[]'", "outputs = '{\"a\": 3}'"]


@pytest.mark.parametrize("odd", ODD)
def test_a_row_that_no_archive_can_hold_is_said_in_one_line(store: Store, tmp_path: Path, odd: str) -> None:
    with sqlite3.connect(store.database.path or "") as database:
        database.execute(f"update tasks set {odd} where rowid = (select min(rowid) from tasks)")
    with pytest.raises(UserError, match=r"cannot be exported, as a row of run .* cannot be read") as caught:
        transfer.export(store, tmp_path / "a.zip")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.zip").exists()


def test_a_task_whose_name_is_no_text_is_said_in_one_line_where_rows_are_left_out(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(store.database.path or "") as database:
        database.execute("update run_tasks set task = x'00' where rowid = (select max(rowid) from run_tasks)")
    with pytest.raises(UserError, match="cannot be exported"):
        transfer.export(store, tmp_path / "a.zip", rows_too=False)


def test_no_file_is_overwritten_and_an_unknown_run_is_named(store: Store, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        transfer.export(store, archive)
    with pytest.raises(UserError, match=r"run \\udcff: not in"):
        transfer.export(store, tmp_path / "none.zip", ["\udcff"])
    assert archive.read_bytes() == before
    with pytest.raises(UserError, match="run monday: not in"):
        transfer.export(store, tmp_path / "b.zip", ["monday"])
    with pytest.raises(UserError, match=r"there is no folder .*such; make it"):
        transfer.export(store, tmp_path / "no" / "such" / "b.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"all.zip", "results.db", "results-artefacts"} | {
        f"results.db-{end}" for end in ("wal", "shm") if (tmp_path / f"results.db-{end}").exists()
    }


Content = dict[str, bytes]


def evil_name(content: Content) -> None:
    content["../../outside.parquet"] = b"x"


def absolute_name(content: Content) -> None:
    content["/tmp/outside.parquet"] = b"x"


def stranger(content: Content) -> None:
    content["artefacts/readme.txt"] = b"x"


def wrong_hash(content: Content) -> None:
    name = next(name for name in content if name.startswith("artefacts/"))
    content[name] += b"x"


def wrong_hash_of_the_last(content: Content) -> None:
    name = max(name for name in content if name.startswith("artefacts/"))
    content[name] += b"x"


def wrong_digest(content: Content) -> None:
    content["tasks.jsonl"] = content["tasks.jsonl"].replace(b'"outputs": {"', b'"outputs": {"x": "../../../etc", "', 1)


def no_json(content: Content) -> None:
    content["tasks.jsonl"] += b"{'a': 1}\n"


def more_columns(content: Content) -> None:
    content["runs.jsonl"] = content["runs.jsonl"].replace(b"{", b'{"x": 1, ', 1)


def no_number(content: Content) -> None:
    content["tasks.jsonl"] = content["tasks.jsonl"].replace(b'"seconds": {', b'"seconds": {"x": NaN, ', 1)


def deep(content: Content) -> None:
    content["runs.jsonl"] += b"[" * 100_000 + b"\n"


def no_cell(content: Content) -> None:
    content["run_cells.jsonl"] = content["run_cells.jsonl"].replace(b'"fields": {', b'"fields": {"x": 1, ', 1)


def infinite(content: Content) -> None:
    content["tasks.jsonl"] = content["tasks.jsonl"].replace(b'"seconds": {', b'"seconds": {"x": 1e999, ', 1)


def too_large(content: Content) -> None:
    content["tasks.jsonl"] = content["tasks.jsonl"].replace(
        b'"peak_memory": ', b'"peak_memory": 99999999999999999999', 1
    )


def a_name_that_nothing_can_write(content: Content) -> None:
    content["tasks.jsonl"] = content["tasks.jsonl"].replace(b'"values": {', b'"values": {"odd": {"\\udcff": 1}, ')


def unknown_run(content: Content) -> None:
    content["runs.jsonl"] = b""


def newer(content: Content) -> None:
    content["ctrbench.json"] = json.dumps({"format": 1, "schema_version": 99}).encode()


def no_about(content: Content) -> None:
    content["ctrbench.json"] = b"[]"


def a_table_lacks(content: Content) -> None:
    del content["runs.jsonl"]


def a_cell_of_another_scenario(content: Content) -> None:
    content["run_cells.jsonl"] = re.sub(rb'"scenario": "\w+"', b'"scenario": "S77"', content["run_cells.jsonl"])


def a_cell_lacks(content: Content) -> None:
    content["run_cells.jsonl"] = content["run_cells.jsonl"].replace(content["run_cells.jsonl"].splitlines()[-1], b"")


def repeats_that_nobody_did(content: Content) -> None:
    content["runs.jsonl"] = re.sub(rb'"repeats": \d+', b'"repeats": 1000000', content["runs.jsonl"])


def a_result_of_nobody(content: Content) -> None:
    content["tasks.jsonl"] = re.sub(rb'"run": "[\w-]+"', b'"run": "nobody"', content["tasks.jsonl"])


ATTACKS = [
    a_result_of_nobody,
    a_cell_of_another_scenario, a_cell_lacks, repeats_that_nobody_did,
    a_name_that_nothing_can_write,
    evil_name, absolute_name, stranger, wrong_hash, wrong_hash_of_the_last, wrong_digest, no_json, more_columns,
    no_number, deep, no_cell, infinite, too_large, unknown_run, newer, no_about, a_table_lacks,
]  # fmt: skip


def contents(archive: Path) -> Content:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def change(archive: Path, attack: Callable[[Content], None]) -> None:
    content = contents(archive)
    attack(content)
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)


def refused(tmp_path: Path, archive: Path) -> str:
    """What is said of an archive that leaves nothing in a store, makes no file outside, and raises nothing else."""
    mine = other(tmp_path)
    with pytest.raises(UserError) as caught:
        transfer.import_(mine, archive)
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    assert mine.runs() == []
    assert not list(tmp_path.parent.rglob("outside*"))
    assert not list(mine.artefacts.folder.rglob("*"))
    mine.close()
    return str(caught.value)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_archive_that_is_not_ours_is_refused_in_one_line(
    archive: Path, tmp_path: Path, attack: Callable[[Content], None]
) -> None:
    change(archive, attack)
    refused(tmp_path, archive)


def a_generator_more(content: Content) -> None:
    arms = [json.loads(line) for line in content["run_cells.jsonl"].splitlines()]
    for place, row in enumerate([row for row in arms if row["fields"].get("generator")], len(arms)):
        row["position"], row["fields"]["generator"] = place, "theirs"
        content["run_cells.jsonl"] += json.dumps(row).encode() + b"\n"


def another_model(content: Content) -> None:
    content["run_cells.jsonl"] = re.sub(rb'"model": "\w+"', b'"model": "theirs"', content["run_cells.jsonl"])


@pytest.mark.parametrize("attack", [a_generator_more, another_model])
def test_an_archive_with_other_cells_of_a_run_than_the_store_has_is_refused(
    store: Store, archive: Path, attack: Callable[[Content], None]
) -> None:
    change(archive, attack)
    before = store.load_run()
    with pytest.raises(UserError, match=f"run {before.run}: its cells are not those that the store has of it"):
        transfer.import_(store, archive)
    assert store.load_run() == before


def test_an_archive_of_more_than_it_holds_is_refused(archive: Path, tmp_path: Path) -> None:
    content = contents(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data + (b"\n" * 10**7 if name == "runs.jsonl" else b""))
    assert "is compressed" in refused(tmp_path, archive)


def test_a_link_in_an_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo(f"artefacts/{'a' * 64}.parquet")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert "does not belong in it" in refused(tmp_path, archive)


@pytest.mark.parametrize("kind", ["cut short", "empty", "text", "folder"])
def test_a_file_that_is_no_archive_is_refused(archive: Path, tmp_path: Path, kind: str) -> None:
    data = archive.read_bytes()
    archive.unlink()
    if kind == "folder":
        archive.mkdir()
    else:
        archive.write_bytes({"cut short": data[: len(data) // 2], "empty": b"", "text": b"my diary"}[kind])
    refused(tmp_path, archive)


def test_of_a_packed_archive_it_is_said_how_to_unpack_it(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(lzma.compress(archive.read_bytes()))
    assert f"unpack it first (xz -dk {archive.name})" in refused(tmp_path, archive)


def test_bytes_that_a_disk_or_a_line_has_changed_are_refused_or_do_no_harm(
    store: Store, archive: Path, tmp_path: Path
) -> None:
    data, draw = archive.read_bytes(), random.Random(1)
    mine = other(tmp_path)
    held = 0
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 4))):
            changed[draw.randrange(len(data)) if draw.random() < 0.5 else -draw.randrange(1, 2500)] ^= (
                1 << draw.randrange(8)
            )
        archive.write_bytes(changed)
        try:
            transfer.import_(mine, archive)
        except UserError:
            held += 1
    assert held > 50
    archive.write_bytes(data)
    transfer.import_(mine, archive)
    assert tables(mine.load_run()) == tables(store.load_run())
    assert upkeep.check(mine).wrong == []


def test_a_result_of_another_machine_spares_this_one_the_work(
    archive: Path, tmp_path: Path, toy_registry: Registry
) -> None:
    mine = other(tmp_path)
    transfer.import_(mine, archive)
    before = {row: mine.find(row) for row in keys(mine)}
    fill(mine, toy_registry, "bootstrap", "misbehaves")
    assert {row: mine.find(row) for row in keys(mine)} == before
    assert all(isinstance(found, TaskResult) and found.status in set(Status) for found in before.values())


def keys(store: Store) -> list[str]:
    with sqlite3.connect(store.database.path or "") as database:
        return [row[0] for row in database.execute("select key from tasks")]
