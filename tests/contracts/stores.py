"""Rows, blocks and loads that the contract suite of online stores is written in."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from rosa_ray.features import (
    EVENT_COLUMNS,
    Counters,
    FeatureConfig,
    RecordKind,
    counting_fingerprint,
    fold_events,
    keyed_events,
    record_keys,
    records_of,
)
from rosa_ray.schema import BEHAVIORS, EVENTS, hash_id, hash_ids
from rosa_ray.store import OnlineStore, StateBlock, StoreVersion, TimelineBlock
from rosa_ray.units import DAY_US

FEATURES = FeatureConfig()
MODEL = "model-1"
T0 = 1_700_000_000_000_000
KEEP = 4
VERSION = StoreVersion(counting_fingerprint(FEATURES), T0, "log-1")

Open = Callable[..., OnlineStore]


def events_table(rows: list[tuple[str, str, int]]) -> pa.Table:
    """Contract rows from (event id, user, time); the other columns follow from the id."""
    seeds = [sum(event_id.encode()) for event_id, _, _ in rows]
    table = pa.table(
        {
            "event_id": pa.array([event_id for event_id, _, _ in rows], pa.string()),
            "user_id": pa.array([user for _, user, _ in rows], pa.string()),
            "item_id": pa.array([f"item-{seed % 5}" for seed in seeds], pa.string()),
            "behavior": pa.array([BEHAVIORS[seed % 4] for seed in seeds], pa.string()),
            "event_time": pa.array([time for _, _, time in rows], pa.timestamp("us", "UTC")),
            "category": pa.array([None if seed % 7 == 0 else f"category-{seed % 3}" for seed in seeds], pa.string()),
            "price": pa.array([None if seed % 3 == 0 else seed / 8 for seed in seeds], pa.float64()),
        }
    )
    return EVENTS.check(table, "test")[0]


def columns_of(rows: list[tuple[str, str, int]]) -> dict[str, np.ndarray]:
    """The same rows as a store takes them, in the order given."""
    table = events_table(rows)
    return records_of(
        RecordKind.EVENT,
        record_id=np.array(table["event_id"].to_pylist(), dtype=object),
        user_key=hash_ids(table["user_id"]),
        time_us=np.array([time for _, _, time in rows], np.int64),
        item_key=hash_ids(table["item_id"]),
        category_key=hash_ids(table["category"]),
        behavior=np.array([BEHAVIORS.index(name) for name in table["behavior"].to_pylist()], np.int8),
        price=np.array([np.nan if p is None else p for p in table["price"].to_pylist()], np.float32),
    )


def require_equal_counters(found: Counters, expected: Counters) -> None:
    for name in ("entity_key", "bucket", "sums"):
        values = getattr(found, name)
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, getattr(expected, name))


def entity_part(counters: Counters, keys: np.ndarray) -> Counters:
    chosen = np.isin(counters.entity_key, keys)
    return Counters(counters.entity_key[chosen], counters.bucket[chosen], counters.sums[chosen])


def require_one_pass(
    store: OnlineStore, rows: list[tuple[str, str, int]], keep: int = KEEP, features: FeatureConfig = FEATURES
) -> None:
    """The store holds, bit for bit, what one sorted pass over the rows gives."""
    whole = keyed_events(events_table(rows))
    for view, expected in fold_events(whole, features).items():
        keys = np.unique(expected.entity_key)
        require_equal_counters(store.read_counters(view, keys)[view], expected)
    ids = {(hash_id(user), time, event_id) for event_id, user, time in rows}
    for user in np.unique(whole["user_key"]):
        mine = np.flatnonzero(whole["user_key"] == user)[-(keep + 1) :]
        record = store.read_user(int(user))
        for name, type_ in EVENT_COLUMNS.items():
            assert record.timeline[name].dtype == type_.to_pandas_dtype()
            assert record.timeline[name].tobytes() == whole[name][mine].tobytes(), name
        expected_ids = [event_id for _, _, event_id in sorted(row for row in ids if row[0] == user)][-(keep + 1) :]
        assert record.timeline["event_id"].tolist() == expected_ids


def timeline_block(rows: list[tuple[str, str, int]], newest_us: int, horizon_us: int) -> TimelineBlock:
    columns = columns_of(sorted(rows, key=lambda row: (hash_id(row[1]), row[2], row[0])))
    users, counts = np.unique(columns["user_key"], return_counts=True)
    recent = columns["time_us"] >= newest_us - horizon_us
    return TimelineBlock(
        user_key=users,
        event_offsets=np.r_[0, np.cumsum(counts)],
        events={**columns, "event_id": columns["record_id"]},
        last_us=np.array([columns["time_us"][columns["user_key"] == user].max() for user in users], np.int64),
        seen_key=record_keys(columns)[recent],
        seen_time_us=columns["time_us"][recent],
    )


def state_block(rows: list[tuple[str, str, int]], user: str, width: int = 3) -> StateBlock:
    mine = sorted((time, event_id) for event_id, owner, time in rows if owner == user)
    count = len(mine)
    return StateBlock(
        user_key=np.array([hash_id(user)]),
        state_offsets=np.array([0, count]),
        event_id=np.array([mine[-1][1]], dtype=object),
        events={
            "time_us": np.array([time for time, _ in mine]),
            "item_key": np.arange(count) * 3,
            "category_key": -np.arange(count),
            "behavior": np.arange(count, dtype=np.int8) % 4,
            "price": np.arange(count, dtype=np.float32) / 3,
        },
        states=np.arange(count * width, dtype=np.float32).reshape(count, width) / 7,
    )


def load(
    store: OnlineStore,
    rows: list[tuple[str, str, int]],
    version: StoreVersion = VERSION,
    model: str = MODEL,
    features: FeatureConfig = FEATURES,
) -> None:
    """Load a log of events with states of every user, or only the states where it is live."""
    if not store.begin_load(version, model, KEEP).is_live:
        store.load_users(version, timeline_block(rows, version.as_of_us, 7 * DAY_US))
        store.load_counters(version, fold_events(keyed_events(events_table(rows)), features))
    for user in sorted({user for _, user, _ in rows}):
        store.write_states(version, model, state_block(rows, user))
