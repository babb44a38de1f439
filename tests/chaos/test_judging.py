"""What explains an answer that is not whole, and what does not: invented answers, hand-made verdicts."""

import pytest

from rosa_ray.chaos.judging import Allowed, Fault, judge, recovery_of
from rosa_ray.load import NO_ANSWER, Answer
from rosa_ray.load.answers import Kind

KILL = Fault((10.0,), 10.0)
BUSY = frozenset({503})


def rank(sent_s: float, took_s: float = 0.05, status: int = 200, **fields: object) -> Answer:
    return answer("rank", sent_s, took_s, status, **fields)


def answer(kind: Kind, sent_s: float, took_s: float = 0.05, status: int = 200, **fields: object) -> Answer:
    known = True if kind == "rank" and status == 200 else None
    told = {"user_known": known, "model_version": "m1" if known else "", **fields}
    return Answer(kind, sent_s, sent_s, sent_s + took_s, status, **told)  # type: ignore[arg-type]


def test_whole_answers_need_no_explanation() -> None:
    verdict = judge([rank(1.0), answer("events", 2.0), rank(11.0)], KILL, Allowed())
    assert verdict.shortfalls == ()
    assert verdict.answers == {"rank 200": 2, "events 200": 1}
    assert verdict.recovery_s == 0.0


def test_a_failure_without_any_fault_is_unexplained() -> None:
    verdict = judge([rank(1.0), rank(2.0, status=503, retry_after=True, reason="busy")])
    assert verdict.shortfalls[0] == "1 x rank 503 (first at 2.0 s, busy)"


def test_a_request_that_was_under_way_at_the_kill_may_fail() -> None:
    lost = rank(9.9, 0.3, NO_ANSWER, reason="ServerDisconnectedError")
    verdict = judge([lost, rank(10.5)], KILL, Allowed(in_flight=True))
    assert verdict.shortfalls == ()
    assert verdict.explained == {"under way at the fault": 1}
    assert verdict.recovery_s == pytest.approx(0.2)


@pytest.mark.parametrize(("sent_s", "took_s"), [(9.0, 0.5), (10.5, 0.1)])
def test_a_request_before_or_after_the_kill_may_not_fail(sent_s: float, took_s: float) -> None:
    verdict = judge([rank(sent_s, took_s, NO_ANSWER)], KILL, Allowed(in_flight=True))
    assert len(verdict.shortfalls) == 1
    assert verdict.explained == {}


def test_of_two_kills_each_may_cost_what_was_under_way() -> None:
    two = Fault((10.0, 15.0), 15.0)
    lost = [rank(9.9, 0.3, 408), rank(14.9, 0.3, 408), rank(12.0, 0.3, 408)]
    verdict = judge(lost, two, Allowed(in_flight=True))
    assert verdict.explained == {"under way at the fault": 2}
    assert verdict.shortfalls == ("1 x rank 408 (first at 12.0 s)",)


def test_nobody_may_listen_for_so_long_and_no_longer() -> None:
    allowed = Allowed(unanswered_s=3.0, recovery_s=9.0)
    silent = [rank(at, 0.01, NO_ANSWER) for at in (10.2, 12.9, 13.8)]
    verdict = judge(silent, KILL, allowed)
    assert verdict.explained == {"while nobody listened": 2}
    assert verdict.shortfalls == ("1 x rank no answer (first at 13.8 s)",)


def test_a_404_is_never_explained() -> None:
    allowed = Allowed(in_flight=True, unanswered_s=3.0, rank=frozenset({404}))
    assert judge([rank(9.9, 0.3, 404)], KILL, allowed).shortfalls


def test_503_is_explained_for_the_kind_it_is_allowed_for_while_the_fault_lasts() -> None:
    lock = Fault((10.0,), 20.0)
    refused = answer("events", 12.0, status=503, retry_after=True)
    allowed = Allowed(events=BUSY, recovery_s=2.0)
    assert judge([refused], lock, allowed).explained == {"503 that says when to come again": 1}
    assert judge([rank(12.0, status=503, retry_after=True)], lock, allowed).shortfalls
    assert judge([answer("events", 23.0, status=503, retry_after=True)], lock, allowed).shortfalls
    assert judge([answer("events", 5.0, status=503, retry_after=True)], lock, allowed).shortfalls


def test_503_has_to_say_when_to_come_again() -> None:
    lock = Fault((10.0,), 20.0)
    assert judge([answer("events", 12.0, status=503)], lock, Allowed(events=BUSY)).shortfalls


def test_a_degraded_ranking_is_explained_by_a_part_that_may_be_lacking() -> None:
    away = Fault((10.0,), 15.0)
    lacking = rank(12.0, degraded=("store",), user_known=False)
    explained = judge([lacking], away, Allowed(degraded=frozenset({"store"})))
    assert explained.shortfalls == ()
    assert explained.degraded == explained.cold == 1
    assert judge([lacking], away, Allowed(degraded=frozenset({"encoder"}))).shortfalls == (
        "1 x degraded: store (first at 12.0 s)",
    )


def test_a_cold_answer_for_a_known_user_is_unexplained_even_where_nothing_is_said_to_lack() -> None:
    cold = rank(12.0, user_known=False)
    assert judge([cold], KILL, Allowed(degraded=frozenset({"store"}))).shortfalls
    assert judge([cold], KILL, Allowed(cold=True)).shortfalls == ()


def test_an_answer_of_another_model_is_unexplained() -> None:
    verdict = judge([rank(1.0), rank(2.0, model_version="m2")], None, Allowed(models=frozenset({"m1"})))
    assert verdict.shortfalls == ("1 x answer of model m2 (first at 2.0 s)",)


def test_recovery_counts_from_the_end_of_the_fault_to_the_last_answer_that_was_not_whole() -> None:
    lock = Fault((10.0,), 20.0)
    late = [rank(12.0, degraded=("store",)), rank(20.5, 0.5, degraded=("store",)), rank(22.0)]
    assert recovery_of(late, lock) == pytest.approx(1.0)
    allowed = Allowed(degraded=frozenset({"store"}), recovery_s=0.8)
    assert judge(late, lock, allowed).shortfalls == ("whole again after 1.0 s, expected 0.8 s",)


def test_a_share_of_the_rankings_may_have_to_stay_whole() -> None:
    away = Fault((10.0,), 20.0)
    mixed = [rank(11.0), rank(12.0, degraded=("store",))]
    allowed = Allowed(degraded=frozenset({"store"}), whole_at_least=0.9)
    assert judge(mixed, away, allowed).shortfalls == ("50% of the rankings meanwhile were whole, expected 90%",)


def test_what_callers_saw_is_one_line() -> None:
    verdict = judge([rank(9.9, 0.3, NO_ANSWER), rank(1.0), rank(3.0)], KILL, Allowed(in_flight=True))
    assert verdict.text == "2 x rank 200, 1 x rank no answer; explained: 1 under way at the fault"
