"""The models that need no deep net: logistic regression, item rate, pair memory."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Model, Schema, Skip, Splits, Table
from ctrbench.table import Role
from ctrbench_datasets.frappe import Frappe
from ctrbench_models.item_rate import ItemRate
from ctrbench_models.logistic import Logistic
from ctrbench_models.pair_memory import PairMemory
from sklearn.metrics import log_loss, roc_auc_score

BASELINES: list[Model] = [Logistic(), ItemRate(), PairMemory()]
EACH = pytest.mark.parametrize("model", BASELINES, ids=lambda model: model.name)


def pairs(rows: list[tuple[int, int, int]], *, roles: tuple[Role, Role] = ("user", "item")) -> Table:
    """A table of (user, item, label) with three users, and four items of which the codes are given."""
    users, items, labels = np.array(rows).T
    fields = (
        Field("who", "categorical", roles[0], tuple("abc")),
        Field("what", "categorical", roles[1], tuple("wxyz")),
    )
    frame = pd.DataFrame({"who": users.astype(np.int32), "what": items.astype(np.int32)})
    return Table(frame, Schema(fields), labels.astype(np.int8))


TRAIN = pairs([(1, 1, 1), (1, 1, 0), (1, 2, 0), (2, 1, 1), (2, 2, 0), (2, 2, 0), (3, 3, 1), (3, 2, 0)])
VALID = pairs([(1, 1, 1), (2, 1, 1), (3, 3, 0), (1, 2, 0), (2, 3, 0), (3, 1, 0), (2, 2, 0)])


@pytest.fixture(scope="session")
def frappe(frappe_folder: Path) -> Splits:
    return Frappe(path=str(frappe_folder)).load(seed=1, context=Context())


def predict(model: Model, train: Table, rows: Table, valid: Table = VALID) -> np.ndarray:
    return model.fit(train, valid, seed=1, context=Context()).predict(rows.without_labels())


@pytest.mark.parametrize(
    ("model", "auc", "logloss"),
    [(ItemRate(), 0.925, 0.32), (PairMemory(), 0.9375, 0.17), (Logistic(), 0.9375, 0.30)],
    ids=["item_rate", "pair_memory", "logistic"],
)
def test_frappe_gives_the_baselines_their_known_auc(model: Model, auc: float, logloss: float, frappe: Splits) -> None:
    probabilities = predict(model, frappe.train, frappe.test, frappe.valid)
    assert roc_auc_score(frappe.test.targets, probabilities) == pytest.approx(auc, abs=0.002)
    assert log_loss(frappe.test.targets, probabilities) < logloss


def test_item_rate_is_the_items_smoothed_share_of_clicks() -> None:
    overall = (3 + 1) / (8 + 2)
    expected = [(2 + 2 * overall) / (3 + 2), (0 + 2 * overall) / (4 + 2), (1 + 2 * overall) / (1 + 2), overall, overall]
    rows = pairs([(1, 1, 0), (3, 2, 0), (0, 3, 0), (1, 4, 0), (1, 0, 0)])  # item 4 has no rows, 0 is unseen
    np.testing.assert_allclose(predict(ItemRate(smoothing=2.0), TRAIN, rows), expected)


def test_pair_memory_gives_valids_click_rates_of_known_and_new_pairs() -> None:
    known, new = (2 + 1) / (3 + 2), (0 + 1) / (4 + 2)  # valid: (1,1) (2,1) (3,3) are remembered
    rows = pairs([(1, 1, 0), (2, 1, 0), (3, 3, 0), (1, 2, 1), (3, 1, 1), (0, 1, 1), (1, 0, 1), (0, 0, 1), (1, 3, 1)])
    np.testing.assert_allclose(predict(PairMemory(), TRAIN, rows), [known] * 3 + [new] * 6)


def test_pair_memory_tells_pairs_apart_that_share_a_user_or_an_item() -> None:
    every = pairs([(user, item, 0) for user in range(4) for item in range(5)])
    probabilities = predict(PairMemory(), TRAIN, every)
    remembered = {(1, 1), (2, 1), (3, 3)}
    users, items = every.rows["who"], every.rows["what"]
    assert [(p == probabilities.max()) for p in probabilities] == [
        pair in remembered for pair in zip(users, items, strict=True)
    ]


@pytest.mark.parametrize("model", [ItemRate(), PairMemory()], ids=["item_rate", "pair_memory"])
def test_a_log_without_the_field_is_skipped_with_its_reason(model: Model) -> None:
    contexts = pairs([(1, 1, 1), (1, 2, 0)], roles=("user", "context"))
    with pytest.raises(Skip, match="no categorical field has the role item"):
        model.fit(contexts, contexts, seed=1, context=Context())


def test_the_first_field_of_a_role_is_the_id() -> None:
    frame = TRAIN.rows.assign(brand=np.ones(len(TRAIN), np.int32))
    fields = (*TRAIN.schema.fields, Field("brand", "categorical", "item", ("b",)))
    wider = Table(frame, Schema(fields), TRAIN.labels)
    assert (predict(ItemRate(), wider, wider) == predict(ItemRate(), TRAIN, TRAIN)).all()


def test_logistic_learns_values_numbers_and_their_weights() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "price": rng.normal(1e6, 10, 3000),
            "item": rng.integers(1, 5, 3000).astype(np.int32),
            "same": np.ones(3000),
        }
    )
    item = Field("item", "categorical", "item", tuple("wxyz"))
    schema = Schema((Field("price", "numeric"), item, Field("same", "numeric")))
    logit = (frame["price"] - 1e6) / 10 + np.array([0, -2, -1, 1, 2])[frame["item"]]
    labels = (rng.random(3000) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    plain, weighted = Table(frame, schema, labels), Table(frame, schema, labels, (1 + 3 * labels).astype(np.float32))
    probabilities = predict(Logistic(), plain, plain)
    assert np.corrcoef(np.log(probabilities / (1 - probabilities)), logit)[0, 1] > 0.99
    assert predict(Logistic(), weighted, plain).mean() > probabilities.mean() + 0.1
    unseen = Table(frame.assign(item=np.int32(0)), schema)
    assert np.isfinite(predict(Logistic(), plain, unseen)).all()


def test_logistic_that_stops_early_says_so_in_its_details_and_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor = Logistic(max_iter=1).fit(TRAIN, VALID, seed=1, context=Context())
    assert predictor.details["iterations"] == 1


@EACH
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_in_training_gives_probabilities_inside_the_unit_interval(model: Model, label: int) -> None:
    probabilities = predict(model, TRAIN.take(TRAIN.targets == label), VALID)
    assert probabilities.shape == (len(VALID),)
    assert ((probabilities > 0) & (probabilities < 1)).all()


@EACH
def test_fits_repeat_bit_for_bit_and_leave_their_inputs_alone(model: Model) -> None:
    digests, state = (TRAIN.digest(), VALID.digest()), np.random.get_state()[1].tolist()  # type: ignore[index]
    first, again = predict(model, TRAIN, VALID), predict(model, TRAIN, VALID)
    assert (first == again).all()
    assert first.dtype == np.float64
    assert (TRAIN.digest(), VALID.digest()) == digests
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]
