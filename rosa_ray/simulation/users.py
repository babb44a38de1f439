"""The users of one chunk: tastes, budgets, devices, and when they act or meet an ad."""

from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.marginals import EVENTS_LOG_SD, GAP_LOG_MEAN, GAP_LOG_SD, HOUR_SHARE, SESSION_BREAK
from rosa_ray.simulation.world import World
from rosa_ray.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US

DEVICES = ("phone", "pc", "tablet")
_DEVICE_SHARE = (0.62, 0.30, 0.08)
_FAVOURITES = 12
_SESSION_SILENCE_US = 30 * MINUTE_US


@dataclass(frozen=True)
class Users:
    """Latent traits of n users: F favourite categories, C categories.

    Attributes:
        style_NC: the sub-style a user prefers in each category. Users of one taste type agree in most categories.
        price_sense_N: how much a price above the user's budget puts them off, positive, mean about 1.
        budget_N: log of the price level a user is used to, relative to a category's median.
    """

    first_id: int
    favourite_NF: np.ndarray
    favourite_weight_NF: np.ndarray
    style_NC: np.ndarray
    price_sense_N: np.ndarray
    budget_N: np.ndarray
    click_bias_N: np.ndarray
    buy_bias_N: np.ndarray
    device_N: np.ndarray
    region_N: np.ndarray

    def __len__(self) -> int:
        return len(self.budget_N)


@dataclass(frozen=True)
class Timetable:
    """Timetable of n users' lives in time order, padded to the longest; users stand longest first.

    Attributes:
        time_us_NL: strictly increasing along a user's `length_N` first entries.
        is_request_NL: an ad request rather than an organic event.
        opens_session_NL: first moment after 30 minutes of silence.
    """

    time_us_NL: np.ndarray
    is_request_NL: np.ndarray
    opens_session_NL: np.ndarray
    length_N: np.ndarray


def draw_users(config: SimulationConfig, world: World, first_id: int, count: int, rng: np.random.Generator) -> Users:
    """Draw the traits of users `first_id` .. `first_id + count - 1`."""
    categories = len(world.popularity_C)
    favourites = min(_FAVOURITES, categories)
    rank_NC = np.log(world.popularity_C) + rng.gumbel(size=(count, categories))
    own_NC = rng.integers(0, world.styles, (count, categories))
    typical_NC = world.taste_TC[rng.integers(0, len(world.taste_TC), count)]
    return Users(
        first_id=first_id,
        favourite_NF=np.argsort(-rank_NC, axis=1)[:, :favourites],
        favourite_weight_NF=rng.gamma(0.8, 1.0, (count, favourites)) + 0.02,
        style_NC=np.where(rng.random((count, categories)) < 0.75, typical_NC, own_NC),
        price_sense_N=rng.lognormal(-0.12, 0.5, count),
        budget_N=rng.normal(0.1, 0.35, count),
        click_bias_N=rng.normal(0, 0.35, count),
        buy_bias_N=rng.normal(0, 0.35, count),
        device_N=rng.choice(len(DEVICES), count, p=_DEVICE_SHARE),
        region_N=rng.integers(0, config.regions, count),
    )


def draw_timetable(config: SimulationConfig, count: int, rng: np.random.Generator) -> Timetable:
    """Draw when each user acts and when they meet an ad; users come out sorted by number of moments, falling."""
    event_user, event_time = _draw_event_times(config, count, rng)
    requests = rng.poisson(config.requests_per_user / config.events_per_user, len(event_user))
    request_user = np.repeat(event_user, requests)
    request_time = np.repeat(event_time, requests) + rng.integers(-10 * SECOND_US, 90 * SECOND_US, len(request_user))
    user = np.append(event_user, request_user)
    time = np.append(event_time, request_time)
    is_request = np.arange(len(user)) >= len(event_user)
    inside = (time >= config.start_us) & (time < config.end_us)
    return _pad(user[inside], time[inside], is_request[inside], count)


def _draw_event_times(config: SimulationConfig, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    law = rng.lognormal(np.log(config.events_per_user) - EVENTS_LOG_SD**2 / 2, EVENTS_LOG_SD, count)
    events = np.clip(np.rint(law), 1, 6 * config.events_per_user).astype(int)
    user = np.repeat(np.arange(count), events)
    opens = (rng.random(len(user)) < SESSION_BREAK) | np.append(True, user[1:] != user[:-1])
    session = np.cumsum(opens) - 1
    sessions = session[-1] + 1
    hour = rng.choice(24, sessions, p=HOUR_SHARE / HOUR_SHARE.sum())
    day = rng.integers(0, config.days, sessions)
    begin = config.start_us + day * DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, sessions)
    gap = (np.exp(rng.normal(GAP_LOG_MEAN, GAP_LOG_SD, len(user))).clip(1, 1800) * SECOND_US).astype(np.int64)
    elapsed = np.cumsum(np.where(opens, 0, gap))
    return user, begin[session] + elapsed - elapsed[opens][session]


def _pad(user: np.ndarray, time: np.ndarray, is_request: np.ndarray, count: int) -> Timetable:
    order = np.lexsort((is_request, time, user))
    user, time, is_request = user[order], time[order], is_request[order]
    length = np.bincount(user, minlength=count)
    step = np.arange(len(user)) - (np.cumsum(length) - length)[user]
    rank = np.empty(count, dtype=int)
    rank[np.argsort(-length, kind="stable")] = np.arange(count)
    row, longest = rank[user], max(1, int(length.max()))
    time_us_NL = np.full((count, longest), np.iinfo(np.int64).max // 4)
    is_request_NL = np.zeros((count, longest), dtype=bool)
    time_us_NL[row, step], is_request_NL[row, step] = time, is_request
    # Timetable of one user that coincide are pushed a millisecond apart, so that each has its place in time.
    spacing = np.arange(longest) * 1000
    time_us_NL = np.maximum.accumulate(time_us_NL - spacing, axis=1) + spacing
    opens = np.ones((count, longest), dtype=bool)
    opens[:, 1:] = np.diff(time_us_NL, axis=1) > _SESSION_SILENCE_US
    return Timetable(time_us_NL, is_request_NL, opens, np.sort(length)[::-1])
