"""The order of moments: every one once, each user's in time order, requests tick by tick."""

import numpy as np
import pytest

from rosa_ray.arena.schedule import draw_population, rounds_of
from rosa_ray.simulation import build_world, simulate_chunk
from rosa_ray.units import HOUR_US, MINUTE_US
from tests.arena.worlds import SMALL

TICK_US = 5 * MINUTE_US


@pytest.fixture(scope="module")
def population():
    return draw_population(SMALL, build_world(SMALL))


@pytest.fixture(scope="module")
def rounds(population):
    return list(rounds_of(population[1], SMALL.start_us, TICK_US))


def test_users_and_requests_are_those_of_the_simulated_log(population):
    users, moments = population
    logs = [simulate_chunk(SMALL, build_world(SMALL), chunk) for chunk in range(SMALL.chunks)]
    assert len(users) == SMALL.users
    np.testing.assert_array_equal(users.budget_N, np.concatenate([log.users.budget_N for log in logs]))
    requests = np.concatenate(
        [np.stack([log.users.first_id + log.requests["row"], log.requests["time_us"]]) for log in logs], 1
    )
    ours = np.stack([moments.user, moments.time_us])[:, moments.is_request]
    np.testing.assert_array_equal(ours, requests[:, np.lexsort(requests[::-1])])


def test_every_moment_comes_once_and_a_users_in_time_order(population, rounds):
    moments = population[1]
    walked = np.concatenate([part.moments for part in rounds])
    assert np.array_equal(np.sort(walked), np.arange(len(moments.user)))
    of_user = walked[np.argsort(moments.user[walked], kind="stable")]
    assert np.array_equal(of_user, np.arange(len(walked)))


def test_a_round_has_distinct_users_of_one_kind(population, rounds):
    moments = population[1]
    for part in rounds:
        assert (np.diff(part.rows) > 0).all()
        assert np.array_equal(moments.user[part.moments], part.rows)
        assert (moments.is_request[part.moments] == part.is_request).all()


def test_requests_come_in_the_order_of_ticks(population, rounds):
    moments = population[1]
    ticks = [(moments.time_us[part.moments] - SMALL.start_us) // TICK_US for part in rounds if part.is_request]
    assert all(np.ptp(tick) == 0 for tick in ticks)
    firsts = np.array([tick[0] for tick in ticks])
    assert (np.diff(firsts) >= 0).all()


def test_longer_ticks_have_fewer_rounds(population, rounds):
    hourly = list(rounds_of(population[1], SMALL.start_us, HOUR_US))
    assert sum(part.is_request for part in hourly) < 0.7 * sum(part.is_request for part in rounds)
