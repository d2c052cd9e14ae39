"""Tables and arrays on disk: files named by the SHA-256 of their bytes.

Tasks put tables and arrays in and get digests; whoever holds a digest gets exactly those bytes back, or an error.
Writing is atomic, reading verifies, and nothing read can run code. What is small is compressed (Parquet), read into
memory and verified each time; a large table lies as it is used (Arrow), is mapped, so that all who read it share one
copy, and is verified once, and again where the file has been touched.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ctrbench.errors import UserError
from ctrbench.table import Schema, Table
from ctrbench.text import in_bytes, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABELS, _WEIGHTS, _SCHEMA, _WORDS = "//labels", "//weights", b"ctrbench.schema", b"ctrbench.words"

MAPPED_FROM = 64 * 2**20
"""Tables of so many bytes are mapped."""

SUFFIXES = (".parquet", ".arrow")
_MAGIC = b"ARROW1"
_ATTRIBUTE = "user.ctrbench"  # of a mapped file: in which state it was verified
_BLOCK = 2**20

DIGEST = re.compile("[0-9a-f]{64}")

FRAMES = "frames"
"""The folder beside the artefacts that holds the data frames which runs were given."""

AT_ONCE = 2**30
"""So many bytes of arrays are multiplied with as many others at once."""

KEPT, KEPT_BYTES = 16, 128 * 2**20
"""So many of what was read last stay in memory: all metrics of a training, one after the other, read the same."""
_recent: OrderedDict[tuple[Path, str], Any] = OrderedDict()  # (folder, digest) → Arrow table, which nobody can change


def forget_recent() -> None:
    """Read everything anew from now on."""
    _recent.clear()
    _products.cache_clear()


class LostArtefactError(Exception):
    """A stored table or array is gone or is not what was written; a corrupt file has been set aside."""


@contextmanager
def _as_we_write_them(digest: str) -> Iterator[None]:
    """LostArtefactError for a file that has its digest, and is nothing that we write: a store may be a stranger's."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's, where Arrow's own have no number
            raise
        raise LostArtefactError(f"artefact {digest} is none that ctrbench wrote: {one_line(error)}") from None


@dataclass(frozen=True)
class Artefacts:
    """A folder of files, each named by the digest of its bytes."""

    folder: Path

    def put_table(self, table: Table) -> str:
        """Store a table; its digest. UserError for a name that the file needs for itself."""
        import pyarrow as pa

        columns = {name: table.column(name) for name in table.schema.names}
        for name in (_LABELS, _WEIGHTS):
            if name in columns:
                raise UserError(f"a column is called {name!r}, a name that ctrbench itself uses; rename it")
        for name, values in ((_LABELS, table.labels), (_WEIGHTS, table.weights)):
            if values is not None:
                columns[name] = values
        words = self.put_words(table.schema)
        about = {_SCHEMA: table.schema.outline()} | ({_WORDS: words} if words else {})
        stored = pa.table(columns).replace_schema_metadata(about)
        return self._put(partial(_write_arrow, stored) if stored.nbytes >= MAPPED_FROM else partial(_write, stored))

    def get_table(self, digest: str) -> Table:
        """The table of that digest, as it was checked when it was stored; what its caller changes nobody else sees."""
        with _as_we_write_them(digest):
            return self._mapped_table(digest) if self.path(digest).suffix == ".arrow" else self._table(digest)

    def _table(self, digest: str) -> Table:
        stored = self._get(digest)
        names = stored.column_names
        schema = self._schema(stored.schema.metadata)
        return Table.unchecked(
            stored.select(list(schema.names)).to_pandas(),
            schema,
            stored[_LABELS].to_numpy() if _LABELS in names else None,
            stored[_WEIGHTS].to_numpy() if _WEIGHTS in names else None,
        )

    def put_words(self, schema: Schema) -> str:
        """Store the vocabularies that a schema's outline leaves out; their digest, "" where there are none."""
        if not schema.beside:
            return ""
        kept = schema.kept.get(self.folder)
        if kept is None or not self.path(kept).exists():
            kept = schema.kept[self.folder] = self._put(partial(_write_words, schema))
        return kept

    def _schema(self, about: Mapping[bytes, bytes]) -> Schema:
        """The schema of a stored table; its long vocabularies are read when somebody asks for their words."""
        words = about.get(_WORDS, b"").decode()
        schema = Schema.from_json(about[_SCHEMA].decode(), self.words(words))
        if words:
            schema.kept[self.folder] = words
        return schema

    def words(self, digest: str) -> Callable[[int], Any]:
        """What reads the nth vocabulary of the artefact of that digest."""
        import pyarrow as pa

        def read(place: int) -> Any:
            with _as_we_write_them(digest):
                batch = pa.ipc.open_file(self._map(digest)).get_batch(place)
                batch.validate(full=True)  # Arrow would follow any offset to wherever it leads
                return batch.column(0)

        return read

    def _mapped_table(self, digest: str) -> Table:
        import pandas as pd
        import pyarrow as pa

        memory = self._map(digest)
        stored = pa.ipc.open_file(memory).get_batch(0)
        columns = {
            name: _writable(memory, column) for name, column in zip(stored.schema.names, stored.columns, strict=True)
        }
        labels, weights = columns.pop(_LABELS, None), columns.pop(_WEIGHTS, None)
        schema = self._schema(stored.schema.metadata)
        return Table.unchecked(pd.DataFrame(columns, copy=False), schema, labels, weights)

    def put_array(self, values: NDArray[Any]) -> str:
        """Store a one-dimensional array; its digest."""
        return self.put_arrays({"values": values})

    def get_array(self, digest: str) -> NDArray[np.float64]:
        """The array of that digest."""
        with _as_we_write_them(digest):
            return self.get_arrays(digest)["values"]

    def products(self, digests: Sequence[str]) -> NDArray[np.float64]:
        """The inner products of the arrays of these digests, each with each, (digests, digests).

        LostArtefactError where one is lost, or they are no numbers that can be multiplied.
        """
        with _as_we_write_them(digests[0] if digests else ""):
            return _products(self, tuple(digests))

    def put_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Store arrays of equally many rows, of one or two dimensions; their digest."""
        import pyarrow as pa

        columns = {
            name: array if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(array.ravel(), array.shape[1])
            for name, array in arrays.items()
        }
        return self._put(partial(_write, pa.table(columns)))

    def get_arrays(self, digest: str) -> dict[str, NDArray[Any]]:
        """The arrays of that digest."""
        import pyarrow as pa

        with _as_we_write_them(digest):
            stored = self._get(digest)
            return {
                name: stored[name].combine_chunks().flatten().to_numpy().reshape(len(stored), -1)
                if pa.types.is_fixed_size_list(stored[name].type)
                else stored[name].to_numpy()
                for name in stored.column_names
            }

    def get_bytes(self, digest: str) -> bytes:
        """The verified bytes of the file of that digest, to be taken in elsewhere."""
        data: bytes = self._read(digest).read()
        return data

    def intact(self, digest: str, *, anew: bool = False) -> bool:
        """Whether the file is there and holds what was written; a corrupt one is set aside.

        `anew` reads all of a large one too that nobody has touched since it was verified.
        """
        try:
            if anew or not _is_verified(self.path(digest)):
                self._read(digest)
        except LostArtefactError:
            return False
        return True

    def take_in(self, digest: str, source: BinaryIO) -> bool:
        """Store a file from elsewhere; whether it was new. LostArtefactError where it is not what its digest says."""
        if self.intact(digest) and self.touch(digest):
            return False
        found = hashlib.sha256()
        with self._partial() as file:
            while block := source.read(_BLOCK):
                found.update(block)
                file.write(block)
            if found.hexdigest() != digest:
                raise LostArtefactError(f"artefact {digest} is not what its name says")
            self._name(file, digest)
        return True

    def digests(self) -> list[str]:
        """Of all files, whole or not."""
        found = (path.stem for path in self.folder.glob("??/*") if path.suffix in SUFFIXES)
        return sorted({stem for stem in found if DIGEST.fullmatch(stem)})

    def path(self, digest: str) -> Path:
        """Where the file of that digest is, or would be."""
        if not DIGEST.fullmatch(digest):  # a store from elsewhere may say anything, such as "../../other"
            raise LostArtefactError(f"{digest[:80]!r} is no artefact's digest")
        plain, mapped = (self.folder / digest[:2] / f"{digest}{suffix}" for suffix in SUFFIXES)
        return mapped if mapped.exists() else plain

    def touch(self, digest: str) -> bool:
        """Say that a file is in use; whether it is there."""
        path = self.path(digest)
        try:
            verified = _is_verified(path)
            os.utime(path)
        except OSError:
            return False
        if verified:
            _remember(path)
        return True

    def _put(self, write: Callable[[BinaryIO], None]) -> str:
        """Store what is written; its digest."""
        with self._partial() as file:
            write(file)
            file.flush()
            with open(file.name, "rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            self._name(file, digest)
        return digest

    def _name(self, file: BinaryIO, digest: str) -> None:
        """Give what was written its name once all of it is on the disk, unless it is there already."""
        path = self.path(digest)
        if path.exists() and self.intact(digest) and self.touch(digest):
            return
        file.flush()
        os.fsync(file.fileno())
        with open(file.name, "rb") as written:
            suffix = SUFFIXES[written.read(len(_MAGIC)) == _MAGIC]
        path = self.folder / digest[:2] / f"{digest}{suffix}"
        path.parent.mkdir(exist_ok=True)
        os.replace(file.name, path)
        _remember(path)

    @contextmanager
    def _partial(self) -> Iterator[BinaryIO]:
        """A file that is gone afterwards, unless it was given another name."""
        room = self.folder / "00"
        room.mkdir(parents=True, exist_ok=True)
        path = room / f".00-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            with open(path, "wb") as file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    def _get(self, digest: str) -> Any:
        import pyarrow.parquet as pq

        place = (self.folder, digest)
        if place in _recent:
            _recent.move_to_end(place)
            return _recent[place]
        file = pq.ParquetFile(self._read(digest))
        _expect_room(file)
        found = _recent[place] = file.read()
        while len(_recent) > KEPT or sum(table.nbytes for table in _recent.values()) > KEPT_BYTES:
            _recent.popitem(last=False)
        return found

    def _read(self, digest: str) -> Any:
        import pyarrow as pa

        path = self.path(digest)
        try:
            with pa.memory_map(os.fsencode(path)) as file:  # a name need not be UTF-8
                buffer = file.read_buffer()
        except OSError as error:
            raise LostArtefactError(f"artefact {digest} cannot be read: {error}") from None
        if hashlib.sha256(buffer).hexdigest() != digest:
            with suppress(OSError):  # another run set it aside first, or the disk is read-only
                path.replace(path.with_suffix(".corrupt"))
            done = "is corrupt and cannot be set aside" if path.exists() else "was corrupt and has been set aside"
            raise LostArtefactError(f"artefact {digest} {done}")
        _remember(path)
        return pa.BufferReader(buffer)

    def _map(self, digest: str) -> mmap.mmap:
        """The bytes of a mapped file, which all who read them share; a change is its maker's alone."""
        path = self.path(digest)
        try:
            if not _is_verified(path):
                self._read(digest)
            _mapped[path] = _state(path)
            with open(path, "rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise LostArtefactError(f"artefact {digest} cannot be read: {error}") from None

    def expect_untouched(self, digests: Iterable[str]) -> None:
        """LostArtefactError where one of these was changed since this process mapped it: it may have read either."""
        for digest in digests:
            path = self.path(digest)
            if path in _mapped and not _is_same(path, _mapped[path]):
                raise LostArtefactError(f"artefact {digest} was changed while it was in use")


# What is known of files that are mapped


_mapped: dict[Path, str] = {}  # the state of each when it was mapped
_verified: dict[Path, str] = {}  # the state in which each was verified, where the file cannot say so itself


def _state(path: Path) -> str:
    """What changes with a file's contents; "" where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _is_same(path: Path, state: str) -> bool:
    """Whether a mapped file has the bytes that it had in that state: nobody wrote to it, or it was only touched."""
    now = _state(path)
    return now == state or (now.split()[:2] == state.split()[:2] and _is_verified(path))


def _is_verified(path: Path) -> bool:
    """Whether a mapped file is as it was when its bytes were last found to be those that its name says."""
    if path.suffix != ".arrow":
        return False
    state = _state(path)
    if state and _verified.get(path) == state:
        return True
    with suppress(OSError, AttributeError):  # Linux; other systems verify once a process
        return bool(state) and os.getxattr(path, _ATTRIBUTE).decode() == state
    return False


def _remember(path: Path) -> None:
    """Note that a mapped file has been verified."""
    if path.suffix == ".arrow":
        _verified[path] = _state(path)
        with suppress(OSError, AttributeError):
            os.setxattr(path, _ATTRIBUTE, _verified[path].encode())


def _writable(memory: mmap.mmap, column: Any) -> NDArray[Any]:
    """A column of a mapped file as an array in its place, without a copy."""
    import pyarrow as pa

    kind = np.dtype(column.type.to_pandas_dtype())
    values = column.buffers()[1]
    start = values.address - pa.py_buffer(memory).address + column.offset * kind.itemsize
    return np.frombuffer(memory, kind, len(column), start)


def _expect_room(file: Any) -> None:
    """ValueError for what a few bytes may stand for: other columns than numbers, or more than there is memory for."""
    import psutil

    for column in file.schema:
        if column.physical_type not in _NUMBERS:
            raise ValueError(f"its column {column.name[:80]!r} holds no numbers")
    groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
    size = 8 * sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
    if size > psutil.virtual_memory().available:
        raise ValueError(f"its numbers take {in_bytes(size)}, more than there is memory for")


_NUMBERS = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")
"""How Parquet holds numbers."""


def _write(table: Any, file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file, compression="zstd")


def _write_arrow(table: Any, file: BinaryIO) -> None:
    import pyarrow as pa

    with pa.ipc.new_file(file, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)


def _write_words(schema: Schema, file: BinaryIO) -> None:
    """One batch a vocabulary."""
    import pyarrow as pa

    named = pa.schema([pa.field("words", pa.large_string())])
    with pa.ipc.new_file(file, named) as writer:
        for each in schema.beside:
            writer.write_batch(pa.record_batch([each.words.strings], named))


@lru_cache(maxsize=16)  # a report asks for the same ones in many places
def _products(artefacts: Artefacts, digests: Sequence[str]) -> NDArray[np.float64]:
    found = np.empty((len(digests), len(digests)))
    step = max(1, AT_ONCE // max(1, artefacts.get_array(digests[0]).nbytes))
    for i in range(0, len(digests), step):
        rows = np.stack([artefacts.get_array(digest) for digest in digests[i : i + step]])
        found[i : i + step, i : i + step] = rows @ rows.T
        for j in range(i + step, len(digests), step):
            others = np.stack([artefacts.get_array(digest) for digest in digests[j : j + step]])
            found[i : i + step, j : j + step] = rows @ others.T
            found[j : j + step, i : i + step] = found[i : i + step, j : j + step].T
    found.flags.writeable = False
    return found
