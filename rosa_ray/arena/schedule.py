"""In which order the moments of all users are walked: requests tick by tick, what users do by themselves in between.

What a user does depends on that user's own past alone. So it may be walked before its time has come for others, as long
as it stands between the user's requests before and after it. A policy sees requests in the order of ticks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rosa_ray.simulation import SimulationConfig, World
from rosa_ray.simulation.engine import LAST_CLICK_ROOM_US, draw_chunk
from rosa_ray.simulation.users import Users


@dataclass(frozen=True)
class Moments:
    """Every moment of every user, by user and then by time; n moments.

    Attributes:
        user: row of the user, int64 (n,), rising.
        time_us: microseconds UTC, rising within a user.
        following_us: the user's next moment.
        is_request: a request rather than an event of the user's own.
        opens: whether it opens a session.
    """

    user: np.ndarray
    time_us: np.ndarray
    following_us: np.ndarray
    is_request: np.ndarray
    opens: np.ndarray


@dataclass(frozen=True)
class Round:
    """Moments of distinct users that are walked together.

    Attributes:
        is_request: whether all are requests; else all are events of the users' own.
        rows: the users, rising.
        moments: index into `Moments` of each.
    """

    is_request: bool
    rows: np.ndarray
    moments: np.ndarray


def draw_population(config: SimulationConfig, world: World) -> tuple[Users, Moments]:
    """The same users with the same timetables as in the chunks of `rosa simulate`."""
    drawn = [draw_chunk(config, world, chunk)[:2] for chunk in range(config.chunks)]
    names = [name for name in Users.__dataclass_fields__ if name != "first_id"]
    columns = {name: np.concatenate([getattr(users, name) for users, _ in drawn]) for name in names}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in Moments.__dataclass_fields__}
    for chunk, (_, table) in enumerate(drawn):
        row, step = np.nonzero(np.arange(table.time_us_NL.shape[1]) < table.length_N[:, None])
        time_us = table.time_us_NL[row, step]
        last = np.append(row[1:] != row[:-1], True)
        parts["user"].append(chunk * config.chunk_users + row)
        parts["time_us"].append(time_us)
        parts["following_us"].append(np.where(last, time_us + LAST_CLICK_ROOM_US, np.append(time_us[1:], 0)))
        parts["is_request"].append(table.is_request_NL[row, step])
        parts["opens"].append(table.opens_session_NL[row, step])
    return Users(first_id=0, **columns), Moments(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def rounds_of(moments: Moments, start_us: int, tick_us: int) -> Iterator[Round]:
    """Order all moments.

    Requests of one tick come in rounds: the first of each user in the tick, then the second, and so on. Before a round
    come as many rounds of the users' own events as one of its users needs, and others go along with them.

    Args:
        start_us: begin of the first tick.
        tick_us: length of a tick, > 0.

    >>> two = Moments(np.array([0, 0, 1]), np.array([5, 7, 6]), np.array([7, 9, 9]), np.array([False, True, True]),
    ...               np.zeros(3, bool))
    >>> [(part.is_request, part.rows.tolist(), part.moments.tolist()) for part in rounds_of(two, 0, 10)]
    [(False, [0], [0]), (True, [0, 1], [1, 2])]
    """
    users = int(moments.user.max(initial=-1)) + 1
    next_N = np.searchsorted(moments.user, np.arange(users))
    end_N = np.searchsorted(moments.user, np.arange(users), side="right")
    acts = np.append(~moments.is_request, False)
    acts_N = acts[next_N] & (next_N < end_N)

    def own_events() -> Round:
        rows = np.flatnonzero(acts_N)
        at = next_N[rows]
        _move_on(rows)
        return Round(False, rows, at)

    def _move_on(rows: np.ndarray) -> None:
        next_N[rows] += 1
        acts_N[rows] = acts[next_N[rows]] & (next_N[rows] < end_N[rows])

    for asked in _requests_by_round(moments, start_us, tick_us):
        rows = moments.user[asked]
        while (next_N[rows] < asked).any():
            yield own_events()
        _move_on(rows)
        yield Round(True, rows, asked)
    while acts_N.any():
        yield own_events()


def _requests_by_round(moments: Moments, start_us: int, tick_us: int) -> list[np.ndarray]:
    """Indices of the requests of each round, by tick, then by how many requests of the tick the user had before."""
    asked = np.flatnonzero(moments.is_request)
    user, tick = moments.user[asked], (moments.time_us[asked] - start_us) // tick_us
    opens = np.append(True, (user[1:] != user[:-1]) | (tick[1:] != tick[:-1])) if asked.size else np.zeros(0, bool)
    at = np.arange(asked.size)
    number = at - np.maximum.accumulate(np.where(opens, at, 0)) if asked.size else at
    order = np.lexsort((user, number, tick))
    cut = np.flatnonzero((np.diff(tick[order]) != 0) | (np.diff(number[order]) != 0)) + 1
    return np.split(asked[order], cut) if asked.size else []
