"""Byte layouts of what a store keeps per user and per counter: one compact value each, read in microseconds."""

import json
import struct
from collections.abc import Sequence

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import EVENT_COLUMNS, Counters
from rosa_ray.features.records import own_parts
from rosa_ray.schema import MISSING_KEY

EVENT_RECORD = np.dtype(
    [(name, np.dtype(type_.to_pandas_dtype()).newbyteorder("<")) for name, type_ in EVENT_COLUMNS.items()]
)
"""One event, 29 bytes; ids of a timeline's lie beside, since they vary in length."""

_UNPRICED_RECORD = np.dtype([(name, EVENT_RECORD[name]) for name in EVENT_RECORD.names or () if name != "price"])
"""The event of a state as earlier versions wrote it."""

_STATES_HEADER = struct.Struct("<HHB")
_WIDTHS = ("<i1", "<i2", "<i4", "<i8")
_WIDEST = np.array([np.iinfo(width).max for width in _WIDTHS])
_ENCODE_IDS = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DTYPES: tuple[type[np.floating], ...] = (np.float16, np.float32)
_PRICED = len(_DTYPES)
"""What is added to the code of a number's type where events have prices."""


def pack_events(events: Columns) -> np.ndarray:
    """Columns of n events to (n,) records."""
    records = np.empty(len(events["time_us"]), EVENT_RECORD)
    for name in EVENT_COLUMNS:
        records[name] = events[name]
    return records


def part_texts(records: Columns) -> list[str]:
    """Keys that own counters need beside `RECORD_COLUMNS`, of each record as JSON by name; empty where it has none."""
    names = sorted(own_parts(records))
    if not names:
        return [""] * len(records["kind"])
    rows = zip(*(records[name].tolist() for name in names), strict=True)
    # Only what is there, in one order: so a record that was read is written again as the same bytes.
    said = [{name: key for name, key in zip(names, row, strict=True) if key != MISSING_KEY} for row in rows]
    return [_ENCODE_IDS(one) if one else "" for one in said]


def parts_of_texts(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Inverse of `part_texts`: columns by name, int64 (n,), `MISSING_KEY` where a record lacks one."""
    said: list[dict[str, int]] = [json.loads(text) if text else {} for text in texts]
    names = dict.fromkeys(name for one in said for name in one)
    return {name: np.array([one.get(name, MISSING_KEY) for one in said], np.int64) for name in names}


def recoded(codes: np.ndarray, said: Sequence[str], meant: Sequence[str]) -> np.ndarray:
    """Codes of behaviours by one list of names as those of another, -1 where it lacks the name.

    >>> recoded(np.array([0, 1]), ["view", "cart"], ["click", "view"])
    array([ 1, -1])
    """
    places = {name: code for code, name in enumerate(meant)}
    moved: np.ndarray = np.array([places.get(name, -1) for name in said])[codes]
    return moved


def unpack_timeline(records: bytes, event_ids: str) -> dict[str, np.ndarray]:
    """Bytes of records and packed ids to `EVENT_COLUMNS` and `event_id`."""
    return unpack_records(records) | {"event_id": np.array(ids_of_json(event_ids), dtype=object)}


def unpack_records(records: bytes) -> dict[str, np.ndarray]:
    """Bytes of events to `EVENT_COLUMNS`."""
    table = np.frombuffer(records, EVENT_RECORD)
    return {name: np.ascontiguousarray(table[name]) for name in EVENT_COLUMNS}


def ids_to_json(event_ids: list[str]) -> str:
    """Event ids as JSON, safe for any character.

    >>> ids_of_json(ids_to_json(["a", "b,c"]))
    ['a', 'b,c']
    """
    return _ENCODE_IDS(event_ids)


def ids_of_json(event_ids: str) -> list[str]:
    """Inverse of `ids_to_json`."""
    ids: list[str] = json.loads(event_ids)
    return ids


def pack_states(events: Columns, states: np.ndarray, dtype: str) -> bytes:
    """C states of width D with their events' `EVENT_COLUMNS`: 5 + C·(29 + 2·D) bytes in float16."""
    code = [np.dtype(known).name for known in _DTYPES].index(dtype)
    stored = np.ascontiguousarray(states, np.dtype(dtype).newbyteorder("<"))
    return _STATES_HEADER.pack(*states.shape, code + _PRICED) + pack_events(events).tobytes() + stored.tobytes()


def unpack_states(packed: bytes) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns `EVENT_COLUMNS`, each (C,), and states float32 (C, D); prices are NaN where they were not kept."""
    count, width, code = _STATES_HEADER.unpack_from(packed)
    at = _STATES_HEADER.size
    records = np.frombuffer(packed, EVENT_RECORD if code >= _PRICED else _UNPRICED_RECORD, count, at)
    stored = np.dtype(_DTYPES[code % _PRICED]).newbyteorder("<")
    states = np.frombuffer(packed, stored, count * width, at + records.nbytes).astype(np.float32)
    events = {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}
    if code < _PRICED:
        events["price"] = np.full(count, np.nan, EVENT_RECORD["price"])
    return events, states.reshape(count, width)


def pack_counters(counters: Counters, chunk_buckets: int) -> tuple[np.ndarray, np.ndarray, list[bytes]]:
    """Entity, chunk and packed value of every run of `chunk_buckets` buckets that holds something.

    A value is one byte for the width in bytes, then rows (bucket within the chunk, sums...) of integers that wide: the
    narrowest that holds them all. Counters are sorted by entity and bucket, and so are the values.
    """
    entity, chunk = counters.entity_key, counters.bucket // chunk_buckets
    begins = np.ones(len(entity), bool)
    begins[1:] = (entity[1:] != entity[:-1]) | (chunk[1:] != chunk[:-1])
    starts = np.flatnonzero(begins)
    rows = np.column_stack([counters.bucket - chunk * chunk_buckets, counters.sums])
    # What a negative number needs is what its complement needs.
    peaks = np.maximum.reduceat(np.where(rows < 0, ~rows, rows).max(axis=1), starts) if len(starts) else starts
    # A run is as wide as its largest number needs: a code 0, 1, 2, 3 stands for 1, 2, 4, 8 bytes.
    codes = np.searchsorted(_WIDEST, peaks)
    narrowed = {code: rows.astype(_WIDTHS[code]) for code in np.unique(codes).tolist()}
    bounds = [*starts.tolist(), len(rows)]
    packed = [
        bytes([code]) + narrowed[code][bounds[index] : bounds[index + 1]].tobytes()
        for index, code in enumerate(codes.tolist())
    ]
    return entity[starts], chunk[starts], packed


def unpack_counters(
    entity_keys: list[int], chunks: list[int], packed: list[bytes], measures: int, chunk_buckets: int
) -> Counters:
    """Inverse of `pack_counters`, for values in order of entity and chunk."""
    codes = np.array([value[0] for value in packed], np.int64)
    lengths = np.array([len(value) - 1 for value in packed], np.int64) // ((1 + measures) << codes)
    rows = np.empty((lengths.sum(), 1 + measures), np.int64)
    row_codes = np.repeat(codes, lengths)
    for code in np.unique(codes).tolist():
        joined = b"".join([value[1:] for value in packed if value[0] == code])
        rows[row_codes == code] = np.frombuffer(joined, _WIDTHS[code]).reshape(-1, 1 + measures)
    first_bucket = np.repeat(np.array(chunks, np.int64) * chunk_buckets, lengths)
    return Counters(np.repeat(np.array(entity_keys, np.int64), lengths), first_bucket + rows[:, 0], rows[:, 1:])


def pack_totals(sums: np.ndarray) -> list[bytes]:
    """Sums of all time, int64 (E, M), as bytes per entity."""
    packed, size = sums.astype("<i8").tobytes(), 8 * sums.shape[1]
    return [packed[at : at + size] for at in range(0, len(packed), size)]


def unpack_totals(packed: Sequence[bytes], measures: int) -> np.ndarray:
    """Inverse of `pack_totals`, int64 (E, M)."""
    return np.frombuffer(b"".join(packed), "<i8").reshape(-1, measures).astype(np.int64)
