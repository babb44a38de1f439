"""The client, against a service that answers by script."""

import threading

from rosa_ray.load import NO_ANSWER, Bodies, OpenLoop, Plan
from tests.load.scripted import service

BODIES = Bodies(["u1"], candidates=0, item_ids=["i1"], session="s")


def test_requests_do_not_wait_for_answers() -> None:
    """The service answers none before all have come: a client that waits would never be answered."""
    together = threading.Barrier(12)

    def script(path, body):
        together.wait(timeout=20)
        return 200, {"model_version": "m", "user_known": True, "degraded": []}, {}

    with service(script) as url:
        answers = OpenLoop(url, timeout_s=30).run(Plan(60, 0.2, arrivals="even"), BODIES)
    assert [answer.status for answer in answers] == [200] * 12
    assert all(answer.model_version == "m" and answer.user_known for answer in answers)
    assert answers == sorted(answers, key=lambda answer: answer.due_s)


def test_failures_are_answers_too() -> None:
    def script(path, body):
        if path == "/rank":
            return 503, {"detail": "busy"}, {"Retry-After": "1"}
        return 207, {"accepted": 1}, {}

    with service(script) as url:
        loop = OpenLoop(url)
        answers = loop.run(Plan(10, 0.4, 10, "even"), BODIES)
    assert {(answer.kind, answer.status, answer.reason, answer.retry_after) for answer in answers} == {
        ("rank", 503, "busy", True),
        ("events", 207, "", False),
    }
    assert [event["event_id"] for event in loop.posted] == ["s-0", "s-1", "s-2", "s-3"]


def test_who_never_answers_is_given_up() -> None:
    released = threading.Event()

    def script(path, body):
        released.wait(timeout=30)
        return 200, {}, {}

    with service(script) as url:
        answers = OpenLoop(url, timeout_s=0.3).run(Plan(10, 0.2, arrivals="even"), BODIES)
        released.set()
    assert [(answer.status, answer.reason) for answer in answers] == [(NO_ANSWER, "no answer in 0.3 s")] * 2


def test_where_nobody_listens_the_next_address_is_tried() -> None:
    with service(lambda path, body: (200, {}, {})) as gone:
        pass
    assert [answer.status for answer in OpenLoop(gone).run(Plan(10, 0.1, arrivals="even"), BODIES)] == [NO_ANSWER]
    with service(lambda path, body: (200, {}, {})) as url:
        answers = OpenLoop([gone, url]).run(Plan(10, 0.1, arrivals="even"), BODIES)
    assert [answer.status for answer in answers] == [200]


def test_it_stops_when_asked_and_tells_each_answer() -> None:
    told = []
    with service(lambda path, body: (200, {}, {})) as url:
        loop = OpenLoop(url, on_answer=told.append)
        answers = loop.run(Plan(50, 5.0, arrivals="even"), BODIES, stopped=lambda: len(told) >= 3)
    assert 3 <= len(answers) < 250
    assert sorted(told, key=lambda answer: answer.due_s) == answers
