"""A watched service: its answers in stretches, and callers who find nobody."""

from watch_service import NOBODY, Answer, ask, stretches


def test_answers_alike_are_one_stretch_until_something_changes() -> None:
    whole, lacking = ("200", "m1", ()), ("200", "m1", ("store",))
    asked = [(0.0, 5.0, whole), (0.5, 9.0, whole), (1.0, 7.0, lacking), (1.5, 6.0, whole)]
    found = list(stretches(Answer(at_s, took_ms, *kind) for at_s, took_ms, kind in asked))
    assert [(one.from_s, one.to_s, one.answers, one.degraded) for one in found] == [
        (0.0, 0.5, 2, ()),
        (1.0, 1.0, 1, ("store",)),
        (1.5, 1.5, 1, ()),
    ]
    assert (found[0].p50_ms, found[0].max_ms) == (7.0, 9.0)


def test_nobody_at_any_address_is_an_answer_too() -> None:
    urls = ["http://127.0.0.1:9", "http://127.0.0.1:9"]
    answers = list(ask(urls, ["u1", "u2"], per_second=50.0, seconds=0.05, context={}))
    assert [answer.status for answer in answers] == [NOBODY] * 3
    assert sorted(answer.at_s for answer in answers) == [answer.at_s for answer in answers]
