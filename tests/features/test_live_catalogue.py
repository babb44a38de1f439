"""A catalogue that live records change: equal to the table that the same records make offline, in any order."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.ad_records import fold_ads
from rosa_ray.data.catalogue import read_versions
from rosa_ray.features import AdTable
from rosa_ray.features.ad_changes import AdChange, fold_changes, let_go
from rosa_ray.features.live_catalogue import NO_ROW, LiveCatalogue
from rosa_ray.schema import ADS, hash_id, hash_ids
from tests.synthetic import START_US, ads_table

NEW = {"campaign_id": "k9", "category": "c9", "bid": 0.5, "price": 8.0}
FIELDS = ("ad_key", "item_key", "category_key", "campaign_key", "price", "bid")

_TERMS = st.fixed_dictionaries(
    {},
    optional={
        "item_id": st.sampled_from([None, "i1", "i7"]),
        "campaign_id": st.sampled_from(["k1", "k9"]),
        "category": st.sampled_from(["c1", "c9"]),
        "bid": st.sampled_from([0.25, 0.5]),
        "price": st.sampled_from([1.0, 2.0, 3.0]),
        "paused": st.booleans(),
        "valid_until": st.sampled_from([None, START_US + 4, START_US + 9]),
    },
).filter(bool)
_CHANGE = st.builds(
    AdChange.of, st.sampled_from(["a1", "a2", "new1", "new2"]), st.integers(START_US, START_US + 10), _TERMS
)


def change(ad_id: str, after_us: int, **terms: Any) -> AdChange:
    return AdChange.of(ad_id, START_US + after_us, terms)


def rows_of(catalogue: LiveCatalogue, ad_id: str, *after_us: int) -> np.ndarray:
    number = catalogue.number(ad_id)
    assert number is not None
    return catalogue.rows_at(np.full(len(after_us), number), START_US + np.array(after_us))


def active_ids(catalogue: LiveCatalogue, after_us: int) -> set[str]:
    return set(catalogue.ids(catalogue.active(START_US + after_us)).tolist())


@pytest.fixture
def catalogue() -> LiveCatalogue:
    return LiveCatalogue(ads_table())


def dated(ads: pa.Table) -> pa.Table:
    """The synthetic catalogue with a second version of its first ad."""
    rows = ads.to_pylist()
    return pa.Table.from_pylist([*rows, rows[0] | {"valid_from": START_US + 3, "price": 77.0}], ADS.schema)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), told=st.lists(_CHANGE, max_size=12), versions=st.booleans())
def test_a_running_service_and_preprocessing_read_the_same_ads_from_records_in_any_order(
    data: st.DataObject, told: list[AdChange], versions: bool
) -> None:
    base = dated(ads_table()) if versions else ads_table()
    sent = data.draw(st.permutations(told + told[:5]))
    live = LiveCatalogue(base)
    for one in sent:
        live.apply([one])
    folded = fold_ads(told, base)
    offline = AdTable.from_table(read_versions(ADS.check(folded.table, "test")[0]).table)
    assert live.incomplete == len(folded.incomplete)
    keys = np.unique(np.r_[offline.ad_key, hash_ids(pa.array(["nobody", "new1", "new2"]))])
    for moment in range(START_US - 1, START_US + 12):
        (row, known), (live_row, live_known) = (one.lookup(keys, moment) for one in (offline, live))
        assert known.tolist() == live_known.tolist()
        for name in FIELDS:
            expected, found = getattr(offline, name)[row[known]], getattr(live, name)[live_row[known]]
            assert expected.tobytes() == found.tobytes(), name
        shown = offline.ad_key[offline.active(moment)]
        assert {*hash_ids(pa.array(active_ids(live, moment - START_US), pa.string())).tolist()} == {*shown.tolist()}
    items = np.unique(np.r_[offline.item_key, keys])
    assert live.categories_of(items).tolist() == offline.categories_of(items).tolist()


@settings(max_examples=100, deadline=None)
@given(told=st.lists(_CHANGE, max_size=12), moment=st.integers(0, 12))
def test_what_is_let_go_changes_nothing_from_its_moment_on(told: list[AdChange], moment: int) -> None:
    told = [one for one in told if one.ad_id == "new1"]
    kept, gone = let_go(told, START_US + moment)
    assert sorted([*kept, *gone]) == sorted(set(told))
    late = [(time_us, terms) for time_us, terms in fold_changes(told) if time_us > START_US + moment]
    held = [(time_us, terms) for time_us, terms in fold_changes(kept) if time_us > START_US + moment]
    assert held == late
    before = [terms for time_us, terms in fold_changes(told) if time_us <= START_US + moment]
    after = [terms for time_us, terms in fold_changes(kept) if time_us <= START_US + moment]
    assert after[-1:] == before[-1:]


def test_a_new_ad_is_shown_from_its_moment_and_with_its_own_item(catalogue: LiveCatalogue) -> None:
    assert catalogue.apply([change("new", 5, **NEW)]) == 1
    assert "new" not in active_ids(catalogue, 4)
    assert "new" in active_ids(catalogue, 5)
    (row,) = rows_of(catalogue, "new", 5)
    assert catalogue.item_key[row] == catalogue.ad_key[row] == hash_id("new")
    assert (catalogue.price[row], catalogue.bid[row]) == (8.0, 0.5)
    assert len(catalogue) == 31
    assert catalogue.in_table == 30


def test_prices_are_as_of_the_request(catalogue: LiveCatalogue) -> None:
    catalogue.apply([change("a1", 5, price=9.0), change("a1", 2, price=7.0)])
    prices = catalogue.price[rows_of(catalogue, "a1", 1, 2, 4, 5, 6)]
    assert prices.tolist()[1:] == [7.0, 7.0, 9.0, 9.0]
    assert prices[0] == {row["ad_id"]: row["price"] for row in ads_table().to_pylist()}["a1"]


def test_a_paused_ad_is_known_and_not_shown_until_it_goes_on(catalogue: LiveCatalogue) -> None:
    catalogue.apply([change("a1", 5, paused=True), change("a1", 8, paused=False)])
    assert [after for after in range(4, 10) if "a1" in active_ids(catalogue, after)] == [4, 8, 9]
    _, known = catalogue.lookup(np.array([hash_id("a1")]), START_US + 6)
    assert known.tolist() == [True]


def test_an_ad_ends_and_begins_again(catalogue: LiveCatalogue) -> None:
    catalogue.apply([change("a1", 0, valid_until=START_US + 3), change("a1", 6, valid_until=None)])
    assert [after for after in range(8) if "a1" in active_ids(catalogue, after)] == [0, 1, 2, 6, 7]


def test_an_ad_without_a_price_is_not_shown_until_it_has_one(catalogue: LiveCatalogue) -> None:
    catalogue.apply([change("new", 1, campaign_id="k9", category="c9", bid=0.5)])
    assert catalogue.incomplete == 1
    assert rows_of(catalogue, "new", 5).tolist() == [NO_ROW]
    assert "new" not in active_ids(catalogue, 5)
    catalogue.apply([change("new", 3, price=2.0)])
    assert catalogue.incomplete == 0
    assert [after for after in range(5) if "new" in active_ids(catalogue, after)] == [3, 4]


def test_the_active_ads_are_worked_out_once_between_two_changes(catalogue: LiveCatalogue) -> None:
    catalogue.apply([change("a1", 5, paused=True)])
    first = catalogue.active(START_US + 1)
    assert catalogue.active(START_US + 4) is first
    assert catalogue.active(START_US + 5) is not first


def test_rows_of_replaced_versions_are_used_again(catalogue: LiveCatalogue) -> None:
    for step in range(1000):
        catalogue.apply([change("a1", step, price=1.0 + step)], kept_us=START_US + step - 10)
    assert len(catalogue.price) < 300
    assert catalogue.price[rows_of(catalogue, "a1", 995, 999, 5000)].tolist() == [996.0, 1000.0, 1000.0]


def test_targets_are_numbered_once_for_all_ads(catalogue: LiveCatalogue) -> None:
    mobile = {"devices": ["mobile", "tablet"]}
    catalogue.apply([change("a1", 0, **mobile), change("a2", 0, **mobile), change("a3", 0, regions=["north"])])
    assert len(catalogue.targets) == 3
    rows = np.concatenate([rows_of(catalogue, ad, 1) for ad in ("a1", "a3", "a4")])
    assert catalogue.targets.met("tablet", "south")[catalogue.target[rows]].tolist() == [True, False, True]
    assert catalogue.targets.met(None, "north")[catalogue.target[rows]].tolist() == [False, True, True]
