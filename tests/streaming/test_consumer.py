"""The fold loop: one pass whatever the deliveries, the batches, and the moments at which it is killed."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import StoreError, StreamAwayError
from rosa_ray.features import (
    AdTable,
    CounterStates,
    FeatureConfig,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.changes import merge_changes
from rosa_ray.features.held_versions import HeldVersions
from rosa_ray.features.own import ColumnConfig
from rosa_ray.records import EXAMPLES, RecordParser
from rosa_ray.records.dead_letters import DeadLetters
from rosa_ray.store import StoreConfig, open_store
from rosa_ray.streaming import consumer
from rosa_ray.streaming.config import StreamConfig
from rosa_ray.streaming.consumer import Consumer
from rosa_ray.streaming.consumer_metrics import ConsumerMetrics
from rosa_ray.streaming.protocol import PolledRecords, PositionOf
from tests.streaming.fakes import Killer, KillingStore, MemorySource, MemoryStore, run_until_done
from tests.synthetic import CONFIG, ads_table, events_table, impressions_table

ADS = AdTable.from_table(ads_table())
PARSER = RecordParser(ADS)
QUICK = StreamConfig(poll_ms=1, min_batch=16, max_batch=64, store_patience_s=5)


def as_lines(events: pa.Table, impressions: pa.Table) -> list[bytes]:
    """The log as live records, with the fields of their JSON form written out here."""
    lines = []
    for row in events.to_pylist():
        row["event_time"] = row["event_time"].isoformat()
        lines.append(row)
    for row in impressions.to_pylist():
        shown = {name: row[name] for name in ("impression_id", "user_id", "ad_id")}
        shown["request_time"] = row["request_time"].isoformat()
        lines.append({"type": "impression", **shown, "bid": row["bid"], "cost": row["cost"]})
        if row["click"]:
            lines.append({"type": "click", **shown})
        if row["conversion"]:
            lines.append({"type": "conversion", **shown, "conversion_time": row["conversion_time"].isoformat()})
    return [json.dumps(line).encode() for line in lines]


def one_pass(events: pa.Table, impressions: pa.Table) -> CounterStates:
    """What preprocessing counts."""
    shown, _ = keyed_impressions(impressions, ADS)
    return fold_events(keyed_events(events), CONFIG) | fold_impressions(shown, CONFIG)


def require_equal(found: CounterStates, expected: CounterStates) -> None:
    assert set(found) == set(expected)
    for view, counters in expected.items():
        for name in ("entity_key", "bucket", "sums"):
            np.testing.assert_array_equal(getattr(found[view], name), getattr(counters, name), err_msg=view)


def dealt(lines: list[bytes], rng: np.random.Generator, copies: int, streams: int) -> dict[str, list[bytes]]:
    """Lines delivered `copies` times, shuffled, over several streams."""
    order = rng.permutation(np.repeat(np.arange(len(lines)), copies))
    return {f"log/records/{part}": [lines[row] for row in order[part::streams]] for part in range(streams)}


@given(
    seed=st.integers(0, 2**32), copies=st.integers(1, 3), streams=st.integers(1, 3), one_in=st.sampled_from([0, 5, 9])
)
@settings(max_examples=40, deadline=None)
def test_doubled_shuffled_and_killed_deliveries_count_as_one_pass(
    seed: int, copies: int, streams: int, one_in: int
) -> None:
    rng = np.random.default_rng(seed)
    events, impressions = events_table(rng, events=60), impressions_table(rng, impressions=60)
    delivered = dealt(as_lines(events, impressions), rng, copies, streams)
    store, killer = MemoryStore(), Killer(seed, one_in)
    store.killer = killer
    kills = run_until_done(lambda: Consumer(MemorySource(delivered, killer), store, PARSER, config=QUICK))
    assert kills == killer.kills
    require_equal(store.counters(CONFIG), one_pass(events, impressions))
    assert {stream: store.read_position(stream) for stream in delivered} == {
        stream: len(records) for stream, records in delivered.items()
    }


@pytest.mark.parametrize("seed", range(20))
def test_positions_alone_keep_a_killed_consumer_from_counting_twice(seed: int) -> None:
    """The store of this test would count a repeated record again."""
    rng = np.random.default_rng(seed)
    events, impressions = events_table(rng, events=60), impressions_table(rng, impressions=60)
    delivered = dealt(as_lines(events, impressions), rng, 1, 2)
    store, killer = MemoryStore(dedup=False), Killer(seed, 4)
    store.killer = killer
    assert run_until_done(lambda: Consumer(MemorySource(delivered, killer), store, PARSER, config=QUICK))
    require_equal(store.counters(CONFIG), one_pass(events, impressions))


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_consumer_leaves_a_real_store_as_one_pass_does(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events, impressions = events_table(rng), impressions_table(rng)
    delivered = dealt(as_lines(events, impressions), rng, 2, 2)
    store = open_store(StoreConfig(path=str(tmp_path / "store.db"), dedup_horizon_days=30), CONFIG, create=True)
    killer = Killer(seed, 6)
    make = lambda: Consumer(  # noqa: E731
        MemorySource(delivered, killer), KillingStore(store, killer), PARSER, config=QUICK
    )
    assert run_until_done(make)
    expected = one_pass(events, impressions)
    found = {view: store.read_counters(view, np.unique(part.entity_key))[view] for view, part in expected.items()}
    require_equal(found, expected)
    whole = keyed_events(events)
    for user in np.unique(whole["user_key"]):
        mine = whole["user_key"] == user
        timeline = store.read_user(int(user)).timeline
        assert timeline["event_id"].tolist() == whole["event_id"][mine].tolist()
        assert timeline["price"].tobytes() == whole["price"][mine].tobytes()
    store.close()


def event(number: int, **fields: object) -> bytes:
    return json.dumps({**EXAMPLES["event"], "event_id": f"e{number}", **fields}).encode()


def test_what_is_refused_goes_to_the_dead_letters_with_its_place(tmp_path: Path) -> None:
    source = MemorySource({"s": [event(0), b"broken", event(1), event(2, event_time="2099-01-01T00:00:00Z")]})
    store = MemoryStore()
    metrics = Consumer(source, store, PARSER, DeadLetters(tmp_path), QUICK).run(until_end=True)
    letters = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [(letter["reason"], letter["stream"], letter["offset"]) for letter in letters] == [
        ("malformed", "s", 1),
        ("future", "s", 3),
    ]
    assert letters[0]["record"] == "broken"
    assert metrics.refused == {"malformed": 1, "future": 1}
    assert (metrics.records, metrics.accepted, metrics.duplicates) == (4, 2, 0)
    assert store.read_position("s") == 4


def test_what_comes_too_late_is_set_aside_by_the_store(tmp_path: Path) -> None:
    old, new = "2025-01-31T09:30:00Z", "2026-01-31T09:30:00Z"
    lines = [event(1, event_time=old), event(0, event_time=new), event(1, event_time=old, utm="x"), event(0)]
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), FeatureConfig(), create=True)
    metrics = Consumer(MemorySource({"s": lines}), store, PARSER, DeadLetters(tmp_path), QUICK).run(until_end=True)
    letter = json.loads((tmp_path / "records.jsonl").read_text())
    assert (letter["reason"], letter["offset"]) == ("late", 2)
    assert metrics.snapshot() | {"seconds": 0, "records_per_s": 0, "lag_s": 0} == {
        "records": 4,
        "accepted": 2,
        "duplicates": 1,
        "blank": 0,
        "refused": {"late": 1},
        "unknown_ads": 0,
        "ignored_fields": {"utm": 1},
        "batches": 1,
        "retries": 0,
        "records_per_s": 0,
        "lag_records": 0,
        "held_records": 0,
        "removed_records": 0,
        "lag_s": 0,
        "seconds": 0,
    }
    store.close()


def test_pseudonymised_records_are_not_kept_in_the_dead_letters(tmp_path: Path) -> None:
    parser = RecordParser(ADS, pseudonym=str.upper)
    Consumer(MemorySource({"s": [b"ann was here"]}), MemoryStore(), parser, DeadLetters(tmp_path), QUICK).step()
    assert "ann" not in (tmp_path / "records.jsonl").read_text()


def test_a_store_that_fails_for_a_while_is_waited_for() -> None:
    store = MemoryStore(dedup=False, failures=2)
    metrics = Consumer(MemorySource({"s": [event(0), event(1)]}), store, PARSER, config=QUICK).run(until_end=True)
    assert (metrics.retries, metrics.accepted) == (2, 2)


def test_a_store_that_stays_down_ends_the_consumer() -> None:
    impatient = StreamConfig(poll_ms=1, store_patience_s=0.0)
    with pytest.raises(StoreError, match="down"):
        Consumer(MemorySource({"s": [event(0)]}), MemoryStore(failures=99), PARSER, config=impatient).run()


class AwaySource(MemorySource):
    """Cannot be reached for so many calls, of `poll`, `lag` or `resume` in turn."""

    def __init__(self, lines: list[bytes], failures: int) -> None:
        super().__init__({"s": lines})
        self.failures = failures

    def _reach(self) -> None:
        if self.failures and self.failures % 2:
            self.failures -= 1
            raise StreamAwayError("broker: away")
        self.failures = max(self.failures - 1, 0)

    def poll(self, max_records: int, timeout_s: float, paused: Collection[str] = ()) -> list[PolledRecords]:
        self._reach()
        return super().poll(max_records, timeout_s, paused)

    def resume(self, position_of: PositionOf) -> None:
        self._reach()
        super().resume(position_of)

    def lag(self) -> int:
        self._reach()
        return super().lag()


@pytest.mark.parametrize("failures", range(1, 12))
def test_a_source_that_is_away_for_a_while_loses_and_doubles_nothing(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_RETRY_S", 0.001)
    monkeypatch.setattr(consumer, "_LAG_EVERY_S", 0.0)
    store = MemoryStore(dedup=False)
    metrics = Consumer(AwaySource([event(n) for n in range(50)], failures), store, PARSER, config=QUICK).run(
        until_end=True
    )
    assert sorted(str(name) for part in store.applied for name in part["record_id"]) == sorted(
        f"e{n}" for n in range(50)
    )
    assert metrics.accepted == 50


def test_a_source_that_stays_away_ends_the_consumer() -> None:
    impatient = StreamConfig(poll_ms=1, source_patience_s=0.0)
    with pytest.raises(StreamAwayError, match="away"):
        Consumer(AwaySource([event(0)], 1), MemoryStore(), PARSER, config=impatient).run()


def test_letters_that_cannot_be_written_are_waited_for(tmp_path: Path) -> None:
    """What was refused is applied to nothing before its letter is there."""
    (tmp_path / "dead").write_text("in the way")
    source, store = MemorySource({"s": [b"broken", event(1)]}), MemoryStore()

    folding = Consumer(source, store, PARSER, DeadLetters(tmp_path / "dead"), QUICK)
    with pytest.raises(StreamAwayError, match="dead letters"):
        folding.step()
    assert store.read_position("s") is None
    (tmp_path / "dead").unlink()
    assert folding.run(until_end=True).refused == {"malformed": 1}
    assert len((tmp_path / "dead" / "records.jsonl").read_text().splitlines()) == 1


def test_batches_grow_while_they_are_quick() -> None:
    store = MemoryStore()
    lines = [event(number) for number in range(500)]
    Consumer(MemorySource({"s": lines}), store, PARSER, config=QUICK).run(until_end=True)
    assert store.batch_sizes[:4] == [16, 32, 64, 64]
    assert max(store.batch_sizes) == 64


def test_it_stops_when_told() -> None:
    store, turns = MemoryStore(), iter([False, False, True])
    metrics = Consumer(MemorySource({"s": [event(n) for n in range(99)]}), store, PARSER, config=QUICK).run(
        lambda: next(turns)
    )
    assert metrics.records == 48
    assert metrics.lag_records == 51


def test_progress_is_a_line() -> None:
    seen: list[str] = []
    source = MemorySource({"s": [event(0), event(0), b"x"]})
    consumer = Consumer(source, MemoryStore(), PARSER, config=QUICK, on_progress=lambda m: seen.append(m.line()))
    consumer.run(until_end=True)
    assert "3 records" in seen[-1]
    assert "1 new, 1 repeated, 1 malformed; newest 2026-01-31 09:30:00Z, 0 waiting" in seen[-1]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_of_users_is_as_one_pass_gives_it_however_it_comes(tmp_path: Path, seed: int) -> None:
    declared = {"user.age": ColumnConfig(type="number"), "user.plan": ColumnConfig()}
    features, rng = replace(CONFIG, columns=declared), np.random.default_rng(seed)
    told = [
        {
            "type": "profile",
            "user_id": f"u{user}",
            "valid_from": f"2023-11-{day:02d}T00:00:00Z",
            "columns": {"age": float(age)} if age % 2 else {"plan": f"p{age}", "colour": "red"},
        }
        for user, day, age in zip(rng.integers(0, 5, 60), rng.integers(1, 10, 60), rng.integers(0, 9, 60), strict=True)
    ]
    parser, lines = RecordParser(ADS, features=features), [json.dumps(record).encode() for record in told]
    (change,) = parser.parse_lines(lines).changes
    store = open_store(StoreConfig(path=str(tmp_path / "store.db")), features, create=True)
    killer, metrics = Killer(seed, 4), ConsumerMetrics()
    delivered = dealt([*lines, json.dumps(EXAMPLES["event"]).encode()], rng, 2, 2)
    make = lambda: Consumer(  # noqa: E731
        MemorySource(delivered, killer), KillingStore(store, killer), parser, config=QUICK, metrics=metrics
    )
    assert run_until_done(make)
    for user, rows in change.by_key().items():
        held, expected = (HeldVersions("user.", declared) for _ in range(2))
        found = held.add([store.read_user(user).columns])
        whole = expected.add([merge_changes(b"", rows, declared)])
        now = np.array([1_800_000_000_000_000])
        for name, values in expected.read(whole, now).items():
            assert held.read(found, now)[name].tobytes() == values.tobytes()
    snapshot = metrics.snapshot()
    assert snapshot["accepted"] + snapshot["duplicates"] == snapshot["records"] > 0
    assert set(snapshot["ignored_fields"]) == {"columns.colour"}
    store.close()
