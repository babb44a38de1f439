"""The simulated log: contracts, reproducibility, timing, and its truth against its sampled labels."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from rosa_ray.errors import ConfigError
from rosa_ray.schema import ADS, CANDIDATES, EVENTS, IMPRESSIONS
from rosa_ray.simulation import TRUTH_SCHEMA, SimulationConfig, build_world, chunk_tables, simulate_chunk, summarize
from rosa_ray.simulation.marginals import FUNNEL, HOUR_SHARE


@pytest.fixture(scope="module")
def shown(small_log):
    """Impressions joined with their truth, as a dict of arrays."""
    joined = small_log.impressions.join(small_log.truth, "impression_id", join_type="inner", right_suffix="_true")
    assert joined.num_rows == small_log.impressions.num_rows
    return {name: joined[name].to_numpy() for name in joined.column_names}


@pytest.mark.parametrize("contract", [EVENTS, IMPRESSIONS, ADS, CANDIDATES], ids=lambda contract: contract.name)
def test_tables_satisfy_their_contracts(small_log, contract):
    table = getattr(small_log, contract.name)
    kept, violations = contract.check(table, contract.name)
    assert violations == []
    assert kept.num_rows > 0
    assert table.schema == contract.schema_of(table.column_names)


def test_ids_are_unique(small_log):
    for table, name in [
        (small_log.events, "event_id"),
        (small_log.impressions, "impression_id"),
        (small_log.impressions, "request_id"),
        (small_log.candidates, "impression_id"),
        (small_log.truth, "impression_id"),
        (small_log.ads, "ad_id"),
    ]:
        assert len(table[name].unique()) == table.num_rows, name


def test_a_chunk_depends_on_config_and_number_alone(small_log):
    again = chunk_tables(
        small_log.config, build_world(small_log.config), simulate_chunk(small_log.config, small_log.world, 1)
    )
    assert all(again[name].equals(small_log.chunks[1][name]) for name in again)
    other = dataclasses.replace(small_log.config, seed=8)
    elsewhere = chunk_tables(other, build_world(other), simulate_chunk(other, build_world(other), 1))
    assert not elsewhere["events"].equals(again["events"])


def test_labels_are_drawn_from_the_truth(shown):
    for label, p in (
        (shown["click"], shown["p_ctr"]),
        (shown["conversion"][shown["click"]], shown["p_cvr"][shown["click"]]),
    ):
        edges = np.quantile(p, np.linspace(0, 1, 11)[1:-1])
        for decile in range(10):
            chosen = np.searchsorted(edges, p) == decile
            spread = np.sqrt((p[chosen] * (1 - p[chosen])).sum())
            assert abs(label[chosen].sum() - p[chosen].sum()) < 4 * spread + 1


def test_money_is_drawn_from_the_truth(shown, small_log):
    assert (shown["cost"] <= shown["bid"] + 1e-12).all()
    error = shown["cost"] - shown["expected_cost"]
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))
    price = dict(zip(small_log.ads["ad_id"].to_pylist(), small_log.ads["price"].to_pylist(), strict=True))
    prices = np.array([price[ad] for ad in shown["ad_id"]])
    np.testing.assert_allclose(shown["expected_revenue"], shown["p_ctr"] * shown["p_cvr"] * prices)
    ratio = shown["revenue"][shown["conversion"]] / prices[shown["conversion"]]
    assert abs(ratio.mean() - 1) < 4 * 0.25 / np.sqrt(len(ratio))


def test_rates_are_those_of_a_scaled_ad_log(small_log):
    counts = summarize({name: getattr(small_log, name) for name in ("events", "impressions", "candidates", "truth")})
    assert 0.025 < counts["clicks"] / counts["impressions"] < 0.06
    assert 0.06 < counts["conversions"] / counts["clicks"] < 0.18


def test_truth_and_candidates_cover_the_policy_period(small_log, numpy_of):
    config, truth = small_log.config, small_log.truth
    late = numpy_of(small_log.impressions, "request_time") >= config.policy_start_us
    late_impressions = small_log.impressions.filter(pa.array(late))
    assert small_log.candidates.num_rows == late.sum() * config.candidates_per_request
    known = set(truth["impression_id"].to_pylist())
    assert known == set(small_log.impressions["impression_id"].to_pylist()) | set(
        small_log.candidates["impression_id"].to_pylist()
    )
    key = ("impression_id", "request_id", "user_id", "ad_id", "request_time", "device", "region", "bid")
    logged = late_impressions.select(key).sort_by("impression_id")
    chosen = small_log.candidates.join(logged.select(["impression_id"]), "impression_id", join_type="inner")
    assert chosen.select(key).sort_by("impression_id").to_pylist() == logged.to_pylist()


def test_candidates_of_a_request_are_distinct_and_their_propensities_sum_to_one(small_log):
    distinct = small_log.candidates.group_by("request_id").aggregate([("ad_id", "count_distinct")])
    assert set(distinct["ad_id_count_distinct"].to_pylist()) == {small_log.config.candidates_per_request}
    requests = small_log.candidates.select(["request_id"]).group_by("request_id").aggregate([])
    late = small_log.truth.join(requests, "request_id", join_type="inner")
    total = late.group_by("request_id").aggregate([("propensity", "sum"), ("propensity", "min")])
    np.testing.assert_allclose(total["propensity_sum"].to_numpy(), 1)
    floor = small_log.config.exploration / small_log.config.candidates_per_request
    assert total["propensity_min"].to_numpy().min() >= floor


def test_logged_propensity_is_the_chance_to_be_shown(small_log, shown):
    np.testing.assert_array_equal(shown["propensity"], shown["propensity_true"])
    inverse = 1 / small_log.impressions["propensity"].to_numpy()
    spread = inverse.std() / np.sqrt(len(inverse))
    assert abs(inverse.mean() - small_log.config.candidates_per_request) < 4 * spread


def test_clicks_and_conversions_join_the_timeline_after_their_request(small_log, numpy_of):
    item = dict(zip(small_log.ads["ad_id"].to_pylist(), small_log.ads["item_id"].to_pylist(), strict=True))
    happened: dict[tuple[str, str, str], list[int]] = {}
    for user, what, behavior, time in zip(
        small_log.events["user_id"].to_pylist(),
        small_log.events["item_id"].to_pylist(),
        small_log.events["behavior"].to_pylist(),
        numpy_of(small_log.events, "event_time"),
        strict=True,
    ):
        happened.setdefault((user, what, behavior), []).append(int(time))
    clicked = small_log.impressions.filter(small_log.impressions["click"]).to_pylist()
    requested = numpy_of(small_log.impressions.filter(small_log.impressions["click"]), "request_time")
    for row, time in zip(clicked, requested, strict=True):
        clicks = happened.get((row["user_id"], item[row["ad_id"]], "click"), [])
        assert any(0 < click - time <= 10_000_000 for click in clicks) or time > small_log.config.end_us - 10_000_000
        if row["conversion"] and row["conversion_time"].timestamp() * 1e6 < small_log.config.end_us:
            assert happened.get((row["user_id"], item[row["ad_id"]], "purchase"))
    assert sum(len(times) for key, times in happened.items() if key[2] == "click") <= len(clicked)


def test_conversions_fall_within_three_days(small_log, numpy_of):
    converted = small_log.impressions.filter(small_log.impressions["conversion"])
    delay = numpy_of(converted, "conversion_time") - numpy_of(converted, "request_time")
    assert delay.min() > 0
    assert delay.max() <= 3 * 86_400_000_000


def test_marginals_of_the_log_are_the_figures(small_log, numpy_of):
    behavior = numpy_of(small_log.events, "behavior")
    organic = np.array([(behavior == name).sum() for name in FUNNEL])
    np.testing.assert_allclose(organic / organic.sum(), list(FUNNEL.values()), atol=0.012)
    hour = numpy_of(small_log.events, "event_time") // 3_600_000_000 % 24
    np.testing.assert_allclose(np.bincount(hour, minlength=24) / len(hour), HOUR_SHARE, atol=0.02)


def test_timelines_lie_inside_the_period(small_log, numpy_of):
    for table, name in ((small_log.events, "event_time"), (small_log.impressions, "request_time")):
        time = numpy_of(table, name)
        assert time.min() >= small_log.config.start_us
        assert time.max() < small_log.config.end_us


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"users": 0}, "simulation.users"),
        ({"ads": 10}, "simulation.ads"),
        ({"items": 100}, "simulation.items"),
        ({"candidates_per_request": 1}, "simulation.candidates_per_request"),
        ({"start": "tomorrow"}, "simulation.start"),
        ({"exploration": 0.0}, "simulation.exploration"),
    ],
)
def test_a_bad_config_is_refused_by_name(change, named):
    with pytest.raises(ConfigError, match=named):
        SimulationConfig(**change)


def test_the_smallest_log_works():
    config = SimulationConfig(users=1, days=1, categories=4, styles=1, items=8, ads=8, candidates_per_request=4)
    world = build_world(config)
    tables = chunk_tables(config, world, simulate_chunk(config, world, 0))
    assert tables["truth"].schema == TRUTH_SCHEMA
