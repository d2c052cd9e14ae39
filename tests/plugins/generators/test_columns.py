"""The layout that CTGAN's and TVAE's networks see: codes and modes for one-hots, and the way back."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from ctrbench import Field, Schema, Table
from ctrbench_generators import _columns
from ctrbench_generators._columns import Columns, Encoded, Span

CITIES = Field("city", vocabulary=tuple("abcdef"))


def table(rows: int = 600) -> Table:
    """A field of whose six values three occur, a price about two means with two decimals, and a label."""
    rng = np.random.default_rng(5)
    price = np.round(np.where(rng.random(rows) < 0.3, rng.normal(10, 1, rows), rng.normal(200, 20, rows)), 2)
    columns = {"city": rng.choice([2, 3, 6], rows).astype(np.int32), "price": price}
    labels = (rng.random(rows) < 0.2).astype(np.int8)
    return Table(pd.DataFrame(columns), Schema((CITIES, Field("price", "numeric")), "clicked"), labels)


def with_prices(prices: list[float] | np.ndarray) -> Table:
    made = table(len(prices))
    return replace(made, rows=made.rows.assign(price=np.array(prices, np.float64)))


def test_spans_follow_each_other_with_a_numbers_scalar_before_its_mode_and_the_label_last():
    columns = Columns.of(table(), seed=1)
    modes = columns.spans[2].width
    assert modes >= 2
    assert columns.spans == (
        Span("city", 0, 3, "value"),
        Span("price", 3, 1, "scalar"),
        Span("price", 4, modes, "mode"),
        Span("clicked", 4 + modes, 2, "value"),
    )
    assert [span.kind for span in columns.one_hot] == ["value", "mode", "value"]
    assert [span.column for span in columns.scalar] == ["price"]
    assert columns.width == 6 + modes


def test_one_hots_are_positions_among_the_values_that_occur_in_ascending_order():
    rows = table()
    encoded = Columns.of(rows, seed=1).encode(rows)
    assert encoded.hot.dtype == torch.int64
    assert encoded.scalars.dtype == torch.float32
    np.testing.assert_array_equal(encoded.hot[:, 0], rows.rows["city"].map({2: 0, 3: 1, 6: 2}))
    np.testing.assert_array_equal(encoded.hot[:, 2], rows.targets)


def test_decoding_undoes_encoding():
    rows = table()
    columns = Columns.of(rows, seed=1)
    assert columns.decode(columns.encode(rows)).digest() == rows.digest()


def test_the_modes_are_those_that_ctgan_learns():
    from rdt.transformers import ClusterBasedNormalizer

    rows = table()
    reference = ClusterBasedNormalizer(max_clusters=10, weight_threshold=0.005, missing_value_generation="from_column")
    reference.fit(rows.rows[["price"]], "price")
    # Its fits all start from one fixed seed.
    columns = Columns.of(rows, seed=int(reference.INITIAL_FIT_STATE.get_state()[1][0]))
    assert columns.spans[2].width == sum(reference.valid_component_indicator)
    scalars, chosen = columns.encode(rows).scalars[:, 0], columns.encode(rows).hot[:, 1]
    theirs = pd.DataFrame({"price.normalized": scalars.double(), "price.component": chosen.double()})
    np.testing.assert_allclose(reference.reverse_transform(theirs)["price"], rows.rows["price"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("power", [-7, -20, -40])
def test_small_numbers_have_the_modes_of_the_same_numbers_in_a_larger_unit(power):
    rng = np.random.default_rng(3)
    prices = rng.normal(0, 0.2, 600) + rng.choice([0, 1.2], 600)
    rows, small = with_prices(prices), with_prices(np.ldexp(prices, power))
    columns, of_small = Columns.of(rows, seed=1), Columns.of(small, seed=1)
    encoded, encoded_small = columns.encode(rows), of_small.encode(small)
    assert columns.spans[2].width >= 2
    assert of_small.spans == columns.spans
    assert torch.equal(encoded_small.hot, encoded.hot)
    np.testing.assert_array_equal(encoded_small.scalars, encoded.scalars)
    np.testing.assert_array_equal(of_small.modes["price"].means, np.ldexp(columns.modes["price"].means, power))
    np.testing.assert_array_equal(
        of_small.decode(encoded_small).rows["price"], np.ldexp(columns.decode(encoded).rows["price"], power)
    )


def test_a_mode_is_drawn_by_its_probability():
    """Two modes that overlap: a number between them goes to each about as often as the mixture says."""
    rng = np.random.default_rng(3)
    rows = with_prices(np.concatenate([rng.normal(-1, 1, 3000), rng.normal(1.5, 1, 3000)]))
    columns = Columns.of(rows, seed=1)
    modes = columns.modes["price"]
    between = np.full(4000, 0.25)
    probabilities = modes.mixture.predict_proba(between[:1, None])[0, modes.kept]
    _, drawn = modes.encode(between, np.random.default_rng(0))
    assert probabilities.max() < 0.95
    np.testing.assert_allclose(np.bincount(drawn, minlength=len(modes)) / 4000, probabilities, atol=0.03)


def test_encoding_is_alike_at_every_call_and_follows_the_seed():
    rng = np.random.default_rng(3)
    rows = with_prices(rng.normal(0, 1, 2000) + rng.choice([0, 2], 2000))
    once, again = (Columns.of(rows, seed=4).encode(rows) for _ in range(2))
    other = replace(Columns.of(rows, seed=4), seed=5).encode(rows)
    assert torch.equal(once.hot, again.hot)
    assert torch.equal(once.scalars, again.scalars)
    assert not torch.equal(once.hot, other.hot)


def test_large_tables_are_encoded_in_chunks_and_their_modes_learned_from_a_sample(monkeypatch):
    monkeypatch.setattr(_columns, "CHUNK", 70)
    monkeypatch.setattr(_columns, "MODE_ROWS", 300)
    rows = table()
    columns = Columns.of(rows, seed=1)
    assert columns.decode(columns.encode(rows)).digest() == rows.digest()


def test_decoded_numbers_keep_the_tables_range_and_decimals():
    rows = table()
    columns = Columns.of(rows, seed=1)
    noise = torch.Generator().manual_seed(0)
    encoded = columns.encode(rows)
    prices = columns.decode(Encoded(encoded.hot, torch.randn(600, 1, generator=noise) * 3)).rows["price"]
    assert prices.between(rows.rows["price"].min(), rows.rows["price"].max()).all()
    np.testing.assert_array_equal(prices, prices.round(2))
    assert prices.nunique() > 50


@pytest.mark.parametrize(
    "prices",
    [
        [3.5] * 40,
        [0.0, 1.0] * 20,
        list(np.arange(40) * 1e9),
        list(np.random.default_rng(0).normal(size=40) / 3),
        [1e-9 / 3] * 40,
        [3e-9, 7e-9] * 20,
        list(1e3 + np.arange(40) * 1e-9),
        [1.0, np.nextafter(1.0, 2.0)] * 20,
    ],
    ids=["one", "two", "large", "no decimals", "one small", "two small", "small steps", "as near as numbers are"],
)
def test_unusual_numbers_come_back(prices):
    rows = with_prices(prices)
    columns = Columns.of(rows, seed=1)
    came = columns.decode(columns.encode(rows)).rows["price"]
    np.testing.assert_allclose(came, prices, rtol=0, atol=1e-6 * np.ptp(prices))


def test_a_column_of_one_value_and_a_single_class_have_one_network_column():
    rows = table(50)
    rows = Table(rows.rows.assign(city=np.int32(4)), rows.schema, np.ones(50, np.int8))
    columns = Columns.of(rows, seed=1)
    assert (columns.spans[0].width, columns.spans[-1].width) == (1, 1)
    assert columns.decode(columns.encode(rows)).digest() == rows.digest()


def test_a_code_that_the_learned_table_lacks_is_named():
    rows = table()
    columns = Columns.of(rows, seed=1)
    with pytest.raises(ValueError, match="no code 4 in 'city'"):
        columns.encode(replace(rows, rows=rows.rows.assign(city=np.int32(4))))


def test_neither_the_table_nor_the_global_generators_change():
    rows = table()
    before = rows.digest(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    columns = Columns.of(rows, seed=1)
    columns.decode(columns.encode(rows))
    after = rows.digest(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after
