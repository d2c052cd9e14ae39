"""The plug-in `fuxictr`: classes in FuxiCTR's form from files, under YAML as FuxiCTR and BARS write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Schema, Skip, Table, UserError
from ctrbench_models._zoo import Experiment, Zoo
from ctrbench_models.fuxictr import FuxiCTR
from ctrbench_models.training import columns, fuxictr_feature_map
from fuxictr.pytorch.models import BaseModel
from sklearn.metrics import roc_auc_score

MODEL = '''
import torch
from fuxictr.pytorch.layers import FeatureEmbedding
from fuxictr.pytorch.models import BaseModel

from .layers import tower


class Towers(BaseModel):
    """A perceptron whose first width is what the feature map says of the embeddings."""

    def __init__(self, feature_map, gpu=-1, learning_rate=1e-3, embedding_dim=10, hidden=16, context_field=None,
                 embedding_regularizer=None, **kwargs):
        super().__init__(feature_map, gpu=gpu, embedding_regularizer=embedding_regularizer, **kwargs)
        self.embedding_layer = FeatureEmbedding(feature_map, embedding_dim)
        self.tower = tower(feature_map.sum_emb_out_dim(), hidden)
        self.compile(kwargs["optimizer"], kwargs["loss"], learning_rate)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        X = self.get_inputs(inputs)
        return {"y_pred": torch.sigmoid(self.tower(self.embedding_layer(X).flatten(1)))}
'''
LAYERS = """
from torch import nn


def tower(width, hidden):
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
"""
BY_ROLE = MODEL.replace("class Towers", "class ByRole").replace(
    "sum_emb_out_dim()", 'sum_emb_out_dim(feature_source="user")'
)
CONFIG = """
Base:
    model_root: './checkpoints/'
    num_workers: 3
    verbose: 1
    early_stop_patience: 3
    metrics: ['logloss', 'AUC']
Towers_default:
    model: Towers
    dataset_id: tiny
    loss: binary_crossentropy
    optimizer: adam
    learning_rate: 1.0e-2
    batch_size: 100
    embedding_dim: 6
    hidden: 24
    epochs: 4
    seed: 2021
    monitor: {'AUC': 1, 'logloss': -1}
    gpu: 3
"""


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder as FuxiCTR's: ZOO/Towers/src/*.py and ZOO/Towers/config/model_config.yaml."""
    source = tmp_path / "zoo" / "Towers" / "src"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("from .Towers import *\n")
    (source / "Towers.py").write_text(MODEL)
    (source / "ByRole.py").write_text(BY_ROLE)
    (source / "layers.py").write_text(LAYERS)
    tensorflow = tmp_path / "zoo" / "Towers" / "Towers_tf" / "src"
    tensorflow.mkdir(parents=True)
    (tensorflow / "Towers.py").write_text("import tensorflow\n\nclass Towers(object):\n    pass\n")
    config = tmp_path / "zoo" / "Towers" / "config"
    config.mkdir()
    (config / "model_config.yaml").write_text(CONFIG)
    return tmp_path / "zoo"


def log(rows: int, seed: int, *names: str, role: str = "user") -> Table:
    rng = np.random.default_rng(seed)
    names = names or ("user", "items", "a.b")
    fields = tuple(Field(name, "categorical", role, tuple(f"{at:02}" for at in range(10))) for name in names)  # type: ignore[arg-type]
    frame = pd.DataFrame({name: rng.integers(1, 11, rows).astype(np.int32) for name in names})
    return Table(frame, Schema(fields), (rng.random(rows) < np.where(frame[names[0]] > 5, 0.9, 0.1)).astype(np.int8))


def towers(zoo: Path, **changes: str | int) -> FuxiCTR:
    return replace(FuxiCTR(path=str(zoo), model="Towers", config=str(zoo / "Towers" / "config")), **changes)


def test_a_class_of_the_zoo_learns_under_its_own_yaml(zoo: Path) -> None:
    train, valid, test = log(800, 1), log(400, 2), log(400, 3)
    predictor = towers(zoo).fit(train, valid, seed=1, context=Context())
    assert roc_auc_score(test.targets, predictor.predict(test.without_labels())) > 0.8
    assert predictor.details["epochs"] == 4
    assert predictor.details["parameters"] == 3 * 11 * 6 + (3 * 6 * 24 + 24) + (24 + 1)


def test_settings_go_before_the_experiment(zoo: Path) -> None:
    train, valid = log(300, 1), log(200, 2)
    changed = towers(zoo, settings="hidden: 5, embedding_dim: 2", epochs=1)
    details = changed.fit(train, valid, seed=1, context=Context()).details
    assert details["epochs"] == 1
    assert details["parameters"] == 3 * 11 * 2 + (3 * 2 * 5 + 5) + (5 + 1)


def test_without_a_configuration_the_class_keeps_its_defaults(zoo: Path) -> None:
    bare = FuxiCTR(path=str(zoo / "Towers" / "src"), model="Towers", epochs=1)
    details = bare.fit(log(300, 1), log(200, 2), seed=1, context=Context()).details
    assert details["parameters"] == 3 * 11 * 10 + (30 * 16 + 16) + (16 + 1)


def test_the_map_is_as_wide_as_the_classs_own_default(zoo: Path) -> None:
    (zoo / "Towers" / "src" / "Towers.py").write_text(MODEL.replace("embedding_dim=10", "embedding_dim=7"))
    bare = FuxiCTR(path=str(zoo / "Towers" / "src"), model="Towers", epochs=1)
    details = bare.fit(log(300, 1), log(200, 2), seed=1, context=Context()).details
    assert details["parameters"] == 3 * 11 * 7 + (21 * 16 + 16) + (16 + 1)


def test_fields_keep_the_names_that_torch_takes() -> None:
    schema = log(5, 1).schema
    assert columns(schema, as_named=True) == ["user", "1_items", "2_a_b"]
    features = fuxictr_feature_map(schema, 7, as_named=True)
    assert list(features.features) == ["user", "1_items", "2_a_b"]
    assert features.sum_emb_out_dim() == 21


def test_no_two_fields_get_one_name() -> None:
    schema = Schema(tuple(Field(name, vocabulary=("x",)) for name in ("1_items", "items")))
    assert columns(schema, as_named=True) == ["0_1_items", "1_items"]


def test_what_counts_is_in_the_files_not_where_they_lie(zoo: Path, tmp_path: Path) -> None:
    before = towers(zoo).version()
    moved = tmp_path / "elsewhere"
    zoo.rename(moved)
    assert towers(moved).version() == before
    (moved / "Towers" / "src" / "layers.py").write_text(LAYERS.replace("ReLU", "Tanh"))
    edited = towers(moved).version()
    assert edited != before
    config = moved / "Towers" / "config" / "model_config.yaml"
    config.write_text(CONFIG + "Another:\n    model: Other\n    hidden: 3\n")
    assert towers(moved).version() == edited  # an experiment beside ours does not count
    config.write_text(CONFIG.replace("hidden: 24", "hidden: 25"))
    assert towers(moved).version() != edited


def test_an_edited_file_is_imported_anew(zoo: Path) -> None:
    first = Zoo.find(str(zoo), "Towers").load()
    file = zoo / "Towers" / "src" / "Towers.py"
    file.write_text(MODEL.replace("hidden=16", "hidden=17"))
    second = Zoo.find(str(zoo), "Towers").load()
    assert [kind.__init__.__defaults__[3] for kind in (first, second)] == [16, 17]  # type: ignore[misc]


def test_a_missing_role_or_field_is_a_skip_that_says_so(zoo: Path) -> None:
    train, valid = log(100, 1, role="context"), log(100, 2, role="context")
    with pytest.raises(Skip, match="ByRole asks for fields of the role user, and this log has none"):
        FuxiCTR(path=str(zoo), model="ByRole").fit(train, valid, seed=1, context=Context())
    lacking = towers(zoo, settings="context_field: click_history")
    with pytest.raises(Skip, match=r"'click_history' \(context_field\), and this log has none of that name"):
        lacking.fit(train, valid, seed=1, context=Context())
    with pytest.raises(Skip, match="it needs a folder"):
        FuxiCTR().fit(train, valid, seed=1, context=Context())


@pytest.mark.parametrize(("changes", "says"), [
    ({"model": "Tower"}, "has no class 'Tower'; did you mean 'Towers'"),
    ({"expid": "Towers_defalt"}, "has no experiment 'Towers_defalt'; did you mean 'Towers_default'"),
    ({"path": "/nowhere"}, "there is no such file or folder"),
    ({"config": "/nowhere.yaml"}, "is no YAML file, and no folder with a model_config.yaml"),
])  # fmt: skip
def test_what_is_not_there_is_said_before_anything_runs(changes: dict[str, str], says: str, zoo: Path) -> None:
    with pytest.raises(UserError, match=says):
        towers(zoo, **changes).version()


@pytest.mark.parametrize(("parameters", "says"), [
    ("{model: Towers, 3: 4}", "E has a parameter 3, which no class takes"),
    ("{model: Towers, feature_map: 4}", "E has a parameter 'feature_map', which no class takes"),
    ("{model: Towers, target_field: &a [*a]}", "lists too deep in each other, or one in itself"),
    ("{model: Towers, a: " + "[" * 3000 + "]" * 3000 + "}", "lists too deep in each other, or one in itself"),
])  # fmt: skip
def test_an_experiment_that_no_class_can_take_is_refused(parameters: str, says: str, zoo: Path, tmp_path: Path) -> None:
    config = tmp_path / "odd.yaml"
    config.write_text(f"E: {parameters}")
    with pytest.raises(UserError, match=says):
        towers(zoo, config=str(config), expid="E").version()


def test_of_two_files_the_one_in_the_classs_own_folder_counts(zoo: Path) -> None:
    other = zoo / "Other"
    other.mkdir()
    (other / "Towers.py").write_text(MODEL)
    assert Zoo.find(str(zoo), "Towers").file == zoo / "Towers" / "src" / "Towers.py"
    (zoo / "Towers").rename(zoo / "Else")
    with pytest.raises(UserError, match=r"has the class Towers in .* and .*; name one of these files"):
        Zoo.find(str(zoo), "Towers")


@pytest.mark.parametrize("settings", ["hidden", "a: [1", "- 1"])
def test_settings_that_are_no_names_and_values_are_refused(settings: str) -> None:
    with pytest.raises(UserError, match="settings="):
        FuxiCTR(path="x", model="Y", settings=settings)


def test_a_misspelt_setting_is_refused(zoo: Path) -> None:
    with pytest.raises(UserError, match="Towers has no parameter 'hiden'; did you mean 'hidden'"):
        towers(zoo, settings="hiden: 3").fit(log(100, 1), log(100, 2), seed=1, context=Context())


def test_settings_may_hold_lists_and_texts() -> None:
    assert Experiment.differences("a: [400, 400], b: relu, c: 1.0e-3") == {"a": [400, 400], "b": "relu", "c": 1e-3}
    assert Experiment.differences("{a: 1}") == {"a": 1}


def test_numbers_are_read_as_they_are_usually_written() -> None:
    told = (
        "learning_rate: 1e-3, b: -2.5E+4, embedding_regularizer: 1, hidden: 3, c: 1e3abc, 5e2x: 4, d: null, e: None, "
        "regularizer: 0"
    )
    found = Experiment.differences(told)
    assert found == {
        "learning_rate": 1e-3, "b": -2.5e4, "embedding_regularizer": 1.0, "hidden": 3, "c": "1e3abc", "5e2x": 4,
        "d": None, "e": None, "regularizer": 0.0,
    }  # fmt: skip
    assert isinstance(found["embedding_regularizer"], float)  # of a whole number FuxiCTR takes no notice
    assert isinstance(found["hidden"], int)


@pytest.mark.parametrize("setting", ["monitor: logloss", "monitor_mode: min", "eval_steps: 1"])
def test_a_setting_of_the_loop_that_is_not_run_is_refused(setting: str, zoo: Path) -> None:
    with pytest.raises(UserError, match=f"settings: {setting.split(':')[0]} is of FuxiCTR's training loop"):
        towers(zoo, settings=setting)


def test_the_learning_rate_stays_where_the_yaml_says_so(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for plateau, often in (("true", 2), ("false", 0)):
        lowered: list[BaseModel] = []
        monkeypatch.setattr(BaseModel, "lr_decay", lambda self, seen=lowered: seen.append(self))
        changes = f"reduce_lr_on_plateau: {plateau}, learning_rate: 1.e-30, early_stop_patience: 2, epochs: 9"
        towers(zoo, settings=changes).fit(log(300, 1), log(200, 2), seed=1, context=Context())
        assert len(lowered) == often


def test_a_class_with_a_loop_of_its_own_is_a_skip_that_says_so(zoo: Path) -> None:
    own = "\n    def train_step(self, batch):\n        raise ValueError\n"
    (zoo / "Towers" / "src" / "Towers.py").write_text(MODEL + own)
    with pytest.raises(Skip, match="Towers trains by its own train_step, which ctrbench's loop would not call"):
        towers(zoo).fit(log(100, 1), log(100, 2), seed=1, context=Context())


def test_the_class_is_told_the_contexts_device(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Zoo.find(str(zoo), "Towers")
    kind = found.load()
    told = []
    begin = kind.__init__

    def listen(self: object, *args: object, **kwargs: object) -> None:
        told.append(kwargs["gpu"])
        begin(self, *args, **{**kwargs, "gpu": -1})  # type: ignore[misc]

    monkeypatch.setattr(kind, "__init__", listen)
    features = fuxictr_feature_map(log(5, 1).schema, 10, as_named=True)
    for device in ("cpu", "cuda", "cuda:1"):
        found.build(features, Experiment({"gpu": 3}, ()), device)
    assert told == [-1, 0, 1]
