"""A search of parameters: what is tried, that valid alone decides, and that the model within counts in its version."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Predictor, Schema, Searched, Skip, Table, UserError, params, searched
from ctrbench_models import tune
from ctrbench_models._deep import DeepModel
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.finalmlp import FinalMLP
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.logistic import Logistic
from ctrbench_models.masknet import MaskNet
from ctrbench_models.tune import Tune
from ctrbench_models.xdeepfm import XDeepFM

pytest.importorskip("optuna")


def table(rows: int, seed: int) -> Table:
    """Twenty items with click rates of their own, and a hundred sources that say nothing."""
    rng = np.random.default_rng(seed)
    item, source = rng.integers(1, 21, rows), rng.integers(1, 101, rows)
    labels = (rng.random(rows) < 0.1 + 0.03 * (item * 7 % 20)).astype(np.int8)
    fields = (Field("item", vocabulary=tuple(f"{n:03}" for n in range(20))),
              Field("source", vocabulary=tuple(f"{n:03}" for n in range(100))))  # fmt: skip
    return Table(pd.DataFrame({"item": item, "source": source}, dtype=np.int32), Schema(fields), labels)


def test_the_best_of_all_trials_by_valid_is_kept_the_models_own_parameters_tried_first(monkeypatch) -> None:
    tried: list[float] = []
    fit = Logistic.fit
    monkeypatch.setattr(Logistic, "fit", lambda self, *a, **k: tried.append(self.c) or fit(self, *a, **k))
    said = []
    context = replace(Context(), progress=lambda *words: said.append(words))
    found = Tune(model="logistic[c=1000.0]", trials=6).fit(table(400, 1), table(400, 2), seed=3, context=context)
    assert len(tried) == 6
    assert tried[0] == 1000.0
    assert [step for step, _, _ in said] == [1, 2, 3, 4, 5, 6]
    assert found.details["trials"] == 6
    assert found.details["tuned c"] in tried
    assert found.details["best valid auc"] == max(values["best valid_auc"] for _, _, values in said)
    assert found.details["best valid auc"] > said[0][2]["best valid_auc"]  # noise of sources is shrunk
    best = Logistic(c=found.details["tuned c"]).fit(table(400, 1), table(400, 2), seed=3, context=Context())
    rows = table(50, 4).without_labels()
    assert (found.predict(rows) == best.predict(rows)).all()
    again = Tune(model="logistic[c=1000.0]", trials=6).fit(table(400, 1), table(400, 2), seed=3, context=Context())
    assert again.details == found.details


def test_the_models_own_parameters_are_tried_first_wherever_they_lie(monkeypatch) -> None:
    tried: list[tuple[float, ...]] = []
    monkeypatch.setattr(
        Dnn, "fit", lambda self, *a, **k: tried.append((self.embedding_regularizer, self.dropout)) or Constant()
    )
    named = "dnn[epochs=1, hidden_units=(8), embedding_regularizer=0, dropout=0.7]"
    Tune(model=named, trials=3).fit(table(100, 1), table(100, 2), seed=3, context=Context())
    assert tried[0] == (0.0, 0.7)
    assert len(tried) == 3
    assert all(1e-3 <= strength <= 1 and dropout <= 0.5 for strength, dropout in tried[1:])


@dataclass(frozen=True)
class Constant(Predictor):
    """A model's end."""

    value: float = 0.5

    def predict(self, rows):
        return np.full(len(rows), self.value)


def test_a_trial_that_diverges_is_lost_and_not_the_search(monkeypatch) -> None:
    ends = iter([Constant(), FloatingPointError("not finite"), Constant(np.nan), Constant(0.4)])

    def fit(self, *a, **k):
        end = next(ends)
        if isinstance(end, FloatingPointError):
            raise end
        return end

    monkeypatch.setattr(Logistic, "fit", fit)
    found = Tune(trials=4).fit(table(100, 1), table(100, 2), seed=3, context=Context())
    assert found.details["trials that diverged"] == 2
    assert found.details["best valid auc"] == 0.5
    ends = iter([FloatingPointError("lower it"), Constant(np.inf)])
    with pytest.raises(FloatingPointError, match="lower it"):
        Tune(trials=2).fit(table(100, 1), table(100, 2), seed=3, context=Context())


def test_a_search_that_was_stopped_goes_on(monkeypatch, tmp_path) -> None:
    clock = [0.0]
    monkeypatch.setattr(tune, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    whole = Tune(trials=6).fit(table(400, 1), table(400, 2), seed=3, context=Context(checkpoints=tmp_path / "one"))
    tried: list[float] = []
    fit = Logistic.fit

    def until_the_fifth(self, *a, **k):
        tried.append(self.c)
        clock[0] += 50.0  # seconds: the third trial is the last to be written down at its end
        if len(tried) == 5:
            raise KeyboardInterrupt
        return fit(self, *a, **k)

    monkeypatch.setattr(Logistic, "fit", until_the_fifth)
    context = Context(checkpoints=tmp_path / "two")
    with pytest.raises(KeyboardInterrupt):
        Tune(trials=6).fit(table(400, 1), table(400, 2), seed=3, context=context)
    found = Tune(trials=6).fit(table(400, 1), table(400, 2), seed=3, context=context)
    best_is_early = found.details["tuned c"] in tried[:4]
    assert len(tried) == 5 + 2 + best_is_early  # which is then trained once more
    assert found.details == whole.details
    rows = table(50, 4).without_labels()
    assert (found.predict(rows) == whole.predict(rows)).all()
    (tmp_path / "two" / "trials.json").write_text("[[")
    assert Tune(trials=1).fit(table(400, 1), table(400, 2), seed=3, context=context).details["trials"] == 1


def test_the_model_within_counts_in_the_version_and_mistakes_are_named() -> None:
    versions = {Tune(model=model).version() for model in ("logistic", "logistic[c=2]", "dnn")}
    assert len(versions) == 3
    with pytest.raises(UserError, match="model: no model 'dnnn'; did you mean"):
        Tune(model="dnnn").version()
    with pytest.raises(UserError, match=r"tune\[model=item_rate\]: no parameter of item_rate is marked"):
        Tune(model="item_rate").version()


def test_what_cannot_be_tuned_is_a_skip() -> None:
    train = table(50, 1)
    valid = Table(train.rows, train.schema, np.zeros(50, np.int8))
    with pytest.raises(Skip, match="valid rows of both classes"):
        Tune().fit(train, valid, seed=1, context=Context())


@pytest.mark.parametrize("model", [Dnn, DeepFM, MaskNet, DCNv2, FinalMLP, FinalNet, AutoInt, XDeepFM])
def test_what_the_page_says_is_searched_of_networks_is_so_for_each(model: type[DeepModel]) -> None:
    assert set(searched(model())) == {"learning_rate", "embedding_dim", "embedding_regularizer", "dropout"}


def test_whole_numbers_and_choices_stay_what_they_are() -> None:
    class Asked:
        def suggest_int(self, name, low, high, *, log):
            return low

        def suggest_float(self, name, low, high, *, log):
            return float(high)

        def suggest_categorical(self, name, choices):
            return list(choices)[-1]

    proposed = {name: tune._proposed(Asked(), name, where) for name, where in searched(Dnn()).items()}
    assert proposed == {"learning_rate": 1e-2, "embedding_dim": 4, "dropout": 0.5, "embedding_regularizer": 1.0}
    assert params.rebuilt(Dnn(**proposed), "dnn").embedding_dim == 4
    assert isinstance(proposed["embedding_dim"], get_type_hints(Dnn)["embedding_dim"])
    assert tune._proposed(Asked(), "widths", Searched(among=((32,), (64, 32)))) == (64, 32)
