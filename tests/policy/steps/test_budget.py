"""Budgets: prices, stops and least returns, by hand."""

import threading
from collections.abc import Mapping

import numpy as np
import pytest

from rosa_ray.policy.slate import Shown, Slate
from rosa_ray.policy.steps.budget import Campaign, Config, Rule
from rosa_ray.schema import hash_id
from rosa_ray.settings import SettingError
from tests.policy.slates import DAY_US, HOUR_US, at, random_shown, shown_of, slate_of

EVEN = tuple([1.0] * 24)


def rule_of(rate: float = 0.0, start: float = 0.0, **campaigns: Campaign) -> Rule:
    """Campaigns by names such as c1, which is the one of key 1."""
    named = {int(name.removeprefix("c")): one for name, one in campaigns.items()}
    return Rule(Config({}, rate=rate, start=start, profile=EVEN), named=named)


def told(rule: Rule, campaign: int, cost: float, hour: float, revenue: float = 0.0) -> Shown:
    shown = shown_of([campaign], [cost], [revenue], [at(hour)])
    rule.tell(shown)
    return shown


def test_money_of_a_budget_has_its_price() -> None:
    rule = rule_of(start=1.5, c1=Campaign(daily_budget=10.0))
    after = rule.apply(slate_of([5.0, 5.0], [1.0, 1.0]))
    # revenue - cost - 1.5 cost; the other campaign is left as it is.
    assert after.score.tolist() == [2.5, 4.0]
    assert after.order.tolist() == [1, 0]
    assert dict(after.said) == {}


def test_campaigns_that_are_not_named_change_nothing() -> None:
    slate = slate_of([5.0, 0.1], [1.0, 1.0])
    assert rule_of(start=9.0, c7=Campaign(daily_budget=1.0)).apply(slate) is slate


def test_an_ad_that_is_not_worth_its_price_is_taken_out_with_the_reason() -> None:
    after = rule_of(start=5.0, c1=Campaign(daily_budget=10.0)).apply(slate_of([5.0, 5.0], [1.0, 1.0]))
    assert after.order.tolist() == [1]
    assert after.said == {"budget": {"1": "its ads are worth less than its budget costs"}}


def test_a_budget_stops_before_it_is_overspent() -> None:
    rule = rule_of(c1=Campaign(daily_budget=10.0))
    told(rule, 1, 9.0, 3.0)
    assert rule.apply(slate_of([5.0], [1.0])).order.size == 1
    told(rule, 1, 0.5, 4.0)
    after = rule.apply(slate_of([5.0], [1.0]))
    assert after.order.size == 0
    assert after.said == {"budget": {"1": "its budget is spent"}}
    tomorrow = rule.apply(slate_of([5.0], [1.0], time_us=at(1.0) + DAY_US))
    assert tomorrow.order.size == 1


def test_a_day_begins_where_its_time_zone_says() -> None:
    config = Config({}, rate=0.0, day_offset_hours=2.0)
    rule = Rule(config, named={1: Campaign(daily_budget=10.0)})
    told(rule, 1, 10.0, 21.9)
    assert rule.apply(slate_of([5.0], [1.0], time_us=at(21.95))).order.size == 0
    assert rule.apply(slate_of([5.0], [1.0], time_us=at(22.0))).order.size == 1


def test_a_price_rises_by_the_hour_where_the_day_is_ahead_of_its_share() -> None:
    rule = rule_of(rate=2.4, c1=Campaign(daily_budget=24.0))
    told(rule, 1, 3.0, 0.5)
    assert rule.prices(at(0.9)) == {"1": (0.0, 0.0)}
    # Three times the share of 1: log(1 + price) = 2.4/24 · (3 - 1).
    assert rule.prices(at(1.5))["1"][0] == pytest.approx(np.expm1(0.2))
    # An hour without spend, of (24 - 3)/23: down by 2.4/24.
    assert rule.prices(at(2.0))["1"][0] == pytest.approx(np.expm1(0.1))
    assert rule.prices(at(4.0))["1"][0] == 0.0


def test_what_is_left_decides_what_an_hour_may_spend() -> None:
    rule = rule_of(rate=2.4, c1=Campaign(daily_budget=24.0))
    told(rule, 1, 1.0, 0.5)
    told(rule, 1, 12.0, 1.5)
    # The second hour's share is 23/23; an error above 4 counts as 4.
    assert rule.prices(at(2.0))["1"][0] == pytest.approx(np.expm1(0.4))


def test_a_budget_that_is_gone_early_costs_more_for_the_rest_of_the_day() -> None:
    rule = rule_of(rate=2.4, c1=Campaign(daily_budget=10.0))
    told(rule, 1, 10.0, 11.5)
    # Hour 11 spends 13 times its share, which counts as an error of 4. Gone after half of the day, each hour of the
    # rest counts as one that spends twice its share.
    first = 0.1 * 4.0
    assert rule.prices(at(12.0))["1"][0] == pytest.approx(np.expm1(first))
    assert rule.prices(at(14.0))["1"][0] == pytest.approx(np.expm1(first + 2 * 0.1 * (24 / 12 - 1)))


def test_prices_go_over_midnight() -> None:
    rule = rule_of(rate=2.4, c1=Campaign(daily_budget=24.0))
    told(rule, 1, 3.0, 23.5)
    shares = 0.1 * (3.0 / 24.0 - 1)
    assert rule.prices(at(0.0) + DAY_US)["1"][0] == pytest.approx(np.expm1(max(0.0, shares)))
    told(rule, 1, 90.0, 23.7)
    assert rule.prices(at(0.2) + DAY_US)["1"][0] == pytest.approx(np.expm1(0.1 * (93.0 / 24.0 - 1)))


def test_a_late_record_changes_prices_as_if_it_had_come_in_time() -> None:
    early, late = (rule_of(rate=2.0, c1=Campaign(daily_budget=24.0)) for _ in range(2))
    for hour in (1.5, 5.5):
        told(early, 1, 4.0, hour)
    told(late, 1, 4.0, 5.5)
    late.prices(at(8.0))
    told(late, 1, 4.0, 1.5)
    assert late.prices(at(8.0)) == early.prices(at(8.0))


def test_a_least_return_that_no_ad_reaches_shows_nothing_and_says_so() -> None:
    rule = rule_of(c1=Campaign(min_roas=6.0))
    after = rule.apply(slate_of([5.0], [1.0]))
    assert after.order.size == 0
    assert after.said == {"budget": {"1": "its ads do not return min_roas"}}


def test_what_was_earned_beyond_a_least_return_may_be_spent_below_it() -> None:
    rule = rule_of(c1=Campaign(min_roas=2.0))
    told(rule, 1, 1.0, 1.0, revenue=2.5)
    # 0.5 beyond; an ad that lacks 0.4 is allowed, one that lacks 0.6 is not.
    slate = slate_of([1.6, 1.4], [1.0, 1.0], campaign_key=[1, 1])
    assert rule.apply(slate).shown.tolist() == [True, False]


def test_a_missed_return_gets_a_price() -> None:
    rule = rule_of(rate=2.4, c1=Campaign(min_roas=4.0))
    told(rule, 1, 1.0, 0.5, revenue=1.0)
    # log(1 + λ) = 0.1 · (1 - 1/4), and the score is profit + λ·(revenue - 4·cost).
    weight = np.expm1(0.075)
    assert rule.prices(at(1.0))["1"] == (0.0, pytest.approx(weight))
    after = rule.apply(slate_of([5.0], [1.0], time_us=at(1.5)))
    assert after.score.tolist() == [pytest.approx(4.0 + weight)]
    assert after.order.size == 1


def test_what_is_kept_is_that_of_the_last_days() -> None:
    config = Config({}, memory_days=2, profile=EVEN)
    rule = Rule(config, named={1: Campaign(daily_budget=24.0)})
    told(rule, 1, 20.0, 1.5)
    told(rule, 1, 1.0, 25.0)
    assert rule.snapshot()["day"].tolist() == [at() // DAY_US, at() // DAY_US + 1]
    told(rule, 1, 1.0, 49.0)
    told(rule, 1, 5.0, 2.0)
    assert rule.snapshot()["day"].tolist() == [at() // DAY_US + 1, at() // DAY_US + 2]


def test_prices_do_not_know_who_asked_before() -> None:
    config = Config({}, memory_days=2, profile=EVEN)
    asked, silent = (Rule(config, named={1: Campaign(daily_budget=24.0)}) for _ in range(2))
    for day in range(4):
        for rule in (asked, silent):
            told(rule, 1, 20.0, 24 * day + 1.5)
        asked.prices(at(24 * day + 12.0))
    assert asked.prices(at(24 * 3 + 20.0)) == silent.prices(at(24 * 3 + 20.0))
    assert asked.begins_us(at(24 * 3 + 20.0)) == at(24 * 2)


def test_a_shared_ledger_takes_the_place_of_what_was_told() -> None:
    rule = rule_of(c1=Campaign(daily_budget=600.0))
    told(rule, 1, 600.0, 3.0)
    key, now = np.array([1]), at(12.0)
    rule.see(key, np.array([at(3.0)]), np.array([540_000_000]), now)
    # Two replicas, three parts: of 60 that are left, 10 may be given out.
    assert rule.apply(slate_of([50.0], [10.0])).order.size == 1
    rule.answered(slate_of([50.0], [10.0]), now)
    after = rule.apply(slate_of([50.0], [10.0]))
    assert after.said == {"budget": {"1": "its budget is spent"}}


def test_no_reading_gives_no_room_on_a_new_day_and_for_long() -> None:
    rule = rule_of(c1=Campaign(daily_budget=600.0))
    rule.see(np.array([1]), np.array([at(3.0)]), np.array([0]), at(12.0))
    for time_us, shown in ((at(12.01), 1), (at(12.1), 0), (at(0.0) + DAY_US, 0), (at(0.0) - HOUR_US, 1)):
        assert rule.apply(slate_of([50.0], [10.0], time_us=time_us)).order.size == shown, time_us


def test_a_shared_ledger_moves_prices() -> None:
    rule, alone = (rule_of(rate=2.4, c1=Campaign(daily_budget=24.0)) for _ in range(2))
    told(alone, 1, 3.0, 0.5)
    rule.see(np.array([1, 2]), np.array([at(0.0)] * 2), np.array([3_000_000, 5]), at(1.0))
    assert rule.prices(at(1.5)) == alone.prices(at(1.5))
    rule.see(np.array([1]), np.array([at(0.0)]), np.array([6_000_000]), at(1.6))
    told(alone, 1, 3.0, 0.6)
    assert rule.prices(at(1.7)) == alone.prices(at(1.7))


def test_threads_may_tell_and_ask_at_once() -> None:
    rule = rule_of(rate=2.0, c1=Campaign(daily_budget=50.0), c2=Campaign(daily_budget=50.0, min_roas=1.0))
    parts = [random_shown(seed) for seed in range(40)]
    halves = (parts[:20], parts[20:])
    threads = [threading.Thread(target=lambda some=some: [rule.tell(one) for one in some]) for some in halves]
    for thread in threads:
        thread.start()
    slate: Slate = slate_of([5.0, 4.0], [1.0, 1.0])
    for _ in range(50):
        assert np.isfinite(rule.apply(slate).score).all()
    for thread in threads:
        thread.join()
    whole = rule_of(c1=Campaign(daily_budget=50.0), c2=Campaign(daily_budget=50.0))
    for one in parts:
        whole.tell(one)
    assert np.array_equal(whole.snapshot()["sums"], rule.snapshot()["sums"])


def test_campaigns_are_named_by_id() -> None:
    rule = Rule(Config({"k1": Campaign(daily_budget=1.0)}))
    after = rule.apply(slate_of([5.0], [2.0], campaign_key=[hash_id("k1")]))
    assert after.said == {"budget": {"k1": "its budget is spent"}}


def test_a_profile_has_24_hours() -> None:
    with pytest.raises(SettingError, match=r"profile .* it needs 24 numbers, not all of them 0"):
        Config({}, profile=(1.0, 2.0))
    with pytest.raises(SettingError, match="not all of them 0"):
        Config({}, profile=tuple([0.0] * 24))


@pytest.mark.parametrize(("thin", "least"), [(200, 1.9), (800, 4.7)])
def test_returns_asked_of_each_channel_can_cost_any_part_and_budgets_of_each_need_not(thin: int, least: float) -> None:
    """The counter-example of Deng et al. 2023, Multi-channel Autobidding: two channels, and 1.5 asked of both together.

    A rich channel returns 3 for 1, a thin one 1.4. Together the first pays for the second. 1.5 asked of each
    leaves the thin one out, so that more is lost the more of it there is. Budgets of each lose nothing.
    """
    rich, whole = 100, 3.0 * 100 + 1.4 * thin
    channels = [1] * rich + [2] * thin

    def bought(key_of: Mapping[int, int], **campaigns: Campaign) -> tuple[float, float]:
        rule, revenue, cost = rule_of(**campaigns), 0.0, 0.0
        for place, channel in enumerate(channels):
            hour, brings = 20 * place / len(channels), 3.0 if channel == 1 else 1.4
            slate = slate_of([brings], [1.0], campaign_key=[key_of[channel]], time_us=at(hour))
            if rule.apply(slate).order.size:
                told(rule, key_of[channel], 1.0, hour, brings)
                revenue, cost = revenue + brings, cost + 1.0
        return revenue, cost

    alike, apart = {1: 1, 2: 1}, {1: 1, 2: 2}
    assert bought(alike, c1=Campaign(min_roas=1.5)) == pytest.approx((whole, rich + thin))
    of_each, _ = bought(apart, c1=Campaign(min_roas=1.5), c2=Campaign(min_roas=1.5))
    assert whole / of_each > least
    by_budgets = bought(apart, c1=Campaign(daily_budget=rich), c2=Campaign(daily_budget=thin))
    assert by_budgets == pytest.approx((whole, rich + thin))
    assert by_budgets[0] >= 1.5 * by_budgets[1]
