"""Whom campaigns reach: prices worked out by hand, counts that merge, and noise that hides one user."""

from dataclasses import replace

import numpy as np
import pytest

from rosa_ray.metrics.scores import Ranking
from rosa_ray.policy.slate import Slate, decide
from rosa_ray.policy.steps.fairness import MOST_GROUPS, Config, Rule
from rosa_ray.schema.keys import hash_id
from tests.policy.slates import at, equal, slate_of

NORTH, SOUTH = 0, 2
FIRST, SECOND = 10, 20
"""Campaigns whose counts are read when a batch of ten is full; others have their turn within the next one."""
QUIET = {"noise": 0.0, "batch": 10, "strength": 0.5, "most": 100.0, "tolerance": 0.0}
MEAN = 3.5
"""Mean revenue of a first place where both campaigns are first equally often."""


def asked(
    group: int | None, campaign: tuple[int, int] = (FIRST, SECOND), day: int = 20_000, at_hour: float = 0.0
) -> Slate:
    """A request with an ad of each of two campaigns, of which the first brings more."""
    audience = {} if group is None else {"region": group}
    return slate_of([4.0, 3.0], [1.0, 1.0], campaign_key=list(campaign), audience=audience, time_us=at(at_hour, day))


def answer(rule: Rule, slate: Slate, first: int = 0) -> None:
    rule.answered(replace(slate, drawn=first), slate.time_us)


def skewed(rule: Rule, requests: int = 60) -> Rule:
    """Half of the requests are from the north, where the first campaign is always first; in the south never."""
    for number in range(requests):
        answer(rule, asked(NORTH if number % 2 else SOUTH), first=0 if number % 2 else 1)
    return rule


def test_every_first_place_that_a_group_lacks_adds_the_same_price() -> None:
    rule = skewed(Rule(Config(**QUIET)))
    # Of 30 first places 15 are due in the north, where all are, and 15 in the south, where none is. A batch has 5
    # first places, so that each one lacking adds a tenth of the mean revenue.
    north, south = (rule.apply(asked(group)) for group in (NORTH, SOUTH))
    assert north.score[0] == pytest.approx(3.0 - 15 * 0.1 * MEAN)
    assert south.score[0] == pytest.approx(3.0 + 15 * 0.1 * MEAN)
    # The second campaign is first in the south alone.
    assert north.score[1] == pytest.approx(2.0 + 15 * 0.1 * MEAN)
    assert north.said == {"fairness": {"per": "region", "moved": 2}}
    assert north.order.tolist() == [1, 0]


def test_without_noise_a_group_that_is_served_as_it_asks_keeps_its_score() -> None:
    """The west has two of every six requests, and two of the first campaign's three places."""
    rule, west = Rule(Config(**QUIET)), 3
    for number in range(60):
        group = (NORTH, SOUTH, west)[number // 2 % 3]
        answer(rule, asked(group), first=int(group == SOUTH or (group == west and number % 2)))
    assert rule.apply(asked(west)).score[0] == 3.0
    assert rule.apply(asked(NORTH)).score[0] < 3.0


def test_a_price_is_bounded_to_both_sides() -> None:
    rule = skewed(Rule(Config(**QUIET | {"most": 0.5})))
    assert rule.apply(asked(NORTH)).score[0] == pytest.approx(3.0 - 0.5 * MEAN)
    assert rule.apply(asked(SOUTH)).score[0] == pytest.approx(3.0 + 0.5 * MEAN)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_the_defaults_even_out_at_little_more_than_the_least_loss(spread: float) -> None:
    """Against the best choice that gives the first campaign equally many first places in both groups."""
    count, rng, rule = 12_000, np.random.default_rng(0), Rule(Config())
    south = np.arange(count) % 2 == 1
    gain = np.where(south, -0.6, 0.6) + rng.normal(0, spread, count)  # of the first campaign over the second
    chosen = np.zeros(count, bool)
    for row in range(count):
        slate = asked(SOUTH if south[row] else NORTH, at_hour=20 * row / count)
        slate = replace(slate, revenue=np.array([4 + gain[row], 4.0]), score=np.array([3 + gain[row], 3.0]))
        chosen[row] = decide([rule], slate, slate.time_us).order[0] == 0
    late = np.arange(count) >= count // 2
    best = [np.cumsum(np.sort(gain[late & group])[::-1]) for group in (south, ~south)]
    even, free = (best[0] + best[1]).max(), gain[late & (gain > 0)].sum()
    share = (chosen & late & south).sum() / (chosen & late).sum()
    assert abs(share - 0.5) < 0.08
    assert gain[late & chosen].sum() > even - 0.1 * (free - even) - 0.02 * free


def test_a_score_of_a_thousand_impressions_has_prices_of_a_thousand() -> None:
    rule = skewed(Rule(Config(**QUIET)))
    ranking = Ranking("ecpm")
    slate = replace(asked(NORTH), score=np.array([4000.0, 3000.0]), per_revenue=ranking.per_revenue)
    assert rule.apply(slate).score[0] == pytest.approx(4000 - 1000 * 15 * 0.1 * MEAN)


def test_what_is_worth_counts_where_only_other_campaigns_were_asked() -> None:
    one, other = (Rule(Config(campaigns=("loans",), **QUIET)) for _ in range(2))
    answer(one, asked(NORTH))
    other.merge(one.snapshot())
    assert other.snapshot()["worth_first"].tolist() == [1]
    assert equal(one.snapshot(), other.snapshot())


def test_a_revenue_that_is_no_number_is_worth_nothing() -> None:
    rule = Rule(Config(**QUIET))
    answer(rule, replace(asked(NORTH), revenue=np.array([np.nan, 3.0])))
    assert len(rule.snapshot()["worth_day"]) == 0
    assert rule.snapshot()["first"].tolist() == [1, 0]


def test_a_campaign_near_its_audience_is_left_alone() -> None:
    # Half of the 30 places would have to go south.
    for tolerance, moves in ((0.49, True), (0.51, False)):
        rule = skewed(Rule(Config(**QUIET | {"tolerance": tolerance})))
        assert (rule.apply(asked(NORTH)).score[0] != 3.0) == moves


@pytest.mark.parametrize(("rounds", "most"), [(2, 0.25), (5, 0.1), (20, 0.01), (100, 0.0)])
def test_noise_alone_moves_little(rounds: int, most: float) -> None:
    """Eight groups that are served as they ask, over many seeds: whose score a price moves by a twentieth or more."""
    moved = []
    for seed in range(60):
        rule = Rule(Config(seed=seed, batch=8))
        for number in range(16 * rounds):
            answer(rule, asked(1 + number % 8, (8, 16)), first=int(number // 8 % 2))
        moved += [abs(rule.apply(asked(one, (8, 16))).score[0] - 3.0) > 0.05 * 4 for one in range(1, 9)]
    assert np.mean(moved) <= most


def test_counts_are_read_once_a_batch_is_full_and_campaigns_take_turns() -> None:
    rule = Rule(Config(**QUIET))
    other = 13
    for number in range(40):
        answer(rule, asked(NORTH if number % 2 else SOUTH, (FIRST, other)), first=0 if number % 2 else 1)
        seen = [rule.apply(asked(NORTH, (FIRST, other))).score[at] != score for at, score in ((0, 3.0), (1, 2.0))]
        assert seen == [number >= 9, number >= 16]


def test_a_request_that_says_no_group_is_left_alone_and_not_counted() -> None:
    rule = skewed(Rule(Config(**QUIET)))
    before = rule.snapshot()
    answer(rule, asked(None))
    assert equal(rule.snapshot(), before)
    slate = asked(None)
    assert rule.apply(slate) is slate


def test_only_named_campaigns_are_evened_out() -> None:
    keys = hash_id("loans"), hash_id("shoes")
    rule = Rule(Config(campaigns=("loans",), **QUIET))
    for number in range(60):
        answer(rule, asked(NORTH if number % 2 else SOUTH, keys), first=number % 2)
    after = rule.apply(asked(NORTH, keys))
    assert after.score[0] != 3.0
    assert after.score[1] == 2.0


def test_days_that_are_too_old_do_not_count() -> None:
    rule = skewed(Rule(Config(memory_days=2, **QUIET)))
    for _ in range(3):
        answer(rule, asked(NORTH, day=20_002))
        answer(rule, asked(NORTH, day=20_000))
    assert rule.snapshot()["day"].tolist() == [20_002] * 2
    assert rule.snapshot()["requests"].tolist() == [3, 3]


def test_what_is_forgotten_decides_nothing_and_takes_no_room() -> None:
    rule = skewed(Rule(Config(memory_days=2, **QUIET)))
    assert rule.apply(asked(NORTH)).score[0] != 3.0
    answer(rule, asked(None, day=20_009))
    answer(rule, asked(NORTH, (30, 40), day=20_009))
    assert rule.apply(asked(NORTH)).score[0] == 3.0
    assert rule.snapshot()["campaign_key"].tolist() == [30, 40]


def test_callers_cannot_name_groups_without_end() -> None:
    rule = Rule(Config(**QUIET))
    for group in range(MOST_GROUPS + 9):
        answer(rule, asked(group))
    assert len(set(rule.snapshot()["group"].tolist())) == MOST_GROUPS
    answer(rule, asked(0))
    assert rule.snapshot()["requests"].max() == 2


def test_two_replicas_together_know_what_one_would() -> None:
    whole, one, other = (Rule(Config(**QUIET | {"noise": 3.0})) for _ in range(3))
    for number in range(60):
        slate = asked(NORTH if number % 2 else SOUTH)
        for rule in (whole, one if number % 3 else other):
            answer(rule, slate, first=0 if number % 2 else 1)
    one.merge(other.snapshot())
    assert equal(one.snapshot(), whole.snapshot())
    for group in (NORTH, SOUTH):
        assert one.apply(asked(group)).score.tolist() == whole.apply(asked(group)).score.tolist()


def test_noise_moves_prices_by_seed_and_no_more_however_large_counts_are() -> None:
    def price(noise: float, seed: int, requests: int) -> float:
        rule = skewed(Rule(Config(**QUIET | {"noise": noise, "seed": seed})), requests)
        return float(rule.apply(asked(NORTH)).score[0] - 3.0)

    assert price(2.0, 1, 60) != price(2.0, 2, 60)
    assert price(2.0, 1, 60) == price(2.0, 1, 60)
    assert price(2.0, 1, 2000) == pytest.approx(price(0.0, 1, 2000), rel=0.02)
    assert price(50.0, 1, 60) == 0


def test_a_campaign_that_won_nothing_is_no_division_by_zero() -> None:
    rule = Rule(Config(**QUIET | {"noise": 1000.0}))
    for number in range(200):
        answer(rule, asked(number % 5 or None), first=1)
    assert np.isfinite(rule.apply(asked(1)).score).all()


def test_a_chain_tells_it_of_answers() -> None:
    rule = Rule(Config(**QUIET))
    decide([rule], asked(NORTH), at())
    assert rule.snapshot()["first"].tolist() == [1, 0]
