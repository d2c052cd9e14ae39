"""LightGBM's trees: how ids become columns, and what the trees learn."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table
from ctrbench_models.lightgbm import Coding, LightGBM
from sklearn.metrics import roc_auc_score

QUICK = LightGBM(trees=60, leaves=15, rows_a_leaf=5, native_values=10)
SIZES = {"user": 300, "item": 8, "hour": 6}


def log(rows: int, seed: int) -> Table:
    """Clicks by the user's own rate, and by whether item and hour are both odd or both even; the price says nothing."""
    rng = np.random.default_rng(seed)
    fields = [
        Field(name, "categorical", "context", tuple(f"{at:03}" for at in range(size))) for name, size in SIZES.items()
    ]
    frame = pd.DataFrame({name: rng.integers(1, size + 1, rows).astype(np.int32) for name, size in SIZES.items()})
    eager = np.random.default_rng(0).random(SIZES["user"]) < 0.5
    likely = eager[frame["user"] - 1] ^ ((frame["item"] + frame["hour"]) % 2 == 0)
    frame["price"] = rng.normal(size=rows)
    schema = Schema((*fields, Field("price", "numeric")))
    return Table(frame, schema, (rng.random(rows) < np.where(likely, 0.9, 0.1)).astype(np.int8))


def test_it_learns_a_pair_and_a_rate() -> None:
    train, valid, test = log(8000, 1), log(2000, 2), log(2000, 3)
    easy = [Table(t.rows, t.schema, ((t.rows["item"] + t.rows["hour"]) % 2 == 0).astype(np.int8).to_numpy())
            for t in (train, valid, test)]  # fmt: skip
    predictor = QUICK.fit(easy[0], easy[1], seed=1, context=Context())
    assert roc_auc_score(easy[2].targets, predictor.predict(easy[2].without_labels())) > 0.99


def test_a_large_fields_values_enter_as_the_other_folds_click_rates() -> None:
    train = log(1000, 1)
    coding = Coding.of(train, native_values=10, smoothing=2.0)
    fold = np.random.default_rng(0).integers(0, 3, len(train))
    made = coding.of_train(train, fold)
    assert (coding.native, coding.large, coding.numeric) == (("item", "hour"), ("user",), ("price",))
    users, mean = train.rows["user"].to_numpy(), train.targets.mean()
    for row in range(0, len(train), 97):
        others = (users == users[row]) & (fold != fold[row])
        rate = (train.targets[others].sum() + 2 * mean) / (others.sum() + 2)
        np.testing.assert_allclose(made[row, 2:4], [rate if others.any() else mean, np.log1p(others.sum())])
    np.testing.assert_array_equal(made[:, :2], train.rows[["item", "hour"]])
    np.testing.assert_array_equal(made[:, 4], train.rows["price"])


def test_a_row_does_not_see_its_own_label() -> None:
    """Where clicks are coin tosses, a user's rate over all rows tells train's labels; that of other folds does not."""
    train, valid, test = log(1200, 1), log(400, 2), log(400, 3)
    rng = np.random.default_rng(5)
    for table in (train, valid, test):
        table.labels[:] = rng.integers(0, 2, len(table))  # type: ignore[index]
    coding = Coding.of(train, 10, 1.0)
    fold = rng.permutation(len(train)) % 5
    assert roc_auc_score(train.targets, coding.apply(train)[:, 2]) > 0.65
    assert roc_auc_score(train.targets, coding.of_train(train, fold)[:, 2]) < 0.55


def test_values_that_train_lacks_have_the_mean_rate() -> None:
    train = log(500, 1)
    rows = train.take(np.arange(3))
    rows.rows["user"] = np.int32(0)
    told = Coding.of(train, 10, 5.0).apply(rows)[:, 2:4]
    np.testing.assert_allclose(told, [[train.targets.mean(), 0.0]] * 3)


def test_equal_seeds_give_equal_predictions() -> None:
    train, valid = log(1000, 1), log(500, 2)
    quick = replace(QUICK, columns=0.5)
    first, again, other = (quick.fit(train, valid, seed=s, context=Context()).predict(valid) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_weights_count_as_copies_of_a_row() -> None:
    train, valid = log(1000, 1), log(500, 2)
    heavy = replace(train, weights=np.where(train.targets == 1, 20.0, 1.0).astype(np.float32))
    plain, weighted = (
        QUICK.fit(table, valid, seed=1, context=Context()).predict(valid).mean() for table in (train, heavy)
    )
    assert weighted > plain + 0.2


def test_a_deadline_ends_it_and_one_class_is_a_skip() -> None:
    train, valid = log(500, 1), log(200, 2)
    with pytest.raises(TimeoutError, match="after tree 1 of 60"):
        QUICK.fit(train, valid, seed=1, context=Context(deadline=time.time() - 1))
    with pytest.raises(Skip, match="train rows of both classes"):
        QUICK.fit(train.take(np.flatnonzero(train.targets)), valid, seed=1, context=Context())
