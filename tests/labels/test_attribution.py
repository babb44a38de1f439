"""Clicks and conversions of their own logs find their impressions, whatever the order of rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from rosa_ray.data.label_join import join_labels
from rosa_ray.labels import LabelsConfig
from rosa_ray.schema import ADS, CLICKS, CONVERSIONS, IMPRESSIONS, Contract
from tests.labels.logs import joined_log, shuffled, take_apart
from tests.synthetic import ads_table

T0 = datetime(2026, 3, 1, tzinfo=UTC)
NO_VIEWS = LabelsConfig(view_through_hours=0)


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def rows(contract: Contract, *given: dict[str, Any]) -> pa.Table:
    if not given:
        return contract.schema.empty_table()
    names = list(dict.fromkeys(name for row in given for name in row))
    columns = {name: pa.array([row.get(name) for row in given], contract.schema.field(name).type) for name in names}
    table, broken = contract.check(pa.table(columns), "test")
    assert not broken
    return table


def shown(name: str, hours: float, user: str = "u", ad: str = "a1", **more: Any) -> dict[str, Any]:
    bare = {"click": False, "conversion": False, "revenue": 0.0, "cost": 0.0, "bid": 1.0, "request_id": name}
    return bare | {"impression_id": name, "user_id": user, "ad_id": ad, "request_time": at(hours)} | more


def join(
    impressions: list[dict[str, Any]],
    clicks: list[dict[str, Any]],
    conversions: list[dict[str, Any]],
    config: LabelsConfig = NO_VIEWS,
) -> tuple[dict[str, dict[str, Any]], dict[str, int], dict[str, str]]:
    ads = rows(
        ADS,
        {"ad_id": "a1", "item_id": "i1", "campaign_id": "k", "category": "c", "bid": 1.0, "price": 30.0},
        {"ad_id": "a2", "item_id": "i1", "campaign_id": "k", "category": "c", "bid": 1.0, "price": 40.0},
    )
    table, counts, examples = join_labels(
        rows(IMPRESSIONS, *impressions), rows(CLICKS, *clicks), rows(CONVERSIONS, *conversions), ads, config
    )
    return {row["impression_id"]: row for row in table.to_pylist()}, counts, examples


def click(hours: float, **more: Any) -> dict[str, Any]:
    return {"click_time": at(hours), **more}


def conversion(hours: float, revenue: float | None = 10.0, **more: Any) -> dict[str, Any]:
    return {"conversion_time": at(hours), "revenue": revenue, **more}


PAIR = {"user_id": "u", "ad_id": "a1"}


@pytest.mark.parametrize("by", ["impression", "click", "pair"])
@pytest.mark.parametrize("seed", range(5))
def test_a_log_in_three_files_is_the_joined_log(by: str, seed: int) -> None:
    whole = joined_log(seed, spread=by == "pair")
    parts = (shuffled(table, seed + place) for place, table in enumerate(take_apart(whole, by)))
    table, counts, _ = join_labels(*parts, ads_table(), NO_VIEWS)
    assert not counts
    order = [("impression_id", "ascending")]
    assert table.sort_by(order).to_pylist() == whole.sort_by(order).to_pylist()


@pytest.mark.parametrize("touch", ["last", "first"])
def test_the_order_of_rows_decides_nothing_even_where_much_fits(touch: str) -> None:
    config = LabelsConfig(touch=touch, view_through_hours=100)  # type: ignore[arg-type]
    apart = take_apart(joined_log(3), "pair")
    found = []
    for seed in range(3):
        table, counts, examples = join_labels(*(shuffled(one, seed) for one in apart), ads_table(), config)
        found.append((table.sort_by("impression_id").to_pylist(), counts, examples))
    assert found[0] == found[1] == found[2]
    assert found[0][1]["ambiguous_clicks"] > 0


def test_what_does_not_join_is_counted_by_reason_with_an_example() -> None:
    _, counts, examples = join(
        [shown("m1", 0), shown("m2", 5, user="v"), shown("m3", 5, user="v")],
        [
            click(1, impression_id="m9"),
            click(-1, impression_id="m1"),
            click(99, **PAIR),
            click(6, user_id="v", ad_id="a1"),
            click(1, user_id="w", ad_id="a1"),
        ],
        [
            conversion(1, click_id="c9"),
            conversion(1, impression_id="m9"),
            conversion(900, **PAIR),
            conversion(-1, impression_id="m1"),
            conversion(2, user_id="w", ad_id="a1"),
            conversion(3, -5.0, impression_id="m1"),
        ],
    )
    assert counts == {
        "clicks_without_impression": 2,
        "clicks_before_impression": 1,
        "clicks_outside_window": 1,
        "ambiguous_clicks": 1,
        "conversions_without_their_click": 1,
        "conversions_without_impression": 2,
        "conversions_outside_windows": 2,
        "conversions_before_impression": 1,
    }
    assert examples["clicks_outside_window"] == "user_id 'u', ad_id 'a1': 2026-03-05T03:00:00+00:00"
    assert set(examples) == set(counts)


def test_a_click_belongs_to_the_last_impression_before_it() -> None:
    found, counts, _ = join([shown("m1", 0), shown("m2", 2), shown("m3", 4)], [click(3, **PAIR, cost=0.5)], [])
    assert [found[name]["click"] for name in ("m1", "m2", "m3")] == [False, True, False]
    assert found["m2"]["click_time"] == at(3)
    assert found["m2"]["cost"] == 0.5
    assert not counts


@pytest.mark.parametrize(("touch", "credited"), [("last", "m2"), ("first", "m1")])
def test_a_conversion_follows_the_touch_that_is_asked_for(touch: str, credited: str) -> None:
    config = LabelsConfig(touch=touch, view_through_hours=0)  # type: ignore[arg-type]
    clicks = [click(1, impression_id="m1"), click(3, impression_id="m2")]
    found, _, _ = join([shown("m1", 0), shown("m2", 2)], clicks, [conversion(5, **PAIR)], config)
    assert [name for name, row in found.items() if row["conversion"]] == [credited]
    assert found[credited]["conversion_time"] == at(5)


def test_the_first_touch_lies_inside_of_the_window() -> None:
    config = LabelsConfig(touch="first", click_through_hours=3, view_through_hours=0)
    clicks = [click(1, impression_id="m1"), click(3, impression_id="m2")]
    found, _, _ = join([shown("m1", 0), shown("m2", 2)], clicks, [conversion(5, **PAIR)], config)
    assert [name for name, row in found.items() if row["conversion"]] == ["m2"]


def test_a_click_goes_before_a_view_and_a_view_keeps_its_impression() -> None:
    config = LabelsConfig(view_through_hours=24)
    found, counts, _ = join(
        [shown("m1", 0), shown("m2", 2), shown("m3", 2, user="v")],
        [click(1, impression_id="m1")],
        [conversion(5, **PAIR), conversion(6, user_id="v", ad_id="a1"), conversion(90, user_id="v", ad_id="a1")],
        config,
    )
    assert [(row["click"], row["conversion"]) for row in found.values()] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    assert counts == {"conversions_outside_windows": 1}


def test_a_conversion_of_an_item_finds_the_ad_that_showed_it() -> None:
    bought = [conversion(5, user_id="u", item_id="i1")]
    found, _, _ = join([shown("m1", 0), shown("m2", 2, ad="a2")], [click(3, impression_id="m2")], bought)
    assert [name for name, row in found.items() if row["conversion"]] == ["m2"]


def test_revenue_is_that_of_all_conversions_of_a_click_or_of_the_first() -> None:
    clicks, bought = [click(1, impression_id="m1", click_id="c")], [conversion(5, 7.5, click_id="c")]
    bought += [conversion(3, 2.5, click_id="c")]
    every, _, _ = join([shown("m1", 0)], clicks, bought)
    assert (every["m1"]["revenue"], every["m1"]["conversion_time"]) == (10.0, at(3))
    first, counts, _ = join([shown("m1", 0)], clicks, bought, LabelsConfig(conversions_per_click="first"))
    assert (first["m1"]["revenue"], counts) == (2.5, {"further_conversions": 1})


def test_refunds_are_taken_from_the_revenue_and_never_below_zero() -> None:
    clicks = [click(1, impression_id="m1"), click(1, impression_id="m2")]
    bought = [
        conversion(2, 20.0, impression_id="m1", conversion_id="o1"),
        conversion(9000, -5.0, user_id="u", item_id="i9", conversion_id="o1"),
        conversion(2, 20.0, impression_id="m2"),
        conversion(3, -30.0, impression_id="m2"),
    ]
    found, counts, examples = join([shown("m1", 0), shown("m2", 0)], clicks, bought)
    assert [(row["conversion"], row["revenue"]) for row in found.values()] == [(True, 15.0), (True, 0.0)]
    assert counts == {"refunds_above_revenue": 1}
    assert "m2" in examples["refunds_above_revenue"]


def test_a_refund_alone_is_no_conversion() -> None:
    found, counts, _ = join([shown("m1", 0)], [click(1, impression_id="m1")], [conversion(2, -3.0, impression_id="m1")])
    assert not found["m1"]["conversion"]
    assert counts == {"refunds_without_conversion": 1}


def test_an_unknown_revenue_is_the_price_of_the_ad_and_copies_count_once() -> None:
    twice = [conversion(2, None, impression_id="m1")] * 2
    found, counts, _ = join([shown("m1", 0)], [click(1, impression_id="m1", cost=0.2)] * 2, twice)
    assert (found["m1"]["revenue"], found["m1"]["cost"]) == (30.0, 0.2)
    assert counts == {"duplicate_clicks": 1, "duplicate_conversions": 1}


def test_an_id_that_names_two_impressions_is_told_apart_by_user_and_ad_or_not_at_all() -> None:
    impressions = [shown("m1", 0), shown("m1", 0, user="v")]
    found, counts, _ = join(impressions, [click(1, impression_id="m1", user_id="v", ad_id="a1")], [])
    assert not counts
    assert found["m1"]["user_id"] == "v"
    assert found["m1"]["click"]
    assert join(impressions, [click(1, impression_id="m1")], [])[1] == {"ambiguous_clicks": 1}


def test_labels_of_the_impressions_stay() -> None:
    own = shown("m1", 0, click=True, conversion=True, conversion_time=at(4), revenue=9.0, cost=0.4)
    found, _, _ = join([own], [click(2, impression_id="m1", cost=0.1)], [conversion(3, 1.0, impression_id="m1")])
    row = found["m1"]
    assert (row["click_time"], row["conversion_time"], row["revenue"], row["cost"]) == (at(0), at(3), 9.0, 0.4)


def test_every_version_of_an_impression_gets_the_labels() -> None:
    versions = [shown("m1", 0), shown("m1", 0, device="phone")]
    table, counts, _ = join_labels(
        rows(IMPRESSIONS, *versions),
        rows(CLICKS, click(1, **PAIR)),
        rows(CONVERSIONS),
        rows(ADS, {"ad_id": "a1", "campaign_id": "k", "category": "c", "bid": 1.0, "price": 3.0}),
        NO_VIEWS,
    )
    assert (table["click"].to_pylist(), counts) == ([True, True], {})


@pytest.mark.parametrize(("hours", "clicked"), [(700, True), (8_000, False)])
def test_a_click_that_names_its_impression_does_not_count_years_later(hours: float, clicked: bool) -> None:
    found, counts, examples = join([shown("m", 0)], [click(hours, impression_id="m", cost=0.5)], [])
    assert (found["m"]["click"], found["m"]["cost"]) == (clicked, 0.5 * clicked)
    assert counts == ({} if clicked else {"clicks_outside_window": 1})
    assert clicked or "impression_id 'm'" in examples["clicks_outside_window"]


def test_a_longer_window_of_clicks_holds_for_those_with_ids_too() -> None:
    found, _, _ = join([shown("m", 0)], [click(2_000, impression_id="m")], [], LabelsConfig(click_hours=2_400))
    assert found["m"]["click"]


def test_revenue_is_that_of_conversions_inside_of_the_window_and_known_then() -> None:
    clicks = [click(1, impression_id="m", click_id="c")]
    bought = [
        conversion(2, 10.0, click_id="c", conversion_id="first"),
        conversion(30, 7.0, click_id="c", conversion_id="late"),
        conversion(60, -7.0, click_id="c", conversion_id="late"),
        conversion(70, -2.0, click_id="c", conversion_id="first"),
    ]
    for more, revenue in (
        ({}, 8.0),
        ({"attribution_days": 1}, 8.0),
        ({"as_of": at(65).isoformat()}, 10.0),
        ({"as_of": at(40).isoformat()}, 17.0),
        ({"attribution_days": 1, "as_of": at(40).isoformat()}, 10.0),
    ):
        found, _, _ = join([shown("m", 0)], clicks, bought, LabelsConfig(view_through_hours=0, **more))
        assert found["m"]["revenue"] == revenue, more


def test_clicks_and_conversions_of_a_partition_without_impressions_are_told() -> None:
    clicks = [click(1, **PAIR), click(1, **PAIR), click(2, impression_id="m")]
    bought = [conversion(3, click_id="c"), conversion(3, **PAIR), conversion(4, impression_id="m", click_id="c")]
    found, counts, examples = join([], clicks, bought)
    assert found == {}
    assert counts == {
        "clicks_without_impression": 2,
        "duplicate_clicks": 1,
        "conversions_without_impression": 2,
        "conversions_without_their_click": 1,
    }
    assert "click_id 'c'" in examples["conversions_without_their_click"]
