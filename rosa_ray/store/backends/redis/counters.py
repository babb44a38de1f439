"""Counters in Redis: a hash per view and entity, of packed chunks of buckets and of the sums of all time."""

import struct
from typing import Any

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import Counters, CounterStates, FeatureConfig, contributions
from rosa_ray.store.backends.redis.connection import Argument, Connection
from rosa_ray.store.backends.redis.generations import Generation, fill, loading
from rosa_ray.store.backends.redis.removal import remove_keys
from rosa_ray.store.config import StoreConfig
from rosa_ray.store.packing import pack_counters, pack_totals, unpack_counters, unpack_totals
from rosa_ray.store.protocol import StoreVersion
from rosa_ray.store.windows import Kept, cut_before, join_window, require_countable, totals_of

CHUNK_BUCKETS = 32
"""Buckets per chunk: an update rewrites one, and a window of a day of hourly buckets reads two."""

OWNED = "+"
"""Begins the name of a counter that belongs to the record's user, whom its entity does not tell."""

_TOTAL = b"t"
_ENTITIES = 500
_NAME_LENGTH = struct.Struct("<H")


def kept_arguments(kept: Kept) -> tuple[Argument, Argument]:
    """What `take_kept` of the scripts takes."""
    return kept.chunk_us, kept.kept_us


def pack_counts(records: Columns, features: FeatureConfig, where: str) -> list[bytes]:
    """What each record adds, as `counters.lua` takes it.

    Raises:
        StoreError: amounts are too large to be counted.
    """
    parts = contributions(records, features)
    require_countable(parts, where)
    packed: list[list[bytes]] = [[] for _ in records["time_us"]]
    for view, part in parts.items():
        name = view if part.owner_key is None else OWNED + view
        measures = part.amounts.shape[1]
        layout = np.dtype([("chunk", "<i4"), ("row", "u1"), ("measures", "u1")])
        heads = np.empty(len(part.row), layout)
        heads["chunk"], heads["row"] = np.divmod(part.bucket, CHUNK_BUCKETS)
        heads["measures"] = measures
        held, sums = heads.tobytes(), part.amounts.astype("<i8").tobytes()
        for at, (row, entity) in enumerate(zip(part.row.tolist(), part.entity_key.tolist(), strict=True)):
            called = f"{name}:{entity}".encode()
            head = held[at * layout.itemsize : (at + 1) * layout.itemsize]
            amounts = sums[at * 8 * measures : (at + 1) * 8 * measures]
            packed[row] += (_NAME_LENGTH.pack(len(called)), head, called, amounts)
    return [b"".join(pieces) for pieces in packed]


def counters_of_fields(
    entity_keys: list[int], fields: list[list[bytes]], measures: int, kept_bucket: int, since_bucket: int | None
) -> Counters:
    """Counters of entities in ascending order from their flat lists of fields and values."""
    keys, totals, rows = [], [], []
    for key, found in zip(entity_keys, fields, strict=True):
        held = dict(zip(found[::2], found[1::2], strict=True))
        total = held.pop(_TOTAL, None)
        if total is not None:
            keys.append(key)
            totals.append(total)
            rows += [(key, chunk, packed) for chunk, packed in sorted((int(name), one) for name, one in held.items())]
    chosen, chunks, packed = ([row[column] for row in rows] for column in range(3))
    recent = unpack_counters(chosen, chunks, packed, measures, CHUNK_BUCKETS)  # type: ignore[arg-type]
    since = kept_bucket if since_bucket is None else max(since_bucket, kept_bucket)
    return join_window(np.array(keys, np.int64), unpack_totals(totals, measures), recent, since)


def load_counters(connection: Connection, version: StoreVersion, states: CounterStates, config: StoreConfig) -> None:
    """See `OnlineStore.load_counters`."""
    require_countable(states, connection.where)
    newest = max((int(counters.bucket.max(initial=0)) for counters in states.values()), default=0) // CHUNK_BUCKETS

    def note(generation: Generation, pipe: Any) -> None:
        pipe.hset(connection.key(generation.name, "info"), "last_chunk", newest)

    generation = loading(connection, version)
    first_bucket = Kept.of(generation.features, config, CHUNK_BUCKETS).first_bucket(generation.newest_us)
    fill(connection, version, note)
    with connection.guard():
        for pattern in ("c:*", "o:*"):
            remove_keys(connection, connection.key(generation.name, pattern))
    for view, counters in states.items():
        _load_view(connection, version, view, counters, first_bucket)


def _load_view(connection: Connection, version: StoreVersion, view: str, counters: Counters, first_bucket: int) -> None:
    keys, totals = totals_of(counters)
    packed_totals = pack_totals(totals)
    chunk_keys, chunks, packed = pack_counters(cut_before(counters, first_bucket), CHUNK_BUCKETS)
    bounds = [*np.searchsorted(chunk_keys, keys).tolist(), len(packed)]
    owners = None if counters.owner_key is None else counters.owner_key[np.searchsorted(counters.entity_key, keys)]
    names = chunks.tolist()
    for start in range(0, len(keys), _ENTITIES):
        rows = range(start, min(start + _ENTITIES, len(keys)))

        def write(generation: Generation, pipe: Any, rows: range = rows) -> None:
            for index in rows:
                span = slice(bounds[index], bounds[index + 1])
                entity = f"{view}:{keys[index]}"
                held = dict(zip(names[span], packed[span], strict=True)) | {_TOTAL: packed_totals[index]}
                pipe.hset(connection.key(generation.name, f"c:{entity}"), mapping=held)
                if owners is not None:
                    pipe.sadd(connection.key(generation.name, f"o:{owners[index]}"), entity)

        fill(connection, version, write)
