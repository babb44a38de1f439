"""Slates and impressions for tests of steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rosa_ray.policy.slate import Shown, Slate

DAY = 20_000
"""Number of a day since 1970."""
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


def at(hour: float = 0.0, day: int = DAY) -> int:
    """A time of a day, microseconds."""
    return day * DAY_US + round(hour * HOUR_US)


def slate_of(revenue: Any, cost: Any, **fields: Any) -> Slate:
    """Candidates whose score is their profit; ad and campaign of each are its place, from 1 on."""
    gain, price = np.array(revenue, np.float64), np.array(cost, np.float64)
    keys = np.arange(1, len(gain) + 1)
    told: Mapping[str, Any] = {
        "time_us": at(12.0),
        "request_key": 1,
        "user_key": 7,
        "ad_key": keys,
        "campaign_key": keys,
        "category_key": keys,
        "p_ctr": np.full(len(gain), 0.1),
        "p_cvr": np.full(len(gain), 0.1),
        "revenue": gain,
        "cost": price,
        "score": gain - price,
        "shown": np.ones(len(gain), bool),
    }
    arrays = {name: np.array(values) if isinstance(values, list) else values for name, values in fields.items()}
    return Slate(**{**told, **arrays})


def shown_of(campaign: Any, cost: Any, revenue: Any = None, time_us: Any = None, **fields: Any) -> Shown:
    """Impressions of campaigns, whose ads have the same keys, to one user."""
    keys = np.array(campaign, np.int64)
    count = len(keys)
    told: Mapping[str, Any] = {
        "time_us": np.full(count, at(12.0)) if time_us is None else np.array(time_us, np.int64),
        "user_key": np.full(count, 7),
        "ad_key": keys,
        "campaign_key": keys,
        "cost": np.array(cost, np.float64),
        "revenue": np.zeros(count) if revenue is None else np.array(revenue, np.float64),
        "click": np.zeros(count, bool),
    }
    arrays = {name: np.array(values) if isinstance(values, list) else values for name, values in fields.items()}
    return Shown(**{**told, **arrays})


def part_of(shown: Shown, rows: Any) -> Shown:
    """Some of the impressions."""
    return Shown(**{name: values if values is None else values[rows] for name, values in vars(shown).items()})


def random_shown(seed: int, count: int = 40, days: int = 3, campaigns: int = 5) -> Shown:
    """Impressions of some days, to four users and to nobody in particular."""
    rng = np.random.default_rng(seed)
    return shown_of(
        rng.integers(1, campaigns + 1, count),
        rng.exponential(1.0, count),
        rng.exponential(2.0, count),
        at() + rng.integers(0, days * DAY_US, count),
        user_key=rng.integers(0, 5, count),
        impression=rng.random(count) < 0.8,
        click=rng.random(count) < 0.3,
        p_ctr=rng.random(count) / 4,
        clusters=rng.dirichlet(np.ones(3), count),
    )


def random_slate(seed: int, count: int = 30, time_us: int | None = None) -> Slate:
    """Candidates of five campaigns and categories."""
    rng = np.random.default_rng(seed)
    return slate_of(
        rng.exponential(3.0, count),
        rng.exponential(1.0, count),
        time_us=at(60.0) if time_us is None else time_us,
        request_key=int(rng.integers(0, 2**60)),
        user_key=int(rng.integers(0, 5)),
        ad_key=rng.permutation(count) + 1,
        campaign_key=rng.integers(1, 6, count),
        category_key=rng.integers(1, 6, count),
        impressions=rng.integers(0, 500, count).astype(float),
        clusters=rng.dirichlet(np.ones(3)),
        audience={"region": int(rng.integers(0, 3))},
    )


def equal(one: Any, other: Any) -> bool:
    """Whether two states of plain values and arrays are the same, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return bool(np.array_equal(one, other))
