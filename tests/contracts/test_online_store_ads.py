"""What every online store must do with changes of ads."""

from typing import Any

import numpy as np

from rosa_ray.features import FeatureConfig
from rosa_ray.features.ad_changes import AdChange, fold_changes
from rosa_ray.features.changes import changes_of_ads
from rosa_ray.features.own import ColumnConfig
from rosa_ray.schema import hash_id
from rosa_ray.store import OnlineStore
from rosa_ray.units import DAY_US, MINUTE_US
from tests.contracts.stores import MODEL, T0, VERSION, Open, columns_of, load

ALL = 1000


def change(ad_id: str, after_us: int, **terms: Any) -> AdChange:
    return AdChange.of(ad_id, T0 + after_us, terms)


def tell(store: OnlineStore, *changes: AdChange) -> None:
    store.apply(columns_of([]), (), [changes_of_ads(changes)])


def test_a_store_without_changes_of_ads_has_none(store: OnlineStore) -> None:
    read = store.read_ads(0, ALL)
    assert (read.log, read.changes, read.last) == ("", (), 0)


def test_changes_are_read_in_the_order_in_which_they_came(store: OnlineStore) -> None:
    told = [change("日本", 9, price=2.0), change("a1", 5, bid=0.5, devices=["mobile"]), change("a1", 1, paused=True)]
    tell(store, told[0])
    tell(store, *told[1:])
    first = store.read_ads(0, 2)
    rest = store.read_ads(first.last, 2)
    assert [*first.changes, *rest.changes] == told
    assert store.read_ads(rest.last, 2).changes == ()
    assert store.read_ads(rest.last, 2).last == rest.last


def test_a_change_that_comes_again_is_not_read_again(store: OnlineStore) -> None:
    tell(store, change("a1", 5, price=2.0), change("a1", 5, price=2.0))
    read = store.read_ads(0, ALL)
    tell(store, change("a1", 5, price=2.0))
    assert len(read.changes) == 1
    assert store.read_ads(read.last, ALL).changes == ()


def test_changes_outlive_the_version_that_they_came_to(store: OnlineStore) -> None:
    tell(store, change("a1", 5, price=2.0))
    before = store.read_ads(0, ALL)
    load(store, [("e1", "ann", T0)])
    store.activate(VERSION, MODEL)
    assert store.read_ads(0, ALL).changes == before.changes
    assert store.read_ads(0, ALL).log == before.log != ""


def test_terms_are_taken_beside_declared_columns(open_: Open) -> None:
    store = open_(features=FeatureConfig(columns={"ad.margin": ColumnConfig(type="number")}))
    tell(store, change("a1", 5, price=2.0))
    assert len(store.read_ads(0, ALL).changes) == 1
    assert store.read_columns("ad.", np.array([hash_id("a1")])) == [b""]


def test_all_processes_read_the_same_list(open_: Open) -> None:
    one, other = open_(), open_()
    tell(one, change("a1", 5, price=2.0))
    tell(other, change("a2", 5, price=2.0))
    assert one.read_ads(0, ALL) == other.read_ads(0, ALL)
    assert len(one.read_ads(0, ALL).changes) == 2


def test_another_store_has_a_list_of_another_name(open_: Open) -> None:
    stores = [open_(name=name) for name in ("one", "two")]
    for store in stores:
        tell(store, change("a1", 5, price=2.0))
    assert stores[0].read_ads(0, ALL).log != stores[1].read_ads(0, ALL).log


def test_what_was_superseded_before_the_horizon_is_let_go(store: OnlineStore) -> None:
    told = [change("a1", step * MINUTE_US, price=1.0 + step) for step in range(50)]
    tell(store, change("a1", -1, price=0.5, bid=0.25), *told)
    assert len(store.read_ads(0, ALL).changes) == 51
    store.apply(columns_of([("e1", "ann", T0 + 8 * DAY_US)]))
    tell(store, change("a1", 9 * DAY_US, price=99.0))
    read = store.read_ads(0, ALL)
    assert read.kept_us == T0 + DAY_US
    assert fold_changes(read.changes) == [
        (T0 - 1, {"bid": 0.25, "price": 0.5}),
        (T0 + 49 * MINUTE_US, {"bid": 0.25, "price": 50.0}),
        (T0 + 9 * DAY_US, {"bid": 0.25, "price": 99.0}),
    ]
    assert np.all(np.diff([one.time_us for one in read.changes]) > 0)
