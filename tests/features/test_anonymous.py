"""Impressions without a user: they share no timeline, no counters and no figures, whatever lies beside them."""

import numpy as np

from rosa_ray.data.staging_area import add_keys, partition
from rosa_ray.features import (
    AdTable,
    build_user_rows,
    dense_names,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
)
from rosa_ray.features.build import ANONYMOUS_ROWS
from rosa_ray.schema import IMPRESSIONS, MISSING_KEY
from tests.synthetic import BOUNDS, CONFIG, ads_table, events_table, impressions_table


def keyed(*, nobody: bool):
    table = impressions_table(np.random.default_rng(1))
    given = table.drop_columns(["user_id"]) if nobody else table
    checked, violations = IMPRESSIONS.check(given, "log")
    assert not violations
    return keyed_impressions(checked, AdTable.from_table(ads_table()))[0]


def test_user_counters_see_nobody_and_those_of_ads_see_all():
    states, named = (fold_impressions(keyed(nobody=nobody), CONFIG) for nobody in (True, False))
    assert not len(states["user_impressions"].bucket)
    for view in ("ad_impressions", "campaign_impressions"):
        np.testing.assert_array_equal(states[view].sums, named[view].sums)


def test_rows_of_nobody_are_cut_to_a_size_and_have_no_events():
    events, impressions = keyed_events(events_table(np.random.default_rng(0))), keyed(nobody=True)
    counters = fold_events(events, CONFIG) | fold_impressions(impressions, CONFIG)
    rows = build_user_rows(events, impressions, None, counters, CONFIG, BOUNDS)
    nobody = rows.user_key == MISSING_KEY
    lengths = np.diff(rows.impression_offsets)
    assert lengths[nobody].max() == ANONYMOUS_ROWS
    assert lengths[nobody].sum() == 400
    assert not np.diff(rows.event_offsets)[nobody].any()
    assert np.diff(rows.event_offsets).sum() == 300
    assert set(rows.user_id[nobody]) == {""}
    assert (np.diff(rows.impressions["time_us"]) >= 0).all()
    user_views = rows.dense[:, [name.startswith("user_") for name in dense_names(CONFIG)]]
    assert not np.nan_to_num(user_views).any()


def test_rows_without_a_user_spread_over_partitions_by_their_id():
    checked, _ = IMPRESSIONS.check(impressions_table(np.random.default_rng(1)).drop_columns(["user_id"]), "log")
    parts = partition(add_keys(checked, IMPRESSIONS), 4)
    sizes = [table.num_rows for _, table in parts]
    assert len(sizes) == 4
    assert min(sizes) > 70
    shuffled = checked.take(np.random.default_rng(0).permutation(checked.num_rows))
    again = partition(add_keys(shuffled, IMPRESSIONS), 4)
    for (_, one), (_, other) in zip(parts, again, strict=True):
        assert set(one["impression_id"].to_pylist()) == set(other["impression_id"].to_pylist())


def test_what_a_log_lacks_is_filled_from_the_ads():
    table = impressions_table(np.random.default_rng(1)).drop_columns(["bid", "cost", "revenue", "request_id"])
    checked, violations = IMPRESSIONS.check(table, "log")
    assert not violations
    ads = AdTable.from_table(ads_table())
    columns, _ = keyed_impressions(checked, ads)
    row, _ = ads.lookup(columns["ad_key"], columns["time_us"])
    np.testing.assert_array_equal(columns["bid"], ads.bid[row])
    np.testing.assert_array_equal(columns["revenue"], columns["conversion"] * ads.price[row])
    np.testing.assert_array_equal(columns["request_key"], columns["impression_key"])
    assert not columns["cost"].any()


def test_a_log_without_conversions_converts_nothing():
    table = impressions_table(np.random.default_rng(1)).drop_columns(["conversion", "revenue", "conversion_time"])
    checked, _ = IMPRESSIONS.check(table, "log")
    columns, _ = keyed_impressions(checked, AdTable.from_table(ads_table()))
    assert not columns["conversion"].any()
    assert not columns["revenue"].any()
