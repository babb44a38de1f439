"""A recorded log as live records: what comes out of the parser is what preprocessing keyed."""

import numpy as np
import pytest

from rosa_ray.features import (
    RECORD_COLUMNS,
    AdTable,
    concat_records,
    event_records,
    impression_records,
    keyed_events,
    keyed_impressions,
    record_keys,
)
from rosa_ray.parity.recorded_log import RecordedLog
from rosa_ray.records import RecordParser
from rosa_ray.schema import hash_ids
from rosa_ray.units import DAY_US
from tests.synthetic import ads_table, events_table, impressions_table

ADS = AdTable.from_table(ads_table())


@pytest.fixture
def log() -> RecordedLog:
    rng = np.random.default_rng(5)
    return RecordedLog.of(events_table(rng), impressions_table(rng))


def test_lines_parse_to_what_preprocessing_keys(log: RecordedLog) -> None:
    rng = np.random.default_rng(5)
    events, impressions = events_table(rng), impressions_table(rng)
    shown, _ = keyed_impressions(impressions, ADS)
    ids = dict(
        zip(hash_ids(impressions["impression_id"]).tolist(), impressions["impression_id"].to_pylist(), strict=True)
    )
    shown["impression_id"] = np.array([ids[key] for key in shown["impression_key"].tolist()], object)
    expected = concat_records([event_records(keyed_events(events)), impression_records(shown)])
    parsed = RecordParser(ADS).parse_lines(log.lines(0, len(log)))
    assert not parsed.refusals
    assert (np.diff(parsed.columns["time_us"]) >= 0).all()
    orders = [np.argsort(record_keys(columns)) for columns in (parsed.columns, expected)]
    for name in RECORD_COLUMNS:
        found, wanted = parsed.columns[name][orders[0]], expected[name][orders[1]]
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_chunks_cover_the_log_within_their_bounds(log: RecordedLog) -> None:
    chunks = list(log.chunks(50, DAY_US))
    assert [start for start, _ in chunks] == [0, *[stop for _, stop in chunks[:-1]]]
    assert chunks[-1][1] == len(log)
    assert all(stop - start <= 50 and log.time_us[stop - 1] - log.time_us[start] <= DAY_US for start, stop in chunks)


def test_a_part_of_the_log_is_the_records_of_that_time(log: RecordedLog) -> None:
    low, high = int(log.time_us[100]), int(log.time_us[300])
    part = log.between(low, high)
    assert part.time_us.min() == low
    assert part.time_us.max() < high
    start = int(np.searchsorted(log.time_us, low))
    assert part.lines(0, len(part)) == log.lines(start, start + len(part))


def test_user_keys_are_those_of_the_lines(log: RecordedLog) -> None:
    parsed = RecordParser(ADS).parse_lines(log.lines(0, 200))
    assert log.user_keys()[:200].tolist() == parsed.columns["user_key"].tolist()
