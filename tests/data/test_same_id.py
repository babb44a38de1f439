"""Rows of one id: what is kept depends on the rows alone, and nothing that contradicts goes silently."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.data.same_id import RULES, Repeats, unique_rows
from rosa_ray.schema import ADS, EVENTS, IMPRESSIONS
from rosa_ray.schema.own_columns import OwnColumn, contract_with
from tests.synthetic import ads_table, events_table, impressions_table


def time(minute: int) -> datetime:
    return datetime(2026, 10, 1, 12, minute, tzinfo=UTC)


def impression(**changed: Any) -> dict[str, Any]:
    row = {
        "impression_id": "m1",
        "request_id": "r1",
        "user_id": "u1",
        "ad_id": "a1",
        "request_time": time(0),
        "bid": 0.2,
        "cost": 0.1,
        "click": False,
        "conversion": False,
        "revenue": 0.0,
    }
    return row | changed


def impressions(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=IMPRESSIONS.schema)


def kept(table: pa.Table, name: str = "impressions") -> tuple[list[dict[str, Any]], Repeats]:
    rows, repeats = unique_rows(table, RULES[name])
    assert rows.schema == table.schema
    return rows.to_pylist(), repeats


def test_ids_that_do_not_repeat_leave_the_very_table() -> None:
    table = impressions_table(np.random.default_rng(0))
    assert unique_rows(table, RULES["impressions"]) == (table, Repeats())
    assert unique_rows(table.slice(0, 0), RULES["impressions"])[1] == Repeats()


def test_copies_are_one_row() -> None:
    rows, repeats = kept(impressions(impression(), impression(impression_id="m2"), impression()))
    assert sorted(row["impression_id"] for row in rows) == ["m1", "m2"]
    assert repeats == Repeats(copies=1)


def test_labels_of_versions_only_grow() -> None:
    clicked = impression(click=True, cost=0.3)
    bought = impression(click=True, conversion=True, conversion_time=time(9), revenue=5.0)
    early = impression(click=True, conversion=True, conversion_time=time(7), revenue=4.0)
    (row,), repeats = kept(impressions(bought, impression(), early, clicked))
    assert (row["click"], row["conversion"], row["conversion_time"]) == (True, True, time(7))
    assert (row["revenue"], row["cost"]) == (5.0, 0.3)
    assert repeats == Repeats(versions=3)


def test_a_version_that_says_when_it_was_written_replaces_older_ones() -> None:
    refunded = impression(click=True, updated_time=time(30))
    bought = impression(click=True, conversion=True, revenue=5.0, updated_time=time(20))
    (row,), repeats = kept(impressions(bought, refunded, impression(device="phone")))
    assert (row["conversion"], row["revenue"], row["device"]) == (False, 0.0, None)
    assert repeats == Repeats(versions=2)


def test_versions_that_contradict_each_other_are_counted_and_shown() -> None:
    (row,), repeats = kept(impressions(impression(device="phone"), impression(device="desk", click=True)))
    assert (row["device"], row["click"]) == ("desk", True)
    assert repeats == Repeats(conflicts=1, conflict="impression_id 'm1': device 'desk' and 'phone'")


def test_a_value_that_is_not_known_contradicts_nothing() -> None:
    (row,), repeats = kept(impressions(impression(device="phone"), impression()))
    assert row["device"] == "phone"
    assert repeats == Repeats(versions=1)


def test_the_same_ad_at_another_time_is_the_same_impression_and_a_conflict() -> None:
    (row,), repeats = kept(impressions(impression(request_time=time(5)), impression()))
    assert row["request_time"] == time(0)
    assert (repeats.conflicts, repeats.versions) == (1, 0)
    assert "request_time" in repeats.conflict


def test_an_id_that_names_two_ads_keeps_both_rows() -> None:
    rows, repeats = kept(impressions(impression(), impression(ad_id="a2"), impression(ad_id="a2", user_id="u2")))
    assert sorted((row["user_id"], row["ad_id"]) for row in rows) == [("u1", "a1"), ("u1", "a2"), ("u2", "a2")]
    assert (repeats.shared, repeats.conflicts) == (3, 0)
    assert repeats.sharing == "impression_id 'm1' names ad_id 'a1' and ad_id 'a2'"


def test_events_of_one_id() -> None:
    event = {"event_id": "e1", "user_id": "u1", "item_id": "i1", "behavior": "view", "event_time": time(0)}
    later, other = event | {"event_time": time(1), "price": 3.0}, event | {"item_id": "i2"}
    table = [event, event, event | {"price": 2.0}, later, other]
    rows, repeats = kept(pa.Table.from_pylist(table, schema=EVENTS.schema), "events")
    assert sorted((row["item_id"], row["event_time"], row["price"]) for row in rows if row["price"]) == [
        ("i1", time(0), 2.0)
    ]
    assert len(rows) == 2
    assert (repeats.copies, repeats.conflicts, repeats.shared) == (1, 2, 2)


def test_ads_of_one_moment_say_that_they_differ_and_those_of_several_are_all_kept() -> None:
    ad = {"ad_id": "a1", "campaign_id": "old", "category": "c1", "bid": 0.1, "price": 5.0}
    newer = ad | {"campaign_id": "new", "price": 10.0}
    plain = pa.Table.from_pylist([newer, ad, ad], schema=ADS.schema)
    (row,), repeats = kept(plain, "ads")
    assert row["campaign_id"] == "new"
    assert repeats == Repeats(copies=1, conflicts=1, conflict="ad_id 'a1': campaign_id 'new' and 'old'")
    dated = pa.Table.from_pylist([ad | {"valid_from": time(9)}, newer | {"valid_from": time(8)}], schema=ADS.schema)
    rows, repeats = kept(dated, "ads")
    assert [row["campaign_id"] for row in rows] == ["new", "old"]
    assert repeats == Repeats()
    twice = pa.concat_tables([dated, dated.slice(0, 1)])
    assert kept(twice, "ads")[1] == Repeats(copies=1)


OWN = (
    OwnColumn("user.tags", "categories"),
    OwnColumn("user.taste", "vector", 2),
    OwnColumn("request.tags", "categories"),
    OwnColumn("request.slot", "category"),
)


def test_users_of_one_moment_say_that_they_differ_and_lists_are_compared_by_value() -> None:
    user = {"user_id": "u1", "valid_from": time(1), "user.tags": ["a", None], "user.taste": [0.5, 1.0]}
    schema = contract_with("users", OWN).schema
    rows = [user, user, user | {"user.tags": ["a"]}, user | {"valid_from": time(2), "user.taste": None}]
    found = [kept(pa.Table.from_pylist(order, schema=schema), "users") for order in (rows, rows[::-1])]
    assert found[0] == found[1]
    unique, repeats = found[0]
    assert [(row["valid_from"], row["user.tags"], row["user.taste"]) for row in unique] == [
        (time(1), ["a"], [0.5, 1.0]),
        (time(2), ["a", None], None),
    ]
    assert repeats == Repeats(copies=1, conflicts=1, conflict="user_id 'u1': user.tags ['a'] and ['a', None]")


def test_versions_of_an_impression_take_the_first_declared_values_that_are_known() -> None:
    rows = [
        impression(**{"request.tags": None, "request.slot": None}),
        impression(click=True, **{"request.tags": ["a", "b"], "request.slot": None}),
        impression(impression_id="m2", **{"request.tags": [], "request.slot": "top"}),
        impression(impression_id="m2", cost=0.3, **{"request.tags": None, "request.slot": "top"}),
    ]
    schema = contract_with("impressions", OWN).schema
    for order in (rows, rows[::-1]):
        unique, repeats = kept(pa.Table.from_pylist(order, schema=schema))
        told = {row["impression_id"]: (row["request.tags"], row["request.slot"], row["click"]) for row in unique}
        assert told == {"m1": (["a", "b"], None, True), "m2": ([], "top", False)}
        assert repeats == Repeats(versions=2)


def test_impressions_of_one_id_that_differ_in_a_declared_column_are_no_copies() -> None:
    rows = [impression(**{"request.slot": slot}) for slot in ("top", "side")]
    unique, repeats = kept(pa.Table.from_pylist(rows, schema=contract_with("impressions", OWN).schema))
    assert len(unique) == 1
    assert repeats == Repeats(conflicts=1, conflict="impression_id 'm1': request.slot 'side' and 'top'")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["impressions", "events", "ads"]))
def test_neither_order_nor_the_cut_into_files_decides(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    made = {"impressions": impressions_table(rng, users=3, impressions=12), "events": events_table(rng, 3, 12, 4)}
    table = {**made, "ads": ads_table(12)}[name]
    rule = RULES[name]
    column = table.schema.get_field_index(rule.id)
    few_ids = pa.array([f"x{number}" for number in rng.integers(0, 4, table.num_rows)])
    table = table.set_column(column, table.schema.field(column), few_ids)
    first = unique_rows(table, rule)
    again = unique_rows(table.take(rng.permutation(table.num_rows)), rule)
    assert first[1] == again[1]
    order = [(column, "ascending") for column in table.column_names]
    assert first[0].sort_by(order).equals(again[0].sort_by(order))


@pytest.mark.parametrize("name", RULES)
def test_every_column_of_a_rule_is_one_of_its_contract(name: str) -> None:
    rule = RULES[name]
    assert {rule.id, *rule.names, *rule.merged, *filter(None, [rule.newest])} <= set(rule.contract.schema.names)
