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


MALFORMED = [
    (shown(bid=0), "bid: needs a number from 1e-6 to 1e6"),
    (shown("click", click_time="1999-01-01T00:00:00Z"), "click_time lies before request_time"),
    ({**event(), "type": "visit"}, "needs a type"),
    (shown("conversion", conversion_time="2020-01-01"), "conversion_time: says no zone"),
    ({**event(), "price": -1}, "price: needs a number from 0 to 1e9"),
    ({**event(), "user_id": True}, "user_id: needs an id"),
    ([event()], "is no JSON object"),
    (None, "is no JSON object"),
]


@pytest.mark.parametrize(("bad", "reason"), MALFORMED)
def test_a_malformed_record_does_not_refuse_its_batch(
    world: World, store_path: Path, tmp_path: Path, bad: object, reason: str
) -> None:
    client = client_of(world.scorer(store_path, dead_letters=str(tmp_path / "dead")))
    answer = client.post("/events", json={"events": [event(1), bad, event(2)]})
    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["duplicates"]) == (2, 0)
    (rejected,) = body["rejected"]
    assert (rejected["index"], rejected["code"]) == (1, "malformed")
    assert reason in rejected["reason"]
    (letter,) = (tmp_path / "dead" / "http.jsonl").read_text().splitlines()
    kept = json.loads(letter)
    assert (kept["reason"], kept["stream"], kept["offset"]) == ("malformed", "http", 1)
    assert json.loads(kept["record"]) == bad


def test_the_status_says_whether_all_some_or_none_could_be_read(client: LocalClient) -> None:
    good, late, bad = event(1), event(2, timedelta(days=300)), {**event(3), "price": -1}
    batches = ([good], [late], [good, bad], [late, bad], [bad], [bad, bad])
    answers = [client.post("/events", json={"events": batch}) for batch in batches]
    assert [answer.status_code for answer in answers] == [200, 200, 207, 207, 422, 422]
    problem = answers[4].json()
    assert answers[4].headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["accepted"], problem["duplicates"]) == (422, 0, 0)
    assert [one["index"] for one in answers[5].json()["rejected"]] == [0, 1]
    assert client.post("/events", json=bad).json()["rejected"] == problem["rejected"]


def test_unknown_fields_are_ignored_and_named(client: LocalClient) -> None:
    batch = [event(1, utm="x"), event(2, utm=None, referrer={"a": [1]}), event(3)]
    answer = client.post("/events", json={"events": batch})
    assert answer.status_code == 200
    assert answer.json()["ignored_fields"] == {"utm": 2, "referrer": 1}


def test_a_user_posted_as_an_integer_is_ranked_by_its_text(client: LocalClient) -> None:
    client.post("/events", json=event(user_id=1007, price="12.50", category=""))
    assert ranked(client, user_id="1007")["user_known"] is True


@pytest.mark.parametrize("events", [[], {}, None, "text"])
def test_a_body_without_records_is_refused(client: LocalClient, events: object) -> None:
    answer = client.post("/events", json={"events": events})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "`events` must be a list of at least one record"


def test_a_name_that_is_no_unicode_does_not_fail_the_request(client: LocalClient) -> None:
    body = json.dumps({"events": [event(1, **{"\ud800": 1}), event(2)]}).encode()
    answer = client.post("/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 207)


def test_what_the_interface_accepts_satisfies_the_events_contract() -> None:
    sent = (event(price="", category="", event_time="1990-01-01T00:00:01Z"), event(price=0, user_id=5))
    accepted = [EventIn.model_validate(one).model_dump(exclude={"type"}) for one in sent]
    table = pa.Table.from_pylist([{**one, "event_time": datetime.fromisoformat(one["event_time"])} for one in accepted])
    table = table.set_column(
        table.column_names.index("event_time"), "event_time", table["event_time"].cast(pa.timestamp("us", "UTC"))
    )
    kept, violations = EVENTS.check(table, "interface")
    assert (kept.num_rows, violations) == (2, [])


def test_a_list_without_a_batch_around_it_is_told_the_form(client: LocalClient) -> None:
    answer = client.post("/events", json=[event(1), event(2)])
    assert answer.status_code == 422
    assert answer.json()["detail"] == 'the body is a list; a batch is {"events": [...]}'


def test_an_absurd_cost_is_refused_and_moves_no_ranking(client: LocalClient) -> None:
    request = {"user_id": "who", "top_k": 30}
    before = client.post("/rank", json=request).json()["ads"]
    absurd = [shown(ad_id=before[0]["ad_id"], ago=timedelta(hours=3), cost=cost) for cost in (1e9, 1e4, 11.0)]
    answer = client.post("/events", json={"events": [*absurd, event()]})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    rejected = answer.json()["rejected"]
    assert [(one["index"], one["code"]) for one in rejected] == [(row, "implausible") for row in range(3)]
    assert rejected[0]["reason"].startswith("cost: exceeds records.max_cost_per_bid (100) bids of an impression")
    assert client.post("/rank", json=request).json()["ads"] == before
