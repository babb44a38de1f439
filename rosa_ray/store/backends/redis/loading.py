"""Filling a generation in Redis: timelines and states, in transactions of many users."""

from typing import Any

import numpy as np

from rosa_ray.store.backends.redis.connection import Connection
from rosa_ray.store.backends.redis.generations import Generation, fill_generation
from rosa_ray.store.backends.redis.records import pack_ids
from rosa_ray.store.packing import pack_events, pack_states
from rosa_ray.store.protocol import StateBlock, StoreVersion, TimelineBlock
from rosa_ray.units import DAY_US


def load_users(connection: Connection, version: StoreVersion, block: TimelineBlock) -> None:
    """See `OnlineStore.load_users`."""
    with fill_generation(connection, version) as (generation, pipe):
        _put_timelines(connection, generation, pipe, block)
        last = dict(zip(block.user_key.tolist(), block.last_us.tolist(), strict=True))
        if last:
            pipe.zadd(connection.key(generation.name, "last"), last)
        _put_seen(connection, generation, pipe, block)
        newest_us = int(block.seen_time_us.max(initial=generation.newest_us))
        pipe.hset(connection.key(generation.name, "info"), mapping={"newest": newest_us, "covered": newest_us})


def write_states(connection: Connection, version: StoreVersion, block: StateBlock, dtype: str) -> None:
    """See `OnlineStore.write_states`."""
    bounds = block.state_offsets.tolist()
    with fill_generation(connection, version) as (generation, pipe):
        for index, user in enumerate(block.user_key.tolist()):
            span = slice(bounds[index], bounds[index + 1])
            events = {name: values[span] for name, values in block.events.items()}
            packed = pack_states(events, block.states[span], dtype)
            last = {"lt": int(events["time_us"][-1]), "li": block.event_id[index].encode()}
            key = connection.key(generation.name, f"t:{user}")
            pipe.hset(key, mapping={"s": packed, **last})
            pipe.hdel(key, "z")


def _put_timelines(connection: Connection, generation: Generation, pipe: Any, block: TimelineBlock) -> None:
    records, event_ids = pack_events(block.events), block.events["event_id"].tolist()
    bounds, keep = block.event_offsets.tolist(), generation.max_events + 1
    for index, user in enumerate(block.user_key.tolist()):
        low, high = max(bounds[index], bounds[index + 1] - keep), bounds[index + 1]
        if low < high:
            held = {"r": records[low:high].tobytes(), "i": pack_ids(event_ids[low:high])}
            pipe.hset(connection.key(generation.name, f"t:{user}"), mapping=held)


def _put_seen(connection: Connection, generation: Generation, pipe: Any, block: TimelineBlock) -> None:
    days = block.seen_time_us // DAY_US
    for day in np.unique(days).tolist():
        keys = block.seen_key[days == day].astype("<i8").tobytes()
        pipe.sadd(connection.key(generation.name, f"seen:{day}"), *(keys[at : at + 8] for at in range(0, len(keys), 8)))
        pipe.sadd(connection.key(generation.name, "days"), day)
