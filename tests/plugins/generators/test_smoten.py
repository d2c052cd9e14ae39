"""SMOTEN: how train is cut into chunks, and that what comes out of either engine is what imbalanced-learn adds."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench_generators import _neighbours
from ctrbench_generators._chunks import MEMORY, fewest_chunks
from ctrbench_generators._neighbours import click_shares, nearest, vote
from ctrbench_generators.smoten import Smoten
from hypothesis import given, settings
from hypothesis import strategies as st

each_engine = pytest.mark.parametrize("engine", ["native", "imblearn"])


def log(rows: int = 300, *, by_label: bool = False) -> Table:
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(1, size, rows) for size in (12, 7, 4)], axis=1).astype(np.int32)
    labels = (rng.random(rows) < np.where(codes[:, 0] > 8, 0.7, 0.2)).astype(np.int8)
    if by_label:
        labels = np.sort(labels)
    fields = tuple(
        Field(name, vocabulary=tuple(map(str, range(size - 1)))) for name, size in zip("abc", (12, 7, 4), strict=True)
    )
    return Table(pd.DataFrame(codes, columns=list("abc")), Schema(fields), labels)


def sample(spec: Smoten, train: Table, rows: int | None = None, *, seed: int = 2) -> Table:
    return spec.fit(train, seed=1, context=Context()).sample(rows or len(train), seed=seed)


def sorted_rows(codes: np.ndarray, labels: np.ndarray) -> list[tuple[int, ...]]:
    return sorted(map(tuple, np.column_stack([codes, labels]).tolist()))


def test_one_chunk_is_what_imbalanced_learn_adds():
    from imblearn.over_sampling import SMOTEN

    train = log()
    counts = np.bincount(train.targets)
    random_state = np.random.RandomState([1, 2]).randint(2**31)
    by_hand = SMOTEN(sampling_strategy={0: 2 * counts[0], 1: 2 * counts[1]}, k_neighbors=2, random_state=random_state)
    codes, labels = by_hand.fit_resample(train.codes, train.targets)

    pool = sample(Smoten(chunks=1, engine="imblearn"), train)

    assert sorted_rows(pool.codes, pool.targets) == sorted_rows(codes[300:], labels[300:])


@each_engine
@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_each_class_gets_as_many_new_rows_as_train_has(chunks, engine):
    train = log()
    assert (
        np.bincount(sample(Smoten(chunks=chunks, engine=engine), train).targets).tolist()
        == np.bincount(train.targets).tolist()
    )


@pytest.mark.parametrize("rows", [2, 45, 299, 1000])
def test_other_numbers_of_rows_keep_the_click_rate(rows):
    train = log()
    pool = sample(Smoten(chunks=3), train, rows)
    assert len(pool) == rows
    assert pool.targets.sum() == round(rows * train.click_rate)


@each_engine
def test_new_rows_take_their_values_from_their_own_class_and_chunk(engine):
    train = log(by_label=True)
    half = len(train) // 2
    # The chunks share no value of field a, so a row that mixed them would show.
    codes = train.codes
    codes[:, 0] = np.where(np.arange(300) % 2, 1 + codes[:, 0] % 5, 6 + codes[:, 0] % 5)
    order = np.argsort(np.arange(300) % 2 == 0, kind="stable")
    split = Table(pd.DataFrame(codes[order], columns=list("abc")), train.schema, train.targets[order])
    pool = sample(Smoten(chunks=2, engine=engine), split)
    for label in (0, 1):
        first = split.take((np.arange(300) < half) & (split.targets == label))
        second = split.take((np.arange(300) >= half) & (split.targets == label))
        low = pool.rows["a"].isin(first.rows["a"]) & (pool.targets == label)
        high = pool.rows["a"].isin(second.rows["a"]) & (pool.targets == label)
        assert (low.sum(), high.sum()) == (len(first), len(second))


def test_real_rows_are_not_handed_out_as_new_ones():
    rng = np.random.default_rng(0)
    codes = np.stack([rng.permutation(200) + 1 for _ in range(4)], axis=1).astype(np.int32)  # every value occurs once
    fields = tuple(Field(name, vocabulary=tuple(map(str, range(200)))) for name in "abcd")
    train = Table(pd.DataFrame(codes, columns=list("abcd")), Schema(fields), (np.arange(200) % 3 == 0).astype(np.int8))
    pool = sample(Smoten(chunks=1), train)
    real = set(map(tuple, train.codes.tolist()))
    assert sum(tuple(row) in real for row in pool.codes.tolist()) < 100


def test_auto_takes_one_chunk_up_to_the_limit_and_two_beyond():
    labels = np.zeros(100, np.int8)
    labels[:30] = 1
    assert fewest_chunks(labels, memory=16 * 70**2) == 1
    assert fewest_chunks(labels, memory=16 * 70**2 - 1) == 2


def test_auto_counts_the_rows_of_each_chunk_not_their_average():
    labels = np.repeat(np.array([0, 1], np.int8), 60)
    assert fewest_chunks(labels, memory=16 * 30**2) == 4  # two would do if the file were mixed


@pytest.mark.parametrize("seed", range(5))
def test_auto_is_the_fewest(seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random(500) < 0.3).astype(np.int8)
    limit = 60

    def largest(chunks: int) -> int:
        return max(np.bincount(part, minlength=2).max() for part in np.array_split(labels, chunks))

    number = fewest_chunks(labels, memory=16 * limit**2)
    assert largest(number) <= limit
    assert all(largest(fewer) > limit for fewer in range(1, number))


def test_frappe_needs_twelve_chunks(frappe_folder):
    labels = pd.read_csv(frappe_folder / "train.csv", usecols=["label"])["label"].to_numpy(np.int8)
    assert fewest_chunks(labels, MEMORY) == 12


@each_engine
def test_the_number_of_chunks_is_recorded(engine):
    train = log()
    largest = int(np.bincount(train.targets).max())
    assert Smoten(engine=engine).fit(train, seed=1, context=Context()).details == {
        "chunks": 1,
        "largest class": largest,
    }
    assert Smoten(chunks=4, engine=engine).fit(train, seed=1, context=Context()).details["chunks"] == 4


def test_auto_is_one_chunk_for_the_native_engine_whatever_the_rows(monkeypatch):
    monkeypatch.setattr("ctrbench_generators.smoten.fewest_chunks", lambda labels: 3)
    assert Smoten().fit(log(), seed=1, context=Context()).details["chunks"] == 1
    assert Smoten(engine="imblearn").fit(log(), seed=1, context=Context()).details["chunks"] == 3


def test_shuffling_deals_other_rows_to_the_chunks():
    train = log()
    in_file_order = sample(Smoten(chunks=3), train)
    shuffled = sample(Smoten(chunks=3, chunk_order="shuffled"), train)
    assert in_file_order.digest() != shuffled.digest()


def test_a_chunk_that_lacks_a_class_is_named_and_shuffling_helps():
    train = log(by_label=True)
    with pytest.raises(ValueError, match=r"chunk 1 of 3 has 0 of class 1: take fewer chunks or chunk_order=shuffled"):
        sample(Smoten(chunks=3), train)
    assert len(sample(Smoten(chunks=3, chunk_order="shuffled"), train)) == 300


@pytest.mark.parametrize(("rows", "chunks", "advice"), [
    (2, 1, "train has 2 in all: take k_neighbors=1"),
    (2, 2, "train has 2 in all: take k_neighbors=1 and chunks=1"),
    (1, 1, "train has 1 in all: no other row can be a neighbour"),
])  # fmt: skip
def test_advice_can_be_followed(rows, chunks, advice):
    train = log()
    labels = np.zeros(len(train), np.int8)
    labels[:rows] = 1
    table = Table(train.rows, train.schema, labels)
    with pytest.raises(ValueError, match=advice) as caught:
        Smoten(chunks=chunks).fit(table, seed=1, context=Context())
    assert "fewer chunks" not in str(caught.value)
    if rows > 1:
        assert len(sample(Smoten(k_neighbors=1), table)) == len(train)


def test_shuffled_rows_are_not_told_to_be_shuffled():
    train = log(by_label=True)
    with pytest.raises(ValueError, match=r"take fewer chunks$"):
        sample(Smoten(chunks=75, chunk_order="shuffled"), train)


def test_numeric_fields_are_refused_with_a_reason():
    train = log()
    fields = (*train.schema.fields, Field("price", "numeric"))
    table = Table(train.rows.assign(price=1.5), Schema(fields), train.labels)
    with pytest.raises(Skip, match="nominal fields; numeric: price"):
        Smoten().fit(table, seed=1, context=Context())


def test_imbalanced_learn_tells_progress_chunk_by_chunk():
    told: list[tuple[int, int | None]] = []
    context = Context(progress=lambda step, total, values: told.append((step, total)))
    Smoten(chunks=3, engine="imblearn").fit(log(), seed=1, context=context).sample(300, seed=2)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_native_fit_tells_progress_by_rows(monkeypatch):
    monkeypatch.setattr(_neighbours, "BLOCK", 50)
    told: list[tuple[int, int | None]] = []
    context = Context(progress=lambda step, total, values: told.append((step, total)))
    Smoten(chunks=2).fit(log(), seed=1, context=context)
    steps = [step for step, _ in told]
    assert {total for _, total in told} == {300}
    assert steps[0] == 0
    assert steps[-1] == 300
    assert all(0 < later - sooner <= 50 for sooner, later in pairwise(steps))


# The native engine beside imbalanced-learn's metric and rows.


@lru_cache(maxsize=2)  # both classes of a table
def distances(train: Table, label: int) -> np.ndarray:
    """imbalanced-learn's value differences among the rows of a class, (rows, rows)."""
    from imblearn.metrics.pairwise import ValueDifferenceMetric

    metric = ValueDifferenceMetric().fit(train.codes, train.targets)
    return metric.pairwise(train.codes[train.targets == label])


def tied(train: Table, label: int, k: int) -> np.ndarray:
    """Which rows of a class have as far to another row as to the last that votes, (rows,)."""
    last = [k, min(k + 1, len(distances(train, label)) - 1)]
    ranked = np.partition(distances(train, label), last, axis=1)
    return np.zeros(len(ranked), bool) if len(ranked) == k + 1 else ranked[:, k + 1] - ranked[:, k] <= 1e-12


def order_of(rows: int) -> np.ndarray:
    """How `sample(Smoten(chunks=1), …)` shuffles."""
    randomness = np.random.RandomState([1, 2])
    randomness.randint(2**31)
    return randomness.permutation(rows)


def drawn_on_a_tie(train: Table, k: int, rows: int) -> np.ndarray:
    """Which rows of `sample(Smoten(chunks=1), …)` come from a row with a tie at its k-th neighbour, (rows,)."""
    seed = np.random.RandomState([1, 2]).randint(2**31)
    positives = round(rows * train.click_rate)
    free = []
    for label, new in ((0, rows - positives), (1, positives)):
        ties = tied(train, label, k)
        free.append(ties[np.random.RandomState(seed).choice(np.arange(len(ties)), new)])
    return np.concatenate(free)[order_of(rows)]


def random_table(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> Table:
    """At least 20 rows of each class, whose shares of clicks differ by value and so seldom tie where rows are many."""
    codes = np.stack([np.minimum(rng.geometric(min(1, 3 / size), rows), size) for size in sizes], axis=1).astype(
        np.int32
    )
    labels = (rng.random(rows) < 0.1 + 0.8 * (codes[:, 0] / sizes[0])).astype(np.int8)
    labels[:20], labels[20:40] = 0, 1
    names = [f"f{n}" for n in range(len(sizes))]
    fields = tuple(Field(name, vocabulary=tuple(map(str, range(n)))) for name, n in zip(names, sizes, strict=True))
    return Table(pd.DataFrame(codes, columns=names), Schema(fields), labels)


def all_near(points: np.ndarray, number: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours and squared distances of all rows in their order, each (rows, number)."""
    blocks = list(nearest(points, number, threads=threads))
    rows = np.concatenate([block.rows for block in blocks])
    assert sorted(rows) == list(range(len(points)))
    order = np.argsort(rows)
    return (
        np.concatenate([block.neighbours for block in blocks])[order],
        np.concatenate([block.squares for block in blocks])[order],
    )


def assert_exact(train: Table, number: int) -> None:
    """The neighbours' distances are imbalanced-learn's smallest; neighbours differ, and the row itself is the first."""
    points = click_shares(train.codes, train.targets)
    for label in (0, 1):
        expected = distances(train, label)
        neighbours, squares = all_near(points[train.targets == label], number)
        np.testing.assert_allclose(4 * squares, np.sort(expected, axis=1)[:, :number], rtol=0, atol=1e-12)
        np.testing.assert_allclose(4 * squares, np.take_along_axis(expected, neighbours, 1), rtol=0, atol=1e-12)
        assert (neighbours[:, 0] == np.arange(len(neighbours))).all()
        assert (np.diff(np.sort(neighbours, axis=1), axis=1) > 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(40, 160),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(2, 20),
)
def test_neighbour_distances_are_those_of_imbalanced_learn(seed, rows, sizes, number):
    assert_exact(random_table(np.random.default_rng(seed), rows, tuple(sizes)), number)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_neighbours_do_not_depend_on_blocks_or_threads(block, monkeypatch):
    train = random_table(np.random.default_rng(3), 300, (4, 3, 5))
    points = click_shares(train.codes, train.targets)
    whole = all_near(points, 4)
    monkeypatch.setattr(_neighbours, "BLOCK", block)
    for one, other in zip(whole, all_near(points, 4, threads=2), strict=True):
        assert (one == other).all()


def test_ten_thousand_equal_rows_share_their_votes():
    points = np.zeros((10_000, 3))
    points[-5:] = 0.5
    neighbours, squares = all_near(points, 4)
    assert (squares == 0).all()
    assert (np.bincount(neighbours.ravel()) == 4).sum() > 9_990  # nobody is asked by all


def test_a_row_takes_those_of_its_own_place_before_others():
    points = np.array([[0.0], [0.0], [0.25], [1.0], [1.0], [1.0]])
    neighbours, squares = all_near(points, 4)
    assert set(neighbours[0][:3]) == {0, 1, 2}
    assert squares[0].tolist() == [0, 0, 0.0625, 1]
    assert set(neighbours[4][:3]) == {3, 4, 5}
    assert neighbours[4][3] == 2


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 5))
def test_the_vote_is_scipys_mode(seed, voters, codes):
    from scipy.stats import mode

    ballots = np.random.default_rng(seed).integers(0, codes, (voters, 30, 4)).astype(np.int32)
    before = ballots.copy()
    assert (vote(ballots) == mode(ballots, axis=0).mode).all()
    assert (ballots == before).all()


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_those_of_imbalanced_learn_where_there_is_no_tie(k, seed):
    train = random_table(np.random.default_rng(seed), 900, (60, 30, 9, 4))
    ours = sample(Smoten(k_neighbors=k), train, 2000)
    theirs = sample(Smoten(k_neighbors=k, chunks=1, engine="imblearn"), train, 2000)
    assert_equal_but_for_ties(ours, theirs, drawn_on_a_tie(train, k, 2000), share=0.5)


def assert_equal_but_for_ties(ours: Table, theirs: Table, free: np.ndarray, share: float) -> None:
    assert (ours.targets == theirs.targets).all()
    for label in (0, 1):
        bound = ~free & (ours.targets == label)
        assert bound.sum() > share * (ours.targets == label).sum()  # else the test says little
        assert (ours.codes[bound] == theirs.codes[bound]).all()


@pytest.mark.parametrize("order", ["file", "shuffled"])
def test_chunks_are_searched_one_by_one_as_imbalanced_learn_would(order):
    train = random_table(np.random.default_rng(5), 1200, (60, 30, 9, 4))
    ours = sample(Smoten(chunks=3, chunk_order=order), train)
    theirs = sample(Smoten(chunks=3, chunk_order=order, engine="imblearn"), train)
    whole = sample(Smoten(), train)
    same = (ours.codes == theirs.codes).all(axis=1).mean()
    assert (ours.targets == theirs.targets).all()
    assert same > 0.8
    assert same > 2 * (whole.codes == theirs.codes).all(axis=1).mean()


def test_where_all_rows_of_a_class_vote_their_new_rows_are_one():
    train = log(60)
    fewest, label = min((count, label) for label, count in enumerate(np.bincount(train.targets)))
    pool = sample(Smoten(k_neighbors=int(fewest) - 1), train)
    assert len(np.unique(pool.codes[pool.targets == label], axis=0)) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_twenty_thousand_rows_of_frappe_both_engines_agree(frappe_folder):
    from ctrbench_datasets.frappe import Frappe

    whole = Frappe(path=str(frappe_folder)).load(seed=1, context=Context()).train
    train = whole.take(np.random.default_rng(0).permutation(len(whole))[:20_000])
    assert_exact(train, 3)
    free = drawn_on_a_tie(train, 2, len(train))
    distances.cache_clear()  # 1.8 GB
    theirs = sample(Smoten(chunks=1, engine="imblearn"), train)
    assert_equal_but_for_ties(sample(Smoten(), train), theirs, free, share=0.75)


def test_where_ids_hardly_occur_twice_time_is_forecast_to_grow_with_the_square() -> None:
    ids, few = (
        Schema((Field("id", vocabulary=[str(n) for n in range(size)]), Field("hour", vocabulary=("0", "1"))))
        for size in (50_000, 500)
    )
    growth = [
        Smoten().forecast(schema, 80_000).operations / Smoten().forecast(schema, 40_000).operations
        for schema in (ids, few)
    ]
    assert growth == [pytest.approx(4.0), pytest.approx(2.13, abs=0.01)]
    assert Smoten(engine="imblearn").forecast(few, 40_000) is None
