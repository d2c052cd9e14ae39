"""Where tasks stand: names that tell any two of them apart, positions that outlive a version."""

from __future__ import annotations

from dataclasses import replace

from ctrbench.ids import DataId, PoolId, ScoreId, TaskKind, TrainId, score_name

POOL = PoolId("log", "0123456789ab", 1, "gan[epochs=5]")
TRAIN = TrainId("log", "S3", "dnn", 1, 0, POOL)


def test_each_part_of_a_place_makes_another_name() -> None:
    changes = {"dataset": "other", "scenario": "S4", "model": "fm", "repeat": 2, "model_seed": 1, "pool": None}
    names = {str(TRAIN), *(str(replace(TRAIN, **{name: value})) for name, value in changes.items())}
    assert len(names) == 1 + len(changes)
    assert len({str(POOL), *(str(replace(POOL, **{n: v})) for n, v in [("call", "x"), ("repeat", 2)])}) == 3


def test_names_are_those_under_which_stores_keep_tasks() -> None:
    assert str(DataId("log")) == "data/log"
    assert str(POOL) == "pool/log/0123456789ab/1/gan[epochs=5]"
    assert str(TRAIN) == "train/log/S3/dnn/1/pool/log/0123456789ab/1/gan[epochs=5]"
    assert str(replace(TRAIN, model_seed=2, pool=None)) == "train/log/S3/dnn/1.2/none"
    assert str(ScoreId("auc", TRAIN)) == score_name("auc", str(TRAIN)) == f"score/auc/{TRAIN}"


def test_another_version_of_a_generator_leaves_every_position_as_it_was() -> None:
    newer = replace(POOL, call="ba9876543210")
    for before, after in [
        (POOL, newer),
        (TRAIN, replace(TRAIN, pool=newer)),
        (ScoreId("auc", TRAIN), ScoreId("auc", replace(TRAIN, pool=newer))),
    ]:
        assert str(before) != str(after)
        assert before.position == after.position
    assert replace(POOL, repeat=2).position != POOL.position
    assert replace(TRAIN, model_seed=1).position != TRAIN.position


def test_every_id_knows_its_kind() -> None:
    kinds = [each.kind for each in (DataId("log"), POOL, TRAIN, ScoreId("auc", POOL))]
    assert kinds == list(TaskKind)
