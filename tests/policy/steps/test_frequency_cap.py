"""The cap: a user sees an ad so often in a window, and no oftener."""

import pytest

from rosa_ray.policy.steps import frequency_cap
from rosa_ray.policy.steps.frequency_cap import Config, Rule
from tests.policy.slates import HOUR_US, at, shown_of, slate_of

AGO = [at(12.0) - ago * HOUR_US for ago in (1, 2, 30)]


def test_an_ad_seen_often_enough_is_taken_out() -> None:
    rule = Rule(Config(most=2, window_hours=24))
    rule.tell(shown_of([1, 1, 2], [0.0] * 3, time_us=[AGO[0], AGO[1], AGO[0]]))
    left = rule.apply(slate_of([3.0, 2.0], [1.0, 1.0]))
    assert left.order.tolist() == [1]
    assert left.said == {"frequency_cap": {"per": "ad", "seen_enough": 1}}


def test_an_impression_ages_out_of_the_window_to_the_microsecond() -> None:
    rule = Rule(Config(most=1, window_hours=1))
    rule.tell(shown_of([1], [0.0], time_us=[AGO[0]]))
    assert rule.apply(slate_of([3.0], [1.0])).order.tolist() == [0]
    assert rule.apply(slate_of([3.0], [1.0], time_us=at(12.0) - 1)).order.size == 0


def test_other_users_and_nobody_are_not_capped() -> None:
    rule = Rule(Config(most=1))
    rule.tell(shown_of([1, 1], [0.0] * 2, time_us=AGO[:2], user_key=[7, 0]))
    for user, shown in ((7, 0), (8, 1), (0, 1)):
        assert rule.apply(slate_of([3.0], [1.0], user_key=user)).order.size == shown


def test_a_click_is_no_second_impression() -> None:
    rule = Rule(Config(most=2))
    rule.tell(shown_of([1, 1], [0.0] * 2, time_us=AGO[:2], impression=[True, False]))
    assert rule.apply(slate_of([3.0], [1.0])).order.size == 1


@pytest.mark.parametrize(("per", "left"), [("ad", [0, 1]), ("campaign", [])])
def test_ads_of_one_campaign_count_together_where_asked(per: str, left: list[int]) -> None:
    rule = Rule(Config(most=2, per=per))  # type: ignore[arg-type]
    rule.tell(shown_of([5, 5], [0.0] * 2, time_us=AGO[:2], ad_key=[1, 2]))
    assert rule.apply(slate_of([3.0, 2.0], [1.0, 1.0], campaign_key=[5, 5])).order.tolist() == left


def test_requests_of_before_do_not_see_what_came_after() -> None:
    rule = Rule(Config(most=1))
    rule.tell(shown_of([1], [0.0], time_us=[at(20.0)]))
    assert rule.apply(slate_of([3.0], [1.0])).order.size == 1


def test_users_whose_impressions_have_aged_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequency_cap, "_SWEEP", 3)
    rule = Rule(Config(window_hours=1))
    for user, time_us in enumerate([at(0.0), at(0.5), at(9.0)], start=1):
        rule.tell(shown_of([1], [0.0], time_us=[time_us], user_key=[user]))
    assert rule.snapshot()["user_key"].tolist() == [3]
