"""From answers to figures."""

from dataclasses import replace

import pytest

from rosa_ray.load import NO_ANSWER, Answer, figures_of, stretches

GOOD = Answer("rank", 0.0, 0.0, 0.010, 200, model_version="m1", user_known=True)


def at(due_s: float, took_ms: float = 10.0, **other: object) -> Answer:
    return replace(GOOD, due_s=due_s, sent_s=due_s, done_s=due_s + took_ms / 1000, **other)


def test_latency_counts_from_when_a_request_was_due() -> None:
    late = replace(GOOD, due_s=1.0, sent_s=1.4, done_s=1.5)
    assert figures_of([late]).kinds["rank"].max_ms == 500
    assert figures_of([late]).client_late_ms == pytest.approx(400)


def test_failures_are_counted_by_status_and_reason_and_have_no_latency() -> None:
    answers = [
        *(at(number / 10) for number in range(8)),
        at(0.9, 9000, status=503, reason="busy", model_version="", user_known=None),
        at(1.0, 9000, status=NO_ANSWER, reason="ServerDisconnectedError", model_version="", user_known=None),
    ]
    found = figures_of(answers).kinds["rank"]
    assert (found.requests, found.failed) == (10, 2)
    assert found.statuses == {"200": 8, "503": 1, "no answer": 1}
    assert found.reasons == {"503: busy": 1, "ServerDisconnectedError": 1}
    assert found.max_ms == pytest.approx(10)


def test_percentiles_are_those_of_the_answered() -> None:
    found = figures_of([at(number / 100, number + 1) for number in range(100)]).kinds["rank"]
    assert found.percentiles_ms == pytest.approx({"50": 50.5, "90": 90.1, "99": 99.01, "99.9": 99.901})


def test_degraded_cold_and_models_are_counted() -> None:
    answers = [at(0), at(0.1, degraded=("store", "states")), at(0.2, user_known=False), at(0.3, model_version="m2")]
    figures = figures_of(answers)
    found = figures.kinds["rank"]
    assert (found.degraded, found.cold, found.model_versions) == ({"store": 1, "states": 1}, 1, {"m1": 3, "m2": 1})
    assert figures.degraded == 2
    assert figures.failed == 0


def test_kinds_are_kept_apart_and_the_course_is_by_second() -> None:
    answers = [at(0.2), at(1.2, status=503), at(1.4, kind="events", model_version="", user_known=None), at(3.0)]
    figures = figures_of(answers)
    assert {kind: one.requests for kind, one in figures.kinds.items()} == {"rank": 3, "events": 1}
    assert [(one.at_s, one.requests, one.failed) for one in figures.by_second] == [(0, 1, 0), (1, 2, 1), (3, 1, 0)]


def test_stretches_join_what_is_alike() -> None:
    answers = [at(0), at(1), at(2, model_version="m2"), at(3, model_version="m2", degraded=("states",)), at(4)]
    found = list(stretches(answers))
    assert [(one.answers, one.model_version, one.degraded) for one in found] == [
        (2, "m1", ()),
        (1, "m2", ()),
        (1, "m2", ("states",)),
        (1, "m1", ()),
    ]
    assert "degraded: states" in str(found[2])


def test_lines_say_what_failed() -> None:
    lines = list(figures_of([at(0), at(0.5, status=503, reason="busy")]).lines())
    assert lines[0].startswith("rank: 2 sent")
    assert "1 failed" in lines[0]
    assert any("1 x 503: busy" in line for line in lines)
    assert list(figures_of([]).lines()) == []
