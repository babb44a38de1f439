"""Posted events: what is stored, what is not, and that the next ranking sees them."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from rosa_ray.schema import EVENTS
from rosa_ray.serving.api import EventIn
from rosa_ray.serving.events import event_store_columns
from rosa_ray.serving.scorer import HybridScorer
from tests.serving.client import LocalClient
from tests.serving.conftest import NOW_US, World, client_of

NOW = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW_US)


def event(number: int = 0, ago: timedelta = timedelta(minutes=1), **fields: object) -> dict:
    return {
        "event_id": f"new-{number}",
        "user_id": "u1",
        "item_id": "i1",
        "behavior": "cart",
        "event_time": (NOW - ago).isoformat(),
        "category": "c1",
        "price": 12.5,
        **fields,
    }


def ranked(client: LocalClient, **fields: object) -> dict:
    return client.post("/rank", json={"user_id": "u1", "explain": True, "top_k": 30, **fields}).json()


def test_the_next_ranking_sees_an_event(client: LocalClient) -> None:
    before = ranked(client)
    assert before["lambda"] == 1.0
    assert client.post("/events", json=event()).json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    after = ranked(client)
    assert after["lambda"] == 0.0
    assert after["explanation"]["events_since"] == 1
    assert after["explanation"]["encoder_ms"] is not None
    assert after["degraded"] == []
    scores = [{ad["ad_id"]: ad["score"] for ad in answer["ads"]} for answer in (before, after)]
    assert all(scores[0][ad] != scores[1][ad] for ad in scores[0])


def test_a_new_user_becomes_known_by_an_event(client: LocalClient) -> None:
    client.post("/events", json=event(user_id="newcomer"))
    answer = ranked(client, user_id="newcomer")
    assert answer["user_known"] is True
    assert answer["lambda"] == 0.0


def test_a_repeated_event_counts_once(client: LocalClient) -> None:
    batch = {"events": [event(1), event(2), event(1)]}
    assert client.post("/events", json=batch).json() == {"accepted": 2, "duplicates": 1, "rejected": []}
    first = ranked(client)["ads"]
    assert client.post("/events", json=batch).json() == {"accepted": 0, "duplicates": 3, "rejected": []}
    assert ranked(client)["ads"] == first


def test_order_and_batching_of_events_do_not_matter(world: World, store_path: Path) -> None:
    events = [event(number, timedelta(minutes=10 * number)) for number in range(6)]
    other_path = Path(shutil.copy(store_path, store_path.with_name("other.db")))
    one, other = client_of(world.scorer(store_path)), client_of(world.scorer(other_path))
    one.post("/events", json={"events": events})
    for late in events[::-1]:
        other.post("/events", json=late)
    assert ranked(one)["ads"] == ranked(other)["ads"]


def test_future_and_long_past_events_are_rejected_with_reasons(client: LocalClient) -> None:
    events = [event(1, -timedelta(hours=1)), event(2), event(3, timedelta(days=300))]
    answer = client.post("/events", json={"events": events}).json()
    assert answer["accepted"] == 1
    assert [rejected["index"] for rejected in answer["rejected"]] == [0, 2]
    assert "ahead" in answer["rejected"][0]["reason"]
    assert "further back" in answer["rejected"][1]["reason"]


def test_a_late_event_among_the_encoded_ones_makes_the_states_stale(world: World, client: LocalClient) -> None:
    times = world.events.filter(pa.compute.equal(world.events["user_id"], "u1"))["event_time"].to_pylist()
    client.post("/events", json=event(event_time=(max(times) - timedelta(seconds=1)).isoformat()))
    explanation = ranked(client)["explanation"]
    assert explanation["stale"] is True
    assert explanation["reason"] == "a late event changed the encoded history"


def test_an_event_in_a_closed_bucket_changes_the_counters_of_ads_at_once(
    scorer: HybridScorer, client: LocalClient
) -> None:
    request = {"user_id": "who", "candidates": ["a1"], "top_k": 1}
    before = client.post("/rank", json=request).json()["ads"]
    client.post("/events", json=event(user_id="someone", ago=timedelta(hours=3)))
    assert client.post("/rank", json=request).json()["ads"] != before


def test_times_keep_their_microseconds_and_zone() -> None:
    given = EventIn.model_validate(event(event_time="2023-11-20T12:00:00.123456+02:00"))
    assert event_store_columns([given])["time_us"].tolist() == [1_700_474_400_123_456]


def test_what_the_interface_accepts_satisfies_the_events_contract() -> None:
    minimal = event(price=None, category=None, event_time="1990-01-01T00:00:01Z")
    table = pa.Table.from_pylist(
        [{**one, "event_time": EventIn.model_validate(one).event_time} for one in (minimal, event(price=0))]
    )
    table = table.set_column(
        table.column_names.index("event_time"), "event_time", table["event_time"].cast(pa.timestamp("us", "UTC"))
    )
    kept, violations = EVENTS.check(table, "interface")
    assert (kept.num_rows, violations) == (2, [])


def test_a_missing_price_and_category_are_missing_in_the_store() -> None:
    columns = event_store_columns([EventIn.model_validate(event(price=None, category=None))])
    assert np.isnan(columns["price"][0])
    assert columns["category_key"][0] == 0
