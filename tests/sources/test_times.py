"""Times as files write them, in UTC."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rosa_ray.sources.time_texts import pattern_of
from rosa_ray.sources.times import TimeForm, read_times, time_remedy

NAIVE, BAD = "naive", "bad"


def times_of(values, kind=None, **form):
    times = read_times(pa.chunked_array([pa.array(values, kind)]), TimeForm(**form), ("", "NULL"))
    marks = [(times.bad, BAD), (times.naive, NAIVE)]
    found = []
    for at, moment in enumerate(times.values.to_pylist()):
        said = [name for mask, name in marks if mask is not None and mask[at]]
        assert len(said) <= 1
        assert not (said and moment)
        found.append(said[0] if said else moment and moment.astimezone(UTC).replace(tzinfo=None).isoformat(" "))
    return found


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-10-10T10:59:16Z", "2026-10-10 10:59:16"),
        ("2026-10-10 10:59:16+00:00", "2026-10-10 10:59:16"),
        ("2026-10-10T10:59:16+0530", "2026-10-10 05:29:16"),
        ("2026-10-10T10:59:16+05:30", "2026-10-10 05:29:16"),
        ("2026-10-10T10:59:16+5:30", "2026-10-10 05:29:16"),
        ("2026-10-10T10:59:16 -03", "2026-10-10 13:59:16"),
        ("2026-10-10T10:59:16-03:30", "2026-10-10 14:29:16"),
        ("2026-10-10 10:59:16 UTC", "2026-10-10 10:59:16"),
        ("2026-10-10 10:59:16.5 UTC", "2026-10-10 10:59:16.500000"),
        ("2026-10-10 10:59:16 +0000 UTC", "2026-10-10 10:59:16"),
        ("2026-10-10 10:59:16 GMT", "2026-10-10 10:59:16"),
        ("2026-10-10t10:59:16z", "2026-10-10 10:59:16"),
        ("2026-10-10T10:59:16.123456789Z", "2026-10-10 10:59:16.123456"),
        ("2026-10-10T10:59:16.9999999Z", "2026-10-10 10:59:16.999999"),
        ("2026-10-10 10:59:16,25Z", "2026-10-10 10:59:16.250000"),
        ("2026-10-10T10:59Z", "2026-10-10 10:59:00"),
        ("2026/10/10 10:59:16 UTC", "2026-10-10 10:59:16"),
        (" 2026-10-10T10:59:16Z ", "2026-10-10 10:59:16"),
        ("2026-12-31T23:59:60Z", "2027-01-01 00:00:00"),
        ("2026-10-10 10:59:16", NAIVE),
        ("2026-10-10 10:59:16.123456789", NAIVE),
        ("2026-10-10", NAIVE),
        ("2026-02-29T00:00:00Z", BAD),
        ("2026-13-01T00:00:00Z", BAD),
        ("2026-10-10T24:00:00Z", BAD),
        ("10/10/2026 10:59", BAD),
        ("1791629956", BAD),
        ("noon", BAD),
        ("", None),
        ("NULL", None),
        (None, None),
    ],
)
def test_a_time_in_iso_8601(text, utc):
    assert times_of([text, "2026-01-01T00:00:00Z", "nonsense"])[0] == utc


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("UTC", "2026-10-10 10:59:16", "2026-10-10 10:59:16"),
        ("UTC", "2026-10-10 10:59:16 UTC", "2026-10-10 10:59:16"),
        ("Asia/Shanghai", "2026-10-10 10:59:16", "2026-10-10 02:59:16"),
        ("Asia/Shanghai", "2026-10-10 10:59:16Z", "2026-10-10 10:59:16"),
        ("Europe/Paris", "2026-07-01 12:00:00", "2026-07-01 10:00:00"),
        ("Europe/Paris", "2026-12-01 12:00:00", "2026-12-01 11:00:00"),
        ("Europe/Paris", "2026-03-29 01:59:59", "2026-03-29 00:59:59"),
        ("Europe/Paris", "2026-03-29 02:30:00", "2026-03-29 01:30:00"),
        ("Europe/Paris", "2026-03-29 03:00:00", "2026-03-29 01:00:00"),
        ("Europe/Paris", "2026-10-25 02:30:00", "2026-10-25 00:30:00"),
        ("America/St_Johns", "2026-07-01 12:00:00", "2026-07-01 14:30:00"),
        ("+05:30", "2026-10-10 10:59:16", "2026-10-10 05:29:16"),
        ("-0330", "2026-10-10 10:59:16", "2026-10-10 14:29:16"),
        ("Asia/Shanghai", "2026-10-10", "2026-10-09 16:00:00"),
        ("Asia/Shanghai", "2026-10-10 10:59:16.123456789", "2026-10-10 02:59:16.123456"),
    ],
)
def test_a_time_without_zone_is_of_the_stated_one(zone, text, utc):
    assert times_of([text], zone=zone) == [utc]
    assert times_of([text, "nonsense"], zone=zone) == [utc, BAD]


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.sampled_from(["Europe/Paris", "America/New_York"]))
def test_zones_agree_with_the_standard_library(local, zone):
    utc = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    assert times_of([local.isoformat()], zone=zone) == [utc]


@pytest.mark.parametrize(
    ("time_format", "text", "utc"),
    [
        ("%d/%m/%Y %H:%M", "10/11/2026 22:59", "2026-11-10 22:59:00"),
        ("%m/%d/%Y %I:%M %p", "10/13/2026 10:59 PM", "2026-10-13 22:59:00"),
        ("%m/%d/%Y %I:%M %p", "10/13/2026 12:00 am", "2026-10-13 00:00:00"),
        ("%m/%d/%Y %I:%M %p", "10/13/2026 12:00 p.m.", "2026-10-13 12:00:00"),
        ("%m/%d/%Y %I:%M %p", "10/13/2026 13:00 PM", BAD),
        ("%d-%b-%Y %H:%M:%S %z", "10-Oct-2026 22:59:16 +0200", "2026-10-10 20:59:16"),
        ("%A, %d %B %Y %T", "Saturday, 10 October 2026 22:59:16", "2026-10-10 22:59:16"),
        ("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2026:22:59:16 +0000", "2026-10-10 22:59:16"),
        ("%Y%m%d%H%M%S%f", "20261010225916123", "2026-10-10 22:59:16.123000"),
        ("%d.%m.%y", "1.2.26", "2026-02-01 00:00:00"),
        ("%F %T.%f", "2026-10-10 22:59:16.1234567", "2026-10-10 22:59:16.123456"),
        ("%d/%m/%Y", "31/02/2026", BAD),
        ("%d/%m/%Y", "2026-10-10T10:59:16Z", "2026-10-10 10:59:16"),
        ("%d/%m/%Y", "tomorrow", BAD),
        ("%d/%m/%Y", "NULL", None),
    ],
)
def test_a_time_as_its_format_says(time_format, text, utc):
    assert times_of([text], format=time_format, zone="UTC") == [utc]


def test_a_format_without_a_zone_needs_one():
    assert times_of(["10/11/2026", "2026-11-10", "x"], format="%d/%m/%Y") == [NAIVE, NAIVE, BAD]
    assert times_of(["10/11/2026 10:00 +0100"], format="%d/%m/%Y %H:%M %z") == ["2026-11-10 09:00:00"]


@pytest.mark.parametrize(
    ("unit", "text", "utc"),
    [
        ("s", "1791629956", "2026-10-10 10:59:16"),
        ("s", "1791629956.0", "2026-10-10 10:59:16"),
        ("s", "1791629956.25", "2026-10-10 10:59:16.250000"),
        ("s", "1791629956.1234567", "2026-10-10 10:59:16.123456"),
        ("s", "-86400.5", "1969-12-30 23:59:59.500000"),
        ("s", "1.791629956e9", "2026-10-10 10:59:16"),
        ("ms", "1791629956123", "2026-10-10 10:59:16.123000"),
        ("ms", "1791629956123.4567", "2026-10-10 10:59:16.123456"),
        ("ms", "1.791629956123E+12", "2026-10-10 10:59:16.123000"),
        ("us", "1791629956123456.9", "2026-10-10 10:59:16.123456"),
        ("ns", "1791629956123456789", "2026-10-10 10:59:16.123456"),
        ("ns", "-1", "1969-12-31 23:59:59.999999"),
        ("ms", "2026-10-10T10:59:16Z", "2026-10-10 10:59:16"),
        ("ms", "2026-10-10 10:59:16", NAIVE),
        ("s", "10:59", BAD),
        ("s", "99999999999999", BAD),
        ("s", "NULL", None),
    ],
)
def test_numbers_since_1970_are_of_the_stated_unit(unit, text, utc):
    assert times_of([text, "x"], unit=unit) == [utc, BAD]


@pytest.mark.parametrize(
    ("values", "kind", "form", "utc"),
    [
        ([1_791_629_956_000_000_999], pa.timestamp("ns", "UTC"), {}, "2026-10-10 10:59:16"),
        ([-1], pa.timestamp("ns", "UTC"), {}, "1969-12-31 23:59:59.999999"),
        ([1_791_629_956], pa.timestamp("s", "Asia/Kolkata"), {}, "2026-10-10 10:59:16"),
        ([1_791_629_956_123], pa.timestamp("ms", "+05:30"), {}, "2026-10-10 10:59:16.123000"),
        ([1_791_629_956_123], pa.timestamp("ms"), {}, NAIVE),
        ([1_791_629_956_123], pa.timestamp("ms"), {"zone": "Europe/Paris"}, "2026-10-10 08:59:16.123000"),
        ([1_791_629_956_000_000_999], pa.timestamp("ns"), {"zone": "+05:30"}, "2026-10-10 05:29:16"),
        ([date(2026, 10, 10)], pa.date32(), {"zone": "UTC"}, "2026-10-10 00:00:00"),
        ([date(2026, 10, 10)], pa.date64(), {}, NAIVE),
        ([1_791_629_956], pa.int64(), {"unit": "s"}, "2026-10-10 10:59:16"),
        ([1_791_629_956], pa.int64(), {}, BAD),
        ([1_791_629_956], pa.uint32(), {"unit": "s"}, "2026-10-10 10:59:16"),
        ([1_791_629_956.123456], pa.float64(), {"unit": "s"}, "2026-10-10 10:59:16.123456"),
        ([float("nan")], pa.float64(), {"unit": "s"}, None),
        ([1e30], pa.float64(), {"unit": "s"}, BAD),
        ([Decimal("1791629956.5")], pa.decimal128(20, 3), {"unit": "s"}, "2026-10-10 10:59:16.500000"),
        ([20261010105916], pa.int64(), {"format": "%Y%m%d%H%M%S", "zone": "UTC"}, "2026-10-10 10:59:16"),
        ([None], pa.null(), {}, None),
        ([None], pa.int64(), {}, None),
    ],
)
def test_a_typed_column_of_times(values, kind, form, utc):
    assert times_of(values, kind, **form) == [utc]


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(1990, 1, 2), datetime(2099, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_a_written_time_is_the_time(moment, minutes):
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{moment.isoformat(' ')} {sign}{hours:02d}{rest:02d}"
    utc = (moment - timedelta(minutes=minutes)).isoformat(" ")
    assert times_of([text, "x"]) == [utc, BAD]
    assert times_of(
        [f"{moment:%d.%m.%Y %H:%M:%S.%f} {sign}{hours:02d}:{rest:02d}"], format="%d.%m.%Y %H:%M:%S.%f %z"
    ) == [utc]


@pytest.mark.parametrize(
    "text",
    [
        "20261231",
        "20261231105916",
        "31/12/2026 22:59",
        "12/31/2026 10:59 PM",
        "31.12.2026",
        "2026-12-31 10:59:16 AM",
        "31-12-2026T10:59:16.25",
    ],
)
def test_a_hinted_format_reads_the_value(text):
    hint = time_remedy(text, "events.event_time", TimeForm())
    time_format = hint.split('"')[1]
    assert pattern_of(time_format)
    assert times_of([text], format=time_format, zone="UTC")[0].startswith("2026-12-31")


@pytest.mark.parametrize(
    ("text", "unit"), [("1791629956", "s"), ("1791629956123.5", "ms"), ("1791629956123456789", "ns")]
)
def test_a_hinted_unit_reads_the_value(text, unit):
    assert time_remedy(text, "events.event_time", TimeForm()) == (
        f"source.time_unit: {{events.event_time: {unit}}} reads it as 2026-10-10"
    )


def test_a_value_that_no_setting_reads_says_why():
    assert time_remedy("2026-10-10 10:59 EST", "events.event_time", TimeForm()) == (
        "'EST' is no offset from UTC, such as Z or +01:00"
    )
    assert time_remedy("2026-02-31", "events.event_time", TimeForm()) == "there is no such day or hour"
