"""Tables and arrays on disk: Parquet files named by the SHA-256 of their bytes.

Tasks put tables and arrays in and get digests; whoever holds a digest gets exactly those bytes back, or an error.
Writing is atomic, reading verifies, and nothing read can run code.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ctrbench.errors import UserError
from ctrbench.table import Schema, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LABELS, _WEIGHTS, _SCHEMA = "//labels", "//weights", b"ctrbench.schema"

DIGEST = re.compile("[0-9a-f]{64}")

KEPT, KEPT_BYTES = 16, 128 * 2**20
"""So many of what was read last stay in memory: all metrics of a training, one after the other, read the same."""
_recent: OrderedDict[tuple[Path, str], Any] = OrderedDict()  # (folder, digest) → Arrow table, which nobody can change


class LostArtefactError(Exception):
    """A stored table or array is gone or is not what was written; a corrupt file has been set aside."""


@dataclass(frozen=True)
class Artefacts:
    """A folder of content-addressed Parquet files."""

    folder: Path

    def put_table(self, table: Table) -> str:
        """Store a table; its digest. UserError for a name that the file needs for itself."""
        import pyarrow as pa

        columns = {name: table.rows[name].to_numpy() for name in table.schema.names}
        for name in (_LABELS, _WEIGHTS):
            if name in columns:
                raise UserError(f"a column is called {name!r}, a name that ctrbench itself uses; rename it")
        for name, values in ((_LABELS, table.labels), (_WEIGHTS, table.weights)):
            if values is not None:
                columns[name] = values
        return self._put(pa.table(columns).replace_schema_metadata({_SCHEMA: table.schema.to_json()}))

    def get_table(self, digest: str) -> Table:
        """The table of that digest; its arrays are its caller's own."""
        stored = self._get(digest)
        schema = Schema.from_json(stored.schema.metadata[_SCHEMA].decode())
        names = stored.column_names
        return Table(
            stored.select(list(schema.names)).to_pandas(),
            schema,
            stored[_LABELS].to_numpy() if _LABELS in names else None,
            stored[_WEIGHTS].to_numpy() if _WEIGHTS in names else None,
        )

    def put_array(self, values: NDArray[Any]) -> str:
        """Store a one-dimensional array; its digest."""
        return self.put_arrays({"values": values})

    def get_array(self, digest: str) -> NDArray[np.float64]:
        """The array of that digest."""
        return self.get_arrays(digest)["values"]

    def put_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> str:
        """Store arrays of equally many rows, of one or two dimensions; their digest."""
        import pyarrow as pa

        columns = {
            name: array if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(array.ravel(), array.shape[1])
            for name, array in arrays.items()
        }
        return self._put(pa.table(columns))

    def get_arrays(self, digest: str) -> dict[str, NDArray[Any]]:
        """The arrays of that digest."""
        import pyarrow as pa

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

    def intact(self, digest: str) -> bool:
        """Whether the file is there and holds what was written; a corrupt one is set aside."""
        try:
            self._read(digest)
        except LostArtefactError:
            return False
        return True

    def take_in(self, digest: str, source: BinaryIO) -> bool:
        """Store a file from elsewhere; whether it was new. LostArtefactError where it is not what its digest says."""
        if self.intact(digest):
            return False
        found = hashlib.sha256()
        with self._whole(self.path(digest)) as file:
            while block := source.read(2**20):
                found.update(block)
                file.write(block)
            if found.hexdigest() != digest:
                raise LostArtefactError(f"artefact {digest} is not what its name says")
        return True

    def digests(self) -> list[str]:
        """Of all files, whole or not."""
        return sorted(path.stem for path in self.folder.glob("??/*.parquet") if DIGEST.fullmatch(path.stem))

    def path(self, digest: str) -> Path:
        """Where the file of that digest is, or would be."""
        if not DIGEST.fullmatch(digest):  # a store from elsewhere may say anything, such as "../../other"
            raise LostArtefactError(f"{digest[:80]!r} is no artefact's digest")
        return self.folder / digest[:2] / f"{digest}.parquet"

    def _put(self, table: Any) -> str:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        buffer = sink.getvalue()
        digest = hashlib.sha256(buffer).hexdigest()
        path = self.path(digest)
        if path.exists() and path.stat().st_size == buffer.size:
            with suppress(OSError):
                os.utime(path)  # for whoever removes what is old and unnamed
            return digest
        with self._whole(path) as file:
            file.write(buffer)
        return digest

    @contextmanager
    def _whole(self, path: Path) -> Iterator[BinaryIO]:
        """A file that gets its name once all of it is on the disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem[:8]}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def _get(self, digest: str) -> Any:
        import pyarrow.parquet as pq

        found = _recent.pop((self.folder, digest), None)
        if found is None:
            found = pq.read_table(self._read(digest))
        _recent[self.folder, digest] = found
        while len(_recent) > KEPT or sum(table.nbytes for table in _recent.values()) > KEPT_BYTES:
            _recent.popitem(last=False)
        return found

    def _read(self, digest: str) -> Any:
        import pyarrow as pa

        path = self.path(digest)
        try:
            with pa.memory_map(str(path)) as file:
                buffer = file.read_buffer()
        except OSError as error:
            raise LostArtefactError(f"artefact {digest} cannot be read: {error}") from None
        if hashlib.sha256(buffer).hexdigest() != digest:
            with suppress(OSError):  # another run set it aside first, or the disk is read-only
                path.replace(path.with_suffix(".corrupt"))
            raise LostArtefactError(f"artefact {digest} was corrupt and has been set aside")
        return pa.BufferReader(buffer)
