"""The world behind `simulated`: who is there, what they like, and how probable a click is.

In: sizes, a click rate and a world seed. Out: a `World` that draws any number of new rows, each with its true click
probability. docs/simulated.md describes the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from ctrbench import Field

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator
    from numpy.typing import NDArray

LABEL = "label"
FIELDS = (
    Field("user", role="user"),
    Field("city", role="user"),
    Field("country", role="user"),
    Field("age", role="user"),
    Field("gender", role="user"),
    Field("item", role="item"),
    Field("category", role="item"),
    Field("brand", role="item"),
    *(Field(name) for name in ("hour", "weekday", "weekend", "device", "position")),
)

CITIES, COUNTRIES, AGES, GENDERS, BRANDS, CATEGORIES, DIM = 40, 8, 6, 2, 60, 12, 3
HOUR = np.exp(0.6 * np.cos(2 * np.pi * (np.arange(24) - 20) / 24))
HOUR /= HOUR.sum()
DEVICE = np.array([0.5, 0.3, 0.15, 0.05])
POSITION = np.array([0.4, 0.25, 0.15, 0.12, 0.08])

_BLOCK = 1 << 20  # rows whose latents are gathered at once
_CALIBRATION = 400_000  # rows from which the intercept is computed


class World:
    """Users, items and the distribution of their clicks; equal arguments make equal worlds."""

    def __init__(self, users: int, items: int, click_rate: float, seed: int) -> None:
        self.users, self.items, self.click_rate = users, items, click_rate
        rng = np.random.default_rng([seed, 0])
        self.user_share = _zipf(users, 1, 10, rng)  # (users,)
        self.item_share = _zipf(items, 1, 5, rng)  # (items,)
        self.city = rng.choice(CITIES, users, p=_zipf(CITIES, 1, 0, rng))
        self.country = _parents(CITIES, COUNTRIES, rng)[self.city]
        self.age = rng.choice(AGES, users, p=_zipf(AGES, 0.5, 0, rng))
        self.gender = rng.integers(GENDERS, size=users)
        self.brand = rng.choice(BRANDS, items, p=_zipf(BRANDS, 0.8, 0, rng))
        self.category = _parents(BRANDS, CATEGORIES, rng)[self.brand]

        taste = np.sqrt(0.7) * rng.standard_normal((AGES, GENDERS, DIM))[self.age, self.gender]
        taste += np.sqrt(0.3) * rng.standard_normal((COUNTRIES, DIM))[self.country]
        taste = np.sqrt(0.8) * taste + np.sqrt(0.2) * rng.standard_normal((users, DIM))
        style = np.sqrt(0.7) * rng.standard_normal((CATEGORIES, DIM))[self.category]
        style += np.sqrt(0.3) * rng.standard_normal((BRANDS, DIM))[self.brand]
        style = np.sqrt(0.85) * style + np.sqrt(0.15) * rng.standard_normal((items, DIM))
        mean, sd = _product_moments(taste, self.user_share, style, self.item_share)
        self._taste, self._style = 2.0 / sd * taste, style  # (users, dim), (items, dim)

        by_category = _standard(rng.standard_normal(CATEGORIES)[self.category], self.item_share)
        by_item = _standard(rng.standard_normal(items), self.item_share)
        by_hour = _standard(rng.standard_normal(24), HOUR)
        by_device = _standard(rng.standard_normal(len(DEVICE)), DEVICE)
        by_position = _standard(np.arange(len(POSITION), dtype=float), POSITION)
        self._of_user = 0.6 * _standard(rng.standard_normal(users), self.user_share)
        self._of_item = 0.6 * np.sqrt(0.5) * (by_category + by_item)
        self._of_context = 0.4 * (  # (hour, device, position)
            0.6 * by_hour[:, None, None] + 0.6 * by_device[:, None] - 0.5 * by_position
        )
        trend = rng.standard_normal((len(DEVICE), CATEGORIES, 4))  # the last axis is the quarter of the day
        category_share = np.bincount(self.category, self.item_share, CATEGORIES)
        share = DEVICE[:, None, None] * category_share[:, None] * HOUR.reshape(4, 6).sum(axis=1)
        self._trend = _standard(trend, share)

        self._intercept = -2.0 * mean / sd
        self._intercept += self._solve_intercept(click_rate, np.random.default_rng([seed, 1]))

    def rows(self, n: int, rng: Generator) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """New rows with their labels, and the true click probability of each, (n,)."""
        return self._clicked(self._impressions(n, rng), rng)

    def rows_among(
        self, values: Mapping[str, NDArray[np.int32]], n: int, rng: Generator
    ) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """New rows conditioned on the fields of `shares` having only the values listed for them.

        Those fields are independent in `rows`, so each is drawn from its own shares among these values: the same
        distribution as discarding all other rows of `rows`, without the wait where hardly any would be kept.
        """
        drawn = {}
        for name, share in self.shares.items():
            among = share[values[name]]
            drawn[name] = values[name][_draw(among / among.sum(), n, rng)]
        return self._clicked(self._frame(drawn), rng)

    def probabilities(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """P(click) of rows, (n,): it depends on user, item, hour, device and position."""
        from scipy.special import expit

        probabilities: NDArray[np.float64] = expit(self._logits(frame))
        return probabilities

    def describe_user(self, user: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
        """The columns of users: their ids and what depends on them."""
        return {"user": user} | self._columns(("city", "country", "age", "gender"), user)

    def describe_item(self, item: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
        """The columns of items: their ids and what depends on them."""
        return {"item": item} | self._columns(("category", "brand"), item)

    @property
    def shares(self) -> dict[str, NDArray[np.float64]]:
        """The independent fields, on which all others depend, with the share of each of their values."""
        return {
            "user": self.user_share,
            "item": self.item_share,
            "weekday": np.full(7, 1 / 7),
            "hour": HOUR,
            "device": DEVICE,
            "position": POSITION,
        }

    def _clicked(self, frame: pd.DataFrame, rng: Generator) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """Impressions with their labels in front, and the probabilities from which the labels were drawn."""
        probabilities = self.probabilities(frame)
        frame.insert(0, LABEL, (rng.random(len(frame)) < probabilities).astype(np.int8))
        return frame, probabilities

    def _impressions(self, n: int, rng: Generator) -> pd.DataFrame:
        user, item = _draw(self.user_share, n, rng), _draw(self.item_share, n, rng)
        weekday = rng.integers(7, size=n, dtype=np.int32)
        hour, device, position = (_draw(share, n, rng) for share in (HOUR, DEVICE, POSITION))
        drawn = {"user": user, "item": item, "weekday": weekday, "hour": hour, "device": device, "position": position}
        return self._frame(drawn)

    def _frame(self, drawn: Mapping[str, NDArray[np.int32]]) -> pd.DataFrame:
        """Whole rows from their independent fields."""
        import pandas as pd

        context = {
            "hour": drawn["hour"],
            "weekday": drawn["weekday"],
            "weekend": (drawn["weekday"] >= 5).astype(np.int32),
            "device": drawn["device"],
            "position": drawn["position"],
        }
        columns = self.describe_user(drawn["user"]) | self.describe_item(drawn["item"]) | context
        return pd.DataFrame(columns, copy=False)

    def _columns(self, names: tuple[str, ...], of: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
        return {name: getattr(self, name).astype(np.int32)[of] for name in names}

    def _logits(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        logits = np.empty(len(frame))
        columns = [frame[name].to_numpy() for name in ("user", "item", "hour", "device", "position")]
        for start in range(0, len(frame), _BLOCK):
            user, item, hour, device, position = (column[start : start + _BLOCK] for column in columns)
            logits[start : start + _BLOCK] = (
                self._intercept
                + self._of_user[user]
                + self._of_item[item]
                + self._of_context[hour, device, position]
                + np.einsum("nd,nd->n", self._taste[user], self._style[item])
                + self._trend[device, self.category[item], hour // 6]
            )
        return logits

    def _solve_intercept(self, click_rate: float, rng: Generator) -> float:
        from scipy.optimize import brentq
        from scipy.special import expit

        logits = self._logits(self._impressions(_CALIBRATION, rng))
        return float(brentq(lambda b: expit(logits + b).mean() - click_rate, -50, 50))


def _zipf(n: int, exponent: float, shift: float, rng: Generator) -> NDArray[np.float64]:
    """Shares ∝ (rank + shift)^-exponent, ranks from 1 and permuted."""
    weights = np.power(rng.permutation(n) + 1.0 + shift, -exponent)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _parents(children: int, parents: int, rng: Generator) -> NDArray[np.int64]:
    """A parent for each child, as evenly distributed as possible."""
    return rng.permutation(children) % parents


def _draw(shares: NDArray[np.float64], n: int, rng: Generator) -> NDArray[np.int32]:
    return rng.choice(len(shares), n, p=shares).astype(np.int32)


def _standard(values: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values with mean 0 and variance 1 in a population with these shares."""
    centred = values - float(np.sum(share * values))
    return centred / float(np.sqrt(np.sum(share * centred**2)))


def _product_moments(
    left: NDArray[np.float64],
    left_share: NDArray[np.float64],
    right: NDArray[np.float64],
    right_share: NDArray[np.float64],
) -> tuple[float, float]:
    """Mean and standard deviation of the inner product of two independent draws, without forming all pairs."""
    mean = (left_share @ left) @ (right_share @ right)
    square = np.sum((left.T * left_share) @ left * ((right.T * right_share) @ right))
    return float(mean), float(np.sqrt(square - mean**2))
