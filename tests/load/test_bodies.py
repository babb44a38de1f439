"""What is sent."""

import json

import pytest

from rosa_ray.errors import InputError
from rosa_ray.load import Bodies

ADS = [f"a{number}" for number in range(20)]


def test_a_ranking_draws_a_user_and_distinct_candidates() -> None:
    bodies = Bodies(["u1", "u2"], ADS, candidates=7)
    found = [json.loads(bodies.rank(number)) for number in range(40)]
    assert {one["user_id"] for one in found} == {"u1", "u2"}
    assert all(len(set(one["candidates"])) == 7 and set(one["candidates"]) <= set(ADS) for one in found)
    assert len({tuple(one["candidates"]) for one in found}) > 30
    assert bodies.rank(5) == Bodies(["u1", "u2"], ADS, candidates=7, session="other").rank(5)


def test_without_candidates_the_service_chooses_and_a_time_is_passed_on() -> None:
    body = json.loads(Bodies(["u1"], candidates=0, time="2026-01-01T00:00:00Z").rank(0))
    assert body == {"user_id": "u1", "context": {"time": "2026-01-01T00:00:00Z"}}


def test_unknown_users_are_as_many_as_asked_for_and_never_the_same() -> None:
    bodies = Bodies(["u1"], ADS, candidates=0, unknown_share=0.25, session="s")
    users = [json.loads(bodies.rank(number))["user_id"] for number in range(400)]
    unknown = [user for user in users if user != "u1"]
    assert 70 <= len(unknown) <= 130
    assert len(set(unknown)) == len(unknown)


def test_given_bodies_are_sent_in_turn() -> None:
    bodies = Bodies((), given=(b"1", b"2"))
    assert [bodies.rank(number) for number in range(3)] == [b"1", b"2", b"1"]


def test_events_have_ids_of_their_own() -> None:
    bodies = Bodies(["u1"], candidates=0, item_ids=["i1", "i2"], behavior="cart", session="s")
    found = [bodies.event(number) for number in range(30)]
    assert len({one["event_id"] for one in found}) == 30
    assert {one["item_id"] for one in found} == {"i1", "i2"}
    assert {one["behavior"] for one in found} == {"cart"}


@pytest.mark.parametrize(
    ("bodies", "says"),
    [
        (lambda: Bodies([], ADS), "no users"),
        (lambda: Bodies(["u1"], ADS, candidates=21), "21 candidates are asked for and the run has 20 ads"),
    ],
)
def test_what_cannot_be_sent_is_said(bodies, says) -> None:
    with pytest.raises(InputError, match=says):
        bodies()
