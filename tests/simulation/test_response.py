"""The truth rewards order, behaviour, recency and match; each test compares two pasts that differ in one thing."""

import dataclasses

import numpy as np
import pytest

from rosa_ray.schema import Behavior
from rosa_ray.simulation import SimulationConfig, build_world
from rosa_ray.simulation.response import click_logit, conversion_logit, read_signals
from rosa_ray.simulation.state import UserState, fade
from rosa_ray.simulation.users import draw_users

CONFIG = SimulationConfig(users=1, items=1200, ads=600)
WORLD = dataclasses.replace(build_world(CONFIG), promotion_CH=np.zeros((60, 14 * 24), dtype=bool))
USERS = draw_users(CONFIG, WORLD, 0, 1, np.random.default_rng(1))
AD = int(np.flatnonzero(WORLD.ad_category_A == 0)[0])
ITEM = int(WORLD.ad_item_A[AD])
VIEW, CART, BUY = int(Behavior.VIEW), int(Behavior.CART), int(Behavior.PURCHASE)
NOW_H = 60.0


def _item(category: int, style: int, nth: int = 0) -> int:
    return int(np.flatnonzero((WORLD.item_category_I == category) & (WORLD.item_style_I == style))[nth])


STYLE = int(WORLD.item_style_I[ITEM])
SAME_STYLE = next(item for item in (_item(0, STYLE, nth) for nth in range(2)) if item != ITEM)
OTHER_STYLE = _item(0, (STYLE + 1) % 4)
ELSEWHERE = _item(7, 0)


def _logits(past: list[tuple[float, int, int]], shown: int = 0, ad: int = AD) -> tuple[float, float]:
    """Click and conversion logit of `ad` at NOW_H after (hour, item, behaviour) events and `shown` exposures."""
    state = UserState(1, WORLD)
    row = np.zeros(1, dtype=int)
    for hour, item, behavior in past:
        state.fold(row, np.array([hour]), np.array([item]), np.array([behavior]))
    for _ in range(shown):
        state.expose(row, np.array([NOW_H - 1]), np.array([ad]))
    now, ads = np.array([NOW_H]), np.array([[ad]])
    signals = read_signals(state, USERS, row, now, ads)
    arguments = (signals, WORLD, USERS, row, now, np.zeros(1, dtype=int), ads)
    return click_logit(*arguments).item(), conversion_logit(*arguments).item()


def test_category_match_raises_the_click():
    assert _logits([(50, SAME_STYLE, VIEW)])[0] > _logits([(50, ELSEWHERE, VIEW)])[0] + 0.1


def test_cart_counts_for_more_than_view():
    click_of_cart, buy_of_cart = _logits([(50, SAME_STYLE, CART)])
    click_of_view, buy_of_view = _logits([(50, SAME_STYLE, VIEW)])
    assert click_of_cart > click_of_view + 0.3
    assert buy_of_cart > buy_of_view + 0.3


@pytest.mark.parametrize("behavior", [VIEW, CART])
def test_older_counts_for_less(behavior):
    clicks = [_logits([(NOW_H - age, SAME_STYLE, behavior)])[0] for age in (1, 6, 24, 48)]
    assert clicks == sorted(clicks, reverse=True)
    assert clicks[0] > clicks[-1] + 0.2


def test_style_and_item_match_raise_the_click():
    same_item, same_style, other = (_logits([(58, item, VIEW)])[0] for item in (ITEM, SAME_STYLE, OTHER_STYLE))
    assert same_item > same_style > other + 0.3


def test_order_of_cart_and_purchase_matters():
    stilled = _logits([(50, SAME_STYLE, CART), (52, SAME_STYLE, BUY)])
    wanting = _logits([(50, SAME_STYLE, BUY), (52, SAME_STYLE, CART)])
    assert wanting[0] > stilled[0] + 0.5
    assert wanting[1] > stilled[1] + 0.5


def test_order_of_views_alone_matters():
    other_again = _item(0, (STYLE + 1) % 4, 1)
    third = next(i for i in (_item(0, STYLE, nth) for nth in range(4)) if i not in (ITEM, SAME_STYLE))
    decided = [(56, OTHER_STYLE, VIEW), (57, other_again, VIEW), (58, third, VIEW), (59, SAME_STYLE, VIEW)]
    hours = [hour for hour, _, _ in decided]
    wavering = [(hour, decided[place][1], VIEW) for hour, place in zip(hours, (0, 2, 1, 3), strict=True)]
    assert _logits(decided)[0] > _logits(wavering)[0] + 0.2


def test_purchase_calls_the_complement_but_not_the_reverse():
    source = next(c for c in range(60) if 0 in WORLD.complement_C2[c] and c not in WORLD.complement_C2[0])
    bought_source = _logits([(55, _item(source, 0), BUY)])[0]
    assert bought_source > _logits([(55, ELSEWHERE, BUY)])[0] + 0.2
    ad_of_source = int(np.flatnonzero(WORLD.ad_category_A == source)[0])
    unrelated = _logits([(55, ELSEWHERE, BUY)], ad=ad_of_source)[0]
    assert _logits([(55, ITEM, BUY)], ad=ad_of_source)[0] == pytest.approx(unrelated, abs=1e-6)


def test_repeated_exposure_tires():
    clicks = [_logits([(58, SAME_STYLE, VIEW)], shown=shown)[0] for shown in range(4)]
    assert clicks == sorted(clicks, reverse=True)


def test_forgetting_is_a_power_law():
    age = np.array([1e3, 1e4])
    ratio = fade(age, 1.0, 0.6)[1] / fade(age, 1.0, 0.6)[0]
    assert ratio == pytest.approx(10**-0.6, rel=0.01)
