"""Own counters: what a log and live records count is what one counts by hand, and what cannot be counted is refused."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.config import load_config
from rosa_ray.errors import ConfigError
from rosa_ray.features import (
    Counters,
    CounterStates,
    FeatureConfig,
    FeatureState,
    concat_records,
    dense_names,
    event_records,
    fold_events,
    fold_impressions,
    fold_records,
    impression_records,
    keyed_events,
    merge_states,
)
from rosa_ray.features.counting import counted_views, dense_views, read_dense
from rosa_ray.features.own import ColumnConfig
from rosa_ray.features.own_counters import CounterConfig, part_columns
from rosa_ray.features.views import View, own_view, view_named
from rosa_ray.schema import MISSING_KEY
from rosa_ray.units import HOUR_US
from tests.own_counters import COUNTERS, FEATURES, OwnWorld, own_world

Columns = dict[str, np.ndarray]
OWN = [view for view in counted_views(FEATURES) if view.parts]


@pytest.fixture(scope="module")
def own() -> OwnWorld:
    return own_world()


def counted_by_hand(view: View, log: Columns, time: str, chosen: str) -> Counter[tuple[int, ...]]:
    """How often each combination of parts, none of them missing, was seen in each hour."""
    found: Counter[tuple[int, ...]] = Counter()
    for row in range(len(log["time_us"])):
        parts = tuple(int(log[name][row]) for name in view.parts)
        if MISSING_KEY not in parts and (not chosen or log[chosen][row]):
            found[(*parts, int(log[time][row]) // HOUR_US)] += 1
    return found


@pytest.mark.parametrize("view", [view for view in OWN if view.log == "impressions"], ids=lambda view: view.name)
@pytest.mark.parametrize(
    ("measure", "time", "chosen"),
    [(0, "time_us", ""), (1, "click_time_us", "click"), (2, "conversion_time_us", "conversion")],
)
def test_impressions_clicks_and_conversions_count_at_all_their_parts(
    own: OwnWorld, view: View, measure: int, time: str, chosen: str
) -> None:
    expected = counted_by_hand(view, own.shown, time, chosen)
    keys = view.keys(own.shown)
    parts_of = {int(key): tuple(int(own.shown[name][row]) for name in view.parts) for row, key in enumerate(keys)}
    counted = own.counters[view.name]
    found = {
        (*parts_of[int(key)], int(bucket)): int(sums[measure])
        for key, bucket, sums in zip(counted.entity_key, counted.bucket, counted.sums, strict=True)
        if sums[measure]
    }
    assert found == dict(expected)
    assert sum(expected.values())


def test_a_request_reads_the_closed_buckets_of_its_own_entity(own: OwnWorld) -> None:
    """The 24 hours of (ad, place) of every request, from the rows of the log."""
    shown, name = own.shown, "impressions(ad_id,request.place).24h.log1p_impressions"
    dense = read_dense(own.counters, shown, FEATURES)[:, dense_names(FEATURES).index(name)]
    last = (shown["time_us"] - 5 * 60 * 1_000_000) // HOUR_US - 1
    for row in range(0, len(last), 7):
        hour = shown["time_us"] // HOUR_US
        same = (shown["ad_key"] == shown["ad_key"][row]) & (shown["request.place"] == shown["request.place"][row])
        inside = same & (hour <= last[row]) & (hour > last[row] - 24)
        due = 0 if shown["request.place"][row] == MISSING_KEY else inside.sum()
        assert dense[row] == np.float32(np.log1p(due))
    assert np.count_nonzero(dense) > 20


def test_what_lacks_a_part_reads_nothing_and_counts_nothing(own: OwnWorld) -> None:
    lacking = own.shown["request.place"] == MISSING_KEY
    view = view_named("impressions(ad_id,request.place)")
    assert view is not None
    assert lacking.any()
    assert (view.keys(own.shown)[lacking] == MISSING_KEY).all()
    assert MISSING_KEY not in own.counters[view.name].entity_key


def test_a_value_that_fills_is_counted(own: OwnWorld) -> None:
    assert (own.shown["request.page"] != MISSING_KEY).all()


def test_counters_of_users_say_whose_they_are(own: OwnWorld) -> None:
    view = next(view for view in OWN if view.name == "impressions(user_id,item_id)")
    counted, keys = own.counters[view.name], view.keys(own.shown)
    assert counted.owner_key is not None
    owner = dict(zip(keys.tolist(), own.shown["user_key"].tolist(), strict=True))
    assert counted.owner_key.tolist() == [owner[int(key)] for key in counted.entity_key]
    assert own.counters["impressions(user_id)"].owner_key is None


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_cut_and_shuffled_records_count_as_the_log(own_log: tuple[Columns, Columns], data: st.DataObject) -> None:
    events, shown = own_log
    records = concat_records([event_records(events), impression_records(shown, part_columns(OWN))])
    order = np.array(data.draw(st.permutations(range(len(records["kind"])))), np.int64)
    cut = data.draw(st.integers(0, len(order)))
    parts = [{name: values[rows] for name, values in records.items()} for rows in (order[:cut], order[cut:])]
    require_equal(
        merge_states(*(fold_records(part, FEATURES) for part in parts)),
        fold_events(events, FEATURES) | fold_impressions(shown, FEATURES),
    )


@pytest.fixture(scope="module")
def own_log(own: OwnWorld) -> tuple[Columns, Columns]:
    """Few rows of either log."""
    events = keyed_events(own.events)
    shown = {name: values[:40] for name, values in own.shown.items()}
    return {name: values[:40] for name, values in events.items()}, shown


def require_equal(found: CounterStates, expected: CounterStates) -> None:
    assert found.keys() == expected.keys()
    for view, counters in expected.items():
        for name in ("entity_key", "bucket", "sums", "owner_key"):
            np.testing.assert_array_equal(getattr(found[view], name), getattr(counters, name), err_msg=view)


def test_names_say_what_is_counted() -> None:
    assert [view.name for view in dense_views(FEATURES)] == [
        "user_events",
        "ad_impressions",
        "impressions(ad_id,request.place)",
        "impressions(request.page,device,category)",
        "impressions(user_id,item_id)",
        "impressions(user_id)",
        "impressions(region)",
        "impressions(campaign_id,category)",
        "events(user_id,category)",
        "events(item_id,category)",
        "events(user_id)",
    ]
    for view in OWN:
        named = view_named(view.name)
        assert named is not None
        assert (named.log, named.parts, named.measures) == (view.log, view.parts, view.measures)
    assert view_named("nothing") is None
    assert len(dense_names(FEATURES)) == len(set(dense_names(FEATURES)))


def test_one_part_goes_by_its_own_key_and_many_by_none_of_theirs() -> None:
    columns = {"ad_key": np.array([5, 6]), "region_key": np.array([6, 5])}
    assert own_view("impressions", ("ad_id",), (24,)).keys(columns).tolist() == [5, 6]
    mixed = own_view("impressions", ("ad_id", "region"), (24,)).keys(columns)
    assert len({5, 6, *mixed.tolist()}) == 4


def test_features_without_own_counters_keep_their_fingerprint(own: OwnWorld, tmp_path: Path) -> None:
    assert "counters" not in FeatureConfig().definition()
    own.state.save(tmp_path)
    assert FeatureState.load(tmp_path).config == FEATURES
    other = replace(FEATURES, counters=COUNTERS[1:])
    assert replace(own.state, config=other).fingerprint != own.state.fingerprint


@pytest.mark.parametrize(
    ("counters", "message"),
    [
        ("[{by: [ad_id, request.spot]}]", "features.counters.0.by is [ad_id, request.spot]; 'request.spot' must be"),
        ("[{by: [request.floor]}]", "'request.floor' must be one of user_id, ad_id, item_id, campaign_id, category,"),
        ("[{by: [ad_id], windows_h: [1]}]", "1 hours must not be shorter than features.bucket_minutes, 120"),
        ("[{by: [ad_id]}, {by: [ad.ad_id], windows_h: [48]}]", "counters.1.by is [ad.ad_id]; another counter counts"),
        ("[{by: [ad_id, region]}, {by: [region, ad_id]}]", "counters.1.by is [region, ad_id]; another counter counts"),
        ("[{of: events, by: [ad_id]}]", "events are counted by user_id, item_id and category alone"),
        ("[{by: [device, request.device]}]", "it must name each thing once"),
        ("[{by: []}]", "name at least one"),
        ("[{by: [ad_id, user_id, region, device, category]}]", "name at most 4"),
        ("[{by: [ad_id], windows_h: []}]", "name at least one"),
        ("[{by: [ad_id], windows_h: [24, 24]}]", "name each once"),
        ("[{of: clicks}]", "features.counters.0.of is"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(tmp_path: Path, counters: str, message: str) -> None:
    columns = "{request.place: {type: category}, request.floor: {type: number}}"
    path = tmp_path / "run.yaml"
    path.write_text(f"features: {{bucket_minutes: 120, columns: {columns}, counters: {counters}}}\n")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert message in str(refused.value)


def test_declared_counters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "features:\n"
        "  columns: {request.place: {type: category}}\n"
        "  counters: [{of: impressions, by: [ad_id, request.place], windows_h: [24, null]}]\n"
    )
    features = load_config(path).features
    assert features.counters == (CounterConfig(by=("ad_id", "request.place"), windows_h=(24, None)),)
    assert dense_names(features)[-1] == "impressions(ad_id,request.place).all.log_cvr"
    assert FeatureConfig(columns={"request.place": ColumnConfig()}, counters=features.counters) == features


def test_counters_of_no_rows_keep_their_owners() -> None:
    nothing = Counters.fold(*(np.empty(0, np.int64),) * 2, np.empty((0, 5), np.int64), np.empty(0, np.int64))
    some = Counters.fold(np.array([3]), np.array([0]), np.ones((1, 5), np.int64), np.array([8]))
    merged = nothing.merge(some, Counters.empty(5))
    assert merged.owner_key is not None
    assert merged.owner_key.tolist() == [8]
    assert Counters.from_table(merged.to_table("v"), 5).owner_key is not None
    assert "owner_key" not in Counters.empty(5).to_table("v").column_names
