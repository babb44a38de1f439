"""Parsing of live records: columns by hand, reasons of refusal, and the same verdict as the contracts give."""

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosa_ray.features import RECORD_COLUMNS, AdTable, RecordKind
from rosa_ray.records import EXAMPLES, RecordParser, late_refusals, to_us
from rosa_ray.records.fields import times_us
from rosa_ray.schema import ADS as ADS_CONTRACT
from rosa_ray.schema import MISSING_KEY, hash_id
from tests.synthetic import ads_table

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
        event(surprise=1),
        event(price=-0.5),
        event(price="3"),
        event(user_id=""),
        event(user_id="x" * 257),
        event(behavior="buy"),
        event(event_time="2026-01-31T09:30:00"),
        event(event_time="2026-02-30T09:30:00Z"),
        event(event_time="2026-01-31T09:30:00.1234567Z"),
        event(event_time="1989-12-31T23:59:59Z"),
        event(event_time="1990-01-01T00:00:00+00:01"),
        event(event_time="2100-01-01T00:00:00Z"),
        event(event_time=1769851800),
        event().replace(b"59.9", b"NaN"),
        event().replace(b"59.9", b"1e999"),
        line(type="impression", **SHOWN),
        line(type="impression", **SHOWN, bid=0.0, cost=0.1),
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


def test_a_forgotten_users_blank_line_is_nothing() -> None:
    parsed = PARSER.parse_lines([b" " * 40 + b"\n", b"  "])
    assert not len(parsed.rows)
    assert not parsed.refusals


def test_nothing_parses_to_nothing() -> None:
    parsed = PARSER.parse_lines([])
    assert {name: len(values) for name, values in parsed.columns.items()} == dict.fromkeys(RECORD_COLUMNS, 0)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_times_are_exact_to_the_microsecond(time: datetime, minutes: int) -> None:
    zoned = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    exact = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert to_us(zoned) == exact
    assert times_us([zoned]).tolist() == [exact]
    event_us = RecordParser(ADS, now_us=lambda: 2**62).parse_lines([event(event_time=zoned.isoformat())])
    assert event_us.refusals or event_us.columns["time_us"].tolist() == [exact]
