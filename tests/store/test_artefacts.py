import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from ctrbench.store import artefacts as stored
from ctrbench.store.artefacts import Artefacts, LostArtefactError
from ctrbench.table import Field, Schema, Table
from toys import log


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path)


def file_of(artefacts: Artefacts, digest: str) -> Path:
    return artefacts.folder / digest[:2] / f"{digest}.parquet"


def mixed() -> Table:
    import pandas as pd

    schema = Schema((Field("a", vocabulary=("ü, \n", "'")), Field("x", "numeric", "item")), "clicked?")
    rows = pd.DataFrame({"a": np.array([1, 2, 0], np.int32), "x": [0.1, -1e300, 5e-324]})
    return Table(rows, schema, np.array([0, 1, 0], np.int8), np.array([1, 2, 0.5], np.float32))


@pytest.mark.parametrize("table", [log(50, 1), mixed(), mixed().without_labels()], ids=["log", "mixed", "unlabelled"])
def test_a_table_comes_back_as_it_was(artefacts: Artefacts, table: Table) -> None:
    back = artefacts.get_table(artefacts.put_table(table))
    assert back.digest() == table.digest()
    assert back.schema == table.schema
    assert back.rows.equals(table.rows)
    assert (back.labels is None) == (table.labels is None)


def test_an_array_comes_back_as_it_was(artefacts: Artefacts) -> None:
    values = np.random.default_rng(1).random(100)
    assert (artefacts.get_array(artefacts.put_array(values)) == values).all()


def test_a_folder_may_have_any_name_that_a_disk_takes(tmp_path: Path) -> None:
    odd = Artefacts(tmp_path / "a\udcff b\n")
    assert list(odd.get_array(odd.put_array(np.arange(3.0)))) == [0, 1, 2]


@pytest.mark.parametrize("at_once", [1, 2 * 8 * 50, 2**30])
def test_products_are_the_same_however_many_arrays_are_multiplied_at_once(
    artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    values = np.random.default_rng(1).random((5, 50))
    digests = [artefacts.put_array(each) for each in values]
    monkeypatch.setattr(stored, "AT_ONCE", at_once)
    assert np.allclose(artefacts.products(digests), values @ values.T, rtol=1e-12)


def test_equal_tables_are_stored_once(artefacts: Artefacts) -> None:
    assert artefacts.put_table(log(50, 1)) == artefacts.put_table(log(50, 1))
    assert len(list(artefacts.folder.rglob("*.parquet"))) == 1


def test_a_table_that_was_read_may_be_changed_without_changing_the_file(artefacts: Artefacts) -> None:
    digest = artefacts.put_table(log(50, 1))
    artefacts.get_table(digest).rows.loc[0, "user"] = 2
    assert artefacts.get_table(digest).digest() == log(50, 1).digest()


def test_whatever_a_reader_does_to_what_it_got_the_next_one_gets_what_was_stored(artefacts: Artefacts) -> None:
    table, values = artefacts.put_table(mixed()), artefacts.put_array(np.arange(3.0))
    lists = artefacts.put_arrays({"top": np.arange(6, dtype=np.int32).reshape(3, 2)})
    for _ in range(2):
        got = artefacts.get_table(table)
        assert got.digest() == mixed().digest()
        assert (artefacts.get_array(values) == np.arange(3.0)).all()
        assert (artefacts.get_arrays(lists)["top"].ravel() == np.arange(6)).all()
        columns = [got.rows[name].to_numpy() for name in got.schema.names]
        for array in (
            *columns,
            got.labels,
            got.weights,
            artefacts.get_array(values),
            artefacts.get_arrays(lists)["top"],
        ):
            assert array is not None
            if array.flags.writeable:
                array[:] = 0


def test_what_was_read_stays_in_memory_in_bounds(artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "KEPT_BYTES", 3000)
    digests = [artefacts.put_array(np.full(100, float(i))) for i in range(40)]
    big = artefacts.put_array(np.arange(1000.0))
    for digest in digests:
        artefacts.get_array(digest)
    assert [digest for folder, digest in stored._recent if folder == artefacts.folder] == digests[-3:]
    assert len(artefacts.get_array(big)) == 1000
    assert not stored._recent, "larger than all that may stay"


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_corrupt_file_is_set_aside_and_can_be_made_again(artefacts: Artefacts, damage: str) -> None:
    digest = artefacts.put_table(log(50, 1))
    path = file_of(artefacts, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "truncate": bytes(data[:100]), "empty": b""}[damage])
    with pytest.raises(LostArtefactError):
        artefacts.get_table(digest)
    assert not artefacts.intact(digest)
    assert path.with_suffix(".corrupt").exists()
    artefacts.put_table(log(50, 1))
    assert artefacts.get_table(digest).digest() == log(50, 1).digest()


def test_what_is_written_again_replaces_a_file_of_its_length_with_other_bytes(artefacts: Artefacts) -> None:
    digest = artefacts.put_table(log(50, 1))
    path = file_of(artefacts, digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert artefacts.put_table(log(50, 1)) == digest
    assert artefacts.intact(digest)


def test_a_missing_file_is_not_intact(artefacts: Artefacts) -> None:
    assert not artefacts.intact("ab" * 32)


def test_a_failed_write_leaves_nothing_behind(artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artefacts.put_table(log(50, 1))
    assert not [path for path in artefacts.folder.rglob("*") if path.is_file()]


@pytest.fixture
def mapped(artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch) -> Artefacts:
    """In which every table is large, and every vocabulary long."""
    monkeypatch.setattr(stored, "MAPPED_FROM", 0)
    monkeypatch.setattr("ctrbench.table.SPELT_OUT", 1)
    return artefacts


@pytest.mark.parametrize("table", [log(50, 1), mixed(), mixed().without_labels()], ids=["log", "mixed", "unlabelled"])
def test_a_large_table_comes_back_as_it_was_and_what_its_reader_changes_nobody_else_sees(
    mapped: Artefacts, table: Table
) -> None:
    digest = mapped.put_table(table)
    back = mapped.get_table(digest)
    assert mapped.path(digest).suffix == ".arrow"
    assert back.schema == table.schema
    assert back.digest() == table.digest()
    assert mapped.put_table(back) == digest
    back.rows.iloc[0, 0] = 2
    back.column(back.schema.names[-1])[:] = 0
    assert mapped.get_table(digest).digest() == table.digest()
    assert mapped.intact(digest, anew=True)


def test_words_are_not_read_with_a_table(mapped: Artefacts) -> None:
    digest, words = mapped.put_table(log(50, 1)), mapped.put_words(log(2, 1).schema)
    mapped.path(words).unlink()
    back = mapped.get_table(digest)
    assert back.schema == log(2, 1).schema
    with pytest.raises(LostArtefactError):
        list(back.schema.fields[0].vocabulary)


def test_a_large_table_that_was_touched_is_verified_again(mapped: Artefacts, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = mapped.put_table(log(50, 1))
    path, reads = mapped.path(digest), []
    monkeypatch.setattr(Artefacts, "_read", lambda self, digest: reads.append(digest))
    mapped.get_table(digest)
    assert mapped.touch(digest)
    mapped.get_table(digest)
    assert not reads, "it was hashed when it was written"
    monkeypatch.undo()
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    with pytest.raises(LostArtefactError, match="changed while it was in use"):
        mapped.expect_untouched([digest])
    with pytest.raises(LostArtefactError, match="corrupt and has been set aside"):
        mapped.get_table(digest)


def test_a_large_table_that_is_stored_again_while_it_is_in_use_is_untouched(mapped: Artefacts) -> None:
    digest = mapped.put_table(log(50, 1))
    mapped.get_table(digest)
    before = mapped.path(digest).stat().st_mtime_ns
    assert mapped.put_table(log(50, 1)) == digest
    assert mapped.path(digest).stat().st_mtime_ns > before, "what is in use is kept from a collection"
    mapped.expect_untouched([digest])


def test_a_bit_that_flips_on_the_disk_unseen_is_found_by_a_check(mapped: Artefacts) -> None:
    digest = mapped.put_table(log(50, 1))
    path = mapped.path(digest)
    data, before = path.read_bytes(), path.stat()
    path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mapped.intact(digest)
    assert not mapped.intact(digest, anew=True)


def test_a_table_of_an_older_store_is_read_as_it_is(artefacts: Artefacts) -> None:
    import pyarrow as pa

    table = log(50, 1)
    about = {b"ctrbench.schema": table.schema.to_json()}
    columns = pa.table({**table.rows, "//labels": table.labels}).replace_schema_metadata(about)
    digest = artefacts._put(lambda file: stored._write(columns, file))
    assert artefacts.get_table(digest).digest() == table.digest()


TABLES: dict[str, dict[str, object]] = {
    "texts": {"values": ["a", "b"]},
    "a name more": {"x": [1.0]},
    "a schema that is none": {"values": [1.0, 2.0]},
}


def strange(artefacts: Artefacts, kind: str) -> str:
    """The digest of a file that is named as it should be, and that no ctrbench wrote."""
    import pyarrow as pa

    if kind == "no table":
        return artefacts._put(lambda file: file.write(b"my diary"))
    if kind == "no arrow":
        return artefacts._put(lambda file: file.write(b"ARROW1, or so it says"))
    return artefacts._put(lambda file: stored._write(pa.table(TABLES[kind]).replace_schema_metadata({"a": "b"}), file))


@pytest.mark.parametrize("kind", ["no table", "no arrow", *TABLES])
def test_a_file_that_has_its_digest_and_is_nothing_of_ours_is_as_good_as_lost(artefacts: Artefacts, kind: str) -> None:
    digest = strange(artefacts, kind)
    with pytest.raises(LostArtefactError, match=f"artefact {digest} is none that ctrbench wrote"):
        artefacts.get_table(digest)
    good = artefacts.put_array(np.arange(3.0))
    with pytest.raises(LostArtefactError, match="is none that ctrbench wrote"):
        artefacts.products([good, digest])
    if kind != "a schema that is none":
        with pytest.raises(LostArtefactError, match="is none that ctrbench wrote"):
            artefacts.get_array(digest)
    assert artefacts.intact(digest), "it is not ours to set aside"


def test_a_few_bytes_that_stand_for_more_numbers_than_there_is_memory_for_are_not_read(
    artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    digest = artefacts.put_array(np.zeros(10**6))
    assert file_of(artefacts, digest).stat().st_size < 8000
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=7 * 10**6))
    with pytest.raises(LostArtefactError, match="its numbers take 8 MB, more than there is memory for"):
        artefacts.get_array(digest)


def test_words_that_lead_beyond_their_file_are_not_followed(artefacts: Artefacts) -> None:
    import pyarrow as pa

    offsets = pa.py_buffer(np.array([0, 10**12, 3], np.int64))
    words = pa.LargeStringArray.from_buffers(2, offsets, pa.py_buffer(b"abc"))
    named = pa.schema([pa.field("words", pa.large_string())])

    def write(file: BinaryIO) -> None:
        with pa.ipc.new_file(file, named) as writer:
            writer.write_batch(pa.record_batch([words], named))

    digest = artefacts._put(write)
    with pytest.raises(LostArtefactError, match="is none that ctrbench wrote"):
        artefacts.words(digest)(0)


def test_a_disk_that_fills_while_words_are_written_leaves_nothing(
    mapped: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(schema: Schema, file: BinaryIO) -> None:
        file.write(b"ARROW1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "_write_words", full)
    with pytest.raises(OSError, match="No space left"):
        mapped.put_table(log(50, 1))
    assert not [path for path in mapped.folder.rglob("*") if path.is_file()]
    monkeypatch.undo()
    assert mapped.get_table(mapped.put_table(log(50, 1))).digest() == log(50, 1).digest()
