"""Law `market`: prices follow hour and campaign, auctions are lost where the bid is below them, and money is right."""

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.settings import Tagged
from rosa_ray.simulation import SimulationConfig, build_world
from rosa_ray.simulation.auction import draw_offers, settle
from rosa_ray.simulation.keyed_random import KeyedPlaces
from rosa_ray.simulation.laws import law_module
from rosa_ray.simulation.laws.law import enact
from rosa_ray.simulation.laws.market import HOUR_LEVEL, Config
from rosa_ray.simulation.state import UserState
from rosa_ray.simulation.users import draw_users
from tests.simulation.logs import SMALL, write_log


@pytest.fixture(scope="module")
def log():
    return write_log(SMALL, chunks=[0, 1], laws=(Tagged("market", Config()),))


def test_a_lost_auction_shows_nothing_and_costs_nothing(log, numpy_of):
    requests = sum(len(np.unique(chunk["candidates"]["request_id"])) for chunk in log.chunks)
    late = int((numpy_of(log.impressions, "request_time") >= log.config.policy_start_us).sum())
    assert 0.3 * requests < late < 0.9 * requests
    assert (numpy_of(log.impressions, "cost") <= numpy_of(log.impressions, "bid") + 1e-12).all()


def test_the_truth_knows_how_often_a_bid_wins(log):
    truth = log.truth.filter(pa.compute.is_in(log.truth["impression_id"], log.candidates["impression_id"]))
    weight = truth["propensity"].to_numpy() * truth["oracle_market_win"].to_numpy()
    late = log.impressions.filter(
        pa.compute.is_in(log.impressions["request_id"], pa.compute.unique(log.candidates["request_id"]))
    )
    assert abs(weight.sum() - late.num_rows) < 4 * np.sqrt(weight.sum())


def test_the_profile_is_the_mean_over_campaigns():
    config = SimulationConfig(laws=(Tagged("market", Config()),), days=60, campaigns=60)
    law = law_module("market").Law(config.laws[0], config, build_world(config), np.zeros(0, int), 0)
    by_hour = law.factor_MH.reshape(len(law.factor_MH), -1, 24).mean(axis=(0, 1))
    np.testing.assert_allclose(by_hour / by_hour.mean(), HOUR_LEVEL / HOUR_LEVEL.mean(), rtol=0.01)
    assert np.log(law.factor_MH).std() == pytest.approx(0.21, abs=0.05)


def test_what_is_won_costs_what_was_expected():
    config = SimulationConfig(laws=(Tagged("market", Config()),), users=2000, chunk_users=2000, days=2)
    world, rng = build_world(config), np.random.default_rng(3)
    users, state = draw_users(config, world, 0, 2000, rng), UserState(2000, world)
    laws, hour = enact(config, world, np.zeros(2000, int)), rng.uniform(0, 48, 2000)
    offers = draw_offers(config, state, users, laws, np.arange(2000), hour, rng, KeyedPlaces(1))
    slots = offers.ad_NK.shape[1]
    won, cost = np.zeros(offers.ad_NK.shape, bool), np.zeros(offers.ad_NK.shape)
    for slot in range(slots):
        outcomes = settle(world, offers, np.full(2000, slot), rng)
        won[:, slot], cost[:, slot] = outcomes.won_N, outcomes.cost_N
    expected = offers.win_rate_NK * offers.expected_cost_NK
    assert abs(won.mean() - offers.win_rate_NK.mean()) < 4 * 0.5 / np.sqrt(won.size)
    assert cost.sum() == pytest.approx(expected.sum(), rel=0.03)
    assert not cost[~won].any()


def test_no_choice_is_no_auction():
    config = SimulationConfig(users=50, chunk_users=50, days=2)
    world, rng = build_world(config), np.random.default_rng(3)
    users, state = draw_users(config, world, 0, 50, rng), UserState(50, world)
    laws, hour = enact(config, world, np.zeros(50, int)), np.full(50, 9.0)
    offers = draw_offers(config, state, users, laws, np.arange(50), hour, rng, KeyedPlaces(1))
    outcomes = settle(world, offers, np.full(50, -1), rng)
    assert not np.stack([outcomes.won_N, outcomes.click_N, outcomes.cost_N]).any()
