from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import Field, Schema, Table

SCHEMA = Schema((Field("user", vocabulary=("a", "b")), Field("price", "numeric")))


def table(prices: list[float], **more: np.ndarray) -> Table:
    rows = pd.DataFrame({"user": np.array([1, 2, 1], np.int32), "price": prices})
    return Table(rows, SCHEMA, **more)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_numbers_are_finite_wherever_a_table_comes_from(bad: float) -> None:
    assert len(table([1.0, 2.0, 3.0])) == 3
    with pytest.raises(ValueError, match=r"^the numeric field 'price' holds 2 numbers that are not finite$"):
        table([1.0, bad, bad])


def test_labels_are_zeros_and_ones_one_for_each_row() -> None:
    with pytest.raises(ValueError, match="labels hold values other than 0 and 1"):
        table([1.0, 2.0, 3.0], labels=np.array([0, 1, 2], np.int8))
    with pytest.raises(ValueError, match=r"labels are int8 \(2,\), not int8 \(3,\)"):
        table([1.0, 2.0, 3.0], labels=np.array([0, 1], np.int8))


def test_columns_are_the_schemas_in_its_order_and_types() -> None:
    rows = table([1.0, 2.0, 3.0]).rows
    with pytest.raises(ValueError, match=r"columns \['price', 'user'\] are not the schema's"):
        Table(rows[["price", "user"]], SCHEMA)
    with pytest.raises(ValueError, match="the categorical field 'user' is int64, not int32"):
        Table(rows.astype({"user": "int64"}), SCHEMA)
