"""The lockstep walk: the first moment of all users of a chunk, then their second one; the logging policy chooses."""

from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation.auction import choose
from rosa_ray.simulation.clockwork import Clockwork, Recorder
from rosa_ray.simulation.config import SimulationConfig
from rosa_ray.simulation.laws.law import enact
from rosa_ray.simulation.users import Timetable, Users, draw_timetable, draw_users
from rosa_ray.simulation.world import World
from rosa_ray.units import SECOND_US

LAST_CLICK_ROOM_US = 10 * SECOND_US
"""How long a user's last moment leaves for a click."""


@dataclass(frozen=True)
class ChunkLog:
    """What one chunk of users did.

    Attributes:
        users: their traits; row r of `events` and `requests` is user `users.first_id + r`.
        events: columns row, time_us, item, behavior; includes clicks on ads and conversions.
        requests: columns row, time_us, conversion_time_us, those of `Offers` and `Outcomes`, and each
            column of its `oracle`.
    """

    users: Users
    events: dict[str, np.ndarray]
    requests: dict[str, np.ndarray]


def draw_chunk(config: SimulationConfig, world: World, chunk: int) -> tuple[Users, Timetable, np.random.Generator]:
    """Draw the users of one chunk and their timetable, and return what else is drawn from."""
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(1, chunk)))
    first = chunk * config.chunk_users
    count = min(config.chunk_users, config.users - first)
    users = draw_users(config, world, first, count, rng)
    return users, draw_timetable(config, count, rng), rng


def simulate_chunk(config: SimulationConfig, world: World, chunk: int) -> ChunkLog:
    """Simulate the users of one chunk; depends on the config and the chunk's number alone."""
    users, timetable, rng = draw_chunk(config, world, chunk)
    recorder = Recorder()
    clock = Clockwork(config, world, users, enact(config, world, users.region_N, chunk), rng, recorder=recorder)
    for step in range(timetable.time_us_NL.shape[1]):
        _advance(clock, timetable, step)
    return ChunkLog(users, *recorder.columns())


def _advance(clock: Clockwork, timetable: Timetable, step: int) -> None:
    """Let every user who has that many moments live through one more."""
    rows = np.arange(int(np.searchsorted(-timetable.length_N, -step)))
    time_us = timetable.time_us_NL[rows, step]
    clock.complete_conversions(rows, time_us)
    asks = timetable.is_request_NL[rows, step]
    if not asks.all():
        clock.act(rows[~asks], time_us[~asks], timetable.opens_session_NL[rows[~asks], step])
    if asks.any():
        asking, at_us = rows[asks], time_us[asks]
        offers = clock.offer(asking, at_us)
        chosen = choose(offers.propensity_NK, clock.rng.random(len(asking)))
        last = step + 1 == timetable.time_us_NL.shape[1]
        following_us = at_us + LAST_CLICK_ROOM_US if last else timetable.time_us_NL[asking, step + 1]
        clock.show(asking, at_us, following_us, offers, chosen)
