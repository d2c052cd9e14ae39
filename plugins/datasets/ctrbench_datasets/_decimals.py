"""What points and commas mean in the numbers of a text column.

In: logs and the name of a column. Out: whether its commas are decimal points, and which of its points may part
thousands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ctrbench import Column

from ctrbench_datasets._reading import Log

ENOUGH_POINTS = 3
"""So many different numbers may show what a point means in a column."""


def has_decimal_commas(logs: Sequence[Log], name: str) -> bool:
    """Not "1,234", which may have a thousands separator."""
    values = [value for log in logs for value in _texts(log, name, 10_000)]
    commas = [value for value in values if "," in value]
    return (
        any(re.fullmatch(r"\s*[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)\s*", value) for value in commas)
        and all(re.fullmatch(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*", value) for value in commas)
        and not any("." in value for value in values)
    )


def possible_thousands(logs: Sequence[Log], name: str) -> str:
    """A number with a point, where each has three digits behind it and those without are whole and below 1,000."""
    values = [value.strip() for log in logs for value in _texts(log, name, 10_000)]
    points = [value for value in values if "." in value]
    alike = all(re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", value) for value in points)
    rest = all(re.fullmatch(r"-?\d{1,3}", value) for value in values if "." not in value)
    return points[0] if len(points) >= ENOUGH_POINTS and len(points) < len(values) and alike and rest else ""


def _texts(log: Log, name: str, most: int) -> list[str]:
    """The first distinct values of a column of text, of another none."""
    import pyarrow as pa

    kind = log.columns.schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return []
    texts: list[str] = Column.of(log.columns[name]).texts[:most].to_pylist()
    return texts
