"""Byte layouts in Redis, and the arguments that scripts take for a batch of records."""

from collections.abc import Sequence

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.errors import StoreError
from rosa_ray.features import (
    EVENT_COLUMNS,
    RECORD_COLUMNS,
    FeatureConfig,
    RecordKind,
    record_keys,
)
from rosa_ray.features.records import take_records
from rosa_ray.store.backends.redis.connection import Argument
from rosa_ray.store.backends.redis.counters import kept_arguments, pack_counts
from rosa_ray.store.packing import EVENT_RECORD, part_texts, parts_of_texts, recoded
from rosa_ray.store.windows import Kept

SEPARATOR = b"\xff"
"""Ends every id of a timeline; no id holds it, since ids are UTF-8, and so ids sort as their bytes do."""

_OTHERS = [name for name in RECORD_COLUMNS if name not in EVENT_COLUMNS and name != "record_id"]
ENTRY = np.dtype(EVENT_RECORD.descr + [(name, RECORD_COLUMNS[name].newbyteorder("<")) for name in _OTHERS])
"""One record: first the event as a timeline holds it, then the other columns; its id follows, in UTF-8, and after a
separator the keys that own counters need, where it has some."""

_MAX_TIME_US = 2**53
_UNKNOWN = 255


def pack_entries(records: Columns) -> list[bytes]:
    """One entry per record, id included."""
    entries = np.zeros(len(records["time_us"]), ENTRY)
    for name in ENTRY.names or ():
        entries[name] = records[name]
    packed, size = entries.tobytes(), ENTRY.itemsize
    ids, parts = records["record_id"].tolist(), part_texts(records)
    ends = [one.encode() + (SEPARATOR + part.encode() if part else b"") for one, part in zip(ids, parts, strict=True)]
    return [packed[row * size : (row + 1) * size] + end for row, end in enumerate(ends)]


def unpack_entries(packed: list[bytes]) -> dict[str, np.ndarray]:
    """Inverse of `pack_entries`."""
    table = np.frombuffer(b"".join(entry[: ENTRY.itemsize] for entry in packed), ENTRY)
    columns = {name: table[name].astype(RECORD_COLUMNS[name]) for name in ENTRY.names or ()}
    ends = [entry[ENTRY.itemsize :].partition(SEPARATOR) for entry in packed]
    ids = np.empty(len(packed), object)
    ids[:] = [end.decode() for end, _, _ in ends]
    return {**columns, "record_id": ids, **parts_of_texts([parts.decode() for _, _, parts in ends])}


def record_arguments(records: Columns, said: Sequence[str], names: Sequence[str], where: str) -> list[Argument]:
    """What `take_records` of the scripts takes for a batch, behind the order of its events in timelines.

    Args:
        said: names of behaviours by the codes of the records.
        names: names by the codes of the journal, these among them.

    Raises:
        StoreError: a time is too far from 1970 to be counted exactly in a script.
    """
    time_us = records["time_us"]
    if len(time_us) and max(int(time_us.max()), -int(time_us.min())) >= _MAX_TIME_US:
        raise StoreError(f"store {where}: a record's time is not within 285 years of 1970; correct the record")
    order = _timeline_order(records)
    keys = record_keys(records).astype("<i8").tobytes()
    entries = pack_entries({**records, "behavior": _codes(records, said, names)})
    arguments: list[Argument] = [len(order), *order, len(time_us)]
    for row, (entry, user, time) in enumerate(
        zip(entries, records["user_key"].tolist(), time_us.tolist(), strict=True)
    ):
        arguments += (keys[row * 8 : row * 8 + 8] + entry, f"{user} {time}")
    return arguments


def counted_arguments(
    records: Columns, said: Sequence[str], features: FeatureConfig, kept: Kept, where: str
) -> list[Argument]:
    """What a generation that is counted by some features makes of a batch: `take_kept` and `take_counted` take it.

    Raises:
        StoreError: amounts are too large to be counted.
    """
    codes = _codes(records, said, features.behavior_names)
    rows = np.flatnonzero(codes >= 0)
    counts = pack_counts(take_records({**records, "behavior": codes}, rows), features, where)
    arguments: list[Argument] = [bytes([_UNKNOWN])] * len(codes)
    for row, code, count in zip(rows.tolist(), codes[rows].tolist(), counts, strict=True):
        arguments[row] = bytes([code]) + count
    return [*kept_arguments(kept), *arguments]


def pack_ids(event_ids: list[str]) -> bytes:
    """Ids of a timeline.

    >>> unpack_ids(pack_ids(["a", "b"]))
    ['a', 'b']
    """
    return b"".join(event_id.encode() + SEPARATOR for event_id in event_ids)


def unpack_ids(packed: bytes) -> list[str]:
    """Inverse of `pack_ids`."""
    return [event_id.decode() for event_id in packed.split(SEPARATOR)[:-1]]


def _codes(records: Columns, said: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Behaviours of events by other names, int8, -1 where these lack one; of other records what they have."""
    if tuple(said) == tuple(names):
        return records["behavior"]
    events = records["kind"] == RecordKind.EVENT
    codes = recoded(np.where(events, records["behavior"], 0), said, names)
    return np.where(events, codes, records["behavior"]).astype(np.int8)


def _timeline_order(records: Columns) -> list[int]:
    rows = np.flatnonzero(records["kind"] == RecordKind.EVENT)
    by = (records["record_id"][rows], records["time_us"][rows], records["user_key"][rows])
    return rows[np.lexsort(by)].tolist() if len(rows) else []
