"""The per-block work of materialisation, without Ray."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from rosa_ray.data.user_encoding import UserEncoder, state_block, timeline_block, with_events
from rosa_ray.features import (
    EVENT_COLUMNS,
    FeatureConfig,
    FeatureState,
    RecordKind,
    Split,
    encode_timeline,
    record_keys,
    records_of,
)
from rosa_ray.features.vocabulary import Vocabulary
from rosa_ray.models import build_ranker
from rosa_ray.schema import hash_id
from rosa_ray.units import HOUR_US

T0 = 1_700_000_000_000_000
END = T0 + 50 * HOUR_US
SHOWN = {
    0: [("i1", T0 + 1 * HOUR_US, Split.TRAIN, 1, 1), ("i2", T0 + 30 * HOUR_US, Split.TEST, 1, 0)],
    5: [("i3", T0 + 25 * HOUR_US, Split.TRAIN, 0, 0), ("i4", T0 + 40 * HOUR_US, Split.POLICY, 0, 0)],
}
"""Impressions of some users: id, time, split, click, conversion. User 5 has no events."""
LENGTHS = [3, 0, 30, 1, 12, 0]
TABLES = ("item", "category", "campaign", "device", "region")
BASE_RATES = {"ctr": 0.1, "cvr": 0.1, "log_value": 0.0, "revenue_per_cost": 1.0}


_INTS = pa.large_list(pa.int64())


@pytest.fixture(scope="module")
def state() -> FeatureState:
    return FeatureState(
        config=FeatureConfig(views=(), item_oov_buckets=4, oov_buckets=4),
        vocabularies={name: Vocabulary(np.arange(1, 20), 4) for name in TABLES},
        dense_mean=np.empty(0),
        dense_scale=np.empty(0),
        log_money_mean=np.zeros(2),
        log_money_scale=np.ones(2),
        totals={},
    )


@pytest.fixture(scope="module")
def encoder(state: FeatureState) -> UserEncoder:
    torch.manual_seed(0)
    settings = {"width": 8, "heads": 2, "layers": 2, "window": 3, "match_window": 3, "hidden": (8,)}
    settings["transitions"] = False  # they ask for more events than states need
    ranker = build_ranker("rosa", settings, state.table_sizes, BASE_RATES).eval()
    return UserEncoder(ranker, state, context_events=9, as_of_us=END, seen_from_us=T0 + 20 * HOUR_US, users_per_batch=2)


@pytest.fixture(scope="module")
def users() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [
        {
            "time_us": T0 + np.sort(rng.integers(0, 40, length)) * HOUR_US,
            "item_key": rng.integers(0, 25, length),
            "category_key": rng.integers(0, 25, length),
            "behavior": rng.integers(0, 4, length).astype(np.int8),
            "price": rng.random(length).astype(np.float32),
            "event_id": np.array([f"u{user}-{row:02d}" for row in range(length)], dtype=object),
        }
        for user, length in enumerate(LENGTHS)
    ]


@pytest.fixture(scope="module")
def table(users: list[dict[str, np.ndarray]]) -> pa.Table:
    shown = [SHOWN.get(user, []) for user in range(len(users))]
    columns = {
        "user_key": pa.array(np.arange(len(users)) * 10),
        "impression_impression_key": pa.array([[hash_id(row[0]) for row in rows] for rows in shown], _INTS),
    }
    for column, name in enumerate(("time_us", "split", "click", "conversion"), start=1):
        columns[f"impression_{name}"] = pa.array([[int(row[column]) for row in rows] for rows in shown], _INTS)
    columns |= {"event_id": pa.array([u["event_id"].tolist() for u in users], pa.large_list(pa.string()))}
    for name, type_ in EVENT_COLUMNS.items():
        columns[f"event_{name}"] = pa.array([user[name].tolist() for user in users], pa.large_list(type_))
    return pa.table(columns)


def test_timelines_are_the_last_events(
    encoder: UserEncoder, table: pa.Table, users: list[dict[str, np.ndarray]]
) -> None:
    encoded = encoder(table)
    assert encoded.num_rows == len(users)
    block = timeline_block(with_events(encoded))
    assert block.user_key.tolist() == [0, 20, 30, 40]
    assert np.diff(block.event_offsets).tolist() == [3, 10, 1, 10]
    busy = [user for user in users if len(user["time_us"])]
    for name in [*EVENT_COLUMNS, "event_id"]:
        expected = np.concatenate([user[name][-10:] for user in busy])
        assert block.events[name].dtype == expected.dtype
        np.testing.assert_array_equal(block.events[name], expected)


def live_key(name: str, kind: RecordKind, user_key: int) -> int:
    """What a store remembers of the same record when it comes live."""
    ids = {"record_id": np.array([name], object), "user_key": np.array([user_key])}
    return int(record_keys(records_of(kind, **ids))[0])


def test_recent_ids_are_passed_on_even_beyond_the_timeline(
    encoder: UserEncoder, table: pa.Table, users: list[dict[str, np.ndarray]]
) -> None:
    block = timeline_block(encoder(table))
    events = [
        (name, RecordKind.EVENT, time, owner)
        for owner, user in enumerate(users)
        for name, time in zip(user["event_id"], user["time_us"].tolist(), strict=True)
        if time >= encoder.seen_from_us
    ]
    feedback = [
        ("i1", RecordKind.CONVERSION, END, 0),
        ("i2", RecordKind.IMPRESSION, T0 + 30 * HOUR_US, 0),
        ("i2", RecordKind.CLICK, T0 + 30 * HOUR_US, 0),
        ("i3", RecordKind.IMPRESSION, T0 + 25 * HOUR_US, 5),
    ]
    expected = {(live_key(name, kind, 10 * owner), time) for name, kind, time, owner in events + feedback}
    found = set(zip(block.seen_key.tolist(), block.seen_time_us.tolist(), strict=True))
    assert found == expected
    assert len(expected) > 10
    assert len(block.seen_key) == len(expected)


def test_the_newest_record_of_a_user_may_be_an_impression(
    encoder: UserEncoder, table: pa.Table, users: list[dict[str, np.ndarray]]
) -> None:
    last_us = timeline_block(encoder(table)).last_us
    assert last_us[0] == max(users[0]["time_us"].max(), T0 + 30 * HOUR_US)
    assert last_us[2] == users[2]["time_us"].max()
    assert last_us[5] == T0 + 25 * HOUR_US


def test_states_are_those_of_the_whole_timeline(
    encoder: UserEncoder, table: pa.Table, users: list[dict[str, np.ndarray]], state: FeatureState
) -> None:
    block = state_block(with_events(encoder(table)), encoder.window)
    assert block is not None
    assert np.diff(block.state_offsets).tolist() == [3, 3, 1, 3]
    busy = [user for user in users if len(user["time_us"])]
    assert block.event_id.tolist() == [user["event_id"][-1] for user in busy]
    assert encoder.ranker is not None
    for index, user in enumerate(busy):
        inputs = encode_timeline(user, state, keep=100)
        tensors = {name: torch.from_numpy(values)[None] for name, values in inputs.items()}
        with torch.no_grad():
            whole = encoder.ranker.encode(tensors)[0].numpy()
        span = slice(block.state_offsets[index], block.state_offsets[index + 1])
        np.testing.assert_allclose(block.states[span], whole[-3:], atol=1e-5)
        for name, values in block.events.items():
            np.testing.assert_array_equal(values[span], user[name][-3:])


def test_blocks_and_batches_do_not_matter(encoder: UserEncoder, table: pa.Table) -> None:
    whole = state_block(with_events(encoder(table)), 3)
    parts = [state_block(with_events(encoder(table.slice(at, 3))), 3) for at in (0, 3)]
    one = state_block(with_events(replace(encoder, users_per_batch=1)(table)), 3)
    assert whole is not None
    assert one is not None
    assert parts[0] is not None
    assert parts[1] is not None
    np.testing.assert_allclose(np.concatenate([part.states for part in parts if part]), whole.states, atol=1e-6)
    np.testing.assert_allclose(one.states, whole.states, atol=1e-6)


def test_users_without_events_give_nothing(encoder: UserEncoder, table: pa.Table) -> None:
    encoded = encoder(table.slice(1, 1))
    assert encoded.num_rows == 1
    assert with_events(encoded).num_rows == 0
    assert state_block(with_events(encoded), 3) is None


def test_a_ranker_without_an_encoder_gives_timelines_only(encoder: UserEncoder, table: pa.Table) -> None:
    plain = replace(encoder, ranker=torch.nn.Identity())
    encoded = with_events(plain(table))
    assert plain.window == 0
    assert state_block(encoded, plain.window) is None
    assert len(timeline_block(encoded).user_key) == 4


def test_a_store_of_longer_timelines_does_not_encode_more_of_them(
    encoder: UserEncoder, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, ranker = list[int](), encoder.ranker
    assert ranker is not None
    encode = ranker.encode
    monkeypatch.setattr(ranker, "encode", lambda events: lengths.append(events["time_us"].shape[1]) or encode(events))
    longer = with_events(replace(encoder, context_events=1000)(table))
    assert np.diff(timeline_block(longer).event_offsets).tolist() == [3, 30, 1, 12]
    assert max(lengths) == ranker.context_events == 9
    states, usual = (state_block(encoded, 3) for encoded in (longer, with_events(encoder(table))))
    assert states is not None
    assert usual is not None
    np.testing.assert_array_equal(states.states, usual.states)
