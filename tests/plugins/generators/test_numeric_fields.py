"""Numbers that real logs hold, put to generators and models: zeros, whole numbers, sentinels, marginals hard to fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ctrbench import Context, Field, Generator, Model, Schema, Table, UserError
from ctrbench_generators import _collapse
from ctrbench_generators._values import Values
from ctrbench_generators.argn import Argn
from ctrbench_generators.copulagan import CopulaGan, NormalScores
from ctrbench_generators.ctgan import Ctgan
from ctrbench_generators.gaussian_copula import GaussianCopula
from ctrbench_generators.smotenc import Smotenc
from ctrbench_generators.tabddpm import TabDdpm
from ctrbench_generators.tvae import Tvae
from ctrbench_generators.uniform import Uniform
from ctrbench_models._scaling import FARTHEST, Scaling
from ctrbench_models.autoint import AutoInt
from ctrbench_models.dcnv2 import DCNv2
from ctrbench_models.deepfm import DeepFM
from ctrbench_models.dnn import Dnn
from ctrbench_models.finalnet import FinalNet
from ctrbench_models.fm import FM
from ctrbench_models.lightgbm import LightGBM
from ctrbench_models.logistic import Logistic
from ctrbench_models.masknet import MaskNet
from ctrbench_models.xdeepfm import XDeepFM

SMALL_GAN = {"epochs": 1, "embedding_dim": 8, "generator_dim": (16,), "discriminator_dim": (16,)}
SMALL_DIFFUSION = TabDdpm(steps=20, num_timesteps=5, hidden=(16,), batch_size=64)
SMALL_VAE = Tvae(epochs=1, embedding_dim=8, compress_dims=(16,), decompress_dims=(16,))
LEARNERS: list[Generator] = [
    Smotenc(), GaussianCopula(), Argn(epochs=1, embedding_dim=8, hidden=16, batch_size=64),
    Ctgan(**SMALL_GAN), CopulaGan(**SMALL_GAN), SMALL_VAE, SMALL_DIFFUSION,
]  # fmt: skip
MODELS: list[Model] = [Logistic(), LightGBM(trees=20, rows_a_leaf=5), FM(embedding_dim=4, batch_size=64, epochs=3)] + [
    cls(embedding_dim=4, hidden_units=(8,), batch_size=64, epochs=3, learning_rate=1e-2, embedding_regularizer=0)
    for cls in (Dnn, DeepFM, MaskNet, DCNv2, XDeepFM, AutoInt, FinalNet)
]
EACH_LEARNER = pytest.mark.parametrize("generator", LEARNERS, ids=lambda generator: generator.name)
EACH_MAKER = pytest.mark.parametrize("generator", [*LEARNERS, Uniform()], ids=lambda generator: generator.name)
EACH_MODEL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def log(numbers: np.ndarray, seed: int = 1) -> Table:
    """A field that tells of clicks beside these numbers."""
    rng = np.random.default_rng(seed)
    shop = rng.integers(1, 4, len(numbers)).astype(np.int32)
    labels = (rng.random(len(numbers)) < np.array([0.1, 0.4, 0.8])[shop - 1]).astype(np.int8)
    fields = (Field("shop", vocabulary=("a", "b", "c")), Field("price", "numeric"))
    return Table(pd.DataFrame({"shop": shop, "price": numbers.astype(np.float64)}), Schema(fields, "clicked"), labels)


def numbers(made: Table) -> np.ndarray:
    return made.rows["price"].to_numpy()


def small_whole(rows: int = 400) -> np.ndarray:
    return np.random.default_rng(4).integers(-3, 4, rows) * np.random.default_rng(5).integers(0, 2, rows)


@EACH_MAKER
def test_no_zero_has_a_sign_where_trains_have_none(generator: Generator, tmp_path: Path) -> None:
    made = numbers(generator.fit(log(small_whole()), seed=3, context=Context(checkpoints=tmp_path)).sample(400, seed=4))
    assert not np.signbit(made[made == 0]).any()


@pytest.mark.parametrize("most", [9, 400], ids=["few values", "many values"])
def test_tabddpm_makes_whole_numbers_of_whole_numbers(most: int, tmp_path: Path) -> None:
    train = log(3 * np.random.default_rng(4).integers(-most, most, 600))
    made = numbers(SMALL_DIFFUSION.fit(train, seed=3, context=Context(checkpoints=tmp_path)).sample(600, seed=4))
    assert (made % 1 == 0).all()
    assert len(np.unique(made)) > 5
    if most < 32:  # as the published method does, the nearest of train's values
        assert set(made) <= set(numbers(train))


@EACH_MAKER
@pytest.mark.parametrize("decimals", [0, 1, 2, 6])
def test_new_numbers_have_no_more_decimals_than_trains_and_keep_its_range(
    generator: Generator, decimals: int, tmp_path: Path
) -> None:
    """A step is a thousandth of the range, so that few new numbers would have train's decimals by chance."""
    steps = np.random.default_rng(4).integers(-300, 700, 600)
    made = numbers(
        generator.fit(log(steps / 10**decimals), seed=3, context=Context(checkpoints=tmp_path)).sample(600, seed=4)
    )
    assert (made == made.round(decimals)).all()
    assert made.min() >= steps.min() / 10**decimals
    assert made.max() <= steps.max() / 10**decimals
    assert len(np.unique(made)) > 5


@pytest.mark.parametrize("power", [-20, -40])
@pytest.mark.parametrize("generator", [Ctgan(**SMALL_GAN), SMALL_VAE, SMALL_DIFFUSION], ids=lambda made: made.name)
def test_the_pool_of_small_numbers_is_that_of_the_same_numbers_in_a_larger_unit(
    generator: Generator, power: int, tmp_path: Path
) -> None:
    prices = np.random.default_rng(4).gamma(4, 0.4, 600)  # of a deviation within ½ … 1
    pools = [
        generator.fit(log(column), seed=3, context=Context(checkpoints=tmp_path / str(place))).sample(600, seed=4)
        for place, column in enumerate((prices, np.ldexp(prices, power)))
    ]
    assert (pools[0].rows["shop"] == pools[1].rows["shop"]).all()
    np.testing.assert_array_equal(numbers(pools[1]), np.ldexp(numbers(pools[0]), power))
    assert len(np.unique(numbers(pools[1]))) > 50


@EACH_MAKER
def test_of_flags_come_flags(generator: Generator, tmp_path: Path) -> None:
    train = log(np.random.default_rng(4).integers(0, 2, 400))
    made = generator.fit(train, seed=3, context=Context(checkpoints=tmp_path)).sample(400, seed=4)
    assert set(numbers(made)) <= {0.0, 1.0}


@EACH_MAKER
def test_numbers_that_take_all_digits_are_not_rounded(generator: Generator, tmp_path: Path) -> None:
    train = log(np.random.default_rng(4).normal(0.0, 1.0, 600))
    made = numbers(generator.fit(train, seed=3, context=Context(checkpoints=tmp_path)).sample(600, seed=4))
    assert (made != made.round(9)).any()
    assert made.min() >= numbers(train).min()
    assert made.max() <= numbers(train).max()


@pytest.mark.parametrize(
    "generator", [each for each in LEARNERS if each.name != "argn"], ids=lambda generator: generator.name
)  # argn puts numbers into bins, and squares none
@pytest.mark.parametrize("huge", [np.finfo(np.float64).max, -1e200])
def test_a_generator_names_the_field_and_the_number_that_it_cannot_square(generator: Generator, huge: float) -> None:
    prices = np.linspace(1, 9, 300)
    prices[[7, 99]] = huge
    with pytest.raises(UserError) as caught:
        generator.fit(log(prices), seed=3, context=Context())
    assert f"{generator.name}: 'price' holds {huge:.17g} in 2 of 300 rows" in str(caught.value)


@EACH_LEARNER
@pytest.mark.parametrize("large", [1e39, 1e150])
def test_numbers_beyond_float32_are_no_obstacle(generator: Generator, large: float, tmp_path: Path) -> None:
    prices = np.linspace(1, 9, 300)
    prices[::50] = large
    made = generator.fit(log(prices), seed=3, context=Context(checkpoints=tmp_path)).sample(300, seed=4)
    assert len(made) == 300  # a table's numbers are finite


@EACH_MODEL
@pytest.mark.parametrize("huge", [1e39, 1e200, np.finfo(np.float64).max, -np.finfo(np.float64).max])
def test_models_predict_whatever_finite_number_train_or_test_holds(model: Model, huge: float) -> None:
    usual, odd = np.random.default_rng(1).normal(20, 5, 600), np.random.default_rng(2).normal(20, 5, 600)
    odd[::100] = huge
    for train, test in ((usual, odd), (odd, usual), (odd, -odd)):
        predictor = model.fit(log(train), log(usual, 2), seed=1, context=Context())
        probabilities = predictor.predict(log(test, 3).without_labels())
        assert np.isfinite(probabilities).all()
        assert np.ptp(probabilities) > 1e-3  # the other field still tells


def test_scaling_draws_in_what_training_never_saw_and_nothing_else() -> None:
    train = log(np.append(np.zeros(9_999), 7.0))
    scaling = Scaling.of(train)
    scores = scaling.apply(train)
    assert scores.max() == pytest.approx(np.sqrt(9_999))
    assert scaling.apply(log(np.array([1e39, -1e308]))).tolist() == [[FARTHEST, -FARTHEST]]


def test_very_large_numbers_are_scaled_as_others_are() -> None:
    usual = np.random.default_rng(1).normal(3, 1, 500)
    expected = Scaling.of(log(usual)).apply(log(usual))
    assert Scaling.of(log(usual * 2.0**1020)).apply(log(usual * 2.0**1020)) == pytest.approx(expected, rel=1e-12)


def collapsing() -> np.ndarray:
    """Whole numbers about 0 whose order makes SciPy's beta fit end at their least value."""
    values = [-3.0] * 2 + [-2.0] * 29 + [-1.0] * 101 + [0.0] * 200 + [1.0] * 119 + [2.0] * 26 + [3.0] * 3
    return np.random.default_rng(0).permutation(values)


def test_a_beta_fit_that_ends_at_a_constant_is_said() -> None:
    train = log(collapsing())
    for distribution, constant in (("beta", True), ("norm", False)):
        sampler = GaussianCopula(default_distribution=distribution).fit(train, seed=3, context=Context())
        assert (len(np.unique(numbers(sampler.sample(480, seed=4)))) == 1) == constant
        assert ("collapsed fields" in sampler.details) == constant
    scores = NormalScores.of(train, "beta")
    assert scores.collapsed(train, 1) == {"collapsed fields": "price"}
    assert NormalScores.of(train, "norm").collapsed(train, 1) == {}


@pytest.mark.parametrize("engine", ["native", "sdv"])
def test_copulagan_says_so_too(engine: str, tmp_path: Path) -> None:
    spec = CopulaGan(**SMALL_GAN, engine=engine)
    sampler = spec.fit(log(collapsing()), seed=3, context=Context(checkpoints=tmp_path))
    assert sampler.details["collapsed fields"] == "price"
    assert "steps" in sampler.details or engine == "sdv"  # what the inner sampler says stays


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda real, rng: rng.permutation(real), False),
        (lambda real, rng: real + 0.01 * rng.normal(size=len(real)), False),
        (lambda real, rng: np.full(len(real), real.max()), True),
        (lambda real, rng: np.where(rng.random(len(real)) < 0.5, real.min(), real.max()), True),
        (lambda real, rng: np.median(real) + 1e-9 * rng.random(len(real)), True),
    ],
    ids=["same", "jittered", "constant", "two ends", "all but constant"],
)
def test_numbers_have_collapsed_where_they_hardly_vary(made, said) -> None:
    train = log(np.random.default_rng(1).gamma(2, 3, 2000))
    column = made(numbers(train), np.random.default_rng(2))
    assert bool(_collapse.collapsed({"price": column}, train)) == said


def test_mostly_zeros_have_collapsed_where_all_are() -> None:
    train = log(np.arange(2000) % 10 // 9 * np.arange(2000.0))
    assert _collapse.collapsed({"price": np.zeros(2000)}, train) == {"collapsed fields": "price"}
    assert _collapse.collapsed({"price": np.roll(numbers(train), 3)}, train) == {}


def test_codes_and_labels_collapse_too_and_rare_ones_are_left_to_chance() -> None:
    train = log(np.zeros(2000))
    assert _collapse.collapsed({"shop": np.ones(2000, np.int32)}, train) == {"collapsed fields": "shop"}
    assert _collapse.collapsed({"clicked": np.zeros(2000, np.int8)}, train) == {"collapsed fields": "clicked"}
    rare = replace(train, labels=(np.arange(2000) < 2).astype(np.int8))
    assert _collapse.collapsed({"clicked": np.zeros(2000, np.int8)}, rare) == {}


@pytest.mark.parametrize("value", [1.1, 3.3, 123456.789, 19.99, 0.0])
def test_a_field_that_is_constant_in_training_is_only_shifted(value: float) -> None:
    """Of equal numbers the mean is rounded, so that some seem to vary by 1e-16."""
    scaling = Scaling.of(log(np.full(600, value)))
    assert scaling.apply(log(np.array([value, value + 2, value - 1])))[0] == pytest.approx([0, 2, -1], abs=1e-9)


def test_a_frequent_number_shares_its_bin_with_no_other() -> None:
    spent = np.zeros(1000)
    spent[:40] = np.arange(1, 41)
    values = Values.of(log(spent), bins=32)
    of_price = values.bins[1]
    assert (of_price == of_price[0]).sum() == 1, "0 alone"
    assert values.sizes[1] <= 32
