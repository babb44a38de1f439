"""What the dense features say, on a log small enough to count by hand."""

import math

import numpy as np
import pytest

from rosa_ray.features import FeatureConfig, dense_names, expected_cost, fold_events, fold_impressions, read_dense
from rosa_ray.units import HOUR_US, MINUTE_US

CONFIG = FeatureConfig(views=("user_events", "ad_impressions"), prior_impressions=10, prior_ctr=0.1, prior_cvr=0.5)
USER, ITEM, CATEGORY, AD, CAMPAIGN = 1, 2, 3, 4, 5


def request(time_us: int, **keys: int) -> dict[str, np.ndarray]:
    names = {"user_key": USER, "item_key": ITEM, "category_key": CATEGORY, "ad_key": AD, "campaign_key": CAMPAIGN}
    columns = {name: np.array([keys.get(name, key)]) for name, key in names.items()}
    return {**columns, "time_us": np.array([time_us]), "bid": np.array([2.0])}


def events(*times_and_codes: tuple[int, int]) -> dict[str, np.ndarray]:
    times, codes = zip(*times_and_codes, strict=True)
    keys = {"user_key": USER, "item_key": ITEM, "category_key": CATEGORY}
    return {
        **{name: np.full(len(times), key) for name, key in keys.items()},
        "time_us": np.array(times),
        "behavior": np.array(codes, np.int8),
    }


def shown(times: list[int], click: list[int], conversion: list[int], later_us: int = 0) -> dict[str, np.ndarray]:
    keys = {"user_key": USER, "ad_key": AD, "campaign_key": CAMPAIGN}
    return {
        **{name: np.full(len(times), key) for name, key in keys.items()},
        "time_us": np.array(times),
        "conversion_time_us": np.array(times) + later_us,
        "click": np.array(click),
        "conversion": np.array(conversion),
        "bid": np.full(len(times), 2.0),
        "cost": np.full(len(times), 1.0),
    }


def read(states: dict, when: dict[str, np.ndarray]) -> dict[str, float]:
    return dict(zip(dense_names(CONFIG), read_dense(states, when, CONFIG)[0].tolist(), strict=True))


def test_user_events_count_by_behaviour_and_window() -> None:
    states = fold_events(events((0, 0), (10, 0), (30 * HOUR_US, 3)), CONFIG)
    at_32h = read(states, request(32 * HOUR_US))
    assert at_32h["user_events.24h.log1p_view"] == 0
    assert at_32h["user_events.168h.log1p_view"] == pytest.approx(math.log(3))
    assert at_32h["user_events.24h.log1p_purchase"] == pytest.approx(math.log(2))


def test_an_event_in_the_open_bucket_is_not_read_yet() -> None:
    states = fold_events(
        events(
            (5 * MINUTE_US, 2),
        ),
        CONFIG,
    )
    open_, closed = request(64 * MINUTE_US), request(65 * MINUTE_US)
    assert read(states, open_)["user_events.all.log1p_cart"] == 0
    assert read(states, closed)["user_events.all.log1p_cart"] == pytest.approx(math.log(2))


def test_rates_are_smoothed_and_missing_without_a_denominator() -> None:
    states = fold_impressions(shown([0, 1, 2], click=[1, 0, 0], conversion=[1, 0, 0]), CONFIG)
    known = read(states, request(2 * HOUR_US))
    assert known["ad_impressions.all.log_ctr"] == pytest.approx(math.log((1 + 1) / (3 + 10)))
    assert known["ad_impressions.all.log_cvr"] == pytest.approx(math.log((1 + 0.5) / (1 + 1)))
    unknown = read(states, request(2 * HOUR_US, ad_key=99))
    assert math.isnan(unknown["ad_impressions.all.log_ctr"])
    assert unknown["ad_impressions.all.log1p_impressions"] == 0


def test_a_conversion_counts_when_it_happens_not_when_the_ad_was_shown() -> None:
    states = fold_impressions(shown([0], click=[1], conversion=[1], later_us=10 * HOUR_US), CONFIG)
    prior = (0.5) / (1 + 1)
    assert read(states, request(9 * HOUR_US))["ad_impressions.all.log_cvr"] == pytest.approx(math.log(prior))
    late = read(states, request(12 * HOUR_US))["ad_impressions.all.log_cvr"]
    assert late == pytest.approx(math.log((1 + 0.5) / (1 + 1)))


def test_expected_cost_goes_from_the_bid_to_the_seen_ratio() -> None:
    nothing = expected_cost({}, request(HOUR_US), CONFIG)
    assert nothing.tolist() == [2.0]
    states = fold_impressions(shown([0] * 1000, [0] * 1000, [0] * 1000), CONFIG)
    assert expected_cost(states, request(2 * HOUR_US), CONFIG)[0] == pytest.approx(1.0, rel=0.02)


def test_reading_many_requests_equals_reading_each_alone() -> None:
    rng = np.random.default_rng(3)
    states = fold_events(
        events(
            *[
                (int(t), int(b))
                for t, b in zip(rng.integers(0, 300 * HOUR_US, 200), rng.integers(0, 4, 200), strict=True)
            ]
        ),
        CONFIG,
    )
    times = rng.integers(0, 400 * HOUR_US, 50)
    parts = [request(int(time)) for time in times]
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    whole = read_dense(states, together, CONFIG)
    alone = np.concatenate([read_dense(states, part, CONFIG) for part in parts])
    np.testing.assert_array_equal(whole, alone)
