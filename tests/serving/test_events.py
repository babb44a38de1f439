"""Posted events: what is stored, what is not, and that the next ranking sees them."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from rosa_ray.schema import EVENTS
from rosa_ray.serving.api import EventIn
from rosa_ray.serving.hybrid_scorer import HybridScorer
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
    assert [rejected["code"] for rejected in answer["rejected"]] == ["future", "late"]
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


def shown(kind: str = "impression", ago: timedelta = timedelta(minutes=1), **fields: object) -> dict:
    more = {
        "impression": {"bid": 0.1, "cost": 0.05},
        "click": {},
        "conversion": {"conversion_time": (NOW - ago + timedelta(seconds=30)).isoformat()},
    }
    return {
        "type": kind,
        "impression_id": "m-new",
        "user_id": "u1",
        "ad_id": "a1",
        "request_time": (NOW - ago).isoformat(),
        **more[kind],
        **fields,
    }


def test_all_four_types_are_stored_once_alone_or_in_a_batch(client: LocalClient) -> None:
    batch = [event(), shown(), shown("click"), shown("conversion")]
    assert client.post("/events", json={"events": batch}).json() == {"accepted": 4, "duplicates": 0, "rejected": []}
    for record in batch:
        assert client.post("/events", json=record).json() == {"accepted": 0, "duplicates": 1, "rejected": []}


def test_impressions_and_clicks_in_closed_buckets_change_the_next_ranking(client: LocalClient) -> None:
    request = {"user_id": "who", "candidates": ["a1"], "top_k": 1}
    costs, scores = [], []
    for record in (None, shown(ago=timedelta(hours=3)), shown("click", timedelta(hours=3))):
        if record:
            client.post("/events", json=record)
        ad = client.post("/rank", json=request).json()["ads"][0]
        costs.append(ad["expected_cost"])
        scores.append(ad["p_ctr"])
    assert costs[0] != costs[1] == costs[2]
    assert len(set(scores)) == 3


def test_impressions_of_unknown_ads_count_for_their_user(client: LocalClient) -> None:
    request = {"user_id": "who", "candidates": ["a1"], "top_k": 1}
    before = client.post("/rank", json=request).json()
    seen = [shown(user_id="who", ad_id="nowhere", ago=timedelta(hours=3)), shown(impression_id="other")]
    assert client.post("/events", json={"events": seen}).json() == {"accepted": 2, "duplicates": 0, "rejected": []}
    after = client.post("/rank", json=request).json()
    assert (before["user_known"], after["user_known"]) == (False, True)
    assert before["ads"][0]["p_ctr"] != after["ads"][0]["p_ctr"]


def test_what_is_rejected_is_kept_with_its_reason(world: World, store_path: Path, tmp_path: Path) -> None:
    client = client_of(world.scorer(store_path, dead_letters=str(tmp_path / "dead")))
    client.post("/events", json={"events": [event(1, -timedelta(hours=1)), event(2), event(3, timedelta(days=300))]})
    letters = [json.loads(line) for line in (tmp_path / "dead" / "http.jsonl").read_text().splitlines()]
    assert [(letter["reason"], letter["offset"]) for letter in letters] == [("future", 0), ("late", 2)]
    assert json.loads(letters[0]["record"])["event_id"] == "new-1"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"events": [event(), shown(bid=0)]}, "/events/1/bid"),
        ({"events": [shown("click", click_time="1999-01-01T00:00:00Z")]}, "/events/0"),
        ({"events": [{**event(), "type": "visit"}]}, "/events/0"),
        (shown("conversion", conversion_time="2020-01-01"), "/conversion_time"),
        ({**event(), "price": -1}, "/price"),
        ({"events": []}, "/events"),
    ],
)
def test_a_malformed_record_is_pointed_at_and_refuses_the_batch(client: LocalClient, body: dict, pointer: str) -> None:
    answer = client.post("/events", json=body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


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
