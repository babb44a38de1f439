"""Law `groups`: a region likes what it likes in all chunks, in clicks and in what its users look at."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from rosa_ray.arena import Arena, ArenaConfig, Ledger, parse_player
from rosa_ray.settings import Tagged
from rosa_ray.simulation import build_world
from rosa_ray.simulation.laws.groups import Config, Law
from rosa_ray.simulation.laws.law import NO_STYLE
from tests.arena.worlds import SMALL as SMALL_ARENA
from tests.simulation.logs import SMALL, log_of_law

WORLD = build_world(SMALL)
GROUPS = Tagged("groups", Config())


def law_of(regions: list[int], chunk: int = 0, strength: float = 1.0) -> Law:
    return Law(Tagged("groups", Config(strength)), SMALL, WORLD, np.array(regions), chunk)


def test_all_chunks_share_the_tastes_and_users_of_a_region_have_the_same():
    one, other = law_of([0, 3, 3]), law_of([3], chunk=1)
    assert np.array_equal(one.campaign_GM, other.campaign_GM)
    ads = np.arange(12).reshape(1, 12)
    rows, hour = np.array([1, 2]), np.zeros(2)
    pull = one.pull(rows, hour, np.repeat(ads, 2, axis=0))
    assert np.array_equal(pull.click_NK[0], pull.click_NK[1])
    assert np.array_equal(pull.click_NK[:1], other.pull(np.array([0]), hour[:1], ads).click_NK)
    elsewhere = one.pull(np.array([0]), hour[:1], ads)
    assert not np.isclose(elsewhere.click_NK, pull.click_NK[:1]).any()
    assert not np.isclose(elsewhere.conversion_NK, pull.conversion_NK[:1]).any()


def test_a_region_buys_as_readily_whatever_the_ad():
    pull = law_of([5]).pull(np.array([0]), np.zeros(1), np.arange(12).reshape(1, 12))
    assert np.ptp(pull.conversion_NK) == 0
    assert pull.untold_click_NK is None


def test_a_share_of_the_events_goes_where_the_region_likes_to():
    law, count = law_of([2] * 20_000), 20_000
    rows, hour, style = np.arange(count), np.zeros(count), np.full(count, 1)
    asked = np.full(count, 4)
    category, asked_style = law.steer(rows, hour, asked, style)
    moved = category != asked
    assert 0.1 < moved.mean() < 0.2
    assert (asked_style[moved] == NO_STYLE).all()
    assert (asked_style[~moved] == 1).all()
    liked = np.argmax(WORLD.popularity_C * np.exp(2 * law.category_GC[2]))
    assert np.bincount(category[moved]).argmax() == liked


def test_regions_of_the_log_click_differently():
    log = log_of_law("groups")
    shown = log.impressions
    rates = [
        pc.mean(pc.cast(shown.filter(pc.equal(shown["region"], region))["click"], "int8")).as_py()
        for region in pc.unique(shown["region"]).to_pylist()
    ]
    assert max(rates) > 1.2 * min(rates)


def test_fewer_campaigns_are_near_their_audience():
    simulation = replace(SMALL_ARENA, users=600, chunk_users=600)

    def ledger(laws: tuple[Tagged, ...]) -> Ledger:
        arena = Arena(replace(simulation, laws=laws), ArenaConfig(days=1, tick_minutes=60))
        return arena.play(parse_player("profit@true")).ledger

    assert ledger((GROUPS,)).near_audience < ledger(()).near_audience
