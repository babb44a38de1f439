"""Parsing of live records: columns by hand, reasons of refusal, and the same verdict as the contracts give."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.features import RECORD_COLUMNS, AdTable, FeatureConfig, RecordKind, keyed_events, with_categories
from rosa_ray.records import EXAMPLES, RecordParser, late_refusals, to_us
from rosa_ray.records.config import RecordsConfig
from rosa_ray.records.ignored_fields import MAX_NAMES, OTHERS, add_fields
from rosa_ray.schema import ADS as ADS_CONTRACT
from rosa_ray.schema import MISSING_KEY, hash_id
from rosa_ray.sources.times import TimeForm
from tests.synthetic import ads_table, events_table

NOW_US = 1_800_000_000_000_000
ADS = AdTable.from_table(ads_table())
PARSER = RecordParser(ADS, now_us=lambda: NOW_US)
SHOWN = {"impression_id": "m1", "user_id": "u1", "ad_id": "a4", "request_time": "2026-01-31T09:30:00Z"}
SHOWN_US = 1_769_851_800_000_000


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def event(**fields: object) -> bytes:
    return line(**{**EXAMPLES["event"], **fields})


def test_columns_of_each_type() -> None:
    lines = [
        line(type="click", **SHOWN),
        event(event_time="2026-01-31T10:30:00.000001+01:00", price=None),
        line(type="impression", **SHOWN, bid=0.5, cost=0.25, device="mobile", position=0),
        line(type="conversion", **SHOWN, conversion_time="2026-01-31T09:31:00Z", revenue=3.0),
    ]
    parsed = PARSER.parse_lines(lines)
    columns = parsed.columns
    assert {name: values.dtype for name, values in columns.items()} == RECORD_COLUMNS
    assert (parsed.refusals, parsed.rows.tolist()) == ((), [0, 1, 2, 3])
    assert columns["kind"].tolist() == [
        RecordKind.CLICK,
        RecordKind.EVENT,
        RecordKind.IMPRESSION,
        RecordKind.CONVERSION,
    ]
    assert columns["record_id"].tolist() == ["m1", "e-000123", "m1", "m1"]
    assert columns["time_us"].tolist() == [SHOWN_US, SHOWN_US + 1, SHOWN_US, SHOWN_US + 60_000_000]
    assert columns["shown_us"].tolist() == [SHOWN_US, 0, SHOWN_US, SHOWN_US]
    assert columns["user_key"].tolist() == [hash_id(user) for user in ("u1", "u17", "u1", "u1")]
    assert columns["ad_key"].tolist() == [hash_id("a4"), 0, hash_id("a4"), hash_id("a4")]
    assert columns["campaign_key"].tolist() == [hash_id("k1"), 0, hash_id("k1"), hash_id("k1")]
    assert columns["item_key"][1] == hash_id("i42")
    assert columns["category_key"][1] == hash_id("shoes")
    assert columns["behavior"].tolist() == [0, 2, 0, 0]
    assert np.isnan(columns["price"]).all()
    assert columns["bid"].tolist() == [0, 0, 0.5, 0]
    assert columns["cost"].tolist() == [0, 0, 0.25, 0]


def test_behaviours_of_a_team_s_own_are_read_and_others_are_refused_by_name() -> None:
    parser = replace(PARSER, features=FeatureConfig(behaviors={"look": 0, "save": 1, "7": 2}))
    lines = [
        event(event_id="e1", behavior="save"),
        event(event_id="e2", behavior="cart"),
        event(event_id="e3", behavior=7),
        event(event_id="e4", behavior="cart", event_time="noon"),
    ]
    parsed = parser.parse_lines(lines)
    assert parsed.columns["behavior"].tolist() == [1, 2]
    assert parsed.rows.tolist() == [0, 2]
    assert [(one.index, one.reason, one.detail) for one in parsed.refusals] == [
        (1, "malformed", "behavior: is none of look, save, 7"),
        (3, "malformed", "behavior: is none of look, save, 7"),
    ]


def test_a_click_has_a_time_of_its_own_and_counts_at_the_request() -> None:
    columns = PARSER.parse_lines([line(type="click", **SHOWN, click_time="2026-01-31T09:30:07Z")]).columns
    assert (columns["time_us"][0], columns["shown_us"][0]) == (SHOWN_US + 7_000_000, SHOWN_US)


REFUSED = {
    "malformed": [
        b"",
        b"nonsense",
        b"[1]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        event()[:-1],
        event(type="visit"),
        event(type=1),
        event(price=-0.5),
        event(price="-0.5"),
        event(price="$3"),
        event(price="3,5"),
        event(price="inf"),
        event(price=True),
        event(user_id=True),
        event(user_id=1.5),
        event(user_id=2.0**53 + 2),
        event(user_id=None),
        event(user_id=["u"]),
        event(event_id=10**256),
        event(user_id=""),
        event(user_id="x" * 257),
        event(behavior="buy"),
        event(event_time="2026-01-31T09:30:00"),
        event(event_time="2026-02-30T09:30:00Z"),
        event(event_time="1989-12-31T23:59:59Z"),
        event(event_time="1990-01-01T00:00:00+00:01"),
        event(event_time="2100-01-01T00:00:00Z"),
        event(event_time=1769851800),
        event(event_time="1769851800"),
        event(event_time=True),
        event(event_time=""),
        event(event_time="noon"),
        event().replace(b"59.9", b"NaN"),
        event().replace(b"59.9", b"1e999"),
        line(type="impression", **SHOWN, bid=0.0, cost=0.1),
        line(type="click", **{**SHOWN, "user_id": ""}),
        line(type="click", **{name: value for name, value in SHOWN.items() if name != "user_id"}),
        line(type="click", **SHOWN, click_time="2026-01-31T09:29:59Z"),
        line(type="conversion", **SHOWN),
        line(type="conversion", **SHOWN, conversion_time="2026-01-31T09:29:59Z"),
    ],
    "oversize": [event(category="x" * 20_000), b"x" * 20_000],
    "future": [
        event(event_time="2027-01-15T08:05:01Z"),
        line(type="click", **SHOWN, click_time="2028-01-01T00:00:00Z"),
    ],
}


@pytest.mark.parametrize(("reason", "bad"), [(reason, bad) for reason, lines in REFUSED.items() for bad in lines])
def test_one_refused_line_leaves_the_others(reason: str, bad: bytes) -> None:
    parsed = PARSER.parse_lines([event(event_id="one"), bad, event(event_id="two")])
    assert [(refusal.index, refusal.reason) for refusal in parsed.refusals] == [(1, reason)]
    assert parsed.rows.tolist() == [0, 2]
    assert parsed.columns["record_id"].tolist() == ["one", "two"]
    detail = parsed.refusals[0].detail
    assert detail
    assert "\n" not in detail
    assert "x" * 10 not in detail


def test_feedback_on_an_unknown_ad_is_taken_without_a_campaign_and_counted() -> None:
    parsed = PARSER.parse_lines([line(type="click", **{**SHOWN, "ad_id": "a99"}), line(type="click", **SHOWN), event()])
    assert (parsed.refusals, parsed.unknown_ads) == ((), 1)
    assert parsed.columns["ad_key"].tolist() == [hash_id("a99"), hash_id("a4"), 0]
    assert parsed.columns["campaign_key"].tolist() == [MISSING_KEY, hash_id("k1"), 0]


def test_a_future_record_of_an_unknown_ad_is_refused_and_not_counted() -> None:
    late = {**SHOWN, "ad_id": "a99", "request_time": "2027-06-01T00:00:00Z"}
    parsed = PARSER.parse_lines([line(type="click", **late)])
    assert ([refusal.reason for refusal in parsed.refusals], parsed.unknown_ads) == (["future"], 0)


def test_feedback_belongs_to_the_campaign_of_its_request() -> None:
    ads = ads_table().slice(4, 1).to_pylist()
    later = datetime(2026, 1, 31, 10, tzinfo=UTC)
    rows = [*ads, {**ads[0], "campaign_id": "new", "valid_from": later}]
    parser = RecordParser(AdTable.from_table(pa.Table.from_pylist(rows, ADS_CONTRACT.schema)), now_us=lambda: NOW_US)
    after = {**SHOWN, "request_time": later.isoformat()}
    bought = {"conversion_time": "2026-02-01T09:30:00Z"}
    parsed = parser.parse_lines([line(type="conversion", **SHOWN, **bought), line(type="click", **after)])
    assert parsed.columns["campaign_key"].tolist() == [hash_id("k1"), hash_id("new")]


def test_up_to_the_allowed_future_is_accepted() -> None:
    assert not PARSER.parse_lines([event(event_time="2027-01-15T08:05:00Z")]).refusals


def test_a_type_in_another_field_or_spelled_by_escapes_changes_nothing() -> None:
    tricky = [event(category='"type"'), event().replace(b"{", b'{"\\u0074ype":"event",', 1)]
    tricky.append(line(type="click", **SHOWN).replace(b'"type"', b'"\\u0074ype"'))
    parsed = PARSER.parse_lines(tricky)
    assert not parsed.refusals
    assert parsed.columns["kind"].tolist() == [RecordKind.EVENT, RecordKind.EVENT, RecordKind.CLICK]


def test_user_ids_become_pseudonyms_before_they_are_hashed() -> None:
    parser = RecordParser(ADS, pseudonym=lambda user: user[::-1], now_us=lambda: NOW_US)
    assert parser.parse_lines([event(user_id="abc")]).columns["user_key"].tolist() == [hash_id("cba")]


def test_late_rows_of_the_store_are_lines_again() -> None:
    parsed = PARSER.parse_lines([b"x", event(event_id="one"), event(event_id="two")])
    assert [(r.index, r.reason) for r in late_refusals(parsed, np.array([1]))] == [(2, "late")]


def test_a_blank_line_is_nothing() -> None:
    parsed = PARSER.parse_lines([b" " * 40 + b"\n", b"  "])
    assert not len(parsed.rows)
    assert not parsed.refusals


def test_nothing_parses_to_nothing() -> None:
    parsed = PARSER.parse_lines([])
    assert {name: len(values) for name, values in parsed.columns.items()} == dict.fromkeys(RECORD_COLUMNS, 0)


FORGIVEN = [
    ({"event_id": 3}, "record_id", "3"),
    ({"event_id": 1007.0}, "record_id", "1007"),
    ({"event_id": -7}, "record_id", "-7"),
    ({"event_id": "007"}, "record_id", "007"),
    ({"user_id": 7_300_000_000_000_001}, "user_key", hash_id("7300000000000001")),
    ({"item_id": 10**20}, "item_key", hash_id("1" + "0" * 20)),
    ({"category": 5}, "category_key", hash_id("5")),
    ({"price": "12.50"}, "price", 12.5),
    ({"price": " 3 "}, "price", 3.0),
    ({"price": "1e1"}, "price", 10.0),
    ({"event_time": "2026-01-31T09:30:00.123456789Z"}, "time_us", SHOWN_US + 123_456),
    ({"event_time": "2026-01-31T09:30:00.9999999Z"}, "time_us", SHOWN_US + 999_999),
    ({"event_time": "2026-01-31 09:30:00 UTC"}, "time_us", SHOWN_US),
    ({"event_time": "2026-01-31T15:00:00+0530"}, "time_us", SHOWN_US),
]


@pytest.mark.parametrize(("fields", "column", "value"), FORGIVEN)
def test_values_are_taken_as_a_log_takes_them(fields: dict[str, object], column: str, value: object) -> None:
    given = json.loads(event(**fields))
    for parsed in (PARSER.parse_lines([event(**fields)]), PARSER.parse_values([given])):
        assert parsed.refusals == ()
        assert parsed.columns[column].tolist() == [value]


@pytest.mark.parametrize("absent", [None, "", "NULL", "null", r"\N", "<NA>"])
def test_what_says_nothing_is_absent(absent: str | None) -> None:
    optional = [
        event(category=absent, price=absent),
        line(type="impression", **SHOWN, bid="0.5", cost=0, device=absent, region=absent, position=absent),
        line(type="click", **SHOWN, click_time=absent),
        line(type="conversion", **SHOWN, conversion_time="2026-01-31T09:31:00Z", revenue=absent),
    ]
    bare = [event(), optional[1], line(type="click", **SHOWN), optional[3]]
    parsed = PARSER.parse_lines(optional)
    assert parsed.refusals == ()
    assert (parsed.columns["category_key"][0], np.isnan(parsed.columns["price"][0])) == (0, True)
    assert parsed.columns["time_us"].tolist() == PARSER.parse_lines(bare).columns["time_us"].tolist()


def test_what_an_impression_does_not_say_is_filled_as_in_a_log_that_lacks_it() -> None:
    sent = [line(type="impression", **{**SHOWN, "user_id": None}), line(type="impression", **SHOWN, bid=None, cost="")]
    parser = RecordParser(ADS, pseudonym=lambda user: user[::-1], now_us=lambda: NOW_US)
    columns = parser.parse_lines(sent).columns
    bid = ads_table()["bid"].to_pylist()[4]
    assert (columns["bid"].tolist(), columns["cost"].tolist()) == ([bid, bid], [0.0, 0.0])
    assert columns["user_key"].tolist() == [MISSING_KEY, hash_id("1u")]


EPOCH = [
    ("s", 1_769_851_800, SHOWN_US),
    ("s", 1_769_851_800.25, SHOWN_US + 250_000),
    ("ms", 1_769_851_800_001, SHOWN_US + 1_000),
    ("ms", "1769851800001", SHOWN_US + 1_000),
    ("us", SHOWN_US + 1, SHOWN_US + 1),
    ("ns", SHOWN_US * 1000 + 999, SHOWN_US),
]


@pytest.mark.parametrize(("unit", "sent", "expected_us"), EPOCH)
def test_numbers_are_times_where_a_unit_is_declared(unit: str, sent: object, expected_us: int) -> None:
    form = RecordsConfig(time_unit=unit).time_form  # type: ignore[arg-type]
    parser = RecordParser(ADS, now_us=lambda: NOW_US, time_form=form)
    mixed = [event(event_id="a", event_time=sent), event(event_id="b"), event(event_id="c", event_time=10**30)]
    parsed = parser.parse_lines(mixed)
    assert [refusal.index for refusal in parsed.refusals] == [2]
    assert parsed.columns["time_us"].tolist() == [expected_us, SHOWN_US]


def test_a_time_without_a_zone_takes_the_declared_one_with_its_summer_time() -> None:
    parser = RecordParser(ADS, now_us=lambda: NOW_US, time_form=TimeForm(zone="Europe/Paris"))
    times = ["2026-01-31T10:30:00", "2026-07-31 10:30:00.5", "2026-01-31T09:30:00Z"]
    parsed = parser.parse_lines([event(event_id=time, event_time=time) for time in times])
    summer_us = 1_785_486_600_500_000
    assert parsed.columns["time_us"].tolist() == [SHOWN_US, summer_us, SHOWN_US]


@pytest.mark.parametrize(
    ("sent", "named"),
    [("2026-01-31T09:30:00", "records.time_zone"), (1769851800, "records.time_unit"), ("1769851800", "time_unit")],
)
def test_a_time_that_a_setting_would_read_names_it(sent: object, named: str) -> None:
    (refusal,) = PARSER.parse_lines([event(event_time=sent)]).refusals
    assert named in refusal.detail


def test_unknown_fields_are_ignored_named_and_counted() -> None:
    lines = [event(utm="x", click=1), event(event_id="two"), event(event_id="three", utm=None), b"nonsense"]
    parsed = PARSER.parse_lines(lines)
    assert parsed.rows.tolist() == [0, 1, 2]
    assert parsed.ignored_fields == {"utm": 2, "click": 1}
    assert PARSER.parse_values([json.loads(one) for one in lines[:3]]).ignored_fields == parsed.ignored_fields


def test_names_of_unknown_fields_stay_few_and_short() -> None:
    parsed = PARSER.parse_lines([event(**{f"{number:03d}" + "y" * 100: 1}) for number in range(100)])
    names = list(parsed.ignored_fields)
    assert (len(names), names[-1], max(map(len, names))) == (MAX_NAMES + 1, OTHERS, 64)
    total: dict[str, int] = {}
    add_fields(total, parsed.ignored_fields)
    add_fields(total, {"z": 5})
    assert total == {**parsed.ignored_fields, OTHERS: parsed.ignored_fields[OTHERS] + 5}


def test_text_that_is_no_unicode_refuses_its_record_only() -> None:
    broken = [{**EXAMPLES["event"], **odd} for odd in ({"user_id": "\ud800"}, {"event_id": "e2", "\ud800": 1})]
    parsed = PARSER.parse_values([*broken, {**EXAMPLES["event"], "event_id": "e3"}])
    assert parsed.columns["record_id"].tolist()[-1] == "e3"
    assert json.dumps(parsed.ignored_fields, ensure_ascii=False).encode()


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_times_are_exact_to_the_microsecond(time: datetime, minutes: int) -> None:
    zoned = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    exact = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert to_us(zoned) == exact
    event_us = RecordParser(ADS, now_us=lambda: 2**62).parse_lines([event(event_time=zoned.isoformat())])
    assert event_us.refusals or event_us.columns["time_us"].tolist() == [exact]


def test_live_events_without_a_category_are_those_of_the_log_bit_for_bit() -> None:
    table = events_table(np.random.default_rng(5))
    categories = [None if row % 3 else name for row, name in enumerate(table["category"].to_pylist())]
    table = table.set_column(table.column_names.index("category"), "category", pa.array(categories, pa.string()))
    offline = with_categories(keyed_events(table), ADS)
    rows = table.to_pylist()
    sent = [json.dumps({**row, "event_time": row["event_time"].isoformat()}).encode() for row in rows]
    live = PARSER.parse_lines(sent).columns
    order = np.lexsort((live["record_id"], live["time_us"], live["user_key"]))
    for name in ("user_key", "time_us", "item_key", "category_key", "behavior", "price"):
        assert live[name][order].tobytes() == np.asarray(offline[name]).tobytes(), name
    assert (offline["category_key"] != 0).all()


def test_what_is_no_object_is_told_so() -> None:
    refusals = PARSER.parse_values([5, ["x"], None]).refusals
    assert [refusal.detail for refusal in refusals] == ["is no JSON object"] * 3
