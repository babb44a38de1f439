"""Exposure on real timelines: who gets requests, what stands beside the positive, and what converts."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.errors import ConfigError, InputError
from rosa_ray.schema import ADS, EVENTS, IMPRESSIONS
from rosa_ray.simulation import ExposureConfig, build_exposure
from rosa_ray.simulation.keyed_random import hash_uniform

MIDNIGHT = datetime(2017, 11, 25, 16, tzinfo=UTC)
"""Start of 26 November in China."""


def _events(rows: list[tuple[str, str, str, datetime]], category: str = "c") -> pa.Table:
    """Rows of (user, item, behaviour, time); the category of item `x7` is the number modulo 5."""
    return pa.table(
        {
            "event_id": [f"e{n:04d}" for n in range(len(rows))],
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "behavior": [row[2] for row in rows],
            "event_time": pa.array([row[3] for row in rows], EVENTS.schema.field("event_time").type),
            "category": [f"{category}{int(row[1][1:]) % 5}" for row in rows],
            "price": pa.nulls(len(rows), pa.float64()),
        },
        schema=EVENTS.schema,
    )


def _random_rows(seed: int, users: int = 12, events: int = 20) -> list[tuple[str, str, str, datetime]]:
    rng = np.random.default_rng(seed)
    return [
        (
            f"u{user}",
            f"i{rng.integers(0, 40)}",
            str(rng.choice(["view", "cart", "purchase"], p=[0.7, 0.15, 0.15])),
            MIDNIGHT + timedelta(minutes=int(rng.integers(0, 6 * 24 * 60))),
        )
        for user in range(users)
        for _ in range(int(rng.integers(3, events)))
    ]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_requests_agree_with_a_naive_reading(seed):
    events = _events(_random_rows(seed))
    impressions, ads = build_exposure(events, ExposureConfig())
    checked, violations = IMPRESSIONS.check(impressions, "impressions")
    assert (checked.select(impressions.column_names), violations) == (impressions, [])
    checked, violations = ADS.check(ads, "ads")
    assert (checked.select(ads.column_names), violations) == (ads, [])
    by_user: dict[str, list[dict]] = {}
    for row in sorted(events.to_pylist(), key=lambda row: (row["user_id"], row["event_time"], row["event_id"])):
        by_user.setdefault(row["user_id"], []).append(row)
    expected = {f"r-{row['event_id']}": row for rows in by_user.values() if len(rows) >= 8 for row in rows[5:]}
    requests: dict[str, list[dict]] = {}
    for row in impressions.to_pylist():
        requests.setdefault(row["request_id"], []).append(row)
    assert requests.keys() == expected.keys()
    for name, rows in requests.items():
        _check_request(rows, expected[name], by_user)


def _check_request(rows: list[dict], positive: dict, by_user: dict[str, list[dict]]) -> None:
    (clicked,) = [row for row in rows if row["click"]]
    assert clicked["ad_id"] == positive["item_id"]
    assert {row["request_time"] for row in rows} == {positive["event_time"]}
    assert {row["user_id"] for row in rows} == {positive["user_id"]}
    assert len({row["ad_id"] for row in rows}) == len(rows) <= 5
    assert [row["position"] for row in rows] == list(range(len(rows)))
    day = (positive["event_time"] + timedelta(hours=8)).date()
    of_others = {
        row["item_id"]
        for user, events in by_user.items()
        if user != positive["user_id"]
        for row in events
        if (row["event_time"] + timedelta(hours=8)).date() == day
    }
    assert {row["ad_id"] for row in rows if not row["click"]} <= of_others
    later = [
        row["event_time"]
        for row in by_user[positive["user_id"]]
        if row["behavior"] == "purchase"
        and row["category"] == positive["category"]
        and timedelta() <= row["event_time"] - positive["event_time"] <= timedelta(days=3)
    ]
    assert clicked["conversion"] == bool(later)
    assert clicked["conversion_time"] == (min(later) if later else None)
    assert (clicked["revenue"] > 0) == bool(later)
    assert all(row["revenue"] == 0 and not row["conversion"] for row in rows if not row["click"])


def test_row_order_and_repeats_of_the_input_do_not_matter():
    events = _events(_random_rows(3))
    impressions, ads = build_exposure(events, ExposureConfig())
    shuffled = pa.concat_tables([events, events.slice(0, 30)]).take(
        np.random.default_rng(0).permutation(len(events) + 30)
    )
    again, ads_again = build_exposure(shuffled, ExposureConfig())
    assert again.equals(impressions)
    assert ads_again.sort_by("ad_id").equals(ads.sort_by("ad_id"))
    other, _ = build_exposure(events, ExposureConfig(seed=8))
    assert not other.equals(impressions)


def test_nothing_but_history_tells_the_positive():
    rows = [row for seed in range(30) for row in _random_rows(seed, users=8, events=40)]
    rows = [(f"{user}-{n % 150}", *rest) for n, (user, *rest) in enumerate(rows)]
    events = _events(rows)
    impressions, ads = build_exposure(events, ExposureConfig(min_events=3, first_position=1))
    click = impressions["click"].to_numpy()
    popularity = Counter(events["item_id"].to_pylist())
    price = dict(zip(ads["ad_id"].to_pylist(), ads["price"].to_pylist(), strict=True))
    ad = impressions["ad_id"].to_pylist()
    figures = {
        "popularity": np.array([popularity[item] for item in ad], float),
        "price": np.array([price[item] for item in ad]),
        **{name: impressions[name].to_numpy().astype(float) for name in ("position", "bid", "cost")},
    }
    for name, figure in figures.items():
        error = figure.std() * np.sqrt(1 / click.sum() + 1 / (~click).sum())
        assert abs(figure[click].mean() - figure[~click].mean()) < 4 * error, name


def test_costs_stay_below_bids_and_known_prices_are_kept():
    events = _events(_random_rows(5))
    events = events.set_column(6, "price", pa.array([float(row[1:]) + 1 for row in events["item_id"].to_pylist()]))
    impressions, ads = build_exposure(events, ExposureConfig())
    assert pa.compute.all(pa.compute.less_equal(impressions["cost"], impressions["bid"])).as_py()
    assert ads["price"].to_pylist() == [float(item[1:]) + 1 for item in ads["ad_id"].to_pylist()]
    converted = impressions.filter(impressions["conversion"])
    assert converted["revenue"].to_pylist() == [float(ad[1:]) + 1 for ad in converted["ad_id"].to_pylist()]


def test_a_day_with_too_few_items_gives_a_shorter_list():
    alone = [("u1", f"i{n}", "view", MIDNIGHT + timedelta(minutes=n)) for n in range(8)]
    other = [("u2", f"i{n}", "view", MIDNIGHT + timedelta(minutes=n)) for n in (20, 21)]
    impressions, _ = build_exposure(_events(alone + other), ExposureConfig())
    sizes = Counter(impressions["request_id"].to_pylist())
    assert sorted(sizes.values()) == [3, 3, 3]


@pytest.mark.parametrize("others", [0, 1])
def test_no_requests_is_an_error(others):
    rows = [("u1", f"i{n}", "view", MIDNIGHT + timedelta(minutes=n)) for n in range(8)]
    rows += [("u2", "i99", "view", MIDNIGHT + timedelta(days=3))] * others
    with pytest.raises(InputError, match="no request can be built"):
        build_exposure(_events(rows), ExposureConfig())


def test_no_events_is_an_error():
    with pytest.raises(InputError, match="found 0 events"):
        build_exposure(EVENTS.schema.empty_table(), ExposureConfig())


@pytest.mark.parametrize(
    "change", [{"negatives": 0}, {"conversion_window_days": 0.0}, {"day_offset_hours": 24}, {"cost_scale": -1.0}]
)
def test_a_bad_config_is_refused_by_name(change):
    with pytest.raises(ConfigError, match=f"exposure.{next(iter(change))}"):
        ExposureConfig(**change)


def test_hash_draws_are_uniform_and_independent_between_salts():
    key = np.arange(-20_000, 20_000)
    first, second = hash_uniform(key, 7, 0), hash_uniform(key, 7, 1)
    np.testing.assert_allclose(np.histogram(first, 10, (0, 1))[0] / len(key), 0.1, atol=0.01)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    np.testing.assert_array_equal(hash_uniform(key[:5], 7, 0), first[:5])
