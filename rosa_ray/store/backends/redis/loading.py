"""Filling a generation in Redis: timelines and states, in transactions of many users."""

from typing import Any

import numpy as np

from rosa_ray.store.backends.redis.connection import Connection
from rosa_ray.store.backends.redis.generations import Generation, Model, fill, fill_model
from rosa_ray.store.backends.redis.records import pack_ids
from rosa_ray.store.packing import pack_events, pack_states
from rosa_ray.store.protocol import StateBlock, StoreVersion, TimelineBlock
from rosa_ray.units import DAY_US

_USERS, _IDS = 200, 20_000
"""What one transaction takes: it keeps the server from others for some milliseconds."""


def load_users(connection: Connection, version: StoreVersion, block: TimelineBlock) -> None:
    """See `OnlineStore.load_users`."""
    for start in range(0, len(block.user_key), _USERS):
        rows = range(start, min(start + _USERS, len(block.user_key)))

        def put_users(generation: Generation, pipe: Any, rows: range = rows) -> None:
            _put_users(connection, generation, pipe, block, rows)

        fill(connection, version, put_users)
    for start in range(0, len(block.seen_key), _IDS):
        span = slice(start, start + _IDS)

        def put_seen(generation: Generation, pipe: Any, span: slice = span) -> None:
            _put_seen(connection, generation, pipe, block.seen_key[span], block.seen_time_us[span])

        fill(connection, version, put_seen)


def write_states(
    connection: Connection, version: StoreVersion, model_version: str, block: StateBlock, dtype: str
) -> None:
    """See `OnlineStore.write_states`."""
    for start in range(0, len(block.user_key), _USERS):
        rows = range(start, min(start + _USERS, len(block.user_key)))

        def write(generation: Generation, model: Model, pipe: Any, rows: range = rows) -> None:
            for index in rows:
                span = slice(block.state_offsets[index], block.state_offsets[index + 1])
                events = {name: values[span] for name, values in block.events.items()}
                key = connection.key(generation.name, f"t:{block.user_key[index]}")
                pipe.hset(key, f"s{model.number}", pack_states(events, block.states[span], dtype))
                # The last event of the log, which every model encodes: it is there unless the log was loaded before.
                pipe.hsetnx(key, "lt", int(events["time_us"][-1]))
                pipe.hsetnx(key, "li", block.event_id[index].encode())

        fill_model(connection, version, model_version, write)


def _put_users(connection: Connection, generation: Generation, pipe: Any, block: TimelineBlock, rows: range) -> None:
    bounds, keep = block.event_offsets, generation.max_events + 1
    for index in rows:
        low, high = max(int(bounds[index]), int(bounds[index + 1]) - keep), int(bounds[index + 1])
        if low < high:
            events = {name: values[low:high] for name, values in block.events.items()}
            ids = events["event_id"].tolist()
            held = {"r": pack_events(events).tobytes(), "i": pack_ids(ids)}
            key = connection.key(generation.name, f"t:{block.user_key[index]}")
            pipe.hset(key, mapping={**held, "lt": int(events["time_us"][-1]), "li": ids[-1].encode()})
            pipe.hdel(key, "z")
    span = slice(rows.start, rows.stop)
    last = dict(zip(block.user_key[span].tolist(), block.last_us[span].tolist(), strict=True))
    pipe.zadd(connection.key(generation.name, "last"), last)


def _put_seen(
    connection: Connection, generation: Generation, pipe: Any, record_key: np.ndarray, time_us: np.ndarray
) -> None:
    days = time_us // DAY_US
    for day in np.unique(days).tolist():
        keys = record_key[days == day].astype("<i8").tobytes()
        pipe.sadd(connection.key(generation.name, f"seen:{day}"), *(keys[at : at + 8] for at in range(0, len(keys), 8)))
        pipe.sadd(connection.key(generation.name, "days"), day)
    newest_us = int(time_us.max(initial=generation.newest_us))
    pipe.hset(connection.key(generation.name, "info"), mapping={"newest": newest_us, "covered": newest_us})
