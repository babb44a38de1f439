"""What is sent: rankings that repeat by their number, and records whose clicks belong to impressions."""

import json
from datetime import UTC, datetime

from rosa_ray.chaos.traffic import Bodies

BODIES = Bodies(["u1", "u2"], ["a1", "a2", "a3"], [("i1", "c1"), ("i2", None), ("i3", "c2")], ("view", "cart"), 2, "s")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_a_ranking_names_known_users_and_different_ads() -> None:
    body = json.loads(BODIES.rank(4))
    assert body["user_id"] in ("u1", "u2")
    assert len(set(body["candidates"])) == 2
    assert BODIES.rank(4) == BODIES.rank(4)
    assert any(BODIES.rank(number) != BODIES.rank(4) for number in range(5, 9))


def test_records_are_of_every_kind_and_each_id_is_its_own() -> None:
    records = [BODIES.event(number, NOW) for number in range(60)]
    kinds = [record.get("type", "event") for record in records]
    assert (kinds.count("event"), kinds.count("impression"), kinds.count("click")) == (40, 10, 10)
    names = [(kind, one.get("event_id") or one.get("impression_id")) for kind, one in zip(kinds, records, strict=True)]
    assert len(set(names)) == len(names)


def test_a_click_names_an_impression_that_was_sent_before() -> None:
    records = [BODIES.event(number, NOW) for number in range(60)]
    shown = {one["impression_id"] for one in records if one.get("type") == "impression"}
    assert all(one["impression_id"] in shown for one in records if one.get("type") == "click")
