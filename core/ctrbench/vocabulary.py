"""The values of a categorical field, which may be millions and lie on disk.

In: texts, a pyarrow array of strings, or what reads one. Out: a sequence of texts whose length and equality need none
of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np

_PIECE = 100_000  # values that are made Python's at once


class Vocabulary(Sequence[str]):
    """A field's values in the order of their codes, of which the first is 1.

    Made of texts, or of a pyarrow array of strings; where they lie on disk, they are read when first asked for: how
    many there are, and whether two vocabularies are equal, is known without. `LookupError` where they are not at hand.
    """

    def __init__(self, size: int, read: Callable[[], Any], digest: str = "") -> None:
        self._size, self._read = size, read
        if digest:
            self.digest = digest

    @classmethod
    def of(cls, values: Sequence[str] | Any) -> Vocabulary:
        """Of these values; itself where it is one."""
        if isinstance(values, Vocabulary):
            return values
        if type(values).__module__.startswith("pyarrow"):
            return cls(len(values), lambda: values)
        texts = tuple(values)
        made = cls(len(texts), lambda: texts)
        made._texts = texts
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary.of, (self.strings,)

    @cached_property
    def strings(self) -> Any:
        """The values as a pyarrow array of large strings."""
        return _strings(self._read())

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the values and where each ends."""
        offsets, texts = self.strings.buffers()[1:]
        start = self.strings.offset
        ends = np.frombuffer(offsets, np.int64)[start : start + self._size + 1] if self._size else np.zeros(1, np.int64)
        sha = hashlib.sha256((ends - ends[0]).astype("<i8").tobytes())
        sha.update(memoryview(texts or b"")[ends[0] : ends[-1]])
        return sha.hexdigest()

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(self.strings.to_pylist())

    def pieces(self) -> Iterator[list[str]]:
        """The values in lists of bounded length."""
        if "_texts" in vars(self):
            yield from (list(self._texts[at : at + _PIECE]) for at in range(0, self._size, _PIECE))
        else:
            yield from (self.strings[at : at + _PIECE].to_pylist() for at in range(0, self._size, _PIECE))

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice) or "_texts" in vars(self):
            return self._texts[at]
        return str(self.strings[range(self._size)[at]].as_py())

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Vocabulary):
            return self is other or (self._size == other._size and self.digest == other.digest)
        return self._texts == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._size)

    def __repr__(self) -> str:
        return repr(self._texts) if self._size <= 10 else f"<{self._size:,} values>"


def _strings(values: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values if values.type == pa.large_string() else values.cast(pa.large_string())
    return pa.array(values, pa.large_string())
