"""User rows: deduplicated, ordered, joined, and split by time."""

import itertools
import math

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.features import (
    AdTable,
    Split,
    UserRows,
    build_user_rows,
    fold_events,
    fold_impressions,
    keyed_events,
    keyed_impressions,
    of_known_ads,
    with_categories,
)
from rosa_ray.schema import ADS, EVENTS, MISSING_KEY, hash_id
from tests.synthetic import BOUNDS, CONFIG, ads_table, events_table, impressions_table, user_rows


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), copies=st.integers(1, 3))
def test_doubled_and_shuffled_events_give_the_same_timelines(seed: int, copies: int) -> None:
    table = events_table(np.random.default_rng(0), events=80)
    mixed = np.random.default_rng(seed).permutation(np.repeat(np.arange(80), copies))
    assert_same(keyed_events(table), keyed_events(table.take(pa.array(mixed))))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_doubled_and_shuffled_impressions_give_the_same_columns(seed: int) -> None:
    table, ads = impressions_table(np.random.default_rng(0), impressions=80), AdTable.from_table(ads_table())
    mixed = np.random.default_rng(seed).permutation(np.repeat(np.arange(80), 2))
    (once, dropped), (twice, _) = keyed_impressions(table, ads), keyed_impressions(table.take(pa.array(mixed)), ads)
    assert dropped == 0
    assert_same(once, twice)


def test_events_of_one_microsecond_are_ordered_by_event_id() -> None:
    when = pa.array([1_700_000_000_000_000] * 3).cast(EVENTS.schema.field("event_time").type)
    table = pa.table(
        {
            "event_id": ["c", "a", "b"],
            "user_id": ["u"] * 3,
            "item_id": ["3", "1", "2"],
            "behavior": ["view"] * 3,
            "event_time": when,
        }
    )
    keyed = keyed_events(EVENTS.check(table, "t")[0])
    assert keyed["item_key"].tolist() == [hash_id("1"), hash_id("2"), hash_id("3")]


def test_an_ad_outside_the_catalogue_is_counted_and_never_ranked() -> None:
    table = impressions_table(np.random.default_rng(0), impressions=100)
    half = AdTable.from_table(ads_table().slice(0, 15))
    shown, unknown = keyed_impressions(table, half)
    known = {hash_id(f"a{number}") for number in range(15)}
    assert 0 < unknown == sum(key not in known for key in shown["ad_key"].tolist()) < 100
    assert len(shown["ad_key"]) == 100
    assert set(of_known_ads(shown)["ad_key"].tolist()) <= known
    nothing = keyed_events(events_table(np.random.default_rng(0), events=1))
    rows = build_user_rows(nothing, shown, None, fold_impressions(shown, CONFIG), CONFIG, BOUNDS)
    is_unknown = rows.impressions["split"] == Split.UNKNOWN_AD
    assert is_unknown.sum() == unknown
    ranked = rows.of_known_ads()
    assert len(ranked.impressions["ad_key"]) == len(ranked.dense) == 100 - unknown
    pieces = itertools.pairwise(rows.impression_offsets)
    assert np.diff(ranked.impression_offsets).tolist() == [(~is_unknown[start:stop]).sum() for start, stop in pieces]


VERSIONS = st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 20)), min_size=1, max_size=24, unique=True)


@settings(max_examples=200, deadline=None)
@given(versions=VERSIONS, asked=st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 22)), max_size=30))
def test_no_request_sees_a_version_that_begins_later(
    versions: list[tuple[int, int | None]], asked: list[tuple[int, int]]
) -> None:
    """The price of a version is its place in the list."""
    rows = [
        {"ad_id": f"a{ad}", "campaign_id": "k", "category": "c", "bid": 1.0, "price": place + 1.0, "valid_from": since}
        for place, (ad, since) in enumerate(versions)
    ]
    table = AdTable.from_table(pa.Table.from_pylist(rows, ADS.schema))
    ad_key, time_us = np.array([hash_id(f"a{ad}") for ad, _ in asked], np.int64), np.array([us for _, us in asked], int)
    row, known = table.lookup(ad_key, time_us)
    for (ad, us), found, there in zip(asked, row.tolist(), known.tolist(), strict=True):
        own = sorted(
            (-math.inf if since is None else since, place) for place, (one, since) in enumerate(versions) if one == ad
        )
        assert there == bool(own)
        if own:
            begun = [place for since, place in own if since <= us]
            assert table.price[found] == (begun[-1] if begun else own[0][1]) + 1


def test_an_ad_without_an_item_is_an_item_of_its_own() -> None:
    ads = ads_table()
    bare = ads.set_column(1, "item_id", pa.nulls(ads.num_rows, pa.string()))
    table = AdTable.from_table(bare)
    np.testing.assert_array_equal(table.item_key, table.ad_key)


def test_splits_are_by_time() -> None:
    shown = user_rows().impressions
    for split, low, high in (
        (0, 0, BOUNDS.valid_us),
        (1, BOUNDS.valid_us, BOUNDS.test_us),
        (2, BOUNDS.test_us, 1 << 62),
    ):
        times = shown["time_us"][shown["split"] == split]
        assert len(times)
        assert times.min() >= low
        assert times.max() < high


def test_rows_survive_the_trip_through_arrow_and_slices_of_it() -> None:
    rows = user_rows()
    table = rows.to_table()
    back = UserRows.from_table(table)
    assert_same(dict(rows.events), dict(back.events))
    assert_same(dict(rows.impressions), dict(back.impressions))
    np.testing.assert_array_equal(rows.dense, back.dense)
    second = UserRows.from_table(table.slice(3, 2))
    start, stop = rows.event_offsets[3], rows.event_offsets[5]
    np.testing.assert_array_equal(second.events["item_key"], rows.events["item_key"][start:stop])
    start, stop = rows.impression_offsets[3], rows.impression_offsets[5]
    np.testing.assert_array_equal(second.dense, rows.dense[start:stop])
    assert len(UserRows.from_table(table.slice(0, 0))) == 0


def test_candidates_are_told_apart_by_period() -> None:
    rng = np.random.default_rng(3)
    events, ads = keyed_events(events_table(rng)), AdTable.from_table(ads_table())
    shown, _ = keyed_impressions(impressions_table(rng), ads)
    counters = fold_events(events, CONFIG) | fold_impressions(shown, CONFIG)
    held_out = {name: values[shown["time_us"] >= BOUNDS.valid_us] for name, values in shown.items()}
    rows = build_user_rows(events, shown, held_out, counters, CONFIG, BOUNDS)
    time_us, split = rows.impressions["time_us"], rows.impressions["split"]
    for period, candidates in ((Split.VALID, Split.VALID_POLICY), (Split.TEST, Split.POLICY)):
        assert sorted(time_us[split == candidates]) == sorted(time_us[split == period])


def test_events_without_a_category_take_that_of_their_items_ad() -> None:
    ads = ads_table().slice(0, 3).to_pylist()
    ads += [{**ads[0], "ad_id": "no item", "item_id": None}, {**ads[0], "ad_id": "x", "item_id": "x", "category": None}]
    table = AdTable.from_table(pa.Table.from_pylist(ads, ads_table().schema))
    items = ["i0", "i1", "no item", "x", "unknown"]
    events = {"item_key": np.array([hash_id(item) for item in items]), "category_key": np.zeros(5, np.int64)}
    expected = [hash_id("c0"), hash_id("c1"), hash_id("c0"), MISSING_KEY, MISSING_KEY]
    assert with_categories(events, table)["category_key"].tolist() == expected
    said = {**events, "category_key": np.full(5, hash_id("own"))}
    assert with_categories(said, table) is said


def test_of_an_item_with_several_categories_the_order_of_ads_decides_nothing() -> None:
    ads = [{**ads_table().to_pylist()[0], "ad_id": f"a{n}", "category": f"c{n}"} for n in range(6)]
    tables = [pa.Table.from_pylist(rows, ads_table().schema) for rows in (ads, ads[::-1])]
    found = [AdTable.from_table(table).categories_of(np.array([hash_id("i0")])).tolist() for table in tables]
    assert found[0] == found[1]
    assert found[0][0] in [hash_id(f"c{n}") for n in range(6)]


def test_no_category_is_known_of_a_catalogue_without_any() -> None:
    table = AdTable.from_table(ads_table().slice(0, 0))
    assert table.categories_of(np.array([5])).tolist() == [MISSING_KEY]
