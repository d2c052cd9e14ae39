"""SMOTEN: how train is cut into chunks, and that what comes out is what imbalanced-learn adds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench_generators.smoten import MEMORY, Smoten, fewest_chunks


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

    pool = sample(Smoten(chunks=1), train)

    assert sorted_rows(pool.codes, pool.targets) == sorted_rows(codes[300:], labels[300:])


@pytest.mark.parametrize("chunks", [1, 3, 7])
def test_each_class_gets_as_many_new_rows_as_train_has(chunks):
    train = log()
    assert np.bincount(sample(Smoten(chunks=chunks), train).targets).tolist() == np.bincount(train.targets).tolist()


@pytest.mark.parametrize("rows", [2, 45, 299, 1000])
def test_other_numbers_of_rows_keep_the_click_rate(rows):
    train = log()
    pool = sample(Smoten(chunks=3), train, rows)
    assert len(pool) == rows
    assert pool.targets.sum() == round(rows * train.click_rate)


def test_new_rows_take_their_values_from_their_own_class_and_chunk():
    train = log(by_label=True)
    half = len(train) // 2
    # The chunks share no value of field a, so a row that mixed them would show.
    codes = train.codes
    codes[:, 0] = np.where(np.arange(300) % 2, 1 + codes[:, 0] % 5, 6 + codes[:, 0] % 5)
    order = np.argsort(np.arange(300) % 2 == 0, kind="stable")
    split = Table(pd.DataFrame(codes[order], columns=list("abc")), train.schema, train.targets[order])
    pool = sample(Smoten(chunks=2), split)
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


def test_the_number_of_chunks_is_recorded():
    train = log()
    assert Smoten().fit(train, seed=1, context=Context()).details["chunks"] == 1
    assert Smoten(chunks=4).fit(train, seed=1, context=Context()).details["chunks"] == 4


def test_shuffling_deals_other_rows_to_the_chunks():
    train = log()
    in_file_order = sample(Smoten(chunks=3), train)
    shuffled = sample(Smoten(chunks=3, chunk_order="shuffled"), train)
    assert in_file_order.digest() != shuffled.digest()


def test_a_chunk_that_lacks_a_class_is_named_and_shuffling_helps():
    train = log(by_label=True)
    with pytest.raises(ValueError, match=r"chunk 1 of 3 has 0 of class 1: .*chunk_order=shuffled"):
        sample(Smoten(chunks=3), train)
    assert len(sample(Smoten(chunks=3, chunk_order="shuffled"), train)) == 300


def test_numeric_fields_are_refused_with_a_reason():
    train = log()
    fields = (*train.schema.fields, Field("price", "numeric"))
    table = Table(train.rows.assign(price=1.5), Schema(fields), train.labels)
    with pytest.raises(Skip, match="nominal fields; numeric: price"):
        Smoten().fit(table, seed=1, context=Context())


def test_progress_is_told_chunk_by_chunk():
    told: list[tuple[int, int | None]] = []
    context = Context(progress=lambda step, total, values: told.append((step, total)))
    Smoten(chunks=3).fit(log(), seed=1, context=context).sample(300, seed=2)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
